//! Gatekeeper's ConstraintTemplates and constraints: match criteria, and the policies that result.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The target whose Rego is loaded.
const TARGET: &str = "admission.k8s.gatekeeper.sh";

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
    matching: Value,
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
}

impl Constraint {
    /// Reads a constraint.
    ///
    /// # Errors
    /// It has no kind or name, or its match criteria have the wrong shape.
    pub(crate) fn read(document: &Value) -> Result<Self, String> {
        let (kind, name) = (text(&document["kind"]), text(&document["metadata"]["name"]));
        if kind.is_empty() || name.is_empty() {
            return Err("the constraint has no `kind` or no `metadata.name`".into());
        }
        let spec = &document["spec"];
        let matching = spec["match"].clone();
        if !matching.is_object() && !matching.is_null() {
            return Err("`spec.match` is no object".into());
        }
        let lists = ["kinds", "namespaces", "excludedNamespaces"];
        if let Some(name) =
            lists.iter().find(|name| !matching[**name].is_array() && !matching[**name].is_null())
        {
            return Err(format!("`spec.match.{name}` is no list"));
        }
        let action = spec["enforcementAction"].as_str().unwrap_or("deny");
        if !["deny", "dryrun", "warn", "scoped"].contains(&action) {
            return Err(format!(
                "the enforcement action {action:?} is unknown; deny, warn and dryrun are known"
            ));
        }
        let parameters = if spec["parameters"].is_null() { json!({}) } else { spec["parameters"].clone() };
        Ok(Self { kind, name, is_denying: action == "deny" || action == "scoped", parameters, matching })
    }

    /// Bytes that identify match criteria and parameters.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        json!([self.kind, self.name, self.is_denying, self.parameters, self.matching])
            .to_string()
            .into_bytes()
    }

    /// Whether the constraint matches the object of a review.
    pub(crate) fn matches(&self, review: &Value) -> bool {
        let object = if review["object"].is_object() { &review["object"] } else { &review["oldObject"] };
        let metadata = &object["metadata"];
        let namespace = [&review["namespace"], &metadata["namespace"]].into_iter().find_map(Value::as_str);
        let name =
            [&review["name"], &metadata["name"]].into_iter().find_map(Value::as_str).unwrap_or_default();
        let globs = |field: &str, wanted: &str| {
            let patterns = self.matching[field].as_array();
            patterns.map(|all| all.iter().filter_map(Value::as_str).any(|pattern| glob(pattern, wanted)))
        };
        let by_namespace = namespace.filter(|namespace| !namespace.is_empty()).is_none_or(|namespace| {
            globs("namespaces", namespace).unwrap_or(true)
                && !globs("excludedNamespaces", namespace).unwrap_or(false)
        });
        let by_name = self.matching["name"].as_str().is_none_or(|pattern| glob(pattern, name));
        let by_scope = match self.matching["scope"].as_str() {
            Some("Cluster") => namespace.is_none_or(str::is_empty),
            Some("Namespaced") => namespace.is_some_and(|namespace| !namespace.is_empty()),
            _ => true,
        };
        by_namespace
            && by_name
            && by_scope
            && self.by_kind(review, object)
            && selects(&self.matching["labelSelector"], &metadata["labels"])
    }

    fn by_kind(&self, review: &Value, object: &Value) -> bool {
        let version = object["apiVersion"].as_str().unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let group = review["kind"]["group"].as_str().unwrap_or(group);
        let kind = review["kind"]["kind"].as_str().or_else(|| object["kind"].as_str()).unwrap_or_default();
        let any = |list: &Value, wanted: &str| {
            let list: Vec<_> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            list.is_empty() || list.iter().any(|one| *one == "*" || *one == wanted)
        };
        let kinds = self.matching["kinds"].as_array().filter(|kinds| !kinds.is_empty());
        kinds.is_none_or(|kinds| {
            kinds.iter().any(|one| any(&one["apiGroups"], group) && any(&one["kinds"], kind))
        })
    }
}

/// Matches a pattern with `*` at its beginning or end, as Gatekeeper does for names and namespaces.
fn glob(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), Some(_)) => name.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => pattern == name,
    }
}

/// Evaluates a Kubernetes label selector on labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let label = |name: &str| labels.get(name).and_then(Value::as_str);
    let exact = selector["matchLabels"].as_object().into_iter().flatten();
    let by_labels = exact.into_iter().all(|(name, value)| label(name) == value.as_str());
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    by_labels
        && expressions.into_iter().all(|one| {
            let value = one["key"].as_str().and_then(label);
            let listed = || {
                let values = one["values"].as_array().into_iter().flatten();
                value.is_some_and(|value| values.into_iter().any(|one| one == value))
            };
            match one["operator"].as_str() {
                Some("In") => listed(),
                Some("NotIn") => !listed(),
                Some("Exists") => value.is_some(),
                Some("DoesNotExist") => value.is_none(),
                _ => false,
            }
        })
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
