//! All stages at once, killed at random: what their tables hold afterwards is what a rebuild from the topics gives, and
//! the signals are those that the rules give to an independent reader.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use processors::{
    Processor as _,
    risk::{Risk, RuleSet},
};
use rand::Rng as _;
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers as _},
};
use schemas::{
    Envelope, Topic,
    changes::RiskChange,
    codec::{self, Decoded, Incoming, NoRegistry},
};
use sqlx::{AssertSqlSafe, Row as _};
use stack::Endpoints;
use topology::pipeline;

use super::{
    dice,
    kill::caught_up,
    ledger::{self, each_record},
    member::Member,
    setting,
};
use crate::support::site::Site;

/// Everything that the stages write but their positions, whose owners differ.
pub(crate) const TABLES: [&str; 54] = [
    "audit_entry",
    "audit_log",
    "audit_tile",
    "subject_key",
    "audit_event",
    "risk_rule",
    "risk_signal",
    "risk_correlation_event",
    "risk_correlation_group",
    "risk_correlation_report",
    "risk_first_seen",
    "risk_first_seen_group",
    "risk_weight",
    "risk_triage",
    "risk_unusable",
    "risk_exposure",
    "entity_risk",
    "incident",
    "change_fact",
    "change_review",
    "cost_scope",
    "cost_series",
    "cost_charge",
    "cost_columns",
    "cost_daily",
    "cost_monthly",
    "cost_daily_group",
    "cost_lifecycle",
    "cost_lifecycle_resource",
    "cost_resource",
    "cost_accrual",
    "cost_allocation_fact",
    "cost_budget_fact",
    "cost_budget_crossing",
    "cost_utilisation",
    "cost_utilisation_hour",
    "cost_workload",
    "cost_node_day",
    "cost_recommendation_fact",
    "retention_decision",
    "legal_hold",
    "erasure",
    "saved_search",
    "compliance_observation",
    "compliance_verdict",
    "compliance_policy",
    "compliance_applied",
    "compliance_resource",
    "compliance_state",
    "compliance_finding",
    "compliance_waiver_fact",
    "compliance_waiver",
    "compliance_waived",
    "parked_record",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_stages_hold_what_a_rebuild_gives() {
    let mut dice = dice("killed_stages_hold_what_a_rebuild_gives");
    let (events, kills) = (setting("WEIR_FAULT_EVENTS", 200_000) / 4, setting("WEIR_FAULT_KILLS", 50) / 3);
    let stages = pipeline::declaration().stage_names();
    let site = Site::new().await;
    let mut members = [(); 2].map(|()| Member::running(&stages, &site.endpoints, None));
    let flow = site.flow(events, events.div_ceil(kills.max(1)));
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(dice.random_range(300..2_000))).await;
        let victim = dice.random_range(0..members.len());
        let anew = Member::running(&stages, &site.endpoints, None);
        std::mem::replace(&mut members[victim], anew).kill();
    }
    flow.published(events).await;

    let read = read(&site.endpoints).await;
    all_caught_up(&site.endpoints, &read.records).await;
    members.iter_mut().for_each(Member::assert_alive);
    members.into_iter().for_each(Member::stop);
    let (of_events, of_groups) = signals(&site.endpoints).await;
    assert_eq!(of_events, read.signals, "the rules, asked by somebody else");
    assert!(!of_groups.is_empty(), "some events complete a correlation, to be compared below");

    let database_url = sinks::postgres::create_database(&site.endpoints.maintenance_url, "rebuilt").await;
    let rebuilt = Endpoints { database_url: database_url.expect("a database"), ..site.endpoints.clone() };
    sinks::postgres::migrate(&rebuilt.database_url).await.expect("migrations");
    let member = Member::running(&stages, &rebuilt, None);
    all_caught_up(&rebuilt, &read.records).await;
    member.stop();
    for table in TABLES {
        let (is, ought) = (rows(&site.endpoints, table).await, rows(&rebuilt, table).await);
        let differing: Vec<_> = is.symmetric_difference(&ought).take(4).collect();
        assert!(differing.is_empty(), "{table}: {differing:#?}");
    }
    assert!(rows(&rebuilt, "entity_risk").await.len() > 10, "there is something to compare");
}

/// Records and signals in the topics.
struct Read {
    records: BTreeMap<Topic, u64>,
    signals: BTreeSet<Signal>,
}

/// Event, rule, kind of entity, entity.
type Signal = (String, String, String, String);

/// Reads the topics and asks the rules, without a stage.
async fn read(endpoints: &Endpoints) -> Read {
    let kafka = endpoints.kafka.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut read = Read { records: BTreeMap::new(), signals: BTreeSet::new() };
        let risk = Risk::new(RuleSet::own());
        each_record(&kafka, |message| {
            let envelope = decoded(message);
            *read.records.entry(envelope.event.topic()).or_default() += 1;
            for change in risk.process(&envelope) {
                let RiskChange::Signal(signal) = change else { continue };
                let (event, entity) = (signal.event_id.to_string(), signal.entity);
                let (kind, id) = (entity.kind.name().to_owned(), entity.id().to_owned());
                read.signals.insert((event, signal.rule.id.clone(), kind, id));
            }
        });
        read
    });
    reading.await.expect("the topics are read")
}

fn decoded(message: &BorrowedMessage<'_>) -> Envelope {
    let headers = message.headers().expect("headers");
    let headers: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
    let incoming = Incoming {
        topic: Topic::from_name(message.topic()).expect("one of ours"),
        key: message.key(),
        value: message.payload(),
        headers: &headers,
        timestamp_ms: message.timestamp().to_millis().expect("a time"),
    };
    match codec::decode(&incoming, &NoRegistry) {
        Ok(Decoded::Event(envelope)) => *envelope,
        other => panic!("the generator publishes events: {other:?}"),
    }
}

/// Waits until every stage has settled all records of its topics.
async fn all_caught_up(endpoints: &Endpoints, records: &BTreeMap<Topic, u64>) {
    for stage in pipeline::declaration().stages() {
        let expected = stage.topics().iter().filter_map(|topic| records.get(topic)).sum();
        caught_up(endpoints, stage.name(), expected).await;
    }
}

/// The signals that are stored, those of rules and those of correlations; each once, or the table's key is broken.
async fn signals(endpoints: &Endpoints) -> (BTreeSet<Signal>, BTreeSet<Signal>) {
    let mut connection = ledger::connect(endpoints).await;
    let rows = sqlx::query("SELECT event_id::text, rule_id, entity_kind, entity FROM risk_signal")
        .fetch_all(&mut connection)
        .await
        .expect("rows");
    let signals: BTreeSet<Signal> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    assert_eq!(signals.len(), rows.len(), "doubled");
    assert!(!signals.is_empty(), "the generator's organisation gives the rules something to find");
    let engine = RuleSet::own().current();
    let correlates = |rule: &str| engine.correlations().iter().any(|correlation| correlation.rule.id == rule);
    signals.into_iter().partition(|(_, rule, ..)| !correlates(rule))
}

/// Every row of a table: how it begins, for people, and a hash of all of it.
async fn rows(endpoints: &Endpoints, table: &str) -> BTreeSet<String> {
    let mut connection = ledger::connect(endpoints).await;
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT left(t::text, 300) || md5(t::text) FROM {table} AS t")))
        .fetch_all(&mut connection)
        .await
        .expect("rows")
        .into_iter()
        .collect()
}
