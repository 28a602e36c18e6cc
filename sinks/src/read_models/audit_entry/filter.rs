//! Filters on entries of the audit log, and their conditions in SQL.

use schemas::{Timestamp, events::OutcomeStatus};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use crate::read_models::parameters::{instant, text};

/// Filter on entries; an absent parameter matches everything. Texts match whole and exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct AuditFilter {
    /// Id or name of who acted, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub actor: Option<String>,
    /// The action in the source's words, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub action: Option<String>,
    /// Id of one of the resources, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub resource: Option<String>,
    /// Project of the first resource or of the delivery, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub project: Option<String>,
    /// Outcome of the event.
    #[param(inline)]
    pub outcome: Option<AuditOutcome>,
    /// The actor's address, as the source wrote it, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub address: Option<String>,
    /// CloudEvents `source`, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub source: Option<String>,
    /// The event's kind, for example `SignedIn`.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub kind: Option<String>,
    /// Correlation id, whole.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub correlation: Option<String>,
    /// Earliest instant (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// First instant that is too late (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
    /// Found anywhere in actor, action, resource, project, source or outcome code; case is ignored, no
    /// character is special.
    #[serde(deserialize_with = "text")]
    #[param(min_length = 1, max_length = 1024, pattern = r"^[^\u0000]*$")]
    pub text: Option<String>,
}

impl AuditFilter {
    /// Whether anything but the time is asked for.
    pub(super) fn is_selective(&self) -> bool {
        let time_alone = Self { from: self.from, to: self.to, ..Self::default() };
        *self != time_alone
    }
}

/// Outcome of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was done.
    Success,
    /// It was denied, or it failed.
    Failure,
    /// The source does not tell.
    Unknown,
}

impl AuditOutcome {
    /// The outcome in rows: [`OutcomeStatus::name`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => OutcomeStatus::Success.name(),
            Self::Failure => OutcomeStatus::Failure.name(),
            Self::Unknown => OutcomeStatus::Unknown.name(),
        }
    }
}

/// Adds the conditions. Only constants are pushed as SQL; everything that a reader gave is bound.
pub(super) fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &AuditFilter) {
    if let Some(actor) = &filter.actor {
        query.push(" AND (actor = ").push_bind(actor.clone());
        query.push(" OR actor_name = ").push_bind(actor.clone()).push(")");
    }
    if let Some(resource) = &filter.resource {
        query.push(" AND (resource = ").push_bind(resource.clone());
        query.push(" OR ").push_bind(resource.clone()).push(" = ANY (other_resources))");
    }
    let equal = [
        (" AND action = ", &filter.action),
        (" AND project = ", &filter.project),
        (" AND actor_ip = ", &filter.address),
        (" AND source = ", &filter.source),
        (" AND kind = ", &filter.kind),
        (" AND correlation_id = ", &filter.correlation),
    ];
    for (condition, value) in equal {
        if let Some(value) = value {
            query.push(condition).push_bind(value.clone());
        }
    }
    if let Some(outcome) = filter.outcome {
        query.push(" AND outcome = ").push_bind(outcome.name());
    }
    if let Some(from) = filter.from {
        query.push(" AND occurred_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        query.push(" AND occurred_at < ").push_bind(to);
    }
    if let Some(text) = &filter.text {
        query.push(
            " AND concat_ws(chr(10), actor, actor_name, action, resource, array_to_string(other_resources, chr(10)), \
             project, source, outcome_code) ILIKE ",
        );
        query.push_bind(format!("%{}%", like_literal(text))).push(" ESCAPE '\\'");
    }
}

/// The text as a LIKE pattern that matches just itself.
pub(super) fn like_literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '%' | '_') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_just_the_text() {
        assert_eq!(like_literal(r"100%_\"), r"100\%\_\\");
        assert_eq!(like_literal("plain"), "plain");
    }
}
