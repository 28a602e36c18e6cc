//! Gatekeeper's ConstraintTemplates and constraints: match criteria, and the policies that result.

mod matching;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::matching::Criteria;
pub(crate) use self::matching::{Match, Namespaces};

/// The target whose Rego is loaded.
const TARGET: &str = "admission.k8s.gatekeeper.sh";
/// The other objects in the Rego of a template.
const INVENTORY: [&str; 2] = ["data.inventory", "data[\"inventory\"]"];

/// A ConstraintTemplate with its Rego modules.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// The kind of its constraints.
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) rego: String,
    pub(crate) libraries: Vec<String>,
}

/// A constraint: its match criteria, and parameters for its template.
#[derive(Debug, Clone)]
pub(crate) struct Constraint {
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Whether its enforcement action denies.
    pub(crate) is_denying: bool,
    pub(crate) parameters: Value,
    criteria: Criteria,
}

/// Whether a document is a ConstraintTemplate.
pub(crate) fn is_template(document: &Value) -> bool {
    document["kind"] == "ConstraintTemplate"
        && document["apiVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("templates.gatekeeper.sh/"))
}

/// Whether a document is a constraint.
pub(crate) fn is_constraint(document: &Value) -> bool {
    document["apiVersion"].as_str().is_some_and(|version| version.starts_with("constraints.gatekeeper.sh/"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// It has no kind, or no Rego for the admission target.
    pub(crate) fn read(document: &Value) -> Result<Self, String> {
        let kind = text(&document["spec"]["crd"]["spec"]["names"]["kind"]);
        if kind.is_empty() {
            return Err("the template has no `spec.crd.spec.names.kind`".into());
        }
        let targets = document["spec"]["targets"].as_array().ok_or("the template has no `spec.targets`")?;
        let target = targets.iter().find(|target| target["target"] == TARGET);
        let target = target.ok_or_else(|| format!("the template has no target {TARGET}"))?;
        // Newer templates list engines under `code`; the Rego is one of them.
        let code = target["code"].as_array().into_iter().flatten();
        let source = code.filter(|code| code["engine"] == "Rego").map(|code| &code["source"]).next();
        let (rego, libraries) =
            source.map_or((&target["rego"], &target["libs"]), |it| (&it["rego"], &it["libs"]));
        let rego = rego.as_str().ok_or("the template has no Rego")?.to_owned();
        let annotations = &document["metadata"]["annotations"];
        Ok(Self {
            title: text(&annotations["metadata.gatekeeper.sh/title"]),
            description: text(&annotations["description"]),
            kind,
            rego,
            libraries: libraries.as_array().into_iter().flatten().map(text).collect(),
        })
    }

    /// Whether it reads objects other than the reviewed one.
    pub(crate) fn reads_inventory(&self) -> bool {
        let mut texts = std::iter::once(&self.rego).chain(&self.libraries);
        texts.any(|text| INVENTORY.iter().any(|name| text.contains(name)))
    }
}

impl Constraint {
    /// Reads a constraint.
    ///
    /// # Errors
    /// It has no kind or name, its match criteria have the wrong shape or are unknown, or its enforcement action is
    /// unknown.
    pub(crate) fn read(document: &Value) -> Result<Self, String> {
        let (kind, name) = (text(&document["kind"]), text(&document["metadata"]["name"]));
        if kind.is_empty() || name.is_empty() {
            return Err("the constraint has no `kind` or no `metadata.name`".into());
        }
        let spec = &document["spec"];
        let (criteria, is_denying) = (Criteria::read(&spec["match"])?, denies(spec)?);
        let parameters = if spec["parameters"].is_null() { json!({}) } else { spec["parameters"].clone() };
        Ok(Self { kind, name, is_denying, parameters, criteria })
    }

    /// Bytes that identify match criteria and parameters.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        json!([self.kind, self.name, self.is_denying, self.parameters, self.criteria.0])
            .to_string()
            .into_bytes()
    }

    /// Whether the constraint concerns the object of a review.
    pub(crate) fn matches(&self, review: &Value, namespaces: &Namespaces<'_>) -> Match {
        self.criteria.of(review, namespaces)
    }
}

/// Whether the enforcement action denies; of scoped ones the strictest counts.
fn denies(spec: &Value) -> Result<bool, String> {
    let action = spec["enforcementAction"].as_str().unwrap_or("deny");
    if is_action(action) {
        return Ok(action == "deny");
    }
    if action != "scoped" {
        return Err(format!(
            "the enforcement action {action:?} is unknown; known are deny, warn, dryrun and scoped"
        ));
    }
    let scoped = spec["scopedEnforcementActions"].as_array().into_iter().flatten();
    let scoped: Vec<&str> = scoped.map(|one| one["action"].as_str().unwrap_or_default()).collect();
    match scoped.iter().find(|action| !is_action(action)) {
        _ if scoped.is_empty() => {
            Err("the enforcement action is scoped, but `spec.scopedEnforcementActions` lists none".into())
        }
        Some(action) => Err(format!(
            "the scoped enforcement action {action:?} is unknown; known are deny, warn and dryrun"
        )),
        None => Ok(scoped.contains(&"deny")),
    }
}

fn is_action(action: &str) -> bool {
    matches!(action, "deny" | "dryrun" | "warn")
}

/// Objects in the form of `data.inventory` in Gatekeeper's templates.
pub fn inventory<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut cluster: BTreeMap<String, Value> = BTreeMap::new();
    let mut namespaces: BTreeMap<String, Value> = BTreeMap::new();
    for object in objects {
        let metadata = &object["metadata"];
        let (Some(version), Some(kind), Some(name)) =
            (object["apiVersion"].as_str(), object["kind"].as_str(), metadata["name"].as_str())
        else {
            continue;
        };
        if let Some(namespace) = metadata["namespace"].as_str() {
            let place = namespaces.entry(namespace.to_owned()).or_insert_with(|| json!({}));
            place[version][kind][name] = object.clone();
        } else {
            let place = cluster.entry(version.to_owned()).or_insert_with(|| json!({}));
            place[kind][name] = object.clone();
        }
    }
    json!({"cluster": cluster, "namespace": namespaces})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: Value) -> Result<Constraint, String> {
        let mut document = json!({"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sTest",
                                  "metadata": {"name": "test"}});
        document["spec"] = spec;
        Constraint::read(&document)
    }

    #[test]
    fn the_strictest_scoped_action_counts() {
        let scoped = |actions: &[&str]| {
            let actions: Vec<_> = actions.iter().map(|action| json!({"action": action})).collect();
            json!({"enforcementAction": "scoped", "scopedEnforcementActions": actions})
        };
        for (spec, denies) in [
            (json!({}), true),
            (json!({"enforcementAction": "deny"}), true),
            (json!({"enforcementAction": "warn"}), false),
            (scoped(&["warn"]), false),
            (scoped(&["dryrun", "deny"]), true),
        ] {
            assert_eq!(read(spec.clone()).expect("a constraint").is_denying, denies, "{spec}");
        }
        for (spec, reason) in [
            (scoped(&[]), "lists none"),
            (scoped(&["warn", "refuse"]), "\"refuse\" is unknown"),
            (json!({"enforcementAction": "Deny"}), "\"Deny\" is unknown"),
        ] {
            let refused = read(spec.clone()).expect_err("refused");
            assert!(refused.contains(reason), "{spec}: {refused}");
        }
    }

    #[test]
    fn templates_that_read_other_objects_say_so() {
        let template = |rego: &str, library: &str| {
            let document = json!({"spec": {
                "crd": {"spec": {"names": {"kind": "K8sTest"}}},
                "targets": [{"target": TARGET, "rego": rego, "libs": [library]}]}});
            Template::read(&document).expect("a template").reads_inventory()
        };
        assert!(template("x := data.inventory.namespace[ns]", ""));
        assert!(template("", "y := data[\"inventory\"].cluster"));
        assert!(!template("x := input.review.object", "y := data.lib.helpers"));
    }
}
