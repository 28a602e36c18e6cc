//! Resources of Azure and Google Cloud: in calls, and in inventories.

use schemas::changes::compliance::Presence;
use serde_json::{Value, json};

use super::*;

const VAULT: &str = "/subscriptions/S/resourceGroups/shop/providers/Microsoft.KeyVault/vaults/Keys";

/// A record of Azure's activity log about a call.
fn azure(operation: &str, id: &str, rest: &Value) -> Envelope {
    let resource = Resource { cloud: Some("azure".into()), id: id.into(), ..Resource::default() };
    let service = operation.split('/').next().unwrap_or_default().to_ascii_lowercase();
    call("azure.activity", (&service, operation), resource, rest.to_string())
}

fn status(envelope: &Envelope, policy: &str) -> Option<VerdictStatus> {
    let observation = one(envelope);
    observation.verdicts.iter().find(|verdict| verdict.policy.id == policy).map(|verdict| verdict.status)
}

#[test]
fn an_answer_of_azure_shows_the_whole_resource() {
    let vault = json!({"id": VAULT, "properties": {
        "enablePurgeProtection": true, "networkAcls": {"defaultAction": "Allow"}, "publicNetworkAccess": "Enabled",
    }});
    let record = json!({"properties": {"responseBody": vault.to_string()}});
    let written = azure("Microsoft.KeyVault/vaults/write", VAULT, &record);
    assert_eq!(one(&written).resource, VAULT.to_lowercase(), "ids of Azure have no case");
    assert_eq!(status(&written, "azure-key-vault-purge-protection"), Some(VerdictStatus::Pass));
    assert_eq!(status(&written, "azure-key-vault-network"), Some(VerdictStatus::Fail));
    // A member that the answer leaves out has its default.
    assert_eq!(status(&written, "azure-key-vault-rbac"), Some(VerdictStatus::Fail));
}

#[test]
fn a_request_of_azure_shows_what_it_tells() {
    let asked = json!({"properties": {"enablePurgeProtection": false}});
    let record = |method: &str| json!({"httpRequest": {"method": method}, "properties": {"requestbody": asked.to_string()}});
    let put = azure("MICROSOFT.KEYVAULT/VAULTS/WRITE", VAULT, &record("PUT"));
    assert_eq!(status(&put, "azure-key-vault-purge-protection"), Some(VerdictStatus::Fail));
    assert_eq!(status(&put, "azure-key-vault-rbac"), Some(VerdictStatus::NotEvaluated));
    for nothing in [record("PATCH"), json!({"properties": {}}), json!({"properties": "cut {"})] {
        let call = azure("Microsoft.KeyVault/vaults/write", VAULT, &nothing);
        assert_eq!(observations(&call), [], "{nothing}");
    }
}

#[test]
fn what_azure_deletes_is_gone_once_it_is_done() {
    let mut deleted = azure("Microsoft.KeyVault/vaults/delete", VAULT, &json!({}));
    let observation = one(&deleted);
    assert_eq!(
        (observation.presence, observation.resource.as_str()),
        (Presence::Absent, &*VAULT.to_lowercase())
    );
    if let Event::Activity(activity) = &mut deleted.event {
        activity.outcome.status = OutcomeStatus::Unknown;
    }
    assert_eq!(observations(&deleted), [], "it was only begun");
    assert_eq!(observations(&azure("Microsoft.Foo/bars/delete", VAULT, &json!({}))), []);
}

#[test]
fn rules_of_azure_are_read_in_groups_and_alone() {
    let rule = json!({"access": "Allow", "direction": "Inbound", "protocol": "Tcp",
        "sourceAddressPrefix": "*", "destinationPortRange": "22"});
    let group = json!({"properties": {"securityRules": [{"name": "ssh", "properties": rule}]}});
    let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/n";
    let record = |body: &Value| json!({"properties": {"responseBody": body}});
    let whole = azure("Microsoft.Network/networkSecurityGroups/write", id, &record(&group));
    assert_eq!(status(&whole, "azure-network-no-public-ssh"), Some(VerdictStatus::Fail));
    let alone = azure(
        "Microsoft.Network/networkSecurityGroups/securityRules/write",
        &format!("{id}/securityRules/ssh"),
        &record(&json!({"properties": rule})),
    );
    assert_eq!(status(&alone, "azure-network-no-public-ssh"), Some(VerdictStatus::Fail));
    assert_ne!(one(&alone).resource, one(&whole).resource);
}

/// An entry of Google Cloud's audit log.
fn google(method: &str, id: &str, request: &Value) -> Envelope {
    let resource = Resource { id: id.into(), ..Resource::default() };
    let record = json!({"protoPayload": {"request": request}});
    call("gcp.audit", ("x.googleapis.com", method), resource, record.to_string())
}

#[test]
fn requests_of_google_that_create_show_the_resource() {
    let instance = json!({"name": "vm", "canIpForward": true, "networkInterfaces": [{"accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}],
        "metadata": {"items": [{"key": "block-project-ssh-keys", "value": "true"}]}});
    let created = google("v1.compute.instances.insert", "projects/p/zones/z/instances/vm", &instance);
    let is = |policy: &str| status(&created, policy);
    assert_eq!(is("gcp-instance-no-forwarding"), Some(VerdictStatus::Fail));
    assert_eq!(is("gcp-instance-no-public-address"), Some(VerdictStatus::Fail));
    assert_eq!(is("gcp-instance-no-project-keys"), Some(VerdictStatus::Pass));
    let cluster = json!({"cluster": {"name": "c", "legacyAbac": {"enabled": true},
        "databaseEncryption": {"state": "ENCRYPTED"},
        "masterAuthorizedNetworksConfig": {"enabled": true, "cidrBlocks": [{"cidrBlock": "0.0.0.0/0"}]}}});
    let id = "projects/p/locations/l/clusters/c";
    let created = google("google.container.v1.ClusterManager.CreateCluster", id, &cluster);
    let is = |policy: &str| status(&created, policy);
    assert_eq!(is("gcp-gke-no-legacy-authorisation"), Some(VerdictStatus::Fail));
    assert_eq!(is("gcp-gke-secrets-encrypted"), Some(VerdictStatus::Pass));
    assert_eq!(is("gcp-gke-endpoint-narrow"), Some(VerdictStatus::Fail));
    assert_eq!(one(&created).attributes.name.as_deref(), Some("c"));
    let database = json!({"body": {"name": "d", "settings": {"ipConfiguration": {"ipv4Enabled": true,
        "authorizedNetworks": [{"value": "0.0.0.0/0"}]}}}});
    let created = google("cloudsql.instances.create", "projects/p/instances/d", &database);
    assert_eq!(status(&created, "gcp-sql-networks-narrow"), Some(VerdictStatus::Fail));
    for (method, request) in [
        ("google.container.v1.ClusterManager.UpdateCluster", &cluster),
        ("google.container.v1.ClusterManager.CreateCluster", &json!({"@type": "x"})),
        ("v1.compute.instances.insert", &json!({"@type": "type.googleapis.com/compute.instances.insert"})),
        ("myclusters.insert", &instance),
    ] {
        assert_eq!(observations(&google(method, id, request)), [], "{method}");
    }
    for method in ["google.container.v1.ClusterManager.DeleteCluster", "storage.buckets.delete"] {
        assert_eq!(one(&google(method, id, &json!({}))).presence, Presence::Absent, "{method}");
    }
}

/// A row of an inventory, as the gateway maps it.
fn row(format: &str, kind: &str, record: &Value) -> Envelope {
    let mut envelope = google("x", "row", &json!({}));
    envelope.event = Event::Infrastructure(Infrastructure {
        kind: InfrastructureKind::ConfigurationObserved,
        resource: Resource { id: "row".into(), kind: Some(kind.into()), ..Resource::default() },
        actor: None,
        outcome: Outcome::default(),
        change_id: None,
        quantity: None,
        unit: None,
        configuration: None,
    });
    envelope.native = Some(Native { format: format.into(), record: record.to_string().into() });
    envelope
}

#[test]
fn rows_of_inventories_are_judged_by_type() {
    let account = json!({"id": "/subscriptions/s/…/a", "type": "microsoft.storage/storageaccounts", "properties": {
        "supportsHttpsTrafficOnly": true, "minimumTlsVersion": "TLS1_0", "allowBlobPublicAccess": false}});
    let account = row("azure.resource", "microsoft.storage/storageaccounts", &account);
    assert_eq!(status(&account, "azure-storage-tls"), Some(VerdictStatus::Fail));
    assert_eq!(status(&account, "azure-storage-https"), Some(VerdictStatus::Pass));
    assert_eq!(status(&account, "azure-storage-soft-delete"), Some(VerdictStatus::NotEvaluated));
    let bucket = json!({"name": "//storage.googleapis.com/b", "assetType": "storage.googleapis.com/Bucket", "resource": {
        "data": {"iamConfiguration": {"publicAccessPrevention": "inherited",
            "uniformBucketLevelAccess": {"enabled": true}}}}});
    for record in [&bucket, &json!({"asset": bucket})] {
        let bucket = row("gcp.asset", "storage.googleapis.com/Bucket", record);
        assert_eq!(status(&bucket, "gcp-storage-uniform-access"), Some(VerdictStatus::Pass));
        assert_eq!(status(&bucket, "gcp-storage-public-access-prevention"), Some(VerdictStatus::Fail));
    }
    let other = one(&row("gcp.asset", "x.googleapis.com/Y", &json!({})));
    assert_eq!(other.fault.as_deref(), Some("resources of the type x.googleapis.com/Y are not read"));
}
