//! Statements of sinks on what they delivered, against what a copy holds.

use std::collections::BTreeMap;

use anyhow::bail;
use audit_log::verify::{Copies, Delivered, Evidence, Fault, Incomplete, Kind, Repeats, Report, SomeEntries};
use schemas::Timestamp;
use siem::completeness::Statement;

use super::Log;

const HOUR_MS: i64 = 3_600_000;

/// Refuses a copy in which a sink says that it left records out, for its chain of leaves has gaps. Anybody may put such a
/// statement into a copy, so whoever verifies it has to know.
pub(super) fn refuse_filtered(logs: &BTreeMap<String, Log>) -> anyhow::Result<()> {
    for (name, log) in logs {
        if let Some((_, statement)) = log.statements.iter().find(|(_, statement)| statement.filtered) {
            bail!(
                "a statement of the sink {} says that it has a filter, and the chain of {name} would have gaps: if that sink has \
                 one, give --filtered, and each record is checked by itself; if it has none, the statement is forged",
                statement.sink
            );
        }
    }
    Ok(())
}

/// Verifies the intervals that sinks stated in one hour, and nothing else: the file may hold no more than
/// that.
pub(super) fn of_hour(logs: BTreeMap<String, Log>, hour: Timestamp) -> anyhow::Result<Report> {
    let (mut incomplete, mut delivered, mut single, mut checked) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, log) in logs {
        let is_in = |time_ms: i64| time_ms.div_euclid(HOUR_MS) == hour.timestamp_millis().div_euclid(HOUR_MS);
        let mut statements: Vec<Statement> = Vec::new();
        for (_, statement) in log.statements.into_iter().filter(|(time_ms, _)| is_in(*time_ms)) {
            // One that was delivered twice is one.
            if !statements.contains(&statement) {
                statements.push(statement);
            }
        }
        if statements.is_empty() {
            continue;
        }
        delivered.extend(by_sink(&name, &log.copies, &statements));
        let (missing, gap) = gaps(&name, &log.copies, &statements);
        incomplete.extend(missing);
        let ranges: Vec<_> = statements.iter().map(|statement| statement.from..statement.to).collect();
        let copies = log.copies.within(&ranges);
        let first = copies.lowest();
        let found = copies.check_each(&name, &Evidence::default(), Repeats::Allowed);
        single.extend(first.map(|first| SomeEntries { log: name.clone(), entries: found.entries, first }));
        checked.push((found.entries, found.fault.or(gap)));
    }
    if checked.is_empty() {
        bail!(
            "no sink stated anything in the hour {}: see statement_s in docs/siem.md",
            hour.format("%Y-%m-%dT%H")
        );
    }
    Ok(Report { incomplete, hour: delivered, single, ..Report::of(checked) })
}

/// The statements on one log by sink, and what the copies hold of them.
fn by_sink(log: &str, copies: &Copies, statements: &[Statement]) -> Vec<Delivered> {
    let indices = copies.indices();
    let mut sinks: BTreeMap<&str, Delivered> = BTreeMap::new();
    for statement in statements {
        let range = statement.from..statement.to;
        let held = indices.range(range.clone()).count() as u64;
        let of_sink = sinks.entry(&statement.sink).or_insert_with(|| Delivered {
            log: log.to_owned(),
            sink: statement.sink.clone(),
            owed: 0,
            parked: 0,
            held: 0,
            missing: 0,
            doubled: 0,
        });
        of_sink.owed += statement.count;
        of_sink.parked += statement.parked;
        of_sink.held += held;
        of_sink.missing += statement.owed().saturating_sub(held);
        of_sink.doubled += copies.count_in(&range) - held;
    }
    sinks.into_values().collect()
}

/// Intervals of which the copies hold fewer records than were delivered, and the first entry that is missing for
/// certain; of a sink with a filter, the first of the interval.
pub(super) fn gaps(log: &str, copies: &Copies, statements: &[Statement]) -> (Vec<Incomplete>, Option<Fault>) {
    let held = copies.indices();
    let (mut incomplete, mut first): (Vec<Incomplete>, Option<u64>) = (Vec::new(), None);
    for statement in statements {
        let range = statement.from..statement.to;
        let here = held.range(range.clone()).count() as u64;
        if here >= statement.owed() {
            continue;
        }
        let is_certain = !statement.is_filtered() && statement.parked == 0;
        let gap = range.clone().find(|index| is_certain && !held.contains(index)).unwrap_or(statement.from);
        first = Some(first.map_or(gap, |first| first.min(gap)));
        incomplete.push(Incomplete {
            log: log.to_owned(),
            sink: statement.sink.clone(),
            from: range.start,
            to: range.end,
            owed: statement.owed(),
            held: here,
        });
    }
    incomplete.sort_by(|a, b| (a.from, a.to, &a.sink).cmp(&(b.from, b.to, &b.sink)));
    // A statement that was delivered twice is one.
    incomplete.dedup();
    (incomplete, first.map(|index| Fault { log: log.to_owned(), index, kind: Kind::Missing }))
}
