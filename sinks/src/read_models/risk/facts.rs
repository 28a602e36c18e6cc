//! The facts' own tables: one statement each.

use schemas::changes::risk::{EntityWeight, IncidentTriage, RiskChange, RiskSignal, UnusableEvent};
use sqlx::PgConnection;
use uuid::Uuid;

use super::correlation;
use crate::read_models::Fact;

/// What makes a fact the same as another: table, tenant, kind, entity, event, and rule or source of weight.
pub(super) type FactKey<'a> = (i16, &'a str, &'a str, &'a str, Uuid, &'a str);

/// Between the names of a list that goes in as one text; none of them contains it.
const SEPARATOR: &str = ",";

pub(super) fn key(change: &RiskChange) -> FactKey<'_> {
    match change {
        RiskChange::Signal(s) => {
            let entity = &s.entity;
            (0, s.tenant.as_str(), entity.kind.name(), entity.id(), *s.event_id.as_uuid(), &s.rule.id)
        }
        RiskChange::Weight(w) => {
            let entity = &w.entity;
            (1, w.tenant.as_str(), entity.kind.name(), entity.id(), *w.event_id.as_uuid(), &w.weight_source)
        }
        RiskChange::Triage(t) => {
            (2, t.tenant.as_str(), t.entity.kind.name(), t.entity.id(), *t.event_id.as_uuid(), "")
        }
        RiskChange::Unusable(u) => (3, u.tenant.as_str(), "", "", *u.event_id.as_uuid(), ""),
        RiskChange::Part(p) => {
            (4, p.tenant.as_str(), "", &p.signal.rule.id, *p.event_id.as_uuid(), &p.reference)
        }
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

/// Place among `facts` and content of those that are stored.
pub(super) async fn stored_content(
    tx: &mut PgConnection,
    facts: &[Fact<'_, RiskChange>],
) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
    let keys: Vec<FactKey<'_>> = facts.iter().map(|fact| key(fact.change)).collect();
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "WITH a AS (SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[])
                      WITH ORDINALITY AS a(fact, tenant_id, entity_kind, entity, event_id, name, nth))
         SELECT a.nth, s.content_sha256
           FROM a JOIN risk_signal AS s USING (tenant_id, entity_kind, entity, event_id)
          WHERE a.fact = 0 AND s.rule_id = a.name
         UNION ALL
         SELECT a.nth, w.content_sha256
           FROM a JOIN risk_weight AS w USING (tenant_id, entity_kind, entity, event_id)
          WHERE a.fact = 1 AND w.weight_source = a.name
         UNION ALL
         SELECT a.nth, t.content_sha256
           FROM a JOIN risk_triage AS t USING (tenant_id, entity_kind, entity, event_id) WHERE a.fact = 2
         UNION ALL
         SELECT a.nth, u.content_sha256
           FROM a JOIN risk_unusable AS u USING (tenant_id, event_id) WHERE a.fact = 3
         UNION ALL
         SELECT a.nth, p.content_sha256
           FROM a JOIN risk_correlation_event AS p USING (tenant_id, event_id)
          WHERE a.fact = 4 AND p.rule_id = a.entity AND p.reference = a.name",
    )
    .bind(keys.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.1).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.2).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.3).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.4).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.5).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let mut stored = vec![None; facts.len()];
    for (nth, content) in rows {
        let place = usize::try_from(nth - 1).ok().and_then(|place| stored.get_mut(place));
        let (Some(place), Ok(content)) = (place, <[u8; 32]>::try_from(content)) else {
            return Err(sqlx::Error::Decode("content_sha256 is not 32 bytes long".into()));
        };
        *place = Some(content);
    }
    Ok(stored)
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
