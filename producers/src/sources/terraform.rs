//! Terraform plans (`terraform show -json`, format versions 0.1 to 1.x) to a proposed change.
//!
//! A plan is one event, and travels along whole: what it would change is for the change review to read.

use schemas::{
    Event, TenantId, canonical_json,
    envelope::native_format,
    events::{Infrastructure, InfrastructureKind, Outcome, Resource},
};

use super::{
    fields::Fields,
    mapped::{Draft, Mapped, NotAnObject},
};

/// Members that tell a plan from other objects.
pub(super) const NAMES: &[&str] = &["resource_changes", "planned_values", "terraform_version"];
/// Most changes that are counted; the plan's size bounds them as well.
const MAX_CHANGES: usize = 100_000;

/// Maps one plan.
///
/// A plan names no workspace: its resource is the plan itself, by a digest of its content.
pub fn map(tenant: &TenantId, text: &str) -> Result<Mapped, NotAnObject> {
    let plan = Fields::parse(text).map_err(NotAnObject)?;
    let id = schemas::EventId::derived(tenant, native_format::TERRAFORM_PLAN, &canonical_json(text));
    let changes = plan.objects("resource_changes", MAX_CHANGES);
    let event = Infrastructure {
        kind: InfrastructureKind::ChangeProposed,
        resource: Resource {
            kind: Some("terraform_plan".into()),
            id: format!("terraform-plan/{id}"),
            ..Resource::default()
        },
        actor: None,
        outcome: Outcome::default(),
        change_id: Some(id.to_string()),
        quantity: Some(changes.iter().filter(|change| changes_something(change)).count().to_string()),
        unit: Some("resource_changes".into()),
        configuration: None,
    };
    let draft = Draft {
        format: native_format::TERRAFORM_PLAN,
        source: "terraform:plan".into(),
        id: None,
        occurred_at: plan.instant("timestamp"),
        correlation_id: Some(id.to_string()),
        subject: Some(event.resource.id.clone()),
        fields_empty: plan.left_empty(),
        event: Event::Infrastructure(event),
    };
    Ok(draft.finish(tenant, text))
}

/// Whether a change is one: `no-op` and `read` leave everything as it is.
fn changes_something(change: &Fields<'_>) -> bool {
    let actions = change.object("change").map(|change| change.texts("actions", 2)).unwrap_or_default();
    actions.iter().any(|action| !matches!(action.as_str(), "no-op" | "read"))
}
