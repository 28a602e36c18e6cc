//! Writing facts, and handing on what they touch.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use schemas::changes::{
    ComplianceChange,
    compliance::{ChangeApplied, Observation, PolicyVersion, Presence, VerdictFact, WaiverFact},
};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{
    findings, states,
    table::{AppliedRow, ObservationRow, PolicyRow, VerdictRow},
    waivers,
};
use crate::{
    outbox::Outgoing,
    read_models::{
        Fact, ReadModel, WritePath,
        stored_content::{EventKey, content_of, rows_about},
    },
};

/// Sets of verdicts and versions of policies that are remembered as written, so that most batches write none.
const MAX_KNOWN: usize = 100_000;

type Stated<'a> = Fact<'a, ComplianceChange>;
/// Whether a fact is of a table.
type IsOf = fn(&ComplianceChange) -> bool;

/// The tables of facts, the columns of their keys after tenant and event, and which facts are theirs.
const TABLES: [(&str, &str, IsOf); 3] = [
    ("compliance_observation", ", resource", |change| matches!(change, ComplianceChange::Observation(_))),
    ("compliance_applied", ", '' AS resource", |change| matches!(change, ComplianceChange::Applied(_))),
    ("compliance_waiver_fact", ", '' AS resource", |change| matches!(change, ComplianceChange::Waiver(_))),
];

/// The read model of compliance.
#[derive(Debug, Default)]
pub struct Observations {
    /// Tenants and keys of sets and versions whose rows are committed.
    known: HashSet<(String, Uuid)>,
    /// Those that the current batch writes.
    written: Vec<(String, Uuid)>,
}

/// The facts of a batch by kind.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    pub(super) observations: Vec<Stated<'a>>,
    pub(super) applied: Vec<&'a ChangeApplied>,
    pub(super) waivers: Vec<&'a WaiverFact>,
}

impl<'a> Batch<'a> {
    fn of(facts: &[Stated<'a>]) -> Self {
        let mut batch = Self::default();
        for fact in facts {
            match fact.change {
                ComplianceChange::Observation(_) => batch.observations.push(*fact),
                ComplianceChange::Applied(applied) => batch.applied.push(applied),
                ComplianceChange::Waiver(waiver) => batch.waivers.push(waiver),
            }
        }
        batch
    }

    pub(super) fn seen(&self) -> impl Iterator<Item = &'a Observation> {
        self.observations.iter().filter_map(|fact| match fact.change {
            ComplianceChange::Observation(observation) => Some(&**observation),
            _ => None,
        })
    }
}

impl ReadModel for Observations {
    type Change = ComplianceChange;
    type Key<'a> = (&'a str, Uuid, &'a str);

    const TABLE: &'static str = "compliance_observation";
    const JOINED: &'static [&'static str] = &[
        "compliance_finding",
        "compliance_observation",
        "compliance_resource",
        "compliance_state",
        "compliance_verdict",
        "compliance_waived",
        "compliance_waiver",
    ];

    fn key(change: &ComplianceChange) -> Self::Key<'_> {
        let (tenant, event) = change.event();
        (tenant.as_str(), *event.as_uuid(), change.resource())
    }

    fn content_sha256(change: &ComplianceChange) -> [u8; 32] {
        change.content_sha256()
    }

    async fn prepare(&mut self, _: &mut PgConnection, _: &[Stated<'_>]) -> sqlx::Result<()> {
        Ok(())
    }

    async fn stored_content(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Stated<'_>],
    ) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
        let mut stored = vec![None; facts.len()];
        for (table, columns, is_of) in TABLES {
            let keys: HashMap<Self::Key<'_>, usize> = facts
                .iter()
                .map(|fact| fact.change)
                .zip(0..)
                .filter(|(change, _)| is_of(change))
                .map(|(change, place)| (Self::key(change), place))
                .collect();
            if keys.is_empty() {
                continue;
            }
            let events: BTreeSet<EventKey<'_>> = keys
                .keys()
                .map(|(tenant_id, event_id, _)| EventKey { tenant_id, event_id: *event_id })
                .collect();
            for row in &rows_about(tx, (table, columns), events).await? {
                if let Some(place) = keys.get(&key_of(row)?) {
                    stored[*place] = Some(content_of(row)?);
                }
            }
        }
        Ok(stored)
    }

    async fn write(&mut self, tx: &mut PgConnection, facts: &[Stated<'_>], _: WritePath) -> sqlx::Result<()> {
        // An attempt before this one may have been rolled back.
        self.written.clear();
        let batch = Batch::of(facts);
        let rows: Vec<_> = batch.observations.iter().filter_map(observation_row).collect();
        ObservationRow::insert(tx, &rows).await?;
        self.write_verdicts(tx, &batch).await?;
        let rows: Vec<_> = batch.applied.iter().map(|applied| applied_row(applied)).collect();
        AppliedRow::insert(tx, &rows).await?;
        waivers::write(tx, &batch.waivers).await
    }

    async fn fold(&mut self, tx: &mut PgConnection, new: &[Stated<'_>]) -> sqlx::Result<Vec<Outgoing>> {
        let Some(Fact { partition, .. }) = new.first() else { return Ok(Vec::new()) };
        let batch = Batch::of(new);
        for observation in batch.seen() {
            metrics::counter!("weir_compliance_observations_total", "source" => observation.source.name())
                .increment(1);
        }
        // All locks in one order, everywhere: changes, resources, waivers.
        let touched = states::derive(tx, &batch).await?;
        let outgoing = findings::derive(tx, touched, *partition).await?;
        waivers::derive(tx, &batch.waivers).await?;
        Ok(outgoing)
    }

    fn committed(&mut self) {
        if self.known.len() + self.written.len() > MAX_KNOWN {
            self.known.clear();
        }
        self.known.extend(self.written.drain(..));
    }

    fn forget(&mut self) {
        self.written.clear();
        self.known.clear();
    }
}

impl Observations {
    /// Writes the sets of verdicts and the versions of policies that no committed batch of this model wrote.
    async fn write_verdicts(&mut self, tx: &mut PgConnection, batch: &Batch<'_>) -> sqlx::Result<()> {
        let mut verdicts: BTreeMap<(&str, Uuid, &str), VerdictRow<'_>> = BTreeMap::new();
        let mut policies: BTreeMap<(&str, &str, &str), PolicyRow<'_>> = BTreeMap::new();
        let mut written = BTreeSet::new();
        for observation in batch.seen() {
            let tenant = observation.tenant.as_str();
            let Some(key) = verdicts_key(observation) else { continue };
            if self.known.contains(&(tenant.to_owned(), key)) || !written.insert((tenant, key)) {
                continue;
            }
            for verdict in &observation.verdicts {
                let policy = &*verdict.policy;
                verdicts.insert((tenant, key, &policy.id), verdict_row(tenant, key, verdict));
                policies.insert((tenant, &policy.id, &policy.hash), policy_row(tenant, policy));
            }
        }
        let policies: Vec<_> = policies.into_values().collect();
        if !policies.is_empty() {
            PolicyRow::insert_missing(tx, &policies).await?;
        }
        let verdicts: Vec<_> = verdicts.into_values().collect();
        if !verdicts.is_empty() {
            VerdictRow::insert_missing(tx, &verdicts).await?;
        }
        self.written = written.into_iter().map(|(tenant, key)| (tenant.to_owned(), key)).collect();
        Ok(())
    }
}

fn key_of(row: &PgRow) -> sqlx::Result<(&str, Uuid, &str)> {
    Ok((row.try_get("tenant_id")?, row.try_get("event_id")?, row.try_get("resource")?))
}

/// The key of an observation's verdicts: the first half of a SHA-256 over what they say. `None` where there are none to
/// have: the resource is gone, or its configuration cannot be read.
pub(super) fn verdicts_key(observation: &Observation) -> Option<Uuid> {
    if observation.presence == Presence::Absent || observation.fault.is_some() {
        return None;
    }
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    for verdict in &observation.verdicts {
        part(&verdict.policy.id);
        part(&verdict.policy.hash);
        part(verdict.status.name());
        part(if verdict.denies { "deny" } else { "warn" });
        part(&verdict.reasons.len().to_string());
        verdict.reasons.iter().for_each(|reason| part(reason));
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    Some(Uuid::new_v8(half))
}

fn observation_row<'a>(fact: &Stated<'a>) -> Option<ObservationRow<'a>> {
    let ComplianceChange::Observation(observation) = fact.change else { return None };
    let attributes = &observation.attributes;
    Some(ObservationRow {
        tenant_id: observation.tenant.as_str(),
        event_id: *observation.event_id.as_uuid(),
        resource: &observation.resource,
        observed_at: observation.observed_at,
        presence: observation.presence.name(),
        change_id: observation.change_id.as_deref(),
        source: observation.source.name(),
        resource_type: &attributes.kind,
        cloud: attributes.cloud.as_deref(),
        account: attributes.account.as_deref(),
        region: attributes.region.as_deref(),
        name: attributes.name.as_deref(),
        project: attributes.project.as_deref(),
        environment: attributes.environment.as_deref(),
        verdicts_key: verdicts_key(observation),
        fault: observation.fault.as_deref(),
        topic: fact.partition.topic.name(),
        partition: fact.partition.partition,
        record_offset: fact.offset,
        content_sha256: &observation.content_sha256,
    })
}

fn verdict_row<'a>(tenant_id: &'a str, verdicts_key: Uuid, verdict: &'a VerdictFact) -> VerdictRow<'a> {
    VerdictRow {
        tenant_id,
        verdicts_key,
        policy_id: &verdict.policy.id,
        policy_hash: &verdict.policy.hash,
        status: verdict.status.name(),
        denies: verdict.denies,
        reasons: &verdict.reasons,
    }
}

fn policy_row<'a>(tenant_id: &'a str, policy: &'a PolicyVersion) -> PolicyRow<'a> {
    PolicyRow {
        tenant_id,
        policy_id: &policy.id,
        policy_hash: &policy.hash,
        title: &policy.title,
        severity: policy.severity.name(),
        remediation: &policy.remediation,
        controls: Json(&policy.controls),
    }
}

fn applied_row(applied: &ChangeApplied) -> AppliedRow<'_> {
    AppliedRow {
        tenant_id: applied.tenant.as_str(),
        event_id: *applied.event_id.as_uuid(),
        change_id: &applied.change_id,
        applied_at: applied.applied_at,
        content_sha256: &applied.content_sha256,
    }
}
