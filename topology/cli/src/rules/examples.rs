//! `weir rules test`: every rule fires on its positive examples and on none of its negative ones.

use std::path::PathBuf;

use clap::Args;
use processors::risk::{
    is_undecided,
    sigma::{Json, SigmaEngine},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    formats,
    load::{self, RuleSet},
    sequence::Sequences,
};
use crate::{
    Outcome,
    output::{self, Format, note},
    settings::Settings,
};

/// Arguments of `weir rules test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Folder (or file) of Sigma rules with their examples; without it, Weir's own.
    dir: Option<PathBuf>,
    /// Weir's own rules beside them, as a stage has them: for correlations over these. Only the folder's
    /// examples are run.
    #[arg(long, requires = "dir")]
    own: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    positive: Vec<Example>,
    negative: Vec<Example>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    name: String,
    /// The record of a detection rule.
    #[serde(default)]
    event: Option<Value>,
    /// The records of a correlation rule, in time.
    #[serde(default)]
    events: Vec<super::sequence::Step>,
}

/// Tested rules and examples, and the failures.
#[derive(Debug, Default, Serialize)]
struct Tested {
    rule_files: usize,
    positive: usize,
    negative: usize,
    without_examples: Vec<String>,
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Failure {
    file: String,
    /// The example; `None` if none of the file's could be run.
    example: Option<String>,
    reason: String,
}

pub(super) fn test(args: &TestArgs) -> anyhow::Result<Outcome> {
    let set = RuleSet::read(args.dir.as_deref(), Settings::load()?.rules.placeholders())?;
    let own = set.own_beside(args.own)?;
    let (engine, problems) = load::engine(own.iter().chain([&set]));
    let mut tested = run(&set, engine);
    tested.failures.extend(problems.iter().map(|problem| Failure {
        file: problem.file.clone(),
        example: None,
        reason: problem.reason.clone(),
    }));
    if args.output == Format::Table {
        print(&tested);
    } else {
        output::json(&tested)?;
    }
    if !args.own {
        set.point_at_own(&problems)?;
    }
    // Where nothing was run, nothing was shown to be right.
    let ran = tested.positive + tested.negative > 0;
    Ok(if ran && tested.failures.is_empty() { Outcome::Done } else { Outcome::No })
}

/// Runs the examples of a set; correlations may refer to any rule of the engine.
fn run(set: &RuleSet, engine: SigmaEngine) -> Tested {
    let mut tested = Tested::default();
    let sequences = Sequences::new(engine);
    for (file, text) in set.rules() {
        let (engine, mut problems) = set.engine_of(file, text);
        if sequences.has(file) {
            problems.clear();
        }
        tested.rule_files += 1;
        let Some((name, examples)) = set.examples(file) else {
            tested.without_examples.push(file.to_owned());
            continue;
        };
        let about_file = |reason| Failure { file: name.clone(), example: None, reason };
        match serde_saphyr::from_str::<Examples>(examples) {
            Err(error) => tested.failures.push(about_file(error.to_string())),
            Ok(Examples { positive, negative }) if positive.is_empty() || negative.is_empty() => {
                tested
                    .failures
                    .push(about_file("it needs at least one positive and one negative example".into()));
            }
            // The rule itself is told as a problem.
            Ok(_) if !problems.is_empty() => {}
            Ok(examples) => {
                tested.positive += examples.positive.len();
                tested.negative += examples.negative.len();
                let fails = |example: &Example, should_fire| match &example.event {
                    _ if sequences.has(file) => sequences.failure(file, &example.events, should_fire),
                    Some(event) => failure(&engine, event, should_fire),
                    None => Some("it has no `event`".to_owned()),
                };
                let positive = examples.positive.iter().map(|example| (example, fails(example, true)));
                let negative = examples.negative.iter().map(|example| (example, fails(example, false)));
                tested.failures.extend(positive.chain(negative).filter_map(|(example, reason)| {
                    Some(Failure {
                        file: file.to_owned(),
                        example: Some(example.name.clone()),
                        reason: reason?,
                    })
                }));
            }
        }
    }
    tested
}

/// Failure of an example, if it fails.
fn failure(engine: &SigmaEngine, event: &Value, should_fire: bool) -> Option<String> {
    let text = event.to_string();
    let record = match Json::read(&text) {
        Ok(record) => record,
        Err(error) => return Some(error.to_string()),
    };
    let decided = formats(engine).into_iter().filter(|format| !is_undecided(format, &record));
    let fired: Vec<_> = decided.flat_map(|format| engine.evaluate_record(format, &record)).collect();
    match (should_fire, fired.first()) {
        (true, None) => Some("the rule is silent on this positive example".into()),
        (false, Some(hit)) => {
            let fields: Vec<_> = hit.matched.iter().map(|matched| matched.field.as_str()).collect();
            Some(format!("the rule fires on this negative example: {}", fields.join(", ")))
        }
        _ => None,
    }
}

fn print(tested: &Tested) {
    for failure in &tested.failures {
        let example = failure.example.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        note(&format!("{}{example}: {}", failure.file, failure.reason));
    }
    output::line(&format!(
        "{} rule files, {} positive and {} negative examples, {} wrong; {} without examples",
        tested.rule_files,
        tested.positive,
        tested.negative,
        tested.failures.len(),
        tested.without_examples.len(),
    ));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_undecided_request_fires_nothing() {
        let rule = "title: Made\nlogsource: {product: kubernetes, service: audit}\n\
                    detection: {s: {verb: create}, condition: s}\nlevel: high\n";
        let (engine, problems) = SigmaEngine::load([("made.yml", rule)]);
        assert_eq!(problems, []);
        let silent = |stage: &str| failure(&engine, &json!({"stage": stage, "verb": "create"}), true);
        assert!(silent("RequestReceived").is_some_and(|reason| reason.contains("silent")));
        assert_eq!(silent("ResponseComplete"), None);
    }
}
