//! Who did what.

use serde::{Deserialize, Serialize};

use super::{Actor, Outcome, Resource, kinds};

kinds! {
    /// What somebody did.
    ActivityKind, "activity", {
        /// An API was called, or anything else was done.
        ApiCalled => "api_called",
        /// Somebody signed in.
        SignedIn => "signed_in",
        /// Somebody tried to sign in and failed.
        SignInFailed => "sign_in_failed",
        /// Something was refused for want of a right.
        AccessDenied => "access_denied",
        /// Rights were given, taken or changed.
        PermissionChanged => "permission_changed",
        /// A secret was read.
        SecretRead => "secret_read",
        /// Data left its place.
        DataExported => "data_exported",
    }
}

/// One action of one actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// What kind of action.
    pub kind: ActivityKind,
    /// The action in the source's words, for example `CreateUser`.
    pub action: String,
    /// The service that performed it, for example `iam.amazonaws.com`.
    #[serde(default)]
    pub service: Option<String>,
    /// Who did it.
    pub actor: Actor,
    /// What it was done to; may be empty.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// How it ended.
    #[serde(default)]
    pub outcome: Outcome,
    /// Whether it only read, if known.
    #[serde(default)]
    pub read_only: Option<bool>,
    /// The source's request id.
    #[serde(default)]
    pub request_id: Option<String>,
}
