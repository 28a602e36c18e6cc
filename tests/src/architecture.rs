//! The crate arrows and the absences that ARCHITECTURE.md promises.

use std::{
    fs,
    path::{Path, PathBuf},
};

use topology::pipeline;

use crate::support::rust_files;

/// Our crates and their folders, from the lowest to the highest.
const OURS: [(&str, &str); 14] = [
    ("schemas", "schemas"),
    ("edge", "edge"),
    ("costs", "processors/costs"),
    ("producers", "producers"),
    ("processors", "processors"),
    ("projections", "processors/projections"),
    ("policies", "processors/policies"),
    ("audit-log", "sinks/log"),
    ("siem", "sinks/siem"),
    ("sinks", "sinks"),
    ("stack", "topology/stack"),
    ("topology", "topology"),
    ("cli", "topology/cli"),
    ("tests", "tests"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above this crate").to_owned()
}

/// The folder of one of our crates.
fn folder(name: &str) -> PathBuf {
    let (_, folder) = OURS.iter().find(|(ours, _)| *ours == name).expect("one of our crates");
    root().join(folder)
}

/// Our crates that `name` depends on outside its tests.
fn arrows(name: &str) -> Vec<String> {
    let manifest = fs::read_to_string(folder(name).join("Cargo.toml")).expect("a manifest");
    let dependencies = manifest
        .split("[dependencies]")
        .nth(1)
        .expect("dependencies")
        .split("\n[")
        .next()
        .expect("the section's own lines")
        .to_owned();
    OURS.iter()
        .filter(|(ours, _)| dependencies.lines().any(|line| line.starts_with(&format!("{ours}."))))
        .map(|(ours, _)| (*ours).to_owned())
        .collect()
}

/// Every line of Rust of a crate, with where it stands; tests beside the code count as well.
fn lines(name: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, text) in rust_files(&folder(name).join("src")) {
        for (number, line) in text.lines().enumerate() {
            found.push((format!("{}:{}", path.display(), number + 1), line.to_owned()));
        }
    }
    assert!(!found.is_empty(), "{name} has sources");
    found
}

fn check_absent(name: &str, words: &[&str]) {
    let found: Vec<String> = lines(name)
        .into_iter()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
        .map(|(place, line)| format!("{place}: {}", line.trim()))
        .collect();
    assert!(found.is_empty(), "{name} must not contain {words:?}:\n{}", found.join("\n"));
}

#[test]
fn crates_import_only_what_the_arrows_allow() {
    assert_eq!(arrows("schemas"), [""; 0]);
    assert_eq!(arrows("edge"), ["schemas"]);
    assert_eq!(arrows("costs"), ["schemas"]);
    assert_eq!(arrows("processors"), ["schemas", "costs", "policies"]);
    assert_eq!(arrows("projections"), ["schemas"]);
    assert_eq!(arrows("policies"), [""; 0]);
    assert_eq!(arrows("audit-log"), ["schemas"]);
    assert_eq!(arrows("siem"), ["schemas"]);
    assert_eq!(arrows("producers"), ["schemas", "edge", "policies"]);
    assert_eq!(arrows("sinks"), ["schemas", "edge", "costs", "projections", "audit-log", "siem"]);
    assert_eq!(arrows("stack"), [""; 0]);
    assert_eq!(arrows("topology"), ["schemas", "producers", "processors", "audit-log", "siem", "sinks"]);
    let below: Vec<&str> = OURS.iter().map(|(ours, _)| *ours).take_while(|ours| *ours != "cli").collect();
    assert_eq!(arrows("cli"), below);
}

#[test]
fn processors_projections_and_the_log_are_pure_and_schemas_do_no_input_or_output() {
    let impure = [
        "SystemTime::now",
        "Instant::now",
        "Utc::now",
        "std::env",
        "std::fs",
        "tokio::",
        "rand::",
        "tracing::",
        "sqlx::",
        "rdkafka::",
        "async fn",
    ];
    let code_of = |name: &str| lines(name).len();
    let pure = ["processors", "costs", "projections", "policies", "audit-log", "siem", "schemas"];
    assert!(pure.iter().all(|name| code_of(name) > 100));
    for name in pure {
        let found: Vec<String> = lines(name)
            .into_iter()
            .filter(|(place, _)| !place.contains("tests"))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .filter(|(_, line)| impure.iter().any(|word| line.contains(word)))
            .map(|(place, line)| format!("{place}: {}", line.trim()))
            .collect();
        assert!(found.is_empty(), "{name} must stay pure:\n{}", found.join("\n"));
    }
}

#[test]
fn only_topology_consumes_and_only_sinks_hold_sql() {
    for name in ["schemas", "edge", "costs", "producers", "processors", "audit-log", "siem", "sinks", "cli"] {
        check_absent(name, &["rdkafka::consumer"]);
    }
    for name in [
        "schemas",
        "edge",
        "costs",
        "producers",
        "processors",
        "audit-log",
        "siem",
        "stack",
        "topology",
        "cli",
    ] {
        check_absent(name, &["sqlx::query", "sqlx::raw_sql", "QueryBuilder"]);
    }
}

#[test]
fn the_map_in_the_architecture_is_the_topology() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let map = text
        .split("<!-- pipeline:")
        .nth(1)
        .and_then(|rest| rest.split("```").nth(1)?.strip_prefix("mermaid"))
        .expect("a block after the pipeline mark");
    assert_eq!(map.trim(), pipeline::declaration().show_mermaid().trim(), "bring ARCHITECTURE.md up to date");
}

/// A path is one from the root, or the end of one where the text has named the beginning.
#[test]
fn paths_in_the_architecture_exist() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let sources = rust_files(&root());
    let below_root = |path: &PathBuf| path.strip_prefix(root()).expect("below the root").to_owned();
    let files: Vec<PathBuf> = sources.iter().map(|(path, _)| below_root(path)).collect();
    let exists = |path: &str| {
        let is_source = |file: &PathBuf| file.ancestors().any(|place| place.ends_with(path));
        root().join(path).exists() || files.iter().any(is_source)
    };
    let is_path = |word: &&str| {
        let names_file = Path::new(word).extension().is_some_and(|end| end == "rs" || end == "md");
        !word.contains(char::is_whitespace) && (word.contains('/') || names_file)
    };
    let paths: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_path).collect();
    assert!(paths.len() > 30, "{paths:?}");
    let missing: Vec<&str> = paths.into_iter().filter(|&path| !exists(path)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}");
}
