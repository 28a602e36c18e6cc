//! Kubernetes objects, lists of them, and `AdmissionReview` v1 documents as subjects.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{Refused, Subject};

/// Resources with objects that policies evaluate, and their kinds.
pub const KINDS: &[(&str, &str)] = &[
    ("pods", "Pod"),
    ("deployments", "Deployment"),
    ("statefulsets", "StatefulSet"),
    ("daemonsets", "DaemonSet"),
    ("replicasets", "ReplicaSet"),
    ("replicationcontrollers", "ReplicationController"),
    ("jobs", "Job"),
    ("cronjobs", "CronJob"),
    ("services", "Service"),
    ("serviceaccounts", "ServiceAccount"),
    ("ingresses", "Ingress"),
    ("networkpolicies", "NetworkPolicy"),
    ("configmaps", "ConfigMap"),
    ("roles", "Role"),
    ("rolebindings", "RoleBinding"),
    ("clusterroles", "ClusterRole"),
    ("clusterrolebindings", "ClusterRoleBinding"),
];

/// Whether a document has the form of a Kubernetes object.
pub fn is_object(document: &Value) -> bool {
    document["apiVersion"].is_string() && document["kind"].is_string()
}

/// The review of a document, as Gatekeeper's templates read it: the request of an `AdmissionReview`, or one
/// created from the object.
///
/// # Errors
/// It is not a Kubernetes object, or a review without one.
pub fn review(document: &Value) -> Result<Value, Refused> {
    if !is_object(document) {
        return Err(Refused("a Kubernetes object has an `apiVersion` and a `kind`".into()));
    }
    if document["kind"] != "AdmissionReview" {
        return Ok(json!({
            "kind": group_version_kind(document),
            "name": document["metadata"]["name"],
            "namespace": document["metadata"]["namespace"],
            "operation": "CREATE",
            "object": document,
        }));
    }
    let request = &document["request"];
    let object = [&request["object"], &request["oldObject"]].into_iter().find(|object| object.is_object());
    let Some(object) = object else {
        return Err(Refused(
            "the AdmissionReview has neither `request.object` nor `request.oldObject`".into(),
        ));
    };
    let mut review = request.clone();
    if !review["kind"].is_object() {
        review["kind"] = group_version_kind(object);
    }
    Ok(review)
}

/// Objects of a document, as subjects.
///
/// # Errors
/// As [`review`].
pub fn subjects(document: &Value) -> Result<Vec<Subject>, Refused> {
    let items = document["items"].as_array();
    if let (Some(items), true) = (items, document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")))
    {
        return items.iter().map(subject).collect();
    }
    Ok(vec![subject(document)?])
}

pub(crate) fn subject(document: &Value) -> Result<Subject, Refused> {
    let review = review(document)?;
    let object = if review["object"].is_object() { &review["object"] } else { &review["oldObject"] };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, namespace) = (text(&object["metadata"]["name"]), text(&object["metadata"]["namespace"]));
    let kind = text(&object["kind"]);
    let parts = [kind.as_str(), &namespace, &name].into_iter().filter(|part| !part.is_empty());
    let address = parts.collect::<Vec<_>>().join("/");
    let input = json!({
        "resource": {"address": address, "type": kind, "name": name, "namespace": namespace},
        "config": object,
        "review": review,
    });
    Ok(Subject {
        address,
        kind,
        input: input.into(),
        unknown: BTreeSet::new(),
        is_deferred: false,
        review: Some(review),
    })
}

fn group_version_kind(object: &Value) -> Value {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    json!({"group": group, "version": version, "kind": object["kind"]})
}
