//! The facts' own tables: one statement each.

mod retired;

use std::collections::{BTreeSet, HashMap};

pub(super) use retired::retired;
use schemas::{
    EventId, TenantId,
    changes::{
        correlation::CorrelationPart,
        risk::{EntityWeight, IncidentTriage, RiskChange, RiskSignal, UnusableEvent},
    },
};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    rules::{RuleKeys, encoded},
    signal_copy,
    table::{CorrelationEventRow, SignalRow, TriageRow, UnusableRow, WeightRow},
};
use crate::{
    postgres::copy::CopyRows,
    read_models::{
        Fact, WritePath,
        stored_content::{EventKey, content_of, rows_about},
    },
};

/// Most signals that are written by INSERT: with more, COPY takes less of both sides' time.
const MAX_INSERTED_SIGNALS: usize = 100;

/// Key of a fact. Facts are written in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactKey<'a> {
    table: FactTable,
    /// Comes before the tenant: nearly every comparison ends here.
    event_id: Uuid,
    tenant: &'a str,
    /// Kind and id of the entity, where the table's key names one.
    entity: (&'a str, &'a str),
    /// The rule, or the source of a weight.
    name: &'a str,
    /// Reference by which a correlation names the rule that fired.
    reference: &'a str,
}

impl<'a> FactKey<'a> {
    /// Of a fact that the event alone identifies.
    fn of_event(table: FactTable, tenant: &'a TenantId, event_id: EventId) -> Self {
        Self {
            table,
            tenant: tenant.as_str(),
            event_id: *event_id.as_uuid(),
            entity: ("", ""),
            name: "",
            reference: "",
        }
    }
}

/// The table that holds a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum FactTable {
    Signal,
    Weight,
    Triage,
    Unusable,
    CorrelationEvent,
    /// None: what an event shows is kept by value ([`super::correlation::first_seen`]).
    Sightings,
}

impl FactTable {
    /// The tables, and their keys' columns after tenant and event.
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Signal, "risk_signal", ", entity_kind, entity, rule_id"),
        (Self::Weight, "risk_weight", ", entity_kind, entity, weight_source"),
        (Self::Triage, "risk_triage", ", entity_kind, entity"),
        (Self::Unusable, "risk_unusable", ""),
        (Self::CorrelationEvent, "risk_correlation_event", ", rule_id, reference"),
    ];

    /// The key that a row of the table has.
    fn key_of(self, row: &PgRow) -> sqlx::Result<FactKey<'_>> {
        let event = FactKey {
            table: self,
            tenant: row.try_get("tenant_id")?,
            event_id: row.try_get("event_id")?,
            entity: ("", ""),
            name: "",
            reference: "",
        };
        let entity = |row| -> sqlx::Result<(&str, &str)> {
            let row: &PgRow = row;
            Ok((row.try_get("entity_kind")?, row.try_get("entity")?))
        };
        Ok(match self {
            Self::Signal => FactKey { entity: entity(row)?, name: row.try_get("rule_id")?, ..event },
            Self::Weight => FactKey { entity: entity(row)?, name: row.try_get("weight_source")?, ..event },
            Self::Triage => FactKey { entity: entity(row)?, ..event },
            Self::Unusable | Self::Sightings => event,
            Self::CorrelationEvent => {
                FactKey { name: row.try_get("rule_id")?, reference: row.try_get("reference")?, ..event }
            }
        })
    }
}

pub(super) fn key(change: &RiskChange) -> FactKey<'_> {
    match change {
        RiskChange::Signal(s) => FactKey {
            entity: (s.entity.kind.name(), s.entity.id()),
            name: &s.rule.id,
            ..FactKey::of_event(FactTable::Signal, &s.tenant, s.event_id)
        },
        RiskChange::Weight(w) => FactKey {
            entity: (w.entity.kind.name(), w.entity.id()),
            name: &w.weight_source,
            ..FactKey::of_event(FactTable::Weight, &w.tenant, w.event_id)
        },
        RiskChange::Triage(t) => FactKey {
            entity: (t.entity.kind.name(), t.entity.id()),
            ..FactKey::of_event(FactTable::Triage, &t.tenant, t.event_id)
        },
        RiskChange::Unusable(u) => FactKey::of_event(FactTable::Unusable, &u.tenant, u.event_id),
        RiskChange::Part(p) => FactKey {
            name: &p.rule.id,
            reference: &p.reference,
            ..FactKey::of_event(FactTable::CorrelationEvent, &p.tenant, p.event_id)
        },
        RiskChange::Sightings(s) => FactKey::of_event(FactTable::Sightings, &s.tenant, s.event_id),
    }
}

pub(super) fn content_sha256(change: &RiskChange) -> [u8; 32] {
    match change {
        RiskChange::Signal(signal) => signal.content_sha256,
        RiskChange::Weight(weight) => weight.content_sha256,
        RiskChange::Triage(triage) => triage.content_sha256,
        RiskChange::Unusable(unusable) => unusable.content_sha256,
        RiskChange::Part(part) => part.content_sha256,
        RiskChange::Sightings(sightings) => sightings.content_sha256(),
    }
}

/// The content of what is stored under each fact's key, if anything is.
pub(super) async fn stored_content(
    tx: &mut PgConnection,
    facts: &[Fact<'_, RiskChange>],
) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
    let keys: Vec<FactKey<'_>> = facts.iter().map(|fact| key(fact.change)).collect();
    let places: HashMap<FactKey<'_>, usize> = keys.iter().copied().zip(0..).collect();
    let mut stored = vec![None; facts.len()];
    for (table, name, columns) in FactTable::ALL {
        let events = events_of(table, &keys);
        if events.is_empty() {
            continue;
        }
        for row in &rows_about(tx, (name, columns), events).await? {
            if let Some(place) = places.get(&table.key_of(row)?) {
                stored[*place] = Some(content_of(row)?);
            }
        }
    }
    with_their_events(&keys, &mut stored);
    Ok(stored)
}

/// Sightings of an event are stored with its other facts: an event of which a fact is stored has been seen.
fn with_their_events(keys: &[FactKey<'_>], stored: &mut [Option<[u8; 32]>]) {
    let known: HashMap<(&str, Uuid), [u8; 32]> = keys
        .iter()
        .zip(&*stored)
        .filter_map(|(key, content)| content.map(|content| ((key.tenant, key.event_id), content)))
        .collect();
    for (key, content) in keys.iter().zip(stored).filter(|(key, _)| key.table == FactTable::Sightings) {
        *content = known.get(&(key.tenant, key.event_id)).copied();
    }
}

/// The events of those keys that are a table's.
fn events_of<'a>(table: FactTable, keys: &[FactKey<'a>]) -> BTreeSet<EventKey<'a>> {
    let of_table = keys.iter().filter(|key| key.table == table);
    of_table.map(|key| EventKey { tenant_id: key.tenant, event_id: key.event_id }).collect()
}

/// Writes facts, sorted by key; many signals by way of `copied`. The rules that they refer to are stored already.
pub(super) async fn write(
    tx: &mut PgConnection,
    facts: &[Fact<'_, RiskChange>],
    path: WritePath,
    copied: &mut CopyRows,
) -> sqlx::Result<()> {
    let (mut signals, mut weights, mut triages, mut unusable) = (vec![], vec![], vec![], vec![]);
    let (mut events, mut keys) = (vec![], RuleKeys::default());
    for fact in facts {
        match fact.change {
            RiskChange::Signal(signal) => signals.push(signal_row(signal, keys.of(&signal.rule, None))),
            RiskChange::Weight(weight) => weights.push(weight_row(weight)),
            RiskChange::Triage(triage) => triages.push(triage_row(triage)),
            RiskChange::Unusable(event) => unusable.push(unusable_row(event)),
            RiskChange::Part(part) => {
                events.push(correlation_event_row(part, keys.of(&part.rule, Some(&part.terms))));
            }
            RiskChange::Sightings(_) => {}
        }
    }
    match path {
        WritePath::Any if signals.len() > MAX_INSERTED_SIGNALS => {
            signal_copy::copy(tx, &signals, copied).await?;
        }
        _ => SignalRow::insert(tx, &signals).await?,
    }
    WeightRow::insert(tx, &weights).await?;
    TriageRow::insert(tx, &triages).await?;
    UnusableRow::insert(tx, &unusable).await?;
    CorrelationEventRow::insert(tx, &events).await?;
    for row in &unusable {
        metrics::counter!("weir_risk_unusable_events_total", "format" => row.format.to_owned()).increment(1);
    }
    Ok(())
}

pub(super) fn signal_row(signal: &RiskSignal, rule_key: i64) -> SignalRow<'_> {
    let evidence = &signal.evidence;
    SignalRow {
        tenant_id: signal.tenant.as_str(),
        event_id: *signal.event_id.as_uuid(),
        entity_kind: signal.entity.kind.name(),
        entity: signal.entity.id(),
        rule_id: &signal.rule.id,
        occurred_at: signal.occurred_at,
        hazard_micronats: signal.hazard_micronats,
        rule_key,
        score: i16::from(signal.score),
        dedupe_key: &signal.dedupe_key,
        actor: &evidence.actor,
        action: &evidence.action,
        source: &evidence.source,
        native_format: &evidence.native_format,
        matched: &evidence.matched,
        content_sha256: &signal.content_sha256,
    }
}

fn weight_row(weight: &EntityWeight) -> WeightRow<'_> {
    WeightRow {
        tenant_id: weight.tenant.as_str(),
        event_id: *weight.event_id.as_uuid(),
        entity_kind: weight.entity.kind.name(),
        entity: weight.entity.id(),
        weight_source: &weight.weight_source,
        decided_at: weight.decided_at,
        expires_at: weight.expires_at,
        factor_thousandths: weight.factor_thousandths,
        decision: &weight.decision,
        reason: weight.reason.as_deref(),
        actor: &weight.actor,
        content_sha256: &weight.content_sha256,
    }
}

fn triage_row(triage: &IncidentTriage) -> TriageRow<'_> {
    TriageRow {
        tenant_id: triage.tenant.as_str(),
        event_id: *triage.event_id.as_uuid(),
        entity_kind: triage.entity.kind.name(),
        entity: triage.entity.id(),
        decided_at: triage.decided_at,
        incident_id: triage.incident_id,
        decision: triage.decision.name(),
        rules: &triage.rules,
        reason: triage.reason.as_deref(),
        actor: &triage.actor,
        content_sha256: &triage.content_sha256,
    }
}

fn unusable_row(event: &UnusableEvent) -> UnusableRow<'_> {
    UnusableRow {
        tenant_id: event.tenant.as_str(),
        event_id: *event.event_id.as_uuid(),
        occurred_at: event.occurred_at,
        source: &event.source,
        format: &event.format,
        reason: &event.reason,
        content_sha256: &event.content_sha256,
    }
}

fn correlation_event_row(part: &CorrelationPart, rule_key: i64) -> CorrelationEventRow<'_> {
    CorrelationEventRow {
        tenant_id: part.tenant.as_str(),
        event_id: *part.event_id.as_uuid(),
        rule_id: &part.rule.id,
        reference: &part.reference,
        occurred_at: part.occurred_at,
        rule_key,
        group_key: &part.group,
        value: &part.value,
        signal: encoded(&part.signal),
        content_sha256: &part.content_sha256,
    }
}
