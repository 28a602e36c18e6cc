//! `risk_correlation_report`: by which event a group's condition is reported for an hour, and what becomes of its signals.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use projections::risk::hour_of;
use schemas::{
    EventId, TenantId, Timestamp,
    changes::{
        RiskChange,
        correlation::CorrelationSignal,
        risk::{Entity, EntityKind},
    },
};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    super::{
        facts,
        rules::{Rules, decoded},
        table::{GroupSpan, ReportRow},
    },
    Correlated, Group, GroupKey, Locked, Open, OpenHour, Reported, Withdrawn,
};
use crate::{
    postgres::copy::CopyRows,
    read_models::{Fact, WritePath, risk::entity_facts::place},
};

/// The event by which a condition is reported; the first of those that complete it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Report {
    pub(super) occurred_at: Timestamp,
    pub(super) event_id: Uuid,
}

/// Those of the groups, which are locked, of which an event may newly be the first of its hour to complete the condition.
pub(super) async fn open<'a>(
    tx: &mut PgConnection,
    groups: &'a BTreeMap<GroupKey<'a>, Group<'a>>,
    locked: &[Locked],
) -> sqlx::Result<Vec<Open<'a>>> {
    let mut known = stored_reports(tx, groups, locked).await?.into_iter();
    let mut open = Vec::new();
    for ((key, group), locked) in groups.iter().zip(locked) {
        let hours = open_hours(group, *locked, &known.next().unwrap_or_default());
        let runs = runs(hours).into_iter();
        open.extend(runs.map(|hours| Open {
            key: *key,
            group,
            longest_seconds: locked.longest_seconds,
            hours,
        }));
    }
    Ok(open)
}

/// An event counts for those up to a timespan later. Of an hour with a report, what is after it no longer matters.
fn open_hours(group: &Group<'_>, locked: Locked, known: &BTreeMap<i64, Report>) -> BTreeMap<i64, OpenHour> {
    let mut open: BTreeMap<i64, OpenHour> = BTreeMap::new();
    for (new_hour, (oldest, newest)) in &group.hours {
        let reach = newest.checked_add_signed(TimeDelta::seconds(locked.longest_seconds));
        let last_event = locked.newest_at.min(reach.unwrap_or(Timestamp::MAX_UTC));
        for hour in *new_hour..=hour_of(last_event) {
            let report = known.get(&hour).copied();
            let first = (*oldest).max(start_of(hour));
            let end = start_of(hour + 1) - TimeDelta::microseconds(1);
            let last = report.map_or(end, |report| report.occurred_at).min(end).min(last_event);
            if first > last {
                continue;
            }
            let known = open.entry(hour).or_insert(OpenHour { first, last, report });
            known.first = known.first.min(first);
            known.last = known.last.max(last);
        }
    }
    open
}

/// Hours that follow each other: what lies between others is not read.
fn runs(hours: BTreeMap<i64, OpenHour>) -> Vec<BTreeMap<i64, OpenHour>> {
    let mut runs: Vec<BTreeMap<i64, OpenHour>> = Vec::new();
    for (hour, open) in hours {
        match runs.last_mut() {
            Some(run) if run.contains_key(&(hour - 1)) => drop(run.insert(hour, open)),
            _ => runs.push(BTreeMap::from([(hour, open)])),
        }
    }
    runs
}

fn start_of(hour: i64) -> Timestamp {
    Timestamp::from_timestamp(hour.saturating_mul(3600), 0).unwrap_or(Timestamp::MAX_UTC)
}

/// The reports of the groups for the hours that new events may change, by group.
async fn stored_reports(
    tx: &mut PgConnection,
    groups: &BTreeMap<GroupKey<'_>, Group<'_>>,
    locked: &[Locked],
) -> sqlx::Result<Vec<BTreeMap<i64, Report>>> {
    let spans = groups.iter().zip(locked).map(|((key, group), locked)| GroupSpan {
        tenant_id: key.tenant,
        rule_id: key.rule_id,
        group_key: key.group,
        longest_seconds: locked.longest_seconds,
        oldest_at: group.oldest,
        newest_at: group.newest,
    });
    let rows = sqlx::query(
        "SELECT a.nth, r.hour, r.occurred_at, r.event_id
           FROM unnest($1::risk_group[]) WITH ORDINALITY
                  AS a(tenant_id, rule_id, group_key, longest_seconds, oldest_at, newest_at, nth)
           JOIN risk_correlation_report AS r USING (tenant_id, rule_id, group_key)
          WHERE r.hour BETWEEN floor(extract(epoch FROM a.oldest_at) / 3600)
                           AND floor((extract(epoch FROM a.newest_at) + a.longest_seconds) / 3600)",
    )
    .bind(spans.collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let places: Vec<usize> = (0..groups.len()).collect();
    let mut known = vec![BTreeMap::new(); groups.len()];
    for row in &rows {
        let report = Report { occurred_at: row.try_get("occurred_at")?, event_id: row.try_get("event_id")? };
        known[place(row, &places)?].insert(row.try_get("hour")?, report);
    }
    Ok(known)
}

/// Stores reports, withdraws the signals of those that they replace, and stores their own.
pub(super) async fn store(
    tx: &mut PgConnection,
    rules: &mut Rules,
    found: &[(&Open<'_>, Vec<(i64, Report)>)],
) -> sqlx::Result<Correlated> {
    let mut each: Vec<(&Open<'_>, i64, Report)> = Vec::new();
    for (open, reports) in found {
        each.extend(reports.iter().map(|(hour, report)| (*open, *hour, *report)));
    }
    let rows = each.iter().map(|(open, hour, report)| ReportRow {
        tenant_id: open.key.tenant,
        rule_id: open.key.rule_id,
        group_key: open.key.group,
        hour: *hour,
        occurred_at: report.occurred_at,
        event_id: report.event_id,
    });
    let rows: Vec<ReportRow<'_>> = rows.collect();
    if rows.is_empty() {
        return Ok(Correlated::default());
    }
    ReportRow::upsert(tx, &rows).await?;
    let mut withdrawn = Vec::new();
    for (open, hour, _) in &each {
        if let Some(replaced) = open.hours.get(hour).and_then(|hour| hour.report) {
            withdrawn.extend(withdraw(tx, open, *hour, replaced).await?);
        }
    }
    let reported = signals(tx, rules, &each).await?;
    Ok(Correlated { reported: store_signals(tx, rules, reported).await?, withdrawn })
}

/// Takes the signals of a report back, unless another group is reported by the same event.
async fn withdraw(
    tx: &mut PgConnection,
    open: &Open<'_>,
    hour: i64,
    replaced: Report,
) -> sqlx::Result<Vec<Withdrawn>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "DELETE FROM risk_signal AS s
          WHERE s.tenant_id = $1 AND s.event_id = $2 AND s.rule_id = $3
            AND NOT EXISTS (SELECT FROM risk_correlation_report AS r
                             WHERE r.tenant_id = $1 AND r.rule_id = $3 AND r.hour = $4 AND r.event_id = $2)
         RETURNING s.entity_kind, s.entity",
    )
    .bind(open.key.tenant)
    .bind(replaced.event_id)
    .bind(open.key.rule_id)
    .bind(hour)
    .fetch_all(tx)
    .await?;
    let withdrawn = |(kind, id): (String, String)| {
        let entity = EntityKind::from_name(&kind).and_then(|kind| Entity::new(kind, &id));
        Ok(Withdrawn {
            tenant: open.group.tenant.clone(),
            entity: entity
                .ok_or_else(|| sqlx::Error::Decode(format!("{kind} {id:?} names no entity").into()))?,
            rule_id: open.key.rule_id.to_owned(),
            hour,
            partition: open.group.from.0,
        })
    };
    rows.into_iter().map(withdrawn).collect()
}

/// The signals that reports become.
async fn signals(
    tx: &mut PgConnection,
    rules: &mut Rules,
    reports: &[(&Open<'_>, i64, Report)],
) -> sqlx::Result<Vec<Reported>> {
    let rows = sqlx::query(
        "SELECT DISTINCT ON (a.nth) a.nth, e.occurred_at, e.signal, e.rule_key, e.content_sha256
           FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY AS a(tenant_id, rule_id, event_id, nth)
           JOIN risk_correlation_event AS e USING (tenant_id, rule_id, event_id)
          ORDER BY a.nth, e.reference COLLATE \"C\"",
    )
    .bind(reports.iter().map(|(open, ..)| open.key.tenant).collect::<Vec<_>>())
    .bind(reports.iter().map(|(open, ..)| open.key.rule_id).collect::<Vec<_>>())
    .bind(reports.iter().map(|(.., report)| report.event_id).collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    let places: Vec<usize> = (0..reports.len()).collect();
    let mut found = Vec::new();
    for row in &rows {
        let (open, _, report) = reports[place(row, &places)?];
        let tenant: &TenantId = open.group.tenant;
        let key: i64 = row.try_get("rule_key")?;
        rules.read(tx, BTreeSet::from([(tenant.as_str(), key)])).await?;
        let rule = rules.rule(tenant.as_str(), key)?;
        let wrong = |what: &str| sqlx::Error::Decode(format!("{what} of a correlated event").into());
        let event = EventId::new(report.event_id).ok_or_else(|| wrong("the id"))?;
        let content: &[u8] = row.try_get("content_sha256")?;
        let content_sha256 = <[u8; 32]>::try_from(content).map_err(|_| wrong("content_sha256"))?;
        let signal: CorrelationSignal = decoded(row.try_get("signal")?)?;
        let at = row.try_get("occurred_at")?;
        let (partition, offset) = open.group.from;
        for signal in signal.signals(tenant, &rule, (event, at), content_sha256) {
            found.push(Reported { change: RiskChange::Signal(Box::new(signal)), partition, offset });
        }
    }
    Ok(found)
}

/// Writes those signals that are not there yet and were not removed by retention, and answers with them: an event may be the
/// report of two groups.
pub(super) async fn store_signals(
    tx: &mut PgConnection,
    rules: &Rules,
    mut reported: Vec<Reported>,
) -> sqlx::Result<Vec<Reported>> {
    if reported.is_empty() {
        return Ok(reported);
    }
    reported.sort_by(|a, b| facts::key(&a.change).cmp(&facts::key(&b.change)));
    reported.dedup_by(|a, b| facts::key(&a.change) == facts::key(&b.change));
    let all: Vec<Fact<'_, RiskChange>> = reported.iter().map(Reported::fact).collect();
    let known: Vec<bool> = facts::stored_content(tx, &all).await?.iter().map(Option::is_some).collect();
    let mut known = known.into_iter();
    reported.retain(|_| known.next() == Some(false));
    let new: Vec<Fact<'_, RiskChange>> = reported.iter().map(Reported::fact).collect();
    let retired = facts::retired(tx, &new).await?;
    let mut places = 0_usize..;
    reported.retain(|_| places.next().is_some_and(|place| !retired.contains(&place)));
    let new: Vec<Fact<'_, RiskChange>> = reported.iter().map(Reported::fact).collect();
    let mut of_signals = Vec::new();
    for fact in &new {
        if let RiskChange::Signal(signal) = fact.change {
            of_signals.push((signal.tenant.as_str(), &signal.rule));
        }
    }
    rules.ensure(tx, of_signals).await?;
    // Few: a report or two for each group and hour.
    facts::write(tx, &new, WritePath::InsertOnly, &mut CopyRows::default()).await?;
    Ok(reported)
}
