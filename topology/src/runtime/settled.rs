//! Offsets up to which all stages have settled the topics, read for a gateway that paces tenants by them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use producers::gateway::{SettledOffsets, SettledWatch};
use schemas::Topic;
use sinks::{positions, postgres::service_pool};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Interval at which the offsets are read while nobody waits for them.
const INTERVAL: Duration = Duration::from_secs(1);
/// Minimum time between two reads.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(25);
/// Interval at which failures are logged.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// Follows the offsets until shutdown. While the database is away the last ones stay, so that after two seconds nobody is
/// paced by them.
pub fn follow(database_url: &str, shutdown: CancellationToken) -> SettledWatch {
    let (offsets, followed) = watch::channel(Arc::default());
    let wanted = Arc::new(Notify::new());
    let watched = SettledWatch { offsets: followed, wanted: Arc::clone(&wanted) };
    let pool = service_pool(database_url, 1);
    tokio::spawn(async move {
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => return warn!(%error, "the database's URL cannot be used to read positions"),
        };
        let mut warned = None::<Instant>;
        while !shutdown.is_cancelled() {
            match positions::settled(&pool).await {
                Ok(rows) => drop(offsets.send_replace(Arc::new(known(rows)))),
                Err(error) if warned.is_none_or(|at| at.elapsed() > WARN_EVERY) => {
                    warn!(%error, "cannot read what the stages have settled; tenants are not paced meanwhile");
                    warned = Some(Instant::now());
                }
                Err(_) => {}
            }
            let wait = async {
                tokio::time::sleep(SHORTEST_INTERVAL).await;
                wanted.notified().await;
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = wait => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    });
    watched
}

/// Positions in topics of this version; another version may have others.
fn known(rows: Vec<(String, i32, i64)>) -> SettledOffsets {
    let known = |(topic, partition, position): (String, i32, i64)| {
        Topic::from_name(&topic).map(|topic| ((topic, partition), position))
    };
    rows.into_iter().filter_map(known).collect()
}
