//! Protection of data, and monitoring, that would be removed.

use std::collections::BTreeSet;

use schemas::changes::change_review::FactorKind::{Encryption, NetworkExposure, Safeguard};
use serde_json::Value;

use super::{Findings, Hazards, Place, Rule, note};
use crate::change_review::{
    attributes::visit,
    plan::{Action, Change, Plan},
};

static UNPROTECTED: Rule = Rule {
    kind: Safeguard,
    name: "protection_off",
    points: 20,
    reason: "protection against deletion, or backups, would be turned off",
};
static UNWATCHED: Rule = Rule {
    kind: Safeguard,
    name: "watching_off",
    points: 30,
    reason: "monitoring or logging would be turned off",
};
static UNBLOCKED: Rule = Rule {
    kind: NetworkExposure,
    name: "public_access_block_deleted",
    points: 35,
    reason: "the block of public access to objects would be deleted",
};
static UNENCRYPTED: Rule = Rule {
    kind: Encryption,
    name: "settings_deleted",
    points: 35,
    reason: "the encryption settings of stored data would be deleted",
};

/// Flags that protect, and their protecting value.
const PROTECTING: [(&str, bool); 18] = [
    ("deletion_protection", true),
    ("deletion_protection_enabled", true),
    ("enable_deletion_protection", true),
    ("disable_api_stop", true),
    ("disable_api_termination", true),
    ("enable_drop_protection", true),
    ("purge_protection_enabled", true),
    ("soft_delete_enabled", true),
    ("force_destroy", false),
    ("skip_final_snapshot", false),
    ("versioning.enabled", true),
    ("point_in_time_recovery.enabled", true),
    ("settings.backup_configuration.enabled", true),
    ("settings.backup_configuration.point_in_time_recovery_enabled", true),
    ("settings.deletion_protection_enabled", true),
    ("automated_backup_policy.enabled", true),
    ("continuous_backup_config.enabled", true),
    ("blob_properties.versioning_enabled", true),
];
/// Texts that protect or watch: type, path, the value that does, and the rule for any other.
static STATUSES: [(&str, &str, &str, &Rule); 2] = [
    ("aws_s3_bucket_versioning", "versioning_configuration.status", "Enabled", &UNPROTECTED),
    ("aws_macie2_account", "status", "ENABLED", &UNWATCHED),
];
/// Numbers of days or copies for which backups are kept; zero: none are made.
const KEPT: [&str; 5] = [
    "automated_snapshot_retention_period",
    "automatic_backup_retention_days",
    "backup_retention_days",
    "backup_retention_period",
    "snapshot_retention_limit",
];
/// Flags that enable monitoring.
const WATCHING: [&str; 6] = [
    "enable_logging",
    "enable_log_file_validation",
    "is_multi_region_trail",
    "enable_key_rotation",
    "enable",
    "is_enabled",
];
/// Types that only monitor or record.
const WATCHERS: [&str; 11] = [
    "aws_cloudtrail",
    "aws_config_configuration_recorder",
    "aws_config_configuration_recorder_status",
    "aws_flow_log",
    "aws_guardduty_detector",
    "aws_inspector2_enabler",
    "aws_macie2_account",
    "aws_securityhub_account",
    "azurerm_monitor_diagnostic_setting",
    "google_logging_project_sink",
    "google_logging_organization_sink",
];

/// Buckets that a plan deletes. What protects them goes with them.
#[derive(Debug, Default)]
pub(super) struct DeletedBuckets<'c> {
    /// Names of the buckets.
    names: BTreeSet<&'c str>,
    /// Modules and names of the resources.
    resources: BTreeSet<(&'c str, &'c str)>,
    /// Those of them whose bucket's name the plan does not say.
    unnamed: BTreeSet<(&'c str, &'c str)>,
}

impl<'c> DeletedBuckets<'c> {
    pub(super) fn of(plan: &'c Plan<'_>) -> Self {
        let mut buckets = Self::default();
        let deleted =
            |change: &&Change<'_>| change.kind == "aws_s3_bucket" && change.action == Action::Delete;
        for bucket in plan.changes.iter().filter(deleted) {
            let texts = ["bucket", "id"].map(|name| bucket.before.get(name).and_then(Value::as_str));
            let named = texts.iter().any(Option::is_some);
            buckets.names.extend(texts.into_iter().flatten());
            buckets.resources.insert(resource(bucket));
            if !named {
                buckets.unnamed.insert(resource(bucket));
            }
        }
        buckets
    }

    /// Whether the bucket that the deleted resource protects is deleted as well.
    fn hold(&self, change: &Change<'_>) -> bool {
        match change.before.get("bucket").and_then(Value::as_str) {
            Some(bucket) => self.names.contains(bucket) || self.unnamed.contains(&resource(change)),
            None => self.resources.contains(&resource(change)),
        }
    }
}

/// Module and name of a resource, without its type.
fn resource<'c>(change: &'c Change<'_>) -> (&'c str, &'c str) {
    let name = change.address.strip_prefix(change.module).unwrap_or(&change.address);
    let name = name.trim_start_matches('.');
    let name = name.strip_prefix(change.kind).and_then(|name| name.strip_prefix('.')).unwrap_or(name);
    (change.module, name)
}

/// Finds protecting resources that would be deleted.
pub(super) fn find_removed(
    change: &Change<'_>,
    buckets: &DeletedBuckets<'_>,
    place: Place<'_>,
    hazards: &mut Hazards,
) {
    if change.action != Action::Delete {
        return;
    }
    match change.kind {
        kind if WATCHERS.contains(&kind) => hazards.add(&UNWATCHED, place, None),
        "aws_s3_account_public_access_block" => hazards.add(&UNBLOCKED, place, None),
        "aws_s3_bucket_public_access_block" if !buckets.hold(change) => hazards.add(&UNBLOCKED, place, None),
        "aws_s3_bucket_server_side_encryption_configuration" if !buckets.hold(change) => {
            hazards.add(&UNENCRYPTED, place, None);
        }
        // Without it, versioning is suspended.
        "aws_s3_bucket_versioning" if !buckets.hold(change) => hazards.add(&UNPROTECTED, place, None),
        _ => {}
    }
}

/// Finds protection that is on before the change and off after it.
pub(super) fn find_turned_off(change: &Change<'_>, findings: &mut Findings) {
    if change.action != Action::Update {
        return;
    }
    let watcher = WATCHERS.contains(&change.kind);
    visit(change.before, &Value::Null, &mut |before| {
        let after = || lookup(change.after, before.path);
        let flag = PROTECTING.iter().find(|(name, _)| *name == before.path);
        if let Some((_, safe)) = flag
            && *before.value == Value::Bool(*safe)
            && after() == Some(&Value::Bool(!safe))
        {
            note(findings, &UNPROTECTED, before.path);
        }
        let kept = KEPT.contains(&before.path);
        if kept && before.value.as_i64() > Some(0) && after().and_then(Value::as_i64) == Some(0) {
            note(findings, &UNPROTECTED, before.path);
        }
        let status = STATUSES.iter().find(|(kind, path, ..)| *kind == change.kind && *path == before.path);
        if let Some((_, _, on, rule)) = status
            && before.value.as_str() == Some(*on)
            && after().and_then(Value::as_str).is_some_and(|after| after != *on)
        {
            note(findings, rule, before.path);
        }
        let watching = (watcher || before.path == "enable_key_rotation") && WATCHING.contains(&before.path);
        if watching && *before.value == Value::Bool(true) && after() == Some(&Value::Bool(false)) {
            note(findings, &UNWATCHED, before.path);
        }
    });
}

/// The value at a path of names; the first element of lists.
fn lookup<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(object, |value, name| match value.get(name)? {
        Value::Array(values) => values.first(),
        value => Some(value),
    })
}
