//! Findings: derived again for each resource whose states changed, and published when they open or close.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use projections::compliance::{
    Answer, CloseReason, Episode, State, episodes, finding_id,
    record::{About, CE_SOURCE, CE_TYPE, ComplianceFinding, Transition},
};
use schemas::{
    TenantId, Timestamp,
    changes::compliance::{PolicySeverity, VerdictStatus},
};
use sqlx::{FromRow, PgConnection, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{
    states::{Touched, keys_of},
    table::{FindingKey, FindingRow, VerdictsKey},
};
use crate::{
    batch::TopicPartition,
    outbox::{Outgoing, PublishedFinding},
};

/// A state as it is stored, with what findings keep of it.
#[derive(Debug, FromRow)]
struct StoredState {
    tenant_id: String,
    resource: String,
    valid_from: Timestamp,
    event_id: Uuid,
    verdicts_key: Option<Uuid>,
    resource_type: String,
    project: Option<String>,
}

/// An episode, and what its resource was when it opened.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Derived {
    episode: Episode,
    resource_type: String,
    project: Option<String>,
}

/// Tenant, resource, policy and time.
type EpisodeKey = (String, String, String, Timestamp);
/// Episodes by their key.
type Episodes = BTreeMap<EpisodeKey, Derived>;
/// Episodes that differ from what is stored.
type Changed<'a> = Vec<(&'a EpisodeKey, &'a Derived)>;
/// Title, remediation and controls of a policy's version, as a finding shows them.
type Told = (String, String, BTreeMap<String, Vec<String>>);

/// Derives the findings of resources; the records about those that opened or closed.
pub(super) async fn derive(
    tx: &mut PgConnection,
    touched: Touched,
    from: TopicPartition,
) -> sqlx::Result<Vec<Outgoing>> {
    if touched.is_empty() {
        return Ok(Vec::new());
    }
    let states = states_of(tx, &touched).await?;
    let answers = answers_of(tx, &states).await?;
    let after = derived(&states, &answers);
    let before = stored(tx, &touched).await?;
    let gone: Vec<FindingKey<'_>> = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|(tenant_id, resource, policy_id, opened_at)| FindingKey {
            tenant_id,
            resource,
            policy_id,
            opened_at: *opened_at,
        })
        .collect();
    let changed: Changed<'_> =
        after.iter().filter(|(key, episode)| before.get(*key) != Some(episode)).collect();
    remove(tx, &gone).await?;
    let tenants = tenants_of(&touched);
    let rows = changed.iter().filter_map(|(key, episode)| finding_row(&tenants, key, episode));
    FindingRow::upsert(tx, &rows.collect::<Vec<_>>()).await?;
    tell(tx, &tenants, (&before, &changed), from).await
}

/// The states of resources, without those that another of the same instant replaces, and without those that say what the
/// one before says.
async fn states_of(tx: &mut PgConnection, touched: &Touched) -> sqlx::Result<Vec<StoredState>> {
    sqlx::query_as(
        "SELECT tenant_id, resource, valid_from, event_id, verdicts_key, resource_type, project
           FROM (SELECT h.*, lag(verdicts_key) OVER w AS before, row_number() OVER w AS nth
                   FROM (SELECT DISTINCT ON (s.tenant_id, s.resource, s.valid_from) s.*
                           FROM unnest($1::compliance_resource_key[]) AS a(tenant_id, resource)
                           JOIN compliance_state AS s USING (tenant_id, resource)
                          ORDER BY s.tenant_id, s.resource, s.valid_from, s.event_id DESC) AS h
                 WINDOW w AS (PARTITION BY tenant_id, resource ORDER BY valid_from)) AS t
          WHERE nth = 1 OR verdicts_key IS DISTINCT FROM before
          ORDER BY tenant_id, resource, valid_from",
    )
    .bind(keys_of(touched))
    .fetch_all(tx)
    .await
}

/// The verdicts of states, by tenant and key.
async fn answers_of(
    tx: &mut PgConnection,
    states: &[StoredState],
) -> sqlx::Result<BTreeMap<String, BTreeMap<Uuid, Vec<Answer>>>> {
    let keys: BTreeSet<VerdictsKey<'_>> = states
        .iter()
        .filter_map(|state| {
            Some(VerdictsKey { tenant_id: &state.tenant_id, verdicts_key: state.verdicts_key? })
        })
        .collect();
    let rows = sqlx::query(
        "SELECT tenant_id, verdicts_key, policy_id, policy_hash, v.status, p.severity, v.reasons
           FROM unnest($1::compliance_verdicts_key[]) AS a(tenant_id, verdicts_key)
           JOIN compliance_verdict AS v USING (tenant_id, verdicts_key)
           JOIN compliance_policy AS p USING (tenant_id, policy_id, policy_hash)",
    )
    .bind(keys.into_iter().collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let mut answers: BTreeMap<String, BTreeMap<Uuid, Vec<Answer>>> = BTreeMap::new();
    for row in &rows {
        let of_tenant = answers.entry(row.try_get("tenant_id")?).or_default();
        of_tenant.entry(row.try_get("verdicts_key")?).or_default().push(answer(row)?);
    }
    Ok(answers)
}

fn answer(row: &PgRow) -> sqlx::Result<Answer> {
    Ok(Answer {
        policy_id: row.try_get("policy_id")?,
        policy_hash: row.try_get("policy_hash")?,
        status: word(row, "status", VerdictStatus::from_name)?,
        severity: word(row, "severity", PolicySeverity::from_name)?,
        reasons: row.try_get("reasons")?,
    })
}

/// A column that holds one of several words.
pub(super) fn word<T>(row: &PgRow, column: &str, read: impl Fn(&str) -> Option<T>) -> sqlx::Result<T> {
    let text: &str = row.try_get(column)?;
    read(text).ok_or_else(|| sqlx::Error::Decode(format!("{column} {text:?} is unknown").into()))
}

fn derived(states: &[StoredState], answers: &BTreeMap<String, BTreeMap<Uuid, Vec<Answer>>>) -> Episodes {
    let nothing = BTreeMap::new();
    let mut found = Episodes::new();
    let of_one =
        |a: &StoredState, b: &StoredState| (&a.tenant_id, &a.resource) == (&b.tenant_id, &b.resource);
    for of_resource in states.chunk_by(of_one) {
        let Some(StoredState { tenant_id, resource, .. }) = of_resource.first() else { continue };
        let folded: Vec<State> = of_resource
            .iter()
            .map(|one| State { at: one.valid_from, event_id: one.event_id, verdicts: one.verdicts_key })
            .collect();
        for episode in episodes(&folded, answers.get(tenant_id).unwrap_or(&nothing)) {
            let opening = of_resource.iter().find(|state| state.valid_from == episode.opened_at);
            let key = (tenant_id.clone(), resource.clone(), episode.policy_id.clone(), episode.opened_at);
            let derived = Derived {
                resource_type: opening.map(|state| state.resource_type.clone()).unwrap_or_default(),
                project: opening.and_then(|state| state.project.clone()),
                episode,
            };
            found.insert(key, derived);
        }
    }
    found
}

async fn stored(tx: &mut PgConnection, touched: &Touched) -> sqlx::Result<Episodes> {
    let rows = sqlx::query(
        "SELECT f.* FROM unnest($1::compliance_resource_key[]) AS a(tenant_id, resource)
           JOIN compliance_finding AS f USING (tenant_id, resource)",
    )
    .bind(keys_of(touched))
    .fetch_all(tx)
    .await?;
    rows.iter()
        .map(|row| {
            let episode = stored_episode(row)?;
            let key = (
                row.try_get("tenant_id")?,
                row.try_get("resource")?,
                episode.policy_id.clone(),
                episode.opened_at,
            );
            let (resource_type, project) = (row.try_get("resource_type")?, row.try_get("project")?);
            Ok((key, Derived { episode, resource_type, project }))
        })
        .collect()
}

fn stored_episode(row: &PgRow) -> sqlx::Result<Episode> {
    let reason = |text: &str| {
        [CloseReason::Passed, CloseReason::Gone, CloseReason::NotApplicable]
            .into_iter()
            .find(|reason| reason.name() == text)
    };
    let closed_at: Option<Timestamp> = row.try_get("closed_at")?;
    let closed = match closed_at {
        Some(at) => Some((at, row.try_get("closed_by")?, word(row, "close_reason", reason)?)),
        None => None,
    };
    Ok(Episode {
        policy_id: row.try_get("policy_id")?,
        policy_hash: row.try_get("policy_hash")?,
        severity: word(row, "severity", PolicySeverity::from_name)?,
        number: row.try_get("number")?,
        opened_at: row.try_get("opened_at")?,
        opened_by: row.try_get("opened_by")?,
        reasons: row.try_get("reasons")?,
        closed,
    })
}

async fn remove(tx: &mut PgConnection, gone: &[FindingKey<'_>]) -> sqlx::Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM compliance_finding AS f USING unnest($1::compliance_finding_key[]) AS a
          WHERE (f.tenant_id, f.resource, f.policy_id, f.opened_at) =
                (a.tenant_id, a.resource, a.policy_id, a.opened_at)",
    )
    .bind(gone)
    .execute(tx)
    .await
    .map(drop)
}

/// Tenants by name; one whose name cannot be one is left out.
fn tenants_of(touched: &Touched) -> BTreeMap<&str, TenantId> {
    touched.iter().filter_map(|(tenant, _)| Some((tenant.as_str(), TenantId::new(tenant).ok()?))).collect()
}

fn finding_row<'a>(
    tenants: &BTreeMap<&str, TenantId>,
    (tenant_id, resource, policy_id, opened_at): &'a EpisodeKey,
    Derived { episode, resource_type, project }: &'a Derived,
) -> Option<FindingRow<'a>> {
    let tenant = tenants.get(tenant_id.as_str())?;
    Some(FindingRow {
        tenant_id,
        resource,
        policy_id,
        opened_at: *opened_at,
        finding_id: *finding_id(tenant, resource, policy_id).as_uuid(),
        policy_hash: &episode.policy_hash,
        severity: episode.severity.name(),
        number: episode.number,
        opened_by: episode.opened_by,
        reasons: &episode.reasons,
        due_at: episode.due_at(),
        closed_at: episode.closed.map(|(at, ..)| at),
        closed_by: episode.closed.map(|(_, by, _)| by),
        close_reason: episode.closed.map(|(.., why)| why.name()),
        resource_type,
        project: project.as_deref(),
    })
}

/// The records about the episodes that opened or closed.
async fn tell(
    tx: &mut PgConnection,
    tenants: &BTreeMap<&str, TenantId>,
    (before, changed): (&Episodes, &Changed<'_>),
    from: TopicPartition,
) -> sqlx::Result<Vec<Outgoing>> {
    let mut told = Vec::new();
    for (key, derived) in changed {
        let stored = before.get(*key).map(|derived| &derived.episode);
        let transition = Transition::between(stored, &derived.episode);
        if let (Some(transition), Some(tenant)) = (transition, tenants.get(key.0.as_str())) {
            told.push((*key, *derived, transition, tenant));
        }
    }
    if told.is_empty() {
        return Ok(Vec::new());
    }
    let mut versions: BTreeMap<(&str, &str, &str), Told> = BTreeMap::new();
    for (key, derived, ..) in &told {
        let version = (key.0.as_str(), key.2.as_str(), derived.episode.policy_hash.as_str());
        if let Entry::Vacant(place) = versions.entry(version) {
            place.insert(policy(tx, version).await?);
        }
    }
    let outgoing = told.into_iter().filter_map(|(key, derived, transition, tenant)| {
        let episode = &derived.episode;
        let (title, remediation, controls) =
            versions.get(&(key.0.as_str(), key.2.as_str(), episode.policy_hash.as_str()))?;
        let about = About {
            resource: &key.1,
            kind: &derived.resource_type,
            project: derived.project.as_deref(),
            title,
            remediation,
            controls,
        };
        metrics::counter!(
            "weir_compliance_findings_total",
            "transition" => transition.name(), "severity" => episode.severity.name()
        )
        .increment(1);
        let finding = ComplianceFinding::new(tenant, about, transition, episode);
        Some(outgoing(from, tenant, &key.1, finding))
    });
    Ok(outgoing.collect())
}

async fn policy(tx: &mut PgConnection, (tenant, policy, hash): (&str, &str, &str)) -> sqlx::Result<Told> {
    let row = sqlx::query(
        "SELECT title, remediation, controls FROM compliance_policy
          WHERE tenant_id = $1 AND policy_id = $2 AND policy_hash = $3",
    )
    .bind(tenant)
    .bind(policy)
    .bind(hash)
    .fetch_one(tx)
    .await?;
    let Json(controls) = row.try_get("controls")?;
    Ok((row.try_get("title")?, row.try_get("remediation")?, controls))
}

fn outgoing(from: TopicPartition, tenant: &TenantId, resource: &str, finding: ComplianceFinding) -> Outgoing {
    PublishedFinding {
        tenant,
        about: resource,
        id: finding.id,
        ce_source: CE_SOURCE,
        ce_type: CE_TYPE,
        ce_subject: &finding.finding_id.to_string(),
        time: finding.time,
        record: finding.record,
    }
    .caused_by(from)
}
