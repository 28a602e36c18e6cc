//! The reference pages of `docs/`, held against the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use schemas::access::{Role, Scope};

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

/// `docs/access.md` names every scope, with the roles that have it.
#[test]
fn the_page_of_access_lists_every_scope_with_its_roles() {
    let page = page("access.md");
    let table = page.split_once("| Scope |").expect("a table of scopes").1;
    let table = table.split_once("\n\n").expect("the table ends").0;
    let documented: BTreeMap<&str, &str> = table
        .lines()
        .filter_map(|line| {
            let (scope, rest) = line.strip_prefix("| `")?.split_once('`')?;
            Some((scope, rest.trim_end_matches(" |").rsplit_once("| ")?.1))
        })
        .collect();
    let includes = |role: Role, scope: Scope| {
        role.scopes().iter().any(|own| *own == scope || scope.within() == Some(*own))
    };
    let of_scope = |scope: Scope| {
        let roles: Vec<&str> =
            Role::ALL.into_iter().filter(|role| includes(*role, scope)).map(Role::name).collect();
        match roles.len() {
            0 => "none".to_owned(),
            all if all == Role::ALL.len() => "all".to_owned(),
            _ => roles.join(", "),
        }
    };
    let expected: Vec<(&str, String)> =
        Scope::ALL.into_iter().map(|scope| (scope.name(), of_scope(scope))).collect();
    let expected: BTreeMap<&str, &str> =
        expected.iter().map(|(scope, roles)| (*scope, roles.as_str())).collect();
    assert_eq!(documented, expected);
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

/// An API server takes no user, query or fragment in the URL of a webhook.
#[test]
fn urls_in_manifests_are_those_that_an_api_server_takes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("docs");
    let mut urls = 0;
    for entry in fs::read_dir(&folder).expect("the pages") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a page");
        let blocks = text.split("```yaml").skip(1).filter_map(|rest| rest.split_once("```"));
        for line in blocks.flat_map(|(block, _)| block.lines()) {
            let Some(url) = line.trim_start_matches([' ', '-']).strip_prefix("url:") else { continue };
            assert!(!url.contains(['?', '#', '@']), "{}: {line}", path.display());
            urls += 1;
        }
    }
    assert!(urls > 0, "there is no manifest with a URL any more");
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

/// The names of variables of the environment that code reads by the calls of its own: the texts in capitals behind them.
fn variables_read(code: &str) -> BTreeSet<String> {
    let calls = ["env::var(", "env::var_os(", "variable(", "secret(", "set(", "env = "];
    let mut found = BTreeSet::new();
    for (at, call) in calls.iter().flat_map(|call| code.match_indices(call)) {
        let mut rest = code[at + call.len()..].trim_start_matches(['&', '[', ' ', '\n']);
        // One name, or a list of them.
        while let Some((name, behind)) = rest.strip_prefix('"').and_then(|text| text.split_once('"')) {
            let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            if name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(is_variable) {
                found.insert(name.strip_suffix("_FILE").unwrap_or(name).to_owned());
            }
            rest = behind.trim_start_matches([',', ' ', '\n']);
        }
    }
    found
}

#[test]
fn every_variable_of_the_environment_is_on_a_page() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let sources = fs::read_to_string(workspace.join("producers/README.md")).expect("a page");
    let pages = page("configuration.md") + &sources;
    let mut read = BTreeSet::new();
    for (path, text) in rust_files(workspace) {
        let path = path.strip_prefix(workspace).expect("below the workspace").display().to_string();
        if !["tests/", "tests.rs", "simulation/"].iter().any(|part| path.contains(part)) {
            let code = text.split("#[cfg(test)]\nmod tests {").next().expect("the code before its tests");
            read.extend(variables_read(code));
        }
    }
    for name in ["PGSSLMODE", "AWS_ENDPOINT_URL_S3", "WEIR_TENANT", "LOG_FORMAT"] {
        assert!(read.contains(name), "{name} is not found any more: {read:?}");
    }
    // Those of the system itself.
    read.retain(|name| name != "HOME" && name != "PATH" && !pages.contains(&format!("`{name}`")));
    assert!(read.is_empty(), "no page tells of {read:?}");
}
