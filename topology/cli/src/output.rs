//! Printing of answers: tables for people, JSON for machines.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use schemas::text::steers;
use serde::Serialize;

use super::transport;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Ndjson,
}

/// Writes one line to stdout; a closed pipe ends the program quietly, as `head` expects.
pub(super) fn line(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")) {
        let code = i32::from(error.kind() != io::ErrorKind::BrokenPipe);
        std::process::exit(code);
    }
}

/// Writes one line for a person to stderr; nobody listening is no reason to stop.
pub(super) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{}", harmless(text)));
}

/// Lines of text without what steers a terminal or turns the direction of text: names come from strangers.
pub(super) fn harmless(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// The same of one line.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Prints an error and what caused it, once, at the top.
pub(super) fn complain(error: &anyhow::Error) {
    note(&format!("error: {error}"));
    for cause in error.chain().skip(1) {
        note(&format!("  because {cause}"));
    }
    if let Some(cure) = transport::cure(error) {
        note(&format!("  what to do: {cure}"));
    }
}

/// Prints one document.
pub(super) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?);
    Ok(())
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// An empty table in Weir's look, as wide as the terminal.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    table
}

/// Prints a table, or a sentence where it has no rows.
pub(super) fn print_table(table: &Table, when_empty: &str) {
    if table.row_count() == 0 {
        note(when_empty);
    } else {
        line(&harmless(&table.trim_fmt()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_strangers_wrote_steers_a_terminal() {
        let mut table = table(&["name"]);
        table.add_row(["a\u{1b}[2J\u{9b}31m\u{202e}gpj.exe\u{2066}\u{200f}b"]).add_row(["c"]);
        for text in [harmless(&table.trim_fmt()), harmless("one\u{202e}\ntwo\u{1b}[31m")] {
            assert_eq!(text.lines().count(), if text.starts_with("one") { 2 } else { 3 }, "{text:?}");
            assert!(!text.chars().any(|c| c != '\n' && steers(c)), "{text:?}");
        }
    }
}
