//! The relay of the audit topic and the sinks, killed at random under load: indices without gaps and repeats
//! in the topic, every entry at every receiver, and counts of completeness that say so.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{Rng as _, rngs::StdRng};
use serde_json::json;

use super::{
    delivery::{Bench, Process, events},
    receiver::{Answer, Receiver},
};
use crate::{
    audit_log::topic::{topic_holds, whole_logs},
    faults::{dice, setting},
};

/// Events a kill.
const LOAD: u64 = 400;
/// Entries that sinks have passed and delivered, by the counts of completeness.
const DELIVERED: &str = "SELECT coalesce(sum(owed - parked - missing), 0)::bigint
                           FROM siem_hours('acme', '1970-01-01', now() + interval '1 day')";
/// Entries that they have not.
const NOT_DELIVERED: &str = "SELECT coalesce(sum(parked + missing + waiting), 0)::bigint
                               FROM siem_hours('acme', '1970-01-01', now() + interval '1 day')";

/// The indices of each log that a receiver has, once or more often.
type Held = BTreeMap<String, BTreeSet<u64>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_relays_and_sinks_leave_no_gap_and_no_receiver_without_an_entry() {
    let mut dice = dice("killed_relays_and_sinks_leave_no_gap_and_no_receiver_without_an_entry");
    let kills = setting("WEIR_FAULT_KILLS", 50 / 4);
    let events = kills * LOAD;
    let (splunk, held) = (Receiver::start().await, Arc::new(Mutex::new(Held::new())));
    splunk.plays(taking(Arc::clone(&held)));
    let bench = Bench::new(|folder| {
        json!([
            { "name": "copy", "kind": "file", "endpoint": folder.join("copy.ndjson"), "linger_s": 0.2 },
            { "name": "splunk", "kind": "splunk_hec", "endpoint": splunk.url, "secret": "t", "acknowledgement": "off",
              "linger_s": 0.2 },
        ])
    })
    .await;
    let flow = bench.site.flow(events, LOAD);
    killed(&bench, &mut dice, kills).await;
    let processes = [bench.run(&["audit"]), bench.run(&["sinks"])];
    flow.published(events).await;

    let sizes = whole_logs(&bench.site, events).await;
    assert_eq!(topic_holds(&bench.site, &sizes).await.values().sum::<u64>(), events);
    let twice = i64::try_from(2 * events).expect("small");
    bench.site.await_count(DELIVERED, twice).await;
    bench.site.await_count(NOT_DELIVERED, 0).await;
    bench.signed().await;
    drop(processes);

    let held = held.lock().expect("held briefly").clone();
    let held: HashMap<_, u64> = held.into_iter().map(|(log, indices)| (log, indices.len() as u64)).collect();
    let filled = sizes.into_iter().filter(|(_, size)| *size > 0);
    assert_eq!(held, filled.collect(), "of each log as many entries as it has");
    let (ok, report) = bench.verified(&bench.path("copy.ndjson")).await;
    assert!(ok && report["entries"] == events, "{report}");
}

/// Starts processes of the audit stage, which relays too, and of the sinks, and kills one of them after the
/// other at random.
async fn killed(bench: &Bench, dice: &mut StdRng, kills: u64) {
    const ROLES: [&str; 2] = ["audit", "sinks"];
    let mut processes: [Process; 2] = ROLES.map(|role| bench.run(&[role]));
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..1_900))).await;
        let victim = dice.random_range(0..ROLES.len());
        // The successor's group instance takes the partitions over while the old process may still run.
        drop(std::mem::replace(&mut processes[victim], bench.run(&[ROLES[victim]])));
    }
}

/// A receiver that notes what it takes; one request in eleven is refused, and of one in thirteen the answer
/// is lost.
fn taking(held: Arc<Mutex<Held>>) -> impl FnMut(&super::receiver::Request) -> Answer + Send + 'static {
    let mut requests = 0_u64;
    move |request| {
        requests += 1;
        if requests % 11 == 3 {
            return Answer::json(503, r#"{"text":"Server is busy","code":9}"#);
        }
        let mut held = held.lock().expect("held briefly");
        for event in events(request) {
            let place = &event["event"]["unmapped"]["record_integrity"];
            // Statements of completeness have no place.
            let Some((log, index)) = place["log"].as_str().zip(place["index"].as_u64()) else { continue };
            held.entry(log.to_owned()).or_default().insert(index);
        }
        if requests % 13 == 5 { Answer::Reset } else { Answer::json(200, r#"{"text":"Success","code":0}"#) }
    }
}
