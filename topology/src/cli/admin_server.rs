//! Health and metrics of a process that runs stages, on a listener of its own.

use axum::{Router, http::StatusCode, routing::get};
use sinks::query_api::{self, ServeLimits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::runtime::Health;

/// Answers `/livez`, `/startupz`, `/readyz` and `/metrics` until told to stop.
pub(super) async fn serve(
    listener: TcpListener,
    health: Health,
    render_metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let ready = move || {
        let health = health.clone();
        async move {
            if health.is_ready() {
                (StatusCode::OK, "ready".to_owned())
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}", health.waiting_for().join(", ")))
            }
        }
    };
    let metrics = move || {
        let text = render_metrics();
        async move { ([("content-type", "text/plain; version=0.0.4")], text) }
    };
    let router = Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/startupz", get(ready.clone()))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics));
    query_api::serve(listener, router, ServeLimits::default(), stop.cancelled_owned()).await?;
    Ok(())
}
