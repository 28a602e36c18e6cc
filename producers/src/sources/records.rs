//! Iterates over a source's records, unpacked from lists and carriers.

use std::{collections::VecDeque, io::Read};

use super::{
    Around, SourceFormat,
    elements::{ElementDefect, Elements, FileDefect},
    unwrapped::{Unwrapped, unwrap},
};

/// One record, or its defect.
#[derive(Debug)]
pub struct Record {
    /// Index among the records, from 0.
    pub index: u64,
    /// Text of the record, or its defect.
    pub text: Result<String, ElementDefect>,
    /// Data from its carrier.
    pub around: Around,
}

/// Iterator over records. Memory: one element, and the records that it carries.
#[derive(Debug)]
pub struct Records<R> {
    elements: Elements<super::decoded::Decoded<R>>,
    format: SourceFormat,
    waiting: VecDeque<Unwrapped>,
    next_index: u64,
    passed_over: u64,
}

impl<R: Read> Records<R> {
    /// Reads from the beginning of (decompressed) bytes: UTF-8, or UTF-16, with a byte order mark or without.
    pub fn new(reader: R, format: SourceFormat) -> Self {
        let elements = Elements::listed_in(super::decoded::Decoded::new(reader), format.row().lists);
        Self { elements, format, waiting: VecDeque::new(), next_index: 0, passed_over: 0 }
    }

    /// Number of carriers without a record: tests of a connection.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Record, FileDefect>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(Unwrapped { text, around }) = self.waiting.pop_front() {
                let index = self.next_index;
                self.next_index += 1;
                return Some(Ok(Record { index, text, around }));
            }
            match self.elements.next()? {
                Err(defect) => return Some(Err(defect)),
                Ok(element) => match element.text {
                    // A plan is one record, whatever it holds, and a webhook's body has no carrier.
                    Ok(text) if carries(self.format) => {
                        let found = unwrap(text, self.format);
                        self.passed_over += u64::from(found.is_empty());
                        self.waiting.extend(found);
                    }
                    text => self.waiting.push_back(Unwrapped { text, around: Around::default() }),
                },
            }
        }
    }
}

fn carries(format: SourceFormat) -> bool {
    !matches!(format, SourceFormat::TerraformPlan | SourceFormat::GithubWebhook | SourceFormat::Focus)
}
