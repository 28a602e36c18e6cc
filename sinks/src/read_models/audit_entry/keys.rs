//! Looking rare terms up in the filters of block ranges.
//!
//! A filter says that a range of blocks holds none of a tenant's entries with a term, or that it may hold
//! some; then all its rows are read. So a lookup costs a pass over the filters of each month, and half a
//! megabyte for each entry that is found. It proceeds by days, newest first: by so many as should fill the
//! page.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use sqlx::{Connection, Executor, PgConnection, QueryBuilder};

use super::{
    dictionary::Keys,
    read::push_columns,
    search::{Progress, Search},
    window::{MOST_DAYS, Window, bounded, newest_days},
};
use crate::read_models::snapshot::ReadError;

/// Time limit of one step; where it takes longer, too many ranges hold a term, and walking is better.
const STEP_TIME_MS: u64 = 700;
/// A step that takes less time is followed by a larger one, and one that takes longer than the second by a
/// smaller one.
const STEP_TIMES: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(150)];
/// Days of the first step for a term of which the number is not known.
const FIRST_DAYS: u32 = 2;
/// Factor by which the number of days grows and shrinks.
const GROWTH: u32 = 4;

impl Search<'_> {
    /// Looks the windows' entries up. `UpTo` with time left: the rest must be walked.
    pub(super) async fn by_keys(
        &mut self,
        connection: &mut PgConnection,
        windows: &[Window],
        keys: &Keys,
    ) -> Result<Progress, ReadError> {
        let Some(mut left) = self.ends(connection, windows).await? else { return Ok(Progress::Whole) };
        let mut days = first_days(keys, windows, left, self.rows.wanted());
        // Days on which no term was seen are passed over.
        while let Some(to) = windows.iter().find_map(|window| window.within(left)?.to) {
            left.to = Some(to);
            let Some(step) = newest_days(left, days) else { break };
            let began = Instant::now();
            match self.look_up(connection, step, keys).await {
                Ok(()) if self.is_page_full() => return Ok(Progress::PageFull),
                Ok(()) => {}
                Err(ReadError::TooSlow) if days > 1 => {
                    days = 1;
                    continue;
                }
                Err(ReadError::TooSlow) => return Ok(Progress::UpTo(to)),
                Err(error) => return Err(error),
            }
            days = next_days(days, began.elapsed());
            left.to = step.from;
            if let Some(from) = step.from.filter(|from| self.is_out_of_time() && left.from != Some(*from)) {
                return Ok(Progress::UpTo(from));
            }
        }
        Ok(Progress::Whole)
    }

    /// The ends of all windows; `None` if there is no row in between.
    async fn ends(
        &self,
        connection: &mut PgConnection,
        windows: &[Window],
    ) -> Result<Option<Window>, ReadError> {
        let (Some(newest), Some(oldest)) = (windows.first(), windows.last()) else { return Ok(None) };
        let all = Window { from: oldest.from, to: newest.to };
        if all.from.is_some() && all.to.is_some() {
            return Ok(Some(all));
        }
        bounded(connection, self.tenant, all).await
    }

    /// The entries of a step that hold a term and fulfil the filter, onto the page.
    async fn look_up(
        &mut self,
        connection: &mut PgConnection,
        step: Window,
        keys: &Keys,
    ) -> Result<(), ReadError> {
        let mut query = QueryBuilder::new("SELECT ");
        push_columns(&mut query, self.request.detail);
        query.push(" FROM audit_entry_with_any(").push_bind(keys.fields.clone());
        query.push(", ").push_bind(keys.terms.clone());
        query.push(", ").push_bind(step.from).push(", ").push_bind(step.to);
        query.push(") AS audit_entry WHERE tenant_id = ").push_bind(self.tenant.as_str().to_owned());
        self.finish(&mut query);
        // The time limit ends with the savepoint, and so does the fault of a statement that hits it.
        let mut savepoint = connection.begin().await?;
        let limit = format!("SET LOCAL statement_timeout = {STEP_TIME_MS}");
        savepoint.execute(sqlx::AssertSqlSafe(limit)).await?;
        let taken = self.rows.take(&mut savepoint, &mut query).await;
        savepoint.rollback().await?;
        taken
    }
}

/// Days in which the term should fill the page.
fn first_days(keys: &Keys, windows: &[Window], all: Window, wanted: i64) -> u32 {
    let Some(seen) = keys.seen else { return FIRST_DAYS };
    let length = |window: &Window| {
        let (from, to) = window.within(all).and_then(|window| window.from.zip(window.to))?;
        Some(to - from)
    };
    let total: TimeDelta = windows.iter().filter_map(length).sum();
    let days = (total.num_days() + 1).saturating_mul(wanted) / seen.max(1) + 1;
    u32::try_from(days).unwrap_or(MOST_DAYS).min(MOST_DAYS)
}

/// Days of the step after one that took so long.
pub(super) fn next_days(days: u32, took: Duration) -> u32 {
    let [short, long] = STEP_TIMES;
    if took < short {
        (days * GROWTH).min(MOST_DAYS)
    } else if took > long {
        (days / GROWTH).max(1)
    } else {
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, to: &str) -> Window {
        let at = |text: &str| Some(text.parse().expect("an instant"));
        Window { from: at(from), to: at(to) }
    }

    #[test]
    fn the_first_step_should_fill_the_page() {
        let year = window("2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z");
        let days = |seen| {
            let keys = Keys { fields: Vec::new(), terms: Vec::new(), seen };
            first_days(&keys, &[year], year, 50)
        };
        assert_eq!(days(Some(10_000)), 2);
        assert_eq!(days(Some(1_000)), 19);
        assert_eq!(days(Some(10)), MOST_DAYS);
        assert_eq!(days(Some(0)), MOST_DAYS);
        assert_eq!(days(None), FIRST_DAYS);
    }

    #[test]
    fn steps_grow_while_they_are_quick() {
        assert_eq!(next_days(2, Duration::from_millis(5)), 8);
        assert_eq!(next_days(8, Duration::from_millis(5)), MOST_DAYS);
        assert_eq!(next_days(8, Duration::from_millis(100)), 8);
        assert_eq!(next_days(8, Duration::from_millis(400)), 2);
        assert_eq!(next_days(1, Duration::from_millis(400)), 1);
    }
}
