//! `weir bench policy`: Weir's own policies compiled and interpreted, beside OPA where it is installed, and the decision
//! API at a rate.
//!
//! The documents are those of the policies' own cases: each is judged by every policy that concerns its resources. The
//! two sides take turns, and their verdicts are compared before anything is measured.

mod api;
mod generator;
mod opa;
mod own_time;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use policies::{Config, Document, Evaluator, Execution, PolicySet, Surroundings};
use serde::Serialize;
use tokio::time::Instant;

use super::{drain::median, machine};
use crate::{
    Outcome,
    output::{self, Format, note},
};

/// Arguments of `weir bench policy`.
#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    /// Number of measurements of each side, taken in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pairs: u32,
    /// OPA's program; without it, `opa` of the PATH if there is one.
    #[arg(long, value_name = "FILE")]
    opa: Option<PathBuf>,
    /// Requests per second to the decision API, with a Kafka of its own; 0 leaves the API out. The same rate goes to a
    /// server that answers a fixed text, as the measure of the generator.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    rate: u32,
    /// Seconds for which each kind of request is held, after a warm-up of 3.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// One way to evaluate: medians over the pairs.
#[derive(Debug, Serialize)]
struct Figures {
    what: &'static str,
    policies: usize,
    /// Policies that the virtual machine evaluates.
    compiled: usize,
    /// Evaluations per second, a policy and a resource each, on one thread.
    evaluations_per_s: f64,
    us_per_evaluation: f64,
    us_per_document: f64,
    load_ms: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    name: &'static str,
    runs: Vec<Figures>,
    /// Compiled over interpreted evaluations per second, pair by pair: the median, least and most.
    ratio: [f64; 3],
    documents: usize,
    evaluations_per_document: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    opa: Option<opa::Compared>,
    api: Vec<api::Run>,
    pairs: u32,
    load: String,
}

/// A set of policies that is measured.
struct Side {
    what: &'static str,
    set: PolicySet,
    evaluator: Evaluator,
    load_ms: f64,
    per_s: Vec<f64>,
}

impl Side {
    fn new(what: &'static str, execution: Execution) -> Self {
        let began = Instant::now();
        let set = PolicySet::own(Config { execution, ..Config::default() });
        let load_ms = began.elapsed().as_secs_f64() * 1e3;
        let evaluator = Evaluator::new(&set);
        Self { what, set, evaluator, load_ms, per_s: Vec::new() }
    }

    /// Judges every document once; answers the number of verdicts.
    fn judge(&mut self, documents: &[Document]) -> usize {
        let nothing = Surroundings::default();
        let mut verdicts = 0;
        for document in documents {
            verdicts += self.evaluator.evaluate(&self.set, document, &nothing, |_| true).verdicts.len();
        }
        verdicts
    }

    fn figures(&self, evaluations: usize, documents: usize) -> Figures {
        let evaluations_per_s = median(self.per_s.clone());
        let us_per_evaluation = 1e6 / evaluations_per_s;
        Figures {
            what: self.what,
            policies: self.set.policies().len(),
            compiled: self.set.policies().iter().filter(|policy| policy.is_compiled()).count(),
            evaluations_per_s,
            us_per_evaluation,
            us_per_document: us_per_evaluation * ratio(evaluations, documents),
            load_ms: self.load_ms,
        }
    }
}

/// Measures both sides in turn, then OPA and the API.
pub(super) async fn policy(args: &PolicyArgs) -> anyhow::Result<Outcome> {
    let mut compiled = Side::new("compiled", Execution::Compiled);
    let mut interpreted = Side::new("interpreted", Execution::Interpreted);
    let documents = compiled.set.examples();
    compare(&mut compiled, &mut interpreted, &documents)?;
    // Policies that do not apply have no verdict and were evaluated all the same.
    let evaluations = evaluations(&compiled.set, &documents);
    let mut ratios = Vec::new();
    for pair in 1..=args.pairs {
        for side in [&mut compiled, &mut interpreted] {
            let began = Instant::now();
            side.judge(&documents);
            side.per_s.push(ratio(evaluations, 1) / began.elapsed().as_secs_f64());
        }
        ratios
            .push(compiled.per_s[compiled.per_s.len() - 1] / interpreted.per_s[interpreted.per_s.len() - 1]);
        note(&format!("pair {pair} of {}; load {}", args.pairs, machine::load()));
    }
    ratios.sort_by(f64::total_cmp);
    let runs = [&compiled, &interpreted].map(|side| side.figures(evaluations, documents.len()));
    let opa = opa::compare(args.opa.as_deref(), &compiled.set)?;
    let api = if args.rate == 0 { Vec::new() } else { api::measure(args.rate, args.seconds).await? };
    let report = Report {
        name: "policy",
        runs: runs.into(),
        ratio: [median(ratios.clone()), ratios[0], ratios[ratios.len() - 1]],
        documents: documents.len(),
        evaluations_per_document: ratio(evaluations, documents.len()),
        opa,
        api,
        pairs: args.pairs,
        load: machine::load(),
    };
    print(&report, args.output)?;
    Ok(Outcome::Done)
}

/// Verdicts must be equal, or a figure says nothing.
fn compare(compiled: &mut Side, interpreted: &mut Side, documents: &[Document]) -> anyhow::Result<()> {
    let nothing = Surroundings::default();
    for document in documents {
        let one = compiled.evaluator.evaluate(&compiled.set, document, &nothing, |_| true);
        let other = interpreted.evaluator.evaluate(&interpreted.set, document, &nothing, |_| true);
        ensure!(one == other, "the two sides differ: {:?} and {:?}", one.verdicts, other.verdicts);
    }
    Ok(())
}

fn evaluations(set: &PolicySet, documents: &[Document]) -> usize {
    let subjects = documents.iter().flat_map(|document| &document.subjects);
    let concerned =
        |kind: &str| set.policies().iter().filter(|one| one.resource_types.contains(kind)).count();
    subjects.map(|subject| concerned(&subject.kind)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        return output::json(report);
    }
    let mut table =
        output::table(&["policies", "compiled", "evaluations/s", "µs/evaluation", "µs/document", "load ms"]);
    for run in &report.runs {
        table.add_row([
            format!("{} {}", run.policies, run.what),
            run.compiled.to_string(),
            format!("{:.0}", run.evaluations_per_s),
            format!("{:.1}", run.us_per_evaluation),
            format!("{:.1}", run.us_per_document),
            format!("{:.0}", run.load_ms),
        ]);
    }
    output::print_table(&table, "nothing was measured");
    let [middle, least, most] = report.ratio;
    output::line(&format!("compiled ÷ interpreted: {middle:.1} ({least:.1} to {most:.1})"));
    if let Some(opa) = &report.opa {
        output::line(&format!(
            "OPA {}: {:.1} µs/evaluation of {} policies; compiled here {:.1}, interpreted {:.1}",
            opa.version, opa.us_per_evaluation, opa.policies, opa.compiled_us, opa.interpreted_us
        ));
    } else {
        output::line("OPA is not installed; --opa FILE names its program");
    }
    if !report.api.is_empty() {
        let columns = [
            "decisions",
            "requests/s",
            "P50 ms",
            "P95 ms",
            "P99 ms",
            "max ms",
            "sent late P99 ms",
            "in the gateway P50 ms",
            "P99 ms",
            "failed",
        ];
        let optional = |value: Option<f64>| value.map_or_else(String::new, |ms| format!("{ms:.3}"));
        let mut table = output::table(&columns);
        for run in &report.api {
            table.add_row([
                run.what.to_owned(),
                format!("{:.0}", run.requests_per_s),
                format!("{:.2}", run.p50_ms),
                format!("{:.2}", run.p95_ms),
                format!("{:.2}", run.p99_ms),
                format!("{:.2}", run.max_ms),
                format!("{:.2}", run.sent_late_p99_ms),
                optional(run.own_p50_ms),
                optional(run.own_p99_ms),
                run.failed.to_string(),
            ]);
        }
        output::print_table(&table, "nothing was measured");
    }
    Ok(())
}
