//! Entries of erased subjects: the columns and record that remain without the personal part.

use audit_log::{Hash, columns::Columns};
use schemas::changes::{AuditEntry, OcsfRecord};

/// An entry without its personal part.
pub(crate) struct ErasedEntry {
    /// Its record is the public part, and its columns are those of that.
    pub(crate) entry: AuditEntry,
    /// The leaf of the whole entry.
    pub(crate) leaf: Hash,
    /// The digest of the personal part, with which the leaf can be made.
    pub(crate) digest: Hash,
}

/// The columns that the personal part may have filled, without it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PublicColumns {
    pub(crate) actor: String,
    pub(crate) actor_name: Option<String>,
    pub(crate) actor_ip: Option<String>,
    pub(crate) action: String,
    pub(crate) resource_type: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) other_resources: Vec<String>,
    pub(crate) project: Option<String>,
}

impl PublicColumns {
    /// Those of a record's public part. A record that is not Weir's leaves only its kind.
    pub(crate) fn of(public: &[u8], kind: &str) -> Self {
        match Columns::of(public) {
            Ok(columns) => Self {
                actor: columns.actor,
                actor_name: columns.actor_name,
                actor_ip: columns.actor_ip,
                action: columns.action,
                resource_type: columns.resource_type,
                resource: columns.resource,
                other_resources: columns.other_resources,
                project: columns.project,
            },
            Err(_) => Self { action: kind.to_owned(), ..Self::default() },
        }
    }
}

/// The entry with the public part for its record.
pub(super) fn without_personal_part(entry: &AuditEntry, public: &[u8]) -> AuditEntry {
    let columns = PublicColumns::of(public, entry.kind);
    AuditEntry {
        actor: columns.actor,
        actor_name: columns.actor_name,
        actor_ip: columns.actor_ip,
        action: columns.action,
        resource_type: columns.resource_type,
        resource: columns.resource,
        other_resources: columns.other_resources,
        project: columns.project,
        record: OcsfRecord::new(public.to_vec(), None),
        ..entry.clone()
    }
}
