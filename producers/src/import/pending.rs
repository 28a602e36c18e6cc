//! The first records of a file, kept back until one of them is recognised as a record of the source.

use super::{
    read::{Unrecognised, chain},
    walk::Found,
};
use crate::sources::{SourceFormat, elements::ElementDefect, records::Record};

/// Number of records within which a file must be recognised by a field of the source's records.
const MAX_UNRECOGNISED: usize = 1_000;
const MAX_UNRECOGNISED_BYTES: usize = 4_000_000;

/// Records of a file that is not yet recognised as one of this source's.
pub(super) struct Pending {
    records: Vec<Record>,
    bytes: usize,
    format: SourceFormat,
    unrecognised: Unrecognised,
    recognised: bool,
}

/// Verdict on the records so far.
pub(super) enum Verdict {
    Unknown,
    Records(Vec<Record>),
    Foreign,
}

impl Pending {
    pub(super) fn new(format: SourceFormat, unrecognised: Unrecognised) -> Self {
        Self { records: Vec::new(), bytes: 0, format, unrecognised, recognised: false }
    }

    pub(super) fn push(&mut self, record: Record) -> Verdict {
        if self.recognised {
            return Verdict::Records(vec![record]);
        }
        self.recognised = record.text.as_ref().is_ok_and(|text| self.format.is_recognised(text));
        self.bytes += record.text.as_ref().map_or(0, String::len);
        self.records.push(record);
        if self.recognised {
            Verdict::Records(std::mem::take(&mut self.records))
        } else if self.records.len() >= MAX_UNRECOGNISED || self.bytes >= MAX_UNRECOGNISED_BYTES {
            self.all_the_same()
        } else {
            Verdict::Unknown
        }
    }

    /// The reason for skipping a file in a folder that was parsed: it contains no records.
    pub(super) fn without_records(&self, found: Found) -> Option<String> {
        let mut defects = self.records.iter().map(|record| match &record.text {
            Err(defect @ ElementDefect::NoRecords(_)) => Some(defect),
            _ => None,
        });
        let first = defects.next()??;
        let is_passed_over = found == Found::InFolder && !self.recognised && defects.all(|one| one.is_some());
        is_passed_over.then(|| chain(first))
    }

    pub(super) fn at_end(&mut self) -> Verdict {
        let nothing_good = !self.records.is_empty() && self.records.iter().all(|record| record.text.is_err());
        if self.recognised || self.records.is_empty() || nothing_good {
            Verdict::Records(std::mem::take(&mut self.records))
        } else {
            self.all_the_same()
        }
    }

    /// Passes on unrecognised records where that is allowed; another source's are rejected in any case.
    fn all_the_same(&mut self) -> Verdict {
        if self.unrecognised == Unrecognised::Refused || self.other_source().is_some() {
            return Verdict::Foreign;
        }
        self.recognised = true;
        Verdict::Records(std::mem::take(&mut self.records))
    }

    /// The source whose records these look like, if it is another one.
    fn other_source(&self) -> Option<SourceFormat> {
        let texts = || self.records.iter().filter_map(|record| record.text.as_ref().ok()).take(10);
        SourceFormat::ALL
            .iter()
            .copied()
            .find(|other| *other != self.format && texts().any(|text| other.is_recognised(text)))
    }

    /// The reason why the file is none of this source's, and whose it may be.
    pub(super) fn reason(&self) -> String {
        let none = format!("none of its records is {}", self.format.record());
        match self.other_source() {
            Some(other) => format!("{none}; they look like {} ({})", other.record(), other.slug()),
            None => none,
        }
    }
}
