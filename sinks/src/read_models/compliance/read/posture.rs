//! Posture of frameworks, and single controls.

use std::collections::BTreeMap;

use projections::compliance::{
    ControlCatalogue, ControlPosture, ControlState, FrameworkPosture, Judged, PolicyFacts, Tally, controls,
    postures,
};
use schemas::{
    TenantId, Timestamp,
    changes::compliance::{PolicySeverity, VerdictStatus},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, QueryBuilder, Row, postgres::PgRow, types::Json};
use utoipa::ToSchema;

use super::{
    super::findings::word,
    STAGE, push_seen,
    verdicts::{VerdictItem, VerdictsFilter, VerdictsRequest, page_of},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};

/// Most projects of an answer.
const MAX_PROJECTS: usize = 1_000;

/// Request for the posture at an instant.
#[derive(Debug, Clone)]
pub struct PostureRequest {
    /// The instant.
    pub as_of: Timestamp,
    /// Only this framework; then each project by itself as well.
    pub framework: Option<String>,
    /// Only resources of this project.
    pub project: Option<String>,
}

/// The posture at an instant.
#[derive(Debug)]
pub struct Posture {
    /// Of each framework, by name.
    pub frameworks: Vec<FrameworkPosture>,
    /// The controls of the framework, by id, where one is asked for.
    pub controls: Vec<ControlItem>,
    /// Of each project, by name, where one framework is asked for.
    pub projects: Vec<ProjectPosture>,
    /// Whether these are all projects.
    pub complete: bool,
    /// Resources that exist and were judged.
    pub resources: u64,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// One control of a framework.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlItem {
    /// Its id.
    pub control: String,
    /// State of the control, with waivers.
    pub state: ControlState,
    /// State that the control would have without waivers.
    pub state_without_waivers: ControlState,
    /// Verdicts that pass.
    pub passed: u64,
    /// Verdicts that fail, also those that are waived.
    pub failed: u64,
    /// Failures that are waived.
    pub waived: u64,
    /// Verdicts that could not decide, and errors.
    pub not_evaluated: u64,
    /// Time of the oldest among the newest observations of the judged resources.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub evidence_oldest: Option<Timestamp>,
    /// Time of the newest observation of the judged resources.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub evidence_newest: Option<Timestamp>,
    /// Ids of the policies that are evidence for it.
    pub policies: Vec<String>,
}

impl ControlItem {
    fn new(control: &str, posture: &ControlPosture) -> Self {
        Self {
            control: control.to_owned(),
            state: posture.state,
            state_without_waivers: posture.state_without_waivers,
            passed: posture.passed,
            failed: posture.failed,
            waived: posture.waived,
            not_evaluated: posture.not_evaluated,
            evidence_oldest: posture.evidence.map(|(oldest, _)| oldest),
            evidence_newest: posture.evidence.map(|(_, newest)| newest),
            policies: posture.policies.iter().cloned().collect(),
        }
    }
}

/// The posture of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectPosture {
    /// The project; absent for resources without one.
    pub project: Option<String>,
    /// Its posture.
    pub posture: FrameworkPosture,
}

/// Facts and title of one version of a policy.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) facts: PolicyFacts,
    pub(super) title: String,
}

/// Versions of policies by id and hash.
pub(super) type Versions = BTreeMap<(String, String), Version>;

/// The posture at an instant.
///
/// # Errors As every query.
pub async fn posture(
    pool: &PgPool,
    tenant: &TenantId,
    request: &PostureRequest,
    catalogue: &ControlCatalogue,
) -> Result<Posture, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let Tallied { tallies, resources } =
        tallies(&mut snapshot, tenant, request.as_of, request.project.as_deref()).await?;
    let versions = versions(&mut snapshot, tenant).await?;
    let wanted = |posture: &FrameworkPosture| {
        request.framework.as_ref().is_none_or(|framework| *framework == posture.framework)
    };
    let of = |tallies: &[&Tally]| {
        let judged = judged(tallies.iter().copied(), &versions);
        postures(&controls(&judged, catalogue)).into_iter().filter(wanted).collect::<Vec<_>>()
    };
    let all = controls(&judged(tallies.iter(), &versions), catalogue);
    let frameworks = postures(&all).into_iter().filter(wanted).collect();
    let named = request.framework.as_ref().and_then(|framework| all.get(framework));
    let listed = named.into_iter().flatten().map(|(control, one)| ControlItem::new(control, one)).collect();
    let mut by_project: BTreeMap<Option<&str>, Vec<&Tally>> = BTreeMap::new();
    if request.framework.is_some() {
        for tally in &tallies {
            by_project.entry(tally.project.as_deref()).or_default().push(tally);
        }
    }
    let complete = by_project.len() <= MAX_PROJECTS;
    let projects = by_project.into_iter().take(MAX_PROJECTS).filter_map(|(project, tallies)| {
        Some(ProjectPosture { project: project.map(ToOwned::to_owned), posture: of(&tallies).pop()? })
    });
    let projects = projects.collect();
    Ok(Posture { frameworks, controls: listed, projects, complete, resources, positions: snapshot.positions })
}

/// Verdicts at an instant, counted.
pub(super) struct Tallied {
    /// By project, policy, verdict and whether it is waived.
    pub(super) tallies: Vec<Tally>,
    /// Resources that exist and were judged.
    pub(super) resources: u64,
}

/// Number of resources by project and verdict at an instant.
pub(super) async fn tallies(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    as_of: Timestamp,
    project: Option<&str>,
) -> Result<Tallied, ReadError> {
    let mut query = QueryBuilder::new("WITH seen AS MATERIALIZED (");
    push_seen(&mut query, tenant, as_of);
    if let Some(project) = project {
        query.push(" AND s.project = ").push_bind(project.to_owned());
    }
    query.push("), waived AS MATERIALIZED (SELECT DISTINCT resource, policy_id FROM compliance_waived WHERE tenant_id = ");
    query.push_bind(tenant.as_str().to_owned());
    query.push(" AND valid_from <= ").push_bind(as_of).push(" AND valid_to > ").push_bind(as_of);
    // Resources share sets of verdicts: these are counted before they are joined, except where a waiver tells them apart.
    query.push(
        "), alike AS (
           SELECT project, verdicts_key, NULL AS resource, count(*) AS resources, min(valid_from) AS oldest,
                  max(valid_from) AS newest
             FROM seen WHERE resource NOT IN (SELECT resource FROM waived) GROUP BY 1, 2
           UNION ALL
           SELECT project, verdicts_key, resource, 1, valid_from, valid_from
             FROM seen WHERE resource IN (SELECT resource FROM waived))
         SELECT a.project, v.policy_id, v.policy_hash, v.status, w.resource IS NOT NULL AS waived,
                sum(a.resources)::bigint AS resources, min(a.oldest) AS oldest, max(a.newest) AS newest
           FROM alike AS a JOIN compliance_verdict AS v ON v.verdicts_key = a.verdicts_key AND v.tenant_id = ",
    );
    query.push_bind(tenant.as_str().to_owned()).push(
        " LEFT JOIN waived AS w ON w.resource = a.resource AND w.policy_id = v.policy_id AND v.status = 'fail'
          GROUP BY 1, 2, 3, 4, 5
          UNION ALL
         SELECT NULL, NULL, NULL, NULL, NULL, count(*), NULL, NULL FROM seen
          ORDER BY 1, 2, 3, 4, 5",
    );
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    let (mut tallies, mut all) = (Vec::with_capacity(rows.len()), 0);
    for row in &rows {
        let resources = row.try_get::<i64, _>("resources")?.unsigned_abs();
        // The row that counts the resources names no policy.
        let Some(policy_id) = row.try_get("policy_id")? else {
            all = resources;
            continue;
        };
        tallies.push(Tally {
            project: row.try_get("project")?,
            policy_id,
            policy_hash: row.try_get("policy_hash")?,
            status: word(row, "status", VerdictStatus::from_name)?,
            waived: row.try_get("waived")?,
            resources,
            oldest: row.try_get("oldest")?,
            newest: row.try_get("newest")?,
        });
    }
    Ok(Tallied { tallies, resources: all })
}

/// Every version of a policy that gave a verdict.
pub(super) async fn versions(snapshot: &mut Snapshot, tenant: &TenantId) -> Result<Versions, ReadError> {
    let rows = sqlx::query(
        "SELECT policy_id, policy_hash, title, severity, controls FROM compliance_policy WHERE tenant_id = $1",
    )
    .bind(tenant.as_str())
    .fetch_all(snapshot.connection())
    .await?;
    let version = |row: &PgRow| {
        let Json(controls) = row.try_get("controls")?;
        let severity = word(row, "severity", PolicySeverity::from_name)?;
        let facts = PolicyFacts { severity, controls };
        let key = (row.try_get("policy_id")?, row.try_get("policy_hash")?);
        Ok::<_, ReadError>((key, Version { facts, title: row.try_get("title")? }))
    };
    rows.iter().map(version).collect()
}

/// Tallies with the versions that they are of.
pub(super) fn judged<'a>(
    tallies: impl Iterator<Item = &'a Tally>,
    versions: &'a Versions,
) -> Vec<Judged<'a>> {
    let one = |tally: &'a Tally| {
        let version = versions.get(&(tally.policy_id.clone(), tally.policy_hash.clone()))?;
        Some(Judged { tally, policy: &version.facts })
    };
    tallies.filter_map(one).collect()
}

/// Request for one control.
#[derive(Debug, Clone)]
pub struct ControlRequest {
    /// Its id, as policies name it.
    pub control: String,
    /// Only in this framework.
    pub framework: Option<String>,
    /// The instant.
    pub as_of: Timestamp,
    /// Most verdicts in each answer.
    pub limit: u16,
}

/// One control of one framework, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlDetail {
    /// The framework.
    pub framework: String,
    /// The control.
    pub control: ControlItem,
    /// Titles of its policies by id, where they gave a verdict.
    pub titles: BTreeMap<String, String>,
    /// Verdicts, by resource; `GET /api/v1/compliance/verdicts` lists all of them.
    pub evidence: Vec<VerdictItem>,
    /// Whether these are all.
    pub complete: bool,
}

/// A control in every framework that names it; none where no framework does.
///
/// # Errors As every query.
pub async fn control(
    pool: &PgPool,
    tenant: &TenantId,
    request: &ControlRequest,
    catalogue: &ControlCatalogue,
) -> Result<(Option<Vec<ControlDetail>>, Positions), ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let tallies = tallies(&mut snapshot, tenant, request.as_of, None).await?.tallies;
    let versions = versions(&mut snapshot, tenant).await?;
    let all = controls(&judged(tallies.iter(), &versions), catalogue);
    let mut found = Vec::new();
    for (framework, controls) in all {
        let wanted = request.framework.as_ref().is_none_or(|wanted| *wanted == framework);
        let Some(one) = controls.get(&request.control).filter(|_| wanted) else { continue };
        let filter = VerdictsFilter {
            framework: Some(framework.clone()),
            control: Some(request.control.clone()),
            ..VerdictsFilter::default()
        };
        let asked = VerdictsRequest { filter, as_of: request.as_of, after: None, limit: request.limit };
        let (evidence, next) = page_of(&mut snapshot, tenant, &asked).await?;
        let titles = versions
            .iter()
            .filter(|((policy, _), _)| one.policies.contains(policy))
            .map(|((policy, _), version)| (policy.clone(), version.title.clone()));
        found.push(ControlDetail {
            framework,
            control: ControlItem::new(&request.control, one),
            titles: titles.collect(),
            complete: next.is_none(),
            evidence,
        });
    }
    Ok((Some(found).filter(|found| !found.is_empty()), snapshot.positions))
}
