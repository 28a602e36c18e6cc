//! Match criteria of constraints, as Gatekeeper documents them:
//! <https://open-policy-agent.github.io/gatekeeper/website/docs/howto/#the-match-field>.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Members of `spec.match`.
const MEMBERS: [&str; 8] = [
    "source",
    "kinds",
    "scope",
    "namespaces",
    "excludedNamespaces",
    "labelSelector",
    "namespaceSelector",
    "name",
];
/// Operators of a label selector.
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// The match criteria of a constraint: `spec.match`, or null.
#[derive(Debug, Clone)]
pub(crate) struct Criteria(pub(super) Value);

/// Whether a constraint concerns an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It selects by the labels of this namespace, which are not known.
    Unknown(String),
}

/// Labels of namespaces, by name.
#[derive(Debug, Default)]
pub(crate) struct Namespaces<'a>(BTreeMap<&'a str, &'a Value>);

impl<'a> Namespaces<'a> {
    /// The namespaces of an inventory, and those among reviewed objects.
    pub(crate) fn new(inventory: Option<&'a Value>, reviews: impl Iterator<Item = &'a Value>) -> Self {
        let listed = inventory.and_then(|inventory| inventory["cluster"]["v1"]["Namespace"].as_object());
        let listed = listed.into_iter().flat_map(Map::values);
        let reviewed = reviews.map(|review| &review["object"]).filter(|object| is_namespace(object));
        let named = listed.chain(reviewed).filter_map(|object| {
            let metadata = &object["metadata"];
            Some((metadata["name"].as_str()?, &metadata["labels"]))
        });
        Self(named.collect())
    }
}

impl Criteria {
    /// Reads `spec.match`.
    ///
    /// # Errors
    /// It has members that Gatekeeper does not know, or members of the wrong shape.
    pub(super) fn read(matching: &Value) -> Result<Self, String> {
        let members = match matching {
            Value::Null => return Ok(Self(Value::Null)),
            Value::Object(members) => members,
            _ => return Err("`spec.match` is no object".into()),
        };
        if let Some(name) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(format!("`spec.match.{name}` is unknown; known are {}", MEMBERS.join(", ")));
        }
        for name in ["kinds", "namespaces", "excludedNamespaces"] {
            if !matching[name].is_array() && !matching[name].is_null() {
                return Err(format!("`spec.match.{name}` is no list"));
            }
        }
        let source = &matching["source"];
        if !source.is_null() && !["All", "Generated", "Original"].iter().any(|known| source == known) {
            return Err(format!("`spec.match.source` is {source}; All, Generated and Original are known"));
        }
        for name in ["labelSelector", "namespaceSelector"] {
            check_selector(&matching[name]).map_err(|reason| format!("`spec.match.{name}` {reason}"))?;
        }
        Ok(Self(matching.clone()))
    }

    /// Whether they match the object of a review or, of an update, the one before it.
    pub(crate) fn of(&self, review: &Value, namespaces: &Namespaces<'_>) -> Match {
        let objects =
            [&review["object"], &review["oldObject"]].into_iter().filter(|object| object.is_object());
        let mut found = Match::No;
        for object in objects {
            match self.of_object(review, object, namespaces) {
                Match::Yes => return Match::Yes,
                Match::No => {}
                unknown @ Match::Unknown(_) => found = unknown,
            }
        }
        found
    }

    fn of_object(&self, review: &Value, object: &Value, namespaces: &Namespaces<'_>) -> Match {
        let metadata = &object["metadata"];
        let told = |name: &str| {
            let mut texts = [&review[name], &metadata[name]].into_iter().filter_map(Value::as_str);
            texts.find(|text| !text.is_empty())
        };
        let name = told("name").unwrap_or_default();
        let is_namespace = is_namespace(object);
        let namespace = if is_namespace { None } else { told("namespace") };
        let by_namespace = namespace.or(is_namespace.then_some(name)).is_none_or(|namespace| {
            self.lists("namespaces", namespace).unwrap_or(true)
                && !self.lists("excludedNamespaces", namespace).unwrap_or(false)
        });
        let pattern = self.0["name"].as_str().filter(|pattern| !pattern.is_empty());
        let by_scope = match self.0["scope"].as_str() {
            Some("Cluster") => namespace.is_none(),
            Some("Namespaced") => namespace.is_some(),
            _ => true,
        };
        // No object here is one that Gatekeeper generates from another.
        let matches = self.0["source"] != "Generated"
            && by_namespace
            && by_scope
            && pattern.is_none_or(|pattern| glob(pattern, name))
            && self.by_kind(review, object)
            && selects(&self.0["labelSelector"], &metadata["labels"]);
        if matches { self.by_labels_of_namespace(object, namespace, namespaces) } else { Match::No }
    }

    /// Whether `namespaceSelector` matches. It selects namespaces by their own labels, other objects by those of
    /// their namespace, and every object without one.
    fn by_labels_of_namespace(
        &self,
        object: &Value,
        namespace: Option<&str>,
        namespaces: &Namespaces<'_>,
    ) -> Match {
        let selector = &self.0["namespaceSelector"];
        let labels = match namespace {
            _ if selector.as_object().is_none_or(Map::is_empty) => return Match::Yes,
            None if is_namespace(object) => &object["metadata"]["labels"],
            None => return Match::Yes,
            Some(name) => match namespaces.0.get(name) {
                Some(labels) => *labels,
                None => return Match::Unknown(name.to_owned()),
            },
        };
        if selects(selector, labels) { Match::Yes } else { Match::No }
    }

    /// Whether one of the patterns in a list matches; `None` for an empty list.
    fn lists(&self, field: &str, wanted: &str) -> Option<bool> {
        let patterns = self.0[field].as_array().filter(|patterns| !patterns.is_empty())?;
        Some(patterns.iter().filter_map(Value::as_str).any(|pattern| glob(pattern, wanted)))
    }

    fn by_kind(&self, review: &Value, object: &Value) -> bool {
        let group = review["kind"]["group"].as_str().unwrap_or_else(|| group_of(object));
        let kind = review["kind"]["kind"].as_str().or_else(|| object["kind"].as_str()).unwrap_or_default();
        let any = |list: &Value, wanted: &str| {
            let list: Vec<_> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            list.is_empty() || list.iter().any(|one| *one == "*" || *one == wanted)
        };
        let kinds = self.0["kinds"].as_array().filter(|kinds| !kinds.is_empty());
        kinds.is_none_or(|kinds| {
            kinds.iter().any(|one| any(&one["apiGroups"], group) && any(&one["kinds"], kind))
        })
    }
}

fn group_of(object: &Value) -> &str {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.split_once('/').map_or("", |(group, _)| group)
}

fn is_namespace(object: &Value) -> bool {
    object["kind"] == "Namespace" && group_of(object).is_empty()
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

fn check_selector(selector: &Value) -> Result<(), String> {
    if !selector.is_object() && !selector.is_null() {
        return Err("is no object".into());
    }
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let mut operators = expressions.map(|one| &one["operator"]);
    match operators.find(|operator| !OPERATORS.iter().any(|known| *operator == known)) {
        Some(operator) => {
            Err(format!("has the operator {operator}; In, NotIn, Exists and DoesNotExist are known"))
        }
        None => Ok(()),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, namespace: Option<&str>, labels: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": kind,
               "metadata": {"name": "web", "namespace": namespace, "labels": labels}})
    }

    /// Whether criteria match an object, where the namespace `shop` is known to be of production.
    fn matching(criteria: &Value, object: &Value) -> Match {
        let shop = json!({"metadata": {"name": "shop", "labels": {"env": "prod"}}});
        let inventory = json!({"cluster": {"v1": {"Namespace": {"shop": shop}}}});
        let namespaces = Namespaces::new(Some(&inventory), std::iter::empty());
        let review = crate::kubernetes::review(object).expect("an object");
        Criteria::read(criteria).expect("criteria").of(&review, &namespaces)
    }

    #[test]
    fn namespaces_are_selected_by_their_labels() {
        let prod = json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}});
        let test = json!({"namespaceSelector": {"matchExpressions": [
            {"key": "env", "operator": "In", "values": ["test"]}]}});
        let pod_in = |namespace: &str| object("Pod", Some(namespace), &Value::Null);
        assert_eq!(matching(&prod, &pod_in("shop")), Match::Yes);
        assert_eq!(matching(&test, &pod_in("shop")), Match::No);
        assert_eq!(matching(&prod, &pod_in("other")), Match::Unknown("other".into()));
        let elsewhere =
            json!({"namespaceSelector": prod["namespaceSelector"], "kinds": [{"kinds": ["Service"]}]});
        assert_eq!(matching(&elsewhere, &pod_in("other")), Match::No, "whatever the labels are");
        assert_eq!(matching(&json!({"namespaceSelector": {}}), &pod_in("other")), Match::Yes);
        let of_prod = object("Namespace", None, &json!({"env": "prod"}));
        assert_eq!(
            (matching(&prod, &of_prod), matching(&test, &of_prod)),
            (Match::Yes, Match::No),
            "by its own labels"
        );
        assert_eq!(
            matching(&prod, &object("Node", None, &Value::Null)),
            Match::Yes,
            "it lies in no namespace"
        );
    }

    #[test]
    fn a_namespace_of_the_same_documents_is_known() {
        let namespace = object("Namespace", None, &json!({"env": "prod"}));
        let review = crate::kubernetes::review(&namespace).expect("an object");
        let namespaces = Namespaces::new(None, std::iter::once(&review));
        let criteria = json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}});
        let pod = crate::kubernetes::review(&object("Pod", Some("web"), &Value::Null)).expect("an object");
        assert_eq!(Criteria::read(&criteria).expect("criteria").of(&pod, &namespaces), Match::Yes);
    }

    #[test]
    fn names_scopes_and_sources_are_those_of_gatekeeper() {
        let pod = object("Pod", Some("shop"), &json!({"app": "web"}));
        let namespace = object("Namespace", None, &Value::Null);
        for (criteria, of_pod, of_namespace) in [
            (json!({}), Match::Yes, Match::Yes),
            (json!({"namespaces": []}), Match::Yes, Match::Yes),
            (json!({"namespaces": ["sh*"]}), Match::Yes, Match::No),
            (json!({"namespaces": ["web"]}), Match::No, Match::Yes),
            (json!({"excludedNamespaces": ["*eb"]}), Match::Yes, Match::No),
            (json!({"scope": "Namespaced"}), Match::Yes, Match::No),
            (json!({"scope": "Cluster"}), Match::No, Match::Yes),
            (json!({"name": "w*"}), Match::Yes, Match::Yes),
            (json!({"name": ""}), Match::Yes, Match::Yes),
            (json!({"source": "Original"}), Match::Yes, Match::Yes),
            (json!({"source": "Generated"}), Match::No, Match::No),
            (json!({"labelSelector": {"matchLabels": {"app": "web"}}}), Match::Yes, Match::No),
        ] {
            assert_eq!(
                (matching(&criteria, &pod), matching(&criteria, &namespace)),
                (of_pod, of_namespace),
                "{criteria}"
            );
        }
    }

    #[test]
    fn an_update_matches_by_the_object_before_it_as_well() {
        let [before, after] = ["web", "none"].map(|app| object("Pod", Some("shop"), &json!({"app": app})));
        let review = json!({"operation": "UPDATE", "object": after, "oldObject": before});
        let criteria = json!({"labelSelector": {"matchLabels": {"app": "web"}}});
        let criteria = Criteria::read(&criteria).expect("criteria");
        assert_eq!(criteria.of(&review, &Namespaces::default()), Match::Yes);
    }

    #[test]
    fn criteria_that_gatekeeper_does_not_know_are_refused() {
        for (criteria, reason) in [
            (json!([]), "no object"),
            (json!({"namespaceselector": {}}), "`spec.match.namespaceselector` is unknown"),
            (json!({"kinds": "Pod"}), "no list"),
            (json!({"source": "Own"}), "Generated"),
            (json!({"labelSelector": "app"}), "no object"),
            (
                json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "in"}]}}),
                "operator",
            ),
        ] {
            let refused = Criteria::read(&criteria).expect_err("refused");
            assert!(refused.contains(reason), "{criteria}: {refused}");
        }
        assert!(Criteria::read(&Value::Null).is_ok());
    }
}
