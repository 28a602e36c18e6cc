//! Evaluates policies on the resources of an event.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use policies::{Document, Enforcement, Evaluation, Held, Policy, Severity, Status, Surroundings, Verdict};
use schemas::{
    Envelope,
    changes::{
        compliance::{Observation, PolicySeverity, PolicyVersion, Presence, VerdictFact, VerdictStatus},
        risk::bounded,
    },
};

use super::seen::{Seen, Shown};

/// Maximum number of evaluations (policy and resource) of one event.
const MAX_EVALUATIONS: usize = 100_000;
/// Maximum number of reasons of one verdict, and their length in bytes.
const MAX_REASONS: usize = 20;
const MAX_REASON_BYTES: usize = 512;
/// Maximum length of the id or title of a policy, or the id of a control, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Maximum length of the remediation, in bytes.
const MAX_REMEDIATION_BYTES: usize = 2_048;
/// Maximum number of frameworks of a policy, and of controls of each.
const MAX_FRAMEWORKS: usize = 50;
const MAX_CONTROLS: usize = 100;
const LOOKS_AT_OTHERS: &str = "the policy looks at other resources, and the event shows this one alone";

/// Policies by id, in the versions in force.
pub(super) type ById = HashMap<String, Version>;

#[derive(Debug)]
pub(super) struct Version {
    facts: Arc<PolicyVersion>,
    reads_others: bool,
}

/// The versions of a set of policies, and the set's hash.
type OfSet = (String, Arc<ById>);

/// The versions of the policies in force, computed once for each set.
#[derive(Debug, Clone, Default)]
pub(super) struct Versions(Arc<Mutex<Option<OfSet>>>);

impl Versions {
    fn of_set(held: &Held) -> ById {
        let version = |policy: &Policy| {
            let version = Version { facts: Arc::new(facts(policy)), reads_others: policy.reads_others };
            (policy.id.clone(), version)
        };
        held.set().policies().iter().map(version).collect()
    }

    /// The versions of a set's policies.
    pub(super) fn of(&self, held: &Held) -> Arc<ById> {
        // Whole values are swapped: a panic leaves nothing half done.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((hash, versions)) if hash == held.set().hash() => Arc::clone(versions),
            _ => {
                let versions = Arc::new(Self::of_set(held));
                *known = Some((held.set().hash().to_owned(), Arc::clone(&versions)));
                versions
            }
        }
    }
}

fn facts(policy: &Policy) -> PolicyVersion {
    let name = |text: &str| bounded(text, MAX_NAME_BYTES);
    let controls = policy.controls.iter().take(MAX_FRAMEWORKS).map(|(framework, controls)| {
        let controls: BTreeSet<String> = controls.iter().take(MAX_CONTROLS).map(|one| name(one)).collect();
        (name(framework), controls.into_iter().collect())
    });
    PolicyVersion {
        id: name(&policy.id),
        hash: policy.hash.clone(),
        title: name(&policy.title),
        severity: match policy.severity {
            Severity::Low => PolicySeverity::Low,
            Severity::Medium => PolicySeverity::Medium,
            Severity::High => PolicySeverity::High,
            Severity::Critical => PolicySeverity::Critical,
        },
        remediation: bounded(&policy.remediation, MAX_REMEDIATION_BYTES),
        controls: controls.collect(),
    }
}

/// Evaluates policies on the resources of one event.
pub(super) struct Judge<'a> {
    envelope: &'a Envelope,
    held: &'a Held,
    versions: Arc<ById>,
    content_sha256: [u8; 32],
}

impl<'a> Judge<'a> {
    pub(super) fn new(envelope: &'a Envelope, held: &'a Held, versions: Arc<ById>) -> Self {
        Self { envelope, held, versions, content_sha256: envelope.content_sha256() }
    }

    /// Evaluates separate resources. Of several with one id the last counts: it is the state after the event.
    pub(super) fn each(&self, seen: Vec<Seen>) -> Vec<Observation> {
        let observed = seen.into_iter().map(|one| {
            let (verdicts, fault) = match &one.shown {
                Shown::Alone(value) => match Document::from_value(value) {
                    // A document that lists other resources, if only none, shows all that concern its own.
                    Ok(document) => (self.alone(&document, value["resources"].is_array()), None),
                    Err(refused) => (Vec::new(), Some(refused.to_string())),
                },
                Shown::Unreadable(reason) => (Vec::new(), Some(reason.clone())),
                Shown::Nothing | Shown::InPlan(_) => (Vec::new(), None),
            };
            self.observation(one, verdicts, fault)
        });
        by_resource(observed)
    }

    /// Evaluates the resources of a plan together. Verdicts on the plan as a whole are about none of them, and are
    /// left to change review.
    pub(super) fn plan(&self, plan: &Document, seen: Vec<Seen>) -> Vec<Observation> {
        let mut by_address: BTreeMap<String, Vec<VerdictFact>> = BTreeMap::new();
        let evaluation = self.evaluate(plan);
        let too_large = (evaluation.left_out > 0).then(|| {
            format!("the plan needs more than {MAX_EVALUATIONS} evaluations: nothing of it is judged")
        });
        for verdict in evaluation.verdicts {
            if let Some(fact) = self.fact(&verdict, false) {
                by_address.entry(verdict.resource).or_default().push(fact);
            }
        }
        let observed = seen.into_iter().map(|one| {
            let verdicts = match &one.shown {
                Shown::InPlan(address) => by_address.remove(address).unwrap_or_default(),
                _ => Vec::new(),
            };
            let fault = too_large.clone().filter(|_| one.presence == Presence::Present);
            self.observation(one, verdicts, fault)
        });
        by_resource(observed)
    }

    fn evaluate(&self, document: &Document) -> Evaluation {
        let surroundings = Surroundings {
            now_ns: self.envelope.occurred_at.timestamp_nanos_opt(),
            max_evaluations: Some(MAX_EVALUATIONS),
            ..Surroundings::default()
        };
        self.held.evaluate(document, &surroundings)
    }

    fn alone(&self, document: &Document, sees_others: bool) -> Vec<VerdictFact> {
        let evaluation = self.evaluate(document);
        evaluation.verdicts.iter().filter_map(|verdict| self.fact(verdict, !sees_others)).collect()
    }

    /// A verdict as it is stored. A failure due to the absence of other resources is dropped if the event
    /// cannot show them.
    fn fact(&self, verdict: &Verdict, is_alone: bool) -> Option<VerdictFact> {
        let version = self.versions.get(&verdict.policy_id)?;
        let mut status = match verdict.status {
            Status::Pass => VerdictStatus::Pass,
            Status::Fail => VerdictStatus::Fail,
            Status::NotEvaluated => VerdictStatus::NotEvaluated,
            Status::Error => VerdictStatus::Error,
        };
        let kept = verdict.reasons.iter().take(MAX_REASONS);
        let mut reasons: Vec<String> = kept.map(|reason| bounded(reason, MAX_REASON_BYTES)).collect();
        if status == VerdictStatus::Fail && is_alone && version.reads_others {
            (status, reasons) = (VerdictStatus::NotEvaluated, vec![LOOKS_AT_OTHERS.to_owned()]);
        }
        let denies = verdict.enforcement == Enforcement::Deny;
        Some(VerdictFact { policy: Arc::clone(&version.facts), status, denies, reasons })
    }

    fn observation(&self, seen: Seen, mut verdicts: Vec<VerdictFact>, fault: Option<String>) -> Observation {
        verdicts.sort_by(|a, b| a.policy.id.cmp(&b.policy.id));
        verdicts.dedup_by(|a, b| a.policy.id == b.policy.id);
        Observation {
            event_id: self.envelope.id,
            tenant: self.envelope.tenant.clone(),
            resource: seen.resource,
            observed_at: self.envelope.occurred_at,
            presence: seen.presence,
            change_id: seen.change_id,
            source: seen.source,
            attributes: seen.attributes,
            verdicts,
            fault: fault.map(|fault| bounded(&fault, MAX_REASON_BYTES)),
            content_sha256: self.content_sha256,
        }
    }
}

/// One observation for each resource, in the order of ids.
fn by_resource(observed: impl Iterator<Item = Observation>) -> Vec<Observation> {
    let by_id: BTreeMap<String, Observation> = observed.map(|one| (one.resource.clone(), one)).collect();
    by_id.into_values().collect()
}
