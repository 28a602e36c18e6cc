//! Searching the audit log: newest first, for as long as there is time.
//!
//! The dictionary says on which days there can be anything, and how much. Entries with a rare term are looked
//! up by the filters of block ranges ([`keys`](super::keys)). Otherwise days are walked in slices of so many
//! rows, so that what was found and how far the search came is known at any moment.

use std::time::{Duration, Instant};

use schemas::{TenantId, Timestamp};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    dictionary::{Keys, lookup},
    filter::{AuditFilter, push_filter},
    read::{AuditItem, PageKey, PageRequest, Rows, select},
    window::{Window, earlier, just_after, push_window},
};
use crate::read_models::snapshot::{Page, ReadError, Snapshot};

/// Time after which a search answers with what it has.
pub(super) const SEARCH_TIME: Duration = Duration::from_secs(2);
/// Time that one slice should take: the next is larger or smaller.
const SLICE_TIME: Duration = Duration::from_millis(150);
/// Rows of the first slice, and bounds of the others.
const FIRST_SLICE: i64 = 2_000;
/// Rows that are walked to see whether a term that is not counted is frequent.
const TRIED: i64 = 500;
const SLICES: std::ops::RangeInclusive<i64> = 500..=100_000;

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
    let found = lookup(snapshot.connection(), tenant, &request.filter).await?;
    let windows = found.windows.into_iter().filter_map(|window| window.within(asked)).collect();
    let mut search = Search {
        tenant,
        request,
        rows: Rows::new(request),
        began: Instant::now(),
        walked: 0,
        slice: FIRST_SLICE,
    };
    let progress = search.run(snapshot.connection(), windows, found.keys.as_ref()).await?;
    let (reached, stopped) = match progress {
        Progress::Whole => (None, false),
        Progress::PageFull => (None, true),
        Progress::UpTo(at) => (Some(at), false),
    };
    let ended = search.rows.are_enough();
    let (items, full) = search.rows.into_items();
    let next = match reached {
        // Everything of that instant was looked at: no id is less than this one.
        Some(occurred_at) => Some(PageKey { occurred_at, event_id: Uuid::nil() }),
        None => items.last().filter(|_| full || (ended && stopped)).map(AuditItem::key),
    };
    Ok(Page { items, next, reached, positions: snapshot.positions })
}

/// Result of a part of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// All was searched.
    Whole,
    /// The page is full.
    PageFull,
    /// Everything from this instant on was searched.
    UpTo(Timestamp),
}

/// A search in progress.
pub(super) struct Search<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) request: &'a PageRequest,
    pub(super) rows: Rows,
    pub(super) began: Instant,
    /// Rows walked so far.
    walked: i64,
    /// Rows of the next slice.
    slice: i64,
}

/// Bound of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Most {
    /// One slice: enough for a term that is frequent after all.
    Slice,
    /// All slices that there is time for.
    Time,
}

impl Search<'_> {
    /// Searches the windows, which come newest first.
    async fn run(
        &mut self,
        connection: &mut PgConnection,
        windows: Vec<Window>,
        keys: Option<&Keys>,
    ) -> Result<Progress, ReadError> {
        let mut windows = windows;
        if let Some(keys) = keys {
            if keys.seen.is_none() {
                self.slice = TRIED;
                match self.walk(connection, &windows, Most::Slice).await? {
                    Progress::UpTo(at) => windows = before(&windows, at),
                    ended => return Ok(ended),
                }
            }
            match self.by_keys(connection, &windows, keys).await? {
                Progress::UpTo(at) if !self.is_out_of_time() => windows = before(&windows, at),
                ended => return Ok(ended),
            }
        }
        self.walk(connection, &windows, Most::Time).await
    }

    /// Walks the windows, slice by slice.
    async fn walk(
        &mut self,
        connection: &mut PgConnection,
        windows: &[Window],
        most: Most,
    ) -> Result<Progress, ReadError> {
        for window in windows {
            match self.walk_one(connection, *window, most).await? {
                Progress::Whole => {}
                ended => return Ok(ended),
            }
        }
        Ok(Progress::Whole)
    }

    async fn walk_one(
        &mut self,
        connection: &mut PgConnection,
        window: Window,
        most: Most,
    ) -> Result<Progress, ReadError> {
        let mut left = window;
        loop {
            let began = Instant::now();
            let from = match self.boundary(connection, left).await {
                Ok(from) => from,
                Err(error) => return self.cut_off(error, left.to),
            };
            let slice = Window { from: from.or(window.from), to: left.to };
            match self.read(connection, slice).await {
                Ok(()) if self.is_page_full() => return Ok(Progress::PageFull),
                Ok(()) => {}
                // Nothing of the slice is on the page: the next one begins with it.
                Err(error) => return self.cut_off(error, left.to),
            }
            let Some(from) = from else { return Ok(Progress::Whole) };
            left.to = Some(from);
            self.walked += self.slice;
            self.adapt(began.elapsed());
            if most == Most::Slice || self.is_out_of_time() {
                return Ok(Progress::UpTo(from));
            }
        }
    }

    /// Whether the page is at its end. Whether there is a next one is looked for only as long as it is quick to find.
    pub(super) fn is_page_full(&self) -> bool {
        self.rows.are_full() || (self.rows.are_enough() && self.began.elapsed() >= SLICE_TIME)
    }

    pub(super) fn is_out_of_time(&self) -> bool {
        self.began.elapsed() >= SEARCH_TIME
    }

    /// A statement that took too long ends the search where it was; without any progress it is an error.
    fn cut_off(&self, error: ReadError, reached: Option<Timestamp>) -> Result<Progress, ReadError> {
        match (error, reached) {
            (ReadError::TooSlow, Some(at)) if self.walked > 0 => Ok(Progress::UpTo(at)),
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
        let mut query = select(self.request.detail, self.tenant);
        push_window(&mut query, window);
        self.finish(&mut query);
        self.rows.take(connection, &mut query).await
    }

    /// Adds all but the range of time: the filter, the place on the page, the order.
    pub(super) fn finish(&self, query: &mut QueryBuilder<Postgres>) {
        let unbounded = AuditFilter { from: None, to: None, ..self.request.filter.clone() };
        push_filter(query, &unbounded);
        if let Some(after) = self.request.after {
            query.push(" AND (occurred_at, event_id) < (").push_bind(after.occurred_at);
            query.push(", ").push_bind(after.event_id).push(")");
        }
        query.push(" ORDER BY occurred_at DESC, event_id DESC LIMIT ").push_bind(self.rows.wanted());
    }
}

/// The parts of the windows before an instant.
fn before(windows: &[Window], at: Timestamp) -> Vec<Window> {
    windows.iter().filter_map(|window| window.before(at)).collect()
}
