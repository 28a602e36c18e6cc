//! Kubernetes objects that a plan declares as they are, in `kubernetes_manifest`: they are examined as the provider's own
//! resources of their kind are.

use serde_json::Value;

use super::plan::Change;

/// The resource type whose member `manifest` is an object of the Kubernetes API.
const MANIFEST: &str = "kubernetes_manifest";
/// Kinds of objects that have a resource type of their own.
const KINDS: [(&str, &str); 20] = [
    ("ClusterRole", "kubernetes_cluster_role"),
    ("ClusterRoleBinding", "kubernetes_cluster_role_binding"),
    ("ConfigMap", "kubernetes_config_map"),
    ("CronJob", "kubernetes_cron_job"),
    ("DaemonSet", "kubernetes_daemonset"),
    ("Deployment", "kubernetes_deployment"),
    ("Ingress", "kubernetes_ingress"),
    ("Job", "kubernetes_job"),
    ("Namespace", "kubernetes_namespace"),
    ("NetworkPolicy", "kubernetes_network_policy"),
    ("PersistentVolume", "kubernetes_persistent_volume"),
    ("PersistentVolumeClaim", "kubernetes_persistent_volume_claim"),
    ("Pod", "kubernetes_pod"),
    ("Role", "kubernetes_role"),
    ("RoleBinding", "kubernetes_role_binding"),
    ("Secret", "kubernetes_secret"),
    ("Service", "kubernetes_service"),
    ("ServiceAccount", "kubernetes_service_account"),
    ("StatefulSet", "kubernetes_stateful_set"),
    ("StorageClass", "kubernetes_storage_class"),
];

/// The resource type of the object in a manifest, and the object; `None` if the resource is no manifest of a known kind.
pub(super) fn typed<'v>(kind: &str, configuration: &'v Value) -> Option<(&'static str, &'v Value)> {
    let object = configuration.get("manifest").filter(|_| kind == MANIFEST)?;
    let named = object.get("kind")?.as_str()?;
    KINDS.iter().find(|(kind, _)| *kind == named).map(|(_, typed)| (*typed, object))
}

/// The object of a manifest, of whatever kind; else the configuration itself.
pub(super) fn object<'v>(kind: &str, configuration: &'v Value) -> &'v Value {
    let manifest = configuration.get("manifest").filter(|manifest| kind == MANIFEST && manifest.is_object());
    manifest.unwrap_or(configuration)
}

/// The type of the changed resource: for a manifest, that of its object.
pub(super) fn kind_of<'a>(change: &Change<'a>) -> &'a str {
    let typed = [change.after, change.before].into_iter().find_map(|side| typed(change.kind, side));
    typed.map_or(change.kind, |(kind, _)| kind)
}
