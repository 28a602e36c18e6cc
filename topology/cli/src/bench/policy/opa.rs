//! The same policies and documents evaluated by OPA's own benchmark, where OPA is installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, bail, ensure};
use policies::{Config, Document, Evaluator, Execution, PolicySet, Surroundings};
use serde::Serialize;
use serde_json::Value;

use super::super::drain::median;
use crate::output::note;

/// Policies that OPA is asked about, each with a document of its own: its benchmark takes seconds for one.
const COMPARED: usize = 12;
/// Evaluations of a document by each side between two readings of the clock.
const ROUNDS: u32 = 200;

/// OPA beside Weir, on the same policies and inputs.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) version: String,
    pub(super) policies: usize,
    /// The median of OPA's time for one evaluation, in µs.
    pub(super) us_per_evaluation: f64,
    pub(super) compiled_us: f64,
    pub(super) interpreted_us: f64,
}

/// A folder that is deleted after the measurement.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Asks OPA about some policies; `None` where there is no OPA.
pub(super) fn compare(program: Option<&Path>, set: &PolicySet) -> anyhow::Result<Option<Compared>> {
    let named = program.unwrap_or(Path::new("opa"));
    let version = match Command::new(named).arg("version").output() {
        Ok(answer) if answer.status.success() => String::from_utf8_lossy(&answer.stdout).into_owned(),
        _ if program.is_none() => return Ok(None),
        _ => bail!("{} is no OPA: `{} version` fails", named.display(), named.display()),
    };
    let version = version.lines().next().unwrap_or_default().trim_start_matches("Version: ").to_owned();
    let folder = Folder(std::env::temp_dir().join(format!("weir-bench-opa-{}", std::process::id())));
    for (name, text) in policies::own()
        .into_iter()
        .filter(|(name, _)| Path::new(name).extension().is_some_and(|end| end == "rego"))
    {
        let file = folder.0.join("policies").join(name);
        fs::create_dir_all(file.parent().context("a file's folder")?)?;
        fs::write(file, text)?;
    }
    let interpreted = PolicySet::own(Config { execution: Execution::Interpreted, ..Config::default() });
    let (mut of_opa, mut of_machine, mut of_interpreter) = (Vec::new(), Vec::new(), Vec::new());
    let step = set.policies().len() / COMPARED;
    for policy in set.policies().iter().step_by(step.max(1)).take(COMPARED) {
        let example = set.examples().into_iter().find(|document| {
            document.subjects.first().is_some_and(|subject| policy.resource_types.contains(&subject.kind))
        });
        let Some(example) = example else { continue };
        let input = example.subjects[0].input.to_json_str()?;
        fs::write(folder.0.join("input.json"), &input)?;
        of_machine.push(us(set, &policy.id, &example));
        of_interpreter.push(us(&interpreted, &policy.id, &example));
        let query = format!("data.weir.{}.deny", policy.file.trim_end_matches(".rego").replace('/', "."));
        of_opa.push(opa_us(named, &folder.0, &query)?);
        note(&format!("{}: OPA {:.1} µs", policy.id, of_opa[of_opa.len() - 1]));
    }
    Ok(Some(Compared {
        version,
        policies: of_opa.len(),
        us_per_evaluation: median(of_opa),
        compiled_us: median(of_machine),
        interpreted_us: median(of_interpreter),
    }))
}

/// The time of one evaluation with its verdict, in µs.
fn us(set: &PolicySet, id: &str, document: &Document) -> f64 {
    let mut evaluator = Evaluator::new(set);
    let nothing = Surroundings::default();
    let began = Instant::now();
    for _ in 0..ROUNDS {
        evaluator.evaluate(set, document, &nothing, |policy| policy.id == id);
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
}

/// `opa bench` of one query, in µs.
fn opa_us(program: &Path, folder: &Path, query: &str) -> anyhow::Result<f64> {
    let answer = Command::new(program)
        .args(["bench", "--format", "json", "--count", "1", "--metrics=false", "--data", "policies"])
        .args(["--input", "input.json", query])
        .current_dir(folder)
        .output()
        .context("running opa bench")?;
    ensure!(
        answer.status.success(),
        "opa bench fails on {query}: {}",
        String::from_utf8_lossy(&answer.stderr).trim()
    );
    let told: Value = serde_json::from_slice(&answer.stdout).context("reading what opa bench says")?;
    let (took, runs) = (told["T"].as_f64(), told["N"].as_f64());
    let (Some(took), Some(runs)) = (took, runs) else { bail!("opa bench says no time: {told}") };
    Ok(took / runs / 1e3)
}
