//! Replicas of a service count each other.

use std::{num::NonZeroU32, time::Duration};

use sqlx::{Connection as _, PgConnection};
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;
use topology::runtime::replicas;

use crate::support;

async fn comes_to(count: u32, watched: &mut Receiver<NonZeroU32>) {
    let reached = watched.wait_for(|known| known.get() == count);
    let reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
    reached.expect("within 30 s").expect("it is followed");
}

#[tokio::test]
async fn replicas_count_those_of_their_service_that_run() {
    let database = support::database().await;
    let stops: Vec<CancellationToken> = (0..4).map(|_| CancellationToken::new()).collect();
    let follow = |service, stop: &CancellationToken| replicas::follow(&database, service, stop.clone());
    let (mut first, first_task) = follow("gateway", &stops[0]);
    let (mut second, second_task) = follow("gateway", &stops[1]);
    let (mut third, _third_task) = follow("gateway", &stops[2]);
    let (mut other, _other_task) = follow("query-api", &stops[3]);
    for watched in [&mut first, &mut second, &mut third] {
        comes_to(3, watched).await;
    }
    comes_to(1, &mut other).await;
    stops[0].cancel();
    first_task.await.expect("it ends");
    comes_to(2, &mut second).await;
    // One that was killed says nothing.
    second_task.abort();
    let mut owner = PgConnection::connect(&database).await.expect("connected");
    let long_ago = "UPDATE service_replica SET seen_at = now() - interval '1 hour' WHERE service = 'gateway'";
    sqlx::query(long_ago).execute(&mut owner).await.expect("written");
    comes_to(1, &mut third).await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM service_replica WHERE service = 'gateway'")
        .fetch_one(&mut owner)
        .await
        .expect("a number");
    assert_eq!(left, 1, "rows of replicas that are gone are deleted");
}
