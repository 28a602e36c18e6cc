//! The compliance policies that are in force.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Folders;

/// `[policies]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Policies {
    /// Folders of compliance policies, beside Weir's own: one path, or a list.
    rego: Folders,
    /// Whether Weir's own policies are in force.
    pub(crate) own: bool,
}

impl Policies {
    /// The folders in the order they were named.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.rego.list()
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self { rego: Folders::Many(Vec::new()), own: true }
    }
}
