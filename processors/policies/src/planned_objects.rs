//! Kubernetes objects that a Terraform plan declares (`kubernetes_deployment`, `kubernetes_manifest`), in the form of
//! the Kubernetes API, so that policies about objects judge them.
//!
//! The provider names members in snake case, writes objects as blocks with one element, and names lists in the
//! singular: <https://registry.terraform.io/providers/hashicorp/kubernetes/latest/docs>.

use serde_json::{Map, Value, json};

/// Resource types without `kubernetes_` and the suffix of a version, with API version and kind.
const KINDS: &[(&str, &str, &str)] = &[
    ("pod", "v1", "Pod"),
    ("deployment", "apps/v1", "Deployment"),
    ("stateful_set", "apps/v1", "StatefulSet"),
    ("daemonset", "apps/v1", "DaemonSet"),
    ("daemon_set", "apps/v1", "DaemonSet"),
    ("replication_controller", "v1", "ReplicationController"),
    ("job", "batch/v1", "Job"),
    ("cron_job", "batch/v1", "CronJob"),
    ("service", "v1", "Service"),
    ("service_account", "v1", "ServiceAccount"),
    ("ingress", "networking.k8s.io/v1", "Ingress"),
    ("network_policy", "networking.k8s.io/v1", "NetworkPolicy"),
    ("config_map", "v1", "ConfigMap"),
    ("role", "rbac.authorization.k8s.io/v1", "Role"),
    ("role_binding", "rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("cluster_role", "rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("cluster_role_binding", "rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
];
/// Blocks that are lists in the API, with their names there.
const LISTS: &[(&str, &str)] = &[
    ("container", "containers"),
    ("init_container", "initContainers"),
    ("ephemeral_container", "ephemeralContainers"),
    ("volume", "volumes"),
    ("volume_mount", "volumeMounts"),
    ("volume_device", "volumeDevices"),
    ("volume_claim_template", "volumeClaimTemplates"),
    ("env", "env"),
    ("env_from", "envFrom"),
    ("port", "ports"),
    ("ports", "ports"),
    ("toleration", "tolerations"),
    ("host_aliases", "hostAliases"),
    ("image_pull_secrets", "imagePullSecrets"),
    ("image_pull_secret", "imagePullSecrets"),
    ("secret", "secrets"),
    ("sysctl", "sysctls"),
    ("subject", "subjects"),
    ("rule", "rules"),
    ("tls", "tls"),
    ("from", "from"),
    ("to", "to"),
    ("match_expressions", "matchExpressions"),
    ("topology_spread_constraint", "topologySpreadConstraints"),
    ("http_header", "httpHeaders"),
    ("items", "items"),
    ("sources", "sources"),
];
/// Members whose names in the API are not their own in camel case.
const NAMES: &[(&str, &str)] = &[
    ("host_pid", "hostPID"),
    ("host_ipc", "hostIPC"),
    ("host_ip", "hostIP"),
    ("cluster_ip", "clusterIP"),
    ("cluster_ips", "clusterIPs"),
    ("external_ips", "externalIPs"),
    ("load_balancer_ip", "loadBalancerIP"),
    ("fs_group", "fsGroup"),
];
/// Numbers that the provider keeps as texts.
const NUMBERS: [&str; 3] = ["run_as_user", "run_as_group", "fs_group"];
/// Maximum nesting of blocks.
const MAX_DEPTH: usize = 64;

/// Kind and object of a planned resource; `None` if the resource is no Kubernetes object.
pub(crate) fn object(resource_type: &str, config: &Value) -> Option<Value> {
    let name = resource_type.strip_prefix("kubernetes_")?;
    if name == "manifest" {
        let manifest = &config["manifest"];
        return crate::kubernetes::is_object(manifest).then(|| manifest.clone());
    }
    let name = ["_v1", "_v1beta1", "_v2"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    let (_, version, kind) = KINDS.iter().find(|(known, ..)| *known == name)?;
    let mut object = converted(config, kind, 0);
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    Some(object)
}

/// The same for a mask of unknown values.
pub(crate) fn mask(config_mask: &Value) -> Value {
    if config_mask.is_object() { converted(config_mask, "", 0) } else { json!({}) }
}

fn converted(block: &Value, kind: &str, depth: usize) -> Value {
    let mut out = Map::new();
    for (name, value) in block.as_object().into_iter().flatten() {
        if value.is_null() || depth > MAX_DEPTH {
            continue;
        }
        // Rules of a network policy have no names of their own.
        let is_rules = kind == "NetworkPolicy" && depth == 1 && matches!(name.as_str(), "ingress" | "egress");
        let list = LISTS.iter().find(|(block, _)| block == name).map(|(_, list)| *list);
        let list = list.or(is_rules.then_some(name.as_str()));
        let name_there = list.map_or_else(|| api_name(name), ToOwned::to_owned);
        out.insert(name_there, member(name, value, list.is_some(), kind, depth + 1));
    }
    Value::Object(out)
}

fn member(name: &str, value: &Value, is_list: bool, kind: &str, depth: usize) -> Value {
    match value {
        Value::Array(blocks) if blocks.iter().all(Value::is_object) => {
            let mut blocks = blocks.iter().map(|block| converted(block, kind, depth));
            if is_list { blocks.collect() } else { blocks.next().unwrap_or_else(|| json!({})) }
        }
        Value::String(text) if NUMBERS.contains(&name) => {
            text.parse::<i64>().map_or_else(|_| value.clone(), Value::from)
        }
        // Maps (labels, limits) and lists of texts are written as in the API.
        _ => value.clone(),
    }
}

fn api_name(name: &str) -> String {
    if let Some((_, other)) = NAMES.iter().find(|(own, _)| *own == name) {
        return (*other).to_owned();
    }
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let capital = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &capital.into_iter().chain(letters).collect::<String>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Document, Evaluator, Execution, PolicySet, Status, Surroundings};

    #[test]
    fn blocks_become_members_of_an_object() {
        let config = json!({
            "metadata": [{"name": "web", "namespace": "shop", "labels": {"app_name": "web"}}],
            "spec": [{"replicas": "2", "template": [{"spec": [{
                "host_pid": true, "service_account_name": null,
                "security_context": [{"run_as_user": "0", "run_as_non_root": false}],
                "container": [{
                    "name": "a", "image": "nginx:1", "command": ["sh", "-c"], "env": [],
                    "security_context": [{"privileged": true, "capabilities": [{"add": ["NET_ADMIN"]}]}],
                    "resources": [{"limits": {"cpu": "1"}}], "port": [{"container_port": 80}],
                }],
                "volume": [{"name": "v", "host_path": [{"path": "/"}]}],
            }]}]}],
        });
        let object = object("kubernetes_deployment_v1", &config).expect("an object");
        assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("apps/v1"), &json!("Deployment")));
        assert_eq!(object["metadata"]["labels"]["app_name"], "web", "labels are nobody's members");
        let pod = &object["spec"]["template"]["spec"];
        assert_eq!((&pod["hostPID"], &pod["securityContext"]["runAsUser"]), (&json!(true), &json!(0)));
        assert!(pod.get("serviceAccountName").is_none());
        assert_eq!(pod["volumes"][0]["hostPath"]["path"], "/");
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["capabilities"]["add"][0], "NET_ADMIN");
        assert_eq!((&container["env"], &container["ports"][0]["containerPort"]), (&json!([]), &json!(80)));
        assert_eq!(container["resources"]["limits"]["cpu"], "1");
    }

    #[test]
    fn a_planned_object_is_judged_as_one_under_its_address() {
        let pod = json!({"metadata": [{"name": "p"}], "spec": [{"host_network": true, "container": [{"name": "c"}]}]});
        let plan = json!({"format_version": "1.2", "resource_changes": [{
            "address": "kubernetes_pod.p", "mode": "managed", "type": "kubernetes_pod", "name": "p",
            "change": {"actions": ["create"], "before": null, "after": pod,
                       "after_unknown": {"spec": [{"container": [{"image": true}]}]}},
        }]});
        let document = Document::from_value(&plan).expect("a plan");
        let kinds: Vec<_> = document.subjects.iter().map(|subject| subject.kind.as_str()).collect();
        assert_eq!(kinds, ["kubernetes_pod", "Pod"]);
        assert!(
            document.subjects[1].is_unknown("spec.containers.image"),
            "{:?}",
            document.subjects[1].unknown
        );
        let set = PolicySet::own(Config { execution: Execution::Interpreted, ..Config::default() });
        let wanted = ["kubernetes-no-host-network", "kubernetes-no-host-pid"];
        let evaluation = Evaluator::new(&set).evaluate(&set, &document, &Surroundings::default(), |policy| {
            wanted.contains(&policy.id.as_str())
        });
        let told: Vec<_> =
            evaluation.verdicts.iter().map(|one| (one.resource.as_str(), one.status)).collect();
        assert_eq!(told, [("kubernetes_pod.p", Status::Fail), ("kubernetes_pod.p", Status::Pass)]);
    }

    #[test]
    fn rules_and_manifests_are_objects_too() {
        let role = json!({"rule": [{"api_groups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
        assert_eq!(
            object("kubernetes_cluster_role", &role).expect("a role")["rules"][0]["apiGroups"][0],
            "*"
        );
        let policy = json!({"spec": [{"pod_selector": [{}], "ingress": [{"from": []}, {}]}]});
        let policy = object("kubernetes_network_policy", &policy).expect("a policy");
        assert_eq!(policy["spec"], json!({"podSelector": {}, "ingress": [{"from": []}, {}]}));
        let manifest = json!({"manifest": {"apiVersion": "v1", "kind": "Pod", "spec": {"hostIPC": true}}});
        assert_eq!(object("kubernetes_manifest", &manifest).as_ref(), Some(&manifest["manifest"]));
        for other in ["kubernetes_labels", "kubernetes_namespace", "aws_instance"] {
            assert_eq!(object(other, &json!({})), None, "{other}");
        }
    }
}
