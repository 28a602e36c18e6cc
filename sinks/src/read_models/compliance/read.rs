//! Reading compliance: posture, controls, verdicts, resources, findings, waivers and scorecards, as of any instant.
//!
//! The instant is one of event time: a resource is as its latest observation up to it shows, and waivers hold by their own
//! times. Observations that arrive late change what is answered for an instant in the past.

mod findings;
mod posture;
mod resource;
mod scorecards;
mod verdicts;
mod waivers;

use schemas::{TenantId, Timestamp};
use sqlx::{Postgres, QueryBuilder};

pub use findings::{FindingItem, FindingKey, FindingStatus, FindingsFilter, FindingsRequest, findings};
pub use posture::{
    ControlDetail, ControlItem, ControlRequest, Posture, PostureRequest, ProjectPosture, control, posture,
};
pub use resource::{ObservationItem, ResourceDetail, resource};
pub use scorecards::{ScorecardItem, ScorecardsRequest, Tier, scorecards};
pub use verdicts::{VerdictItem, VerdictKey, VerdictsFilter, VerdictsRequest, verdicts};
pub use waivers::{WaiverItem, WaiverStatus, WaiversFilter, WaiversRequest, waivers};

/// The stage that fills the tables; its positions say what an answer reflects.
pub use schemas::changes::compliance::STAGE;

/// The resources that exist at an instant, each by its latest state: `tenant_id`, `resource`, `valid_from`,
/// `event_id`, `verdicts_key`, `resource_type`, `project`. The caller appends conditions on `r` and `s`.
fn push_seen(query: &mut QueryBuilder<Postgres>, tenant: &TenantId, as_of: Timestamp) {
    query.push(
        "SELECT s.* FROM compliance_resource AS r CROSS JOIN LATERAL (
             SELECT * FROM compliance_state AS h WHERE h.tenant_id = r.tenant_id AND h.resource = r.resource
                AND h.valid_from <= ",
    );
    query.push_bind(as_of).push(
        " ORDER BY h.valid_from DESC, h.event_id DESC LIMIT 1) AS s
           WHERE s.verdicts_key IS NOT NULL AND r.tenant_id = ",
    );
    query.push_bind(tenant.as_str().to_owned());
}

/// The waiver that holds at an instant for a resource and a policy, of several the one whose terms end last, as `w`:
/// `waiver`, `expires_at`. That one of them is revoked later is not known at the instant.
fn push_waived(query: &mut QueryBuilder<Postgres>, (resource, policy): (&str, &str), as_of: Timestamp) {
    query.push(
        " LEFT JOIN LATERAL (SELECT e.waiver, e.expires_at FROM compliance_waived AS e WHERE e.tenant_id = ",
    );
    query.push(tenant_of(resource)).push(".tenant_id AND e.resource = ").push(resource);
    query.push(" AND e.policy_id = ").push(policy).push(" AND e.valid_from <= ").push_bind(as_of);
    query.push(" AND e.valid_to > ").push_bind(as_of);
    query.push(" ORDER BY e.expires_at DESC, e.waiver LIMIT 1) AS w ON true");
}

/// The table's name before a column.
fn tenant_of(column: &str) -> &str {
    column.split('.').next().unwrap_or(column)
}
