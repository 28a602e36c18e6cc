//! Terraform plans of proposed changes: small, made up, and with different hazards.

use schemas::{EventId, Native, envelope::native_format};
use serde_json::{Value, json};

/// The plan of an operation, as `terraform show -json` writes it; equal operations propose the same.
pub(super) fn plan(service: &str, undertaking: EventId) -> Native {
    let [.., which] = *undertaking.as_uuid().as_bytes();
    let (kind, actions, before, after) = change(which);
    let record = json!({
        "format_version": "1.2",
        "terraform_version": "1.11.2",
        "complete": true,
        "errored": false,
        "resource_changes": [{
            "address": format!("module.{service}.{kind}.main"),
            "module_address": format!("module.{service}"),
            "mode": "managed",
            "type": kind,
            "name": "main",
            "provider_name": "registry.terraform.io/hashicorp/aws",
            "change": { "actions": actions, "before": before, "after": after, "after_unknown": {} },
        }],
    });
    Native { format: native_format::TERRAFORM_PLAN.into(), record: record.to_string().into() }
}

/// Type, actions, before and after. Most changes need one review; few need two, and now and then one is
/// blocked.
fn change(which: u8) -> (&'static str, Value, Value, Value) {
    match which {
        0..150 => {
            let storage = |gib: u32| json!({ "allocated_storage": gib, "storage_encrypted": true });
            ("aws_db_instance", json!(["update"]), storage(100), storage(200))
        }
        150..230 => {
            let boundary = |name: &str| json!({ "name": "deployer", "permissions_boundary": name });
            ("aws_iam_role", json!(["update"]), boundary("narrow"), boundary("narrower"))
        }
        230..245 => {
            let open = |cidr: &str| json!({ "ingress": [{ "from_port": 22, "to_port": 22, "cidr_blocks": [cidr] }] });
            ("aws_security_group", json!(["update"]), open("10.0.0.0/8"), open("0.0.0.0/0"))
        }
        245..253 => {
            let engine = |version: &str| json!({ "engine_version": version, "storage_encrypted": true });
            ("aws_db_instance", json!(["delete", "create"]), engine("15.8"), engine("17.4"))
        }
        253.. => ("aws_dynamodb_table", json!(["delete"]), json!({ "hash_key": "id" }), Value::Null),
    }
}
