//! Old entries go by month, tenant and class, counted from their arrival; holds win, and the log tells retention from
//! tampering.

use audit_log::{
    keys::{PrivateKey, Purpose},
    verify::{Fault, Kind, RetiredEntries},
};
use chrono::TimeDelta;
use schemas::{Timestamp, Topic, changes::AuditEntry, events::GovernanceKind};
use sinks::log_store::StoreError;
use sinks::retention::{self, AuditRetention, Removed, RetentionConfig, RetentionPolicy, RetentionRule};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::fixture::{LOG, Place, entries, entries_of};

const ENTRIES: usize = 300;

/// The instant at which everything that has arrived so far is that many days old.
fn after_days(days: i64) -> Timestamp {
    Timestamp::from(std::time::SystemTime::now()) + TimeDelta::days(days) + TimeDelta::minutes(1)
}

fn policy(place: &Place, days: u32, rules: Vec<RetentionRule>) -> RetentionConfig {
    let audit = AuditRetention { days: Some(days), rules };
    let keys = vec![place.key.clone()];
    let policy = RetentionPolicy {
        audit,
        settled_parked_days: Some(30),
        risk_days: Some(180),
        correlation_days: Some(30),
        utilisation_days: Some(30),
        keys,
        earlier_keys: Vec::new(),
    };
    RetentionConfig { policy, ..place.retention() }
}

async fn retire(config: &RetentionConfig, now: Timestamp) -> Removed {
    tried(config, now).await.expect("a round")
}

/// A round, once the server has let go of the lock of the one before.
async fn tried(config: &RetentionConfig, now: Timestamp) -> Result<Removed, StoreError> {
    loop {
        if let Some(removed) = retention::retire_round(config, now).await? {
            return Ok(removed);
        }
        tokio::task::yield_now().await;
    }
}

/// Entries of two tenants, in turn, dated in a month that is over.
fn mixed() -> Vec<AuditEntry> {
    let of = |tenant: &str, seed| entries_of(tenant, seed, ENTRIES / 2);
    of("acme", 14).into_iter().zip(of("other", 15)).flat_map(|(one, other)| [one, other]).collect()
}

/// The audit topic has all entries of the log.
async fn relayed(place: &mut Place, upto: usize) {
    sqlx::query("INSERT INTO audit_topic_position VALUES ($1, $2, 0, now()) ON CONFLICT (log) DO UPDATE SET next_index = $2")
        .bind(LOG)
        .bind(i64::try_from(upto).expect("small"))
        .execute(&mut place.owner)
        .await
        .expect("noted");
}

#[tokio::test]
async fn a_month_goes_once_its_newest_arrival_is_old_enough() {
    let mut place = Place::new().await;
    let entries = entries(ENTRIES);
    place.append(&entries, 100).await;
    let config = policy(&place, 90, Vec::new());
    assert_eq!(retire(&config, after_days(100)).await.entries, 0, "the audit topic has none of them");
    relayed(&mut place, ENTRIES).await;
    let young = retire(&config, after_days(89)).await;
    assert_eq!((young.entries, young.partitions), (0, 0), "however old the events are");
    let unsigned = RetentionConfig {
        policy: RetentionPolicy { keys: Vec::new(), ..config.policy.clone() },
        ..config.clone()
    };
    assert_eq!(retire(&unsigned, after_days(100)).await.entries, 0, "nobody could tell it from tampering");
    let removed = retire(&config, after_days(90)).await;
    assert_eq!((removed.entries, removed.partitions), (ENTRIES as u64, 1), "the month and its partition");
    for table in ["audit_entry", "audit_event", "audit_term"] {
        assert_eq!(place.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    assert!(place.number("SELECT count(*) FROM audit_tile").await > 0, "tiles stay");
    let report = place.verify().await;
    let all = RetiredEntries { log: LOG.into(), entries: ENTRIES as u64, from: ENTRIES as u64 };
    assert_eq!((report.ok, report.entries, report.retired), (true, 0, vec![all]));

    // The writer that remembers the month and its terms goes on with it.
    let later: Vec<AuditEntry> = super::fixture::entries(ENTRIES + 50).split_off(ENTRIES);
    place.append(&later, 10).await;
    let report = place.verify().await;
    assert_eq!((report.first_fault, report.entries), (None, 50));
    let unknown = place.number(
        "SELECT count(*) FROM audit_entry AS e WHERE NOT EXISTS (
           SELECT FROM audit_term AS t WHERE t.tenant_id = e.tenant_id AND t.field = 'action' AND t.term = e.action
              AND t.days @> (e.occurred_at AT TIME ZONE 'UTC')::date)",
    );
    assert_eq!(unknown.await, 0, "searches find what has come since");
}

#[tokio::test]
async fn a_tenants_or_a_classs_own_time_and_a_hold_count_for_its_entries_alone() {
    let mut place = Place::new().await;
    let entries = mixed();
    place.append(&entries, 70).await;
    let rule = RetentionRule { tenant: Some("acme".into()), class_uid: None, days: Some(30) };
    let config = policy(&place, 90, vec![rule]);
    // The months that were made ahead are over by then, and empty.
    assert_eq!(retire(&config, after_days(91)).await.entries, 0);
    relayed(&mut place, ENTRIES).await;
    let held = entries.iter().find(|entry| entry.tenant.as_str() == "acme").expect("one").actor.clone();
    let of = |tenant: &str| entries.iter().filter(|entry| entry.tenant.as_str() == tenant).count() as u64;
    let kept = entries.iter().filter(|entry| {
        entry.tenant.as_str() == "acme"
            && (entry.actor == held
                || entry.resource.as_deref() == Some(held.as_str())
                || entry.other_resources.contains(&held))
    });
    let kept = kept.count() as u64;
    place.decide(GovernanceKind::HoldPlaced, ("person", &held), "").await;
    let removed = retire(&config, after_days(31)).await;
    assert_eq!((removed.entries, removed.partitions), (of("acme") - kept, 0), "of acme, but what is held");
    let report = place.verify().await;
    assert_eq!((report.first_fault, report.entries), (None, of("other") + kept));
    assert_eq!(retire(&config, after_days(31)).await.entries, 0, "once");
    let removed = retire(&config, after_days(91)).await;
    assert_eq!((removed.entries, removed.partitions), (of("other"), 0));
    place.decide(GovernanceKind::HoldReleased, ("person", &held), "").await;
    let removed = retire(&config, after_days(91)).await;
    assert_eq!((removed.entries, removed.partitions), (kept, 1), "released, it goes");
    let report = place.verify().await;
    assert_eq!((report.ok, report.retired[0].entries), (true, ENTRIES as u64));
}

#[tokio::test]
async fn a_hold_keeps_what_names_its_resource_in_any_place() {
    let mut place = Place::new().await;
    let entries = entries(ENTRIES);
    let behind = entries.iter().find(|entry| !entry.other_resources.is_empty()).expect("several resources");
    let held = behind.other_resources[0].clone();
    place.append(&entries, 100).await;
    relayed(&mut place, ENTRIES).await;
    let kept = entries.iter().filter(|entry| {
        entry.resource.as_deref() == Some(held.as_str()) || entry.other_resources.contains(&held)
    });
    let kept = kept.count() as u64;
    place.decide(GovernanceKind::HoldPlaced, ("resource", &held), "").await;
    let removed = retire(&policy(&place, 90, Vec::new()), after_days(91)).await;
    assert_eq!(removed.entries, ENTRIES as u64 - kept, "all but what is held");
    let report = place.verify().await;
    assert_eq!((report.first_fault, report.entries), (None, kept));
    let waits =
        format!("SELECT count(*) WHERE legal_hold_on('acme', '{}') = 'resource {held}'", behind.actor);
    assert_eq!(place.number(&waits).await, 1, "whoever did it waits to be erased");
}

#[tokio::test]
async fn a_cut_that_retention_did_not_make_is_found() {
    let mut place = Place::new().await;
    place.append(&mixed(), 70).await;
    relayed(&mut place, ENTRIES).await;
    let rule = RetentionRule { tenant: Some("acme".into()), class_uid: None, days: Some(30) };
    let config = policy(&place, 90, vec![rule]);
    assert!(retire(&config, after_days(31)).await.entries > 0);
    let mut attacker = PgConnection::connect(&place.url).await.expect("connected");
    let next = place.number("SELECT min(log_index) FROM audit_entry").await;
    let fault = |index: i64, kind| {
        Some(Fault { log: LOG.into(), index: u64::try_from(index).expect("positive"), kind })
    };
    let replica = "SET session_replication_role = replica";
    attacker.execute(replica).await.expect("as the server's owner");
    attacker
        .execute("DELETE FROM audit_entry WHERE log_index = (SELECT min(log_index) FROM audit_entry)")
        .await
        .expect("deleted");
    assert_eq!(place.verify().await.first_fault, fault(next, Kind::Missing));
    // Who may write to the database cannot sign what retention would have said.
    let forged = format!("UPDATE audit_retired SET indices = set_bit(indices, {next}, 1)");
    attacker.execute(sqlx::AssertSqlSafe(forged)).await.expect("forged");
    assert_eq!(place.verify().await.first_fault, fault(0, Kind::Missing), "now nothing of it is believed");
}

#[tokio::test]
async fn a_forged_note_is_not_signed_and_a_new_key_signs_what_the_old_one_had() {
    let mut place = Place::new().await;
    place.append(&mixed(), 70).await;
    relayed(&mut place, ENTRIES).await;
    let rule = RetentionRule { tenant: Some("acme".into()), class_uid: None, days: Some(30) };
    let config = policy(&place, 90, vec![rule]);
    assert!(retire(&config, after_days(31)).await.entries > 0);
    // A rotation: the verifiers know the new key only.
    let new = PrivateKey::new("audit.example.com", &[2; 32]).expect("a name");
    let earlier_keys = vec![place.key.public(Purpose::Log)];
    let policy = RetentionPolicy { keys: vec![new.clone()], earlier_keys, ..config.policy.clone() };
    let rotated = RetentionConfig { policy, ..config.clone() };
    retire(&rotated, after_days(31)).await;
    place.key = new;
    place.owner.execute("DELETE FROM audit_checkpoint").await.expect("as the server's owner");
    place.sign().await;
    assert_eq!(place.verify().await.first_fault, None);
    // Who forges a note would have retention sign it: nothing of the log goes instead.
    place
        .owner
        .execute("UPDATE audit_retired SET indices = set_bit(indices, (SELECT min(log_index) FROM audit_entry), 1)")
        .await
        .expect("forged");
    let before = place.number("SELECT count(*) FROM audit_entry").await;
    let refused = retire(&rotated, after_days(500)).await;
    assert!(refused.entries == 0 && refused.overdue > 0, "{refused:?}");
    assert_eq!(place.number("SELECT count(*) FROM audit_entry").await, before);
}

/// A settled parked record.
const SETTLED: &str = "
    INSERT INTO parked_record (stage, topic, partition, record_offset, value_size, value_sha256, headers, reason, detail,
      attempts, version, status, settled_at)
    VALUES ('audit', 't', 0, 1, 0, '', '[]', 'undecodable', '', 1, 'v', 'discarded', now() - interval '40 days')";

#[tokio::test]
async fn a_forged_note_stops_its_own_log_alone() {
    let mut place = Place::new().await;
    place.append(&entries(ENTRIES), 100).await;
    place.append_to(Topic::Delivery, &entries_of("other", 15, ENTRIES)).await;
    let forge = "INSERT INTO audit_retired (log, chunk, indices, note)
                 VALUES ('weir.activity.v1/0', 0, decode(repeat('00', 8192), 'hex'), 'forged')";
    let relay = "INSERT INTO audit_topic_position SELECT log, size, 0, now() FROM audit_log";
    for rows in [forge, relay, SETTLED] {
        place.owner.execute(rows).await.expect(rows);
    }
    let config = policy(&place, 90, Vec::new());
    let removed = retire(&config, after_days(100)).await;
    assert_eq!((removed.entries, of_table(&removed, "parked_record")), (ENTRIES as u64, 1), "{removed:?}");
    assert!(removed.overdue > 0, "{removed:?}");
    let told = place.number("SELECT overdue_groups FROM retention_round").await;
    assert_eq!(u64::try_from(told).expect("positive"), removed.overdue, "the round is over");
    let left = "SELECT count(*) FROM audit_entry WHERE topic = 'weir.activity.v1'";
    assert_eq!(place.number(left).await, place.number("SELECT count(*) FROM audit_entry").await);
    assert_eq!(u64::try_from(place.number(left).await).expect("positive"), ENTRIES as u64);
}

#[tokio::test]
async fn entries_that_cannot_be_removed_are_overdue_after_two_days() {
    let mut place = Place::new().await;
    place.append(&entries(ENTRIES), 100).await;
    let config = policy(&place, 90, Vec::new());
    let young = retire(&config, after_days(91)).await;
    assert_eq!((young.entries, young.overdue), (0, 0), "the audit topic has them not");
    let old = retire(&config, after_days(92)).await;
    assert!(old.entries == 0 && old.overdue > 0, "{old:?}");
    let told = place.number("SELECT overdue_groups FROM retention_round").await;
    assert_eq!(u64::try_from(told).expect("positive"), old.overdue);
    relayed(&mut place, ENTRIES).await;
    assert_eq!(retire(&config, after_days(92)).await.overdue, 0);
}

#[tokio::test]
async fn settled_parked_records_go_and_those_that_wait_stay() {
    let mut place = Place::new().await;
    place
        .owner
        .execute(
            "INSERT INTO parked_record (stage, topic, partition, record_offset, value_size, value_sha256, headers, reason,
               detail, attempts, version, status, settled_at)
             SELECT 'audit', 't', 0, n, 0, '', '[]', 'undecodable', '', 1, 'v',
                    CASE n WHEN 0 THEN 'parked' WHEN 1 THEN 'replayed' ELSE 'discarded' END,
                    CASE WHEN n > 0 THEN now() - n * interval '20 days' END
               FROM generate_series(0, 3) AS n",
        )
        .await
        .expect("parked");
    let config = policy(&place, 90, Vec::new());
    assert_eq!(of_table(&retire(&config, after_days(0)).await, "parked_record"), 2);
    assert_eq!(place.number("SELECT count(*) FROM parked_record").await, 2);
}

fn of_table(removed: &Removed, table: &str) -> u64 {
    removed.others.iter().find(|(name, _)| *name == table).expect("a rule of the table").1
}

#[tokio::test]
async fn old_facts_go_by_their_own_rules_and_a_hold_keeps_its_own() {
    let mut place = Place::new().await;
    // Days ago: 10, 100, 200, 300. The longest timespan of the correlation's group is 40 days.
    place
        .owner
        .execute(
            "INSERT INTO risk_rule (rule_key, tenant_id, rule_id, version, title, file, level, tactics, techniques)
             VALUES (1, 'acme', 'r', '1', 'r', 'r.yml', 'low', '{}', '{}');
             INSERT INTO risk_correlation_group (tenant_id, rule_id, group_key, longest_seconds, newest_at)
             VALUES ('acme', 'r', 'g', 40 * 86400, now());
             INSERT INTO risk_signal (occurred_at, event_id, hazard_micronats, rule_key, score, tenant_id, entity_kind, entity,
               rule_id, dedupe_key, actor, action, source, native_format, matched, content_sha256)
             SELECT now() - n * interval '1 day', gen_random_uuid(), 1, 1, 1, 'acme', 'user', who, 'r', 'd', 'someone', 'a', 's',
                    'f', '{}', '' FROM unnest(ARRAY[10, 100, 200, 300]) AS n, unnest(ARRAY['ada', 'bob']) AS who;
             INSERT INTO risk_unusable (occurred_at, event_id, tenant_id, source, format, reason, content_sha256)
             SELECT now() - n * interval '1 day', gen_random_uuid(), 'acme', 's', 'f', 'r', ''
               FROM unnest(ARRAY[10, 100, 200, 300]) AS n;
             INSERT INTO risk_correlation_event (occurred_at, event_id, rule_key, tenant_id, rule_id, reference, group_key, value,
               signal, content_sha256)
             SELECT now() - n * interval '1 day', gen_random_uuid(), 1, 'acme', 'r', 'r', 'g', '', '{}', ''
               FROM unnest(ARRAY[10, 100, 200, 300]) AS n;
             INSERT INTO risk_correlation_group (tenant_id, rule_id, group_key, longest_seconds, newest_at)
             SELECT 'acme', 'r', 'quiet for ' || n, 40 * 86400, now() - n * interval '1 day'
               FROM unnest(ARRAY[10, 100, 200, 300]) AS n;
             INSERT INTO risk_correlation_report (hour, occurred_at, event_id, tenant_id, rule_id, group_key)
             SELECT extract(epoch FROM newest_at) / 3600, newest_at, gen_random_uuid(), tenant_id, rule_id, group_key
               FROM risk_correlation_group WHERE group_key <> 'g';
             INSERT INTO cost_utilisation (measured_at, event_id, tenant_id, resource, metric, value, content_sha256)
             SELECT now() - n * interval '1 day', gen_random_uuid(), 'acme', what, 'cpu_percent', 1, ''
               FROM unnest(ARRAY[10, 100, 200, 300]) AS n, unnest(ARRAY['vm-1', 'vm-2']) AS what;
             INSERT INTO cost_utilisation_hour (hour, samples, tenant_id, resource_ref, metric, total, least, largest)
             SELECT date_trunc('hour', measured_at), 1, tenant_id, resource_ref, metric, 1, 1, 1 FROM cost_utilisation;
             INSERT INTO risk_first_seen_group (tenant_id, rule_id, group_key, last_day)
             SELECT 'acme', 'r', 'quiet for ' || n, floor(extract(epoch FROM now()) / 86400) - n
               FROM unnest(ARRAY[10, 100, 200, 300]) AS n;
             INSERT INTO risk_first_seen (first_at, event_id, rule_key, reported, tenant_id, rule_id, group_key, value, signal,
               content_sha256)
             SELECT now() - interval '400 days', gen_random_uuid(), 1, false, 'acme', 'r', 'quiet for ' || n, value, '{}', ''
               FROM unnest(ARRAY[10, 100, 200, 300]) AS n, unnest(ARRAY['u', 'v', 'w']) AS value",
        )
        .await
        .expect("facts");
    place.decide(GovernanceKind::HoldPlaced, ("person", "ada"), "").await;
    place.decide(GovernanceKind::HoldPlaced, ("resource", "vm-1"), "").await;
    let config = policy(&place, 90, Vec::new());
    let removed = retire(&config, after_days(0)).await;
    let gone = ["cost_utilisation", "cost_utilisation_hour"].map(|table| of_table(&removed, table));
    assert_eq!(gone, [3, 3], "of vm-1 none");
    let gone =
        ["risk_signal", "risk_unusable", "risk_correlation_event"].map(|table| of_table(&removed, table));
    assert_eq!(gone, [2, 2, 2], "of ada's signals none, of the group those older than 30 and 80 days");
    let gone = ["risk_correlation_report", "risk_correlation_group"].map(|table| of_table(&removed, table));
    assert_eq!(gone, [1, 1], "those older than the signals' 180 and 80 days");
    let gone = ["risk_first_seen", "risk_first_seen_group"].map(|table| of_table(&removed, table));
    assert_eq!(gone, [6, 2], "by their newest event, whenever a value was first seen");
    place.decide(GovernanceKind::HoldReleased, ("person", "ada"), "").await;
    assert_eq!(of_table(&retire(&config, after_days(0)).await, "risk_signal"), 2);
}
