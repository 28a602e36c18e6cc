//! The records of a body, as events.

use std::cell::Cell;

use edge::api_error::ApiError;
use schemas::{Envelope, TenantId, Timestamp, codec, problem::ProblemKind};

use super::{MAX_RECORDS, RecordCounts, Rejected};
use crate::sources::{
    Mapped, NotARecord, Room, SourceFormat,
    elements::{ElementDefect, FileDefect},
    records,
};

/// The records of a body, as events.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) events: Vec<Result<Envelope, Rejected>>,
    pub(super) counts: RecordCounts,
    /// Bytes that compressed data in the body were unpacked to.
    pub(super) unpacked_bytes: usize,
}

/// The source of a body, and the limit on what its compressed data unpack to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) format: SourceFormat,
    pub(super) tenant: &'a TenantId,
    pub(super) now: Timestamp,
    pub(super) unpacked_bytes: usize,
}

impl Source<'_> {
    /// Reads a body. `grow` is called before more unpacked bytes are kept.
    pub(super) fn read(
        self,
        body: &[u8],
        grow: &mut dyn FnMut(usize) -> Result<(), ApiError>,
    ) -> Result<Records, ApiError> {
        let Self { format, tenant, now, unpacked_bytes } = self;
        let (unpacked, refused) = (Cell::new(0_usize), Cell::new(None));
        let room = Room::whole_input(unpacked_bytes, MAX_RECORDS, |more| {
            unpacked.set(unpacked.get().saturating_add(more));
            grow(more).map_err(|refusal| refused.set(Some(refusal))).is_ok()
        });
        let (mut records, mut recognised) = (Records::default(), false);
        let mut found = records::Records::within(body, format, room);
        for record in &mut found {
            let broken = |defect: FileDefect| refused.take().unwrap_or_else(|| self.broken(&defect));
            let records::Record { text, around, .. } = record.map_err(broken)?;
            if records.events.len() == MAX_RECORDS {
                return Err(self.broken(&FileDefect::TooManyRecords));
            }
            recognised = recognised || text.as_ref().is_ok_and(|text| format.is_recognised(text));
            records.take(text.map(|text| format.map_within(tenant, &text, &around)), now);
        }
        if records.events.is_empty() && found.passed_over() == 0 {
            return Err(ApiError::new(ProblemKind::InvalidRequest, "the body holds no record"));
        }
        if !recognised && records.events.iter().any(Result::is_ok) {
            return Err(self.unrecognised(&records.events));
        }
        records.counts.records = records.events.len();
        records.unpacked_bytes = unpacked.get();
        Ok(records)
    }

    fn unrecognised(self, events: &[Result<Envelope, Rejected>]) -> ApiError {
        let format = self.format;
        let meant = SourceFormat::ALL.iter().find(|other| {
            **other != format && events.iter().flatten().any(|event| looks_like(**other, event))
        });
        let hint = match meant {
            Some(other) => {
                format!("it looks like {}: post it to /api/v1/sources/{}", other.record(), other.slug())
            }
            None => "is this the right path for it?".to_owned(),
        };
        let detail = format!("nothing in the body is {}; {hint}", format.record());
        ApiError::new(ProblemKind::InvalidEvent, detail)
    }

    fn broken(self, defect: &FileDefect) -> ApiError {
        if matches!(defect, FileDefect::TooManyBytes) {
            let most = self.unpacked_bytes;
            let detail = format!("the body's compressed data unpack to more than {most} bytes; {SEND_FEWER}");
            return ApiError::new(ProblemKind::BodyTooLarge, detail);
        }
        broken(defect)
    }
}

/// Advice for a body with too much in it.
const SEND_FEWER: &str =
    "send fewer records at once (Amazon Data Firehose: a buffer of 1 MiB or 60 s, or less)";

fn looks_like(format: SourceFormat, event: &Envelope) -> bool {
    event.native.as_ref().is_some_and(|native| format.is_recognised(&native.record))
}

type Read = Result<Result<Mapped, NotARecord>, ElementDefect>;

impl Records {
    pub(super) fn take(&mut self, read: Read, now: Timestamp) {
        let index = self.events.len();
        let rejected = |kind, detail: &str| Err(Rejected::new(index, kind, detail));
        self.events.push(match read {
            Err(defect) => rejected(kind_of(&defect), &format!("the record is {defect}")),
            Ok(Err(NotARecord::NotAnObject(_))) => {
                rejected(ProblemKind::InvalidJson, "the record is not valid JSON")
            }
            Ok(Err(NotARecord::OtherDocument(why))) => rejected(ProblemKind::InvalidEvent, &why),
            Ok(Ok(Mapped { envelope, oddities })) => match codec::check(&envelope, now) {
                Ok(()) => {
                    self.counts.count(oddities);
                    Ok(envelope)
                }
                Err(bad) => rejected(bad.why.problem(), &bad.detail),
            },
        });
    }
}

fn kind_of(defect: &ElementDefect) -> ProblemKind {
    match defect {
        ElementDefect::TooLarge { .. } => ProblemKind::EventTooLarge,
        ElementDefect::NotAnObject | ElementDefect::NotUtf8 | ElementDefect::Malformed => {
            ProblemKind::InvalidJson
        }
        ElementDefect::Carrier(_) | ElementDefect::NoRecords(_) => ProblemKind::InvalidEvent,
    }
}

/// Turns the defect of a file into the problem of a body.
pub(super) fn broken(defect: &FileDefect) -> ApiError {
    let detail = match defect {
        FileDefect::TooManyRecords => {
            let detail = format!("there are more than {MAX_RECORDS} records; {SEND_FEWER}");
            return ApiError::new(ProblemKind::BatchTooLarge, detail);
        }
        FileDefect::TooManyBytes => {
            let detail = format!("the body's compressed data unpack to too many bytes; {SEND_FEWER}");
            return ApiError::new(ProblemKind::BodyTooLarge, detail);
        }
        FileDefect::NotRecords => "the body holds neither an object nor an array of them".into(),
        FileDefect::Cut => "the body ends in the middle of a record or list".into(),
        FileDefect::Malformed { at } => format!("the body is not valid JSON from byte {at} on"),
        FileDefect::Unreadable(_) => "the body cannot be read to its end".into(),
    };
    ApiError::new(ProblemKind::InvalidJson, detail)
}
