//! The reference pages of `docs/`, held against the code.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{compose, support::rust_files};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first cell of every row of the page's tables that is a name in code style.
fn rows(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The names given to the macros that register or describe a metric.
fn registered(sources: &str) -> BTreeSet<String> {
    let macros = ["counter!(", "gauge!(", "histogram!("];
    let mut found = BTreeSet::new();
    for registering in macros {
        for (at, _) in sources.match_indices(registering) {
            let arguments = sources[at + registering.len()..].trim_start();
            if let Some(name) = arguments.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                found.insert(name.0.to_owned());
            }
        }
    }
    found
}

#[test]
fn the_page_of_metrics_lists_every_metric_and_no_other() {
    let documented = rows(&page("metrics.md"));
    let registered = registered(&compose::sources());
    assert!(registered.len() > 30, "{}", registered.len());
    let missing: Vec<_> = registered.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    let invented: Vec<_> = documented.difference(&registered).collect();
    assert!(invented.is_empty(), "docs/metrics.md lists {invented:?}, which nothing registers");
}

#[test]
fn every_registered_metric_is_described() {
    let sources = compose::sources();
    let described: BTreeSet<String> = registered(
        &sources
            .match_indices("describe_")
            .map(|(at, _)| sources[at + "describe_".len()..].chars().take(200).collect::<String>())
            .filter(|text| ["counter!(", "gauge!(", "histogram!("].iter().any(|name| text.starts_with(name)))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    let missing: Vec<_> = registered(&sources).into_iter().filter(|name| !described.contains(name)).collect();
    assert!(missing.is_empty(), "describe these for /metrics: {missing:?}");
}

/// Every test that the page of promises names is there, and every promise names one.
#[test]
fn the_page_of_security_names_tests_that_exist() {
    let page = page("security.md");
    let promises: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise")).collect();
    assert!(promises.len() > 25, "{}", promises.len());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let code: String = rust_files(workspace).into_iter().map(|(_, text)| text).collect();
    for promise in promises {
        let (_, tests) = promise.trim_end_matches(" |").rsplit_once(" | ").expect("two cells");
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            assert!(code.contains(&format!("fn {test}()")), "{test} of {promise}");
        }
    }
}
