//! The states of a change: of its approval, of what was decided, of the change itself.

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
    /// How far an approval is. Costs are not analysed yet: no change is ever between risk and people.
    ApprovalState {
        /// Nobody asked, nothing was proposed.
        NotRequested => "not_requested",
        /// Somebody asked; there is no plan yet.
        Requested => "requested",
        /// The plan is scored; nobody asked yet.
        RiskAssessed => "risk_assessed",
        /// People are to decide.
        HumanReview => "human_review",
        /// It is decided, by people or by its score.
        Decided => "decided",
    }
}

states! {
    /// What was decided.
    Decision {
        /// Enough people approved.
        Approved => "approved",
        /// Somebody rejected it.
        Rejected => "rejected",
        /// Its score lets it pass.
        Auto => "auto",
        /// Its score does not let it pass.
        Blocked => "blocked",
    }
}

states! {
    /// How far the change itself is.
    ProvisioningState {
        /// Nobody asked, nothing was proposed.
        NotRequested => "not_requested",
        /// It was asked for; no plan of it can be read.
        Requested => "requested",
        /// Its plan can be read, but is not whole.
        Validated => "validated",
        /// Its plan is whole.
        Planned => "planned",
        /// It may be applied.
        Approved => "approved",
        /// It is being applied.
        Applied => "applied",
        /// What it made is observed.
        Monitored => "monitored",
        /// It is done.
        Completed => "completed",
        /// It, or a part of it, failed.
        Failed => "failed",
        /// It was taken back.
        RolledBack => "rolled_back",
    }
}

impl Decision {
    /// Whether the change may be applied.
    pub fn lets_pass(self) -> bool {
        matches!(self, Self::Approved | Self::Auto)
    }
}
