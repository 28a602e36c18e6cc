//! The limits of single tenants, read from the database again and again, and what tenants use, written there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use sinks::{
    postgres::{PgPool, service_pool},
    tenants::{self, Meter, Tenants},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A limit that is set holds within this time and a query.
const INTERVAL: Duration = Duration::from_secs(2);
/// Interval at which usage is stored.
const USE_INTERVAL: Duration = Duration::from_secs(5);
/// Interval at which old usage is deleted.
const FORGET_INTERVAL: Duration = Duration::from_mins(10);

/// Follows the limits and writes use down until the shutdown, and once more then. While the database is away the last
/// limits hold and use is counted on.
pub fn follow(database_url: &str, shutdown: CancellationToken) -> (Tenants, JoinHandle<()>) {
    let (limits, followed) = watch::channel(Arc::default());
    let tenants = Tenants { limits: followed, ..Tenants::default() };
    let (pool, meter) = (service_pool(database_url, 1), Arc::clone(&tenants.meter));
    let task = tokio::spawn(async move {
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => return warn!(%error, "the database's URL cannot be used to read tenants' limits"),
        };
        let began = Instant::now();
        let (mut written, mut forgot) = (began, began.checked_sub(FORGET_INTERVAL).unwrap_or(began));
        while !shutdown.is_cancelled() {
            match tenants::limits(&pool).await {
                Ok(table) => {
                    limits.send_if_modified(|known| {
                        let changed = **known != table;
                        if changed {
                            *known = Arc::new(table);
                        }
                        changed
                    });
                }
                Err(error) => warn!(%error, "cannot read tenants' limits; the last known ones stay in force"),
            }
            if written.elapsed() >= USE_INTERVAL {
                written = Instant::now();
                write_use(&pool, &meter).await;
            }
            if forgot.elapsed() >= FORGET_INTERVAL {
                forgot = Instant::now();
                if let Err(error) = tenants::forget_use(&pool, Utc::now()).await {
                    warn!(%error, "cannot delete old usage of tenants; will retry");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
        write_use(&pool, &meter).await;
    });
    (tenants, task)
}

async fn write_use(pool: &PgPool, meter: &Meter) {
    let counts = meter.take();
    if counts.is_empty() {
        return;
    }
    if let Err(error) = tenants::add_use(pool, &counts, Utc::now()).await {
        warn!(%error, "cannot store tenants' usage; will retry");
        meter.give_back(counts);
    }
}
