//! States of a change: approval, decision, provisioning.

use schemas::changes::change_review::PlanReading;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $word:tt),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// The name in rows and answers.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The state of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|state| state.name() == name)
            }
        }
    };
}

states! {
    /// State of an approval. Costs are not analysed yet: there is no state between risk and human review.
    ApprovalState {
        /// Nothing was requested or proposed.
        NotRequested => "not_requested",
        /// Approval was requested; there is no plan yet.
        Requested => "requested",
        /// The plan is scored; nobody requested approval yet.
        RiskAssessed => "risk_assessed",
        /// Waiting for people to decide.
        HumanReview => "human_review",
        /// Decided, by people or by the score.
        Decided => "decided",
    }
}

states! {
    /// Decision on a change.
    Decision {
        /// Enough people approved.
        Approved => "approved",
        /// Somebody rejected it.
        Rejected => "rejected",
        /// Passed automatically by its score.
        Auto => "auto",
        /// Blocked by its score.
        Blocked => "blocked",
    }
}

states! {
    /// State of the change itself.
    ProvisioningState {
        /// Nothing was requested or proposed.
        NotRequested => "not_requested",
        /// Requested, without a readable plan.
        Requested => "requested",
        /// The plan is readable but incomplete.
        Validated => "validated",
        /// The plan is complete.
        Planned => "planned",
        /// The change may be applied.
        Approved => "approved",
        /// The change is being applied.
        Applied => "applied",
        /// Its resources were observed after the change.
        Monitored => "monitored",
        /// The change is completed.
        Completed => "completed",
        /// The change, or a part of it, failed.
        Failed => "failed",
        /// The change was rolled back.
        RolledBack => "rolled_back",
    }
}

impl ProvisioningState {
    /// State of a change whose plan could be read so far, and on which nothing is decided yet.
    pub(super) const fn proposed(reading: PlanReading) -> Self {
        match reading {
            PlanReading::Read => Self::Planned,
            PlanReading::Partly => Self::Validated,
            PlanReading::Unreadable | PlanReading::Absent => Self::Requested,
        }
    }
}

impl Decision {
    /// Whether the change may be applied.
    pub fn lets_pass(self) -> bool {
        matches!(self, Self::Approved | Self::Auto)
    }
}
