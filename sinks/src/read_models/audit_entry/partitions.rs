//! The partitions of the audit log, as far as a writer knows of them; it makes those that its rows need.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{Datelike, NaiveDate};
use schemas::Timestamp;
use sqlx::PgConnection;
use tracing::warn;

/// Pause after a partition could not be created; its rows go to the default partition meanwhile, and the
/// stage's upkeep moves them later.
const RETRY: Duration = Duration::from_mins(1);
/// Pause of all creations after the table was locked, as by a long report or a dump: the lock affects every
/// month, and each attempt blocks the rows of all tenants until it times out.
const LOCKED: Duration = Duration::from_secs(10);
/// Postgres's `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Months whose rows have a place.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    placed: HashSet<NaiveDate>,
    /// Months whose partition could not be made, and when to try again.
    refused: HashMap<NaiveDate, Instant>,
    /// Time of the next attempt after the table was found locked.
    locked_until: Option<Instant>,
}

impl Partitions {
    /// Makes the partitions of these instants, and of the months after them, that are not known to be there.
    pub(super) async fn make(
        &mut self,
        connection: &mut PgConnection,
        instants: impl Iterator<Item = Timestamp>,
        (now, today): (Instant, NaiveDate),
    ) -> sqlx::Result<()> {
        for month in self.missing(instants, now) {
            if self.locked_until.is_some_and(|until| now < until) {
                return Ok(());
            }
            self.make_one(connection, month, (now, today)).await?;
        }
        Ok(())
    }

    fn missing(&self, instants: impl Iterator<Item = Timestamp>, now: Instant) -> Vec<NaiveDate> {
        let months: BTreeSet<NaiveDate> = instants.filter_map(|at| at.date_naive().with_day(1)).collect();
        // The next ones too, so that the turn of the month finds its partition made.
        let next = months.iter().filter_map(|month| month.checked_add_months(chrono::Months::new(1)));
        let wanted: BTreeSet<NaiveDate> = months.iter().copied().chain(next).collect();
        let resting = |month: &NaiveDate| self.refused.get(month).is_some_and(|until| now < *until);
        wanted.into_iter().filter(|month| !self.placed.contains(month) && !resting(month)).collect()
    }

    async fn make_one(
        &mut self,
        connection: &mut PgConnection,
        month: NaiveDate,
        (now, today): (Instant, NaiveDate),
    ) -> sqlx::Result<()> {
        let question =
            sqlx::query_scalar("SELECT audit_entry_make_partition($1, $2)").bind(month).bind(today);
        let made: sqlx::Result<String> = question.fetch_one(connection).await;
        let why = match made {
            Ok(made) if made == "misplaced" => {
                "rows of it wait in the default partition to be moved".to_owned()
            }
            Ok(_) => {
                self.refused.remove(&month);
                self.placed.insert(month);
                return Ok(());
            }
            Err(sqlx::Error::Database(error)) => {
                if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) {
                    self.locked_until = Some(now + LOCKED);
                }
                error.to_string()
            }
            Err(error) => return Err(error),
        };
        warn!(%month, why, "cannot create the month's partition; its rows go to the default partition");
        self.refused.insert(month, now + RETRY);
        Ok(())
    }
}
