//! Measurements that divide the cost of Kubernetes nodes by workload: the capacity of a node, and the CPU and memory that
//! pods request and use, by the names of OpenTelemetry's Kubernetes conventions and of Prometheus' kube-state-metrics.
//!
//! Sources: OpenTelemetry semantic conventions, "K8s metrics" and "Kubernetes resources"; kube-state-metrics, "Pod metrics" and
//! "Node metrics"; Kubernetes, "Node: spec.providerID".

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use schemas::{
    changes::cost::{NodeMeasure, NodeShare, Pod, Workload},
    events::{Monitoring, MonitoringKind, Resource},
};

use crate::utilisation::squeezed;

/// Longest name or label, in bytes.
const MAX_TEXT_BYTES: usize = 253;
/// Most labels of a workload; the first ones by name are kept.
const MAX_LABELS: usize = 64;
/// Largest amount: no node has as many bytes.
const MAX_AMOUNT: i64 = 1_000_000_000_000_000;

/// Tags that name the node's machine, the surest first.
const NODE: [&str; 7] = [
    "k8s.node.provider_id",
    "provider_id",
    "host.id",
    "node_resource",
    "k8s.node.name",
    "node",
    "kubernetes_node",
];
/// Tags that name the owner of a pod, the highest first: a cron job owns jobs, a deployment replica sets.
const OWNERS: [&str; 8] = [
    "workload",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
    "deployment",
    "k8s.replicaset.name",
];
/// Beginnings of tags that OpenTelemetry and Prometheus give to Kubernetes labels.
const LABELS: [&str; 4] = ["k8s.pod.label.", "k8s.pod.labels.", "k8s.namespace.label.", "label_"];
/// Tags that say where and how something was measured, which is no label.
const NO_LABELS: [&str; 15] = [
    "pod",
    "container",
    "node",
    "namespace",
    "cluster",
    "resource",
    "unit",
    "uid",
    "instance",
    "job",
    "endpoint",
    "image",
    "provider_id",
    "workload",
    "deployment",
];
/// Beginnings of such tags.
const NO_LABEL_GROUPS: [&str; 7] =
    ["k8s.", "container", "host.", "cloud.", "os.", "service.instance", "node_"];

/// The part of a node that an event measures; `None`: it measures something else, or nothing that can be divided.
pub fn of_monitoring(event: &Monitoring) -> Option<NodeShare> {
    if event.kind != MonitoringKind::UtilisationMeasured {
        return None;
    }
    let tags = &event.subject.tags;
    let measure = measure_of(&squeezed(&event.name), tags.get("resource").map(String::as_str))?;
    let value: Decimal = event.value.as_deref()?.trim().parse().ok()?;
    let amount = in_units(value, measure, event.unit.as_deref().unwrap_or_default())?.normalize();
    if amount.is_sign_negative() && !amount.is_zero() || amount > Decimal::from(MAX_AMOUNT) {
        return None;
    }
    let is_capacity = matches!(
        measure,
        NodeMeasure::CpuAllocatable
            | NodeMeasure::CpuCapacity
            | NodeMeasure::MemoryAllocatable
            | NodeMeasure::MemoryCapacity
    );
    let pod = if is_capacity { None } else { Some(pod(&event.subject)?) };
    let told = first(tags, &NODE).map(machine);
    let node = told.or_else(|| is_capacity.then(|| machine(&event.subject.id)))?;
    (!node.is_empty()).then_some(NodeShare { node, measure, amount, pod })
}

/// The measure of a metric's name in lower case without separators; kube-state-metrics tells CPU and memory apart by a label.
fn measure_of(name: &str, resource: Option<&str>) -> Option<NodeMeasure> {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    // Shares, limits, counters, and memory that is not the pod's to pay for.
    let others =
        ["utiliz", "utilis", "percent", "limit", "time", "rss", "available", "fault", "throttl", "quota"];
    // Init containers are over before the others of their pod run: their requests do not add up with these.
    if has(&others) || has(&["initcontainer"]) {
        return None;
    }
    let is_cpu = name.contains("cpu") || resource == Some("cpu");
    let is_memory = name.contains("mem") || resource == Some("memory");
    let [allocatable, capacity, requested] = ["allocatable", "capacity", "request"].map(|word| has(&[word]));
    let used = has(&["usage", "used", "workingset"]);
    Some(match (is_cpu, is_memory) {
        (true, false) if allocatable => NodeMeasure::CpuAllocatable,
        (true, false) if capacity => NodeMeasure::CpuCapacity,
        (true, false) if requested => NodeMeasure::CpuRequested,
        (true, false) if used => NodeMeasure::CpuUsed,
        (false, true) if allocatable => NodeMeasure::MemoryAllocatable,
        (false, true) if capacity => NodeMeasure::MemoryCapacity,
        (false, true) if requested => NodeMeasure::MemoryRequested,
        (false, true) if name.contains("workingset") => NodeMeasure::MemoryWorkingSet,
        (false, true) if used => NodeMeasure::MemoryUsed,
        _ => return None,
    })
}

/// A value in cores or bytes; `None` if the unit is neither.
fn in_units(value: Decimal, measure: NodeMeasure, unit: &str) -> Option<Decimal> {
    let is_cpu = matches!(
        measure,
        NodeMeasure::CpuAllocatable
            | NodeMeasure::CpuCapacity
            | NodeMeasure::CpuRequested
            | NodeMeasure::CpuUsed
    );
    let unit = unit.trim().trim_matches(['{', '}']).to_ascii_lowercase();
    let times = match (is_cpu, unit.as_str()) {
        (true, "" | "cpu" | "cpus" | "core" | "cores" | "vcpu" | "vcpus")
        | (false, "" | "by" | "b" | "byte" | "bytes") => Decimal::ONE,
        (true, "m" | "millicore" | "millicores" | "millicpu" | "mcpu") => Decimal::new(1, 3),
        (true, "n" | "nanocore" | "nanocores") => Decimal::new(1, 9),
        (false, "kb" | "kby" | "kilobytes") => Decimal::from(1_000),
        (false, "mb" | "mby" | "megabytes") => Decimal::from(1_000_000),
        (false, "gb" | "gby" | "gigabytes") => Decimal::from(1_000_000_000),
        (false, "ki" | "kib" | "kiby") => Decimal::from(1_u64 << 10),
        (false, "mi" | "mib" | "miby") => Decimal::from(1_u64 << 20),
        (false, "gi" | "gib" | "giby") => Decimal::from(1_u64 << 30),
        _ => return None,
    };
    value.checked_mul(times)
}

/// The pod of a subject, with its workload.
fn pod(subject: &Resource) -> Option<Pod> {
    let tags = &subject.tags;
    let kind = squeezed(subject.kind.as_deref().unwrap_or_default());
    let is_container = kind.ends_with("container");
    let own_name = subject.name.as_deref().unwrap_or(&subject.id);
    let named = first(tags, &["k8s.pod.name", "pod"]);
    let name = named.or_else(|| kind.ends_with("pod").then_some(own_name));
    let namespace = first(tags, &["k8s.namespace.name", "namespace"]).unwrap_or_default();
    let id = match (first(tags, &["k8s.pod.uid"]), name) {
        (Some(uid), _) => uid.to_owned(),
        (None, Some(name)) => format!("{namespace}/{name}"),
        (None, None) => return None,
    };
    let container = first(tags, &["k8s.container.name", "container"]);
    let container = container.or_else(|| is_container.then_some(own_name)).unwrap_or_default();
    let cluster = first(tags, &["k8s.cluster.name", "cluster"]).or(subject.account.as_deref());
    let owner = first(tags, &OWNERS).or(name).unwrap_or_default();
    Some(Pod {
        id: cut(&id),
        container: cut(container),
        workload: Workload {
            cluster: cut(cluster.unwrap_or_default()),
            namespace: cut(namespace),
            name: cut(without_hashes(owner)),
            project: cut(subject.project.as_deref().unwrap_or_default()),
            labels: labels(tags),
        },
    })
}

/// The labels among tags.
fn labels(tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let label = |(name, value): (&String, &String)| {
        let labelled = LABELS.iter().find_map(|start| name.strip_prefix(start));
        let is_own = NO_LABELS.contains(&name.as_str())
            || NO_LABEL_GROUPS.iter().any(|start| name.starts_with(start))
            || NODE.contains(&name.as_str());
        let name = labelled.or_else(|| (!is_own).then_some(name.as_str()))?;
        (!name.is_empty()).then(|| (cut(name), cut(value)))
    };
    tags.iter().filter_map(label).take(MAX_LABELS).collect()
}

/// Name of the owner of a pod that is told by the pod's or the replica set's name alone: `api-7d9c5b6f8b-x2x4q` is of `api`.
fn without_hashes(name: &str) -> &str {
    let is_hash = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len())
            && part.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
    };
    let Some((rest, last)) = name.rsplit_once('-') else { return name };
    if is_hash(last, 8..=10) {
        return rest;
    }
    match rest.rsplit_once('-') {
        Some((owner, hash)) if is_hash(last, 5..=5) && is_hash(hash, 8..=10) => owner,
        _ => name,
    }
}

/// Id of a machine as charges name it: a node's `spec.providerID` holds it behind the provider's name.
fn machine(told: &str) -> String {
    let told = told.trim();
    let id = match told.split_once("://") {
        Some(("aws", path)) => path.rsplit('/').next().unwrap_or_default().to_owned(),
        Some(("gce", path)) => match path.split('/').collect::<Vec<_>>()[..] {
            [project, zone, name] => format!("projects/{project}/zones/{zone}/instances/{name}"),
            _ => path.to_owned(),
        },
        Some((_, path)) => path.to_owned(),
        None => told.to_owned(),
    };
    if id.len() > 4 * MAX_TEXT_BYTES { String::new() } else { id }
}

/// The first of these tags that has a value.
fn first<'a>(tags: &'a BTreeMap<String, String>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| tags.get(*name).map(|value| value.trim()).filter(|value| !value.is_empty()))
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::utilisation::tests::measured;

    fn subject(kind: &str, id: &str, tags: &[(&str, &str)]) -> Resource {
        Resource {
            kind: Some(kind.into()),
            id: id.into(),
            tags: tags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..Resource::default()
        }
    }

    const POD: [(&str, &str); 4] =
        [("host.id", "i-0f3b7c21d9a84e650"), ("namespace", "shop"), ("pod", "api-0"), ("team", "ads")];

    fn check(name: &str, unit: Option<&str>, value: &str, expected: Option<(NodeMeasure, &str)>) {
        let found = of_monitoring(&measured(name, unit, value, subject("pod", "api-0", &POD)));
        let found = found.map(|share| (share.measure, share.amount.to_string()));
        assert_eq!(found, expected.map(|(measure, amount)| (measure, amount.to_owned())), "{name} {unit:?}");
    }

    #[test]
    fn metrics_of_pods_are_read_in_cores_and_bytes() {
        check("k8s.pod.cpu.usage", Some("{cpu}"), "0.25", Some((NodeMeasure::CpuUsed, "0.25")));
        check("cpu_usage", Some("millicores"), "250", Some((NodeMeasure::CpuUsed, "0.25")));
        check("k8s.container.cpu_request", Some("{cpu}"), "2", Some((NodeMeasure::CpuRequested, "2")));
        check("memory_requested", Some("Mi"), "512", Some((NodeMeasure::MemoryRequested, "536870912")));
        let set = Some((NodeMeasure::MemoryWorkingSet, "1024"));
        check("k8s.pod.memory.working_set", Some("By"), "1024", set);
        check("container_memory_working_set_bytes", None, "1024", set);
        check("container.memory.usage", Some("By"), "7.50", Some((NodeMeasure::MemoryUsed, "7.5")));
    }

    #[test]
    fn shares_counters_and_other_units_are_left_out() {
        for (name, unit, value) in [
            ("k8s.container.cpu_request_utilization", Some("1"), "0.5"),
            ("k8s.pod.cpu.time", Some("s"), "1200"),
            ("k8s.pod.memory.rss", Some("By"), "1"),
            ("k8s.pod.memory.available", Some("By"), "1"),
            ("k8s.container.memory_limit", Some("By"), "1"),
            ("cpu_usage", Some("percent"), "50"),
            ("cpu_usage", Some("s"), "50"),
            ("memory_usage", Some("pages"), "50"),
            ("cpu_usage", None, "-1"),
            ("cpu_usage", None, "NaN"),
            ("cpu_usage", None, "1e40"),
            ("network_usage", None, "1"),
        ] {
            check(name, unit, value, None);
        }
    }

    #[test]
    fn kube_state_metrics_tell_the_resource_by_a_label() {
        let mut tags = POD.to_vec();
        tags.extend([("resource", "memory"), ("unit", "byte"), ("container", "app")]);
        let of = |tags: &[(&str, &str)]| {
            let name = "kube_pod_container_resource_requests";
            of_monitoring(&measured(name, Some("byte"), "64", subject("Pod", "x", tags)))
        };
        let share = of(&tags).expect("a part");
        assert_eq!(share.measure, NodeMeasure::MemoryRequested);
        let pod = share.pod.expect("a pod");
        assert_eq!((pod.id.as_str(), pod.container.as_str()), ("shop/api-0", "app"));
        assert_eq!(pod.workload.labels, BTreeMap::from([("team".to_owned(), "ads".to_owned())]));
        let name = "kube_pod_init_container_resource_requests";
        let init = of_monitoring(&measured(name, Some("byte"), "64", subject("Pod", "x", &tags)));
        assert_eq!(init, None, "it is over before the others run");
        tags.retain(|(name, _)| *name != "resource");
        assert_eq!(of(&tags), None, "neither CPU nor memory");
    }

    #[test]
    fn capacity_is_of_the_node_itself() {
        let node = subject("k8s.node", "i-0f3b7c21d9a84e650", &[("team", "platform")]);
        let share = of_monitoring(&measured("k8s.node.allocatable_cpu", Some("{cpu}"), "3.92", node))
            .expect("a part");
        assert_eq!(share.node, "i-0f3b7c21d9a84e650");
        assert_eq!((share.measure, share.pod), (NodeMeasure::CpuAllocatable, None));
        // What the node keeps for itself is told apart.
        for (name, measure) in [
            ("kube_node_status_allocatable", NodeMeasure::MemoryAllocatable),
            ("kube_node_status_capacity", NodeMeasure::MemoryCapacity),
        ] {
            let tags = [("node", "worker-1"), ("resource", "memory"), ("unit", "byte")];
            let told = measured(name, Some("byte"), "64", subject("Node", "worker-1", &tags));
            assert_eq!(of_monitoring(&told).map(|share| share.measure), Some(measure), "{name}");
        }
        let used = subject("k8s.node", "i-0f3b7c21d9a84e650", &[]);
        assert_eq!(of_monitoring(&measured("k8s.node.cpu.usage", None, "1", used)), None, "of no pod");
    }

    #[test]
    fn machines_are_named_as_their_charges_are() {
        for (told, expected) in [
            ("aws:///eu-central-1a/i-0f3b7c21d9a84e650", "i-0f3b7c21d9a84e650"),
            ("gce://shop/europe-west1-b/gke-1", "projects/shop/zones/europe-west1-b/instances/gke-1"),
            ("azure:///subscriptions/s/x", "/subscriptions/s/x"),
            ("node-7", "node-7"),
        ] {
            assert_eq!(machine(told), expected);
        }
        let nowhere = of_monitoring(&measured("cpu_usage", None, "1", subject("pod", "p", &[("pod", "p")])));
        assert_eq!(nowhere, None, "no node is named");
    }

    #[test]
    fn owners_are_told_by_tags_or_by_the_name_of_the_pod() {
        for (name, expected) in [
            ("api-7d9c5b6f8b-x2x4q", "api"),
            ("api-7d9c5b6f8b", "api"),
            ("postgres-0", "postgres-0"),
            ("a-very-plain-name", "a-very-plain-name"),
        ] {
            assert_eq!(without_hashes(name), expected);
        }
        let owned = [("k8s.pod.name", "x"), ("k8s.job.name", "nightly-1"), ("k8s.cronjob.name", "nightly")];
        assert_eq!(pod(&subject("k8s.pod", "x", &owned)).expect("a pod").workload.name, "nightly");
        let labelled = [("k8s.pod.name", "x"), ("k8s.pod.label.team", "ads"), ("k8s.pod.uid", "u-1")];
        let pod = pod(&subject("k8s.container", "c", &labelled)).expect("a pod");
        assert_eq!((pod.id.as_str(), pod.container.as_str()), ("u-1", "c"));
        assert_eq!(pod.workload.labels, BTreeMap::from([("team".to_owned(), "ads".to_owned())]));
    }
}
