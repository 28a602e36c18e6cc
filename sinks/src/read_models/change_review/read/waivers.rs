//! Waivers that are in force for the resources of a plan.
//!
//! The stage `compliance` stores the resources of a plan with its proposal, under the ids by which waivers
//! name them.

use std::collections::HashMap;

use schemas::{
    TenantId, Timestamp,
    changes::policy_verdicts::{PlanVerdict, PolicyDecision},
};
use sqlx::Row as _;
use uuid::Uuid;

use super::{ChangeItem, Compliance, ReviewedVerdict};
use crate::read_models::snapshot::{ReadError, Snapshot};

/// Most waived pairs of resource and policy that are looked at.
const MAX_WAIVED: i64 = 50_000;

/// Waivers of a plan's failures: by address and policy, the waiver and its end.
#[derive(Debug, Default)]
pub(super) struct Waived(HashMap<(String, String), (String, Timestamp)>);

/// The waivers in force at an instant for the resources of the proposal with that event.
pub(super) async fn in_force(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    event: Uuid,
    at: Timestamp,
) -> Result<Waived, ReadError> {
    let rows = sqlx::query(
        "SELECT o.name, w.policy_id, w.waiver, w.expires_at
           FROM compliance_observation AS o
           JOIN compliance_waived AS w ON w.tenant_id = o.tenant_id AND w.resource IN (o.resource, o.name)
          WHERE o.tenant_id = $1 AND o.event_id = $2 AND w.valid_from <= $3 AND w.valid_to > $3
          ORDER BY w.expires_at, w.waiver DESC LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(event)
    .bind(at)
    .bind(MAX_WAIVED)
    .fetch_all(snapshot.connection())
    .await?;
    let mut waived = HashMap::with_capacity(rows.len());
    for row in &rows {
        let key = (row.try_get::<Option<String>, _>(0)?.unwrap_or_default(), row.try_get(1)?);
        // Of several the last one stays: the one whose terms end last.
        waived.insert(key, (row.try_get(2)?, row.try_get(3)?));
    }
    Ok(Waived(waived))
}

impl Waived {
    /// The verdict with the waiver for it.
    pub(super) fn reviewed(&self, verdict: PlanVerdict) -> ReviewedVerdict {
        let fails = matches!(verdict.verdict.as_str(), "fail" | "warn");
        let key = || (verdict.resource.clone(), verdict.policy_id.clone());
        let found = if fails { self.0.get(&key()) } else { None };
        let (waiver, waived_until) = found.cloned().unzip();
        ReviewedVerdict { verdict, waiver, waived_until }
    }
}

/// The word for a change's verdicts where failures under a waiver do not count. Where not every verdict is at
/// hand it is the word without waivers.
pub(super) fn compliance(change: &ChangeItem, verdicts: &[ReviewedVerdict], total: u32) -> Compliance {
    let is_whole = u32::try_from(verdicts.len()).is_ok_and(|shown| shown == total);
    let Some(summary) = change.policies.as_ref().filter(|_| is_whole) else { return change.compliance };
    let unwaived = || verdicts.iter().filter(|one| one.waiver.is_none());
    let is_any = |word: &str| unwaived().any(|one| one.verdict.verdict == word);
    if summary.counts.left_out > 0 || summary.decision == PolicyDecision::Allow {
        change.compliance
    } else if is_any("fail") {
        Compliance::Fail
    } else if is_any("warn") || is_any("error") {
        Compliance::Warn
    } else {
        Compliance::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(resource: &str, word: &str) -> PlanVerdict {
        PlanVerdict {
            policy_id: "p".into(),
            policy_hash: "h".into(),
            title: "t".into(),
            severity: "high".into(),
            verdict: word.into(),
            resource: resource.into(),
            resource_type: "aws_kms_key".into(),
            reasons: Vec::new(),
            remediation: String::new(),
        }
    }

    #[test]
    fn a_failure_of_its_resource_and_policy_is_waived() {
        let end: Timestamp = "2026-05-01T00:00:00Z".parse().expect("an instant");
        let waived = Waived([(("a".into(), "p".into()), ("w".into(), end))].into());
        let named = |resource: &str, word: &str| waived.reviewed(verdict(resource, word)).waiver;
        assert_eq!(named("a", "fail").as_deref(), Some("w"));
        assert_eq!(named("a", "warn").as_deref(), Some("w"));
        assert_eq!(named("a", "not_evaluated"), None);
        assert_eq!(named("b", "fail"), None);
    }
}
