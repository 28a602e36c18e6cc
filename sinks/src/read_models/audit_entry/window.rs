//! Ranges of time in which entries are searched.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use schemas::{TenantId, Timestamp};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::read_models::snapshot::ReadError;

/// Days of the longest month.
pub(super) const MOST_DAYS: u32 = 31;

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

    /// The part before an instant; `None` if it is empty.
    pub(super) fn before(self, at: Timestamp) -> Option<Self> {
        self.within(Self { from: None, to: Some(at) })
    }
}

/// Intersection of two lists of windows; both are ordered newest first, and so is the answer.
pub(super) fn in_common(ours: &[Window], theirs: &[Window]) -> Vec<Window> {
    let both = ours.iter().flat_map(|one| theirs.iter().filter_map(|other| one.within(*other)));
    both.collect()
}

/// The earlier end of two, where `None` is without end.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The next instant that a row can have.
pub(super) fn just_after(at: Timestamp) -> Timestamp {
    at.checked_add_signed(TimeDelta::microseconds(1)).unwrap_or(at)
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

/// The last days of a window, as far as they lie within it and within one month, which has a partition of its
/// own.
pub(super) fn newest_days(window: Window, days: u32) -> Option<Window> {
    let (from, to) = window.from.zip(window.to).filter(|(from, to)| from < to)?;
    let last = (to - TimeDelta::microseconds(1)).date_naive();
    let month = last.with_day(1)?;
    let first = last.checked_sub_days(Days::new(u64::from(days.saturating_sub(1)))).unwrap_or(month);
    let begins = first.max(month);
    Some(Window { from: Some(midnight(begins)?.max(from)), to: Some(to) })
}

pub(super) fn midnight(day: NaiveDate) -> Option<Timestamp> {
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
    fn lists_of_windows_have_in_common_what_lies_in_both() {
        let day = |day: u32| format!("2026-01-{day:02}T00:00:00Z");
        let days = |from: u32, to: u32| window(&day(from), &day(to));
        let found = in_common(&[days(5, 9), days(1, 3)], &[days(3, 7), window("", &day(3))]);
        assert_eq!(found, [days(5, 7), days(1, 3)]);
        assert_eq!(in_common(&[window("", "")], &[]), []);
    }

    #[test]
    fn days_are_cut_at_the_month() {
        let all = window("2025-11-15T06:00:00Z", "2026-01-03T12:00:00Z");
        let of = |days, all| newest_days(all, days).expect("not empty");
        assert_eq!(of(1, all), window("2026-01-03T00:00:00Z", "2026-01-03T12:00:00Z"));
        assert_eq!(of(2, all), window("2026-01-02T00:00:00Z", "2026-01-03T12:00:00Z"));
        assert_eq!(of(9, all), window("2026-01-01T00:00:00Z", "2026-01-03T12:00:00Z"));
        let older = window("2025-11-15T06:00:00Z", "2025-11-16T00:00:00Z");
        assert_eq!(of(4, older), older, "and at the window's own beginning");
    }

    #[test]
    fn a_window_is_taken_month_by_month() {
        let mut left = window("2025-11-15T00:00:00Z", "2026-01-01T00:00:00Z");
        let mut months = Vec::new();
        while let Some(month) = newest_days(left, MOST_DAYS) {
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
