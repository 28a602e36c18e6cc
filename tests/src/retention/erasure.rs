//! An erased person's entries keep proving themselves, on every path by which they can have come about.

use audit_log::{
    SubjectSecret,
    integrity::{Personal, Place as LogPlace, leaf_of_copy},
    record::Splitter,
    verify::{Kind, SomeEntries},
};
use schemas::{TenantId, changes::AuditEntry, events::GovernanceKind};
use serde_json::Value;
use sinks::{
    compress,
    log_store::{Follower, entry_proof},
    retention::RetentionConfig,
};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::fixture::{LOG, Place, busiest, entries};

const ENTRIES: usize = 600;
/// Tables of the log that an erasure must not change.
const LOG_TABLES: [&str; 2] = ["audit_log", "audit_tile"];

async fn request(place: &mut Place, subject: &str) {
    place.decide(GovernanceKind::SubjectErased, ("person", subject), "").await;
}

/// Number of entries of the subject.
fn of(entries: &[AuditEntry], subject: &str) -> u64 {
    entries.iter().filter(|entry| entry.actor == subject).count() as u64
}

/// Dictionary, record, name and address of an entry.
type Erased = (i16, Vec<u8>, Option<String>, Option<String>);

/// Asserts that nothing personal of the subject is left in the audit log's tables.
async fn is_gone(place: &mut Place, subject: &str) {
    for (what, sql) in [
        ("keys", "SELECT count(*) FROM subject_key WHERE actor = $1"),
        ("entries", "SELECT count(*) FROM audit_entry WHERE actor = $1"),
        ("terms", "SELECT count(*) FROM audit_term WHERE field = 'actor' AND term = $1"),
    ] {
        let count: i64 = sqlx::query_scalar(sql).bind(subject).fetch_one(&mut place.owner).await.expect(sql);
        assert_eq!(count, 0, "{what}");
    }
    let erased: Vec<Erased> = sqlx::query_as(
        "SELECT record_dictionary, record, actor_name, actor_ip FROM audit_entry WHERE personal_digest IS NOT NULL",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("rows");
    assert!(!erased.is_empty());
    for (dictionary, record, name, address) in erased {
        let record = compress::decompress(dictionary, &record).expect("a frame");
        let record: Value = serde_json::from_slice(&record).expect("the public part is JSON");
        assert_eq!((name, address), (None, None));
        for personal in ["/actor/user/uid", "/actor/user/name", "/src_endpoint/ip", "/raw_data", "/message"] {
            assert_eq!(record.pointer(personal), None, "{personal}");
        }
    }
}

/// Asserts that the entries' proofs and what followers get of them hold.
async fn proves_itself(place: &mut Place, entries: &[AuditEntry], subject: &str) {
    let tenant = TenantId::new("acme").expect("valid");
    let mut splitter = Splitter::default();
    for entry in entries.iter().filter(|entry| entry.actor == subject).take(5) {
        let proof = entry_proof(&mut place.owner, &tenant, *entry.event_id.as_uuid()).await;
        let proof = proof.expect("readable").expect("an entry");
        let record: Value = serde_json::from_slice(&proof.record).expect("JSON");
        assert!(matches!(proof.place.personal, Personal::Erased(_)));
        assert_eq!(leaf_of_copy(&mut splitter, &record, &proof.place.personal), Ok(proof.place.leaf));
        let size = proof.size;
        let root: Vec<u8> =
            sqlx::query_scalar("SELECT root FROM audit_checkpoint WHERE log = $1 AND size = $2")
                .bind(LOG)
                .bind(i64::try_from(size).expect("small"))
                .fetch_one(&mut place.owner)
                .await
                .expect("a checkpoint");
        let root = audit_log::Hash::from_slice(&root).expect("32 bytes");
        let leaf = (proof.place.index, &proof.place.leaf);
        audit_log::proof::check_inclusion(leaf, (size, &root), &proof.hashes).expect("part of the log");
    }
    let mut follower = Follower::connect(&place.url).await.expect("connected");
    let relayed = follower.entries(LOG, 0, 10_000).await.expect("readable");
    let mut previous = None;
    for entry in relayed {
        let record = entry.attest(LOG, previous, None).expect("a record");
        let record: Value = serde_json::from_slice(&record).expect("JSON");
        let place = LogPlace::stated(&record).expect("its place");
        assert_eq!(leaf_of_copy(&mut splitter, &record, &place.personal), Ok(entry.leaf));
        previous = Some(entry.leaf);
    }
}

#[tokio::test]
async fn an_erased_subject_is_gone_and_the_log_still_verifies() {
    let entries = entries(ENTRIES);
    let subject = busiest(&entries);
    let (before, after) = entries.split_at(ENTRIES / 2);
    assert!(of(before, &subject) > 5 && of(after, &subject) > 5, "{subject} acts before and after");
    let mut place = Place::new().await;
    place.append(before, 100).await;
    request(&mut place, &subject).await;
    let standing = place.round().await;
    assert_eq!((standing.done, standing.entries, standing.waiting), (1, of(before, &subject), 0));
    is_gone(&mut place, &subject).await;
    assert_eq!(place.verify().await.first_fault, None);

    // The writer that knew the subject goes on: by rows and by COPY.
    let (some, rest) = after.split_at(100);
    place.append(some, 20).await;
    place.append(rest, 200).await;
    is_gone(&mut place, &subject).await;
    let report = place.verify().await;
    assert_eq!((report.entries, report.first_fault), (ENTRIES as u64, None));
    proves_itself(&mut place, &entries, &subject).await;
    assert_eq!(place.round().await.done, 0, "once");

    let mut forged = PgConnection::connect(&place.url).await.expect("connected");
    forged
        .execute("SET session_replication_role = replica; UPDATE audit_entry SET outcome_code = 'forged' WHERE log_index = (SELECT min(log_index) FROM audit_entry WHERE personal_digest IS NOT NULL)")
        .await
        .expect("as the server's owner");
    assert_eq!(place.verify().await.first_fault.map(|fault| fault.kind), Some(Kind::Edited));
}

/// An entry without its personal part verifies where somebody was erased, and nowhere else.
#[tokio::test]
async fn an_erasure_that_nobody_asked_for_is_an_edit() {
    let entries = entries(ENTRIES);
    let subject = busiest(&entries);
    let mut place = Place::new().await;
    let (before, after) = entries.split_at(ENTRIES / 2);
    place.append(before, 100).await;
    assert!(place.verify().await.erased.is_empty());
    request(&mut place, &subject).await;
    assert_eq!(place.round().await.done, 1);
    // Some are erased, and some come afterwards without their personal part.
    place.append(after, 100).await;
    let first = entries.iter().position(|entry| entry.actor == subject).expect("an entry") as u64;
    let all = SomeEntries { log: LOG.into(), entries: of(&entries, &subject), first };
    let report = place.verify().await;
    assert_eq!((report.ok, report.erased), (true, vec![all.clone()]));

    place.owner.execute("DELETE FROM erasure_progress").await.expect("as the server's owner");
    let report = place.verify().await;
    let fault = report.first_fault.map(|fault| (fault.index, fault.kind));
    assert_eq!((fault, report.erased), (Some((first, Kind::Edited)), vec![all]));
}

/// Rows of correlations and saved searches that name the subject and somebody else.
const ELSEWHERE: &str = "
    INSERT INTO risk_rule (rule_key, tenant_id, rule_id, version, title, file, level, tactics, techniques)
    VALUES (1, 'acme', 'r', '1', 'r', 'r.yml', 'low', '{}', '{}');
    INSERT INTO risk_correlation_group (tenant_id, rule_id, group_key, longest_seconds, newest_at)
    SELECT 'acme', 'r', jsonb_build_array(who)::text, 60, now() FROM unnest($$WHO$$::text[]) AS who;
    INSERT INTO risk_correlation_report (tenant_id, rule_id, group_key, hour, occurred_at, event_id)
    SELECT 'acme', 'r', jsonb_build_array(who)::text, 1, now(), gen_random_uuid() FROM unnest($$WHO$$::text[]) AS who;
    INSERT INTO risk_correlation_event (occurred_at, event_id, rule_key, tenant_id, rule_id, reference, group_key, value, signal,
      content_sha256)
    SELECT now(), gen_random_uuid(), 1, 'acme', 'r', 'r', grouped, counted, signal, ''
      FROM unnest($$WHO$$::text[]) AS who,
           LATERAL (VALUES (jsonb_build_array(who)::text, '', '{}'), ('[\"host\"]', who, '{}'),
                           ('[\"host\"]', '', jsonb_build_object('actor', who)::text)) AS v(grouped, counted, signal);
    INSERT INTO risk_first_seen_group (tenant_id, rule_id, group_key, last_day)
    SELECT 'acme', 'r', jsonb_build_array(who)::text, 20000 FROM unnest($$WHO$$::text[]) AS who;
    INSERT INTO risk_first_seen (first_at, event_id, rule_key, reported, tenant_id, rule_id, group_key, value, signal,
      content_sha256)
    SELECT now(), gen_random_uuid(), 1, false, 'acme', 'r', grouped, seen, signal, ''
      FROM unnest($$WHO$$::text[]) AS who,
           LATERAL (VALUES (jsonb_build_array(who)::text, 'v', '{}'), ('[\"account\"]', who, '{}'),
                           ('[\"account\"]', 'by ' || md5(who), jsonb_build_object('actor', who)::text))
             AS v(grouped, seen, signal);
    INSERT INTO saved_search (tenant_id, name, filter, saved_at, saved_event, saved_by)
    SELECT 'acme', 'of ' || md5(who), jsonb_build_object('actor', who), now(), gen_random_uuid(), 'hanna'
      FROM unnest($$WHO$$::text[]) AS who;
    INSERT INTO saved_search (tenant_id, name, filter, saved_at, saved_event, saved_by)
    SELECT 'acme', 'by ' || md5(who), '{}', now(), gen_random_uuid(), who FROM unnest($$WHO$$::text[]) AS who";

#[tokio::test]
async fn correlations_and_searches_keep_nothing_of_the_subject() {
    let entries = entries(ENTRIES / 4);
    let subject = busiest(&entries);
    let mut place = Place::new().await;
    place.append(&entries, 100).await;
    let who = format!("ARRAY['{}', 'somebody else']", subject.replace('\'', "''"));
    let rows = ELSEWHERE.replace("$$WHO$$", &who);
    sqlx::raw_sql(sqlx::AssertSqlSafe(rows)).execute(&mut place.owner).await.expect("rows");
    request(&mut place, &subject).await;
    assert_eq!(place.round().await.done, 1);
    for (table, left) in [
        ("risk_correlation_event", 3),
        ("risk_correlation_group", 1),
        ("risk_correlation_report", 1),
        ("risk_first_seen", 3),
        ("risk_first_seen_group", 1),
        ("saved_search", 3),
    ] {
        let rows = place.dump(table).await;
        assert_eq!(rows.len(), left, "{table}: {rows:#?}");
        assert!(rows.iter().all(|row| !row.contains(&subject)), "{table}: {rows:#?}");
    }
    let renamed = "SELECT count(*) FROM saved_search WHERE name LIKE 'by %' AND saved_by LIKE 'erased:%'";
    assert_eq!(place.number(renamed).await, 1);
}

#[tokio::test]
async fn the_log_is_the_same_whenever_the_erasure_came() {
    let entries = entries(ENTRIES);
    let subject = busiest(&entries);
    let mut never = Place::new().await;
    never.append(&entries, 150).await;

    let mut afterwards = Place::new().await;
    afterwards.append(&entries, 100).await;
    request(&mut afterwards, &subject).await;
    afterwards.round().await;

    let mut at_first = Place::new().await;
    request(&mut at_first, &subject).await;
    at_first.round().await;
    at_first.append(&entries, 70).await;
    is_gone(&mut at_first, &subject).await;

    for table in LOG_TABLES {
        let whole = never.dump(table).await;
        assert!(afterwards.dump(table).await == whole, "{table}");
        assert!(at_first.dump(table).await == whole, "{table}");
    }
    for table in ["audit_entry", "audit_event", "subject_key"] {
        assert!(afterwards.dump(table).await == at_first.dump(table).await, "{table}");
    }
    // Nobody can search for the empty name that an erased actor has.
    let terms = "(SELECT field, term, days FROM audit_term WHERE term <> '')";
    assert!(
        afterwards.dump(terms).await == at_first.dump(terms).await,
        "the dictionary has forgotten the same"
    );
}

#[tokio::test]
async fn a_subject_under_a_hold_waits_until_the_last_is_released() {
    let entries = entries(ENTRIES);
    let subject = busiest(&entries);
    let project = entries.iter().find(|entry| entry.actor == subject && entry.project.is_some());
    let project = project.and_then(|entry| entry.project.clone());
    let on = entries.iter().filter(|entry| entry.actor == subject).find_map(|entry| entry.resource.clone());
    let on = on.expect("the subject acts on something");
    let mut place = Place::new().await;
    place.append(&entries, 100).await;
    place.decide(GovernanceKind::HoldPlaced, ("user", &subject), "incident 88").await;
    place.decide(GovernanceKind::HoldPlaced, ("person", &subject), "2026/14").await;
    request(&mut place, &subject).await;
    for (scope, held, name) in [("user", subject.as_str(), "incident 88"), ("person", &subject, "2026/14")] {
        let standing = place.round().await;
        assert_eq!((standing.done, standing.waiting), (0, 1), "{name}");
        let waits = "SELECT count(*) FROM erasure_progress WHERE waits_for IS NOT NULL AND began_at IS NULL";
        assert_eq!(place.number(waits).await, 1, "visibly");
        place.decide(GovernanceKind::HoldReleased, (scope, held), name).await;
    }
    if let Some(project) = &project {
        place.decide(GovernanceKind::HoldPlaced, ("project", project), "").await;
        assert_eq!(place.round().await.waiting, 1, "some of the entries are the project's");
        place.decide(GovernanceKind::HoldReleased, ("project", project), "").await;
    }
    for held in [on.as_str(), "somebody who is no resource"] {
        place.decide(GovernanceKind::HoldPlaced, ("person", held), "").await;
    }
    assert_eq!(place.round().await.waiting, 1, "some of the entries are about a person who is held");
    let waits = format!("SELECT count(*) FROM erasure_progress WHERE waits_for = 'person {on}'");
    assert_eq!(place.number(&waits).await, 1, "for that person alone");
    place.decide(GovernanceKind::HoldReleased, ("person", &on), "").await;
    place.decide(GovernanceKind::HoldPlaced, ("tenant", ""), "").await;
    assert_eq!(place.round().await.waiting, 1, "all of the tenant's data is held");
    place.decide(GovernanceKind::HoldReleased, ("tenant", ""), "").await;
    assert_eq!(place.verify().await.first_fault, None);
    let standing = place.round().await;
    assert_eq!((standing.done, standing.entries, standing.waiting), (1, of(&entries, &subject), 0));
    is_gone(&mut place, &subject).await;
}

#[tokio::test]
async fn a_foreign_secret_erases_nothing_and_is_told() {
    let entries = entries(ENTRIES);
    let subject = busiest(&entries);
    let mut place = Place::new().await;
    place.append(&entries, 100).await;
    request(&mut place, &subject).await;
    let secret = SubjectSecret::new(&[7; 32]).expect("long enough");
    let foreign = RetentionConfig { secret, ..place.retention() };
    let told = "SELECT count(*) FROM erasure_progress WHERE problem LIKE '%audit.subject_secret%' AND done_at IS NULL";
    let reduced = "SELECT count(*) FROM audit_entry WHERE personal_digest IS NOT NULL";
    // Its key is compared, and where that is gone, the leaves.
    for forget in ["SELECT", "DELETE FROM subject_key WHERE actor = (SELECT subject FROM erasure)"] {
        place.owner.execute(forget).await.expect("as the server's owner");
        let standing = place.round_of(&foreign).await;
        assert_eq!((standing.done, standing.entries, standing.waiting), (0, 0, 1), "{forget}");
        assert_eq!(place.number(told).await, 1, "{forget}");
        assert_eq!(place.number(reduced).await, 0, "{forget}");
    }
    let standing = place.round().await;
    assert_eq!((standing.done, standing.entries, standing.waiting), (1, of(&entries, &subject), 0));
    is_gone(&mut place, &subject).await;
    proves_itself(&mut place, &entries, &subject).await;
}

/// Columns that name people and that an erasure leaves as they are, and why.
const KEPT: [(&str, &str); 6] = [
    ("subject_key", "the row goes, and with it the salts"),
    ("erasure", "the request itself, which says who must stay erased"),
    ("legal_hold", "who placed a hold is part of its record"),
    ("retention_decision", "who decided what must be kept or go is part of the record"),
    ("tenant_limit", "operators' accounts, no people of the tenant's"),
    ("parked_record", "operators' accounts, no people of the tenant's"),
];

/// A table that comes to name people is thought of when somebody is erased.
#[tokio::test]
async fn every_column_that_names_people_is_erased_or_kept_for_a_reason() {
    const ERASER: &str = concat!(
        include_str!("../../../sinks/src/retention/erase.rs"),
        include_str!("../../../sinks/src/retention/parties.rs")
    );
    let mut place = Place::new().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.table_name::text, c.column_name::text
           FROM information_schema.columns AS c
           JOIN information_schema.tables AS t USING (table_schema, table_name)
           JOIN information_schema.columns AS tenant USING (table_schema, table_name)
          WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.data_type = 'text'
            AND tenant.column_name = 'tenant_id'
            AND c.column_name ~ '^(actor|actor_name|owner|second_party|subject)$|_by$'
            AND c.table_name !~ '^audit_entry_'
          ORDER BY 1, 2",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("columns");
    assert!(columns.len() > 20, "{columns:?}");
    let forgotten: Vec<_> = columns
        .iter()
        .filter(|(table, _)| !KEPT.iter().any(|(kept, _)| kept == table))
        .filter(|(table, column)| {
            !ERASER.lines().any(|line| line.contains(&format!(" {table}")))
                || !ERASER.contains(&format!("{column} = "))
        })
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}
