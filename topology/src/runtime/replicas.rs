//! Number of running replicas of a service, by which each grants its part of the callers' rate limits.

use std::{num::NonZeroU32, time::Duration};

use sinks::replicas::Replica;
use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A replica that starts or ends counts within this time and a query; one that was killed within 12 s.
const INTERVAL: Duration = Duration::from_secs(2);

/// Follows the number of replicas of a service until the shutdown. While the database is away the last
/// number holds.
pub fn follow(
    database_url: &str,
    service: &'static str,
    shutdown: CancellationToken,
) -> (watch::Receiver<NonZeroU32>, JoinHandle<()>) {
    let (told, followed) = watch::channel(NonZeroU32::MIN);
    let replica = Replica::new(database_url, service);
    let task = tokio::spawn(async move {
        let replica = match replica {
            Ok(replica) => replica,
            Err(error) => return warn!(%error, "the database's URL cannot be used to count replicas"),
        };
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {}
            }
            match replica.beat().await {
                Ok(count) => {
                    told.send_if_modified(|known| std::mem::replace(known, count) != count);
                }
                Err(error) => warn!(%error, service, "cannot count the replicas; the last number holds"),
            }
        }
        if let Err(error) = replica.end().await {
            warn!(%error, service, "the other replicas notice the end of this one in 10 s");
        }
    });
    (followed, task)
}
