//! A stage frozen until the group has given its partitions away, which then goes on as if nothing had happened.

use std::time::Duration;

use super::{kill::finished, ledger, member::Member, setting};
use crate::support::site::Site;

/// Longer than the session that the group grants (10 s), shorter than anybody's patience.
const FROZEN: Duration = Duration::from_secs(14);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_owner_that_wakes_up_writes_nothing_any_more() {
    let events = setting("WEIR_FAULT_EVENTS", 200_000) / 10;
    let site = Site::new().await;
    ledger::open(&site.endpoints).await;
    let mut members = [(); 2].map(|()| Member::start(&site.endpoints, None));
    let flow = site.flow(events, events.div_ceil(30));
    for member in &members {
        // While it writes, wherever in a transaction that is; the other one takes over.
        tokio::time::sleep(Duration::from_secs(2)).await;
        member.freeze();
        tokio::time::sleep(FROZEN).await;
        member.thaw();
    }
    finished(&site, flow, events).await;
    members.iter_mut().for_each(Member::assert_alive);
    // The books would show a move under an older epoch.
    ledger::balance(&site.endpoints, events).await;
}
