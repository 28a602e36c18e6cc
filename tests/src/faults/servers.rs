//! Servers that crash and come back while events flow.

use std::time::Duration;

use rand::Rng as _;

use super::{dice, kill::finished, ledger, member::Member, setting};
use crate::support::site::Site;

const POSTGRES_CRASHES: u64 = 10;
const BROKER_KILLS: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashing_servers_lose_and_double_nothing() {
    let mut dice = dice("crashing_servers_lose_and_double_nothing");
    let events = setting("WEIR_FAULT_EVENTS", 200_000) / 4;
    let site = Site::new().await;
    ledger::open(&site.endpoints).await;
    // Dynamic members: a broker that forgets a static one fences it for good, and then a supervisor has to restart it.
    let mut members = [(); 2].map(|()| Member::start(&site.endpoints, None));
    let flow = site.flow(events, events.div_ceil(40));
    let mut faults: Vec<bool> = (0..POSTGRES_CRASHES + BROKER_KILLS).map(|n| n < BROKER_KILLS).collect();
    while !faults.is_empty() {
        tokio::time::sleep(Duration::from_millis(dice.random_range(200..2_000))).await;
        if faults.swap_remove(dice.random_range(0..faults.len())) {
            site.stack.kill_kafka().await.expect("a broker to kill");
        } else {
            site.stack.crash_postgres().await.expect("a Postgres to crash");
        }
        site.stack.up().await.expect("the servers come back");
    }
    finished(&site, flow, events).await;
    members.iter_mut().for_each(Member::assert_alive);
    ledger::balance(&site.endpoints, events).await;
}
