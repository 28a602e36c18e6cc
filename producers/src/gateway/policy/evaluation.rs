//! The decision on a document: from the cache, or by an evaluation on a thread beside the event loop.

use std::sync::Arc;

use edge::api_error::ApiError;
use policies::Surroundings;
use schemas::{TenantId, Timestamp, problem::ProblemKind};
use tokio::time::{Instant, timeout_at};

use super::{
    cache::{Cache, Key},
    decided::{Decided, Waiving},
    question::Question,
};
use crate::gateway::{App, shares::Holder, turns::Turns};

/// Maximum number of documents evaluated at once, on threads beside the event loop.
const AT_ONCE: usize = 8;
/// Maximum number of evaluations (policy and resource) of one document.
const MAX_EVALUATIONS: usize = 20_000;
/// The workspace of a plan that names none, as in the posture.
const WORKSPACE: &str = "terraform";

/// State of policy evaluation.
#[derive(Debug)]
pub(in crate::gateway) struct Decisions {
    known: Cache,
    turns: Turns,
}

impl Default for Decisions {
    fn default() -> Self {
        Self { known: Cache::default(), turns: Turns::new(AT_ONCE) }
    }
}

/// The decision on a document, and whether it comes from the cache.
pub(super) async fn decide(
    app: &Arc<App>,
    (tenant, question): (&TenantId, &Arc<Question>),
    at: Timestamp,
    deadline: Instant,
) -> Result<(Arc<Decided>, bool), ApiError> {
    let held = app.config.policies.current();
    let granted = Arc::clone(&app.config.waivers.borrow());
    let key = Key { document: question.sha256, waivers: granted.of(tenant).map(|own| *own.version()) };
    let known = app.decisions.known.get(tenant, &key, held.set().hash(), Instant::now());
    if let Some(decided) = known {
        return Ok((decided, true));
    }
    let overloaded = |_| ApiError::new(ProblemKind::Overloaded, "too many documents are being evaluated");
    let holder = Holder::Tenant(tenant.clone());
    let turn = timeout_at(deadline, app.decisions.turns.take(&holder)).await.map_err(overloaded)?;
    let (asked, of) = (Arc::clone(question), tenant.clone());
    let judging = tokio::task::spawn_blocking(move || {
        // Held here, not with the request: work goes on when the client is gone.
        let _turn = turn;
        let document = asked.document()?;
        let surroundings = Surroundings {
            now_ns: at.timestamp_nanos_opt(),
            max_evaluations: Some(MAX_EVALUATIONS),
            ..Surroundings::default()
        };
        let evaluation = held.evaluate(&document, &surroundings);
        if evaluation.left_out > 0 {
            let detail = format!(
                "the document needs {} evaluations of policies more than the {MAX_EVALUATIONS} that one may take; \
                 send its resources in parts, or judge it with `weir policy evaluate`",
                evaluation.left_out
            );
            return Err(ApiError::new(ProblemKind::BodyTooLarge, detail));
        }
        let workspace = asked.workspace.as_deref().unwrap_or(WORKSPACE);
        let waiving = Waiving { waivers: granted.of(&of), workspace, at };
        Ok(Decided::new(&document, &evaluation, &held, &waiving))
    });
    let failed = |_| Err(ApiError::new(ProblemKind::Internal, "the document could not be evaluated"));
    let decided = Arc::new(judging.await.unwrap_or_else(failed)?);
    if decided.is_settled() {
        app.decisions.known.put(tenant, key, &decided, Instant::now());
    }
    Ok((decided, false))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::Utc;
    use futures_util::future::{self, BoxFuture, FutureExt};
    use policies::{Config, InForce, PolicySet};
    use schemas::{Envelope, TraceContext, access::KeyRing};
    use tokio::sync::watch;

    use super::*;
    use crate::{
        gateway::{Delivery, GatewayConfig, Publisher},
        kafka::{Health, SendError},
    };

    /// Takes no event.
    struct Full;

    impl Publisher for Full {
        fn publish(&self, _: &Envelope, _: Option<&TraceContext>) -> Result<Delivery, SendError> {
            Err(SendError::QueueFull)
        }

        fn health(&self) -> Health {
            Health::Ready
        }

        fn flush(&self, _: Duration) -> BoxFuture<'_, usize> {
            future::ready(0).boxed()
        }
    }

    #[tokio::test]
    async fn documents_of_one_tenant_leave_turns_for_those_of_others() {
        let policies = InForce::new(PolicySet::load([], Config::default()));
        let config = GatewayConfig { policies, ..GatewayConfig::default() };
        let keys = watch::channel(None::<Arc<KeyRing>>).1;
        let app = Arc::new(App::new(config, Arc::new(Full), keys.into()));
        let [loud, quiet] = ["loud", "quiet"].map(|name| TenantId::new(name).expect("a tenant"));
        let mut held = Vec::new();
        while let Some(turn) = app.decisions.turns.take(&Holder::Tenant(loud.clone())).now_or_never() {
            held.push(turn);
        }
        assert!(held.len() < AT_ONCE);
        let question = Arc::new(Question::read(br#"{"action": "DeleteBucket"}"#).expect("read"));
        let ask = async |tenant: &TenantId, deadline: Instant| {
            let decided = decide(&app, (tenant, &question), Utc::now(), deadline).await;
            decided.map(|(_, cached)| cached).map_err(|refused| refused.problem().status)
        };
        let hanging = Instant::now() + Duration::from_mins(1);
        assert_eq!(ask(&loud, Instant::now()).await, Err(503), "its own turns are taken");
        assert_eq!(ask(&quiet, hanging).await, Ok(false));
        assert_eq!(ask(&quiet, hanging).await, Ok(true));
        drop(held);
        assert_eq!(ask(&loud, hanging).await, Ok(false), "what others asked is not told");
    }
}
