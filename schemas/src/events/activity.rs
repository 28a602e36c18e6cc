//! Activity events: actions of people and programs.

use serde::{Deserialize, Serialize};

use super::{Actor, Outcome, Resource, kinds};

kinds! {
    /// Kind of an activity.
    ActivityKind, "activity", {
        /// An API call, or any other action.
        ApiCalled => "api_called",
        /// A successful sign-in.
        SignedIn => "signed_in",
        /// A failed sign-in.
        SignInFailed => "sign_in_failed",
        /// An action refused for lack of permission.
        AccessDenied => "access_denied",
        /// Permissions were granted, revoked or changed.
        PermissionChanged => "permission_changed",
        /// A secret was read.
        SecretRead => "secret_read",
        /// Data was exported.
        DataExported => "data_exported",
    }
}

/// One action of one actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Kind of the action.
    pub kind: ActivityKind,
    /// The action in the source's words, for example `CreateUser`.
    pub action: String,
    /// The service that performed it, for example `iam.amazonaws.com`.
    #[serde(default)]
    pub service: Option<String>,
    /// The actor.
    pub actor: Actor,
    /// Resources acted on; may be empty.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// Outcome of the action.
    #[serde(default)]
    pub outcome: Outcome,
    /// Whether the action only read, if known.
    #[serde(default)]
    pub read_only: Option<bool>,
    /// The source's request id.
    #[serde(default)]
    pub request_id: Option<String>,
}
