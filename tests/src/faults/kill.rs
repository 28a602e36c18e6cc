//! Stages killed at random while events flow.

use std::time::Duration;

use ::stack::Endpoints;
use rand::Rng as _;

use super::{dice, ledger, member::Member, setting};
use crate::support::{
    patience::Patience,
    site::{Flow, Site},
};

/// A stage that settles nothing for so long after the last fault has not healed. The broker waits 45 s for a member
/// that was killed, and those that remain may share anew more than once.
const HEALS_WITHIN: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_stages_lose_and_double_nothing() {
    let mut dice = dice("killed_stages_lose_and_double_nothing");
    let (events, kills) = (setting("WEIR_FAULT_EVENTS", 200_000), setting("WEIR_FAULT_KILLS", 50));
    let site = Site::new().await;
    ledger::open(&site.endpoints).await;
    let names = ["a", "b"];
    let mut members = names.map(|name| Some(Member::start(&site.endpoints, Some(name))));
    // As many events a second as keep the flow going until the last kill, at a second a kill.
    let flow = site.flow(events, events.div_ceil(kills.max(1)));

    // A third member that comes and goes makes the other two share anew.
    let mut guest: Option<Member> = None;
    for round in 0..kills {
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..1_500))).await;
        let victim = dice.random_range(0..names.len());
        if let Some(member) = members[victim].take() {
            member.kill();
        }
        if round % 5 == 0 {
            match guest.take() {
                Some(guest) => guest.stop(),
                None => guest = Some(Member::start(&site.endpoints, None)),
            }
        }
        members[victim] = Some(Member::start(&site.endpoints, Some(names[victim])));
    }
    if let Some(guest) = guest {
        guest.stop();
    }
    finished(&site, flow, events).await;
    members.iter_mut().flatten().for_each(Member::assert_alive);
    ledger::balance(&site.endpoints, events).await;
}

/// Waits for the last acknowledgement, and until the audit stage has settled everything.
pub(super) async fn finished(site: &Site, flow: Flow, events: u64) {
    flow.published(events).await;
    caught_up(&site.endpoints, "audit", events).await;
}

/// Waits until a stage has settled so many records.
pub(super) async fn caught_up(endpoints: &Endpoints, stage: &str, events: u64) {
    let mut patience = Patience::of(HEALS_WITHIN);
    let mut seen = ledger::settled(endpoints, stage).await;
    while seen.is_none_or(|seen| seen < events) {
        if patience.is_over(seen) {
            let places = ledger::places(endpoints, stage).await;
            panic!("{stage} has settled {seen:?} of {events}, and nothing for {HEALS_WITHIN:?}: {places:#?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen = ledger::settled(endpoints, stage).await;
    }
}
