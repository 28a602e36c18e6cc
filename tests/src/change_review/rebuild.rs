//! A review follows from the set of facts alone.

use producers::generate::{Generator, GeneratorConfig};
use proptest::{
    prelude::{ProptestConfig, Strategy, any},
    strategy::ValueTree,
    test_runner::TestRunner,
};
use schemas::{Envelope, TenantId, Topic, events::InfrastructureKind};

use super::fixture::{Place, asked, at, decided, events, infrastructure, proposed};
use crate::support::projection::{in_batches, in_partitions, shuffled};

const TABLES: [&str; 2] = ["change_fact", "change_review"];

/// Both tables after the events have come in these batches, each partition by a member of its own, all at once.
async fn built(partitions: Vec<Vec<Vec<Envelope>>>) -> Vec<Vec<String>> {
    Place::built(partitions, &TABLES).await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_partitions_and_batches_change_no_byte() {
    // Some worlds by chance, told by their seed when they fail.
    let mut runner = TestRunner::new(ProptestConfig::default());
    let worlds = (any::<u64>(), 1_usize..5, 1_usize..40);
    for _ in 0..4 {
        let (seed, partitions, size) = worlds.new_tree(&mut runner).expect("a world").current();
        let events = events(seed, 200);
        let expected = built(vec![in_batches(&events, 200)]).await;
        assert_eq!((expected[0].len(), expected[1].len()), (200, 7));
        let other = shuffled(events, seed ^ 1);
        let found = built(in_partitions(&other, partitions, size)).await;
        for (table, (found, expected)) in TABLES.iter().zip(found.iter().zip(&expected)) {
            assert_eq!(found, expected, "{table}: seed {seed}, {partitions} partitions, batches of {size}");
        }
    }
}

#[tokio::test]
async fn what_comes_twice_counts_once() {
    let events = events(2, 100);
    let once = built(vec![in_batches(&events, 30)]).await;
    let mut twice = events.clone();
    twice.extend(shuffled(events.clone(), 1));
    assert_eq!(built(vec![in_batches(&twice, 30)]).await, once);

    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    assert_eq!(member.deliver(&events).await, [100, 0, 0, 0]);
    assert_eq!(member.deliver(&events).await, [0, 100, 0, 0]);
    let forged = [asked(0, "CR-other", "mallory", 0)];
    assert_eq!(member.deliver(&forged).await, [0, 0, 0, 1], "one id, two contents");
    assert_eq!(place.dump("parked_record").await.len(), 1);
}

#[tokio::test]
async fn decisions_may_come_before_what_they_decide() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    member.deliver(&[decided(3, "CR-1", ("bob", "approved"), 30)]).await;
    let row = "SELECT approval || ' ' || provisioning || ' ' || impossible_total FROM change_review";
    let state = async |place: &mut Place| -> String {
        sqlx::query_scalar(row).fetch_one(&mut place.owner).await.expect("a row")
    };
    assert_eq!(state(&mut place).await, "not_requested not_requested 1");
    member.deliver(&[asked(2, "CR-1", "ada", 20)]).await;
    assert_eq!(state(&mut place).await, "requested requested 1");
    member.deliver(&[proposed(1, "CR-1", "aws_db_instance.a", 10)]).await;
    assert_eq!(state(&mut place).await, "decided approved 0", "in time it was in order");
}

#[tokio::test]
async fn a_change_of_many_facts_is_bounded_and_loses_none() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let parts: Vec<Envelope> = (0..2_000_i64)
        .map(|n| {
            let id = u64::try_from(n).expect("positive") + 10;
            infrastructure(id, "CR-1", InfrastructureKind::Provisioned, 100 + n)
        })
        .collect();
    for batch in parts.chunks(500) {
        member.deliver(batch).await;
    }
    member.deliver(&[proposed(1, "CR-1", "null_resource.a", 10)]).await;
    member.deliver(&[infrastructure(2, "CR-1", InfrastructureKind::Completed, 9_000)]).await;
    let row: (String, i64, i32) =
        sqlx::query_as("SELECT provisioning, facts, impossible_total FROM change_review")
            .fetch_one(&mut place.owner)
            .await
            .expect("a row");
    assert_eq!(row, ("completed".to_owned(), 2_002, 0));
}

#[tokio::test]
async fn a_made_up_organisation_proposes_approves_and_applies() {
    let config = GeneratorConfig::ending_at(at(0), 60_000, TenantId::new("acme").expect("valid"));
    let topics = [Topic::Infrastructure, Topic::Governance];
    let events: Vec<Envelope> = Generator::new(1, config)
        .take(60_000)
        .filter(|envelope| topics.contains(&envelope.event.topic()))
        .collect();
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    for batch in events.chunks(1_000) {
        assert_eq!(member.deliver(batch).await[3], 0, "nothing is parked");
    }
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT concat_ws(' ', route, decision, provisioning, impossible_total), count(*) FROM change_review
          WHERE route IS NOT NULL GROUP BY 1",
    )
    .fetch_all(&mut place.owner)
    .await
    .expect("rows");
    let of = |course: &str| rows.iter().filter(|row| row.0.starts_with(course)).map(|row| row.1).sum::<i64>();
    assert!(of("review approved completed 0") > of("") / 2, "most go their way: {rows:?}");
    assert!(of("two_person planned") > 0, "one approval is not two, and what follows is told: {rows:?}");
    assert_eq!(of("auto"), 0, "{rows:?}");
}
