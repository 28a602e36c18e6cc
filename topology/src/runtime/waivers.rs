//! The waivers that hold, read from the database again and again, for whoever decides by policies.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use schemas::changes::waivers::GrantedWaivers;
use sinks::{postgres::service_pool, waivers::ReadWaivers};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A waiver that is granted or revoked counts within this time and a query.
const INTERVAL: Duration = Duration::from_secs(2);

/// Follows the waivers until the shutdown. While the database is away the last ones hold, each until its end.
pub fn follow(
    database_url: &str,
    shutdown: CancellationToken,
) -> (watch::Receiver<Arc<GrantedWaivers>>, JoinHandle<()>) {
    let (waivers, followed) = watch::channel(Arc::default());
    let pool = service_pool(database_url, 1);
    let task = tokio::spawn(async move {
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => return warn!(%error, "the database's URL cannot be used to read waivers"),
        };
        let mut told = None;
        while !shutdown.is_cancelled() {
            match sinks::waivers::granted(&pool, Utc::now()).await {
                Ok(ReadWaivers { waivers: read, left_out }) => {
                    if told != Some(left_out) {
                        tell(left_out);
                        told = Some(left_out);
                    }
                    waivers.send_if_modified(|known| {
                        let changed = **known != read;
                        if changed {
                            *known = Arc::new(read);
                        }
                        changed
                    });
                }
                Err(error) => warn!(%error, "cannot read waivers; the last ones hold until their ends"),
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    });
    (followed, task)
}

/// Tells the number of waivers that decisions do not honour, where it is another one.
fn tell(left_out: i64) {
    let number = u32::try_from(left_out).unwrap_or(u32::MAX);
    metrics::gauge!("weir_policy_waivers_left_out").set(f64::from(number));
    if left_out > 0 {
        warn!(
            left_out,
            "decisions do not honour all granted waivers: a tenant has too many; revoke those that are not needed"
        );
    }
}
