//! Common parts of the services' OpenAPI documents.

use http::StatusCode;
use schemas::problem::Problem;
use utoipa::{
    IntoResponses, Modify,
    openapi::{
        OpenApi as Document, RefOr,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// Adds the security scheme `api_key`, which routes name in `security`.
#[derive(Debug, Clone, Copy)]
pub struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, document: &mut Document) {
        let mut scheme =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("weir_<id>_<secret>").build();
        scheme.description = Some(
            "An API key, `weir_<id>_<secret>`, or an issuer's token; also as the password of `Basic`".into(),
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// Describes the responses that their routes leave without a description, which OpenAPI 3.1 requires, by their status.
pub fn describe_responses(document: &mut Document) {
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.put, &mut path.post, &mut path.patch, &mut path.delete];
        for (status, response) in
            operations.into_iter().flatten().flat_map(|operation| &mut operation.responses.responses)
        {
            let RefOr::T(response) = response else { continue };
            if response.description.is_empty() {
                let status = status.parse::<StatusCode>().ok();
                let reason = status.and_then(|status| status.canonical_reason());
                response.description = String::from(reason.unwrap_or("The answer"));
            }
        }
    }
}

/// Error responses of every guarded route: add it to `responses(…)` of a route.
#[derive(Debug, IntoResponses)]
pub enum GuardProblems {
    /// No valid credential.
    #[response(status = 401, description = "no valid credential", content_type = "application/problem+json")]
    Unauthenticated(Problem),
    /// The credential lacks the scope.
    #[response(
        status = 403,
        description = "the credential lacks the scope",
        content_type = "application/problem+json"
    )]
    Forbidden(Problem),
    /// Too many requests.
    #[response(
        status = 429,
        description = "too many requests; see Retry-After and RateLimit",
        content_type = "application/problem+json"
    )]
    RateLimited(Problem),
    /// Credentials cannot be checked, or the service cannot answer now.
    #[response(
        status = 503,
        description = "cannot be answered now; see Retry-After",
        content_type = "application/problem+json"
    )]
    Unavailable(Problem),
}
