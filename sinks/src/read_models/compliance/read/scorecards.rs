//! Scorecards of projects: compliance and security from verdicts, quality and performance from changes.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use projections::compliance::{ControlCatalogue, ControlState, Score, Tally, controls, verdict_score};
use schemas::{
    TenantId, Timestamp,
    changes::{change_review::ROLLED_BACK, compliance::PolicySeverity},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row};
use utoipa::ToSchema;

use super::{
    STAGE,
    posture::{Versions, judged, tallies, versions},
};
use crate::read_models::snapshot::{Page, ReadError, Snapshot};

/// The time before the instant whose changes count, in days.
const CHANGE_DAYS: i64 = 90;

/// Request for one page.
#[derive(Debug, Clone)]
pub struct ScorecardsRequest {
    /// The instant.
    pub as_of: Timestamp,
    /// Only this project.
    pub project: Option<String>,
    /// Only projects after this one.
    pub after: Option<String>,
    /// Most projects on the page.
    pub limit: u16,
}

/// Tier of a project, by its lowest score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// No score is below 90.
    Gold,
    /// No score is below 75.
    Silver,
    /// No score is below 50.
    Bronze,
    /// A score is below 50.
    None,
}

/// The scorecard of one project. A score without evidence is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScorecardItem {
    /// The project.
    pub project: String,
    /// Controls of all frameworks that pass or are waived, of those that were decided.
    pub compliance: Option<Score>,
    /// Verdicts of high and critical policies that pass or are waived.
    pub security: Option<Score>,
    /// Changes of the last 90 days that were completed and not rolled back, of those that ended.
    pub quality: Option<Score>,
    /// Changes of the last 90 days by the median time from proposal to completion: within a day 100, a week 75, 30 days
    /// 50, later 25.
    pub performance: Option<Score>,
    /// The tier that the worst score gives; absent without any.
    pub tier: Option<Tier>,
    /// Resources with verdicts, at most as many as one policy judges.
    pub judged: u64,
    /// Time of the oldest among the newest observations of its resources.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub evidence_oldest: Option<Timestamp>,
    /// Time of the newest observation of its resources.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub evidence_newest: Option<Timestamp>,
}

/// Results of a project's changes.
#[derive(Debug, Clone, Copy, Default)]
struct Delivered {
    completed: u64,
    failed: u64,
    median_seconds: Option<f64>,
}

/// A page of the scorecards at an instant, by project.
///
/// # Errors As every query.
pub async fn scorecards(
    pool: &PgPool,
    tenant: &TenantId,
    request: &ScorecardsRequest,
) -> Result<Page<ScorecardItem, String>, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let tallies = tallies(&mut snapshot, tenant, request.as_of, request.project.as_deref()).await?.tallies;
    let versions = versions(&mut snapshot, tenant).await?;
    let delivered = delivered(&mut snapshot, tenant, request.as_of).await?;
    let mut projects: BTreeMap<&str, Vec<&Tally>> = BTreeMap::new();
    for tally in &tallies {
        if let Some(project) = &tally.project {
            projects.entry(project).or_default().push(tally);
        }
    }
    for project in delivered.keys().filter(|one| request.project.as_ref().is_none_or(|only| only == *one)) {
        projects.entry(project).or_default();
    }
    let limit = usize::from(request.limit);
    let rest = projects
        .into_iter()
        .filter(|(project, _)| request.after.as_deref().is_none_or(|after| *project > after));
    let mut items: Vec<ScorecardItem> = rest
        .take(limit + 1)
        .map(|(project, tallies)| {
            let delivered = delivered.get(project).copied().unwrap_or_default();
            scorecard(project, &tallies, &versions, delivered)
        })
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|item| item.project.clone());
    Ok(Page { items, next, reached: None, positions: snapshot.positions })
}

fn scorecard(project: &str, tallies: &[&Tally], versions: &Versions, delivered: Delivered) -> ScorecardItem {
    let judged = judged(tallies.iter().copied(), versions);
    let all = controls(&judged, &ControlCatalogue::default());
    let all: Vec<_> = all.values().flat_map(BTreeMap::values).collect();
    let count = |state| all.iter().filter(|one| one.state == state).count() as u64;
    let gravest = all.iter().filter_map(|one| one.severity[0]).max();
    let passed = count(ControlState::Pass) + count(ControlState::Waived);
    let compliance = Score::of(passed, count(ControlState::Fail), gravest);
    let security = verdict_score(&judged, PolicySeverity::High);
    let quality = Score::of(delivered.completed, delivered.failed, None);
    let performance = delivered
        .median_seconds
        .and_then(|seconds| Score::of(lead_time(seconds), 100 - lead_time(seconds), None));
    let scores = [compliance, security, quality, performance];
    let worst = scores.iter().flatten().map(|score| score.value).min();
    ScorecardItem {
        project: project.to_owned(),
        compliance,
        security,
        quality,
        performance,
        tier: worst.map(tier),
        judged: tallies_of_largest(tallies),
        evidence_oldest: tallies.iter().map(|tally| tally.oldest).min(),
        evidence_newest: tallies.iter().map(|tally| tally.newest).max(),
    }
}

/// Percent for a median lead time: the bounds of DORA's groups for lead time of changes.
fn lead_time(seconds: f64) -> u64 {
    const DAY: f64 = 86_400.0;
    match seconds {
        seconds if seconds <= DAY => 100,
        seconds if seconds <= 7.0 * DAY => 75,
        seconds if seconds <= 30.0 * DAY => 50,
        _ => 25,
    }
}

fn tier(worst: u8) -> Tier {
    match worst {
        90.. => Tier::Gold,
        75..90 => Tier::Silver,
        50..75 => Tier::Bronze,
        _ => Tier::None,
    }
}

/// The most resources that one policy judges.
fn tallies_of_largest(tallies: &[&Tally]) -> u64 {
    let mut by_policy: BTreeMap<&str, u64> = BTreeMap::new();
    for tally in tallies {
        *by_policy.entry(&tally.policy_id).or_default() += tally.resources;
    }
    by_policy.into_values().max().unwrap_or_default()
}

/// The changes of each project that ended in the time before the instant.
async fn delivered(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    as_of: Timestamp,
) -> Result<BTreeMap<String, Delivered>, ReadError> {
    let rows = sqlx::query(
        "SELECT e.project, count(*) FILTER (WHERE e.succeeded) AS completed,
                count(*) FILTER (WHERE NOT e.succeeded) AS failed,
                percentile_cont(0.5) WITHIN GROUP (
                    ORDER BY extract(epoch FROM e.ended_at - p.proposed_at)::double precision)
                    FILTER (WHERE e.succeeded AND p.proposed_at <= e.ended_at) AS median
           FROM (SELECT DISTINCT ON (change_id) change_id, project, occurred_at AS ended_at,
                        kind = 'Completed' AND outcome <> 'failure'
                        AND outcome_code IS DISTINCT FROM $4 AS succeeded
                   FROM change_fact WHERE tenant_id = $1 AND kind IN ('Completed', 'Failed')
                    AND occurred_at > $2 AND occurred_at <= $3
                  ORDER BY change_id, occurred_at DESC, event_id DESC) AS e
           LEFT JOIN LATERAL (SELECT min(occurred_at) AS proposed_at FROM change_fact AS c
                  WHERE c.tenant_id = $1 AND c.change_id = e.change_id AND c.kind = 'ChangeProposed') AS p ON true
          WHERE e.project IS NOT NULL GROUP BY 1",
    )
    .bind(tenant.as_str())
    .bind(as_of - TimeDelta::days(CHANGE_DAYS))
    .bind(as_of)
    .bind(ROLLED_BACK)
    .fetch_all(snapshot.connection())
    .await?;
    let one = |row: &sqlx::postgres::PgRow| {
        let delivered = Delivered {
            completed: row.try_get::<i64, _>("completed")?.unsigned_abs(),
            failed: row.try_get::<i64, _>("failed")?.unsigned_abs(),
            median_seconds: row.try_get("median")?,
        };
        Ok::<_, ReadError>((row.try_get("project")?, delivered))
    };
    rows.iter().map(one).collect()
}
