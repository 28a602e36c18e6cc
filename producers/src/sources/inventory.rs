//! Rows of cloud inventories to observed configurations: Azure Resource Graph and Google's Cloud Asset Inventory.
//!
//! A row is one event, and travels along whole. The compliance processor reads the resource's arguments from it.

use schemas::{
    Event, EventId, TenantId, Timestamp, canonical_json,
    envelope::native_format,
    events::{Infrastructure, InfrastructureKind, Outcome, Resource},
};

use super::{
    Around,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord},
};

/// Most tags of a resource.
pub(super) const MAX_TAGS: usize = 200;

/// Maps a row of either inventory; `None` if the record is neither.
pub(super) fn map(
    tenant: &TenantId,
    text: &str,
    record: &Fields<'_>,
    around: &Around,
) -> Option<Result<Mapped, NotARecord>> {
    // A feed of changes carries the asset.
    if let Some(asset) = record.raw("asset").filter(|asset| asset.get().starts_with('{')) {
        let is_gone = record.flag("deleted") == Some(true);
        let carried = Fields::parse(asset.get()).ok()?;
        return asset_row(tenant, text, &carried, is_gone, around);
    }
    if record.has("assetType") || record.has("asset_type") {
        return asset_row(tenant, text, record, false, around);
    }
    let id = record.plain_text("id").filter(|id| is_azure(id))?;
    record.has("type").then(|| azure_row(tenant, text, record, &id, around))
}

fn is_azure(id: &str) -> bool {
    let begins =
        |prefix: &str| id.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    begins("/subscriptions/") || begins("/providers/")
}

fn azure_row(
    tenant: &TenantId,
    text: &str,
    record: &Fields<'_>,
    id: &str,
    around: &Around,
) -> Result<Mapped, NotARecord> {
    if !record.has("properties") {
        let why = "it is a list of Azure's resources without their `properties`: export with Azure Resource Graph \
                   (`az graph query -q 'resources | extend observedAt = now()'`)";
        return Err(NotARecord::OtherDocument(why.into()));
    }
    let resource = Resource {
        cloud: Some("azure".into()),
        account: record.plain_text("subscriptionId").or_else(|| around.account.clone()),
        region: record.plain_text("location"),
        kind: record.plain_text("type"),
        name: record.plain_text("name"),
        project: record.plain_text("resourceGroup"),
        id: id.to_ascii_lowercase(),
        tags: record.inner("tags").map(|tags| tags.pairs(MAX_TAGS)).unwrap_or_default(),
        ..Resource::default()
    };
    let observed = Observed {
        format: native_format::AZURE_RESOURCE,
        source: "azure:resource-graph",
        at: record.instant("observedAt").or(around.time),
        is_gone: false,
        resource,
    };
    Ok(observed.mapped(tenant, text, record))
}

fn asset_row(
    tenant: &TenantId,
    text: &str,
    asset: &Fields<'_>,
    is_gone: bool,
    around: &Around,
) -> Option<Result<Mapped, NotARecord>> {
    let kind = asset.first_text(&["assetType", "asset_type"])?;
    let Some(name) = asset.plain_text("name") else {
        let why = "it is not an asset of Google Cloud: it has no name";
        return Some(Err(NotARecord::OtherDocument(why.into())));
    };
    let shown = asset.inner("resource");
    if shown.is_none() && !is_gone {
        let why = "the asset has no `resource`: export with content type `resource`";
        return Some(Err(NotARecord::OtherDocument(why.into())));
    }
    let id = asset_id(&name);
    let resource = Resource {
        cloud: Some("gcp".into()),
        account: project_of(&id).or_else(|| around.account.clone()),
        region: shown.and_then(|shown| shown.plain_text("location")),
        kind: Some(kind),
        name: id.rsplit('/').next().map(Into::into),
        id,
        ..Resource::default()
    };
    let observed = Observed {
        format: native_format::GCP_ASSET,
        source: "gcp:asset-inventory",
        at: asset.instant("updateTime").or_else(|| asset.instant("update_time")).or(around.time),
        is_gone,
        resource,
    };
    Some(Ok(observed.mapped(tenant, text, asset)))
}

/// The name as audit entries write it: without the service, and below `projects/_` for a bucket.
fn asset_id(name: &str) -> String {
    let rest = name.strip_prefix("//").and_then(|rest| rest.split_once('/'));
    match rest {
        Some(("storage.googleapis.com", bucket)) => format!("projects/_/buckets/{bucket}"),
        Some((_, path)) => path.to_owned(),
        None => name.to_owned(),
    }
}

fn project_of(id: &str) -> Option<String> {
    let project = id.strip_prefix("projects/")?.split('/').next()?;
    (project != "_").then(|| project.to_owned())
}

/// One row of an inventory.
pub(super) struct Observed {
    pub(super) format: &'static str,
    pub(super) source: &'static str,
    pub(super) at: Option<Timestamp>,
    pub(super) is_gone: bool,
    pub(super) resource: Resource,
}

impl Observed {
    /// The row as an event.
    pub(super) fn mapped(self, tenant: &TenantId, text: &str, record: &Fields<'_>) -> Mapped {
        let kind = if self.is_gone {
            InfrastructureKind::Deleted
        } else {
            InfrastructureKind::ConfigurationObserved
        };
        let draft = Draft {
            format: self.format,
            source: self.source.into(),
            // The same row stands in every export until the resource changes.
            id: Some(EventId::derived(tenant, self.format, &canonical_json(text))),
            occurred_at: self.at,
            correlation_id: None,
            subject: Some(self.resource.id.clone()),
            fields_empty: record.left_empty(),
            event: Event::Infrastructure(Infrastructure {
                kind,
                resource: self.resource,
                actor: None,
                outcome: Outcome::default(),
                change_id: None,
                quantity: None,
                unit: None,
                configuration: None,
            }),
        };
        draft.finish(tenant, text)
    }
}
