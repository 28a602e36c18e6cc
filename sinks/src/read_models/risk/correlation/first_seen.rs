//! Conditions of which the first event of each value decides: `first_seen` and counts in windows that follow each other,
//! as [`projections::risk::FirstSights`] decides them.
//!
//! Nearly every event shows what is known already. Those are told apart in memory, by what was read of their groups before;
//! only groups of which something may change are locked and read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use projections::risk::{FirstSight, FirstSights, hour_of};
use schemas::{
    EventId, TenantId, Timestamp,
    changes::{
        RiskChange,
        correlation::{CorrelationPart, CorrelationSignal, CorrelationTerms, Shown, Sightings},
        risk::{Entity, EntityKind},
    },
};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    super::{
        rules::{RuleKeys, Rules, decoded, encoded},
        table::{FirstSeenGroupRow, FirstSeenKey, FirstSeenRow},
    },
    Correlated, GroupKey, Reported, Withdrawn,
    known::{Known, KnownGroup},
    reports::store_signals,
};
use crate::{
    batch::TopicPartition,
    read_models::{Fact, risk::entity_facts::place},
};

/// Groups that are read at a time, each of at most 256 values: bounds the rows in memory.
const MAX_GROUPS: usize = 500;

/// New values of a group.
struct Group<'a> {
    tenant: &'a TenantId,
    last_day: i32,
    /// By value, the first event of the batch that shows it.
    values: BTreeMap<&'a str, Sighting<'a>>,
    /// The first record that showed something.
    from: (TopicPartition, i64),
}

/// The value that an event shows to a rule: its place among those of the event.
#[derive(Clone, Copy)]
struct Sighting<'a> {
    of: &'a Sightings,
    place: usize,
}

impl<'a> Sighting<'a> {
    fn shown(self) -> &'a Shown {
        &self.of.shown[self.place]
    }

    /// The event's part in the rule, with its evidence.
    fn part(self) -> &'a CorrelationPart {
        &self.of.parts()[self.place]
    }

    fn order(self) -> (Timestamp, Uuid) {
        order(self.of)
    }
}

/// Order in which events are the first that show a value.
fn order(sightings: &Sightings) -> (Timestamp, Uuid) {
    (sightings.occurred_at, *sightings.event_id.as_uuid())
}

/// Stored values of a group, and whether each is reported.
#[derive(Default)]
struct Stored {
    sights: FirstSights<Arc<CorrelationTerms>>,
    rows: BTreeMap<String, StoredRow>,
}

struct StoredRow {
    reported: Option<Uuid>,
    hour: i64,
}

/// Stores what new events show first, and answers with the signals that this makes or takes back.
pub(in crate::read_models::risk) async fn complete(
    tx: &mut PgConnection,
    (rules, known): (&mut Rules, &mut Known),
    new: &[Fact<'_, RiskChange>],
) -> sqlx::Result<Correlated> {
    known.roll_back();
    let groups: Vec<(GroupKey<'_>, Group<'_>)> = groups(new, known).into_iter().collect();
    if groups.is_empty() {
        return Ok(Correlated::default());
    }
    lock(tx, &groups).await?;
    let mut correlated = Correlated::default();
    for groups in groups.chunks(MAX_GROUPS) {
        // A statement of its own, which sees what others had stored before they let the locks go.
        let stored = stored(tx, rules, groups).await?;
        correlated = correlated.and(bring_up_to_date(tx, rules, groups, stored, known).await?);
    }
    Ok(correlated)
}

/// By group, what new events show of it and is not known to change nothing.
fn groups<'a>(new: &[Fact<'a, RiskChange>], known: &Known) -> BTreeMap<GroupKey<'a>, Group<'a>> {
    let mut groups: BTreeMap<GroupKey<'a>, Group<'a>> = BTreeMap::new();
    for fact in new {
        let RiskChange::Sightings(sightings) = fact.change else { continue };
        let (tenant, last_day, sight) = (&sightings.tenant, day_of(sightings), order(sightings));
        for (place, Shown { rule, group, value, .. }) in sightings.shown.iter().enumerate() {
            if known.has((tenant.as_str(), &rule.id, group), value, (last_day, sight)) {
                continue;
            }
            let key = GroupKey { tenant: tenant.as_str(), rule_id: &rule.id, group };
            let group = groups.entry(key).or_insert_with(|| Group {
                tenant,
                last_day,
                values: BTreeMap::new(),
                from: (fact.partition, fact.offset),
            });
            group.last_day = group.last_day.max(last_day);
            let shown = Sighting { of: sightings, place };
            let first = group.values.entry(value).or_insert(shown);
            if sight < first.order() {
                *first = shown;
            }
        }
    }
    groups
}

fn day_of(sightings: &Sightings) -> i32 {
    i32::try_from(sightings.occurred_at.timestamp().div_euclid(86_400)).unwrap_or(i32::MAX)
}

/// Makes the groups' rows where they are missing, brings them up to date, and locks all of them to the end of the
/// transaction, in order.
async fn lock(tx: &mut PgConnection, groups: &[(GroupKey<'_>, Group<'_>)]) -> sqlx::Result<()> {
    let rows = groups.iter().map(|(key, group)| FirstSeenGroupRow {
        tenant_id: key.tenant,
        rule_id: key.rule_id,
        group_key: key.group,
        last_day: group.last_day,
    });
    sqlx::query(
        "INSERT INTO risk_first_seen_group AS g (tenant_id, rule_id, group_key, last_day)
         SELECT * FROM unnest($1::risk_first_seen_group_row[])
         ON CONFLICT (tenant_id, rule_id, group_key) DO UPDATE SET last_day = greatest(g.last_day, excluded.last_day)",
    )
    .bind(rows.collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}

/// Stored values of each of these groups, whose rows are locked.
async fn stored(
    tx: &mut PgConnection,
    rules: &mut Rules,
    groups: &[(GroupKey<'_>, Group<'_>)],
) -> sqlx::Result<Vec<Stored>> {
    let names = |of: fn(&GroupKey<'_>) -> String| groups.iter().map(|(key, _)| of(key)).collect::<Vec<_>>();
    let rows = sqlx::query(
        "SELECT a.nth, s.value, s.first_at, s.event_id, s.rule_key, s.reported
           FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a(tenant_id, rule_id, group_key, nth)
           JOIN risk_first_seen AS s USING (tenant_id, rule_id, group_key)",
    )
    .bind(names(|key| key.tenant.to_owned()))
    .bind(names(|key| key.rule_id.to_owned()))
    .bind(names(|key| key.group.to_owned()))
    .fetch_all(&mut *tx)
    .await?;
    let places: Vec<usize> = (0..groups.len()).collect();
    let mut keys: BTreeSet<(&str, i64)> = BTreeSet::new();
    for row in &rows {
        keys.insert((groups[place(row, &places)?].0.tenant, row.try_get("rule_key")?));
    }
    rules.read(tx, keys).await?;
    let mut stored: Vec<Stored> = groups.iter().map(|_| Stored::default()).collect();
    for row in &rows {
        let place = place(row, &places)?;
        let (value, event_id): (&str, Uuid) = (row.try_get("value")?, row.try_get("event_id")?);
        let terms = rules.terms(groups[place].0.tenant, row.try_get("rule_key")?)?;
        let sight = FirstSight { at: row.try_get("first_at")?, event_id, terms };
        let reported = row.try_get::<bool, _>("reported")?.then_some(event_id);
        stored[place].rows.insert(value.to_owned(), StoredRow { reported, hour: hour_of(sight.at) });
        stored[place].sights.see(value, sight);
    }
    Ok(stored)
}

/// Changes of the rows of some groups.
#[derive(Default)]
struct Changes<'a> {
    /// Rows of values that are new to their groups.
    added: Vec<FirstSeenRow<'a>>,
    /// Rows of values that an earlier event shows.
    written: Vec<FirstSeenRow<'a>>,
    /// Rows that are reported or not, otherwise than before, and stay as they are besides.
    turned: Vec<(FirstSeenKey<'a>, bool)>,
    removed: Vec<FirstSeenKey<'a>>,
    reported: Vec<(usize, FirstSeenKey<'a>)>,
    /// Place of the group, event, and hour of signals that are no longer.
    withdrawn: Vec<(usize, Uuid, i64)>,
}

async fn bring_up_to_date(
    tx: &mut PgConnection,
    rules: &mut Rules,
    groups: &[(GroupKey<'_>, Group<'_>)],
    mut stored: Vec<Stored>,
    known: &mut Known,
) -> sqlx::Result<Correlated> {
    let mut firsts: Vec<BTreeSet<&str>> = Vec::with_capacity(groups.len());
    for ((_, group), stored) in groups.iter().zip(&mut stored) {
        let mut first = BTreeSet::new();
        for (value, sighting) in &group.values {
            let ((at, event_id), terms) = (sighting.order(), Arc::clone(&sighting.shown().terms));
            let sight = FirstSight { at, event_id, terms };
            if stored.sights.see(value, sight) {
                first.insert(*value);
            }
        }
        firsts.push(first);
    }
    let (mut changes, mut keys) = (Changes::default(), RuleKeys::default());
    for (place, ((key, group), (stored, first))) in groups.iter().zip(stored.iter().zip(&firsts)).enumerate()
    {
        changes.of((place, *key, group), (stored, first), &mut keys);
        known.learn((key.tenant, key.rule_id, key.group), KnownGroup::of(group.last_day, &stored.sights));
    }
    changes.store(tx).await?;
    let mut withdrawn = Vec::new();
    for (place, event_id, hour) in &changes.withdrawn {
        withdrawn.extend(withdraw(tx, &groups[*place], *event_id, *hour).await?);
    }
    let reported = signals(tx, rules, groups, &changes.reported).await?;
    Ok(Correlated { reported: store_signals(tx, rules, reported).await?, withdrawn })
}

impl<'a> Changes<'a> {
    /// Compares what is stored of a group with what follows from all sightings.
    fn of(
        &mut self,
        (place, key, group): (usize, GroupKey<'a>, &Group<'a>),
        (stored, first): (&'a Stored, &BTreeSet<&str>),
        keys: &mut RuleKeys,
    ) {
        let reported = stored.sights.reported();
        let row_key = |value: &'a str| FirstSeenKey {
            tenant_id: key.tenant,
            rule_id: key.rule_id,
            group_key: key.group,
            value,
        };
        for (value, sight) in stored.sights.values() {
            let was = stored.rows.get(value);
            let by = reported.contains(value).then_some(sight.event_id);
            let was_by = was.and_then(|row| row.reported);
            if let Some(sighting) = group.values.get(value).filter(|_| first.contains(value)) {
                let part = sighting.part();
                let rule_key = keys.of(&part.rule, Some(&part.terms));
                let written = if was.is_none() { &mut self.added } else { &mut self.written };
                written.push(FirstSeenRow {
                    tenant_id: key.tenant,
                    rule_id: key.rule_id,
                    group_key: key.group,
                    value,
                    first_at: sight.at,
                    event_id: sight.event_id,
                    rule_key,
                    reported: by.is_some(),
                    signal: encoded(&part.signal),
                    content_sha256: &part.content_sha256,
                });
            } else if by.is_some() != was_by.is_some() {
                self.turned.push((row_key(value), by.is_some()));
            }
            if by != was_by {
                if let (Some(event_id), Some(row)) = (was_by, was) {
                    self.withdrawn.push((place, event_id, row.hour));
                }
                if by.is_some() {
                    self.reported.push((place, row_key(value)));
                }
            }
        }
        for (value, row) in stored.rows.iter().filter(|(value, _)| stored.sights.get(value).is_none()) {
            self.removed.push(row_key(value));
            self.withdrawn.extend(row.reported.map(|event_id| (place, event_id, row.hour)));
        }
    }

    /// Writes the rows, sorted by key.
    async fn store(&self, tx: &mut PgConnection) -> sqlx::Result<()> {
        FirstSeenRow::insert(tx, &self.added).await?;
        FirstSeenRow::upsert(tx, &self.written).await?;
        if !self.turned.is_empty() {
            let (keys, reported): (Vec<FirstSeenKey<'_>>, Vec<bool>) = self.turned.iter().copied().unzip();
            sqlx::query(
                "UPDATE risk_first_seen AS s SET reported = a.reported
                   FROM (SELECT k.*, r.reported
                           FROM unnest($1::risk_first_seen_key[]) WITH ORDINALITY
                                  AS k(tenant_id, rule_id, group_key, value, nth)
                           JOIN unnest($2::boolean[]) WITH ORDINALITY AS r(reported, nth) USING (nth)) AS a
                  WHERE s.tenant_id = a.tenant_id AND s.rule_id = a.rule_id AND s.group_key = a.group_key
                    AND s.value = a.value",
            )
            .bind(keys)
            .bind(reported)
            .execute(&mut *tx)
            .await?;
        }
        if self.removed.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "DELETE FROM risk_first_seen AS s USING unnest($1::risk_first_seen_key[]) AS a
              WHERE s.tenant_id = a.tenant_id AND s.rule_id = a.rule_id AND s.group_key = a.group_key
                AND s.value = a.value",
        )
        .bind(&self.removed)
        .execute(tx)
        .await
        .map(drop)
    }
}

/// Takes the signals back by which a value was reported, unless the same event reports another one.
async fn withdraw(
    tx: &mut PgConnection,
    (key, group): &(GroupKey<'_>, Group<'_>),
    event_id: Uuid,
    hour: i64,
) -> sqlx::Result<Vec<Withdrawn>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "DELETE FROM risk_signal AS s
          WHERE s.tenant_id = $1 AND s.event_id = $2 AND s.rule_id = $3
            AND NOT EXISTS (SELECT FROM risk_first_seen AS f
                             WHERE f.tenant_id = $1 AND f.rule_id = $3 AND f.group_key = $4 AND f.event_id = $2
                               AND f.reported)
         RETURNING s.entity_kind, s.entity",
    )
    .bind(key.tenant)
    .bind(event_id)
    .bind(key.rule_id)
    .bind(key.group)
    .fetch_all(tx)
    .await?;
    let withdrawn = |(kind, id): (String, String)| {
        let entity = EntityKind::from_name(&kind).and_then(|kind| Entity::new(kind, &id));
        Ok(Withdrawn {
            tenant: group.tenant.clone(),
            entity: entity
                .ok_or_else(|| sqlx::Error::Decode(format!("{kind} {id:?} names no entity").into()))?,
            rule_id: key.rule_id.to_owned(),
            hour,
            partition: group.from.0,
        })
    };
    rows.into_iter().map(withdrawn).collect()
}

/// The signals by which values are reported.
async fn signals(
    tx: &mut PgConnection,
    rules: &mut Rules,
    groups: &[(GroupKey<'_>, Group<'_>)],
    reported: &[(usize, FirstSeenKey<'_>)],
) -> sqlx::Result<Vec<Reported>> {
    if reported.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT a.nth, s.first_at, s.event_id, s.rule_key, s.signal, s.content_sha256
           FROM unnest($1::risk_first_seen_key[]) WITH ORDINALITY AS a(tenant_id, rule_id, group_key, value, nth)
           JOIN risk_first_seen AS s USING (tenant_id, rule_id, group_key, value)",
    )
    .bind(reported.iter().map(|(_, key)| *key).collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    let places: Vec<usize> = reported.iter().map(|(place, _)| *place).collect();
    let mut found = Vec::new();
    for row in &rows {
        let (key, group) = &groups[place(row, &places)?];
        let rule_key: i64 = row.try_get("rule_key")?;
        rules.read(tx, BTreeSet::from([(key.tenant, rule_key)])).await?;
        let rule = rules.rule(key.tenant, rule_key)?;
        let wrong =
            |what: &str| sqlx::Error::Decode(format!("{what} of an event that was seen first").into());
        let event = EventId::new(row.try_get("event_id")?).ok_or_else(|| wrong("the id"))?;
        let content: &[u8] = row.try_get("content_sha256")?;
        let content_sha256 = <[u8; 32]>::try_from(content).map_err(|_| wrong("content_sha256"))?;
        let signal: CorrelationSignal = decoded(row.try_get("signal")?)?;
        let at = row.try_get("first_at")?;
        let (partition, offset) = group.from;
        for signal in signal.signals(group.tenant, &rule, (event, at), content_sha256) {
            found.push(Reported { change: RiskChange::Signal(Box::new(signal)), partition, offset });
        }
    }
    Ok(found)
}
