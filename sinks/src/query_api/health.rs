//! Health of the query API: whether it has started, and can answer queries.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use edge::{
    api_error::ApiError,
    health::{Answer, Probe},
};
use schemas::problem::ProblemKind;
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::Api;

/// Time limit for the database's answer to a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for which a probe's result is reused, so that callers without credentials cannot put load on the
/// database.
const PROBE_AGE: Duration = Duration::from_secs(1);

/// Costs nothing, and fails where a migration or a grant is missing.
const PROBE: &str = "SELECT FROM audit_entry, stage_position LIMIT 0";

/// Time and result of the last probe of the database.
#[derive(Debug, Default)]
pub(super) struct DatabaseProbe(Mutex<Option<(Instant, bool)>>);

impl DatabaseProbe {
    /// Whether the database answers. One probe at a time, at most one a second.
    async fn answers(&self, pool: &PgPool) -> bool {
        let mut last = self.0.lock().await;
        if let Some((_, answered)) = last.filter(|(at, _)| at.elapsed() < PROBE_AGE) {
            return answered;
        }
        let answer = tokio::time::timeout(PROBE_TIMEOUT, sqlx::query(PROBE).execute(pool)).await;
        let answered = matches!(answer, Ok(Ok(_)));
        *last = Some((Instant::now(), answered));
        answered
    }
}

impl Probe for Api {
    fn started(&self) -> Result<(), ApiError> {
        self.admission.ready()
    }

    fn ready(&self) -> Answer<'_> {
        Box::pin(async {
            if self.stopping.load(Relaxed) {
                return Err(ApiError::new(ProblemKind::NotReady, "the query API is stopping"));
            }
            self.admission.ready()?;
            if !self.probe.answers(&self.own_pool).await {
                return Err(ApiError::new(ProblemKind::NotReady, "the database does not answer"));
            }
            Ok(())
        })
    }
}
