//! Health and metrics of a process that runs stages, on a listener of its own.

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use edge::{
    Listener, RenderMetrics,
    head::{self, request_id},
};
use tokio_util::sync::CancellationToken;

use topology::runtime::Health;

/// Answers `/livez`, `/startupz`, `/readyz` and `/metrics` until told to stop.
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
    Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/startupz", get(ready.clone()))
        .route("/readyz", get(ready))
        .route("/metrics", get(move || async move { metrics.answer() }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is no such path") })
        .layer(middleware::from_fn(stamp))
}

/// What every answer carries.
async fn stamp(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let mut response = next.run(request).await;
    head::stamp(response.headers_mut(), &id);
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use edge::head::{ALWAYS, REQUEST_ID};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn every_answer_carries_the_security_headers() {
        let router = router(Health::default(), RenderMetrics::new(|| "up 1\n".into()));
        for (path, status) in [("/livez", 200), ("/readyz", 503), ("/metrics", 200), ("/nowhere", 404)] {
            let request =
                Request::get(path).header(REQUEST_ID, "Job-42").body(Body::empty()).expect("a request");
            let answer = router.clone().oneshot(request).await.expect("infallible");
            assert_eq!(answer.status().as_u16(), status, "{path}");
            assert_eq!(answer.headers()[REQUEST_ID], "Job-42", "{path}");
            for (name, value) in ALWAYS {
                assert_eq!(answer.headers()[&name], value, "{path}");
            }
        }
    }
}
