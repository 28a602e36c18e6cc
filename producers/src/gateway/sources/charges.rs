//! Charges in a request: a text table, or records in JSON.

use std::io::Cursor;

use axum::extract::Query;
use bytes::Bytes;
use edge::api_error::ApiError;
use http::request::Parts;
use schemas::{TenantId, Timestamp, problem::ProblemKind};
use serde::Deserialize;

use super::{
    Form, MAX_RECORDS, media,
    parsed::{Records, broken},
};
use crate::sources::{
    NotARecord, SourceFormat,
    focus::{ChargeRow, ChargeRows, Charges, Delivery, DeliveryMode, FileBroken},
    records::{self, Record},
};

/// Format of the charges in a body, and their relation to earlier ones.
#[derive(Debug, Clone)]
pub(super) struct ChargeForm {
    is_table: bool,
    delivery: Delivery,
    part: Option<String>,
}

/// Maximum size of a part's name, in bytes.
const MAX_PART_BYTES: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Told {
    known_at: Option<Timestamp>,
    replaces: Option<Replaced>,
    part: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Replaced {
    BillingPeriod,
}

/// The format by the head of a request.
pub(super) fn form_of(parts: &Parts) -> Result<Form, ApiError> {
    let told = Query::<Told>::try_from_uri(&parts.uri).map_err(|error| {
        let detail = format!("known_at takes RFC 3339, replaces takes billing_period: {}", error.body_text());
        ApiError::new(ProblemKind::InvalidRequest, detail)
    })?;
    let Query(Told { known_at, replaces, part }) = told;
    if part.as_ref().is_some_and(|part| part.is_empty() || part.len() > MAX_PART_BYTES) {
        let detail = format!("part takes a name of 1 to {MAX_PART_BYTES} bytes");
        return Err(ApiError::new(ProblemKind::InvalidRequest, detail));
    }
    let mode = if replaces.is_some() { DeliveryMode::Replace } else { DeliveryMode::Append };
    let is_table = media::is_table(&parts.headers)?;
    Ok(Form::Charges(ChargeForm { is_table, delivery: Delivery { known_at, mode }, part }))
}

/// Reads a body of charges. If no time of becoming known is given, it is now.
pub(super) fn read(
    tenant: &TenantId,
    body: &Bytes,
    form: ChargeForm,
    now: Timestamp,
) -> Result<Records, ApiError> {
    let mut records = Records::default();
    let mut charges = Charges::new(tenant, form.delivery, now).part_of(form.part);
    let mut take = |read| {
        if records.events.len() == MAX_RECORDS {
            let detail = format!(
                "there are more than {MAX_RECORDS} charges; import the file with `weir import focus`, or send it in \
                 parts, each with another ?part=NAME"
            );
            return Err(ApiError::new(ProblemKind::BatchTooLarge, detail));
        }
        records.take(read, now);
        Ok(())
    };
    if form.is_table {
        let refused = |error| match error {
            FileBroken::Foreign(why) | FileBroken::Broken(why) => {
                ApiError::new(ProblemKind::InvalidEvent, why)
            }
        };
        let rows = ChargeRows::of_text(Box::new(Cursor::new(body.clone())), charges).map_err(refused)?;
        for row in rows.into_iter().flatten() {
            let ChargeRow { charge, .. } = row.map_err(refused)?;
            take(Ok(charge.map_err(NotARecord::OtherDocument)))?;
        }
    } else {
        for record in records::Records::new(&body[..], SourceFormat::Focus) {
            let Record { text, .. } = record.map_err(|defect| broken(&defect))?;
            take(text.map(|text| charges.map_json(&text)))?;
        }
    }
    if records.events.is_empty() {
        return Err(ApiError::new(ProblemKind::InvalidRequest, "the body holds no record"));
    }
    records.counts.records = records.events.len();
    Ok(records)
}
