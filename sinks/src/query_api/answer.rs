//! From what the read models could not answer to the problem that says so.

use edge::api_error::ApiError;
use schemas::problem::ProblemKind;

use crate::read_models::ReadError;

/// Advice that holds for every route: few of them take all of these.
const TOO_SLOW: &str =
    "ask for less with what this route takes: a narrower filter, a shorter range, a smaller limit";

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let (kind, detail) = match &error {
            // The pool tells a server that is away and one whose connections are all busy in the same way.
            ReadError::Unavailable(_) => {
                (ProblemKind::DatabaseUnavailable, "it is away, or all its connections are busy; try again")
            }
            ReadError::TooSlow => (ProblemKind::QueryTooSlow, TOO_SLOW),
            ReadError::TooMuch(instead) => (ProblemKind::QueryTooSlow, *instead),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_too_large_is_told_what_to_ask_instead() {
        let later = "ask for a later as_of";
        for (error, detail) in [(ReadError::TooSlow, TOO_SLOW), (ReadError::TooMuch(later), later)] {
            let error = ApiError::from(error);
            assert_eq!(error.problem().slug(), "query-too-slow");
            assert_eq!(error.problem().detail, detail);
        }
    }
}
