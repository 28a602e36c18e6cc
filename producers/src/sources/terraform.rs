//! Maps Terraform plans (`terraform show -json`, format versions 0.1 to 1.x) to proposed changes.
//!
//! A plan is one event, and is kept whole: change review evaluates it.

use schemas::{
    Event, TenantId, canonical_json,
    envelope::native_format,
    events::{Infrastructure, InfrastructureKind, Outcome, Resource},
};

use super::{
    Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord},
};
use redaction::redact;

mod redaction;
pub mod state;

pub(super) const ROW: SourceRow = SourceRow {
    format: native_format::TERRAFORM_PLAN,
    slug: "terraform-plan",
    record: "a Terraform plan",
    takes: "Terraform plans as `terraform show -json` writes them, one a file, each up to 1 MB",
    lists: &[],
    received: Received::WithKey,
    // Those of what is taken for a plan by mistake as well: it is refused with what it is.
    marks: &["resource_changes", "planned_values", "terraform_version", "format_version"],
    map: |tenant, text, _| map(tenant, text),
};

/// Maximum number of changes that are counted; the plan's size bounds them as well.
const MAX_CHANGES: usize = 100_000;

/// Maps one plan. Rejects other documents: states, schemas of providers.
///
/// A plan names no workspace: its resource is the plan itself, by a digest of its content. Values that the
/// plan marks as sensitive are removed ([`redact`]).
pub fn map(tenant: &TenantId, text: &str) -> Result<Mapped, NotARecord> {
    let plan = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    if let Some(why) = other_document(&plan) {
        return Err(NotARecord::OtherDocument(why));
    }
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
    Ok(draft.finish(tenant, &redact(text)))
}

/// The reason why an object is not a plan, and what to send instead.
fn other_document(plan: &Fields<'_>) -> Option<String> {
    const INSTEAD: &str =
        "run `terraform show -json PLANFILE` with the file that `terraform plan -out PLANFILE` wrote";
    let is_list = plan.raw("resource_changes").is_some_and(|changes| changes.get().starts_with('['));
    let why = if plan.has("resource_changes") && !is_list {
        "its `resource_changes` is no list"
    } else if is_list || plan.has("planned_values") {
        return None;
    } else if plan.has("values") || plan.has("resources") || plan.has("lineage") {
        "this is a state, not a plan (it has no `planned_values` and no `resource_changes`)"
    } else if plan.has("provider_schemas") {
        "these are schemas of providers, not a plan"
    } else if plan.has("@level") && plan.has("@message") {
        "this is a line of the log that `terraform plan -json` writes, not a plan"
    } else {
        "this is no plan: it has neither `planned_values` nor `resource_changes`"
    };
    Some(format!("{why}; {INSTEAD}"))
}

/// Whether an entry changes something: `no-op` and `read` do not.
fn changes_something(change: &Fields<'_>) -> bool {
    let actions = change.object("change").map(|change| change.texts("actions", 2)).unwrap_or_default();
    actions.iter().any(|action| !matches!(action.as_str(), "no-op" | "read"))
}
