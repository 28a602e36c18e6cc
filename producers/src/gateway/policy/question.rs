//! Body of a policy request: a document, by itself, within `input`, or in an `AdmissionReview`.

use edge::api_error::ApiError;
use policies::{Document, DocumentKind};
use schemas::problem::ProblemKind;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Maximum size of a body with a Kubernetes object, in bytes: twice what the API server stores of one.
const MAX_OBJECT_BYTES: usize = 3 << 20;
/// Maximum length of a member that goes into the decision's event, in bytes.
const MAX_TEXT_BYTES: usize = 512;
/// Maximum depth of JSON: the parser's own limit.
const MAX_DEPTH: usize = 127;
/// Members beside `input`.
const MEMBERS: [&str; 5] = ["input", "mode", "change_id", "project", "workspace"];

/// Use of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// Advisory: the response does not wait for the decision's event.
    Advise,
    /// Enforced: Kafka has acknowledged the decision's event before the response.
    Block,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Advise => "advise",
            Self::Block => "block",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Advise, Self::Block].into_iter().find(|mode| mode.name() == name)
    }

    /// The mode that a path ends with.
    pub(super) fn of_path(name: &str) -> Result<Self, ApiError> {
        let detail = "there is no such mode; there are advise and block";
        Self::from_name(name).ok_or_else(|| ApiError::new(ProblemKind::NotFound, detail))
    }

    /// The mode in the query; the body may name it instead.
    pub(super) fn of_query(query: Option<&str>) -> Result<Option<Self>, ApiError> {
        let mut mode = None;
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            // Senders that cannot set their address freely add parameters, as API servers do (`timeout=10s`).
            if let Some(("mode", name)) = part.split_once('=') {
                if mode.is_some() {
                    return Err(ApiError::new(ProblemKind::InvalidQuery, "`mode` is given twice"));
                }
                let invalid = || ApiError::new(ProblemKind::InvalidQuery, "`mode` is advise or block");
                mode = Some(Self::from_name(name).ok_or_else(invalid)?);
            }
        }
        Ok(mode)
    }
}

/// Format of the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Weir's own format.
    Decision,
    /// `AdmissionReview` v1, with the request's uid.
    Admission {
        /// `request.uid`.
        uid: String,
    },
}

/// A parsed policy request.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) form: Form,
    /// The mode that the body names.
    pub(super) mode: Option<Mode>,
    pub(super) change_id: Option<String>,
    pub(super) project: Option<String>,
    /// Workspace of a plan, as the posture names its resources.
    pub(super) workspace: Option<String>,
    /// SHA-256 of the document and the workspace, part of the cache key: equal ones get equal decisions from equal
    /// policies under equal waivers.
    pub(super) sha256: [u8; 32],
    document: Value,
    bytes: usize,
}

impl Question {
    /// Reads a body; the document itself is not parsed yet.
    pub(super) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut value: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
        let bytes = body.len();
        if is_review(&value) {
            let (form, sha256) = review(&mut value)?;
            return Ok(Self {
                form,
                mode: None,
                change_id: None,
                project: None,
                workspace: None,
                sha256,
                document: value,
                bytes,
            });
        }
        let form = Form::Decision;
        let Some(members) = value.as_object_mut().filter(|members| members.contains_key("input")) else {
            let sha256 = Sha256::digest(body).into();
            return Ok(Self {
                form,
                mode: None,
                change_id: None,
                project: None,
                workspace: None,
                sha256,
                document: value,
                bytes,
            });
        };
        if let Some(other) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            let detail = format!(
                "/{other} is unknown; beside `input` there are mode, change_id, project and workspace"
            );
            return Err(ApiError::new(ProblemKind::InvalidRequest, detail));
        }
        let mut text = |name: &str| match members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_TEXT_BYTES && !text.contains(char::is_control) => {
                Ok(Some(text))
            }
            Some(_) => {
                let detail =
                    format!("/{name} is a text of at most {MAX_TEXT_BYTES} bytes without control characters");
                Err(ApiError::new(ProblemKind::InvalidRequest, detail))
            }
        };
        let (mode, change_id, project) = (text("mode")?, text("change_id")?, text("project")?);
        let workspace = text("workspace")?.filter(|workspace| !workspace.is_empty());
        let unknown = || ApiError::new(ProblemKind::InvalidRequest, "/mode is advise or block");
        let mode = mode.map(|name| Mode::from_name(&name).ok_or_else(unknown)).transpose()?;
        let document = members.remove("input").unwrap_or_default();
        let sha256 = match &workspace {
            Some(workspace) => digest(&json!([document, workspace])),
            None => digest(&document),
        };
        Ok(Self { form, mode, change_id, project, workspace, sha256, document, bytes })
    }

    /// The document as it came.
    pub(super) fn plan(&self) -> &Value {
        &self.document
    }

    /// The document, as input of policies.
    pub(super) fn document(&self) -> Result<Document, ApiError> {
        let refused =
            |reason: String| ApiError::new(ProblemKind::InvalidRequest, format!("/input: {reason}"));
        let document = Document::from_value(&self.document).map_err(|reason| refused(reason.to_string()))?;
        if document.kind == DocumentKind::Kubernetes && self.bytes > MAX_OBJECT_BYTES {
            let detail = format!(
                "the body has {} bytes; with a Kubernetes object it may have {MAX_OBJECT_BYTES}",
                self.bytes
            );
            return Err(ApiError::new(ProblemKind::BodyTooLarge, detail));
        }
        Ok(document)
    }
}

fn is_review(value: &Value) -> bool {
    value["kind"] == "AdmissionReview" && value["apiVersion"].is_string()
}

/// Takes out the uid of a review, which differs every time, and hashes the rest.
fn review(value: &mut Value) -> Result<(Form, [u8; 32]), ApiError> {
    let invalid = |detail: &str| ApiError::new(ProblemKind::InvalidRequest, detail);
    if value["apiVersion"] != "admission.k8s.io/v1" {
        return Err(invalid(
            "/apiVersion: reviews of admission.k8s.io/v1 are read (admissionReviewVersions: [v1])",
        ));
    }
    let Some(request) = value.get_mut("request").and_then(Value::as_object_mut) else {
        return Err(invalid("/request: the AdmissionReview has no request"));
    };
    let uid = match request.remove("uid") {
        Some(Value::String(uid)) if !uid.is_empty() && uid.len() <= MAX_TEXT_BYTES => uid,
        _ => return Err(invalid("/request/uid: the request names no uid")),
    };
    if !["object", "oldObject"].iter().any(|name| request.get(*name).is_some_and(Value::is_object)) {
        return Err(invalid("/request/object: the AdmissionReview has neither `object` nor `oldObject`"));
    }
    Ok((Form::Admission { uid }, digest(value)))
}

fn digest(value: &Value) -> [u8; 32] {
    // Objects keep their members in order of name, so that equal documents are written alike.
    Sha256::digest(value.to_string()).into()
}

fn unreadable(error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    if text.starts_with("recursion limit exceeded") {
        let place = text.split_once(" at ").map_or("", |(_, place)| place);
        let detail = format!("the JSON is deeper than {MAX_DEPTH} levels at {place}");
        return ApiError::new(ProblemKind::JsonLimit, detail);
    }
    let cut = if error.is_eof() { "the body is cut short: " } else { "" };
    ApiError::new(ProblemKind::InvalidJson, format!("{cut}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (&'static str, String) {
        let error = match Question::read(body.as_bytes()) {
            Ok(question) => question.document().err(),
            Err(error) => Some(error),
        };
        let problem = error.expect("refused");
        let kind = ProblemKind::ALL.iter().find(|kind| kind.slug() == problem.problem().slug());
        (kind.expect("a kind").slug(), problem.problem().detail.clone())
    }

    #[test]
    fn a_document_stands_by_itself_or_within_input() {
        let object = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}"#;
        let bare = Question::read(object.as_bytes()).expect("read");
        assert_eq!((bare.mode, bare.document().expect("an object").kind), (None, DocumentKind::Kubernetes));
        let within = format!(r#"{{"input": {object}, "mode": "block", "change_id": "c-1"}}"#);
        let within = Question::read(within.as_bytes()).expect("read");
        assert_eq!((within.mode, within.change_id.as_deref()), (Some(Mode::Block), Some("c-1")));
        let again =
            r#"{"mode": "advise", "input": {"kind": "Pod", "metadata": {"name": "a"}, "apiVersion": "v1"}}"#;
        assert_eq!(Question::read(again.as_bytes()).expect("read").sha256, within.sha256);
    }

    #[test]
    fn a_review_is_the_same_document_whatever_its_uid() {
        let review = |uid: &str| {
            let request = format!(r#"{{"uid": "{uid}", "object": {{"apiVersion": "v1", "kind": "Pod"}}}}"#);
            let body = format!(
                r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {request}}}"#
            );
            Question::read(body.as_bytes()).expect("read")
        };
        let (one, two) = (review("a"), review("b"));
        assert_eq!(one.sha256, two.sha256);
        assert_eq!(two.form, Form::Admission { uid: "b".into() });
        assert_eq!(one.document().expect("a review").subjects.len(), 1);
    }

    #[test]
    fn what_cannot_be_judged_is_refused_with_its_place() {
        let review = |rest: &str| format!(r#"{{"kind": "AdmissionReview", {rest}}}"#);
        for (body, slug, place) in [
            ("", "invalid-json", "cut short"),
            ("{", "invalid-json", "cut short"),
            ("[]", "invalid-request", "/input"),
            ("7", "invalid-request", "/input"),
            (r#"{"input": {}}"#, "invalid-request", "/input"),
            (r#"{"input": {}, "mood": 1}"#, "invalid-request", "/mood"),
            (r#"{"input": {}, "mode": "maybe"}"#, "invalid-request", "mode"),
            (r#"{"input": {}, "change_id": 7}"#, "invalid-request", "/change_id"),
            (r#"{"version": 4, "resources": [], "lineage": "x"}"#, "invalid-request", "state"),
            (r#"{"format_version": "9.0", "resource_changes": []}"#, "invalid-request", "format version"),
            (&review(r#""apiVersion": "admission.k8s.io/v1""#), "invalid-request", "/request"),
            (
                &review(r#""apiVersion": "admission.k8s.io/v1beta1", "request": {}"#),
                "invalid-request",
                "/apiVersion",
            ),
            (
                &review(r#""apiVersion": "admission.k8s.io/v1", "request": {"object": {}}"#),
                "invalid-request",
                "/request/uid",
            ),
            (
                &review(r#""apiVersion": "admission.k8s.io/v1", "request": {"uid": "u"}"#),
                "invalid-request",
                "/request/object",
            ),
        ] {
            let (found, detail) = refused(body);
            assert_eq!(found, slug, "{body}: {detail}");
            assert!(detail.contains(place), "{body}: {detail}");
        }
        let deep = format!("{{\"input\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(refused(&deep).0, "json-limit");
        let large = format!(
            r#"{{"apiVersion": "v1", "kind": "ConfigMap", "data": {{"a": "{}"}}}}"#,
            "x".repeat(5 << 20)
        );
        assert_eq!(refused(&large).0, "body-too-large");
    }

    #[test]
    fn the_mode_of_a_query_is_one_of_two() {
        assert_eq!(Mode::of_query(None).expect("none"), None);
        assert_eq!(Mode::of_query(Some("timeout=10s&mode=block")).expect("known"), Some(Mode::Block));
        for query in ["mode=", "mode=deny", "mode=block&mode=block"] {
            assert!(Mode::of_query(Some(query)).is_err(), "{query}");
        }
    }
}
