//! Rows of a page, decoded.

use schemas::changes::OcsfRecord;
use serde_json::value::RawValue;
use sqlx::{Decode, Postgres, Row, Type, postgres::PgRow};

use super::{
    attested::{PLACE_BYTES, Unattested},
    read::{AuditItem, Detail, RecordPosition},
};
use crate::{
    compress,
    read_models::snapshot::{ReadError, size_of_values},
};

/// An entry, and the bytes that it takes of a page.
pub(super) struct SizedItem {
    pub(super) item: AuditItem,
    /// Its record, where it is to state its place first.
    pub(super) unattested: Option<Unattested>,
    pub(super) bytes: usize,
}

/// The entry of a row that holds what [`push_columns`](super::read::push_columns) asks for.
pub(super) fn sized(row: &PgRow, detail: Detail) -> Result<SizedItem, ReadError> {
    let mut take = Columns { row, next: 0 };
    let mut sized = SizedItem { item: item(&mut take)?, unattested: None, bytes: size_of_values(row) };
    if detail == Detail::Columns {
        return Ok(sized);
    }
    let (dictionary, stored) = (take.next()?, take.next()?);
    let stored =
        compress::decompress(dictionary, stored).map_err(|error| ReadError::Unreadable(error.to_string()))?;
    sized.bytes += stored.len();
    if detail == Detail::Attested {
        let (index, leaf, digest) = (take.next()?, take.next()?, take.next()?);
        sized.bytes += PLACE_BYTES;
        match Unattested::of(index, leaf, digest, stored) {
            Ok(unattested) => sized.unattested = Some(unattested),
            Err(stored) => sized.item.record = Some(record(&stored)?),
        }
    } else {
        sized.item.record = Some(record(&stored)?);
    }
    Ok(sized)
}

fn item(take: &mut Columns<'_>) -> Result<AuditItem, ReadError> {
    Ok(AuditItem {
        event_id: take.next()?,
        occurred_at: take.next()?,
        tenant: take.next()?,
        kind: take.next()?,
        actor_kind: take.next()?,
        actor: take.next()?,
        actor_name: take.next()?,
        actor_ip: take.next()?,
        action: take.next()?,
        resource_type: take.next()?,
        resource: take.next()?,
        project: take.next()?,
        outcome: take.next()?,
        outcome_code: take.next()?,
        source: take.next()?,
        correlation_id: take.next()?,
        class_uid: take.next()?,
        activity_id: take.next()?,
        severity_id: take.next()?,
        position: RecordPosition { topic: take.next()?, partition: take.next()?, offset: take.next()? },
        record: None,
    })
}

/// The OCSF record out of its stored form.
pub(super) fn record(stored: &[u8]) -> Result<Box<RawValue>, ReadError> {
    let text = OcsfRecord::json(stored).map_err(|error| ReadError::Unreadable(error.to_string()))?;
    RawValue::from_string(text).map_err(|error| ReadError::Unreadable(error.to_string()))
}

/// A row's columns one after the other: by number, for looking names up costs more than decoding.
struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> Columns<'r> {
    fn next<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> Result<T, ReadError> {
        let value = self.row.try_get(self.next)?;
        self.next += 1;
        Ok(value)
    }
}
