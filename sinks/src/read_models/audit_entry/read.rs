//! Reading the audit log: pages, newest first, and single entries.
//!
//! Columns read: `event_id, occurred_at, tenant_id, class_uid, activity_id, severity_id, kind, actor_kind, actor,
//! actor_name, actor_ip, action, resource_type, resource, project, outcome, outcome_code, source, correlation_id`,
//! the record's place in Kafka (`topic, partition, record_offset`), the `record` itself and its place in its log
//! (`log_index, leaf_hash, personal_digest`).
//!
//! Entries and positions come from one snapshot, so that an answer holds exactly the records before its positions.

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, postgres::PgRow};
use utoipa::ToSchema;
use uuid::Uuid;

pub use super::filter::{AuditFilter, AuditOutcome};
use super::{
    attested::{self, Unattested},
    decode::{SizedItem, sized},
    filter::push_filter,
    search,
};
use crate::read_models::snapshot::{MAX_PAGE_BYTES, Page, Positions, ReadError, Snapshot};

/// The stage that fills the table; its positions say what an answer reflects.
pub use schemas::changes::audit::STAGE;

/// Columns of a list, in the order in which [`sized`] reads them.
const COLUMNS: &str = "event_id, occurred_at, tenant_id, kind, actor_kind, actor, actor_name, actor_ip, action, \
    resource_type, resource, project, outcome, outcome_code, source, correlation_id, class_uid, activity_id, \
    severity_id, topic, partition, record_offset";
/// Columns that are read besides if the record is requested.
const RECORD_COLUMNS: &str = ", record_dictionary, record";
/// Columns that are read besides for the record's place in its log.
const PLACE_COLUMNS: &str = ", log_index, leaf_hash, personal_digest";

/// Key of the last entry of a page: entries are ordered by both fields, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageKey {
    /// `occurred_at` of the last entry.
    pub occurred_at: Timestamp,
    /// `event_id` of the last entry.
    pub event_id: Uuid,
}

/// Amount of each entry to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// The columns.
    #[default]
    Columns,
    /// The columns and the whole OCSF record.
    Record,
    /// The columns and the whole OCSF record with its place in its log, as the audit topic has it; that of an entry from before
    /// the log has none.
    Attested,
}

/// Request for one page.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Filter on the entries.
    pub filter: AuditFilter,
    /// Only entries after this one, that is older.
    pub after: Option<PageKey>,
    /// Most entries on the page.
    pub limit: u16,
    /// Amount of each entry to return.
    pub detail: Detail,
}

/// One entry of the audit log, as it is answered.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditItem {
    /// The event's id; unique within the tenant.
    pub event_id: Uuid,
    /// Time of the event, by the source's clock; UTC, to the microsecond.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Timestamp,
    /// Tenant that owns the event.
    pub tenant: String,
    /// The event's kind, for example `SignedIn`.
    pub kind: String,
    /// `user`, `service_account`, `role`, `system` or `unknown`.
    pub actor_kind: String,
    /// Id of the actor; empty when the source names nobody.
    pub actor: String,
    /// The actor's name for people.
    pub actor_name: Option<String>,
    /// The actor's address, as the source wrote it.
    pub actor_ip: Option<String>,
    /// The action in the source's words.
    pub action: String,
    /// The type of the first resource.
    pub resource_type: Option<String>,
    /// The id of the first resource.
    pub resource: Option<String>,
    /// Project of the first resource or of the delivery.
    pub project: Option<String>,
    /// `success`, `failure` or `unknown`.
    pub outcome: String,
    /// The source's error code.
    pub outcome_code: Option<String>,
    /// `CloudEvents` `source`: the system that observed it.
    pub source: String,
    /// Ties the events of one undertaking together.
    pub correlation_id: Option<String>,
    /// OCSF `class_uid`.
    pub class_uid: i32,
    /// OCSF `activity_id` within the class.
    pub activity_id: i32,
    /// OCSF `severity_id`, 0 to 6 and 99.
    pub severity_id: i32,
    /// Place of the record in Kafka.
    pub position: RecordPosition,
    /// The whole OCSF 1.8.0 record, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub record: Option<Box<RawValue>>,
}

/// Place of a record in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordPosition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
}

/// A page of the tenant's entries, newest first. With a filter it is a search, which may answer a part of a page.
pub async fn page(
    pool: &PgPool,
    tenant: &TenantId,
    request: &PageRequest,
) -> Result<Page<AuditItem, PageKey>, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    if request.filter.is_selective() {
        return search::page(snapshot, tenant, request).await;
    }
    let mut rows = Rows::new(request);
    let mut query = page_query(tenant, request);
    rows.take(snapshot.connection(), &mut query).await?;
    let (items, full) = rows.into_items();
    let next = items.last().filter(|_| full).map(AuditItem::key);
    Ok(Page { items, next, reached: None, positions: snapshot.positions })
}

/// The entries of one page, as they come.
pub(super) struct Rows {
    items: Vec<AuditItem>,
    /// Records that do not state their places yet, by the numbers of their items.
    unattested: Vec<(usize, Unattested)>,
    bytes: usize,
    limit: usize,
    detail: Detail,
    /// Whether there was an entry more than the page holds.
    full: bool,
}

impl Rows {
    pub(super) fn new(request: &PageRequest) -> Self {
        let limit = usize::from(request.limit);
        let items = Vec::with_capacity(limit);
        Self { items, unattested: Vec::new(), bytes: 0, limit, detail: request.detail, full: false }
    }

    /// Number of rows still to request: one more than the page holds, which tells whether there is a next
    /// page.
    pub(super) fn wanted(&self) -> i64 {
        i64::try_from(self.limit - self.items.len() + 1).unwrap_or(i64::MAX)
    }

    /// Whether the page is at its end, and there is a next one.
    pub(super) const fn are_full(&self) -> bool {
        self.full
    }

    /// Whether the page is at its end, as far as is known.
    pub(super) fn are_enough(&self) -> bool {
        self.full || self.items.len() == self.limit || self.bytes > MAX_PAGE_BYTES
    }

    /// Takes a query's rows until there are no more, or the page is full. If it fails, it has taken none of them: the query
    /// is repeated.
    pub(super) async fn take(
        &mut self,
        connection: &mut PgConnection,
        query: &mut QueryBuilder<Postgres>,
    ) -> Result<(), ReadError> {
        let (count, bytes, full) = (self.items.len(), self.bytes, self.full);
        let detail = self.detail;
        let read = move |row: sqlx::Result<PgRow>| -> Result<SizedItem, ReadError> { sized(&row?, detail) };
        self.take_items(query.build().fetch(&mut *connection).map(read)).await?;
        let unattested = std::mem::take(&mut self.unattested);
        let attested = attested::attest(connection, &mut self.items, unattested).await;
        if attested.is_err() {
            self.items.truncate(count);
            (self.bytes, self.full) = (bytes, full);
        }
        attested
    }

    async fn take_items(
        &mut self,
        items: impl Stream<Item = Result<SizedItem, ReadError>> + Unpin,
    ) -> Result<(), ReadError> {
        let (count, bytes) = (self.items.len(), self.bytes);
        let taken = self.add_items(items).await;
        if taken.is_err() {
            self.items.truncate(count);
            self.unattested.clear();
            self.bytes = bytes;
        }
        taken
    }

    async fn add_items(
        &mut self,
        mut items: impl Stream<Item = Result<SizedItem, ReadError>> + Unpin,
    ) -> Result<(), ReadError> {
        while let Some(SizedItem { item, unattested, bytes }) = items.try_next().await? {
            if self.are_enough() {
                self.full = true;
                return Ok(());
            }
            self.bytes += bytes;
            self.unattested.extend(unattested.map(|record| (self.items.len(), record)));
            self.items.push(item);
        }
        Ok(())
    }

    /// The entries, and whether there are more.
    pub(super) fn into_items(self) -> (Vec<AuditItem>, bool) {
        (self.items, self.full)
    }
}

/// The tenant's entry with that id and its record.
pub async fn by_id(
    pool: &PgPool,
    tenant: &TenantId,
    event_id: Uuid,
) -> Result<(Option<AuditItem>, Positions), ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let mut query = select(Detail::Record, tenant);
    query.push(" AND occurred_at = (SELECT occurred_at FROM audit_event WHERE tenant_id = ");
    query.push_bind(tenant.as_str().to_owned()).push(" AND event_id = ").push_bind(event_id);
    query.push(") AND event_id = ").push_bind(event_id).push(" LIMIT 1");
    let row = query.build().fetch_optional(snapshot.connection()).await?;
    let item = row.map(|row| Ok::<_, ReadError>(sized(&row, Detail::Record)?.item)).transpose()?;
    Ok((item, snapshot.positions))
}

/// The place of the tenant's entry with that id in the order of pages.
pub async fn place_of(
    pool: &PgPool,
    tenant: &TenantId,
    event_id: Uuid,
) -> Result<Option<PageKey>, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, None).await?;
    let occurred_at =
        sqlx::query_scalar("SELECT occurred_at FROM audit_event WHERE tenant_id = $1 AND event_id = $2")
            .bind(tenant.as_str())
            .bind(event_id)
            .fetch_optional(snapshot.connection())
            .await?;
    Ok(occurred_at.map(|occurred_at| PageKey { occurred_at, event_id }))
}

impl AuditItem {
    /// The entry's place in the order of pages.
    pub(super) fn key(&self) -> PageKey {
        PageKey { occurred_at: self.occurred_at, event_id: self.event_id }
    }
}

fn page_query(tenant: &TenantId, request: &PageRequest) -> QueryBuilder<Postgres> {
    let mut query = select(request.detail, tenant);
    push_filter(&mut query, &request.filter);
    if let Some(after) = request.after {
        // The plain comparison is for partition pruning, which does not look into row comparisons.
        query.push(" AND occurred_at <= ").push_bind(after.occurred_at);
        query.push(" AND (occurred_at, event_id) < (").push_bind(after.occurred_at);
        query.push(", ").push_bind(after.event_id).push(")");
    }
    query.push(" ORDER BY occurred_at DESC, event_id DESC LIMIT ").push_bind(i64::from(request.limit) + 1);
    query
}

pub(super) fn select(detail: Detail, tenant: &TenantId) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    push_columns(&mut query, detail);
    query.push(" FROM audit_entry WHERE tenant_id = ");
    // Row-level security says the same; said here too, the planner knows the value.
    query.push_bind(tenant.as_str().to_owned());
    query
}

/// Adds the columns that an entry is decoded from.
pub(super) fn push_columns(query: &mut QueryBuilder<Postgres>, detail: Detail) {
    query.push(COLUMNS);
    if detail != Detail::Columns {
        query.push(RECORD_COLUMNS);
    }
    if detail == Detail::Attested {
        query.push(PLACE_COLUMNS);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const ENTRY: &str = r#"{"event_id":"0192f0c1-2345-7abc-8def-0123456789ab","occurred_at":"2026-01-31T10:00:00.123456Z",
        "tenant":"acme","kind":"SignedIn","actor_kind":"user","actor":"ada","actor_name":null,"actor_ip":null,
        "action":"ConsoleLogin","resource_type":null,"resource":null,"project":null,"outcome":"success",
        "outcome_code":null,"source":"/s","correlation_id":null,"class_uid":3002,"activity_id":1,"severity_id":1,
        "position":{"topic":"weir.activity.v1","partition":3,"offset":7},"record":{"a":1e400}}"#;

    fn sql(filter: AuditFilter, after: Option<PageKey>) -> String {
        let tenant = TenantId::new("acme").expect("valid");
        let request = PageRequest { filter, after, limit: 50, detail: Detail::Columns };
        let sql = page_query(&tenant, &request).into_string();
        sql.split_once(" WHERE ").expect("conditions").1.to_owned()
    }

    #[test]
    fn nothing_that_a_reader_gave_becomes_sql() {
        let evil = || Some("' OR 1=1;DROP TABLE audit_entry--".to_owned());
        let at = Timestamp::from_timestamp(0, 0).expect("epoch");
        let filter = AuditFilter {
            actor: evil(),
            action: evil(),
            resource: evil(),
            project: evil(),
            outcome: Some(AuditOutcome::Failure),
            address: evil(),
            source: evil(),
            kind: evil(),
            correlation: evil(),
            from: Some(at),
            to: Some(at),
            text: evil(),
        };
        let sql = sql(filter, Some(PageKey { occurred_at: at, event_id: Uuid::nil() }));
        assert!(!sql.contains("DROP") && !sql.contains("failure"), "{sql}");
        for number in 1..=19 {
            assert!(sql.contains(&format!("${number}")), "parameter {number} is bound: {sql}");
        }
        assert!(!sql.contains("$20"), "{sql}");
    }

    #[test]
    fn an_empty_filter_asks_for_the_newest() {
        let expected = "tenant_id = $1 ORDER BY occurred_at DESC, event_id DESC LIMIT $2";
        assert_eq!(sql(AuditFilter::default(), None), expected);
    }

    fn entry(n: u128) -> SizedItem {
        let mut item: AuditItem = serde_json::from_str(ENTRY).expect("reads");
        item.event_id = Uuid::from_u128(n);
        SizedItem { item, unattested: None, bytes: 100 }
    }

    fn ids(rows: Rows) -> Vec<u128> {
        rows.into_items().0.iter().map(|item| item.event_id.as_u128()).collect()
    }

    #[tokio::test]
    async fn a_slice_that_is_cut_off_leaves_no_entry_on_the_page() {
        let filter = AuditFilter::default();
        let request = PageRequest { filter, after: None, limit: 3, detail: Detail::Columns };
        let mut page = Rows::new(&request);
        page.take_items(stream::iter([Ok(entry(9))])).await.expect("a whole slice");
        let cut_off = stream::iter([Ok(entry(8)), Ok(entry(7)), Err(ReadError::TooSlow)]);
        assert!(matches!(page.take_items(cut_off).await, Err(ReadError::TooSlow)));
        assert_eq!((page.bytes, page.wanted(), page.are_enough()), (100, 3, false));
        // The next page begins with that slice.
        let mut next = Rows::new(&request);
        let again = (6..=8).rev().map(|n| Ok(entry(n)));
        next.take_items(stream::iter(again)).await.expect("there is time now");
        assert_eq!((ids(page), ids(next)), (vec![9], vec![8, 7, 6]));
    }

    #[test]
    fn an_answer_reads_back() {
        let item: AuditItem = serde_json::from_str(ENTRY).expect("reads");
        assert_eq!(item.position.offset, 7);
        let again = serde_json::to_string(&item).expect("writes");
        assert_eq!(again, ENTRY.replace(['\n', ' '], ""), "field order and the record's digits are kept");
    }
}
