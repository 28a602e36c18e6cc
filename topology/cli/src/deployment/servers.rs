//! The servers that a process was started with, to tell when `weir up` is called with others.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stack::Endpoints;

use crate::{credential::without_password, output::hex};

/// Hash of the servers' addresses, without passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Servers(String);

impl Servers {
    /// The servers of these endpoints.
    pub(crate) fn of(endpoints: &Endpoints) -> Self {
        let database = without_password(&endpoints.database_url);
        let registry = endpoints.registry.as_deref().map(without_password);
        let named = serde_json::json!([endpoints.kafka, database, registry]);
        Self(hex(&Sha256::digest(named.to_string())))
    }
}
