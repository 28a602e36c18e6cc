//! `weir rules check`: which rules cannot be used, where, and why.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceSpan};
use processors::risk::sigma::{Finding, RuleProblem};
use serde_json::json;
use thiserror::Error;

use super::load::{self, RuleSet};
use crate::{
    Outcome,
    output::{self, Format, note},
    settings::Settings,
};

/// Arguments of `weir rules check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Folder (or file) of Sigma rules.
    dir: PathBuf,
    /// Weir's own rules beside them, as a stage has them: for filters of these, and correlations over them.
    #[arg(long)]
    own: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let set = RuleSet::read(Some(&args.dir), Settings::load()?.rules.placeholders())?;
    let own = set.own_beside(args.own)?;
    let (engine, problems) = load::engine(own.iter().chain([&set]));
    let text = |file: &str| set.text(file).or_else(|| own.as_ref()?.text(file)).unwrap_or_default();
    let findings = engine.findings();
    let usable = engine.rules().count() + engine.correlations().len();
    if args.output == Format::Table {
        for problem in problems.iter().chain(findings.iter().map(|finding| &finding.problem)) {
            note(&drawn(problem, text(&problem.file))?);
        }
        let doubts = match findings.len() {
            0 => String::new(),
            n => format!(", {n} findings about those that can"),
        };
        output::line(&format!("{usable} rules can be used, {} cannot{doubts}", problems.len()));
    } else {
        let told = |problem: &RuleProblem| {
            json!({
                "file": problem.file, "line": problem.line, "title": problem.title, "reason": problem.reason,
            })
        };
        let doubted = |finding: &Finding| {
            let mut told = told(&finding.problem);
            told["kind"] = finding.kind.name().into();
            told["unusable"] = finding.kind.is_unusable().into();
            told
        };
        let files = own.iter().chain([&set]).flat_map(RuleSet::rules).count();
        output::json(&json!({
            "files": files, "usable": usable, "rule_set": engine.hash(),
            "problems": problems.iter().map(told).collect::<Vec<_>>(),
            "findings": findings.iter().map(doubted).collect::<Vec<_>>(),
        }))?;
    }
    if !args.own {
        set.point_at_own(&problems)?;
    }
    let in_order = problems.is_empty() && !findings.iter().any(|finding| finding.kind.is_unusable());
    Ok(if in_order { Outcome::Done } else { Outcome::No })
}

/// A problem as a person sees it: the reason above the line that it is about.
#[derive(Debug, Error)]
#[error("{}", .told)]
struct Unusable {
    told: String,
    text: NamedSource<String>,
    at: Option<SourceSpan>,
}

impl Diagnostic for Unusable {
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.at.is_some().then_some(&self.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let at = self.at?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".into()), at))))
    }
}

fn drawn(problem: &RuleProblem, text: &str) -> anyhow::Result<String> {
    let unusable = Unusable {
        told: problem.to_string(),
        text: NamedSource::new(&problem.file, text.to_owned()),
        at: problem.line.and_then(|line| span_of(text, line)),
    };
    let theme = if io::stderr().is_terminal() {
        GraphicalTheme::default()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let mut drawn = String::new();
    GraphicalReportHandler::new_themed(theme).with_links(false).render_report(&mut drawn, &unusable)?;
    Ok(drawn)
}

/// Range of a line (from 1) in the text.
fn span_of(text: &str, line: usize) -> Option<SourceSpan> {
    let mut start = 0;
    for (at, content) in text.split_inclusive('\n').enumerate() {
        if at + 1 == line {
            return Some((start, content.trim_end().len()).into());
        }
        start += content.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line() {
        let problem = RuleProblem {
            file: "a/rule.yml".into(),
            line: Some(2),
            title: Some("One".into()),
            reason: "the pattern has no end".into(),
        };
        let drawn = drawn(&problem, "title: One\ndetection: x\nlevel: low\n").expect("drawn");
        assert!(drawn.contains("a/rule.yml:2: the pattern has no end"), "{drawn}");
        assert!(drawn.contains("detection: x") && drawn.contains("here"), "{drawn}");
        assert_eq!(span_of("a\nb", 3), None);
    }
}
