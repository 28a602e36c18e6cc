//! Statements of completeness: a sink says what it delivered, and a copy that lacks some of it is found out.

use std::{collections::BTreeMap, path::PathBuf};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::delivery::Bench;

const EVENTS: usize = 400;
const HOUR_MS: i64 = 3_600_000;
const STATED: &str = "SELECT coalesce(sum(delivered), 0)::bigint FROM siem_interval WHERE sink = 'copy' AND stated_at IS NOT NULL";
const STATED_OF_SOME: &str = "SELECT coalesce(sum(delivered), 0)::bigint - (SELECT sum(applied)::bigint FROM stage_position
                               WHERE stage = 'sink.some') FROM siem_interval WHERE sink = 'some' AND stated_at IS NOT NULL";
const SETTLED: &str =
    "SELECT coalesce(sum(applied + ignored), 0)::bigint FROM stage_position WHERE stage = 'sink.some'";

/// The records of a copy, as they are verified.
struct Copy<'a> {
    bench: &'a Bench,
    path: PathBuf,
    lines: Vec<Value>,
}

impl<'a> Copy<'a> {
    fn read(bench: &'a Bench, name: &str) -> Self {
        let text = std::fs::read_to_string(bench.path(name)).expect("a copy");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        Self { bench, path: bench.path("edited.ndjson"), lines }
    }

    /// The report of `weir verify` on the lines that are kept.
    async fn verified(&self, keep: impl Fn(&Value) -> bool) -> (bool, Value) {
        let kept: Vec<String> =
            self.lines.iter().filter(|line| keep(line)).map(ToString::to_string).collect();
        std::fs::write(&self.path, kept.join("\n")).expect("written");
        self.bench.verified(&self.path).await
    }

    /// The same of a sink with a filter: whether it succeeded, and what it printed.
    async fn filtered(&self, keep: impl Fn(&Value) -> bool) -> (bool, String) {
        let kept: Vec<String> =
            self.lines.iter().filter(|line| keep(line)).map(ToString::to_string).collect();
        std::fs::write(&self.path, kept.join("\n")).expect("written");
        let file = self.path.to_str().expect("text");
        self.bench.asked(&["verify", "--siem", file, "--filtered", "--output", "json"]).await
    }

    /// The reason for which these lines cannot be verified as all of their logs.
    async fn refused(&self, lines: &[&Value]) -> String {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        std::fs::write(&self.path, lines.join("\n")).expect("written");
        let (ok, said) = self
            .bench
            .asked(&["verify", "--siem", self.path.to_str().expect("text"), "--output", "json"])
            .await;
        assert!(!ok && serde_json::from_str::<Value>(&said).is_err(), "{said}");
        said
    }

    /// The report of `weir verify --hour` on these lines; none where it cannot verify.
    async fn verified_of(&self, hour: DateTime<Utc>, lines: impl Iterator<Item = &Value>) -> (bool, Value) {
        let lines: Vec<String> = lines.map(ToString::to_string).collect();
        std::fs::write(&self.path, lines.join("\n")).expect("written");
        let (file, hour) = (self.path.to_str().expect("text"), hour.format("%Y-%m-%dT%H").to_string());
        let (ok, said) =
            self.bench.asked(&["verify", "--siem", file, "--hour", &hour, "--output", "json"]).await;
        (ok, said.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default())
    }

    /// The indices of each log.
    fn indices(&self) -> BTreeMap<String, Vec<u64>> {
        let mut logs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (log, index) in self.lines.iter().filter_map(place) {
            logs.entry(log).or_default().push(index);
        }
        logs
    }
}

fn place(record: &Value) -> Option<(String, u64)> {
    let place = &record["unmapped"]["record_integrity"];
    Some((place["log"].as_str()?.to_owned(), place["index"].as_u64()?))
}

/// By the hour of its statements, the copy says how many records the sink was owed, misses and holds twice.
async fn of_the_hour(copy: &Copy<'_>) {
    let statement = copy.lines.iter().find(|line| line["unmapped"]["completeness"].is_object());
    let time_ms = statement.expect("a statement")["time"].as_i64().expect("a time");
    let hour = DateTime::from_timestamp_millis(time_ms).expect("in range");
    let in_hour = |line: &&Value| {
        let time_ms = line["time"].as_i64().expect("a time");
        line["unmapped"]["completeness"].is_object() && time_ms / HOUR_MS == hour.timestamp_millis() / HOUR_MS
    };
    let stated: Vec<&Value> = copy.lines.iter().filter(in_hour).collect();
    let owed: u64 =
        stated.iter().map(|line| line["unmapped"]["completeness"]["count"].as_u64().expect("a count")).sum();
    let lost = copy.lines.iter().find_map(place).expect("a record");
    let (is_whole, report) = copy.verified_of(hour, copy.lines.iter()).await;
    assert!(is_whole, "{report}");
    let sum = |report: &Value, member: &str| -> u64 {
        report["hour"]
            .as_array()
            .expect("intervals")
            .iter()
            .map(|one| one[member].as_u64().expect("a count"))
            .sum()
    };
    assert_eq!(
        (sum(&report, "owed"), sum(&report, "held"), sum(&report, "missing")),
        (owed, owed, 0),
        "{report}"
    );

    let rest = copy.lines.iter().filter(|line| place(line).as_ref() != Some(&lost));
    let (is_whole, report) = copy.verified_of(hour, rest).await;
    assert!(!is_whole && sum(&report, "missing") == 1, "{report}");
    let twice = copy.lines.iter().chain(copy.lines.iter().filter(|line| place(line).as_ref() == Some(&lost)));
    let (is_whole, report) = copy.verified_of(hour, twice).await;
    assert!(is_whole && sum(&report, "doubled") == 1, "a repeated delivery is no fault: {report}");
    let (_, report) = copy.verified_of(hour - chrono::TimeDelta::days(1), copy.lines.iter()).await;
    assert!(report.is_null(), "nothing was stated then: {report}");
}

/// A statement that nobody signs does not hide that a record is gone: its reader is asked whether the sink has a filter.
async fn forged_filter(copy: &Copy<'_>) {
    let lost = copy.lines.iter().find_map(place).expect("a record");
    let forged = json!({
        "class_uid": 0,
        "time": 1,
        "unmapped": { "completeness": {
            "sink": "copy", "log": lost.0, "from": 0, "to": lost.1 + 1, "filtered": true, "count": 0, "parked": 0,
        } },
    });
    let rest = copy.lines.iter().filter(|line| place(line).is_some_and(|place| place != lost));
    let lines: Vec<&Value> = rest.chain([&forged]).collect();
    let said = copy.refused(&lines).await;
    assert!(said.contains("--filtered") && said.contains(&lost.0), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_held_against_what_was_delivered() {
    let bench = Bench::new(|folder| {
        json!([
            { "name": "copy", "kind": "file", "endpoint": folder.join("copy.ndjson"), "linger_s": 0.2, "statement_s": 0.5 },
            { "name": "some", "kind": "file", "endpoint": folder.join("some.ndjson"), "linger_s": 0.2, "statement_s": 0.5,
              "classes": [3002, 3004, 3005] },
        ])
    })
    .await;
    let processes = [bench.run(&["audit"]), bench.run(&["sinks"])];
    for part in 0..2 {
        bench.site.publish(part, "acme", EVENTS / 2).await;
    }
    let all = i64::try_from(EVENTS).expect("small");
    bench.site.await_count(STATED, all).await;
    bench.site.await_count(SETTLED, all).await;
    bench.site.await_count(STATED_OF_SOME, 0).await;
    bench.signed().await;
    drop(processes);

    let copy = Copy::read(&bench, "copy.ndjson");
    let (ok, report) = copy.verified(|_| true).await;
    assert!(ok && report["incomplete"].is_null(), "{report}");
    let logs = copy.indices();
    let (log, indices) = logs.iter().max_by_key(|(_, indices)| indices.len()).expect("a log");
    let (middle, last) = (indices.len() as u64 / 2, indices.len() as u64 - 1);
    // Cut off at its end, which no chain of leaves tells where no checkpoint is newer.
    for (first, gone) in
        [(middle, middle..middle + 1), (last, last..last + 1), (last - 2, last - 2..last + 1)]
    {
        let keep =
            |record: &Value| place(record).is_none_or(|(of, index)| of != *log || !gone.contains(&index));
        let (ok, report) = copy.verified(keep).await;
        assert!(!ok, "{report}");
        let fault = &report["first_fault"];
        assert_eq!(
            (fault["log"].as_str(), fault["index"].as_u64()),
            (Some(log.as_str()), Some(first)),
            "{report}"
        );
        let gaps = report["incomplete"].as_array().expect("gaps");
        let missing: u64 = gaps
            .iter()
            .map(|gap| gap["owed"].as_u64().expect("a count") - gap["held"].as_u64().expect("a count"))
            .sum();
        assert_eq!(missing, gone.end - gone.start, "{report}");
        assert!(gaps.iter().all(|gap| gap["sink"] == "copy" && gap["log"] == log.as_str()), "{report}");
    }

    of_the_hour(&copy).await;
    forged_filter(&copy).await;
    let some = Copy::read(&bench, "some.ndjson");
    assert!(some.indices().values().map(Vec::len).sum::<usize>() > 0, "there are such records");
    let (ok, report) = some.filtered(|_| true).await;
    assert!(ok, "a copy that leaves others out: {report}");
    let (log, index) = some.lines.iter().find_map(place).expect("a record");
    let (ok, said) = some.filtered(|record| place(record) != Some((log.clone(), index))).await;
    let report: Value = said.lines().find_map(|line| serde_json::from_str(line).ok()).expect("a report");
    let gap = &report["incomplete"][0];
    assert!(!ok && gap["log"] == log.as_str() && gap["sink"] == "some", "{report}");
    assert!((gap["from"].as_u64()..gap["to"].as_u64()).contains(&Some(index)), "{report}");
}
