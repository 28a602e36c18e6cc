//! Each fault alone, and what is said of it.

use std::collections::BTreeMap;

use sinks::{postgres::Migrations, read_models::pipeline::Counts};

use super::*;

fn healthy() -> Examined {
    let now = "2026-01-01T00:00:00Z".parse().expect("an instant");
    Examined {
        now,
        cluster: Ok(ClusterStanding {
            brokers: 3,
            thin_topics: BTreeMap::new(),
            leaderless: Vec::new(),
            denied_topics: Vec::new(),
        }),
        topics: Ok(Vec::new()),
        unprotected: Vec::new(),
        database: Ok(Standing {
            server_version: 150_004,
            clock: now,
            is_standby: false,
            connections_at_most: 100,
            connections: 20,
            is_durable: true,
            migrations: Some(Migrations::default()),
            work: Some(Work {
                outbox_age_s: None,
                outbox_set_aside: 0,
                unsigned_logs: Vec::new(),
                retention_idle_hours: Some(6),
                retention_overdue_groups: 0,
            }),
            gaps: Some(Vec::new()),
            sinks: Some(vec![stored("splunk", "delivering", 0), stored("gone", "refused", 3600)]),
            unread: None,
        }),
        stages: Ok(vec![audit()]),
        sinks: vec!["splunk".into()],
        keys: Keys { peppers: Ok(()), subject_secret: Ok(true), signing: Ok(1), witnesses: 1 },
        services: vec![Service { name: "gateway", url: Some("http://gateway".into()), is_ready: true }],
        disk: Some(Disk { path: "/data".into(), free_bytes: 50, total_bytes: 100 }),
    }
}

fn stored(name: &str, state: &str, since_s: i64) -> StoredSink {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("an instant");
    StoredSink {
        name: name.into(),
        kind: Some("splunk_hec".into()),
        state: Some(state.into()),
        why: Some("cannot connect".into()),
        state_since: Some(now - chrono::TimeDelta::seconds(since_s)),
        paused_by: None,
        paused_why: None,
        backfill: 0,
    }
}

fn audit() -> Stage {
    Stage {
        name: "audit".into(),
        state: StageState::Current,
        lag: Some(0),
        counts: Counts::default(),
        waiting: 0,
        partitions: vec![StagePartition {
            topic: "weir.activity.v1".into(),
            partition: 2,
            position: Some(4),
            end: Some(4),
            lag: Some(0),
            counts: Counts::default(),
            waiting: 0,
            owner: Some("a".into()),
            owner_epoch: Some(1),
            claimed_at: None,
            updated_at: None,
            halted: None,
        }],
    }
}

/// Spoils one thing: that check alone is no longer right, the finding says so, and a cure stands beside it.
#[track_caller]
fn check(spoil: impl FnOnce(&mut Examined), check: &str, verdict: Verdict, words: &str) {
    let mut examined = healthy();
    spoil(&mut examined);
    let wrong: Vec<Finding> =
        findings(&examined).into_iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
    let [finding] = &wrong[..] else { panic!("{words}: {wrong:?}") };
    assert_eq!((finding.check, finding.verdict), (check, verdict), "{finding:?}");
    assert!(finding.found.contains(words) || finding.cure.contains(words), "{finding:?}");
    assert!(!finding.cure.is_empty(), "{finding:?}");
}

fn standing(examined: &mut Examined) -> &mut Standing {
    examined.database.as_mut().expect("it was read")
}

fn work(examined: &mut Examined) -> &mut Work {
    standing(examined).work.as_mut().expect("it was read")
}

fn first_stage(examined: &mut Examined) -> &mut Stage {
    &mut examined.stages.as_mut().expect("they were read")[0]
}

#[test]
fn what_is_well_is_said_to_be() {
    assert!(findings(&healthy()).iter().all(|finding| finding.verdict == Verdict::Ok));
}

#[test]
fn a_sink_that_delivers_nothing_is_named_with_the_reason() {
    let said = |sink: StoredSink, verdict, words: &str| {
        check(|examined| standing(examined).sinks = Some(vec![sink]), "sinks", verdict, words);
    };
    said(stored("splunk", "retrying", 60), Verdict::Problem, "since 2025-12-31T23:59:00Z: cannot connect");
    said(stored("splunk", "refused", 0), Verdict::Problem, "`weir sink test splunk`");
    let paused = StoredSink {
        paused_by: Some("mara".into()),
        paused_why: Some("upgrade".into()),
        ..stored("splunk", "retrying", 600)
    };
    said(paused, Verdict::Warning, "mara has paused splunk: upgrade");
    let mut examined = healthy();
    standing(&mut examined).sinks = Some(vec![stored("splunk", "retrying", 59)]);
    assert!(findings(&examined).iter().all(|finding| finding.verdict == Verdict::Ok));
}

#[test]
fn entries_that_a_sink_lacks_are_named_with_a_replay_from_the_earliest() {
    let gap = |sink: &str, first_index, next_index, since: &str| Gap {
        sink: sink.into(),
        log: "weir.activity.v1/3".into(),
        first_index,
        next_index,
        missing: next_index - first_index,
        since: since.parse().expect("an instant"),
    };
    let gaps = vec![
        gap("splunk", 40, 43, "2025-12-31T23:10:00Z"),
        gap("splunk", 60, 61, "2025-12-31T15:20:00Z"),
        gap("zcopy", 1, 2, "2025-12-30T14:00:00Z"),
    ];
    let says =
        |words| check(|it| standing(it).gaps = Some(gaps.clone()), "completeness", Verdict::Problem, words);
    says("splunk lacks 3 entries of weir.activity.v1/3#40 to #42, from the hour 2025-12-31T23:00Z on");
    says("`weir sink backfill splunk --from 2025-12-31T15:20:00Z`");
}

#[test]
fn what_is_wrong_with_kafka_is_named() {
    use Verdict::{Problem, Warning};
    let cluster = |examined: &mut Examined| examined.cluster.clone().expect("it answers");
    check(|it| it.cluster = Err("timed out".into()), "kafka", Problem, "KAFKA_BOOTSTRAP_SERVERS");
    check(
        |it| it.cluster = Ok(ClusterStanding { leaderless: vec!["t/1".into()], ..cluster(it) }),
        "kafka",
        Problem,
        "no broker leads t/1",
    );
    check(
        |it| {
            it.cluster = Ok(ClusterStanding { thin_topics: [("t".into(), 1)].into(), ..cluster(it) });
        },
        "replication",
        Warning,
        "3 brokers can hold: t",
    );
    check(
        |it| it.cluster = Ok(ClusterStanding { denied_topics: vec!["t".into()], ..cluster(it) }),
        "kafka access",
        Problem,
        "topology acls",
    );
    check(|it| it.unprotected = vec!["Kafka in clear text".into()], "transport", Warning, "clear text");
    let alter = TopicChange::Alter {
        topic: "t".into(),
        setting: "retention.ms".into(),
        from: Some("1000".into()),
        to: "604800000".into(),
    };
    check(|it| it.topics = Ok(vec![alter]), "topics", Problem, "retention.ms from 1000");
    let refused = TopicChange::Refused { topic: "t".into(), partitions: 3, declared: 6 };
    check(|it| it.topics = Ok(vec![refused]), "topics", Warning, "3 partitions");
}

#[test]
fn what_is_wrong_with_the_database_is_named() {
    use Verdict::{Problem, Unknown};
    check(|it| it.database = Err("refused".into()), "database", Problem, "DATABASE_URL");
    check(|it| standing(it).server_version = 140_001, "database", Problem, "PostgreSQL 14");
    check(|it| standing(it).is_standby = true, "database", Problem, "primary");
    check(|it| standing(it).is_durable = false, "database", Problem, "fsync");
    check(|it| standing(it).connections = 80, "connections", Problem, "80 of 100");
    check(|it| it.now += chrono::TimeDelta::seconds(3), "clock", Problem, "3 s ahead");
    check(|it| it.now -= chrono::TimeDelta::minutes(1), "clock", Problem, "60 s behind");
    check(|it| standing(it).migrations = None, "migrations", Unknown, "GRANT");
    let migrations = |missing: &[i64], unknown: &[i64]| {
        Some(Migrations { missing: missing.to_vec(), unknown: unknown.to_vec() })
    };
    let missing = [1, 2, 3, 4, 5, 6, 7];
    check(|it| standing(it).migrations = migrations(&missing, &[]), "migrations", Problem, "5 and 2 more");
    check(|it| standing(it).migrations = migrations(&[], &[99]), "migrations", Problem, "newer weir");
    check(|it| standing(it).unread = Some("denied".into()), "database", Unknown, "denied");
    check(|it| work(it).outbox_age_s = Some(61), "outbox", Problem, "61 s");
    check(|it| work(it).outbox_set_aside = 2, "outbox", Problem, "set_aside_for");
    check(|it| work(it).unsigned_logs = vec!["t/0".into()], "checkpoints", Problem, "weir verify");
    check(|it| work(it).retention_idle_hours = Some(24), "retention", Problem, "run the stage retention");
    check(|it| work(it).retention_overdue_groups = 3, "retention", Problem, "SIGNING_KEY_FILE");
}

#[test]
fn what_is_wrong_with_stages_and_keys_is_named() {
    use Verdict::{Problem, Unknown, Warning};
    let halted =
        |why: &'static str| move |it: &mut Examined| first_stage(it).partitions[0].halted = Some(why.into());
    check(halted("retention_gap: 5 records"), "stages", Problem, "accept-gap audit");
    check(halted("retention_gap: from 3 to 9"), "stages", Problem, "--partition 2 --to 9 --reason TEXT");
    check(halted("log_replaced: cluster b"), "stages", Problem, "docs/upgrading.md");
    check(halted("stuck: no"), "stages", Problem, "resume audit --topic weir.activity.v1 --partition 2");
    check(halted("failing: no"), "stages", Warning, "goes on by itself");
    let mut paused = healthy();
    halted("paused: by mara")(&mut paused);
    assert!(findings(&paused).iter().all(|finding| finding.verdict == Verdict::Ok), "the sink is told of");
    check(
        |it| {
            let partition = &mut first_stage(it).partitions[0];
            (partition.owner, partition.lag) = (None, Some(7));
        },
        "stages",
        Problem,
        "weir run audit",
    );
    check(|it| first_stage(it).waiting = 4, "dead letters", Warning, "4 records of audit");
    check(|it| it.stages = Err("away".into()), "stages", Unknown, "away");
    check(|it| it.keys.peppers = Err("none".into()), "keys", Problem, "PEPPER_FILE");
    check(|it| it.keys.subject_secret = Ok(false), "keys", Problem, "SUBJECT_SECRET");
    check(|it| it.keys.signing = Ok(0), "keys", Warning, "audit key --new");
    check(|it| it.keys.witnesses = 0, "witness", Warning, "weir witness");
    check(|it| it.services[0].is_ready = false, "gateway", Problem, "not ready");
    check(|it| it.services[0].url = None, "gateway", Unknown, "WEIR_GATEWAY__URL");
    check(
        |it| it.disk = Some(Disk { path: "/data".into(), free_bytes: 9, total_bytes: 100 }),
        "disk",
        Problem,
        "9 %",
    );
}
