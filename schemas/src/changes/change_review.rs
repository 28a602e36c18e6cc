//! What the change review processor asks for: facts about proposed changes, and what their plans would do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{estimate::Estimate, policy_verdicts::PlanVerdicts};
use crate::{
    EventId, TenantId, Timestamp,
    events::{ActorKind, OutcomeStatus},
};

/// The processor and its stage.
pub const STAGE: &str = "change_review";

/// One fact about one change: a plan, a request, a decision, or what became of it. Stored once per event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFact {
    /// The event that says it; unique within the tenant.
    pub event_id: EventId,
    /// Whose change.
    pub tenant: TenantId,
    /// The change; at most 512 bytes, longer ids are cut and end in their hash.
    pub change_id: String,
    /// When it happened, by the source's clock.
    pub occurred_at: Timestamp,
    /// What happened.
    pub kind: ChangeFactKind,
    /// Who did it; absent where the source names nobody.
    pub actor: Option<ChangeActor>,
    /// The id of a second party to it: the credential through which a person asked, or the person for whom a credential
    /// decided. Neither may approve what either asked for.
    pub second_party: Option<String>,
    /// The resource it happened to; of a proposal, what the plan is for.
    pub resource: Option<String>,
    /// The project of the resource, or the one that the request names.
    pub project: Option<String>,
    /// The environment that the source names.
    pub environment: Option<String>,
    /// The decision's word as it was said.
    pub decision: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When the decision ends by itself.
    pub expires_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: OutcomeStatus,
    /// The source's code for how it ended.
    pub outcome_code: Option<String>,
    /// Of a proposal: what its plan would do, scored.
    pub proposal: Option<Box<Proposal>>,
    /// [`crate::Envelope::content_sha256`].
    pub content_sha256: [u8; 32],
}

/// Who did something to a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeActor {
    /// What kind of party.
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
    /// What happened to a change: the names of the events' kinds.
    ChangeFactKind {
        /// A plan was made.
        Proposed => "ChangeProposed",
        /// Somebody asked for its approval.
        ApprovalRequested => "ApprovalRequested",
        /// Somebody decided.
        ApprovalDecided => "ApprovalDecided",
        /// A resource came into being.
        Provisioned => "Provisioned",
        /// A resource's size changed.
        Scaled => "Scaled",
        /// A resource was deleted.
        Deleted => "Deleted",
        /// A resource was looked at after the change.
        ConfigurationObserved => "ConfigurationObserved",
        /// The change was completed.
        Completed => "Completed",
        /// The change, or a part of it, failed.
        Failed => "Failed",
    }
}

named! {
    /// How a proposed change goes on, by its score.
    Route {
        /// Below 20: nobody need look.
        Auto => "auto",
        /// 20 to 69: one person approves.
        Review => "review",
        /// 70 to 89: two people approve.
        TwoPerson => "two_person",
        /// 90 and above: not in this form.
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

    /// How many different people must approve; none for a route that is not theirs to decide.
    pub const fn approvals_needed(self) -> u16 {
        match self {
            Self::Auto | Self::Block => 0,
            Self::Review => 1,
            Self::TwoPerson => 2,
        }
    }
}

named! {
    /// How much of a proposal's plan could be read.
    PlanReading {
        /// All of it.
        Read => "read",
        /// Parts could not be read, or the plan says itself that it is not whole.
        Partly => "partly",
        /// Nothing: it is cut short or no plan.
        Unreadable => "unreadable",
        /// The proposal came without a plan that Weir reads.
        Absent => "absent",
    }
}

named! {
    /// What a factor is about.
    FactorKind {
        /// Resources would be deleted.
        Deletion => "deletion",
        /// Resources would be deleted and made anew.
        Replacement => "replacement",
        /// Resources that hold something would be changed in place.
        Update => "update",
        /// What protects data or watches over it would be taken away.
        Safeguard => "safeguard",
        /// Who may do what would change.
        Identity => "identity",
        /// Something would be reachable that was not.
        NetworkExposure => "network_exposure",
        /// Something would be stored or sent unencrypted.
        Encryption => "encryption",
        /// A secret stands in the plan.
        Secret => "secret",
        /// How much would change at once.
        BlastRadius => "blast_radius",
        /// Production would be touched.
        Production => "production",
        /// Somebody changed resources by hand.
        Drift => "drift",
        /// It would cost more by the month.
        Cost => "cost",
        /// Resources would not comply with policies.
        Compliance => "compliance",
        /// The plan itself: missing, cut short, failed.
        Plan => "plan",
    }
}

/// A proposed change as it was assessed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proposal {
    /// 0 to 100: the sum of the factors' points, at most 100.
    pub score: u8,
    /// How it goes on.
    pub route: Route,
    /// What the plan would do.
    pub plan: PlanSummary,
    /// What the score is made of, most points first.
    pub factors: Vec<Factor>,
    /// What it would cost by the month; null where the plan could not be read.
    #[serde(default)]
    pub estimate: Option<Box<Estimate>>,
    /// The verdicts of compliance policies; null where the plan could not be read.
    #[serde(default)]
    pub policies: Option<Box<PlanVerdicts>>,
}

/// What a plan would do, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanSummary {
    /// How much of it could be read.
    pub reading: PlanReading,
    /// `format_version` of the plan.
    pub format_version: Option<String>,
    /// Terraform's version.
    pub terraform_version: Option<String>,
    /// Resources to be made.
    pub creates: u32,
    /// Resources to be changed in place.
    pub updates: u32,
    /// Resources to be deleted and made anew.
    pub replaces: u32,
    /// Resources to be deleted.
    pub deletes: u32,
    /// Resources to be left to themselves.
    pub forgets: u32,
    /// Resources to be taken into the state as they are.
    #[serde(default)]
    pub imports: u32,
    /// Resources that get another address.
    #[serde(default)]
    pub moves: u32,
    /// Resources that somebody changed by hand.
    pub drifted: u32,
    /// Modules with changes, the root among them.
    pub modules: u32,
    /// Changes that could not be read.
    pub unreadable: u32,
    /// Whether production would be touched, as far as names, tags and variables tell.
    pub production: bool,
}

/// One reason for a score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Factor {
    /// What it is about.
    pub kind: FactorKind,
    /// The rule's name within its kind, for example `data_store`.
    pub rule: String,
    /// What it adds to the score.
    pub points: u8,
    /// Why, for people. Never holds a value out of the plan.
    pub reason: String,
    /// The resources behind it, in the plan's order; the first 20.
    pub resources: Vec<FactorResource>,
    /// How many there are.
    pub resources_total: u32,
}

/// A resource behind a factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FactorResource {
    /// Its address in the plan.
    pub address: String,
    /// The attribute, without its value; absent where the whole resource is meant.
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
    fn names_are_found_again_and_are_those_of_json() {
        for kind in ChangeFactKind::ALL {
            assert_eq!(ChangeFactKind::from_name(kind.name()), Some(*kind));
            assert_eq!(serde_json::to_value(kind).expect("a name"), kind.name());
        }
        assert_eq!(Route::from_name("maybe"), None);
    }
}
