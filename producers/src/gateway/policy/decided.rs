//! Verdicts on one document, as they are returned and cached.

use std::time::Duration;

use policies::{
    Decision, Document, DocumentKind, Enforcement, Evaluation, Held, Severity, Status, Verdict, kubernetes,
};
use schemas::{
    Timestamp,
    changes::waivers::{GrantedWaiver, TenantWaivers},
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
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
    /// Policies that fail for a resource under a waiver.
    waived: usize,
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
    /// Verdict: `deny`, `warn`, `waived`, `not_evaluated` or `error`.
    verdict: &'static str,
    /// Id of the waiver in force, where the verdict is `waived`.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiver: Option<String>,
    /// End of that waiver by its terms, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    waived_until: Option<String>,
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
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) kind: &'static str,
    pub(super) policy_set: String,
    /// [`TenantWaivers::version`], where the tenant has waivers.
    pub(super) waivers: Option<[u8; 32]>,
    pub(super) counts: DecisionCounts,
    pub(super) reasons: Vec<DecisionReason>,
    /// The same as JSON, which the answer and the event share.
    pub(super) reasons_json: Box<RawValue>,
    pub(super) reasons_total: usize,
    /// [`Document::incomplete`].
    pub(super) incomplete: Option<&'static str>,
    /// The first resource, for the decision's event.
    pub(super) resource: Option<(String, String)>,
    /// Time for which the decision may be served from the cache: the shorter, the more severe the policies
    /// involved.
    pub(super) holds: Duration,
}

impl Decided {
    pub(super) fn new(
        document: &Document,
        evaluation: &Evaluation,
        held: &Held,
        waiving: &Waiving<'_>,
    ) -> Self {
        let verdicts: Vec<Ruled<'_>> =
            evaluation.verdicts.iter().map(|verdict| waiving.ruled(verdict, document.kind)).collect();
        let mut counts = DecisionCounts::default();
        for ruled in &verdicts {
            *match ruled.word() {
                "pass" => &mut counts.pass,
                "deny" => &mut counts.deny,
                "warn" => &mut counts.warn,
                "waived" => &mut counts.waived,
                "not_evaluated" => &mut counts.not_evaluated,
                _ => &mut counts.error,
            } += 1;
        }
        let mut told: Vec<&Ruled<'_>> =
            verdicts.iter().filter(|one| one.verdict.status != Status::Pass).collect();
        let rank = |ruled: &Ruled<'_>| match ruled.word() {
            "deny" => 0,
            "error" => 1,
            "warn" => 2,
            "waived" => 3,
            _ => 4,
        };
        told.sort_by_key(|ruled| (rank(ruled), std::cmp::Reverse(ruled.verdict.severity)));
        let first = document.subjects.first();
        let unwaived = verdicts.iter().filter(|ruled| ruled.waiver.is_none()).map(|ruled| ruled.verdict);
        let reasons_total = told.len();
        let reasons: Vec<_> = told.into_iter().take(MAX_REASONS).map(reason).collect();
        Self {
            decision: Decision::from_verdicts(unwaived).on(document),
            kind: match document.kind {
                DocumentKind::Plan => "plan",
                DocumentKind::Kubernetes => "object",
                DocumentKind::Resource => "resource",
                DocumentKind::Action => "action",
            },
            policy_set: held.set().hash().to_owned(),
            waivers: waiving.waivers.map(|waivers| *waivers.version()),
            counts,
            reasons_total,
            reasons_json: to_raw_value(&reasons).expect("reasons hold only texts"),
            reasons,
            incomplete: document.incomplete(),
            resource: first.map(|subject| (bounded(&subject.kind), bounded(&subject.address))),
            holds: waiving.holds(holds(verdicts.iter().map(|ruled| ruled.verdict.severity).max())),
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
        400 + self.reasons_json.get().len() + self.reasons.iter().map(of_reason).sum::<usize>()
    }

    /// Lines of an `AdmissionReview`'s message or warnings: reasons with the verdict, most severe first.
    pub(super) fn lines(&self, verdict: &str) -> impl Iterator<Item = String> {
        let of_verdict = self.reasons.iter().filter(move |reason| reason.verdict == verdict);
        let line = |reason: &DecisionReason| {
            let cure = if reason.remediation.is_empty() {
                String::new()
            } else {
                format!(" ({})", reason.remediation)
            };
            let waived = reason.waiver.as_ref().map(|id| format!(" (waived by {id})")).unwrap_or_default();
            let line = format!("{}: {}{waived}{cure}", reason.policy_id, reason.reasons.join("; "));
            cut(&line, MAX_WARNING_BYTES)
        };
        of_verdict.take(MAX_WARNINGS).map(line)
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

/// The waivers of a decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiving<'a> {
    /// Those of the tenant.
    pub(super) waivers: Option<&'a TenantWaivers>,
    /// Of a plan: the workspace that it is for.
    pub(super) workspace: &'a str,
    /// The instant of the decision.
    pub(super) at: Timestamp,
}

impl<'a> Waiving<'a> {
    fn ruled(&self, verdict: &'a Verdict, kind: DocumentKind) -> Ruled<'a> {
        let waivers = self.waivers.filter(|_| verdict.status == Status::Fail && !verdict.resource.is_empty());
        let waiver = waivers.and_then(|waivers| {
            waivers.holding(&resource_ids(verdict, kind, self.workspace), &verdict.policy_id, self.at)
        });
        Ruled { verdict, waiver }
    }

    /// A decision holds no longer than the waivers that it was made under.
    fn holds(&self, otherwise: Duration) -> Duration {
        let change = self.waivers.and_then(|waivers| waivers.next_change(self.at));
        let left = change.and_then(|change| (change - self.at).to_std().ok());
        left.map_or(otherwise, |left| left.min(otherwise))
    }
}

/// The ids by which a waiver may name a resource: its address in the document, and its id in the posture.
fn resource_ids(verdict: &Verdict, kind: DocumentKind, workspace: &str) -> Vec<String> {
    let address = verdict.resource.clone();
    let in_posture = match kind {
        DocumentKind::Plan => Some(format!("{workspace}/{address}")),
        DocumentKind::Kubernetes => {
            let named = kubernetes::KINDS.iter().find(|(_, kind)| *kind == verdict.resource_type);
            let rest = address.split_once('/').map(|(_, rest)| rest);
            named.zip(rest).map(|((plural, _), rest)| format!("{plural}/{rest}"))
        }
        DocumentKind::Resource | DocumentKind::Action => None,
    };
    [Some(address), in_posture].into_iter().flatten().collect()
}

/// A verdict, and the waiver that it is under.
struct Ruled<'a> {
    verdict: &'a Verdict,
    waiver: Option<&'a GrantedWaiver>,
}

impl Ruled<'_> {
    fn word(&self) -> &'static str {
        match (self.verdict.status, self.verdict.enforcement) {
            (Status::Fail, _) if self.waiver.is_some() => "waived",
            (Status::Fail, Enforcement::Deny) => "deny",
            (Status::Fail, Enforcement::Warn) => "warn",
            (status, _) => status.name(),
        }
    }
}

fn reason(ruled: &Ruled<'_>) -> DecisionReason {
    let Ruled { verdict, waiver } = ruled;
    DecisionReason {
        policy_id: bounded(&verdict.policy_id),
        policy_hash: verdict.policy_hash.clone(),
        title: bounded(&verdict.title),
        severity: verdict.severity.name(),
        verdict: ruled.word(),
        waiver: waiver.map(|one| bounded(&one.waiver)),
        waived_until: waiver.map(|one| one.expires_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
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
    [&text[..end], more].concat().replace(char::is_control, " ")
}
