//! Members that come and go without end, under both ways of sharing partitions: all of them given back first (eager), or
//! only those that move (cooperative). Nothing stalls, nothing is lost or doubled.

use std::{collections::BTreeMap, time::Duration};

use rand::Rng as _;
use topology::runtime::RunConfig;

use super::{dice, kill::finished, ledger, setting};
use crate::{stage::Running, support::site::Site};

async fn storm(strategy: &str) {
    let mut dice = dice(strategy);
    let (events, rounds) = (setting("WEIR_FAULT_EVENTS", 200_000) / 8, setting("WEIR_FAULT_KILLS", 50) / 3);
    let site = Site::new().await;
    ledger::open(&site.endpoints).await;
    let member = || {
        let kafka = BTreeMap::from([("partition.assignment.strategy".to_owned(), strategy.to_owned())]);
        Running::start(&["audit"], RunConfig { kafka, ..site.run_config() })
    };
    let steady = member();
    steady.ready().await;
    let flow = site.flow(events, events.div_ceil(rounds.max(1)));
    let mut guests: Vec<Running> = Vec::new();
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(dice.random_range(100..1_500))).await;
        if guests.len() > 2 || (!guests.is_empty() && dice.random_bool(0.5)) {
            guests.swap_remove(dice.random_range(0..guests.len())).stop().await;
        } else {
            guests.push(member());
        }
    }
    finished(&site, flow, events).await;
    for member in guests.into_iter().chain([steady]) {
        member.stop().await;
    }
    ledger::balance(&site.endpoints, events).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_eager_rebalances_loses_and_doubles_nothing() {
    storm("range").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_cooperative_rebalances_loses_and_doubles_nothing() {
    storm("cooperative-sticky").await;
}
