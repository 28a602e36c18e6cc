//! Verification after somebody tampered with the database, with a SIEM's copy, or with database and signing
//! key.

mod exported;
mod kept;
mod mirrored;
mod other_resources;
mod siem_copy;
mod unlogged;

use std::collections::BTreeMap;

use audit_log::{
    Hash,
    checkpoint::{Checkpoint, SignedCheckpoint},
    keys::{PrivateKey, Purpose},
    verify::{Fault, Kind, Report, Trust, root_of},
};
use processors::{Processor as _, audit::Audit};
use producers::generate::{Generator, GeneratorConfig};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use schemas::{TenantId, Timestamp, Topic, changes::AuditEntry};
use sinks::{
    Batch, ClaimRequest, KeptBytes, LastRecord, OffsetRange, RawRecord, RecordChanges, Settlement, Sink,
    TopicPartition,
    log_store::{self, Kept, SigningStore},
    postgres::{PostgresSink, SinkConfig},
    read_models::audit_entry::AuditEntries,
};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support;

pub(super) const LOG: &str = "weir.activity.v1/0";
const PARTITION: TopicPartition = TopicPartition { topic: Topic::Activity, partition: 0 };
/// More than a tile of leaves, and some in the open one.
const ENTRIES: u64 = 290;
/// Number of faults of each kind of attacker.
const FAULTS: usize = 1_000;

/// A database with a signed log of generated entries.
pub(super) struct Logged {
    pub(super) url: String,
    pub(super) connection: PgConnection,
    pub(super) key: PrivateKey,
    pub(super) witness: PrivateKey,
    leaves: Vec<Hash>,
    pub(super) checkpoint: Checkpoint,
}

fn signed_at() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().expect("a time")
}

/// Dice of that seed, or of the one that `WEIR_TAMPERING_SEED` names; a failing test prints it.
fn dice(seed: u64) -> (StdRng, u64) {
    let named = std::env::var("WEIR_TAMPERING_SEED").ok().and_then(|text| text.parse().ok());
    let seed = named.unwrap_or(seed);
    (StdRng::seed_from_u64(seed), seed)
}

/// Checks the number of faults of each kind that were found: all that were made, and each often enough to mean
/// something.
fn check_counts(who: &str, seed: u64, found: &BTreeMap<Kind, usize>, kinds: &[Kind]) {
    #[expect(clippy::print_stdout, reason = "the counts are what the suite shows")]
    {
        println!("{who}, seed {seed}: {found:?}");
    }
    assert_eq!(found.values().sum::<usize>(), FAULTS, "seed {seed}");
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), kinds, "seed {seed}");
    assert!(found.values().all(|count| *count >= FAULTS / 20), "seed {seed}: {found:?}");
}

/// Edits, deletions, swaps, insertions, cut tails.
const KINDS: [Kind; 5] = [Kind::Edited, Kind::Missing, Kind::Swapped, Kind::Inserted, Kind::Cut];

fn entries() -> Vec<AuditEntry> {
    let tenant = TenantId::new("acme").expect("valid");
    let now: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a time");
    let events = Generator::new(14, GeneratorConfig::ending_at(now, ENTRIES * 4, tenant));
    let entries =
        events.filter(|event| event.event.topic() == Topic::Activity).flat_map(|event| Audit.process(&event));
    entries.take(usize::try_from(ENTRIES).expect("small")).collect()
}

async fn deliver(url: &str, entries: Vec<AuditEntry>) {
    let config = SinkConfig {
        stage: "audit".into(),
        url: url.into(),
        owner: "test".into(),
        cluster_id: "test".into(),
        version: "test".into(),
    };
    let model = AuditEntries::new(support::subject_secret()).expect("zstd");
    let mut sink = PostgresSink::new(config, model);
    let claims = sink.claim(&[ClaimRequest { partition: PARTITION, low: 0, partitions: None }]).await;
    let claim = claims.expect("claimed").remove(0);
    let upto = i64::try_from(entries.len()).expect("small");
    let records = entries.into_iter().zip(0..).map(|(entry, offset)| RecordChanges {
        range: 0,
        offset,
        identity: Some((entry.tenant.clone(), entry.event_id)),
        settlement: Settlement::Apply(vec![entry]),
        raw: RawRecord::default(),
        kept: KeptBytes::All,
    });
    let last = Some(LastRecord { offset: upto - 1, print: [0; 32] });
    let range = OffsetRange { partition: PARTITION, start: 0, upto, last, owner_epoch: claim.owner_epoch };
    let batch = Batch { records: records.collect(), ranges: vec![range], rule_set: None };
    let settled = sink.deliver(&batch).await.expect("delivered");
    assert_eq!(settled.ranges[0].applied, upto, "all of them are new");
}

impl Logged {
    pub(super) async fn new() -> Self {
        let url = support::database().await;
        deliver(&url, entries()).await;
        let key = PrivateKey::new("audit.example.com", &[1; 32]).expect("a name");
        let witness = PrivateKey::new("witness.example.org", &[2; 32]).expect("a name");
        let mut store = SigningStore::claim(&url).await.expect("connected").expect("nobody else signs");
        let leaves = store.leaves(LOG, 0).await.expect("tiles");
        let log = store.unsigned().await.expect("a log").remove(0).expect("whole");
        let checkpoint = Checkpoint {
            origin: format!("audit.example.com/{LOG}"),
            size: log.frontier.size(),
            root: log.frontier.root(),
            extensions: Vec::new(),
        };
        let checkpoint = checkpoint.at(u64::try_from(signed_at().timestamp()).expect("after 1970"));
        let note = checkpoint.sign(std::slice::from_ref(&key)).expect("signed");
        let signed = SignedCheckpoint::parse(&note).expect("a note");
        let cosigned = signed.with_lines(&[signed.cosign(&witness, 1_800_000_000).expect("cosigned")]);
        let cosigned = cosigned.expect("a note");
        store.store(LOG, &checkpoint, &cosigned, signed_at()).await.expect("stored");
        let mut connection = PgConnection::connect(&url).await.expect("connected");
        // Whoever owns the server may switch triggers off.
        connection.execute("SET session_replication_role = replica").await.expect("as its owner");
        Self { url, connection, key, witness, leaves, checkpoint }
    }

    pub(super) fn trust(&self) -> Trust {
        Trust {
            keys: vec![self.key.public(Purpose::Log)],
            witnesses: vec![self.witness.public(Purpose::Witness)],
        }
    }

    /// The note of a checkpoint of the first entries, as the witness cosigns it.
    pub(super) fn cosigned(&self, size: u64) -> String {
        let root = root_of(&self.leaves, size).expect("as many");
        self.cosign(&Checkpoint { size, root, ..self.checkpoint.clone() })
    }

    fn cosign(&self, checkpoint: &Checkpoint) -> String {
        let note = checkpoint.sign(std::slice::from_ref(&self.key)).expect("signed");
        let signed = SignedCheckpoint::parse(&note).expect("a note");
        let line = signed.cosign(&self.witness, 1_800_000_000).expect("cosigned");
        signed.with_lines(&[line]).expect("a note")
    }

    /// Fault that a verification finds after these statements, which are then rolled back.
    async fn after(&mut self, statements: &[String], kept: &Kept) -> Option<(u64, Kind)> {
        named(&self.report_after(statements, kept).await)
    }

    /// The report of a verification after these statements, which are then rolled back.
    async fn report_after(&mut self, statements: &[String], kept: &Kept) -> Report {
        let trust = self.trust();
        let mut tx = self.connection.begin().await.expect("begun");
        for statement in statements {
            tx.execute(sqlx::AssertSqlSafe(statement.clone())).await.expect(statement);
        }
        let report = log_store::verify_on(&mut tx, &trust, kept).await.expect("readable");
        tx.rollback().await.expect("undone");
        assert_eq!(report.ok, report.first_fault.is_none());
        report
    }
}

fn named(report: &Report) -> Option<(u64, Kind)> {
    report.first_fault.as_ref().map(|Fault { index, kind, .. }| (*index, *kind))
}

/// Statement that stores a checkpoint.
fn stored_checkpoint(note: &str) -> String {
    let checkpoint = SignedCheckpoint::parse(note).expect("a note").checkpoint;
    format!(
        "INSERT INTO audit_checkpoint (log, size, root, note, signed_at)
         VALUES ('{LOG}', {}, decode('{}', 'hex'), '{note}', '{}')",
        checkpoint.size,
        checkpoint.root,
        signed_at()
    )
}

/// A random edit of a row of the database, and what is to be found.
fn database_fault(dice: &mut StdRng, leaves: &[Hash]) -> (Vec<String>, (u64, Kind)) {
    let size = leaves.len() as u64;
    let at = dice.random_range(0..size - 1);
    let one = format!("WHERE topic = 'weir.activity.v1' AND partition = 0 AND log_index = {at}");
    let edits = [
        "actor = actor || 'x'",
        "actor_kind = CASE actor_kind WHEN 'user' THEN 'role' ELSE 'user' END",
        "actor_name = coalesce(actor_name, '') || 'x'",
        "actor_ip = CASE WHEN actor_ip IS NULL THEN '192.0.2.1' END",
        "action = 'DescribeInstances' || action",
        "resource = CASE WHEN resource IS NULL THEN 'r' END",
        "other_resources = CASE WHEN other_resources IS NULL THEN ARRAY['r'] END",
        "resource_type = CASE WHEN resource_type IS NULL THEN 'r' END",
        "project = coalesce(project, '') || 'x'",
        "outcome = CASE outcome WHEN 'success' THEN 'failure' ELSE 'success' END",
        "outcome_code = coalesce(outcome_code, '') || 'x'",
        "source = source || 'x'",
        "kind = CASE kind WHEN 'SignedIn' THEN 'ApiCalled' ELSE 'SignedIn' END",
        "correlation_id = coalesce(correlation_id, '') || 'x'",
        "severity_id = severity_id + 1",
        "activity_id = activity_id + 1",
        "occurred_at = occurred_at + interval '1 second'",
        "event_id = gen_random_uuid()",
        "tenant_id = tenant_id || 'x'",
        "leaf_hash = sha256(leaf_hash)",
        "record = (SELECT b.record FROM audit_entry AS b WHERE b.log_index = audit_entry.log_index + 1)",
        "record = record || '\\x00'",
    ];
    let row = "partition = 0 AND log_index";
    match dice.random_range(0..6) {
        0 | 1 => {
            let edit = edits[dice.random_range(0..edits.len())];
            (vec![format!("UPDATE audit_entry SET {edit} {one}")], (at, Kind::Edited))
        }
        2 => (vec![format!("DELETE FROM audit_entry {one}")], (at, Kind::Missing)),
        3 => {
            let other = (at + dice.random_range(1..size)) % size;
            let swap = format!(
                "UPDATE audit_entry SET log_index = {at} + {other} - log_index WHERE {row} IN ({at}, {other})"
            );
            (vec![swap], (at.min(other), Kind::Swapped))
        }
        4 => {
            let at = usize::try_from(at).expect("small");
            (inserted_row(at, "sha256('forged')").into(), (at as u64, Kind::Inserted))
        }
        _ => {
            let cut = format!("DELETE FROM audit_entry WHERE {row} > {at}");
            (vec![cut], (at + 1, Kind::Cut))
        }
    }
}

/// A row put in between with that leaf, the others moved on.
fn inserted_row(at: usize, leaf: &str) -> [String; 2] {
    let row = "partition = 0 AND log_index";
    let moved = format!("UPDATE audit_entry SET log_index = log_index + 1 WHERE {row} >= {at}");
    let insert = format!(
        "INSERT INTO audit_entry (occurred_at, record_offset, event_id, partition, class_uid, activity_id,
           severity_id, record_dictionary, topic, tenant_id, kind, actor_kind, actor, action, outcome, source,
           content_sha256, record, log_index, leaf_hash)
         SELECT occurred_at, record_offset, gen_random_uuid(), partition, class_uid, activity_id, severity_id,
                record_dictionary, topic, tenant_id, kind, actor_kind, actor, action, outcome, source,
                content_sha256, record, {at}, {leaf}
           FROM audit_entry WHERE {row} = {at} + 1"
    );
    [moved, insert]
}

#[tokio::test]
async fn random_faults_of_the_database_are_named() {
    let mut logged = Logged::new().await;
    assert_eq!(logged.after(&[], &Kept::default()).await, None, "untouched");
    let (mut dice, seed) = dice(14);
    let mut kinds = BTreeMap::new();
    for n in 0..FAULTS {
        let (statements, expected) = database_fault(&mut dice, &logged.leaves);
        let found = logged.after(&statements, &Kept::default()).await;
        assert_eq!(found, Some(expected), "seed {seed}, fault {n}: {statements:?}");
        *kinds.entry(expected.1).or_default() += 1;
    }
    check_counts("database", seed, &kinds, &KINDS);
}

#[tokio::test]
async fn faults_of_tiles_frontier_and_checkpoints_are_named() {
    let mut logged = Logged::new().await;
    let none = Kept::default();
    let mut check = async |statement: &str, expected| {
        assert_eq!(logged.after(&[statement.to_owned()], &none).await, Some(expected), "{statement}");
    };
    let tile = "UPDATE audit_tile SET hashes = overlay(hashes PLACING '\\x00'::bytea FROM 100*32 + 1)";
    check(tile, (100, Kind::Edited)).await;
    check("UPDATE audit_tile SET root = sha256(root)", (0, Kind::Edited)).await;
    let above = "INSERT INTO audit_tile SELECT log, 1, 0, hashes FROM audit_tile";
    check(above, (0, Kind::Edited)).await;
    check(
        "UPDATE audit_log SET frontier = overlay(frontier PLACING '\\x00' FROM 1)",
        (ENTRIES, Kind::Rewritten),
    )
    .await;
    check("UPDATE audit_log SET last_leaf = sha256(last_leaf)", (ENTRIES, Kind::Rewritten)).await;
    check("DELETE FROM audit_checkpoint", (0, Kind::Checkpoint)).await;
    check("UPDATE audit_checkpoint SET note = replace(note, '290', '289')", (0, Kind::Checkpoint)).await;
    check("UPDATE audit_checkpoint SET note = replace(note, 'witness', 'vvitness')", (0, Kind::Checkpoint))
        .await;
    let size = ENTRIES;
    let earlier = "UPDATE audit_checkpoint SET signed_at = signed_at - interval '1 day'";
    check(earlier, (size, Kind::Backdated)).await;
    check("UPDATE audit_entry SET log_index = NULL WHERE log_index = 7", (7, Kind::Missing)).await;
    check("DELETE FROM subject_key", (0, Kind::Edited)).await;
    check("DELETE FROM audit_log", (0, Kind::Cut)).await;
    let all_but_entries =
        "WITH l AS (DELETE FROM audit_log), t AS (DELETE FROM audit_tile), p AS (DELETE FROM audit_tile_part)
                           DELETE FROM audit_checkpoint";
    check(all_but_entries, (0, Kind::Cut)).await;
}

/// The attacker makes everything consistent again and signs it anew; the witness's cosignature cannot be had, and who keeps
/// the leaves that it cosigned names the entry.
#[tokio::test]
async fn a_log_signed_anew_is_found_through_the_witness() {
    let mut logged = Logged::new().await;
    let leaves = BTreeMap::from([(LOG.to_owned(), logged.leaves.clone())]);
    let kept = Kept { leaves, notes: Vec::new() };
    // Only an old checkpoint bears the cosignature still.
    let set_back = ["DELETE FROM audit_checkpoint".to_owned(), stored_checkpoint(&logged.cosigned(20))];
    let (mut dice, seed) = dice(41);
    let mut kinds = BTreeMap::new();
    for n in 0..FAULTS {
        let mut leaves = logged.leaves.clone();
        let at = dice.random_range(0..leaves.len() - 1);
        let (row, expected) = match dice.random_range(0..5) {
            0 => {
                leaves[at] = Hash(dice.random());
                let edit = "UPDATE audit_entry SET actor = actor || 'x', leaf_hash";
                (
                    format!("{edit} = decode('{}', 'hex') WHERE log_index = {at}", leaves[at]),
                    (at, Kind::Edited),
                )
            }
            1 => {
                leaves.remove(at);
                let renumber = "UPDATE audit_entry SET log_index = log_index - 1 WHERE log_index >";
                (
                    format!("DELETE FROM audit_entry WHERE log_index = {at}; {renumber} {at}"),
                    (at, Kind::Missing),
                )
            }
            2 => {
                let other = (at + dice.random_range(1..leaves.len())) % leaves.len();
                leaves.swap(at, other);
                let swap = format!(
                    "UPDATE audit_entry SET log_index = {at} + {other} - log_index WHERE log_index IN ({at}, {other})"
                );
                (swap, (at.min(other), Kind::Swapped))
            }
            3 => {
                leaves.insert(at, Hash(dice.random()));
                let forged = inserted_row(at, &format!("decode('{}', 'hex')", leaves[at]));
                (forged.join(";"), (at, Kind::Inserted))
            }
            _ => {
                leaves.truncate(at + 1);
                (format!("DELETE FROM audit_entry WHERE log_index > {at}"), (at + 1, Kind::Cut))
            }
        };
        let set_back: &[String] = if n % 2 == 0 { &[] } else { &set_back };
        let rows: Vec<String> = row.split(';').map(ToOwned::to_owned).collect();
        let statements = [set_back.to_vec(), rewritten_log(&leaves, &logged), rows].concat();
        let (at, kind) = expected;
        let found = logged.after(&statements, &kept).await;
        // The forged checkpoint bears no cosignature, and the one before stands for other leaves.
        assert_eq!(found, Some((at as u64, kind)), "seed {seed}, fault {n}: {row}");
        *kinds.entry(kind).or_default() += 1;
    }
    check_counts("signed anew, through the witness", seed, &kinds, &KINDS);
}

/// Statements that bring tiles, frontier and checkpoint in line with other leaves; the signing key is the attacker's.
fn rewritten_log(leaves: &[Hash], logged: &Logged) -> Vec<String> {
    let size = leaves.len() as u64;
    let root = root_of(leaves, size).expect("as many");
    let checkpoint = Checkpoint { size, root, ..logged.checkpoint.clone() };
    let note = checkpoint.sign(std::slice::from_ref(&logged.key)).expect("signed");
    let mut statements = rewritten_tiles(leaves);
    statements.push(format!(
        "INSERT INTO audit_checkpoint (log, size, root, note) VALUES ('{LOG}', {size} + 1000, decode('{root}', 'hex'), '{note}')",
    ));
    statements
}

/// Statements that bring tiles and frontier in line with other leaves, which takes no key.
fn rewritten_tiles(leaves: &[Hash]) -> Vec<String> {
    let mut log = audit_log::tree::OpenLog::default();
    let tiles: Vec<_> = leaves.iter().flat_map(|leaf| log.push(*leaf)).collect();
    let hex = |hashes: &[Hash]| hashes.iter().map(ToString::to_string).collect::<String>();
    let mut statements = vec![
        "DELETE FROM audit_tile".to_owned(),
        "DELETE FROM audit_tile_part".to_owned(),
        format!(
            "UPDATE audit_log SET size = {}, frontier = decode('{}', 'hex'), last_leaf = decode('{}', 'hex')",
            log.size(),
            hex(log.frontier().roots()),
            log.last_leaf().expect("some"),
        ),
    ];
    statements.extend(tiles.iter().map(|tile| {
        let (level, index) = (tile.level, tile.index);
        format!(
            "INSERT INTO audit_tile VALUES ('{LOG}', {level}, {index}, decode('{}', 'hex'))",
            hex(&tile.hashes)
        )
    }));
    if !log.open_leaves().is_empty() {
        let first = log.size() - log.open_leaves().len() as u64;
        let open = hex(log.open_leaves());
        statements
            .push(format!("INSERT INTO audit_tile_part VALUES ('{LOG}', {first}, decode('{open}', 'hex'))"));
    }
    statements
}

#[tokio::test]
async fn a_verification_of_the_whole_database_sees_one_snapshot() {
    let logged = Logged::new().await;
    let kept = Kept::default();
    let report = log_store::verify(&logged.url, &logged.trust(), &kept).await.expect("readable");
    assert_eq!((report.logs, report.entries, report.ok), (1, ENTRIES, true));
    let untrusted = log_store::verify(&logged.url, &Trust::default(), &kept).await.expect("readable");
    assert_eq!(untrusted.first_fault.map(|fault| fault.kind), Some(Kind::Checkpoint));
}
