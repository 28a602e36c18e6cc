//! Lints of migrations that no release has yet: processes of the release before go on while they run, and
//! after.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

const RELEASE: &str = include_str!("../releases/0.2.0.json");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sinks/migrations");
/// Indexes on tables that a release has, where building one holds nobody up for long.
const SMALL_TABLES: [&str; 1] = ["compliance_waiver"];

/// Migrations that change what a stage of the release before writes: it is stopped first, as `docs/upgrading.md` says.
const STOPS_A_STAGE: [i64; 1] = [120];

/// Migrations that build an index while the writers of its table wait, as `docs/upgrading.md` says.
const HOLDS_WRITERS_UP: [i64; 4] = [130, 166, 170, 171];

/// Migrations that leave a role those columns of a small table which the release before reads.
const LEAVES_WHAT_IS_READ: [i64; 1] = [173];

/// The migration without comments, in lower case, with single spaces.
fn plain(sql: &str) -> String {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join(" ").to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Faults of a migration, given the tables of the release before.
fn faults(sql: &str, released: &BTreeSet<String>) -> Vec<String> {
    let sql = plain(sql);
    let mut found = Vec::new();
    for taken in [
        "drop column",
        "drop table",
        "drop type",
        "drop function",
        "drop view",
        "drop attribute",
        "add attribute",
        "rename ",
        "set data type",
        "set not null",
        "truncate ",
        "revoke select",
        "revoke insert",
    ] {
        if sql.contains(taken) {
            found.push(format!("{taken:?} breaks the release before"));
        }
    }
    for statement in sql.split(';').map(str::trim) {
        if statement.contains("alter column") && statement.contains(" type ") {
            found.push(format!("another type breaks the release before: {statement}"));
        }
        for added in statement.split("add column ").skip(1) {
            let column = added.split(',').next().unwrap_or_default();
            if column.contains("not null") && !column.contains("default") && !column.contains("generated") {
                found.push(format!("the release before gives no value: {column}"));
            }
        }
        let words: Vec<&str> = statement.split(' ').collect();
        let index = words.windows(2).any(|pair| pair == ["create", "index"] || pair == ["unique", "index"]);
        let table = words.iter().skip_while(|word| **word != "on").nth(1).copied().unwrap_or_default();
        if index && released.contains(table) && !SMALL_TABLES.contains(&table) {
            found.push(format!("building an index locks {table} against writers"));
        }
    }
    if sql.contains("set local role") && !sql.trim_end_matches(';').ends_with("reset role") {
        found.push("the role is not given back".to_owned());
    }
    found
}

fn released_tables(release: &Value) -> BTreeSet<String> {
    release["tables"].as_object().expect("tables").keys().cloned().collect()
}

#[test]
fn unreleased_migrations_only_add() {
    let release: Value = serde_json::from_str(RELEASE).expect("JSON");
    let known: BTreeSet<i64> =
        release["migrations"].as_array().expect("numbers").iter().filter_map(Value::as_i64).collect();
    let tables = released_tables(&release);
    let mut looked_at = 0;
    for entry in fs::read_dir(Path::new(FOLDER)).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let number: i64 = name.split('_').next().and_then(|number| number.parse().ok()).expect("a number");
        let excused = [&STOPS_A_STAGE[..], &HOLDS_WRITERS_UP, &LEAVES_WHAT_IS_READ].concat();
        let is_excused = excused.contains(&number);
        if known.contains(&number) || is_excused {
            continue;
        }
        looked_at += 1;
        let found = faults(&fs::read_to_string(&path).expect("SQL"), &tables);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
    assert!(looked_at > 0, "record the release before, not this one");
}

#[test]
fn the_lint_finds_what_it_is_for() {
    let tables = BTreeSet::from(["audit_entry".to_owned()]);
    for bad in [
        "ALTER TABLE a DROP COLUMN b;",
        "ALTER TABLE a RENAME COLUMN b TO c;",
        "ALTER TABLE a ALTER COLUMN b TYPE bigint;",
        "ALTER TABLE a ADD COLUMN b text, ADD COLUMN c\n  text NOT NULL;",
        "ALTER TABLE a ALTER b SET NOT NULL;",
        "ALTER TYPE a ADD ATTRIBUTE b text;",
        "CREATE UNIQUE INDEX x ON audit_entry (tenant_id);",
        "SET LOCAL ROLE weir_owner; SELECT 1;",
    ] {
        assert_eq!(faults(bad, &tables).len(), 1, "{bad}");
    }
    for good in [
        "-- never DROP COLUMN\nALTER TABLE a ADD COLUMN b text NOT NULL DEFAULT '', ADD COLUMN c text;",
        "CREATE TABLE a (b text NOT NULL); CREATE INDEX x ON a (b);",
        "SET LOCAL ROLE weir_owner; SELECT 1; RESET ROLE;",
    ] {
        assert_eq!(faults(good, &tables), Vec::<String>::new(), "{good}");
    }
}
