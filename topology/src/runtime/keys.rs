//! The API keys that are valid now, read from the database again and again.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use schemas::access::{KeyRing, Peppers};
use sinks::{
    api_keys,
    postgres::{PgPool, service_pool},
    query_api::{KeyDemand, KeyRingWatch},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// A revoked or narrowed key stops working within this time and a query, on every replica: together less than a second.
const INTERVAL: Duration = Duration::from_millis(800);
/// Minimum time between two reads: unknown keys have them read at once, and anybody can make up such keys.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two reads on demand, in multiples of the time that the last read took.
const READS_APART: u32 = 10;
/// Time for which the last keys stay valid while the table cannot be read. After it every key is refused: a
/// key that was revoked meanwhile must not work for ever.
pub const MAX_AGE: Duration = Duration::from_mins(15);
/// Interval at which the last use of keys is stored.
const USES_INTERVAL: Duration = Duration::from_mins(5);

/// Follows the stored keys. `None` until they were read once, and once they could not be read for `max_age`
/// ([`MAX_AGE`] where people depend on it).
pub fn watch(
    database_url: &str,
    peppers: Peppers,
    max_age: Duration,
    shutdown: CancellationToken,
) -> KeyRingWatch {
    let (ring, followed) = watch::channel(None::<Arc<KeyRing>>);
    let demand = Arc::new(KeyDemand::default());
    let followed = KeyRingWatch::on_demand(followed, Arc::clone(&demand));
    let pool = service_pool(database_url, 1);
    tokio::spawn(async move {
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => return warn!(%error, "the database's URL cannot be used to read API keys"),
        };
        let mut table = Freshness::new(Instant::now());
        let mut uses = Uses { ids: BTreeSet::new(), written: Instant::now() };
        while !shutdown.is_cancelled() {
            let (began, asked) = (Instant::now(), demand.asked());
            let read = api_keys::load_all(&pool).await;
            let now = Instant::now();
            if let Some(last) = &*ring.borrow() {
                uses.ids.extend(last.used().map(str::to_owned));
            }
            match read {
                Ok(keys) => {
                    table = Freshness::new(now);
                    ring.send_replace(Some(Arc::new(KeyRing::new(peppers.clone(), keys))));
                    uses.write(&pool, now).await;
                }
                Err(error) if table.age(now) >= max_age => {
                    if ring.send_replace(None).is_some() {
                        let seconds = max_age.as_secs();
                        error!(%error, seconds, "API keys unreadable for too long; every key is refused until they can be read");
                    }
                }
                Err(error) => {
                    let seconds = max_age.as_secs();
                    warn!(%error, seconds, "cannot read the API keys; the last ones stay valid for so long");
                }
            }
            metrics::gauge!("weir_api_keys_age_seconds").set(table.age(now).as_secs_f64());
            demand.met(asked);
            let soonest = tokio::time::Instant::now() + soonest_after(now - began);
            let wanted = async {
                tokio::time::sleep_until(soonest).await;
                demand.made().await;
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = wanted => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    });
    followed
}

/// Time from one read, which took so long, to the next on demand.
fn soonest_after(took: Duration) -> Duration {
    (took * READS_APART).clamp(SHORTEST_INTERVAL, INTERVAL)
}

/// Time at which the table of keys was last read; before the first read, the time at which reading began.
#[derive(Debug, Clone, Copy)]
struct Freshness(Instant);

impl Freshness {
    fn new(read: Instant) -> Self {
        Self(read)
    }

    fn age(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.0)
    }
}

/// Keys whose last use is not stored yet.
struct Uses {
    ids: BTreeSet<String>,
    written: Instant,
}

impl Uses {
    async fn write(&mut self, pool: &PgPool, now: Instant) {
        if self.ids.is_empty() || now.saturating_duration_since(self.written) < USES_INTERVAL {
            return;
        }
        match api_keys::mark_used(pool, &self.ids, Utc::now()).await {
            Ok(()) => self.ids.clear(),
            Err(error) => warn!(%error, "cannot store the last use of API keys; will retry"),
        }
        self.written = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_on_demand_take_a_tenth_of_the_time_at_most() {
        for (took, soonest) in [(0, 100), (5, 100), (30, 300), (500, 800)] {
            let millis = Duration::from_millis;
            assert_eq!(soonest_after(millis(took)), millis(soonest));
        }
    }
}
