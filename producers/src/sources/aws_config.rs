//! Configuration items of AWS Config to observed configurations: from snapshots, history files and
//! notifications of changes. Rows of the other clouds' inventories come by the same route.
//!
//! An item is one event, and travels along whole. The compliance processor reads the resource's arguments
//! from it.

use schemas::{TenantId, envelope::native_format, events::Resource};

use super::{
    Around, Received, SourceRow,
    fields::Fields,
    inventory::{self, MAX_TAGS, Observed},
    mapped::{Mapped, NotARecord},
};

pub(super) const ROW: SourceRow = SourceRow {
    format: FORMAT,
    slug: "config",
    record: "a configuration item of AWS Config, a resource of Azure or an asset of Google Cloud",
    takes: "snapshots and history files of AWS Config (`configurationItems`), notifications of changes; rows of Azure \
            Resource Graph (`data`); exports and feeds of Google's Cloud Asset Inventory with the content type \
            `resource`; from files also Terraform states as `terraform show -json` writes them, up to 64 MB",
    lists: &["configurationItems", "data"],
    received: Received::WithKey,
    marks: &[
        "configurationItemCaptureTime",
        "configurationItemStatus",
        "configurationItem",
        "configurationStateId",
        "assetType",
        "asset_type",
        "asset.assetType",
        "observedAt",
    ],
    map,
};

const FORMAT: &str = native_format::AWS_CONFIG;

/// Maps one item. Refuses items without a type or an id, which are about no resource.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    // A notification of a change carries the item.
    match record.raw("configurationItem").filter(|item| item.get().starts_with('{')) {
        Some(item) => {
            let carried = Fields::parse(item.get()).map_err(NotARecord::NotAnObject)?;
            map_item(tenant, item.get(), &carried, around)
        }
        None => map_item(tenant, text, &record, around),
    }
}

fn map_item(
    tenant: &TenantId,
    text: &str,
    record: &Fields<'_>,
    around: &Around,
) -> Result<Mapped, NotARecord> {
    if record.has("values") || record.has("planned_values") {
        let what = "this is a Terraform state or plan in the place of a record: import states from files with \
                    `weir import config`, plans with `weir import terraform-plan`";
        return Err(NotARecord::OtherDocument(what.into()));
    }
    if let Some(mapped) = inventory::map(tenant, text, record, around) {
        return mapped;
    }
    let missing =
        |name: &str| NotARecord::OtherDocument(format!("it is not {}: it has no {name}", ROW.record));
    let kind = record.plain_text("resourceType").ok_or_else(|| missing("resourceType"))?;
    let arn = record.plain_text("ARN").filter(|arn| arn.starts_with("arn:"));
    let id =
        arn.or_else(|| record.plain_text("resourceId")).ok_or_else(|| missing("ARN and no resourceId"))?;
    let status = record.plain_text("configurationItemStatus").unwrap_or_default();
    let tags = record.inner("tags").map(|tags| tags.pairs(MAX_TAGS)).unwrap_or_default();
    let region = record.plain_text("awsRegion").filter(|region| region != "global");
    let observed = Observed {
        format: FORMAT,
        source: "aws:config",
        at: record.instant("configurationItemCaptureTime").or(around.time),
        is_gone: status.starts_with("ResourceDeleted"),
        resource: Resource {
            cloud: Some("aws".into()),
            account: record.plain_text("awsAccountId").or_else(|| around.account.clone()),
            region,
            kind: Some(kind),
            name: record.first_text(&["resourceName", "resourceId"]),
            id,
            tags,
            ..Resource::default()
        },
    };
    Ok(observed.mapped(tenant, text, record))
}
