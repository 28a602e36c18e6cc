//! The facts' own tables: one statement each.

use std::collections::{BTreeSet, HashMap};

use schemas::{
    EventId, TenantId,
    changes::risk::{EntityWeight, IncidentTriage, RiskChange, RiskSignal, UnusableEvent},
};
use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::correlation;
use crate::read_models::Fact;

/// Between the names of a list that goes in as one text; none of them contains it.
const SEPARATOR: &str = ",";

/// What makes a fact the same as another. Facts are written in this order, which is that of their tables' keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactKey<'a> {
    table: FactTable,
    tenant: &'a str,
    event_id: Uuid,
    /// Kind and id of the entity, where the table's key names one.
    entity: (&'a str, &'a str),
    /// The rule, or the source of a weight.
    name: &'a str,
    /// By which a correlation refers to the rule that fired.
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
}

impl FactTable {
    const ALL: [Self; 5] = [Self::Signal, Self::Weight, Self::Triage, Self::Unusable, Self::CorrelationEvent];

    /// The table, and its key's columns after tenant and event.
    const fn describe(self) -> (&'static str, [&'static str; 4]) {
        match self {
            Self::Signal => ("risk_signal", ["entity_kind", "entity", "rule_id", "''"]),
            Self::Weight => ("risk_weight", ["entity_kind", "entity", "weight_source", "''"]),
            Self::Triage => ("risk_triage", ["entity_kind", "entity", "''", "''"]),
            Self::Unusable => ("risk_unusable", ["''"; 4]),
            Self::CorrelationEvent => ("risk_correlation_event", ["''", "''", "rule_id", "reference"]),
        }
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
            name: &p.signal.rule.id,
            reference: &p.reference,
            ..FactKey::of_event(FactTable::CorrelationEvent, &p.tenant, p.event_id)
        },
    }
}

pub(super) fn content_sha256(change: &RiskChange) -> [u8; 32] {
    match change {
        RiskChange::Signal(signal) => signal.content_sha256,
        RiskChange::Weight(weight) => weight.content_sha256,
        RiskChange::Triage(triage) => triage.content_sha256,
        RiskChange::Unusable(unusable) => unusable.content_sha256,
        RiskChange::Part(part) => part.content_sha256,
    }
}

/// The content of what is stored under each fact's key, if anything is.
///
/// Everything stored about the facts' events is read, and compared here: a question that names entities might be
/// answered by way of their signals, of which a busy one has any number.
pub(super) async fn stored_content(
    tx: &mut PgConnection,
    facts: &[Fact<'_, RiskChange>],
) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
    let keys: Vec<FactKey<'_>> = facts.iter().map(|fact| key(fact.change)).collect();
    let mut stored = vec![None; facts.len()];
    for table in FactTable::ALL {
        let of_table: HashMap<FactKey<'_>, usize> = (0..)
            .zip(&keys)
            .filter(|(_, key)| key.table == table)
            .map(|(place, key)| (*key, place))
            .collect();
        if of_table.is_empty() {
            continue;
        }
        for row in stored_of(tx, table, of_table.keys()).await? {
            let found = FactKey {
                table,
                tenant: row.try_get(0)?,
                event_id: row.try_get(1)?,
                entity: (row.try_get(2)?, row.try_get(3)?),
                name: row.try_get(4)?,
                reference: row.try_get(5)?,
            };
            if let Some(place) = of_table.get(&found) {
                let content: &[u8] = row.try_get(6)?;
                let content = <[u8; 32]>::try_from(content);
                stored[*place] = Some(content.map_err(|error| sqlx::Error::Decode(error.into()))?);
            }
        }
    }
    Ok(stored)
}

/// What a table holds about the events of these keys.
async fn stored_of<'k>(
    tx: &mut PgConnection,
    table: FactTable,
    keys: impl Iterator<Item = &'k FactKey<'k>>,
) -> sqlx::Result<Vec<PgRow>> {
    let events: BTreeSet<(&str, Uuid)> = keys.map(|key| (key.tenant, key.event_id)).collect();
    let (tenants, ids): (Vec<&str>, Vec<Uuid>) = events.into_iter().unzip();
    let (table, [kind, entity, name, reference]) = table.describe();
    // Names of tables and columns only, all of them constants.
    let text = format!(
        "SELECT tenant_id, event_id, {kind}, {entity}, {name}, {reference}, content_sha256
           FROM unnest($1::text[], $2::uuid[]) AS a(tenant_id, event_id) JOIN {table} USING (tenant_id, event_id)"
    );
    sqlx::query(AssertSqlSafe(text)).bind(tenants).bind(ids).fetch_all(tx).await
}

/// Writes facts, sorted by key.
pub(super) async fn write(tx: &mut PgConnection, facts: &[Fact<'_, RiskChange>]) -> sqlx::Result<()> {
    let (mut signals, mut weights, mut triages, mut unusable) = (vec![], vec![], vec![], vec![]);
    let mut parts = vec![];
    for fact in facts {
        match fact.change {
            RiskChange::Signal(signal) => signals.push(&**signal),
            RiskChange::Weight(weight) => weights.push(&**weight),
            RiskChange::Triage(triage) => triages.push(&**triage),
            RiskChange::Unusable(event) => unusable.push(&**event),
            RiskChange::Part(part) => parts.push(&**part),
        }
    }
    insert_signals(tx, &signals).await?;
    insert_weights(tx, &weights).await?;
    insert_triages(tx, &triages).await?;
    insert_unusable(tx, &unusable).await?;
    correlation::insert(tx, &parts).await
}

/// One column of rows.
fn column<'a, T, C>(rows: &[&'a T], of: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(|row| of(row)).collect()
}

async fn insert_signals(tx: &mut PgConnection, rows: &[&RiskSignal]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO risk_signal (occurred_at, event_id, hazard_micronats, score, tenant_id, entity_kind, entity, rule_id,
             rule_version, rule_title, rule_author, rule_file, level, tactics, techniques, dedupe_key, actor, action,
             source, native_format, matched, content_sha256)
         SELECT occurred_at, event_id, hazard, score, tenant_id, entity_kind, entity, rule_id, version, title, author,
                file, level, string_to_array(tactics, ','), string_to_array(techniques, ','), dedupe_key, actor, action,
                source, native_format, matched::jsonb, content_sha256
           FROM unnest($1::timestamptz[], $2::uuid[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
                $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::bytea[])
             AS a(occurred_at, event_id, hazard, score, tenant_id, entity_kind, entity, rule_id, version, title, author,
                  file, level, tactics, techniques, dedupe_key, actor, action, source, native_format, matched,
                  content_sha256)",
    )
    .bind(column(rows, |s| s.occurred_at))
    .bind(column(rows, |s| *s.event_id.as_uuid()))
    .bind(column(rows, |s| s.hazard_micronats))
    .bind(column(rows, |s| i16::from(s.score)))
    .bind(column(rows, |s| s.tenant.as_str()))
    .bind(column(rows, |s| s.entity.kind.name()))
    .bind(column(rows, |s| s.entity.id()))
    .bind(column(rows, |s| s.rule.id.as_str()))
    .bind(column(rows, |s| s.rule.version.as_str()))
    .bind(column(rows, |s| s.rule.title.as_str()))
    .bind(column(rows, |s| s.rule.author.as_deref()))
    .bind(column(rows, |s| s.rule.file.as_str()))
    .bind(column(rows, |s| s.rule.level.name()))
    .bind(column(rows, |s| s.rule.tactics.join(SEPARATOR)))
    .bind(column(rows, |s| s.rule.techniques.join(SEPARATOR)))
    .bind(column(rows, |s| s.dedupe_key.as_str()))
    .bind(column(rows, |s| s.evidence.actor.as_str()))
    .bind(column(rows, |s| s.evidence.action.as_str()))
    .bind(column(rows, |s| s.evidence.source.as_str()))
    .bind(column(rows, |s| s.evidence.native_format.as_str()))
    .bind(column(rows, |s| s.evidence.matched.as_str()))
    .bind(column(rows, |s| s.content_sha256.as_slice()))
    .execute(tx)
    .await
    .map(drop)
}

async fn insert_weights(tx: &mut PgConnection, rows: &[&EntityWeight]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO risk_weight (decided_at, expires_at, event_id, factor_thousandths, tenant_id, entity_kind, entity,
             weight_source, decision, reason, actor, content_sha256)
         SELECT * FROM unnest($1::timestamptz[], $2::timestamptz[], $3::uuid[], $4::int[], $5::text[], $6::text[],
             $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[])",
    )
    .bind(column(rows, |w| w.decided_at))
    .bind(column(rows, |w| w.expires_at))
    .bind(column(rows, |w| *w.event_id.as_uuid()))
    .bind(column(rows, |w| w.factor_thousandths))
    .bind(column(rows, |w| w.tenant.as_str()))
    .bind(column(rows, |w| w.entity.kind.name()))
    .bind(column(rows, |w| w.entity.id()))
    .bind(column(rows, |w| w.weight_source.as_str()))
    .bind(column(rows, |w| w.decision.as_str()))
    .bind(column(rows, |w| w.reason.as_deref()))
    .bind(column(rows, |w| w.actor.as_str()))
    .bind(column(rows, |w| w.content_sha256.as_slice()))
    .execute(tx)
    .await
    .map(drop)
}

async fn insert_triages(tx: &mut PgConnection, rows: &[&IncidentTriage]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO risk_triage (decided_at, event_id, incident_id, tenant_id, entity_kind, entity, decision, rules,
             reason, actor, content_sha256)
         SELECT decided_at, event_id, incident_id, tenant_id, entity_kind, entity, decision,
                string_to_array(rules, ','), reason, actor, content_sha256
           FROM unnest($1::timestamptz[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::text[], $11::bytea[])
             AS a(decided_at, event_id, incident_id, tenant_id, entity_kind, entity, decision, rules, reason, actor,
                  content_sha256)",
    )
    .bind(column(rows, |t| t.decided_at))
    .bind(column(rows, |t| *t.event_id.as_uuid()))
    .bind(column(rows, |t| t.incident_id))
    .bind(column(rows, |t| t.tenant.as_str()))
    .bind(column(rows, |t| t.entity.kind.name()))
    .bind(column(rows, |t| t.entity.id()))
    .bind(column(rows, |t| t.decision.name()))
    .bind(column(rows, |t| t.rules.join(SEPARATOR)))
    .bind(column(rows, |t| t.reason.as_deref()))
    .bind(column(rows, |t| t.actor.as_str()))
    .bind(column(rows, |t| t.content_sha256.as_slice()))
    .execute(tx)
    .await
    .map(drop)
}

async fn insert_unusable(tx: &mut PgConnection, rows: &[&UnusableEvent]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    for row in rows {
        let format = row.format.clone();
        metrics::counter!("weir_risk_unusable_events_total", "format" => format).increment(1);
    }
    sqlx::query(
        "INSERT INTO risk_unusable (occurred_at, event_id, tenant_id, source, format, reason, content_sha256)
         SELECT * FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
             $7::bytea[])",
    )
    .bind(column(rows, |u| u.occurred_at))
    .bind(column(rows, |u| *u.event_id.as_uuid()))
    .bind(column(rows, |u| u.tenant.as_str()))
    .bind(column(rows, |u| u.source.as_str()))
    .bind(column(rows, |u| u.format.as_str()))
    .bind(column(rows, |u| u.reason.as_str()))
    .bind(column(rows, |u| u.content_sha256.as_slice()))
    .execute(tx)
    .await
    .map(drop)
}
