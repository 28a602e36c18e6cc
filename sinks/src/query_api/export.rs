//! `GET /api/v1/audit/export`: every entry that fulfils a filter, in one answer, line by line.
//!
//! Where the connection breaks, an export goes on after the last line that arrived whole.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use chrono::Utc;
use edge::{
    access::CallerAddress,
    api_error::ApiError,
    trail::{self, AccessEvent, Use},
};
use http::{HeaderMap, HeaderValue, Uri, header};
use schemas::{TenantId, access::Principal, problem::ProblemKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    audit::{Extent, Include},
    body::Answer,
    described::ItemRefusals,
    freshness::{Freshness, await_positions},
    paging::{MAX_LIMIT, check_range},
    searches::{Saved, resolved},
    streamed::{Pages, csv_lines, streamed, unwritable},
};
use crate::read_models::{
    Page,
    audit_entry::read::{self, AuditFilter, AuditItem, Detail, PageKey, PageRequest},
};

/// Format of an export, and where it resumes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Form {
    /// `ndjson` (one entry a line, as `GET /api/v1/audit` gives it) or `csv` (RFC 4180, with a line of column names).
    #[param(inline)]
    format: Option<Format>,
    /// Goes on after this entry: the `event_id` of the last line that arrived whole, with the same filter.
    after: Option<Uuid>,
}

/// The lines of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Ndjson,
    Csv,
}

impl Format {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    const fn file_name(self) -> &'static str {
        match self {
            Self::Ndjson => "attachment; filename=\"audit.ndjson\"",
            Self::Csv => "attachment; filename=\"audit.csv\"",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// Bytes before the first entry.
    fn head(self, detail: Detail) -> Result<Vec<u8>, ApiError> {
        match self {
            Self::Ndjson => Ok(Vec::new()),
            Self::Csv => {
                let record = (detail != Detail::Columns).then_some("record");
                csv_lines([COLUMNS.into_iter().chain(record)])
            }
        }
    }

    fn lines(self, items: &[AuditItem]) -> Result<Vec<u8>, ApiError> {
        match self {
            Self::Ndjson => {
                let mut lines = Vec::new();
                for item in items {
                    serde_json::to_writer(&mut lines, item).map_err(|error| unwritable(&error))?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
            Self::Csv => csv_lines(items.iter().map(cells)),
        }
    }
}

/// The columns of a CSV export; `record` follows where it is asked for.
const COLUMNS: [&str; 22] = [
    "event_id",
    "occurred_at",
    "tenant",
    "kind",
    "actor_kind",
    "actor",
    "actor_name",
    "actor_ip",
    "action",
    "resource_type",
    "resource",
    "project",
    "outcome",
    "outcome_code",
    "source",
    "correlation_id",
    "class_uid",
    "activity_id",
    "severity_id",
    "topic",
    "partition",
    "offset",
];

/// The cells of an entry, in the order of [`COLUMNS`]. What an entry does not have is an empty cell.
fn cells(item: &AuditItem) -> Vec<String> {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut cells = vec![
        item.event_id.to_string(),
        item.occurred_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        item.tenant.clone(),
        item.kind.clone(),
        item.actor_kind.clone(),
        item.actor.clone(),
        optional(&item.actor_name),
        optional(&item.actor_ip),
        item.action.clone(),
        optional(&item.resource_type),
        optional(&item.resource),
        optional(&item.project),
        item.outcome.clone(),
        optional(&item.outcome_code),
        item.source.clone(),
        optional(&item.correlation_id),
        item.class_uid.to_string(),
        item.activity_id.to_string(),
        item.severity_id.to_string(),
        item.position.topic.clone(),
        item.position.partition.to_string(),
        item.position.offset.to_string(),
    ];
    cells.extend(item.record.as_ref().map(|record| record.get().to_owned()));
    cells
}

/// An export on its way.
struct Export {
    api: Arc<Api>,
    tenant: TenantId,
    filter: AuditFilter,
    detail: Detail,
    format: Format,
    /// The next page comes after this entry.
    after: Option<PageKey>,
    /// Entries that were given so far.
    rows: u64,
    is_over: bool,
    by: Use,
    /// The event of its beginning; none until it was stored.
    begun: Option<AccessEvent>,
}

/// However an export ends, the audit log tells how much of it there was.
impl Drop for Export {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            let by = Use { at: Utc::now(), ..self.by.clone() };
            self.api.trail.record_later(trail::export_ended(&by, &begun, self.rows, self.is_over));
        }
    }
}

/// All of the tenant's audit entries that fulfil the filter, newest first, one a line.
///
/// The answer has no length beforehand and no limit. It is whole when it ends as HTTP ends an answer; where
/// the connection breaks, ask again with `after`. Entries that are stored while the export runs are in it
/// only if they are older than what was written last. An export is itself two events of the audit log, one
/// when it begins and one when it ends; where the first cannot be stored, there is no export. With
/// `include=record` each record states its place in the audit log and carries the log's newest checkpoint, so that
/// `weir verify --export` can check the export.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    operation_id = "audit_export",
    tag = "audit",
    params(AuditFilter, Saved, Extent, Form, Freshness),
    responses(
        (status = 200, description = "The entries", content(
            (String = "application/x-ndjson"), (String = "text/csv")
        )),
        ItemRefusals
    ),
    security(("api_key" = ["audit:read"]))
)]
pub(super) async fn export(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    Extension(CallerAddress(address)): Extension<CallerAddress>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut given = resolved(&api, caller.tenant(), &uri).await?;
    let (filter, extent) = (given.take::<AuditFilter>(), given.take::<Extent>());
    let (form, freshness) = (given.take::<Form>(), given.take::<Freshness>());
    check_range(filter.from, filter.to, &mut given);
    given.finish()?;
    let tenant = caller.tenant().clone();
    await_positions(&api, &tenant, read::STAGE, &freshness.positions()).await?;
    let after = match form.after {
        Some(event) => Some(place_of(&api, &tenant, event).await?),
        None => None,
    };
    let format = form.format.unwrap_or_default();
    let detail = if extent.include == Some(Include::Record) { Detail::Attested } else { Detail::Columns };
    let by = Use { principal: caller, address, at: Utc::now() };
    let begun = trail::export_begun(&by, format.name(), uri.query().unwrap_or_default());
    api.trail.record(begun.clone()).await.map_err(|error| {
        ApiError::new(
            ProblemKind::DatabaseUnavailable,
            format!("there is no export without its event: {error}"),
        )
    })?;
    let begun = Some(begun);
    let export = Export { api, tenant, filter, detail, format, after, rows: 0, is_over: false, by, begun };
    let head = if after.is_none() { format.head(detail)? } else { Vec::new() };
    let mut response = Response::new(streamed(head, export).await?);
    headers(response.headers_mut(), format);
    Ok(response)
}

fn headers(headers: &mut HeaderMap, format: Format) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(format.file_name()));
}

/// The place of an entry in the order of an export.
async fn place_of(api: &Arc<Api>, tenant: &TenantId, event: Uuid) -> Result<PageKey, ApiError> {
    let (pool, of) = (api.pool.clone(), tenant.clone());
    let place = api.ask(tenant, async move { read::place_of(&pool, &of, event).await }).await?;
    place.value.ok_or_else(|| {
        let detail = "after: no entry has this event_id; give that of the last line that arrived whole";
        ApiError::new(ProblemKind::NotFound, detail)
    })
}

impl Pages for Export {
    async fn page(&mut self) -> Result<Answer<Vec<u8>>, ApiError> {
        let request = PageRequest {
            filter: self.filter.clone(),
            after: self.after,
            limit: MAX_LIMIT,
            detail: self.detail,
        };
        let (pool, tenant) = (self.api.pool.clone(), self.tenant.clone());
        let question = async move { read::page(&pool, &tenant, &request).await };
        let Answer { value, memory } = self.api.ask(&self.tenant, question).await?;
        let Page { items, next, .. } = value;
        let lines = self.format.lines(&items)?;
        self.rows += items.len() as u64;
        self.is_over = next.is_none();
        self.after = next;
        Ok(Answer { value: lines, memory })
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn of(&self) -> (&Api, &TenantId) {
        (&self.api, &self.tenant)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::read_models::audit_entry::read::RecordPosition;

    fn item(action: &str) -> AuditItem {
        AuditItem {
            event_id: Uuid::from_u128(7),
            occurred_at: "2026-01-02T03:04:05.000006Z".parse().expect("an instant"),
            tenant: "acme".into(),
            kind: "ApiCalled".into(),
            actor_kind: "user".into(),
            actor: "mara".into(),
            actor_name: None,
            actor_ip: Some("192.0.2.1".into()),
            action: action.into(),
            resource_type: None,
            resource: None,
            project: None,
            outcome: "success".into(),
            outcome_code: None,
            source: "/test".into(),
            correlation_id: None,
            class_uid: 6003,
            activity_id: 1,
            severity_id: 1,
            position: RecordPosition { topic: "weir.activity.v1".into(), partition: 3, offset: 9 },
            record: None,
        }
    }

    fn text(lines: Result<Vec<u8>, ApiError>) -> String {
        String::from_utf8(lines.expect("lines")).expect("UTF-8")
    }

    #[test]
    fn a_cell_may_hold_anything() {
        let hostile = "a,\"b\"\r\n=1+1;ä\u{0}";
        let lines = text(Format::Csv.lines(&[item(hostile), item("Read")]));
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(lines.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].len(), &rows[0][8], &rows[1][8]), (COLUMNS.len(), hostile, "Read"));
        assert_eq!(&rows[1][1], "2026-01-02T03:04:05.000006Z");
    }

    #[test]
    fn the_record_is_the_last_column_where_it_is_asked_for() {
        assert_eq!(text(Format::Csv.head(Detail::Columns)), format!("{}\r\n", COLUMNS.join(",")));
        assert!(text(Format::Csv.head(Detail::Attested)).ends_with(",offset,record\r\n"));
        let mut with_record = item("Read");
        with_record.record = Some(RawValue::from_string(r#"{"a":"b"}"#.into()).expect("JSON"));
        let lines = text(Format::Csv.lines(std::slice::from_ref(&with_record)));
        assert!(lines.ends_with(",9,\"{\"\"a\"\":\"\"b\"\"}\"\r\n"), "{lines}");
        let line = text(Format::Ndjson.lines(&[with_record]));
        assert!(line.ends_with("}\n") && line.contains(r#""record":{"a":"b"}"#), "{line}");
    }
}
