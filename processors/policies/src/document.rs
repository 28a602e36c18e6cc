//! Documents that policies evaluate: plans, Kubernetes objects, configurations of resources.

use std::{collections::BTreeSet, sync::OnceLock};

use serde_json::{Value, json};

use crate::{Refused, Subject, kubernetes, others::Others, plan};

/// Maximum size of a document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// Maximum number of documents in one YAML text.
const MAX_DOCUMENTS: usize = 10_000;

/// Maximum number of lines with too little indentation in quoted texts.
const MAX_INDENTED: usize = 50;

/// The kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// A Terraform or OpenTofu plan.
    Plan,
    /// A Kubernetes object, a list of them, or an AdmissionReview.
    Kubernetes,
    /// The configuration of one resource: `{"type": …, "config": {…}}`.
    Resource,
    /// An intended action: `{"action": "DeleteBucket", …}`.
    Action,
}

/// A document with its subjects.
#[derive(Debug, Clone)]
pub struct Document {
    /// Kind of the document.
    pub kind: DocumentKind,
    /// The resources or objects in it.
    pub subjects: Vec<Subject>,
    source: Value,
    whole: OnceLock<regorus::Value>,
}

impl Document {
    /// Reads JSON, or YAML with one or several documents.
    ///
    /// # Errors
    /// The text is neither, or holds a document of an unknown kind.
    pub fn read(text: &str) -> Result<Vec<Self>, Refused> {
        Self::read_each(text)?.into_iter().collect()
    }

    /// Takes each document of a text for itself.
    ///
    /// # Errors
    /// The text cannot be parsed.
    pub fn read_each(text: &str) -> Result<Vec<Result<Self, Refused>>, Refused> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(Refused(format!("the document has more than {MAX_DOCUMENT_BYTES} bytes")));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Err(Refused("the document is empty".into()));
        }
        Ok(values(text)?.iter().map(Self::from_value).collect())
    }

    /// Takes a plan, a Kubernetes object, a resource, or an action.
    ///
    /// # Errors
    /// The document is of another kind; the reason names the nearest one.
    pub fn from_value(value: &Value) -> Result<Self, Refused> {
        if kubernetes::is_object(value) {
            let subjects = kubernetes::subjects(value)?;
            return Ok(Self::new(DocumentKind::Kubernetes, value, subjects));
        }
        if let (Some(kind), true) = (value["type"].as_str(), value["config"].is_object()) {
            return Ok(Self::new(DocumentKind::Resource, value, vec![resource(kind, value)?]));
        }
        let is_plan = ["resource_changes", "planned_values"].iter().any(|name| value.get(*name).is_some());
        if let (Some(action), false) = (value["action"].as_str(), is_plan) {
            return Ok(Self::new(DocumentKind::Action, value, vec![action_subject(action, value)?]));
        }
        Self::from_plan(value)
    }

    /// Takes a plan.
    ///
    /// # Errors
    /// The document is not a plan, or one of an unknown format version.
    pub fn from_plan(value: &Value) -> Result<Self, Refused> {
        let subjects = plan::subjects(value)?;
        Ok(Self::new(DocumentKind::Plan, value, subjects))
    }

    fn new(kind: DocumentKind, source: &Value, subjects: Vec<Subject>) -> Self {
        Self { kind, subjects, source: source.clone(), whole: OnceLock::new() }
    }

    /// The reason why a plan does not show everything that it would change; `None` if it does.
    pub fn incomplete(&self) -> Option<&'static str> {
        (self.kind == DocumentKind::Plan).then(|| plan::incomplete(&self.source)).flatten()
    }

    /// The whole document, as policies without resource types read it; sensitive values of plans are replaced.
    /// Made on first use: Weir's own policies read resources alone.
    pub fn whole(&self) -> regorus::Value {
        let made = || match self.kind {
            DocumentKind::Plan => plan::without_sensitive(&self.source).into(),
            DocumentKind::Kubernetes | DocumentKind::Resource | DocumentKind::Action => {
                self.source.clone().into()
            }
        };
        self.whole.get_or_init(made).clone()
    }
}

/// The documents of a text. A text that begins like JSON is parsed as JSON, so that errors have its
/// positions.
pub(crate) fn values(text: &str) -> Result<Vec<Value>, Refused> {
    if text.trim_start().starts_with(['{', '[']) {
        return match serde_json::from_str(text) {
            Ok(value) => Ok(vec![value]),
            Err(error) if error.is_eof() => {
                Err(Refused(format!("the JSON document is cut short at line {}", error.line())))
            }
            Err(error) if error.to_string().starts_with("recursion limit exceeded") => {
                let (line, column) = (error.line(), error.column());
                Err(Refused(format!("the JSON is deeper than 127 levels at line {line} column {column}")))
            }
            Err(error) => Err(Refused(format!("the document is not valid JSON: {error}"))),
        };
    }
    let documents = yaml(text)?;
    if documents.len() > MAX_DOCUMENTS {
        return Err(Refused(format!("the text has more than {MAX_DOCUMENTS} documents")));
    }
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The documents of a YAML text. A line of a quoted text with less indentation than YAML requires is
/// accepted, as by kubectl and Gatekeeper.
fn yaml(text: &str) -> Result<Vec<Value>, Refused> {
    let mut text = std::borrow::Cow::Borrowed(text);
    for _ in 0..MAX_INDENTED {
        let error = match serde_saphyr::from_multiple::<Value>(&text) {
            Ok(documents) => return Ok(documents),
            Err(error) => error,
        };
        let line = error.location().map(|location| usize::try_from(location.line()).unwrap_or(0));
        let Some(line) =
            line.filter(|_| error.to_string().contains("invalid indentation in multiline quoted"))
        else {
            return Err(Refused(format!("the document is neither JSON nor valid YAML: {error}")));
        };
        let indented = text.split_inclusive('\n').enumerate();
        let indented =
            indented.map(|(number, one)| if number + 1 == line { format!("    {one}") } else { one.into() });
        text = indented.collect::<String>().into();
    }
    Err(Refused("the document is not valid YAML: lines of quoted texts are indented too little".into()))
}

/// The resource type of actions in policies.
const ACTION: &str = "action";

/// An action; its actor and resource become the configuration.
fn action_subject(action: &str, value: &Value) -> Result<Subject, Refused> {
    if action.trim().is_empty() {
        return Err(Refused("the `action` is empty".into()));
    }
    let input = json!({
        "resource": {
            "address": action, "type": ACTION, "name": action, "module": "", "actions": [], "references": {},
        },
        "config": value, "unknown": {}, "resources": [],
    });
    Ok(Subject {
        address: action.to_owned(),
        kind: ACTION.to_owned(),
        input: input.into(),
        unknown: BTreeSet::new(),
        is_deferred: false,
        review: None,
    })
}

/// A single resource. `resources` may contain others that it is evaluated with.
fn resource(kind: &str, value: &Value) -> Result<Subject, Refused> {
    if kind.is_empty() {
        return Err(Refused("the resource's `type` is empty".into()));
    }
    let name = value["name"].as_str().unwrap_or("this");
    let address = value["address"].as_str().map_or_else(|| format!("{kind}.{name}"), ToOwned::to_owned);
    let itself = json!({
        "resource": {
            "address": address, "type": kind, "name": name, "module": "", "actions": [],
            "references": value.get("references").cloned().unwrap_or_else(|| json!({})),
        },
        "config": value["config"],
        "unknown": value.get("unknown").cloned().unwrap_or_else(|| json!({})),
    });
    let mut all = vec![itself.clone()];
    for other in value["resources"].as_array().into_iter().flatten() {
        let other_kind = other["type"].as_str().unwrap_or_default();
        let other_name = other["name"].as_str().unwrap_or("other");
        all.push(json!({
            "resource": {
                "address": format!("{other_kind}.{other_name}"), "type": other_kind, "name": other_name,
                "module": "", "actions": [],
                "references": other.get("references").cloned().unwrap_or_else(|| json!({})),
            },
            "config": other["config"],
            "unknown": other.get("unknown").cloned().unwrap_or_else(|| json!({})),
        }));
    }
    let input = Others::new(all.into_iter().map(regorus::Value::from)).around(itself.into());
    let mut unknown = BTreeSet::new();
    plan::unknown_paths(&value["unknown"], "", &mut unknown);
    Ok(Subject { address, kind: kind.to_owned(), input, unknown, is_deferred: false, review: None })
}
