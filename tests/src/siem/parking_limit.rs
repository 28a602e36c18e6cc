//! The limit of parked records, for records that a receiver refuses.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use super::{
    delivery::{Bench, SETTLED, events, id},
    receiver::{Answer, Receiver},
};

const HALTED_BY_THE_LIMIT: &str =
    "SELECT count(*) FROM stage_position WHERE stage = 'sink.splunk' AND halted LIKE 'parking_limit%'";
const MOST_PARKED_BEFORE: &str =
    "SELECT max(parked) FROM stage_position WHERE stage = 'sink.splunk' AND halted LIKE 'parking_limit%'";
const ALL_PARKED: &str = "SELECT count(*) FROM parked_record WHERE stage = 'sink.splunk'";

/// One wrong setting at a receiver makes it refuse everything, whoever sent it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_refuses_every_tenants_records_halts_its_sink_at_the_limit() {
    const ROUNDS: u64 = 10;
    const EACH: usize = 100;
    const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
    let (splunk, refuses) = (Receiver::start().await, Arc::new(AtomicBool::new(true)));
    let taken = Arc::new(Mutex::new(HashSet::<String>::new()));
    splunk.plays({
        let (refuses, taken) = (Arc::clone(&refuses), Arc::clone(&taken));
        move |request| {
            if refuses.load(Ordering::Relaxed) {
                return Answer::json(400, r#"{"text":"Invalid data format","code":6}"#);
            }
            taken.lock().expect("held briefly").extend(events(request).iter().map(id));
            Answer::json(200, r#"{"text":"Success","code":0}"#)
        }
    });
    let bench = Bench::new(|_| {
        json!([{ "name": "splunk", "kind": "splunk_hec", "endpoint": splunk.url, "secret": "t",
                 "acknowledgement": "off", "linger_s": 0.2 }])
    })
    .await;
    let _audit = bench.run(&["audit"]);
    for round in 0..ROUNDS {
        for (seed, tenant) in (3 * round..).zip(TENANTS) {
            bench.site.publish(seed, tenant, EACH).await;
        }
    }
    let _sinks = bench.run(&["sinks"]);
    bench.site.await_that(HALTED_BY_THE_LIMIT, "nothing halts", |count| count > 0).await;
    // A hundred beside those of the tenant that has most, which has a share like the others.
    let most = bench.site.count(MOST_PARKED_BEFORE).await;
    assert!(most <= 250, "{most} records of one partition were parked");

    refuses.store(false, Ordering::Relaxed);
    let all = i64::try_from(ROUNDS).expect("small") * i64::try_from(EACH * TENANTS.len()).expect("small");
    let deadline = tokio::time::Instant::now() + Duration::from_mins(3);
    while bench.site.count(SETTLED).await < all {
        assert!(tokio::time::Instant::now() < deadline, "{} of {all}", bench.site.count(SETTLED).await);
        for partition in 0..8 {
            // One that is not halted is refused.
            let partition = partition.to_string();
            let place = ["sink.splunk", "--topic", "weir.audit.v1", "--partition", partition.as_str()];
            bench.asked(&[&["stage", "resume"], &place[..]].concat()).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let parked = bench.site.count(ALL_PARKED).await;
    let delivered = i64::try_from(taken.lock().expect("held briefly").len()).expect("small");
    assert_eq!(delivered + parked, all, "what was not parked has arrived");
    assert!(parked < all / 2, "{parked} of {all} were parked");
}
