//! Kubernetes objects as manifests and as the provider's own resources.

use FactorKind::{Deletion, Identity, NetworkExposure, Production, Secret};
use schemas::changes::change_review::FactorKind;
use serde_json::{Value, json};

use super::*;

/// Checks that both forms of an object match these rules when they are created.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "objects read best where they are made in place")]
fn both(kind: &str, resource: Value, manifest: Value, expected: &[(FactorKind, &str)]) {
    let typed = scored(&[create(&format!("{kind}.a"), resource)]);
    let plain = scored(&[create("kubernetes_manifest.a", json!({ "manifest": manifest }))]);
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(rules(&typed), expected, "typed");
    assert_eq!(rules(&plain), expected, "manifest");
    assert_eq!(typed.score, plain.score);
}

#[test]
fn an_object_has_the_hazards_of_its_kind_in_both_forms() {
    both(
        "kubernetes_cluster_role_binding",
        json!({"metadata": [{"name": "a"}], "role_ref": [{"name": "cluster-admin"}], "subject": [{"name": "bob"}]}),
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "a"}, "roleRef": {"name": "cluster-admin"},
               "subjects": [{"name": "bob"}]}),
        &[(Identity, "grants_everything")],
    );
    both(
        "kubernetes_role_binding",
        json!({"role_ref": [{"name": "view"}], "subject": [{"name": "system:anonymous"}]}),
        json!({"kind": "RoleBinding", "roleRef": {"name": "view"}, "subjects": [{"name": "system:anonymous"}]}),
        &[(Identity, "grants_anybody")],
    );
    both(
        "kubernetes_cluster_role",
        json!({"rule": [{"verbs": ["*"], "resources": ["*"]}]}),
        json!({"kind": "ClusterRole", "rules": [{"verbs": ["*"], "resources": ["*"]}]}),
        &[(Identity, "grants_everything")],
    );
    both(
        "kubernetes_service",
        json!({"spec": [{"type": "LoadBalancer"}]}),
        json!({"kind": "Service", "spec": {"type": "LoadBalancer"}}),
        &[(NetworkExposure, "public_endpoint")],
    );
    both(
        "kubernetes_service_account",
        json!({"metadata": [{"name": "a", "namespace": "production"}]}),
        json!({"kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "production"}}),
        &[(Identity, "changed"), (Production, "touched")],
    );
}

#[test]
fn secrets_in_manifests_are_found() {
    let finds = |manifest: Value| {
        let proposal = scored(&[create("kubernetes_manifest.a", json!({ "manifest": manifest }))]);
        rules(&proposal).contains(&(Secret, "plain_value"))
    };
    for data in ["data", "stringData"] {
        assert!(finds(json!({"kind": "Secret", data: {"license": "Y29ycmVjdA=="}})), "{data}");
    }
    assert!(!finds(json!({"kind": "ConfigMap", "data": {"license": "Y29ycmVjdA=="}})));
}

#[test]
fn a_deleted_object_is_lost_as_one_of_its_kind() {
    let typed = scored(&[delete("kubernetes_persistent_volume_claim.a", json!({}))]);
    let claim = json!({"manifest": {"kind": "PersistentVolumeClaim"}});
    let plain = scored(&[delete("kubernetes_manifest.a", claim)]);
    assert_eq!(rules(&plain), rules(&typed));
    assert!(rules(&plain).iter().any(|(kind, _)| *kind == Deletion));
}
