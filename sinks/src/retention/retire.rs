//! Removal of audit entries past their retention period, by month, tenant and class, counted from their
//! arrival.
//!
//! The arrival of an entry is known from the checkpoints of its log: an entry below a checkpoint's size
//! existed when the checkpoint was signed. Removed entries are noted in the transaction that removes them,
//! signed by the log's key, so that a verification tells retention from tampering. Without a signing key
//! nothing is removed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Months, NaiveDate, TimeDelta, Utc};
use projections::retention::{AuditRetention, Group, LogAge, due};
use schemas::Timestamp;
use sqlx::{Connection as _, FromRow, PgConnection};
use tracing::{info, warn};

use super::{RetentionPolicy, notes};
use crate::{
    log_store::{StoreError, natural},
    postgres::row_type::row_type,
};

/// Blocks of one transaction: 4 MiB, some thousands of entries.
const SLICE_BLOCKS: i64 = 512;
/// Allowance for late events: an entry arrived after its own time, less this.
const SKEW: TimeDelta = TimeDelta::hours(26);
/// Days after which entries that are due and not removed are overdue.
const GRACE_DAYS: u32 = 2;

/// Audit entries that one round removed, and those that it could not remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RemovedEntries {
    pub(super) entries: u64,
    pub(super) partitions: u64,
    /// Groups that were due two days ago and have not been removed.
    pub(super) overdue: u64,
}

/// A partition's entries of one tenant, class and log.
#[derive(Debug, FromRow)]
struct GroupRow {
    tenant_id: String,
    class_uid: i32,
    topic: String,
    partition: i32,
    newest: Option<i64>,
}

/// A group as it is sent.
#[derive(sqlx::Encode)]
struct DueGroup {
    tenant_id: String,
    class_uid: i32,
    topic: String,
    partition: i32,
    newest: Option<i64>,
}

row_type!(owned DueGroup, "audit_entry_group");

/// Removes the audit entries that are due at this instant, but none of a log in `foreign`, which has a note of another
/// signer.
pub(super) async fn entries(
    connection: &mut PgConnection,
    (policy, foreign): (&RetentionPolicy, &BTreeSet<String>),
    now: Timestamp,
) -> Result<RemovedEntries, StoreError> {
    let mut removed = RemovedEntries::default();
    let Some(least) = policy.audit.all_days().first().copied() else { return Ok(removed) };
    let ages = ages(connection, policy, now).await?;
    let late = late(&policy.audit);
    let begun_before = (now + SKEW - TimeDelta::days(i64::from(least))).date_naive();
    for part in partitions(connection).await? {
        if first_day(&part).is_some_and(|first| first > begun_before) {
            continue;
        }
        let (mut gone, mut overdue) = (Vec::new(), 0);
        for group in groups(connection, &part).await? {
            let log = format!("{}/{}", group.topic, group.partition);
            let newest = group.newest.map(natural).transpose()?;
            let asked = Group { tenant: &group.tenant_id, class_uid: group.class_uid, newest };
            let Some(age) = ages.get(&log) else { continue };
            let signable = !policy.keys.is_empty() && !foreign.contains(&log);
            if signable && due(&policy.audit, &asked, age) {
                gone.push(group);
            } else if due(&late, &asked, &LogAge { relayed: u64::MAX, ..age.clone() }) {
                overdue += 1;
            }
        }
        removed.overdue += overdue;
        removed.entries += retire(connection, &part, (gone, policy)).await?;
    }
    removed.partitions = drop_empty(connection, now.date_naive()).await?;
    if removed.overdue > 0 {
        let groups = removed.overdue;
        warn!(
            groups,
            "entries are older than they are to be kept and cannot be removed: without a signing key, or beside a note of \
             removed entries that it has not signed, nobody could tell it from tampering, and the audit topic must have \
             them first"
        );
    }
    if removed.entries > 0 {
        info!(entries = removed.entries, partitions = removed.partitions, "old audit entries were removed");
    }
    Ok(removed)
}

/// The same retention with the time of grace.
fn late(retention: &AuditRetention) -> AuditRetention {
    let later = |days: Option<u32>| days.map(|days| days.saturating_add(GRACE_DAYS));
    let mut late = retention.clone();
    late.days = later(late.days);
    for rule in &mut late.rules {
        rule.days = later(rule.days);
    }
    late
}

/// The day with which a partition begins; `None` for the default one, which holds any.
fn first_day(part: &str) -> Option<NaiveDate> {
    let digits = part.strip_prefix("audit_entry_")?;
    let (year, month) = digits.split_once('_').unwrap_or((digits, "1"));
    let first = NaiveDate::from_ymd_opt(year.parse().ok()?, 1, 1)?;
    first.checked_add_months(Months::new(month.parse::<u32>().ok()?.checked_sub(1)?))
}

async fn partitions(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'audit_entry'::regclass ORDER BY 1",
    )
    .fetch_all(connection)
    .await
}

async fn groups(connection: &mut PgConnection, part: &str) -> sqlx::Result<Vec<GroupRow>> {
    sqlx::query_as("SELECT tenant_id, class_uid, topic, partition, newest FROM audit_entry_groups($1)")
        .bind(part)
        .fetch_all(connection)
        .await
}

/// For each log and each number of days, the index up to which entries arrived that long ago; and up to which
/// the audit topic has them: entries that are not in the topic yet are not removed.
async fn ages(
    connection: &mut PgConnection,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> Result<BTreeMap<String, LogAge>, StoreError> {
    let relayed: Vec<(String, i64)> = sqlx::query_as(
        "SELECT l.log, coalesce(p.next_index, 0) FROM audit_log AS l LEFT JOIN audit_topic_position AS p USING (log)",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut ages: BTreeMap<String, LogAge> = BTreeMap::new();
    for (log, next) in relayed {
        ages.insert(log, LogAge { relayed: natural(next)?, arrived: BTreeMap::new() });
    }
    let both = [policy.audit.all_days(), late(&policy.audit).all_days()];
    let all: BTreeSet<u32> = both.into_iter().flatten().collect();
    for days in all {
        let signed: Vec<(String, i64)> = sqlx::query_as(
            "SELECT l.log, c.size FROM audit_log AS l CROSS JOIN LATERAL (
               SELECT size FROM audit_checkpoint AS c WHERE c.log = l.log AND c.signed_at <= $1
                ORDER BY c.size DESC LIMIT 1) AS c",
        )
        .bind(now - TimeDelta::days(i64::from(days)))
        .fetch_all(&mut *connection)
        .await?;
        for (log, size) in signed {
            if let Some(age) = ages.get_mut(&log) {
                age.arrived.insert(days, natural(size)?);
            }
        }
    }
    Ok(ages)
}

/// Removes groups of a partition, slice by slice; returns the number of entries. Those under a legal hold
/// stay.
async fn retire(
    connection: &mut PgConnection,
    part: &str,
    (groups, policy): (Vec<GroupRow>, &RetentionPolicy),
) -> Result<u64, StoreError> {
    if groups.is_empty() {
        return Ok(0);
    }
    let due = |group: &GroupRow| DueGroup {
        tenant_id: group.tenant_id.clone(),
        class_uid: group.class_uid,
        topic: group.topic.clone(),
        partition: group.partition,
        newest: group.newest,
    };
    let blocks: i64 =
        sqlx::query_scalar("SELECT audit_entry_blocks($1)").bind(part).fetch_one(&mut *connection).await?;
    let (mut first, mut removed) = (0, 0);
    while first < blocks {
        let next = first + SLICE_BLOCKS;
        let mut tx = connection.begin().await?;
        let gone: Vec<(String, i32, Option<i64>)> =
            sqlx::query_as("SELECT topic, partition, log_index FROM audit_entry_retire($1, $2, $3, $4)")
                .bind(part)
                .bind(first)
                .bind(next)
                .bind(groups.iter().map(due).collect::<Vec<_>>())
                .fetch_all(&mut *tx)
                .await?;
        removed += gone.len() as u64;
        let mut by_log: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (topic, partition, index) in gone {
            let Some(index) = index else { continue };
            by_log.entry(format!("{topic}/{partition}")).or_default().push(natural(index)?);
        }
        for (log, indices) in &by_log {
            notes::add(&mut tx, (log, policy), indices).await?;
        }
        tx.commit().await?;
        first = next;
    }
    Ok(removed)
}

/// Drops partitions that are over and empty; one with readers is left for the next round.
async fn drop_empty(connection: &mut PgConnection, today: NaiveDate) -> sqlx::Result<u64> {
    let mut dropped = 0;
    for part in partitions(connection).await? {
        let drop = sqlx::query_scalar("SELECT audit_entry_drop_empty($1, $2)").bind(&part).bind(today);
        match drop.fetch_one(&mut *connection).await {
            Ok(true) => dropped += 1,
            Ok(false) => {}
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
                info!(part, "an empty partition has readers; it will be dropped later");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(dropped)
}

/// The clock, for who calls a round.
pub(super) fn now() -> Timestamp {
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partitions_name_says_with_which_day_it_begins() {
        let day = |text: &str| Some(text.parse::<NaiveDate>().expect("a day"));
        assert_eq!(first_day("audit_entry_2026_03"), day("2026-03-01"));
        assert_eq!(first_day("audit_entry_1999"), day("1999-01-01"));
        for none in ["audit_entry_default", "audit_entry_2026_00", "audit_event", "audit_entry_"] {
            assert_eq!(first_day(none), None, "{none}");
        }
    }
}
