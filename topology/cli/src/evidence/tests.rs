//! Packets with a log of their own: as they were made, with bytes that differ, and with claims that do not follow.

use audit_log::{
    Hash, Salt,
    checkpoint::Checkpoint,
    integrity::{Personal, Place, leaf_of},
    keys::{PrivateKey, origin},
    record::Splitter,
    tree::Frontier,
};
use processors::{Processor as _, audit::Audit, compliance::Compliance};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use schemas::{
    Envelope, Event, EventId, Source, TenantId, Timestamp,
    changes::ComplianceChange,
    events::{
        Actor, ActorKind, Governance, GovernanceKind, Infrastructure, InfrastructureKind, Outcome, Resource,
    },
};
use serde_json::{Value, json};

use super::{
    check::{Report, Unproven, check},
    keys_of,
    packet::{
        CHECKPOINTS, ENTRIES, FORMAT, FaultKind, Files, KEYS, LogCheckpoint, Manifest, POLICIES, PolicyText,
        VERDICTS, WAIVERS, is_packet, pack, unpack,
    },
};

const LOG: &str = "weir.infrastructure.v1/0";
const POLICY: &str = "volume-encrypted";
const REGO: &str = "# METADATA\n# title: Volumes are encrypted\n# custom:\n#   id: volume-encrypted\n#   severity: high\n\
                    #   remediation: Encrypt it.\n#   resource_types: [aws_ebs_volume]\n#   controls: {F: [\"1\"]}\n\
                    package test.volume\n\ndeny contains \"it is not encrypted\" if not input.config.encrypted\n";

fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + second, 0).expect("a time")
}

fn envelope(n: u64, event: Event) -> Envelope {
    Envelope {
        id: EventId::new(uuid::Uuid::from_u128(u128::from(n) + 1)).expect("not nil"),
        original_id: None,
        tenant: TenantId::new("acme").expect("a plain name"),
        source: Source::new("/test").expect("valid"),
        subject: None,
        occurred_at: at(i64::try_from(n).expect("small")),
        skewed: false,
        time_assumed: false,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event,
        native: None,
    }
}

fn volume(n: u64, encrypted: bool) -> Envelope {
    let resource = Resource {
        kind: Some("aws_ebs_volume".into()),
        id: format!("vol-{n}"),
        project: Some("shop".into()),
        ..Resource::default()
    };
    envelope(
        n,
        Event::Infrastructure(Infrastructure {
            kind: InfrastructureKind::ConfigurationObserved,
            resource,
            actor: None,
            outcome: Outcome::default(),
            change_id: None,
            quantity: None,
            unit: None,
            configuration: Some(json!({"encrypted": encrypted, "size": n}).to_string()),
        }),
    )
}

fn waiver(n: u64, kind: GovernanceKind, actor: &str, resource: &str) -> Envelope {
    let attributes = [
        ("owner".to_owned(), "olga".to_owned()),
        ("policies".to_owned(), json!([POLICY]).to_string()),
        ("resources".to_owned(), json!([resource]).to_string()),
    ];
    envelope(
        n,
        Event::Governance(Governance {
            kind,
            subject_kind: "waiver".into(),
            subject_id: "w-1".into(),
            actor: Actor { kind: ActorKind::User, id: actor.into(), ..Actor::default() },
            decision: None,
            reason: Some("moved next month".into()),
            expires_at: Some(at(1_000_000)),
            attributes: attributes.into(),
        }),
    )
}

/// Contents of a packet.
struct Parts {
    verdicts: Vec<Value>,
    waivers: Vec<Value>,
    entries: Vec<Value>,
    checkpoint: String,
    key: String,
    policy: String,
    without_text: Vec<String>,
}

/// A packet's parts about that many volumes, every third of them not encrypted; the first of these is waived.
fn parts(volumes: u64) -> Parts {
    let mut events: Vec<Envelope> = (0..volumes).map(|n| volume(n, n % 3 != 0)).collect();
    events.push(waiver(volumes, GovernanceKind::ApprovalRequested, "ada", "vol-0"));
    events.push(waiver(volumes + 1, GovernanceKind::WaiverGranted, "bob", "vol-0"));
    let policies =
        policies::InForce::new(policies::PolicySet::load([("v.rego", REGO)], policies::Config::default()));
    let compliance = Compliance::new(policies);
    let verdicts =
        events.iter().flat_map(|event| compliance.process(event)).filter_map(|change| match change {
            ComplianceChange::Observation(one) => Some(verdict(&one)),
            _ => None,
        });
    let verdicts = verdicts.collect();
    let (entries, checkpoint, key) = logged(&events);
    let id = |n: u64| uuid::Uuid::from_u128(u128::from(n) + 1);
    let waivers = vec![json!({
        "waiver": "w-1", "status": "in_force", "owner": "olga", "policies": [POLICY], "resources": ["vol-0"],
        "reason": "moved next month", "requested_by": "ada", "requested_at": at(0), "granted_by": "bob",
        "granted_at": at(0), "rejected_by": null, "rejected_at": null, "revoked_by": null, "revoked_at": null,
        "expires_at": at(1_000_000), "ineffective": [], "events": [id(volumes), id(volumes + 1)],
    })];
    Parts { verdicts, waivers, entries, checkpoint, key, policy: REGO.into(), without_text: Vec::new() }
}

fn verdict(one: &schemas::changes::compliance::Observation) -> Value {
    let fact = &one.verdicts[0];
    let waived = one.resource == "vol-0";
    json!({
        "resource": one.resource, "resource_type": one.attributes.kind, "project": one.attributes.project,
        "policy_id": fact.policy.id, "policy_hash": fact.policy.hash, "title": fact.policy.title,
        "severity": fact.policy.severity, "status": fact.status, "reasons": fact.reasons,
        "remediation": fact.policy.remediation, "controls": fact.policy.controls,
        "waiver": waived.then_some("w-1"), "waived_until": waived.then_some(at(1_000_000)),
        "event_id": one.event_id, "observed_at": one.observed_at, "topic": "weir.infrastructure.v1",
        "partition": 0, "offset": 0,
    })
}

/// The entries of events in a log of their own with their proofs, the signed checkpoint, and the log's public key.
fn logged(events: &[Envelope]) -> (Vec<Value>, String, String) {
    let mut splitter = Splitter::default();
    let mut frontier = Frontier::default();
    let stored: Vec<(Vec<u8>, Place)> = events
        .iter()
        .zip(0_u64..)
        .map(|(event, index)| {
            let stored = Audit.process(event).remove(0).record.to_bytes();
            let personal = Personal::Salted(Salt([7; 32]));
            let leaf = leaf_of(&mut splitter, &stored, &personal).expect("a record");
            frontier.push(leaf);
            (stored, Place { log: LOG.into(), index, leaf, previous: None, personal, checkpoint: None })
        })
        .collect();
    let leaves: Vec<Hash> = stored.iter().map(|(_, place)| place.leaf).collect();
    let size = leaves.len() as u64;
    let key = PrivateKey::new("audit.example.com", &[1; 32]).expect("a name");
    let checkpoint = Checkpoint {
        origin: origin("audit.example.com", LOG),
        size,
        root: frontier.root(),
        extensions: Vec::new(),
    };
    let roots = Roots::of(&leaves);
    let entries = stored.iter().map(|(stored, place)| {
        let path = audit_log::proof::inclusion(place.index, size).expect("within");
        let proof: Vec<String> = path.iter().map(|range| roots.base64(range)).collect();
        let record: Value = serde_json::from_slice(&place.attest(stored).expect("a record")).expect("JSON");
        json!({"log": LOG, "index": place.index, "size": size, "proof": proof, "record": record})
    });
    let note = checkpoint.sign(std::slice::from_ref(&key)).expect("signed");
    (entries.collect(), note, key.public(audit_log::keys::Purpose::Log).to_string())
}

/// Roots of complete subtrees, by level.
struct Roots(Vec<Vec<Hash>>);

impl Roots {
    fn of(leaves: &[Hash]) -> Self {
        let mut levels = vec![leaves.to_vec()];
        while let Some(last) = levels.last().filter(|last| last.len() > 1) {
            let next = last.chunks_exact(2).map(|pair| Hash::node(&pair[0], &pair[1])).collect();
            levels.push(next);
        }
        Self(levels)
    }

    fn base64(&self, range: &std::ops::Range<u64>) -> String {
        let nodes = audit_log::proof::complete_subtrees(range);
        let roots: Vec<Hash> = nodes
            .iter()
            .map(|(level, number)| self.0[usize::from(*level)][usize::try_from(*number).expect("small")])
            .collect();
        base64(&audit_log::proof::join(&roots).0)
    }
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

impl Parts {
    fn packed(&self) -> Vec<u8> {
        let mut files = Files::default();
        files.add_lines(VERDICTS, &self.verdicts).expect("JSON");
        files.add_lines(WAIVERS, &self.waivers).expect("JSON");
        files.add_lines(ENTRIES, &self.entries).expect("JSON");
        let checkpoint = LogCheckpoint { log: LOG.into(), note: self.checkpoint.clone() };
        files.add_lines(CHECKPOINTS, &[checkpoint]).expect("JSON");
        let policy = PolicyText { name: "v.rego".into(), text: self.policy.clone() };
        files.add_lines(POLICIES, &[policy]).expect("JSON");
        files.add(KEYS, format!("{}\n", self.key).into_bytes());
        let manifest = Manifest {
            format: FORMAT.into(),
            framework: "F".into(),
            as_of: "2027-01-20T00:00:00Z".into(),
            project: None,
            tenant: Some("acme".into()),
            made_at: "2027-01-21T00:00:00Z".into(),
            made_by: "a test".into(),
            verdicts: self.verdicts.len() as u64,
            entries: self.entries.len() as u64,
            unproven: Vec::new(),
            policies_without_text: self.without_text.clone(),
            files: Vec::new(),
        };
        pack(&files, manifest).expect("packed").0
    }
}

fn verified(bytes: &[u8]) -> Report {
    match unpack(bytes) {
        Ok(packet) => {
            let keys = keys_of(&packet, Vec::new()).expect("keys");
            check(&packet, keys, Unproven::Refused)
        }
        Err(faults) => Report::of_faults(faults),
    }
}

/// The first fault after a part was changed by somebody who makes the digests anew.
#[track_caller]
fn forged(change: impl FnOnce(&mut Parts), kind: FaultKind, place: &str, detail: &str) {
    let mut parts = parts(30);
    change(&mut parts);
    let report = verified(&parts.packed());
    assert!(!report.ok);
    let first = &report.faults[0];
    assert_eq!((first.kind, first.place.as_str()), (kind, place), "{}", first.detail);
    assert!(first.detail.contains(detail), "{}", first.detail);
}

#[test]
fn a_packet_as_it_was_made_is_proven_and_judged_again() {
    let bytes = parts(30).packed();
    let report = verified(&bytes);
    assert_eq!(report.faults, []);
    assert!(report.ok);
    assert_eq!((report.verdicts, report.judged_again, report.waived), (30, 30, 1));
    assert_eq!(report.entries_proven, 32);
}

#[test]
fn every_flipped_byte_is_named() {
    let bytes = parts(4).packed();
    let seed = rand::random();
    let mut dice = StdRng::seed_from_u64(seed);
    let mut places: Vec<usize> = (0..600).map(|_| dice.random_range(0..bytes.len())).collect();
    places.extend((0..1_600).chain(bytes.len() - 2_048..bytes.len()));
    for at in places {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << dice.random_range(0..8);
        assert!(is_packet(&flipped), "byte {at}, seed {seed}");
        let report = verified(&flipped);
        assert!(!report.ok && !report.faults.is_empty(), "byte {at}, seed {seed}");
    }
    let lines = bytes.windows(5).position(|window| window == b"vol-1").expect("a verdict or an entry");
    let mut flipped = bytes.clone();
    flipped[lines] = b'w';
    let place = verified(&flipped).faults.remove(0).place;
    assert!(place.starts_with(ENTRIES) && place.ends_with(":2"), "{place}");
    for length in [0, 1, 511, 512, 1_000, bytes.len() - 1_024, bytes.len() - 1] {
        assert!(!verified(&bytes[..length]).ok, "{length} bytes");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(!verified(&longer).ok);
}

#[test]
fn claims_that_do_not_follow_are_named_although_the_digests_are_right() {
    let is = |line: usize| format!("{VERDICTS}:{line}");
    let verdict = FaultKind::Verdict;
    forged(|parts| parts.verdicts[3]["status"] = "pass".into(), verdict, &is(4), "answers fail");
    forged(|parts| parts.verdicts[3]["severity"] = "low".into(), verdict, &is(4), "another title, severity");
    forged(|parts| parts.verdicts[3]["resource"] = "vol-4".into(), verdict, &is(4), "does not show");
    forged(|parts| parts.verdicts[3]["project"] = "other".into(), verdict, &is(4), "time, type or project");
    let other = uuid::Uuid::from_u128(99);
    forged(|parts| parts.verdicts[3]["event_id"] = json!(other), verdict, &is(4), "no proven entry");
    forged(
        |parts| parts.verdicts[0]["waived_until"] = json!(at(9)),
        FaultKind::Waiver,
        &is(1),
        "another time",
    );
    forged(|parts| parts.verdicts[3]["waiver"] = "w-1".into(), FaultKind::Waiver, &is(4), "does not name");
    forged(|parts| parts.verdicts[3]["waiver"] = "w-2".into(), FaultKind::Waiver, &is(4), "no waiver");
    forged(|parts| parts.waivers[0]["granted_by"] = "ada".into(), FaultKind::Waiver, &is(1), "other people");
    forged(
        |parts| parts.entries[5]["record"]["unmapped"]["configuration"] = "{\"encrypted\":false}".into(),
        FaultKind::Entry,
        &format!("{ENTRIES}:6"),
        "not entry 5",
    );
    forged(
        |parts| parts.checkpoint = parts.checkpoint.replacen("32", "33", 1),
        FaultKind::Checkpoint,
        &format!("{CHECKPOINTS}:1"),
        "cannot be trusted",
    );
}

#[test]
fn a_policy_of_another_version_is_told_apart() {
    let mut other = parts(3);
    other.policy = other.policy.replace("if not", "if true; not");
    let report = verified(&other.packed());
    let reason = "the packet has no text of the policy in that version";
    assert_eq!((report.judged_again, report.not_judged_again.get(reason)), (0, Some(&3)));
    assert_eq!((report.ok, report.faults_total, report.faults[0].kind), (false, 3, FaultKind::Verdict));
    assert!(report.faults[0].detail.contains("does not say so"), "{}", report.faults[0].detail);

    let verdict = &other.verdicts[0];
    let version = |name: &str| verdict[name].as_str().expect("text");
    other.without_text = vec![format!("{}@{}", version("policy_id"), version("policy_hash"))];
    let report = verified(&other.packed());
    assert_eq!((report.ok, report.faults_total, report.faults[0].kind), (false, 3, FaultKind::Unproven));
    let Ok(packet) = unpack(&other.packed()) else { panic!("no packet") };
    let keys = keys_of(&packet, Vec::new()).expect("keys");
    assert!(check(&packet, keys, Unproven::Allowed).ok);
}

/// `cargo test -p cli --lib ten_thousand -- --ignored --nocapture` prints how long a packet of that size takes.
#[test]
#[ignore = "a measurement"]
fn ten_thousand_verdicts() {
    let bytes = parts(10_000).packed();
    let began = std::time::Instant::now();
    let report = verified(&bytes);
    assert!(report.ok, "{:?}", report.faults.first());
    let told =
        format!("{} verdicts, {} MiB in {:?}", report.judged_again, bytes.len() >> 20, began.elapsed());
    crate::output::note(&told);
}
