//! Tests of policies: tables of inputs with their verdicts, and rules named `test_…` in Rego.
//!
//! `NAME.tests.yaml` beside `NAME.rego` is a list of cases. A case has a `verdict` and either a Kubernetes
//! `object` or a resource: `type`, `config`, and optionally `unknown` (the same shape, true for values that
//! are known only after the change) and `resources` (others of the same form that the resource is evaluated
//! with).

use serde::Serialize;
use serde_json::Value;

use crate::{Document, Evaluator, Policy, PolicySet, RegoEngine, Status, Surroundings, document::values};

/// Suffixes of files with test cases.
pub const CASES_SUFFIXES: [&str; 2] = [".tests.yaml", ".tests.yml"];
/// Maximum number of cases in one file.
const MAX_CASES: usize = 10_000;

/// The outcome of one test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestOutcome {
    /// The file of the test.
    pub file: String,
    /// The test's name, or its number within the table from 1.
    pub name: String,
    /// The difference; `None` if the test passes.
    pub wrong: Option<String>,
}

/// Whether the name is that of a table of cases.
pub fn is_table(file: &str) -> bool {
    CASES_SUFFIXES.iter().any(|suffix| file.ends_with(suffix))
}

impl PolicySet {
    /// Runs every test of the set.
    pub fn test(&self) -> Vec<TestOutcome> {
        let mut evaluator = Evaluator::new(self);
        let mut outcomes = Vec::new();
        for (file, text) in &self.cases {
            outcomes.extend(self.table(&mut evaluator, file, text));
        }
        outcomes.extend(self.rego_tests());
        outcomes
    }

    /// Documents of the set's test cases; a case that is not a document is left out.
    pub fn examples(&self) -> Vec<Document> {
        let tables = self.cases.iter().filter_map(|(_, text)| values(text).ok());
        let cases = tables.flatten().filter_map(|table| match table {
            Value::Array(cases) => Some(cases),
            _ => None,
        });
        let document = |case: Value| {
            let document = if case["object"].is_object() { &case["object"] } else { &case };
            Document::from_value(document).ok()
        };
        cases.flatten().filter_map(document).collect()
    }

    /// Policies without any test case or Rego test.
    pub fn untested(&self) -> Vec<&Policy> {
        let tested = |policy: &&Policy| {
            let stem = policy.file.strip_suffix(".rego").unwrap_or(&policy.file);
            self.cases
                .iter()
                .any(|(file, _)| CASES_SUFFIXES.iter().any(|end| *file == format!("{stem}{end}")))
                || self.tests.iter().any(|(_, text)| {
                    policy.entries.iter().any(|entry| {
                        let package = entry.path.rsplit_once('.').map_or("", |(package, _)| package);
                        text.contains(package) || text.contains(&package.replacen("data.", "package ", 1))
                    })
                })
        };
        self.policies.iter().filter(|policy| !tested(policy)).collect()
    }

    fn table(&self, evaluator: &mut Evaluator, file: &str, text: &str) -> Vec<TestOutcome> {
        let outcome =
            |name: String, wrong: Option<String>| TestOutcome { file: file.to_owned(), name, wrong };
        let stem = CASES_SUFFIXES.iter().find_map(|suffix| file.strip_suffix(suffix)).unwrap_or(file);
        let policy_file = format!("{stem}.rego");
        let cases = match values(text) {
            Ok(documents) => documents.into_iter().next().unwrap_or(Value::Null),
            Err(refused) => return vec![outcome("table".into(), Some(refused.to_string()))],
        };
        let Some(cases) = cases.as_array().filter(|cases| cases.len() <= MAX_CASES) else {
            return vec![outcome(
                "table".into(),
                Some("the table is no list of at most 10,000 cases".into()),
            )];
        };
        if !self.policies.iter().any(|policy| policy.file == policy_file) {
            let reason = format!("{policy_file} holds no policy that can be used");
            return vec![outcome("table".into(), Some(reason))];
        }
        let numbered = cases.iter().enumerate();
        numbered
            .map(|(number, case)| {
                let name = case["name"].as_str().map_or_else(|| (number + 1).to_string(), ToOwned::to_owned);
                outcome(name, self.case(evaluator, &policy_file, case).err())
            })
            .collect()
    }

    fn case(&self, evaluator: &mut Evaluator, policy_file: &str, case: &Value) -> Result<(), String> {
        let wanted = case["verdict"].as_str().unwrap_or_default();
        let all = [Status::Pass, Status::Fail, Status::NotEvaluated, Status::Error];
        let wanted = all.into_iter().find(|status| status.name() == wanted).ok_or_else(|| {
            format!("the verdict {wanted:?} is unknown; pass, fail, not_evaluated and error are known")
        })?;
        let document = if case["object"].is_object() { &case["object"] } else { case };
        let document = Document::from_value(document).map_err(|refused| refused.to_string())?;
        let of_file = |policy: &Policy| policy.file == policy_file;
        let evaluation = evaluator.evaluate(self, &document, &Surroundings::default(), of_file);
        let found = evaluation.verdicts.iter().max_by_key(|verdict| verdict.status);
        let Some(found) = found else {
            return Err(format!("{} is wanted, but the policy does not apply", wanted.name()));
        };
        if found.status == wanted {
            return Ok(());
        }
        Err(format!(
            "{} is wanted, {} is found: {}",
            wanted.name(),
            found.status.name(),
            found.reasons.join("; ")
        ))
    }

    /// The rules `test_…` of the set's Rego.
    fn rego_tests(&self) -> Vec<TestOutcome> {
        if self.tests.is_empty() {
            return Vec::new();
        }
        let mut outcomes = Vec::new();
        let mut engine = RegoEngine::new(self.config.limits, self.config.errors);
        let mut tests = Vec::new();
        for (file, text) in self.modules.iter().chain(&self.tests) {
            match engine.add(file, text) {
                Ok(package) => {
                    let rules = engine.last_rules().into_iter().filter(|rule| rule.starts_with("test_"));
                    tests.extend(rules.map(|rule| (file.clone(), format!("{package}.{rule}"))));
                }
                Err(error) => {
                    let (file, name) = (file.clone(), "module".to_owned());
                    outcomes.push(TestOutcome { file, name, wrong: Some(error.to_string()) });
                }
            }
        }
        let sealed = engine.seal();
        outcomes.extend(tests.into_iter().map(|(file, test)| {
            let wrong = match &sealed {
                Err(error) => Some(error.to_string()),
                Ok(()) => match engine.rule(&test, regorus::Value::Undefined) {
                    Ok(regorus::Value::Bool(true)) => None,
                    Ok(other) => Some(format!("it is {other}")),
                    Err(error) => Some(error.to_string()),
                },
            };
            let name = test.rsplit('.').next().unwrap_or(&test).to_owned();
            TestOutcome { file, name, wrong }
        }));
        outcomes
    }
}
