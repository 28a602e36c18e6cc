//! Readiness of the gateway: whether it has started, and can accept events.

use edge::{
    api_error::ApiError,
    health::{Answer, Probe},
};
use schemas::problem::ProblemKind;

use super::App;
use crate::kafka::Health;

impl Probe for App {
    fn started(&self) -> Result<(), ApiError> {
        self.admission.ready()
    }

    fn ready(&self) -> Answer<'_> {
        let problem = |kind, detail: &str| Err(ApiError::new(kind, detail));
        let answer = if self.stopping() {
            problem(ProblemKind::NotReady, "the gateway is stopping")
        } else {
            self.admission.ready().and_then(|()| match self.publisher.health() {
                Health::Ready => Ok(()),
                Health::Unreachable => {
                    problem(ProblemKind::BrokerUnavailable, "no Kafka broker can be reached")
                }
                Health::Fatal(_) => {
                    problem(ProblemKind::NotReady, "the Kafka producer has failed and is being replaced")
                }
            })
        };
        Box::pin(std::future::ready(answer))
    }
}
