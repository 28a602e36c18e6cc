//! The compliance policies that are in force.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Folders;
use crate::policy::in_force::PolicySources;

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
    /// The sources that a running process reads.
    pub(crate) fn sources(&self) -> PolicySources {
        PolicySources { own: self.own, folders: self.folders() }
    }

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
