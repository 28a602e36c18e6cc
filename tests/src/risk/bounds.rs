//! One busy entity costs no more than another: what a batch reads does not grow with what is stored about an entity.

use std::time::Duration;

use schemas::changes::risk::{EntityWeight, RiskChange, SignalLevel};

use super::fixture::{Event, Member, Place, criticality, fact, signal, user};

/// Table and index entries that statements have read of the tables of risk, up to now.
async fn entries_read(place: &mut Place) -> i64 {
    sqlx::query_scalar(
        "SELECT ((SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables
                   WHERE relname ~ '^(risk_|entity_risk|incident)')
                 + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
                     WHERE relname ~ '^(risk_|entity_risk|incident)'))::bigint",
    )
    .fetch_one(&mut place.owner)
    .await
    .expect("statistics")
}

/// Ends a member's session, which reports its statistics by then.
pub(super) async fn ended(place: &mut Place, member: Member) {
    drop(member);
    let others = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    loop {
        let left: i64 = sqlx::query_scalar(others).fetch_one(&mut place.owner).await.expect("sessions");
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Rows that the delivery of one more batch reads.
pub(super) async fn read_by(place: &mut Place, batch: &[Event], expected: [i64; 4]) -> i64 {
    let before = entries_read(place).await;
    let mut member = place.member(0).await;
    assert_eq!(member.deliver(batch).await, expected);
    ended(place, member).await;
    entries_read(place).await - before
}

/// Most rows that 500 facts may read while 4,500 are stored: every row a few times, but not all of them for
/// each fact.
const FEW: i64 = 40 * 500;

#[tokio::test]
async fn a_busy_entity_is_not_read_whole() {
    let mut place = Place::new().await;
    let hot = user("hot");
    let high = |n: u64| {
        let seconds = i64::try_from(n % 3_600).expect("small");
        vec![fact(signal(n, "a", SignalLevel::High, &hot, seconds))]
    };
    let mut member = place.member(0).await;
    for batch in 0..4 {
        member.deliver(&(batch * 1_000..(batch + 1) * 1_000).map(high).collect::<Vec<_>>()).await;
    }
    ended(&mut place, member).await;
    let new: Vec<Event> = (10_000..10_500).map(high).collect();
    let read = read_by(&mut place, &new, [500, 0, 0, 0]).await;
    assert!(read < FEW, "{read} entries for 500 new signals of an entity that has 4,000");
    let read = read_by(&mut place, &new, [0, 500, 0, 0]).await;
    assert!(read < FEW, "{read} entries for 500 signals that are there already");
    assert_eq!(place.hazard("hot").await, 1_309_333, "of one hour, it counts once");
}

#[tokio::test]
async fn of_very_many_decisions_the_newest_count() {
    let mut place = Place::new().await;
    let ada = user("ada");
    let listed = |n: u64, factor: i32| -> Event {
        let RiskChange::Weight(weight) = criticality(n, &ada, factor, i64::try_from(n).expect("small"))
        else {
            panic!("a weight")
        };
        vec![RiskChange::Weight(Box::new(EntityWeight {
            weight_source: format!("watchlist:{n}"),
            ..*weight
        }))]
    };
    let mut member = place.member(0).await;
    member.deliver(&[listed(0, 2000)]).await;
    for batch in 0..10 {
        let of_batch = batch * 1_000 + 1..=(batch + 1) * 1_000;
        member.deliver(&of_batch.map(|n| listed(n, 1000)).collect::<Vec<_>>()).await;
    }
    ended(&mut place, member).await;
    assert!(place.dump("entity_risk").await.is_empty(), "nothing has happened to her yet");
    let one = signal(20_000, "a", SignalLevel::High, &ada, 20_000);
    let read = read_by(&mut place, &[vec![fact(one)]], [1, 0, 0, 0]).await;
    assert!(read < 2_000, "{read} entries for one signal of an entity with 10,001 decisions");
    assert_eq!(place.hazard("ada").await, 1_309_333, "the first decision counts no more");
    member = place.member(1).await;
    member.deliver(&[vec![criticality(30_000, &ada, 2000, 19_999)]]).await;
    assert_eq!(place.hazard("ada").await, 2 * 1_309_333);
}
