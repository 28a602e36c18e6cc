//! Findings about forecasts and anomalies of costs, looked for again and again while the stage `cost` runs.

use std::time::Duration;

use chrono::Utc;
use sinks::cost_outlook::CostOutlook;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Time between two looks; one at which nothing has changed is a single short query.
const INTERVAL: Duration = Duration::from_mins(1);

/// Looks until shutdown. While the database is away, the next look finds what this one would have.
pub async fn run(database_url: &str, stop: CancellationToken) {
    let mut outlook = match CostOutlook::new(database_url) {
        Ok(outlook) => outlook,
        Err(error) => {
            return warn!(%error, "the database's URL cannot be used to look for findings about costs");
        }
    };
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match outlook.round(Utc::now()).await {
            Ok(0) => {}
            Ok(findings) => info!(findings, "findings about costs are published"),
            Err(error) => warn!(%error, "cannot look for findings about costs; will try again"),
        }
    }
}
