//! Searching the audit log: newest first, slice by slice, for as long as there is time.
//!
//! The dictionary says on which days there can be anything; only those are searched. Days are walked in
//! slices of so many rows, so that what was found and how far the search came is known at any moment. When a
//! filter has a block-range index and the first rows did not fill the page, the rest is looked up month by
//! month.

use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use schemas::{TenantId, Timestamp};
use sqlx::{Executor, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    read::{AuditFilter, AuditItem, PageKey, PageRequest, Rows, like_literal, push_filter, select},
    terms::Field,
};
use crate::read_models::snapshot::{Page, ReadError, Snapshot};

/// Time after which a search answers with what it has.
pub(super) const SEARCH_TIME: Duration = Duration::from_secs(2);
/// Time that one slice should take: the next is larger or smaller.
const SLICE_TIME: Duration = Duration::from_millis(150);
/// Rows of the first slice, and bounds of the others.
const FIRST_SLICE: i64 = 2_000;
const SLICES: std::ops::RangeInclusive<i64> = 500..=100_000;
/// Rows walked before the block-range index is asked.
const WALKED_BEFORE_INDEX: i64 = 30_000;
/// Time for one month by the index; where it takes longer, too many ranges hold the value, and walking is better.
const INDEX_TIME_MS: u64 = 700;
/// Most terms that a text may match in the dictionary; beyond it, it is common enough to be found by walking.
const MAX_TEXT_TERMS: i64 = 5_000;

/// Lets only the block-range index be used: to the planner, which knows no correlation of the values with their place, it
/// never looks better than the others.
const BY_INDEX: &str = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; \
    SET LOCAL enable_seqscan = off; SET LOCAL cpu_index_tuple_cost = 1000000; \
    SET LOCAL max_parallel_workers_per_gather = 0";

/// The days of terms: of each filter those of any of its fields; of all filters those that they have in common.
const DAYS: &str = "WITH wanted AS (
       SELECT w.number, CASE WHEN t.term IS NOT NULL THEN t.days WHEN f.overflowed THEN '{(,)}'::datemultirange
                             ELSE '{}'::datemultirange END AS days
         FROM unnest($2::int[], $3::text[], $4::text[]) AS w(number, field, term)
         LEFT JOIN audit_term AS t ON t.tenant_id = $1 AND t.field = w.field AND t.term = w.term COLLATE \"C\"
         LEFT JOIN audit_term_field AS f ON f.tenant_id = $1 AND f.field = w.field
     ), by_filter AS (
       SELECT range_agg(days) AS days FROM wanted GROUP BY number
     )
     SELECT lower(r), upper(r) FROM (SELECT unnest(range_intersect_agg(days)) AS r FROM by_filter) AS days
      ORDER BY lower(r) DESC NULLS LAST";

/// The same, with a text: the days of all terms that it is a part of, unless there are too many, or some are not kept.
const DAYS_OF_TEXT: &str = "WITH wanted AS (
       SELECT w.number, CASE WHEN t.term IS NOT NULL THEN t.days WHEN f.overflowed THEN '{(,)}'::datemultirange
                             ELSE '{}'::datemultirange END AS days
         FROM unnest($2::int[], $3::text[], $4::text[]) AS w(number, field, term)
         LEFT JOIN audit_term AS t ON t.tenant_id = $1 AND t.field = w.field AND t.term = w.term COLLATE \"C\"
         LEFT JOIN audit_term_field AS f ON f.tenant_id = $1 AND f.field = w.field
     ), matching AS (
       SELECT days FROM audit_term
        WHERE tenant_id = $1 AND field = ANY ($5) AND term COLLATE \"default\" ILIKE $6 ESCAPE '\\' LIMIT $7
     ), by_filter AS (
       SELECT range_agg(days) AS days FROM wanted GROUP BY number
       UNION ALL
       SELECT CASE WHEN count(*) >= $7 OR EXISTS (SELECT FROM audit_term_field
                                                   WHERE tenant_id = $1 AND field = ANY ($5) AND overflowed)
                   THEN '{(,)}'::datemultirange ELSE coalesce(range_agg(days), '{}'::datemultirange) END
         FROM matching
     )
     SELECT lower(r), upper(r) FROM (SELECT unnest(range_intersect_agg(days)) AS r FROM by_filter) AS days
      ORDER BY lower(r) DESC NULLS LAST";

/// A range of time, newest first: from, inclusive, to, exclusive. `None` is without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

impl Window {
    /// Intersection of both windows; `None` if it is empty.
    pub(super) fn within(self, other: Self) -> Option<Self> {
        let from = self.from.max(other.from);
        let to = earlier(self.to, other.to);
        let empty = from.zip(to).is_some_and(|(from, to)| from >= to);
        (!empty).then_some(Self { from, to })
    }
}

/// The earlier end of two, where `None` is without end.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Reads one page.
pub(super) async fn page(
    mut snapshot: Snapshot,
    tenant: &TenantId,
    request: &PageRequest,
) -> Result<Page<AuditItem, PageKey>, ReadError> {
    let asked = Window {
        from: request.filter.from,
        // The cursor's own instant is looked at again, for the entries of it that are still to come.
        to: match request.after {
            Some(after) => earlier(Some(just_after(after.occurred_at)), request.filter.to),
            None => request.filter.to,
        },
    };
    let days = days(snapshot.connection(), tenant, &request.filter).await?;
    let windows: Vec<Window> = days.into_iter().filter_map(|window| window.within(asked)).collect();
    let mut search = Search {
        tenant,
        request,
        rows: Rows::new(request),
        began: Instant::now(),
        walked: 0,
        slice: FIRST_SLICE,
        index: has_index(&request.filter),
    };
    let (mut reached, mut stopped) = (None, false);
    for window in windows {
        match search.window(snapshot.connection(), window).await? {
            Progress::Whole => {}
            Progress::PageFull => {
                stopped = true;
                break;
            }
            Progress::OutOfTime(at) => {
                reached = Some(at);
                break;
            }
        }
    }
    let ended = search.rows.are_enough();
    let (items, full) = search.rows.into_items();
    let next = match reached {
        // Everything of that instant was looked at: no id is less than this one.
        Some(occurred_at) => Some(PageKey { occurred_at, event_id: Uuid::nil() }),
        None => items.last().filter(|_| full || (ended && stopped)).map(AuditItem::key),
    };
    Ok(Page { items, next, reached, positions: snapshot.positions })
}

/// The next instant that a row can have.
fn just_after(at: Timestamp) -> Timestamp {
    at.checked_add_signed(chrono::TimeDelta::microseconds(1)).unwrap_or(at)
}

/// Whether the block-range index knows a column of the filter.
fn has_index(filter: &AuditFilter) -> bool {
    [&filter.action, &filter.resource, &filter.address, &filter.source, &filter.correlation]
        .into_iter()
        .any(Option::is_some)
}

/// Result of searching one window.
enum Progress {
    /// All of it was searched.
    Whole,
    /// The page is full.
    PageFull,
    /// The time is over; everything from this instant on was searched.
    OutOfTime(Timestamp),
}

struct Search<'a> {
    tenant: &'a TenantId,
    request: &'a PageRequest,
    rows: Rows,
    began: Instant,
    walked: i64,
    slice: i64,
    /// Whether the block-range index may still help.
    index: bool,
}

impl Search<'_> {
    async fn window(&mut self, connection: &mut PgConnection, window: Window) -> Result<Progress, ReadError> {
        let mut left = window;
        loop {
            if self.index && self.walked >= WALKED_BEFORE_INDEX {
                match self.by_index(connection, left).await? {
                    Some(Progress::OutOfTime(at)) if !self.index => left.to = Some(at),
                    Some(progress) => return Ok(progress),
                    None => self.index = false,
                }
            }
            let began = Instant::now();
            let from = match self.boundary(connection, left).await {
                Ok(from) => from,
                Err(error) => return self.cut_off(error, left.to),
            };
            let slice = Window { from: from.or(window.from), to: left.to };
            match self.read(connection, slice).await {
                Ok(()) if self.is_page_full() => return Ok(Progress::PageFull),
                Ok(()) => {}
                Err(error) => return self.cut_off(error, left.to),
            }
            let Some(from) = from else { return Ok(Progress::Whole) };
            left.to = Some(from);
            self.walked += self.slice;
            self.adapt(began.elapsed());
            if self.began.elapsed() >= SEARCH_TIME {
                return Ok(Progress::OutOfTime(from));
            }
        }
    }

    /// Whether the page is at its end. Whether there is a next one is looked for only as long as it is quick to find.
    fn is_page_full(&self) -> bool {
        self.rows.are_full() || (self.rows.are_enough() && self.began.elapsed() >= SLICE_TIME)
    }

    /// A statement that took too long ends the search where it was; without any progress it is an error.
    fn cut_off(&self, error: ReadError, reached: Option<Timestamp>) -> Result<Progress, ReadError> {
        match (error, reached) {
            (ReadError::TooSlow, Some(at)) if self.walked > 0 => Ok(Progress::OutOfTime(at)),
            (error, _) => Err(error),
        }
    }

    fn adapt(&mut self, took: Duration) {
        let next = if took < SLICE_TIME / 2 {
            self.slice * 2
        } else if took > SLICE_TIME * 2 {
            self.slice / 2
        } else {
            self.slice
        };
        self.slice = next.clamp(*SLICES.start(), *SLICES.end());
    }

    /// The instant of the row at which the next slice ends; `None` if fewer rows are left.
    async fn boundary(
        &self,
        connection: &mut PgConnection,
        window: Window,
    ) -> Result<Option<Timestamp>, ReadError> {
        let mut query = QueryBuilder::new("SELECT occurred_at FROM audit_entry WHERE tenant_id = ");
        query.push_bind(self.tenant.as_str().to_owned());
        push_window(&mut query, window);
        query.push(" ORDER BY occurred_at DESC OFFSET ").push_bind(self.slice).push(" LIMIT 1");
        Ok(query.build_query_scalar().fetch_optional(connection).await?)
    }

    /// The entries of a window that fulfil the filter, onto the page.
    async fn read(&mut self, connection: &mut PgConnection, window: Window) -> Result<(), ReadError> {
        let mut query = self.query(window);
        self.rows.take(query.build().fetch(connection)).await
    }

    fn query(&self, window: Window) -> QueryBuilder<Postgres> {
        let mut query = select(self.request.detail, self.tenant);
        let unbounded = AuditFilter { from: None, to: None, ..self.request.filter.clone() };
        push_filter(&mut query, &unbounded);
        push_window(&mut query, window);
        if let Some(after) = self.request.after {
            query.push(" AND (occurred_at, event_id) < (").push_bind(after.occurred_at);
            query.push(", ").push_bind(after.event_id).push(")");
        }
        query.push(" ORDER BY occurred_at DESC, event_id DESC LIMIT ").push_bind(self.rows.wanted());
        query
    }

    /// Looks the rest of the window up month by month. `None`: the index does not help here; nothing was read.
    /// `OutOfTime` with the index given up: the rest must be walked.
    async fn by_index(
        &mut self,
        connection: &mut PgConnection,
        window: Window,
    ) -> Result<Option<Progress>, ReadError> {
        let Some(mut left) = bounded(connection, self.tenant, window).await? else {
            return Ok(Some(Progress::Whole));
        };
        let mut any = false;
        while let Some(month) = newest_month(left) {
            connection.execute("SAVEPOINT by_index").await?;
            connection.execute(BY_INDEX).await?;
            let timeout = format!("SET LOCAL statement_timeout = {INDEX_TIME_MS}");
            connection.execute(sqlx::AssertSqlSafe(timeout)).await?;
            match self.read(connection, month).await {
                Ok(()) => {}
                Err(ReadError::TooSlow) => {
                    connection.execute("ROLLBACK TO SAVEPOINT by_index").await?;
                    self.index = false;
                    let reached = left.to.filter(|_| any);
                    return Ok(reached.map(Progress::OutOfTime));
                }
                Err(error) => return Err(error),
            }
            // The settings end with it, too.
            connection.execute("ROLLBACK TO SAVEPOINT by_index").await?;
            any = true;
            if self.is_page_full() {
                return Ok(Some(Progress::PageFull));
            }
            left.to = month.from;
            if let Some(from) = month.from.filter(|_| self.began.elapsed() >= SEARCH_TIME) {
                return Ok(Some(Progress::OutOfTime(from)));
            }
        }
        Ok(Some(Progress::Whole))
    }
}

/// The window with both ends, as far as there are rows; `None` if there are none.
pub(super) async fn bounded(
    connection: &mut PgConnection,
    tenant: &TenantId,
    window: Window,
) -> Result<Option<Window>, ReadError> {
    let mut query =
        QueryBuilder::new("SELECT min(occurred_at), max(occurred_at) FROM audit_entry WHERE tenant_id = ");
    query.push_bind(tenant.as_str().to_owned());
    push_window(&mut query, window);
    let (first, last): (Option<Timestamp>, Option<Timestamp>) =
        query.build_query_as().fetch_one(connection).await?;
    Ok(first.zip(last).map(|(first, last)| Window { from: Some(first), to: Some(just_after(last)) }))
}

/// The last month of a window, as far as it lies within.
pub(super) fn newest_month(window: Window) -> Option<Window> {
    let (from, to) = window.from.zip(window.to).filter(|(from, to)| from < to)?;
    let last = to - chrono::TimeDelta::microseconds(1);
    let begins = last.date_naive().with_day(1).and_then(midnight)?;
    Some(Window { from: Some(begins.max(from)), to: Some(to) })
}

fn midnight(day: NaiveDate) -> Option<Timestamp> {
    Some(DateTime::<Utc>::from_naive_utc_and_offset(day.and_hms_opt(0, 0, 0)?, Utc))
}

pub(super) fn push_window(query: &mut QueryBuilder<Postgres>, window: Window) {
    if let Some(from) = window.from {
        query.push(" AND occurred_at >= ").push_bind(from);
    }
    if let Some(to) = window.to {
        query.push(" AND occurred_at < ").push_bind(to);
    }
}

/// The days on which there may be entries that fulfil the filter, newest first.
pub(super) async fn days(
    connection: &mut PgConnection,
    tenant: &TenantId,
    filter: &AuditFilter,
) -> Result<Vec<Window>, ReadError> {
    let always = vec![Window { from: None, to: None }];
    let (mut numbers, mut fields, mut terms) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (of, term)) in constraints(filter).into_iter().enumerate() {
        for field in of {
            numbers.push(i32::try_from(number).unwrap_or(i32::MAX));
            fields.push(field.name());
            terms.push(term);
        }
    }
    // A line break stands between the fields when a text is looked for in all of them: then it may match across two.
    let text = filter.text.as_deref().filter(|text| !text.contains('\n'));
    if numbers.is_empty() && text.is_none() {
        return Ok(always);
    }
    let query = sqlx::query_as(if text.is_some() { DAYS_OF_TEXT } else { DAYS });
    let mut query = query.bind(tenant.as_str()).bind(numbers).bind(fields).bind(terms);
    if let Some(text) = text {
        query = query
            .bind(Field::OF_TEXT.map(Field::name).to_vec())
            .bind(format!("%{}%", like_literal(text)))
            .bind(MAX_TEXT_TERMS);
    }
    let rows: Vec<(Option<NaiveDate>, Option<NaiveDate>)> = query.fetch_all(connection).await?;
    let window = |(first, next): (Option<NaiveDate>, Option<NaiveDate>)| Window {
        from: first.and_then(midnight),
        to: next.and_then(midnight),
    };
    Ok(rows.into_iter().map(window).collect())
}

/// The filter's parts that the dictionary knows of: any of the fields must hold the term.
fn constraints(filter: &AuditFilter) -> Vec<(Vec<Field>, &str)> {
    [
        (vec![Field::Actor, Field::ActorName], filter.actor.as_deref()),
        (vec![Field::Action], filter.action.as_deref()),
        (vec![Field::Resource], filter.resource.as_deref()),
        (vec![Field::Project], filter.project.as_deref()),
        (vec![Field::Source], filter.source.as_deref()),
        (vec![Field::Kind], filter.kind.as_deref()),
        (vec![Field::Address], filter.address.as_deref()),
        (vec![Field::Outcome], filter.outcome.map(super::read::AuditOutcome::name)),
    ]
    .into_iter()
    .filter_map(|(fields, term)| Some((fields, term?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn window(from: &str, to: &str) -> Window {
        let end = |text: &str| (!text.is_empty()).then(|| at(text));
        Window { from: end(from), to: end(to) }
    }

    #[test]
    fn windows_have_in_common_what_lies_in_both() {
        let (a, b, c) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z");
        assert_eq!(window("", b).within(window(a, "")), Some(window(a, b)));
        assert_eq!(window(a, c).within(window(b, "")), Some(window(b, c)));
        assert_eq!(window("", "").within(window("", "")), Some(window("", "")));
        assert_eq!(window(a, b).within(window(b, c)), None);
    }

    #[test]
    fn a_window_is_taken_month_by_month() {
        let mut left = window("2025-11-15T00:00:00Z", "2026-01-01T00:00:00Z");
        let mut months = Vec::new();
        while let Some(month) = newest_month(left) {
            months.push(month);
            left.to = month.from;
        }
        let expected = [
            window("2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            window("2025-11-15T00:00:00Z", "2025-12-01T00:00:00Z"),
        ];
        assert_eq!(months, expected);
    }
}
