//! Verdicts on one document, as they are returned and cached.

use std::time::Duration;

use policies::{Decision, Document, DocumentKind, Enforcement, Evaluation, Held, Severity, Status, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

/// Maximum number of reasons in a response.
const MAX_REASONS: usize = 100;
/// Maximum number of texts of one reason, and their length in bytes.
const MAX_TEXTS: usize = 10;
const MAX_TEXT_BYTES: usize = 500;
/// Maximum number of warnings of an `AdmissionReview`, and their length in bytes: API servers cut longer
/// ones.
const MAX_WARNINGS: usize = 20;
const MAX_WARNING_BYTES: usize = 250;

/// Numbers of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(in crate::gateway) struct DecisionCounts {
    /// Policies that passed.
    pass: usize,
    /// Policies that deny a resource.
    deny: usize,
    /// Policies that only warn about a resource.
    warn: usize,
    /// Policies whose input values are missing.
    not_evaluated: usize,
    /// Policies that timed out or returned a value of the wrong shape.
    error: usize,
}

/// A verdict other than `pass`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::gateway) struct DecisionReason {
    /// The policy's id.
    policy_id: String,
    /// SHA-256 of the policy's text, in hexadecimal digits.
    policy_hash: String,
    /// The policy's title.
    title: String,
    /// Severity: `low`, `medium`, `high` or `critical`.
    severity: &'static str,
    /// Verdict: `deny`, `warn`, `not_evaluated` or `error`.
    verdict: &'static str,
    /// Address of the resource; empty where the policy judges the document as a whole.
    resource: String,
    /// Terraform type or Kubernetes kind of the resource.
    resource_type: String,
    /// The reasons, at most 10 of at most 500 bytes.
    reasons: Vec<String>,
    /// The change that makes the resource compliant; empty where nothing is to be changed.
    remediation: String,
}

/// The decision on one document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) kind: &'static str,
    pub(super) policy_set: String,
    pub(super) counts: DecisionCounts,
    pub(super) reasons: Vec<DecisionReason>,
    pub(super) reasons_total: usize,
    /// The first resource, for the decision's event.
    pub(super) resource: Option<(String, String)>,
    /// Time for which the decision may be served from the cache: the shorter, the more severe the policies
    /// involved.
    pub(super) holds: Duration,
}

impl Decided {
    pub(super) fn new(document: &Document, evaluation: &Evaluation, held: &Held) -> Self {
        let verdicts = &evaluation.verdicts;
        let mut counts = DecisionCounts::default();
        for verdict in verdicts {
            *match word(verdict) {
                "pass" => &mut counts.pass,
                "deny" => &mut counts.deny,
                "warn" => &mut counts.warn,
                "not_evaluated" => &mut counts.not_evaluated,
                _ => &mut counts.error,
            } += 1;
        }
        let mut told: Vec<&Verdict> = verdicts.iter().filter(|one| one.status != Status::Pass).collect();
        let rank = |verdict: &Verdict| match word(verdict) {
            "deny" => 0,
            "error" => 1,
            "warn" => 2,
            _ => 3,
        };
        told.sort_by_key(|verdict| (rank(verdict), std::cmp::Reverse(verdict.severity)));
        let first = document.subjects.first();
        Self {
            decision: evaluation.decision,
            kind: match document.kind {
                DocumentKind::Plan => "plan",
                DocumentKind::Kubernetes => "object",
                DocumentKind::Resource => "resource",
                DocumentKind::Action => "action",
            },
            policy_set: held.set().hash().to_owned(),
            counts,
            reasons_total: told.len(),
            reasons: told.into_iter().take(MAX_REASONS).map(reason).collect(),
            resource: first.map(|subject| (bounded(&subject.kind), bounded(&subject.address))),
            holds: holds(verdicts.iter().map(|verdict| verdict.severity).max()),
        }
    }

    /// Whether every policy returned a verdict; one that was cut off may only have lacked processor time.
    pub(super) fn is_settled(&self) -> bool {
        self.counts.error == 0
    }

    /// Approximate size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of_reason = |reason: &DecisionReason| {
            let texts: usize = reason.reasons.iter().map(String::len).sum();
            400 + reason.title.len() + reason.resource.len() + reason.remediation.len() + texts
        };
        400 + self.reasons.iter().map(of_reason).sum::<usize>()
    }

    /// Lines of an `AdmissionReview`'s message or warnings: reasons with the verdict, most severe first.
    pub(super) fn lines(&self, verdict: &str) -> Vec<String> {
        let of_verdict = self.reasons.iter().filter(|reason| reason.verdict == verdict);
        let line = |reason: &DecisionReason| {
            let cure = if reason.remediation.is_empty() {
                String::new()
            } else {
                format!(" ({})", reason.remediation)
            };
            let line = format!("{}: {}{cure}", reason.policy_id, reason.reasons.join("; "));
            cut(&line, MAX_WARNING_BYTES)
        };
        of_verdict.take(MAX_WARNINGS).map(line).collect()
    }
}

/// Cache time of a decision, by the most severe policy that evaluated the document.
fn holds(severity: Option<Severity>) -> Duration {
    Duration::from_secs(match severity {
        Some(Severity::Critical) => 30,
        Some(Severity::High) => 60,
        Some(Severity::Medium) => 300,
        Some(Severity::Low) | None => 600,
    })
}

fn word(verdict: &Verdict) -> &'static str {
    match (verdict.status, verdict.enforcement) {
        (Status::Fail, Enforcement::Deny) => "deny",
        (Status::Fail, Enforcement::Warn) => "warn",
        (status, _) => status.name(),
    }
}

fn reason(verdict: &Verdict) -> DecisionReason {
    DecisionReason {
        policy_id: bounded(&verdict.policy_id),
        policy_hash: verdict.policy_hash.clone(),
        title: bounded(&verdict.title),
        severity: verdict.severity.name(),
        verdict: word(verdict),
        resource: bounded(&verdict.resource),
        resource_type: bounded(&verdict.resource_type),
        reasons: verdict.reasons.iter().take(MAX_TEXTS).map(|text| bounded(text)).collect(),
        remediation: bounded(&verdict.remediation),
    }
}

fn bounded(text: &str) -> String {
    cut(text, MAX_TEXT_BYTES)
}

/// The text without control characters, cut to `bytes` bytes.
fn cut(text: &str, bytes: usize) -> String {
    let end = text.floor_char_boundary(bytes);
    let more = if end < text.len() { "…" } else { "" };
    let symbols = text[..end].chars().map(|symbol| if symbol.is_control() { ' ' } else { symbol });
    symbols.chain(more.chars()).collect()
}
