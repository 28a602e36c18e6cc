//! Correlation: which stored events complete their rule's condition because of new ones, and by which of them it is
//! reported.
//!
//! The groups of new events are locked in order, so that of two writers the second sees what the first has
//! stored. A condition is reported once for a group and a clock hour, by the first event of the hour that
//! completes it: so for an hour that has its report, only events older than the report are read, and a busy
//! group is not read again and again. Of a busy group without a report, those events are read that decide its condition.

mod around;
pub(super) mod first_seen;
pub(super) mod known;
mod reports;

use std::collections::BTreeMap;

use projections::risk::{GroupEvent, completing, first_of_hours, hour_of};
use schemas::{
    TenantId, Timestamp,
    changes::{RiskChange, risk::Entity},
};
use sqlx::{PgConnection, Row};

use self::{
    around::{Stored, events_around},
    reports::Report,
};
use super::{rules::Rules, table::GroupSpan};
use crate::{batch::TopicPartition, read_models::Fact};

/// Changes to the signals of correlations.
#[derive(Debug, Default)]
pub(super) struct Correlated {
    /// Signals that are new.
    pub(super) reported: Vec<Reported>,
    /// Signals that are no longer: an earlier event completes the condition.
    pub(super) withdrawn: Vec<Withdrawn>,
}

impl Correlated {
    pub(super) fn and(mut self, other: Self) -> Self {
        self.reported.extend(other.reported);
        self.withdrawn.extend(other.withdrawn);
        self
    }
}

/// A signal by which a correlation is reported, and the record that made it follow.
#[derive(Debug)]
pub(super) struct Reported {
    change: RiskChange,
    partition: TopicPartition,
    offset: i64,
}

impl Reported {
    pub(super) fn fact(&self) -> Fact<'_, RiskChange> {
        Fact { change: &self.change, partition: self.partition, offset: self.offset }
    }
}

/// A signal that was taken back, and the partition of the record that made it follow.
#[derive(Debug)]
pub(super) struct Withdrawn {
    pub(super) tenant: TenantId,
    pub(super) entity: Entity,
    pub(super) rule_id: String,
    pub(super) hour: i64,
    pub(super) partition: TopicPartition,
}

/// Names a group of events that count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey<'a> {
    tenant: &'a str,
    rule_id: &'a str,
    group: &'a str,
}

/// Common fields of a group's new events.
struct Group<'a> {
    tenant: &'a TenantId,
    oldest: Timestamp,
    newest: Timestamp,
    /// By hour, the oldest and the newest of them.
    hours: BTreeMap<i64, (Timestamp, Timestamp)>,
    longest_seconds: i64,
    /// The first record that had one.
    from: (TopicPartition, i64),
}

/// A group that is locked, and hours in a row in which its condition may hold because of new events.
struct Open<'a> {
    key: GroupKey<'a>,
    group: &'a Group<'a>,
    longest_seconds: i64,
    /// By hour, the instants between which an event may newly complete the condition, and the report that there is.
    hours: BTreeMap<i64, OpenHour>,
}

struct OpenHour {
    first: Timestamp,
    last: Timestamp,
    report: Option<Report>,
}

impl<'a> Open<'a> {
    /// The group as it is asked for: from the first to the last instant that is open.
    fn span(&self) -> GroupSpan<'a> {
        let ends = |of: fn(&OpenHour) -> Timestamp| self.hours.values().map(of);
        GroupSpan {
            tenant_id: self.key.tenant,
            rule_id: self.key.rule_id,
            group_key: self.key.group,
            longest_seconds: self.longest_seconds,
            oldest_at: ends(|hour| hour.first).min().unwrap_or(self.group.oldest),
            newest_at: ends(|hour| hour.last).max().unwrap_or(self.group.newest),
        }
    }

    /// The events by which the condition has to be reported from now on, by hour.
    fn reports(&self, stored: &[Stored]) -> Vec<(i64, Report)> {
        let judged: Vec<GroupEvent<'_>> = stored.iter().map(Stored::judged).collect();
        let mut complete = completing(&judged);
        complete.retain(|place| {
            let at = judged[*place].occurred_at;
            self.hours.get(&hour_of(at)).is_some_and(|hour| (hour.first..=hour.last).contains(&at))
        });
        let first = first_of_hours(&judged, &complete).into_iter();
        let report = |(hour, place): (i64, usize)| {
            let found = Report { occurred_at: judged[place].occurred_at, event_id: judged[place].event_id };
            let known = self.hours.get(&hour).and_then(|hour| hour.report);
            known.is_none_or(|known| found < known).then_some((hour, found))
        };
        first.filter_map(report).collect()
    }
}

/// Stores the signals of correlation rules that follow from new events, and answers what that changes.
pub(super) async fn complete(
    tx: &mut PgConnection,
    rules: &mut Rules,
    new: &[Fact<'_, RiskChange>],
) -> sqlx::Result<Correlated> {
    let groups = groups(new);
    if groups.is_empty() {
        return Ok(Correlated::default());
    }
    let locked = lock(tx, &groups).await?;
    // Statements of their own, which see what others had stored before they let the locks go.
    let open = reports::open(tx, &groups, &locked).await?;
    if open.is_empty() {
        return Ok(Correlated::default());
    }
    let stored = events_around(tx, rules, &open).await?;
    let found = open.iter().zip(&stored);
    let found: Vec<(&Open<'_>, Vec<(i64, Report)>)> =
        found.map(|(open, stored)| (open, open.reports(stored))).collect();
    reports::store(tx, rules, &found).await
}

fn groups<'a>(new: &[Fact<'a, RiskChange>]) -> BTreeMap<GroupKey<'a>, Group<'a>> {
    let mut groups: BTreeMap<GroupKey<'a>, Group<'a>> = BTreeMap::new();
    for fact in new {
        let RiskChange::Part(part) = fact.change else { continue };
        let key = GroupKey { tenant: part.tenant.as_str(), rule_id: &part.rule.id, group: &part.group };
        let group = groups.entry(key).or_insert_with(|| Group {
            tenant: &part.tenant,
            oldest: part.occurred_at,
            newest: part.occurred_at,
            hours: BTreeMap::new(),
            longest_seconds: 0,
            from: (fact.partition, fact.offset),
        });
        group.oldest = group.oldest.min(part.occurred_at);
        group.newest = group.newest.max(part.occurred_at);
        let at = part.occurred_at;
        let (oldest, newest) = group.hours.entry(hour_of(at)).or_insert((at, at));
        (*oldest, *newest) = ((*oldest).min(at), (*newest).max(at));
        group.longest_seconds = group.longest_seconds.max(part.terms.timespan_seconds.into());
    }
    groups
}

/// Stored state of a group whose row is locked.
#[derive(Debug, Clone, Copy)]
struct Locked {
    /// The longest timespan of any version of its rule.
    longest_seconds: i64,
    /// Time of its newest event.
    newest_at: Timestamp,
}

/// Makes the groups' rows where they are missing, brings them up to date, and locks all of them to the end of the
/// transaction, in order.
async fn lock(
    tx: &mut PgConnection,
    groups: &BTreeMap<GroupKey<'_>, Group<'_>>,
) -> sqlx::Result<Vec<Locked>> {
    let spans = groups.iter().map(|(key, group)| GroupSpan {
        tenant_id: key.tenant,
        rule_id: key.rule_id,
        group_key: key.group,
        longest_seconds: group.longest_seconds,
        oldest_at: group.oldest,
        newest_at: group.newest,
    });
    let rows = sqlx::query(
        "INSERT INTO risk_correlation_group AS g (tenant_id, rule_id, group_key, longest_seconds, newest_at)
         SELECT tenant_id, rule_id, group_key, longest_seconds, newest_at FROM unnest($1::risk_group[])
         ON CONFLICT (tenant_id, rule_id, group_key) DO UPDATE
            SET longest_seconds = greatest(g.longest_seconds, excluded.longest_seconds),
                newest_at = greatest(g.newest_at, excluded.newest_at)
         RETURNING tenant_id, rule_id, group_key, longest_seconds, newest_at",
    )
    .bind(spans.collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let mut locked: BTreeMap<GroupKey<'_>, Locked> = BTreeMap::new();
    for row in &rows {
        let key = GroupKey { tenant: row.try_get(0)?, rule_id: row.try_get(1)?, group: row.try_get(2)? };
        locked.insert(key, Locked { longest_seconds: row.try_get(3)?, newest_at: row.try_get(4)? });
    }
    groups.keys().map(|key| locked.get(key).copied().ok_or(sqlx::Error::RowNotFound)).collect()
}
