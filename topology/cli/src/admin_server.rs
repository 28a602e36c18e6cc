//! Health and metrics of a process that runs stages, on a listener of its own.

use std::sync::Arc;

use axum::Router;
use edge::{
    Listener, RenderMetrics,
    api_error::ApiError,
    health::{Answer, Probe, Probes},
    service::Service,
};
use schemas::problem::ProblemKind;
use tokio_util::sync::CancellationToken;

use topology::runtime::Health;

/// Serves `/livez`, `/startupz`, `/readyz` and `/metrics` until shutdown.
pub(super) async fn serve(
    listener: Listener,
    health: Health,
    metrics: RenderMetrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    listener.serve(router(health, metrics), stop).await;
    Ok(())
}

fn router(health: Health, metrics: RenderMetrics) -> Router {
    Service::default().around(Probes::new(Arc::new(Stages(health)), Some(metrics)).routes())
}

/// The stages of this process.
struct Stages(Health);

impl Probe for Stages {
    fn started(&self) -> Result<(), ApiError> {
        if self.0.is_ready() {
            return Ok(());
        }
        let detail = format!("waiting for {}", self.0.waiting_for().join(", "));
        Err(ApiError::new(ProblemKind::NotReady, detail))
    }

    fn ready(&self) -> Answer<'_> {
        Box::pin(std::future::ready(self.started()))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use edge::head::{ALWAYS, REQUEST_ID};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn every_answer_carries_the_security_headers() {
        let router = router(Health::default(), RenderMetrics::new(|| "up 1\n".into()));
        for (path, status) in [("/livez", 200), ("/readyz", 503), ("/metrics", 200), ("/nowhere", 404)] {
            let request = Request::get(path)
                .header("host", "localhost")
                .header(REQUEST_ID, "Job-42")
                .body(Body::empty())
                .expect("a request");
            let answer = router.clone().oneshot(request).await.expect("infallible");
            assert_eq!(answer.status().as_u16(), status, "{path}");
            assert_eq!(answer.headers()[REQUEST_ID], "Job-42", "{path}");
            for (name, value) in ALWAYS {
                assert_eq!(answer.headers()[&name], value, "{path}");
            }
        }
    }
}
