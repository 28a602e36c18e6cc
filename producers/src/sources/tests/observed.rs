//! Configuration items of AWS Config, and states of Terraform.

use schemas::{Envelope, events::Infrastructure};

use super::*;
use crate::sources::terraform::state::{self, StateSeen};

fn infrastructure(envelope: Envelope) -> Infrastructure {
    match envelope.event {
        Event::Infrastructure(event) => event,
        other => panic!("no infrastructure: {other:?}"),
    }
}

fn item(status: &str) -> Value {
    json!({
        "version": "1.3", "configurationItemCaptureTime": "2026-02-03T04:05:06.789Z",
        "configurationItemStatus": status, "configurationStateId": "17", "resourceType": "AWS::EC2::Volume",
        "ARN": "arn:aws:ec2:eu-west-1:123456789012:volume/vol-1", "resourceId": "vol-1",
        "awsAccountId": "123456789012", "awsRegion": "eu-west-1", "tags": {"project": "shop"},
        "configuration": {"volumeId": "vol-1", "encrypted": false},
    })
}

#[test]
fn an_item_is_an_observed_configuration_of_its_resource() {
    let mapped = map(SourceFormat::Config, &item("OK").to_string());
    assert_eq!((mapped.oddities.id_derived, mapped.oddities.time_assumed), (false, false));
    assert_eq!(mapped.envelope.occurred_at.to_rfc3339(), "2026-02-03T04:05:06.789+00:00");
    let event = infrastructure(mapped.envelope);
    assert_eq!(event.kind, InfrastructureKind::ConfigurationObserved);
    let resource = &event.resource;
    assert_eq!(resource.id, "arn:aws:ec2:eu-west-1:123456789012:volume/vol-1");
    assert_eq!(
        (resource.kind.as_deref(), resource.cloud.as_deref()),
        (Some("AWS::EC2::Volume"), Some("aws"))
    );
    assert_eq!(
        (resource.account.as_deref(), resource.region.as_deref()),
        (Some("123456789012"), Some("eu-west-1"))
    );
    assert_eq!(resource.tags["project"], "shop");
    for status in ["ResourceDeleted", "ResourceDeletedNotRecorded"] {
        let gone = infrastructure(map(SourceFormat::Config, &item(status).to_string()).envelope);
        assert_eq!(gone.kind, InfrastructureKind::Deleted, "{status}");
    }
}

#[test]
fn a_notification_of_a_change_carries_its_item() {
    let tenant = TenantId::new("acme").expect("a plain name");
    let notification =
        json!({"configurationItem": item("OK"), "messageType": "ConfigurationItemChangeNotification"});
    let carried = SourceFormat::Config.map(&tenant, &notification.to_string()).expect("an item");
    let own = SourceFormat::Config.map(&tenant, &item("OK").to_string()).expect("an item");
    assert_eq!(carried.envelope.id, own.envelope.id, "by either way it is one event");
    for (record, reason) in [
        (json!({"resourceId": "x"}), "no resourceType"),
        (json!({"resourceType": "AWS::EC2::Volume"}), "no ARN and no resourceId"),
        (json!({"values": {}, "format_version": "1.0"}), "weir import config"),
    ] {
        let refused = SourceFormat::Config.map(&tenant, &record.to_string()).expect_err("no item");
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

fn state() -> Value {
    json!({"format_version": "1.0", "terraform_version": "1.9.0", "values": {
        "outputs": {"secret": {"sensitive": true, "value": "s3cret"}},
        "root_module": {
            "resources": [
                {"address": "aws_s3_bucket.logs", "mode": "managed", "type": "aws_s3_bucket", "name": "logs",
                 "values": {"bucket": "logs", "id": "logs", "arn": "arn:aws:s3:::logs", "tags": {"project": "shop"}},
                 "sensitive_values": {"tags": {}}},
                {"address": "data.aws_ami.x", "mode": "data", "type": "aws_ami", "name": "x", "values": {"id": "logs"}},
            ],
            "child_modules": [{"address": "module.a", "resources": [
                {"address": "module.a.aws_s3_bucket_public_access_block.logs", "mode": "managed",
                 "type": "aws_s3_bucket_public_access_block", "name": "logs",
                 "values": {"bucket": "logs", "block_public_acls": true}, "sensitive_values": {}},
                {"address": "module.a.aws_db_instance.db", "mode": "managed", "type": "aws_db_instance", "name": "db",
                 "values": {"arn": "arn:aws:rds:eu-west-1:123456789012:db:db", "password": "s3cret"},
                 "sensitive_values": {"password": true}},
            ]}],
        },
    }})
}

fn read(state: &Value, workspace: &str, at: &str) -> Result<Vec<Result<Mapped, String>>, String> {
    let tenant = TenantId::new("acme").expect("a plain name");
    let at = at.parse().expect("an instant");
    let seen = StateSeen { tenant: &tenant, workspace, at, time_assumed: false };
    state::read(state.to_string().as_bytes(), seen)
}

#[test]
fn a_state_shows_each_managed_resource_as_plans_name_it() {
    let found: Vec<Mapped> = read(&state(), "terraform", "2026-02-01T00:00:00Z")
        .expect("a state")
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("resources");
    for mapped in &found {
        assert_eq!(through_the_topic(&mapped.envelope), mapped.envelope);
        let text = format!("{:?}", mapped.envelope);
        assert!(!text.contains("s3cret"), "what is sensitive does not travel along");
    }
    let events: Vec<Infrastructure> = found.iter().map(|one| infrastructure(one.envelope.clone())).collect();
    let ids: Vec<&str> = events.iter().map(|event| event.resource.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "terraform/aws_s3_bucket.logs",
            "terraform/module.a.aws_s3_bucket_public_access_block.logs",
            "terraform/module.a.aws_db_instance.db",
        ]
    );
    let document = |place: usize| -> Value {
        serde_json::from_str(events[place].configuration.as_deref().expect("a configuration")).expect("JSON")
    };
    let bucket = document(0);
    assert_eq!((&bucket["type"], &bucket["config"]["bucket"]), (&json!("aws_s3_bucket"), &json!("logs")));
    assert_eq!(bucket["resources"][0]["type"], "aws_s3_bucket_public_access_block", "it names the bucket");
    assert_eq!(events[0].resource.tags["project"], "shop");
    let database = document(2);
    assert_eq!((&database["unknown"]["password"], &database["resources"]), (&json!(true), &json!([])));
    assert_eq!(events[2].resource.account.as_deref(), Some("123456789012"));
}

#[test]
fn a_state_that_is_read_again_gives_the_same_events() {
    let ids = |workspace: &str, at: &str| -> Vec<schemas::EventId> {
        let found = read(&state(), workspace, at).expect("a state");
        found.into_iter().map(|one| one.expect("a resource").envelope.id).collect()
    };
    let first = ids("terraform", "2026-02-01T00:00:00Z");
    assert_eq!(first, ids("terraform", "2026-02-01T00:00:00Z"));
    assert!(first.iter().all(|id| !ids("prod", "2026-02-01T00:00:00Z").contains(id)));
    assert!(
        first.iter().all(|id| !ids("terraform", "2026-02-02T00:00:00Z").contains(id)),
        "it may have changed meanwhile"
    );
}

#[test]
fn what_is_no_state_is_refused_with_its_place() {
    let mut deep = json!({"address": "m"});
    for _ in 0..105 {
        deep = json!({"child_modules": [deep]});
    }
    for (document, reason) in [
        (json!({"format_version": "1.2", "planned_values": {}}), "weir import terraform-plan"),
        (json!({"version": 4, "serial": 3, "lineage": "x", "resources": []}), "terraform show -json"),
        (json!({"format_version": "2.0", "values": {}}), "/format_version"),
        (json!({"values": {}}), "/format_version"),
        (json!({"format_version": "1.0", "values": 7}), "/values"),
        (json!({"format_version": "1.0", "values": {"root_module": deep}}), "recursion limit"),
    ] {
        let refused = read(&document, "terraform", "2026-02-01T00:00:00Z").expect_err("no state");
        assert!(refused.contains(reason), "{refused}");
    }
    assert_eq!(
        read(&json!({"format_version": "1.0"}), "w", "2026-02-01T00:00:00Z").expect("an empty one").len(),
        0
    );
    let tenant = TenantId::new("acme").expect("a plain name");
    let seen = StateSeen { tenant: &tenant, workspace: "w", at: ASSUMED_TIME, time_assumed: false };
    let cut = state::read(&state().to_string().as_bytes()[..200], seen).expect_err("cut");
    assert!(cut.contains("line 1 column 200"), "{cut}");
    let odd = json!({"format_version": "1.0", "values": {"root_module": {"child_modules": [{"resources": [{"type": "t"}]}]}}});
    let odd = read(&odd, "w", "2026-02-01T00:00:00Z").expect("a state").remove(0).expect_err("no resource");
    assert_eq!(odd, "/values/root_module/child_modules/0/resources/0: the resource has no `address`");
}

#[test]
fn the_beginning_of_a_file_tells_states_from_items() {
    assert!(state::may_be_state(state().to_string().as_bytes()));
    let snapshot = json!({"fileVersion": "1.0", "configurationItems": [item("OK")]});
    assert!(!state::may_be_state(snapshot.to_string().as_bytes()));
    assert!(!state::may_be_state(b"[]"));
}

#[test]
fn rows_of_other_inventories_are_observed_configurations_too() {
    let row = json!({
        "id": "/subscriptions/S/resourceGroups/Shop/providers/Microsoft.KeyVault/vaults/Keys", "name": "Keys",
        "type": "microsoft.keyvault/vaults", "location": "westeurope", "resourceGroup": "shop", "subscriptionId": "S",
        "tags": {"project": "till"}, "properties": {"enablePurgeProtection": true},
        "observedAt": "2026-02-03T04:05:06Z",
    });
    let mapped = map(SourceFormat::Config, &row.to_string());
    assert_eq!((mapped.oddities.id_derived, mapped.oddities.time_assumed), (false, false));
    assert_eq!(mapped.envelope.native.as_ref().map(|native| native.format.as_str()), Some("azure.resource"));
    let resource = infrastructure(mapped.envelope).resource;
    assert_eq!(resource.id, "/subscriptions/s/resourcegroups/shop/providers/microsoft.keyvault/vaults/keys");
    assert_eq!(
        (resource.kind.as_deref(), resource.tags["project"].as_str()),
        (Some("microsoft.keyvault/vaults"), "till")
    );

    let asset = json!({
        "name": "//compute.googleapis.com/projects/p/zones/z/instances/vm", "assetType": "compute.googleapis.com/Instance",
        "resource": {"location": "z", "data": {"name": "vm"}}, "updateTime": "2026-02-03T04:05:06Z",
    });
    let mapped = map(SourceFormat::Config, &asset.to_string());
    assert_eq!(mapped.envelope.occurred_at.to_rfc3339(), "2026-02-03T04:05:06+00:00");
    let event = infrastructure(mapped.envelope);
    assert_eq!(
        (event.kind, event.resource.id.as_str()),
        (InfrastructureKind::ConfigurationObserved, "projects/p/zones/z/instances/vm")
    );
    assert_eq!(event.resource.account.as_deref(), Some("p"));
    let gone = json!({"asset": {"name": "//storage.googleapis.com/b", "assetType": "storage.googleapis.com/Bucket"}, "deleted": true});
    let gone = infrastructure(map(SourceFormat::Config, &gone.to_string()).envelope);
    assert_eq!((gone.kind, gone.resource.id.as_str()), (InfrastructureKind::Deleted, "projects/_/buckets/b"));

    let tenant = TenantId::new("acme").expect("a plain name");
    for (record, reason) in [
        (json!({"id": "/subscriptions/s/x", "type": "a/b"}), "az graph query"),
        (json!({"assetType": "a/B"}), "no name"),
        (json!({"assetType": "a/B", "name": "//a/b"}), "content type `resource`"),
    ] {
        let refused = SourceFormat::Config.map(&tenant, &record.to_string()).expect_err("refused");
        assert!(refused.to_string().contains(reason), "{record}: {refused}");
    }
}
