//! A call to the sink that is dropped half-way, wherever that is, leaves nothing behind.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use schemas::{ParkReason, changes::AuditEntry};
use sinks::{
    Batch, Settled, Settlement, Sink, log_store::handover, postgres::PostgresSink,
    read_models::audit_entry::AuditEntries,
};

use super::fixture::{Place, apply, batch_of, config, counts, entry};
use crate::support;

/// Polls a future so many times, then gives it up.
pub(super) struct GivenUpAfter<F> {
    polls: usize,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for GivenUpAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        let polled = self.future.as_mut().poll(cx);
        match polled {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Given up now rather than when it would go on: right after what it was waiting for was sent.
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

pub(super) fn given_up_after<F: Future>(polls: usize, future: F) -> GivenUpAfter<F> {
    GivenUpAfter { polls, future: Box::pin(future) }
}

/// Gives a delivery up after so many polls, and makes it again; whether it ended before that.
async fn deliver_given_up(place: &mut Place, batch: &Batch<AuditEntry>, polls: usize) -> (Settled, bool) {
    match given_up_after(polls, place.sink.deliver(batch)).await {
        Some(settled) => (settled.expect("delivered"), true),
        None => (place.sink.deliver(batch).await.expect("delivered again"), false),
    }
}

/// Each batch is given up at one more await than the last, then delivered: every record counts once.
#[tokio::test]
async fn a_delivery_given_up_at_any_await_can_be_made_again() {
    // Few rows take INSERT, many take COPY, old ones are recognised.
    for (fresh, old) in [(3_u64, 0_u64), (80, 0), (80, 10)] {
        let mut place = Place::new().await;
        let (mut next, mut duplicates, mut polls) = (0, 0, 1);
        loop {
            let claim = place.claim().await;
            let known = if next == 0 { 0 } else { old };
            let batch = batch_of(&claim, apply((next - known..next + fresh).map(entry)));
            let (settled, complete) = deliver_given_up(&mut place, &batch, polls).await;
            let (fresh, known) = (i64::try_from(fresh).expect("small"), i64::try_from(known).expect("small"));
            assert_eq!(counts(&settled), [fresh, known, 0, 0], "given up after {polls} polls");
            duplicates += known;
            next += u64::try_from(fresh).expect("positive");
            let rows = i64::try_from(next).expect("small");
            assert_eq!(place.rows().await, (rows, rows), "given up after {polls} polls");
            assert_eq!(place.stored().await, (rows + duplicates, [rows, duplicates, 0, 0]));
            // From a fresh connection on, as after most of these; else the awaits of connecting are never met.
            if polls % 2 == 0 {
                place.sink = super::sink(&place.url, "one");
            }
            if complete && polls > 5 {
                break;
            }
            polls += 1;
            assert!(polls < 500, "a delivery ends");
        }
        assert!(polls > 5, "there are awaits to give up at: {polls}");
        // The server rolls back once it has seen a connection close; this ends only when no transaction is left open.
        while place.number(LEFT_OPEN).await > 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// As above, with records to park: a parked record is parked once, its copy leaves once, and neither is applied.
#[tokio::test]
async fn a_parking_given_up_at_any_await_can_be_made_again() {
    let mut place = Place::new().await;
    let park = || Settlement::Park { reason: ParkReason::Undecodable, detail: "no event".into() };
    let (mut rounds, mut polls) = (0_i64, 1);
    loop {
        let claim = place.claim().await;
        let id = u64::try_from(rounds).expect("positive");
        let settlements = vec![park(), Settlement::Apply(vec![entry(id)]), park()];
        let batch = batch_of(&claim, settlements);
        let (settled, complete) = deliver_given_up(&mut place, &batch, polls).await;
        rounds += 1;
        assert_eq!(counts(&settled), [1, 0, 0, 2], "given up after {polls} polls");
        assert_eq!(place.rows().await, (rounds, rounds), "given up after {polls} polls");
        assert_eq!(place.stored().await, (3 * rounds, [rounds, 0, 0, 2 * rounds]));
        for (sql, expected) in [
            ("SELECT count(*) FROM parked_record WHERE status = 'parked'", 2 * rounds),
            ("SELECT count(*) FROM outbox", 2 * rounds),
            ("SELECT count(DISTINCT number) FROM outbox", 2 * rounds),
            ("SELECT outbox_next FROM stage_position", 2 * rounds),
            (PARKED_AND_APPLIED, 0),
        ] {
            assert_eq!(place.number(sql).await, expected, "{sql} given up after {polls} polls");
        }
        if polls % 2 == 0 {
            place.sink = super::sink(&place.url, "one");
        }
        if complete && polls > 5 {
            break;
        }
        polls += 1;
        assert!(polls < 500, "a delivery ends");
    }
}

const PARKED_AND_APPLIED: &str = "SELECT count(*) FROM parked_record
    JOIN audit_entry USING (topic, partition, record_offset)";

const LEFT_OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND application_name LIKE 'weir-%' AND state LIKE 'idle in transaction%'";

/// The server rolls back what a dropped call had written. The next batch appends nothing, and confirms none of it.
#[tokio::test]
async fn entries_of_a_delivery_given_up_reach_no_follower_of_the_log() {
    let mut place = Place::new().await;
    let (sender, mut handed) = handover();
    let model = AuditEntries::new(support::subject_secret()).expect("zstd").handing_over(Some(sender));
    place.sink = PostgresSink::new(config(&place.url, "one"), model);
    for polls in 1.. {
        let first = u64::try_from(polls).expect("small") * 80;
        let claim = place.claim().await;
        let batch = batch_of(&claim, apply((first..first + 80).map(entry)));
        let complete = given_up_after(polls, place.sink.deliver(&batch)).await.is_some();
        let park = Settlement::Park { reason: ParkReason::Undecodable, detail: "no event".into() };
        assert_eq!(place.deliver(vec![park]).await, [0, 0, 0, 1]);
        let size = u64::try_from(place.rows().await.0).expect("positive");
        while let Some(appended) = handed.try_recv() {
            let beyond = appended.entries.iter().any(|entry| entry.index >= size);
            assert!(!beyond, "given up after {polls} polls, the log has {size} entries");
        }
        if complete {
            assert!(polls > 5, "there are awaits to give up at: {polls}");
            break;
        }
    }
}

#[tokio::test]
async fn a_claim_given_up_at_any_await_can_be_made_again() {
    let mut place = Place::new().await;
    let request = sinks::ClaimRequest { partition: super::partition(0), low: 0, partitions: None };
    let mut epoch = 0;
    for polls in 1.. {
        let complete =
            given_up_after(polls, place.sink.claim(std::slice::from_ref(&request))).await.is_some();
        let claim = place.claim().await;
        assert!(claim.owner_epoch > epoch, "an epoch never falls, and is nobody else's");
        epoch = claim.owner_epoch;
        if complete {
            break;
        }
        place.sink = super::sink(&place.url, "one");
    }
}
