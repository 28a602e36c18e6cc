//! Facts about proposed changes and the assessment of their plans: rows that change review hands to its sink.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{estimate::Estimate, policy_verdicts::PlanVerdicts};
use crate::{
    EventId, TenantId, Timestamp,
    events::{ActorKind, OutcomeStatus},
};

/// The processor and its stage.
pub const STAGE: &str = "change_review";

/// One fact about one change: a plan, a request, a decision, or progress. Stored once per event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFact {
    /// Id of the event; unique within the tenant.
    pub event_id: EventId,
    /// Tenant of the change.
    pub tenant: TenantId,
    /// Id of the change; at most 512 bytes, longer ids are cut and end in their hash.
    pub change_id: String,
    /// Time of the event, by the source's clock.
    pub occurred_at: Timestamp,
    /// Kind of the fact.
    pub kind: ChangeFactKind,
    /// Actor; absent where the source names nobody.
    pub actor: Option<ChangeActor>,
    /// Id of a second party: the credential through which a person asked, or the person for whom a credential
    /// decided. Neither may approve a change that either requested.
    pub second_party: Option<String>,
    /// Resource that was acted on; for a proposal, the workspace or target of the plan.
    pub resource: Option<String>,
    /// The project of the resource, or the one that the request names.
    pub project: Option<String>,
    /// The environment that the source names.
    pub environment: Option<String>,
    /// The decision's word as it was said.
    pub decision: Option<String>,
    /// The proposal that the decision is about: the id of its event, as it was said.
    pub decided_proposal: Option<String>,
    /// Reason that the actor gave.
    pub reason: Option<String>,
    /// Time at which the decision expires.
    pub expires_at: Option<Timestamp>,
    /// Outcome of the action.
    pub outcome: OutcomeStatus,
    /// The source's status or error code.
    pub outcome_code: Option<String>,
    /// The assessed plan; only for a proposal.
    pub proposal: Option<Box<Proposal>>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Actor of a change fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeActor {
    /// Kind of the actor.
    pub kind: ActorKind,
    /// Stable id within the tenant; never empty.
    pub id: String,
    /// Name for people.
    pub name: Option<String>,
}

/// Declares an enum whose variants have names in rows and answers.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $word:tt),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in rows and answers.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }
    };
}

named! {
    /// Kind of a change fact, named as the kind of its event.
    ChangeFactKind {
        /// A plan was made.
        Proposed => "ChangeProposed",
        /// Its approval was requested.
        ApprovalRequested => "ApprovalRequested",
        /// It was approved or rejected.
        ApprovalDecided => "ApprovalDecided",
        /// A resource came into being.
        Provisioned => "Provisioned",
        /// A resource's size changed.
        Scaled => "Scaled",
        /// A resource was deleted.
        Deleted => "Deleted",
        /// A resource was observed after the change.
        ConfigurationObserved => "ConfigurationObserved",
        /// The change was completed.
        Completed => "Completed",
        /// The change, or a part of it, failed.
        Failed => "Failed",
    }
}

/// Outcome code of a change that was rolled back.
pub const ROLLED_BACK: &str = "rolled_back";

impl ChangeFactKind {
    /// Whether a fact of this kind with that outcome code reports that the change was rolled back.
    pub fn reports_rollback(self, outcome_code: Option<&str>) -> bool {
        matches!(self, Self::Completed | Self::Failed) && outcome_code == Some(ROLLED_BACK)
    }
}

named! {
    /// Review route of a proposed change, derived from its score.
    Route {
        /// Below 20: needs no approval.
        Auto => "auto",
        /// 20 to 69: needs one approval.
        Review => "review",
        /// 70 to 89: needs approvals of two people.
        TwoPerson => "two_person",
        /// 90 and above: blocked; the change must be reworked.
        Block => "block",
    }
}

impl Route {
    /// The route of a score of 0 to 100.
    pub const fn of(score: u8) -> Self {
        match score {
            0..20 => Self::Auto,
            20..70 => Self::Review,
            70..90 => Self::TwoPerson,
            _ => Self::Block,
        }
    }

    /// Number of different people who must approve; `None` if the route needs or allows no approval.
    pub const fn approvals_needed(self) -> u16 {
        match self {
            Self::Auto | Self::Block => 0,
            Self::Review => 1,
            Self::TwoPerson => 2,
        }
    }
}

named! {
    /// Completeness of reading a proposal's plan.
    PlanReading {
        /// The whole plan was read.
        Read => "read",
        /// Parts could not be read, or the plan declares itself incomplete.
        Partly => "partly",
        /// Nothing could be read: the plan is truncated or no Terraform plan.
        Unreadable => "unreadable",
        /// The proposal came without a plan that Weir reads.
        Absent => "absent",
    }
}

named! {
    /// Category of a risk factor.
    FactorKind {
        /// Resources would be deleted.
        Deletion => "deletion",
        /// Resources would be replaced (deleted and created again).
        Replacement => "replacement",
        /// Stateful resources or parts of the network would be changed in place.
        Update => "update",
        /// Protection of data, or monitoring, would be removed.
        Safeguard => "safeguard",
        /// Permissions or identities would change.
        Identity => "identity",
        /// A resource would become reachable over the network.
        NetworkExposure => "network_exposure",
        /// Data would be stored or sent unencrypted.
        Encryption => "encryption",
        /// The plan contains a secret.
        Secret => "secret",
        /// Many resources or modules would change at once.
        BlastRadius => "blast_radius",
        /// Production would be affected.
        Production => "production",
        /// Resources drifted: somebody changed them outside Terraform.
        Drift => "drift",
        /// The monthly cost would rise.
        Cost => "cost",
        /// Resources would not comply with policies.
        Compliance => "compliance",
        /// The plan itself is missing, truncated or failed.
        Plan => "plan",
    }
}

/// Assessment of a proposed change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proposal {
    /// Score, 0 to 100: the sum of the factors' points, capped at 100.
    pub score: u8,
    /// Review route that follows from the score.
    pub route: Route,
    /// Numbers of changes in the plan.
    pub plan: PlanSummary,
    /// Factors that make up the score, most points first.
    pub factors: Vec<Factor>,
    /// Estimated monthly cost; null where the plan could not be read.
    #[serde(default)]
    pub estimate: Option<Box<Estimate>>,
    /// The verdicts of compliance policies; null where the plan could not be read.
    #[serde(default)]
    pub policies: Option<Box<PlanVerdicts>>,
}

/// Numbers of planned changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanSummary {
    /// Completeness of reading the plan.
    pub reading: PlanReading,
    /// `format_version` of the plan.
    pub format_version: Option<String>,
    /// Terraform's version.
    pub terraform_version: Option<String>,
    /// Resources to be created.
    pub creates: u32,
    /// Resources to be changed in place.
    pub updates: u32,
    /// Resources to be replaced (deleted and created again).
    pub replaces: u32,
    /// Resources to be deleted.
    pub deletes: u32,
    /// Resources to be removed from the state without being deleted.
    pub forgets: u32,
    /// Existing resources to be imported into the state.
    #[serde(default)]
    pub imports: u32,
    /// Resources whose address changes.
    #[serde(default)]
    pub moves: u32,
    /// Resources that were changed outside Terraform.
    pub drifted: u32,
    /// Modules with changes, the root among them.
    pub modules: u32,
    /// Changes that could not be read.
    pub unreadable: u32,
    /// Whether production is affected, judging by names, tags and variables.
    pub production: bool,
}

/// One factor of a score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Factor {
    /// Category of the factor.
    pub kind: FactorKind,
    /// Name of the rule within the category, for example `data_store`.
    pub rule: String,
    /// Points that it adds to the score.
    pub points: u8,
    /// Explanation for people. Never contains a value from the plan.
    pub reason: String,
    /// Resources that cause the factor, in the plan's order; at most 20.
    pub resources: Vec<FactorResource>,
    /// Number of resources that cause the factor.
    pub resources_total: u32,
}

/// A resource that causes a factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FactorResource {
    /// Resource address in the plan.
    pub address: String,
    /// Attribute, without its value; absent where the factor is about the whole resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_follow_the_score() {
        let at = |score| Route::of(score).name();
        assert_eq!(
            [0, 19, 20, 69, 70, 89, 90, 100].map(at),
            ["auto", "auto", "review", "review", "two_person", "two_person", "block", "block"]
        );
    }

    #[test]
    fn the_end_of_a_change_may_be_a_rollback() {
        let ends = [ChangeFactKind::Completed, ChangeFactKind::Failed];
        for kind in ChangeFactKind::ALL {
            assert_eq!(kind.reports_rollback(Some(ROLLED_BACK)), ends.contains(kind), "{kind:?}");
            assert!(!kind.reports_rollback(Some("done")) && !kind.reports_rollback(None), "{kind:?}");
        }
    }

    #[test]
    fn names_are_found_again_and_are_those_of_json() {
        for kind in ChangeFactKind::ALL {
            assert_eq!(ChangeFactKind::from_name(kind.name()), Some(*kind));
            assert_eq!(serde_json::to_value(kind).expect("a name"), kind.name());
        }
        assert_eq!(Route::from_name("maybe"), None);
    }
}
