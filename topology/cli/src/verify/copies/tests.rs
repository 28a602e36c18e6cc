//! Files of copies, honest and forged.

mod exports;

use audit_log::{
    Salt,
    integrity::{Personal, leaf_of},
    keys::{PrivateKey, Purpose},
    record::canonical,
    verify::root_of,
};
use schemas::events::ActivityKind;
use serde_json::json;
use uuid::Uuid;

use super::*;

const LOG: &str = "weir.activity.v1/0";
const OTHER: &str = "weir.activity.v1/1";

fn key(seed: u8) -> PrivateKey {
    PrivateKey::new("audit.example.com", &[seed; 32]).expect("a name")
}

fn witness() -> PrivateKey {
    PrivateKey::new("witness.example.org", &[9; 32]).expect("a name")
}

/// A log's records, as sinks send them, and their leaves.
struct Sent {
    log: &'static str,
    records: Vec<Value>,
    leaves: Vec<Hash>,
}

/// A log of that many entries, of which some are forged as its key's holder would; records carry the note that `noted` gives
/// with the leaves before them.
fn sent(
    log: &'static str,
    entries: u64,
    forged: Option<u64>,
    noted: impl Fn(&[Hash]) -> Option<String>,
) -> Sent {
    let mut sent = Sent { log, records: Vec::new(), leaves: Vec::new() };
    let kind = ActivityKind::ALL[0];
    for index in 0..entries {
        let record = json!({
            "activity_id": 1,
            "actor": { "user": { "type_id": 1, "uid": if forged == Some(index) { "eve" } else { "ada" } } },
            "api": { "operation": "Read" },
            "class_uid": 6003,
            "metadata": {
                "event_code": kind.ce_type(),
                "log_name": "weir.activity.v1",
                "original_time": "2025-11-28T00:00:00.123456Z",
                "source": "/test",
                "tenant_uid": "acme",
                "uid": Uuid::from_u128(index.into()),
            },
            "severity_id": 1,
            "status_id": 1,
            "time": 1_764_288_000_123_i64,
        });
        let stored = canonical(&record).expect("a record");
        let personal = Personal::Salted(Salt([7; 32]));
        let leaf = leaf_of(&mut Splitter::default(), &stored, &personal).expect("a record");
        let place = Place {
            log: log.to_owned(),
            index,
            leaf,
            previous: sent.leaves.last().copied(),
            personal,
            checkpoint: noted(&sent.leaves),
        };
        let record = place.attest(&stored).expect("a record");
        sent.records.push(serde_json::from_slice(&record).expect("JSON"));
        sent.leaves.push(leaf);
    }
    sent
}

/// The note of a checkpoint of these leaves.
fn note(log: &str, leaves: &[Hash], key: &PrivateKey) -> String {
    let root = root_of(leaves, leaves.len() as u64).expect("as many");
    let origin = format!("audit.example.com/{log}");
    let checkpoint = Checkpoint { origin, size: leaves.len() as u64, root, extensions: Vec::new() };
    checkpoint.sign(std::slice::from_ref(key)).expect("signed")
}

fn cosigned(note: &str) -> String {
    let signed = SignedCheckpoint::parse(note).expect("a note");
    signed.with_lines(&[signed.cosign(&witness(), 7).expect("cosigned")]).expect("a note")
}

/// The note of every tenth checkpoint.
fn tenth(log: &'static str, key: PrivateKey) -> impl Fn(&[Hash]) -> Option<String> {
    move |leaves| {
        let signed = leaves.len() / 10 * 10;
        (signed > 0).then(|| note(log, &leaves[..signed], &key))
    }
}

/// A question about a file, as a command asks it.
struct Asked {
    source: Source,
    from: Vec<&'static str>,
    trust: Trust,
    notes: Vec<String>,
    kept: Kept,
}

fn of(source: Source) -> Asked {
    let trust = Trust { keys: vec![key(1).public(Purpose::Log)], witnesses: Vec::new() };
    Asked { source, from: Vec::new(), trust, notes: Vec::new(), kept: Kept::default() }
}

fn with_witness(source: Source) -> Asked {
    let mut asked = of(source);
    asked.trust.witnesses.push(witness().public(Purpose::Witness));
    asked
}

impl Asked {
    fn text(&self, text: &str) -> anyhow::Result<Report> {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("copy.ndjson");
        std::fs::write(&file, text).expect("written");
        let from: Vec<Begin> = self.from.iter().map(|text| begin(text).expect(text)).collect();
        let (source, notes, kept) = (self.source, &self.notes, &self.kept);
        verify(&Copied { file: &file, source, from: &from, hour: None, notes, kept }, &self.trust)
    }

    fn report<'a>(&self, lines: impl IntoIterator<Item = &'a Value>) -> Report {
        let lines: Vec<String> = lines.into_iter().map(ToString::to_string).collect();
        self.text(&lines.join("\n")).expect("a report")
    }

    /// The fault of a file with these lines.
    fn fault<'a>(&self, lines: impl IntoIterator<Item = &'a Value>) -> Option<(u64, Kind)> {
        let report = self.report(lines);
        assert_eq!(report.ok, report.first_fault.is_none());
        report.first_fault.map(|fault| (fault.index, fault.kind))
    }

    /// The reason why a file with these lines cannot be verified.
    fn refusal<'a>(&self, lines: impl IntoIterator<Item = &'a Value>) -> String {
        let lines: Vec<String> = lines.into_iter().map(ToString::to_string).collect();
        format!("{:#}", self.text(&lines.join("\n")).expect_err("refused"))
    }
}

fn some(log: &str, entries: u64, first: u64) -> Vec<SomeEntries> {
    vec![SomeEntries { log: log.to_owned(), entries, first }]
}

fn without_note(record: &Value) -> Value {
    let mut record = record.clone();
    record["unmapped"]["record_integrity"].as_object_mut().map(|members| members.remove("checkpoint"));
    record
}

#[test]
fn a_copy_needs_a_checkpoint_that_bears_the_signatures() {
    let own = sent(LOG, 30, None, tenth(LOG, key(1)));
    let report = of(Source::Siem).report(&own.records);
    assert_eq!((report.ok, report.entries, report.uncovered), (true, 30, some(LOG, 10, 20)));
    // An entry was edited, everything behind it was stated anew, and the notes were removed.
    let forged = sent(LOG, 30, Some(12), |_| None);
    for asked in [of(Source::Siem), with_witness(Source::Siem)] {
        assert_eq!(asked.fault(&forged.records), Some((0, Kind::Checkpoint)));
    }
    let bare: Vec<Value> = own.records.iter().map(without_note).collect();
    assert_eq!(of(Source::Siem).fault(&bare), Some((0, Kind::Checkpoint)));
    // No witness has cosigned what the records carry; somebody else has a checkpoint that it has.
    assert_eq!(with_witness(Source::Siem).fault(&own.records), Some((0, Kind::Checkpoint)));
    let notes = vec![cosigned(&note(LOG, &own.leaves[..25], &key(1)))];
    let report = Asked { notes, ..with_witness(Source::Siem) }.report(&own.records);
    assert_eq!((report.ok, report.uncovered), (true, some(LOG, 5, 25)));
}

#[test]
fn an_attackers_later_checkpoint_hides_no_cosigned_one() {
    let own = sent(LOG, 50, None, |_| None);
    // Database and signing key are the attacker's.
    let forged = sent(LOG, 90, Some(12), tenth(LOG, key(1)));
    let notes = vec![cosigned(&note(LOG, &own.leaves, &key(1)))];
    let asked = Asked { notes: notes.clone(), ..with_witness(Source::Siem) };
    let report = asked.report(&forged.records);
    assert_eq!(report.first_fault, Some(Fault { log: LOG.into(), index: 0, kind: Kind::Rewritten }));
    assert_eq!(report.rewritten, some(LOG, 50, 0));
    let asked = Asked { notes: notes.clone(), ..of(Source::Siem) };
    assert_eq!(
        asked.fault(&forged.records),
        Some((40, Kind::Rewritten)),
        "the attacker's own checkpoints hold up to there"
    );
    let leaves = BTreeMap::from([(LOG.to_owned(), own.leaves)]);
    let asked = Asked { notes, kept: Kept { leaves, notes: Vec::new() }, ..with_witness(Source::Siem) };
    assert_eq!(asked.fault(&forged.records), Some((12, Kind::Edited)), "others have kept the leaves");
}

#[test]
fn a_log_of_which_all_copies_are_gone_is_cut() {
    let (own, gone) = (sent(LOG, 30, None, tenth(LOG, key(1))), sent(OTHER, 5, None, |_| None));
    let asked = Asked { notes: vec![note(OTHER, &gone.leaves, &key(1))], ..of(Source::Siem) };
    let report = asked.report(&own.records);
    assert_eq!(report.first_fault, Some(Fault { log: OTHER.into(), index: 0, kind: Kind::Cut }));
    let foreign = vec![note(LOG, &own.leaves, &key(5))];
    let refused = Asked { notes: foreign, ..of(Source::Siem) }.refusal(&own.records);
    assert!(refused.contains("no key that is given signed"), "{refused}");
}

#[test]
fn checkpoints_of_an_earlier_key_tell_nothing_against_a_copy() {
    let change = |leaves: &[Hash]| tenth(LOG, key(if leaves.len() < 20 { 2 } else { 1 }))(leaves);
    let rotated = sent(LOG, 40, None, change);
    let report = of(Source::Siem).report(&rotated.records);
    assert_eq!((report.ok, report.uncovered), (true, some(LOG, 10, 30)));
    let mut both = of(Source::Siem);
    both.trust.keys.push(key(2).public(Purpose::Log));
    assert_eq!(both.fault(&rotated.records), None);
    let old = sent(LOG, 40, None, tenth(LOG, key(2)));
    assert_eq!(of(Source::Siem).fault(&old.records), Some((0, Kind::Checkpoint)));
    // The known key's id stands above another's signature.
    let mut forged = sent(LOG, 40, None, tenth(LOG, key(1))).records;
    let note = &mut forged[25]["unmapped"]["record_integrity"]["checkpoint"];
    *note = note.as_str().expect("a note").replacen("\n20\n", "\n19\n", 1).into();
    assert_eq!(of(Source::Siem).fault(&forged), Some((25, Kind::Edited)));
}

/// A sink's statement on entries of [`LOG`].
fn statement(from: u64, to: u64, filtered: bool, count: u64) -> Value {
    let stated = json!({ "sink": "s", "log": LOG, "from": from, "to": to, "filtered": filtered, "count": count, "parked": 0 });
    json!({ "class_uid": 0, "time": 1, "unmapped": { "completeness": stated } })
}

#[test]
fn a_statement_switches_no_chain_off() {
    let own = sent(LOG, 30, None, tenth(LOG, key(1)));
    let some_gone: Vec<&Value> =
        own.records.iter().filter(|record| record["metadata"]["uid"] != uid(14)).collect();
    let forged = statement(0, 30, true, 1);
    let refused = of(Source::Siem).refusal(some_gone.iter().copied().chain([&forged]));
    assert!(refused.contains("--filtered"), "{refused}");
    // The same without a word about filters: a record that is gone is missing.
    let forged = statement(0, 30, false, 1);
    let lines = some_gone.iter().copied().chain([&forged]);
    assert_eq!(of(Source::Siem).fault(lines), Some((14, Kind::Missing)));

    let of_filter = statement(0, 30, true, 29);
    let report = of(Source::FilteredSiem).report(some_gone.iter().copied().chain([&of_filter]));
    assert_eq!((report.ok, report.single, report.unanchored), (true, some(LOG, 29, 0), some(LOG, 29, 0)));
    let fewer = some_gone[1..].iter().copied().chain([&of_filter]);
    assert_eq!(of(Source::FilteredSiem).fault(fewer), Some((0, Kind::Missing)));
}

fn uid(index: u128) -> Value {
    json!(Uuid::from_u128(index))
}

#[test]
fn copies_begin_where_their_user_says() {
    let (own, other) = (sent(LOG, 30, None, tenth(LOG, key(1))), sent(OTHER, 20, None, tenth(OTHER, key(1))));
    let late: Vec<&Value> = own.records[12..].iter().chain(&other.records[7..]).collect();
    let lines = || late.iter().copied();
    assert_eq!(of(Source::Siem).fault(lines()), Some((0, Kind::Missing)));
    for from in [vec!["held"], vec!["weir.activity.v1/0=12", "weir.activity.v1/1=7"]] {
        let report = Asked { from, ..of(Source::Siem) }.report(lines());
        let unanchored = [some(LOG, 18, 12), some(OTHER, 13, 7)].concat();
        assert_eq!((report.ok, report.entries, report.unanchored), (true, 31, unanchored));
    }
    let report = Asked { from: vec!["weir.activity.v1/0=20", "held"], ..of(Source::Siem) }.report(lines());
    assert_eq!((report.ok, report.entries), (true, 10 + 13), "what was not looked at is not counted");
    let refused = Asked { from: vec!["7"], ..of(Source::Siem) }.refusal(lines());
    assert!(refused.contains("--from weir.activity.v1/0=7"), "{refused}");
    // A checkpoint is demanded, and cannot be compared.
    let refused = Asked { from: vec!["held"], ..with_witness(Source::Siem) }.refusal(lines());
    assert!(refused.contains("begins with entry 12") && refused.contains("--kept"), "{refused}");

    // The leaves before are known.
    let leaves =
        BTreeMap::from([(LOG, &own), (OTHER, &other)].map(|(log, of)| (log.to_owned(), of.leaves.clone())));
    let kept = || Kept { leaves: leaves.clone(), notes: Vec::new() };
    let notes = [&own, &other].map(|of| cosigned(&note(of.log, &of.leaves, &key(1)))).to_vec();
    let asked = Asked { from: vec!["held"], notes, kept: kept(), ..with_witness(Source::Siem) };
    let report = asked.report(lines());
    assert_eq!((report.ok, report.unanchored.len(), report.uncovered.len()), (true, 0, 0));
    let asked = Asked { from: vec!["held"], kept: kept(), ..with_witness(Source::Siem) };
    assert_eq!(asked.fault(lines()), Some((0, Kind::Checkpoint)));
}

#[test]
fn what_a_reader_may_take_for_the_record_is_verified() {
    let own = sent(LOG, 30, None, tenth(LOG, key(1)));
    let at = |time: &str| {
        let mut lines = own.records.clone();
        lines[17]["@timestamp"] = time.into();
        lines
    };
    assert_eq!(of(Source::Siem).fault(&at("2025-11-28T00:00:00.123Z")), None);
    assert_eq!(of(Source::Siem).fault(&at("2025-11-28T00:00:01.123Z")), Some((17, Kind::Edited)));

    let text = own.records.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(of(Source::Siem).text(&text).expect("a report").ok);
    for twice in [
        text.replacen(r#""class_uid":6003"#, r#""class_uid":3002,"class_uid":6003"#, 1),
        text.replacen(r#""uid":"ada""#, r#""uid":"eve","uid":"ada""#, 1),
    ] {
        for source in [Source::Siem, Source::FilteredSiem, Source::Export] {
            let refused = format!("{:#}", of(source).text(&twice).expect_err("a duplicate"));
            assert!(refused.contains("line 1 of") && refused.contains("is there twice"), "{refused}");
        }
    }
}

#[test]
fn what_a_check_would_ignore_is_refused() {
    let is_taken = |args: &[&str]| {
        let command = <crate::verify::VerifyArgs as clap::Args>::augment_args(clap::Command::new("verify"));
        command.try_get_matches_from([&["verify"][..], args].concat()).is_ok()
    };
    for more in [
        vec!["--from", "held"],
        vec!["--from", "a/0=1", "--from", "a/1=2", "--witness", "k"],
        vec!["--filtered"],
        vec!["--filtered", "--kept", "d"],
        vec!["--hour", "2026-11-29T14"],
    ] {
        assert!(is_taken(&[vec!["--siem", "f"], more.clone()].concat()), "{more:?}");
        assert!(!is_taken(&[vec!["--export", "f"], more.clone()].concat()), "{more:?}");
    }
    for more in [vec!["--checkpoint", "n"], vec!["--witness", "k"], vec!["--from", "held"]] {
        assert!(is_taken(&[vec!["--siem", "f"], more.clone()].concat()), "{more:?}");
        for only in [vec!["--filtered"], vec!["--hour", "2026-11-29T14"]] {
            assert!(!is_taken(&[vec!["--siem", "f"], only, more.clone()].concat()), "{more:?}");
        }
    }
    assert!(is_taken(&["--export", "f", "--kept", "d", "--checkpoint", "n", "--witness", "k"]));
}
