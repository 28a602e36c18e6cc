//! Decisions about recommendations, and what became of those that were accepted.

use std::collections::BTreeMap;

use costs::recommend::{self, COST_DAYS, MONTH_DAYS};
use schemas::{
    TenantId, Timestamp,
    changes::cost::{RecommendationDecision, RecommendationKind},
};
use uuid::Uuid;

use super::{
    Recommendation, RecommendationDecided, RecommendationOutcome, RecommendationStatus,
    usage::{self, decimal},
};
use crate::read_models::{
    cost::read::filter::Days,
    snapshot::{ReadError, Snapshot},
};

/// Most accepted recommendations whose saving is looked for, the newest: each is derived anew as of its acceptance.
pub(super) const MAX_ACCEPTED: usize = 1_000;
/// Most of them that are derived with everything else that was recommended, since they are not about one resource.
pub(super) const MAX_DERIVED_WHOLE: usize = 20;
/// Most decisions that count, the newest.
const MAX_DECISIONS: i64 = 10_000;

/// The decision in force.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) status: RecommendationStatus,
    pub(super) told: RecommendationDecided,
}

/// The decisions in force at an instant, by recommendation.
pub(super) async fn decisions(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    at: Timestamp,
) -> Result<BTreeMap<String, Decided>, ReadError> {
    let rows: Vec<(String, String, Uuid, String, Timestamp, Option<String>)> = sqlx::query_as(
        "SELECT * FROM (
                SELECT DISTINCT ON (recommendation) recommendation, decision, event_id, actor, decided_at, reason
                  FROM cost_recommendation_fact
                 WHERE tenant_id = $1 AND decided_at <= $2 AND decision <> 'unreadable'
                 ORDER BY recommendation, decided_at DESC, event_id DESC) AS newest
          ORDER BY decided_at DESC, event_id DESC LIMIT $3",
    )
    .bind(tenant.as_str())
    .bind(at)
    .bind(MAX_DECISIONS)
    .fetch_all(snapshot.connection())
    .await?;
    let mut found = BTreeMap::new();
    for (recommendation, decision, event_id, actor, decided_at, reason) in rows {
        let unknown = || ReadError::Unreadable(format!("the decision {decision:?} is unknown"));
        let status = match RecommendationDecision::from_name(&decision).ok_or_else(unknown)? {
            RecommendationDecision::Accepted => RecommendationStatus::Accepted,
            RecommendationDecision::Dismissed => RecommendationStatus::Dismissed,
            RecommendationDecision::Reopened => RecommendationStatus::Open,
        };
        let told = RecommendationDecided { event_id, actor, decided_at, reason };
        found.insert(recommendation, Decided { status, told });
    }
    Ok(found)
}

/// The reference of the resource that a recommendation is about, by its id; `None` if the id does not name one.
pub(super) fn reference_of(id: &str) -> Option<&str> {
    let (kind, about) = id.split_once(':')?;
    let kind = RecommendationKind::from_name(kind)?;
    let (_, reference) = about.split_once(':')?;
    (kind != RecommendationKind::Commitment && !reference.starts_with("sha256:")).then_some(reference)
}

/// Compares the cost of up to 30 days since the day after an acceptance with the days before it.
pub(super) async fn outcome(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    item: &Recommendation,
    at: Timestamp,
) -> Result<RecommendationOutcome, ReadError> {
    let decided_on = item.decision.as_ref().map_or(at, |decision| decision.decided_at).date_naive();
    let (charges, days) = (&item.evidence.charges, Days::of(snapshot, tenant, Some(at)).await?);
    let known_to = usage::window(snapshot, tenant, days, at).await?.map_or(decided_on, |(_, to)| to);
    let from = decided_on.succ_opt().unwrap_or(decided_on);
    let to = known_to.min(from + chrono::TimeDelta::days(MONTH_DAYS)).max(from);
    let days = (to - from).num_days();
    let before_days = charges.days.min(COST_DAYS);
    let before = usage::cost_between(snapshot, tenant, item, (charges.from, charges.to), at).await?;
    let after = usage::cost_between(snapshot, tenant, item, (from, to), at).await?;
    let expected = Some(decimal(&item.monthly_saving));
    let found = recommend::outcome(expected, (before, before_days), (after, days));
    Ok(RecommendationOutcome {
        state: found.state.name().to_owned(),
        realised_monthly_saving: found.realised.map(|realised| realised.normalize().to_string()),
        days,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_the_resource() {
        for (id, reference) in [
            ("idle:EUR:i-0a1", Some("i-0a1")),
            ("right_size:USD:arn:aws:rds:eu-west-1:1:db:x", Some("arn:aws:rds:eu-west-1:1:db:x")),
            ("idle:EUR:sha256:00ff", None),
            ("commitment:EUR:AWS/1/EC2/eu-west-1", None),
            ("other:EUR:i-0a1", None),
            ("idle", None),
        ] {
            assert_eq!(reference_of(id), reference, "{id}");
        }
    }
}
