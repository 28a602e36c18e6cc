//! Documents against policies.

use regorus::Value;

use crate::{
    Decision, Document, DocumentKind, Enforcement, EngineError, Policy, PolicySet, RegoEngine, Status,
    Subject, Verdict, answer,
    policy::{Answer, Form},
};

/// Values beside a document.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Other Kubernetes objects, below `data.inventory`: the answer of [`inventory`](crate::gatekeeper::inventory).
    pub inventory: Option<serde_json::Value>,
}

/// Verdicts about a document, and the decision that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// In the order of resources, then policies.
    pub verdicts: Vec<Verdict>,
    /// The gravest consequence.
    pub decision: Decision,
}

/// The answer of a policy's rules.
#[derive(Default)]
struct Found {
    denied: Vec<String>,
    warned: Vec<String>,
    not_evaluated: Vec<String>,
}

/// Evaluates policies; it keeps copies of the set's engines, so one belongs to each thread.
#[derive(Debug, Clone)]
pub struct Evaluator {
    engines: Vec<RegoEngine>,
}

impl Evaluator {
    /// An evaluator of a set.
    pub fn new(set: &PolicySet) -> Self {
        Self { engines: set.engines.clone() }
    }

    /// Judges a document with every policy of the set that concerns it, or with those that `wanted` admits.
    pub fn evaluate(
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
        let mut verdicts = Vec::new();
        for policy in set.policies.iter().filter(|policy| wanted(policy)) {
            let engines = inventoried.as_mut().unwrap_or(&mut self.engines);
            let engine = &mut engines[policy.engine];
            if matches!(policy.form, Form::Whole) && document.kind != DocumentKind::Kubernetes {
                verdicts.extend(whole(engine, policy, document));
                continue;
            }
            for subject in document.subjects.iter().filter(|subject| policy.reads(&subject.kind)) {
                verdicts.extend(judge(engine, policy, subject));
            }
        }
        verdicts.sort_by(|a, b| (&a.resource, &a.policy_id).cmp(&(&b.resource, &b.policy_id)));
        let decision = Decision::from_verdicts(&verdicts);
        Evaluation { verdicts, decision }
    }

    /// Copies of the engines of Kubernetes policies with data added; the others as they are.
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

fn whole(engine: &mut RegoEngine, policy: &Policy, document: &Document) -> Option<Verdict> {
    let found = run(engine, policy, &document.whole);
    verdict(policy, found, "", "", None)
}

fn judge(engine: &mut RegoEngine, policy: &Policy, subject: &Subject) -> Option<Verdict> {
    let input = match (&policy.form, &subject.review) {
        (Form::Whole, Some(review)) => {
            let object = if review["object"].is_object() { &review["object"] } else { &review["oldObject"] };
            object.clone().into()
        }
        (Form::Resource, _) | (Form::Whole, None) => subject.input.clone(),
        (Form::Constraint(constraint), Some(review)) if constraint.matches(review) => {
            serde_json::json!({"review": review, "parameters": constraint.parameters}).into()
        }
        (Form::Constraint(_), _) => return None,
    };
    let found = run(engine, policy, &input);
    verdict(policy, found, &subject.address, &subject.kind, Some(subject))
}

/// The answers of the policy's rules; `None` where it says that it does not apply.
fn run(engine: &mut RegoEngine, policy: &Policy, input: &Value) -> Result<Option<Found>, String> {
    let mut found = Found::default();
    engine.input(input.clone());
    let mut value = |path: &str| engine.rule_of_input(path).map_err(|error| told(&error));
    for entry in &policy.entries {
        let value = value(&entry.path)?;
        let reasons = || answer::reasons(&entry.path, &value);
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

fn told(error: &EngineError) -> String {
    match (error.file(), error.line()) {
        (Some(file), Some(line)) => format!("{file}:{line}: {error}"),
        _ => error.to_string(),
    }
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
