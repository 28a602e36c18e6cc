//! Protection of data, and monitoring, that would be removed.

use schemas::changes::change_review::FactorKind::{Encryption, NetworkExposure, Safeguard};
use serde_json::Value;

use super::{Findings, Hazards, Place, Rule, note};
use crate::change_review::{
    attributes::visit,
    plan::{Action, Change},
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
const PROTECTING: [(&str, bool); 9] = [
    ("deletion_protection", true),
    ("deletion_protection_enabled", true),
    ("enable_deletion_protection", true),
    ("disable_api_termination", true),
    ("purge_protection_enabled", true),
    ("force_destroy", false),
    ("skip_final_snapshot", false),
    ("versioning.enabled", true),
    ("point_in_time_recovery.enabled", true),
];
/// Flags that enable monitoring.
const WATCHING: [&str; 5] = [
    "enable_logging",
    "enable_log_file_validation",
    "is_multi_region_trail",
    "enable_key_rotation",
    "enable",
];
/// Types that only monitor or record.
const WATCHERS: [&str; 9] = [
    "aws_cloudtrail",
    "aws_config_configuration_recorder",
    "aws_flow_log",
    "aws_guardduty_detector",
    "aws_inspector2_enabler",
    "aws_securityhub_account",
    "azurerm_monitor_diagnostic_setting",
    "google_logging_project_sink",
    "google_logging_organization_sink",
];

/// Finds protecting resources that would be deleted.
pub(super) fn find_removed(
    change: &Change<'_>,
    deletes_buckets: bool,
    place: Place<'_>,
    hazards: &mut Hazards,
) {
    if change.action != Action::Delete {
        return;
    }
    match change.kind {
        kind if WATCHERS.contains(&kind) => hazards.add(&UNWATCHED, place, None),
        "aws_s3_account_public_access_block" => hazards.add(&UNBLOCKED, place, None),
        // They go together with their buckets.
        "aws_s3_bucket_public_access_block" if !deletes_buckets => hazards.add(&UNBLOCKED, place, None),
        "aws_s3_bucket_server_side_encryption_configuration" if !deletes_buckets => {
            hazards.add(&UNENCRYPTED, place, None);
        }
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
        let kept = matches!(before.path, "backup_retention_period" | "backup_retention_days");
        if kept && before.value.as_i64() > Some(0) && after().and_then(Value::as_i64) == Some(0) {
            note(findings, &UNPROTECTED, before.path);
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
