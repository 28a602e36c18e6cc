//! The API keys that are valid now, read from the database again and again.

use std::{sync::Arc, time::Duration};

use schemas::access::{KeyRing, Pepper};
use sinks::{api_keys, postgres::operator_pool};
use tokio::sync::watch::{self, Receiver};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A revoked key stops working within this time and a query; a new one begins to.
const INTERVAL: Duration = Duration::from_secs(2);

/// Follows the stored keys. `None` until they were read once; while the database is away the last ones stay.
pub fn watch(
    database_url: &str,
    pepper: Pepper,
    shutdown: CancellationToken,
) -> Receiver<Option<Arc<KeyRing>>> {
    let (ring, followed) = watch::channel(None);
    let pool = operator_pool(database_url, 1);
    tokio::spawn(async move {
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => return warn!(%error, "the database's URL cannot be used to read API keys"),
        };
        while !shutdown.is_cancelled() {
            match api_keys::load_all(&pool).await {
                Ok(keys) => drop(ring.send_replace(Some(Arc::new(KeyRing::new(pepper.clone(), keys))))),
                Err(error) => warn!(%error, "API keys cannot be read, the last ones stay valid"),
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    });
    followed
}
