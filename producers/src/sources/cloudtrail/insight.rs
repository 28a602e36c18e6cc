//! CloudTrail Insights: the unusual call, and the identity that made most of the calls.

use schemas::events::{Activity, ActivityKind, Actor, ActorKind, Outcome, OutcomeStatus};

use super::resources;
use crate::sources::fields::Fields;

/// The unusual call is the action; the insight is the outcome: `Insight ApiErrorRateInsight: Start`.
pub(super) fn activity_of(record: &Fields<'_>, insight: &Fields<'_>, account: Option<String>) -> Activity {
    let code = insight.plain_text("errorCode");
    let kind = insight.plain_text("insightType").unwrap_or_else(|| "Insight".into());
    let state = insight.plain_text("state").unwrap_or_else(|| "Start".into());
    let denied =
        code.as_deref().is_some_and(|code| code.contains("AccessDenied") || code.contains("Unauthorized"));
    Activity {
        kind: if denied { ActivityKind::AccessDenied } else { ActivityKind::ApiCalled },
        action: insight.text("eventName").unwrap_or_else(|| "unknown".into()),
        service: insight.text("eventSource"),
        actor: actor_of(insight),
        resources: resources::resources_of(record, account),
        outcome: Outcome {
            status: if code.is_some() { OutcomeStatus::Failure } else { OutcomeStatus::Unknown },
            code: Some(code.unwrap_or_else(|| kind.clone())),
            message: Some(format!("CloudTrail Insight {kind}: {state}")),
        },
        read_only: None,
        request_id: record.text("sharedEventID"),
    }
}

/// The identity to which most of the calls are attributed.
fn actor_of(insight: &Fields<'_>) -> Actor {
    let attributed = |name: &str| {
        let context = insight.inner("insightContext")?;
        let attributions = context.quiet_objects("attributions", 10);
        let found = attributions.iter().find(|one| one.plain_text("attribute").as_deref() == Some(name))?;
        found.quiet_objects("insight", 1).first()?.plain_text("value")
    };
    let id = attributed("userIdentityArn").unwrap_or_default();
    let kind = match id.splitn(6, ':').nth(5) {
        Some(path) if path.starts_with("user/") => ActorKind::User,
        Some(path) if path.starts_with("assumed-role/") || path.starts_with("role/") => ActorKind::Role,
        _ => ActorKind::Unknown,
    };
    let name = id.rsplit_once('/').map(|(_, name)| name.to_owned());
    Actor { kind, name, user_agent: attributed("userAgent"), id, ..Actor::default() }
}
