//! Evaluation of policies on documents.

use std::collections::BTreeMap;

use regorus::Value;

use crate::{
    Decision, Document, DocumentKind, Enforcement, EngineError, Limits, Policy, PolicySet, RegoEngine,
    Status, Subject, Verdict, answer, builtins,
    compiled::Machine,
    gatekeeper::{Match, Namespaces},
    policy::{Answer, Form},
};

/// Stack of evaluations with policies of others. Values that these nest are compared and dropped by recursion, deeper
/// than a thread's stack bears; they can nest only so deep in the time of an evaluation.
const STACK_BYTES: usize = 256 << 20;
const LOOKS_AT_OTHERS: &str = "the policy looks at other objects, and there is no inventory of them";

/// Additional input of an evaluation, and its limits.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Other Kubernetes objects, under `data.inventory`: the result of
    /// [`inventory`](crate::gatekeeper::inventory). Without it a policy that looks at them passes no object. Its
    /// namespaces are those that constraints select by labels.
    pub inventory: Option<serde_json::Value>,
    /// Result of `time.now_ns`, in nanoseconds since 1970. Without it policies read the clock, and a later
    /// evaluation may differ.
    pub now_ns: Option<i64>,
    /// Maximum number of evaluations (policy and resource) of one document; `None` for no limit.
    pub max_evaluations: Option<usize>,
}

/// Verdicts on a document, and the decision that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Verdicts, by resource and then policy.
    pub verdicts: Vec<Verdict>,
    /// The strictest decision.
    pub decision: Decision,
    /// Number of evaluations beyond [`Surroundings::max_evaluations`], which have no verdict.
    pub left_out: usize,
}

/// Result of a policy's rules.
#[derive(Default)]
struct Found {
    denied: Vec<String>,
    warned: Vec<String>,
    not_evaluated: Vec<String>,
}

/// Evaluates policies with its own copies of the set's engines; use one for each thread.
#[derive(Debug)]
pub struct Evaluator {
    engines: Vec<RegoEngine>,
    /// Virtual machines of compiled policies by index, created on first use.
    machines: Vec<Option<Machine>>,
}

impl Evaluator {
    /// An evaluator of a set.
    pub fn new(set: &PolicySet) -> Self {
        let machines = set.policies.iter().map(|_| None).collect();
        Self { engines: set.engines.clone(), machines }
    }

    /// Evaluates every policy of the set that applies to a document, or those that `wanted` selects.
    pub fn evaluate(
        &mut self,
        set: &PolicySet,
        document: &Document,
        surroundings: &Surroundings,
        wanted: impl Fn(&Policy) -> bool,
    ) -> Evaluation {
        if set.is_own() {
            return self.judge(set, document, surroundings, wanted);
        }
        stacker::grow(STACK_BYTES, || {
            let evaluation = self.judge(set, document, surroundings, wanted);
            // What engines hold of it is dropped on this stack, too.
            self.engines.iter_mut().for_each(RegoEngine::forget);
            evaluation
        })
    }

    fn judge(
        &mut self,
        set: &PolicySet,
        document: &Document,
        surroundings: &Surroundings,
        wanted: impl Fn(&Policy) -> bool,
    ) -> Evaluation {
        let reads_inventory = |policy: &Policy| matches!(policy.form, Form::Constraint(_)) && wanted(policy);
        let inventory = surroundings.inventory.as_ref().filter(|_| set.policies.iter().any(reads_inventory));
        let mut inventoried = inventory.map(|inventory| {
            let data: Value = serde_json::json!({"inventory": inventory}).into();
            self.with_data(set, &data)
        });
        let reviews = document.subjects.iter().filter_map(|subject| subject.review.as_ref());
        builtins::set_now(surroundings.now_ns);
        let mut run = Run {
            engines: inventoried.as_mut().unwrap_or(&mut self.engines),
            machines: &mut self.machines,
            namespaces: Namespaces::new(surroundings.inventory.as_ref(), reviews),
            sees_others: surroundings.inventory.is_some(),
            limits: set.config.limits,
            cut_off: BTreeMap::new(),
            left: surroundings.max_evaluations,
            left_out: 0,
        };
        let mut verdicts = Vec::new();
        // They look for the changes of a plan. A single resource or an action has none: to pass it proves nothing.
        for (place, policy) in set.whole_documents().filter(|(_, policy)| wanted(policy)) {
            if document.kind == DocumentKind::Plan {
                verdicts.extend(run.whole(place, policy, document));
            }
        }
        for subject in &document.subjects {
            let mut looked_up = None;
            for (place, policy) in set.reading(&subject.kind).filter(|(_, policy)| wanted(policy)) {
                let by_itself =
                    !matches!(policy.form, Form::Whole) || document.kind == DocumentKind::Kubernetes;
                if by_itself {
                    let input = looked_up.get_or_insert_with(|| set.looked_up(subject));
                    verdicts.extend(run.subject(place, policy, subject, input));
                }
            }
        }
        let left_out = run.left_out;
        builtins::set_now(None);
        verdicts.sort_by(|a, b| (&a.resource, &a.policy_id).cmp(&(&b.resource, &b.policy_id)));
        let decision = Decision::from_verdicts(&verdicts);
        Evaluation { verdicts, decision, left_out }
    }

    /// Copies of the engines of Kubernetes policies with data added; the others unchanged.
    fn with_data(&self, set: &PolicySet, data: &Value) -> Vec<RegoEngine> {
        let mut engines = self.engines.clone();
        for policy in &set.policies {
            let engine = &mut engines[policy.engine];
            if matches!(policy.form, Form::Constraint(_)) && !engine.has_data() {
                // Data can only contradict other data, and templates bring none.
                drop(engine.add_data(data.clone()));
            }
        }
        engines
    }
}

/// The evaluation of one document.
struct Run<'a> {
    engines: &'a mut Vec<RegoEngine>,
    machines: &'a mut Vec<Option<Machine>>,
    /// Namespaces whose labels are known.
    namespaces: Namespaces<'a>,
    /// Whether there is an inventory of other objects.
    sees_others: bool,
    limits: Limits,
    /// Policies that timed out on this document, with the reason. They are not tried again, since each could
    /// take its full time for every resource.
    cut_off: BTreeMap<usize, String>,
    /// Number of evaluations left; `None` for no limit.
    left: Option<usize>,
    left_out: usize,
}

impl Run<'_> {
    fn whole(&mut self, place: usize, policy: &Policy, document: &Document) -> Option<Verdict> {
        let found = self.answers(place, policy, document.whole())?;
        verdict(policy, found, "", "", None)
    }

    /// `looked_up` is the subject's input with the values that policies of its type read.
    fn subject(
        &mut self,
        place: usize,
        policy: &Policy,
        subject: &Subject,
        looked_up: &Value,
    ) -> Option<Verdict> {
        let input = match (&policy.form, &subject.review) {
            // Constraints see the operation; for the others an object that goes away is none.
            (Form::Whole | Form::Resource, Some(review)) if review["operation"] == "DELETE" => return None,
            (Form::Whole, Some(review)) => {
                let object =
                    if review["object"].is_object() { &review["object"] } else { &review["oldObject"] };
                object.clone().into()
            }
            (Form::Resource, _) => looked_up.clone(),
            (Form::Whole, None) => subject.input.clone(),
            (Form::Constraint(constraint), Some(review)) => {
                match constraint.matches(review, &self.namespaces) {
                    Match::Yes => {
                        serde_json::json!({"review": review, "parameters": constraint.parameters}).into()
                    }
                    Match::No => return None,
                    Match::Unknown(namespace) => {
                        let reason = format!(
                            "the labels of the namespace `{namespace}`, which it selects by, are not known"
                        );
                        let found = Ok(Some(Found { not_evaluated: vec![reason], ..Found::default() }));
                        return verdict(policy, found, &subject.address, &subject.kind, Some(subject));
                    }
                }
            }
            (Form::Constraint(_), None) => return None,
        };
        let mut found = self.answers(place, policy, input)?;
        let is_blind = matches!(policy.form, Form::Constraint(_)) && policy.reads_others && !self.sees_others;
        if let (true, Ok(Some(found))) = (is_blind, &mut found) {
            found.not_evaluated.push(LOOKS_AT_OTHERS.into());
        }
        verdict(policy, found, &subject.address, &subject.kind, Some(subject))
    }

    /// `None` beyond the maximum number of evaluations.
    fn answers(
        &mut self,
        place: usize,
        policy: &Policy,
        input: Value,
    ) -> Option<Result<Option<Found>, String>> {
        if let Some(reason) = self.cut_off.get(&place) {
            return Some(Err(reason.clone()));
        }
        match &mut self.left {
            Some(0) => {
                self.left_out += 1;
                return None;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let found = if let Some(compiled) = &policy.compiled {
            let limits = self.limits;
            let machine = self.machines[place].get_or_insert_with(|| Machine::new(compiled, limits));
            machine.input(input.clone());
            let engine = &mut self.engines[policy.engine];
            let found = answers(policy, |path| {
                machine.rule(path).unwrap_or_else(|| engine.rule(path, input.clone()))
            });
            machine.input(Value::Undefined);
            found
        } else {
            let engine = &mut self.engines[policy.engine];
            engine.input(input);
            answers(policy, |path| engine.rule_of_input(path))
        };
        Some(found.map_err(|fault| {
            if let Fault::CutOff(reason) = &fault {
                self.cut_off.insert(place, reason.clone());
            }
            fault.into_reason()
        }))
    }
}

/// Reason for which a policy has no result.
enum Fault {
    /// It timed out, as it would on the next resource.
    CutOff(String),
    /// The engine rejected it, or its value has the wrong shape.
    Wrong(String),
}

impl Fault {
    fn into_reason(self) -> String {
        match self {
            Self::CutOff(reason) | Self::Wrong(reason) => reason,
        }
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        let told = match (error.file(), error.line()) {
            (Some(file), Some(line)) => format!("{file}:{line}: {error}"),
            _ => error.to_string(),
        };
        match error {
            EngineError::TooSlow(_) => Self::CutOff(told),
            EngineError::TooLarge(_) | EngineError::Rego { .. } => Self::Wrong(told),
        }
    }
}

/// Results of the policy's rules; `None` if it does not apply.
fn answers(
    policy: &Policy,
    mut value_of: impl FnMut(&str) -> Result<Value, EngineError>,
) -> Result<Option<Found>, Fault> {
    let mut found = Found::default();
    for entry in &policy.entries {
        let value = value_of(&entry.path)?;
        let reasons = || answer::reasons(&entry.path, &value).map_err(Fault::Wrong);
        match entry.answer {
            Answer::Applies if value != Value::Bool(true) => return Ok(None),
            Answer::Applies => {}
            Answer::Allow if value == Value::Bool(true) => {}
            Answer::Allow => found.denied.push("`allow` is not true".into()),
            Answer::Deny => found.denied.extend(reasons()?),
            Answer::Warn => found.warned.extend(reasons()?),
            Answer::NotEvaluated => found.not_evaluated.extend(reasons()?),
        }
    }
    Ok(Some(found))
}

fn verdict(
    policy: &Policy,
    found: Result<Option<Found>, String>,
    resource: &str,
    kind: &str,
    subject: Option<&Subject>,
) -> Option<Verdict> {
    let unknown = |path: &&String| subject.is_some_and(|subject| subject.is_unknown(path));
    let unknown: Vec<_> = policy.decides.iter().filter(unknown).collect();
    let mut enforcement = Enforcement::Deny;
    let (status, reasons) = match found {
        Err(reason) => (Status::Error, vec![reason]),
        Ok(None) => return None,
        Ok(Some(found)) => {
            let is_certain = policy.denies_what_is_present || unknown.is_empty();
            if !found.denied.is_empty() && is_certain {
                (Status::Fail, found.denied)
            } else if !unknown.is_empty() {
                let reason = |path: &&String| format!("`{path}` is known only after the change");
                (Status::NotEvaluated, unknown.iter().map(reason).collect())
            } else if !found.not_evaluated.is_empty() {
                (Status::NotEvaluated, found.not_evaluated)
            } else if found.warned.is_empty() {
                (Status::Pass, Vec::new())
            } else {
                enforcement = Enforcement::Warn;
                (Status::Fail, found.warned)
            }
        }
    };
    if let Form::Constraint(constraint) = &policy.form
        && !constraint.is_denying
    {
        enforcement = Enforcement::Warn;
    }
    Some(Verdict {
        policy_id: policy.id.clone(),
        policy_hash: policy.hash.clone(),
        title: policy.title.clone(),
        severity: policy.severity,
        resource: resource.to_owned(),
        resource_type: kind.to_owned(),
        remediation: if status == Status::Fail { policy.remediation.clone() } else { String::new() },
        status,
        enforcement,
        reasons,
    })
}
