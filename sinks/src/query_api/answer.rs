//! From what the read models could not answer to the problem that says so.

use edge::api_error::ApiError;
use schemas::problem::ProblemKind;

use crate::read_models::ReadError;

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let (kind, detail) = match &error {
            // The pool tells a server that is away and one whose connections are all busy in the same way.
            ReadError::Unavailable(_) => {
                (ProblemKind::DatabaseUnavailable, "it is away, or all its connections are busy; try again")
            }
            ReadError::TooSlow => (ProblemKind::QueryTooSlow, "narrow it, for example with from and to"),
            ReadError::Refused(_) | ReadError::Unreadable(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot answer a query");
                return Self::internal();
            }
        };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot answer a query now; the client may retry"
        );
        Self::new(kind, detail)
    }
}
