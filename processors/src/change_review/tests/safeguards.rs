//! Protection that providers' own resources have, and that a plan turns off.

use FactorKind::{Encryption, NetworkExposure, Safeguard};
use schemas::changes::change_review::FactorKind;
use serde_json::{Value, json};

use super::*;

const PROTECTION: (FactorKind, &str) = (Safeguard, "protection_off");
const WATCHING: (FactorKind, &str) = (Safeguard, "watching_off");

/// Checks that one change is missed and its opposite is not.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "configurations read best where they are made in place")]
fn turned_off(address: &str, on: Value, off: Value, expected: (FactorKind, &str)) {
    let found = |before: &Value, after: &Value| {
        let proposal = scored(&[update(address, before.clone(), after.clone())]);
        rules(&proposal).contains(&expected)
    };
    assert!(found(&on, &off), "{address} off");
    assert!(!found(&off, &on), "{address} on");
    assert!(!found(&on, &on), "{address} stays on");
}

#[test]
fn what_providers_protect_by_is_missed_once_it_is_off() {
    for off in ["Suspended", "Disabled"] {
        // Some providers write blocks as lists of one, others as objects.
        let list = |status: &str| json!({"versioning_configuration": [{"status": status}]});
        turned_off("aws_s3_bucket_versioning.a", list("Enabled"), list(off), PROTECTION);
        let object = |status: &str| json!({"versioning_configuration": {"status": status}});
        turned_off("aws_s3_bucket_versioning.a", object("Enabled"), object(off), PROTECTION);
    }
    let recorder = |on: bool| json!({"name": "default", "is_enabled": on});
    turned_off("aws_config_configuration_recorder_status.a", recorder(true), recorder(false), WATCHING);
    let macie = |status: &str| json!({"status": status});
    turned_off("aws_macie2_account.a", macie("ENABLED"), macie("PAUSED"), WATCHING);
    let settings: [fn(bool) -> Value; 3] = [
        |on| json!({"backup_configuration": [{"enabled": on}]}),
        |on| json!({"backup_configuration": [{"enabled": true, "point_in_time_recovery_enabled": on}]}),
        |on| json!({"deletion_protection_enabled": on}),
    ];
    for settings in settings {
        let database = |on: bool| json!({"settings": [settings(on)]});
        turned_off("google_sql_database_instance.a", database(true), database(false), PROTECTION);
    }
    let storage = |on: bool| json!({"blob_properties": [{"versioning_enabled": on}]});
    turned_off("azurerm_storage_account.a", storage(true), storage(false), PROTECTION);
    let cache = |copies: u8| json!({"snapshot_retention_limit": copies});
    turned_off("aws_elasticache_cluster.a", cache(5), cache(0), PROTECTION);
}

#[test]
fn only_its_own_bucket_takes_its_protection_along() {
    let protecting = [
        ("aws_s3_bucket_public_access_block", (NetworkExposure, "public_access_block_deleted")),
        ("aws_s3_bucket_server_side_encryption_configuration", (Encryption, "settings_deleted")),
        ("aws_s3_bucket_versioning", PROTECTION),
    ];
    let of = |name: &str| json!({ "bucket": name });
    for (kind, rule) in protecting {
        let missed = |bucket: Value, address: &str, before: Value| {
            let deleted = [delete(&format!("{kind}.a"), bucket), delete(address, before)];
            rules(&scored(&deleted)).contains(&rule)
        };
        assert!(!missed(of("logs"), "aws_s3_bucket.other", of("logs")), "{kind}: its own");
        assert!(!missed(of("logs"), "aws_s3_bucket.other", json!({"id": "logs"})), "{kind}: its own, by id");
        assert!(missed(of("logs"), "aws_s3_bucket.a", of("scratch")), "{kind}: another");
        assert!(missed(of("logs"), "aws_s3_bucket.other", json!({})), "{kind}: another, of an unknown name");
        // The plan does not say which bucket it is: then the name of the resource does.
        assert!(!missed(json!({}), "aws_s3_bucket.a", of("logs")), "{kind}: of the same name");
        assert!(missed(json!({}), "module.m.aws_s3_bucket.a", of("logs")), "{kind}: in another module");
    }
}
