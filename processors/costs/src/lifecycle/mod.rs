//! Lifecycle of resources that are billed by the second, from infrastructure events and from API calls of
//! three clouds that create, change and delete such resources.
//!
//! A resource's price is that of its own parts. Disks that are separate resources on a bill are not counted
//! with the machine that they are attached to. Usage-based parts accrue nothing.

mod calls;
mod kinds;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use schemas::{
    changes::cost::{CostSeries, LifecycleKind, ResourceLife, SizeTold, SkuTold, UnitPrice, bounded_id},
    events::{Activity, Infrastructure, InfrastructureKind, OutcomeStatus, Resource},
};
use serde_json::{Map, Value};

use crate::{
    estimate::price_of,
    prices::{PriceList, Unit},
};
use kinds::Kind;

/// Maximum number of resources of one event.
pub const MAX_RESOURCES: usize = 1_000;
/// Maximum size of a configuration, in bytes.
const MAX_CONFIGURATION_BYTES: usize = 256 * 1024;
/// FOCUS `ChargeCategory` of accrued cost.
const USAGE: &str = "Usage";

/// The lifecycle event of an infrastructure event; `None` if it creates, changes or deletes nothing.
pub fn of_infrastructure(event: &Infrastructure, prices: &PriceList) -> Option<ResourceLife> {
    let kind = match event.kind {
        InfrastructureKind::Provisioned => LifecycleKind::Provisioned,
        InfrastructureKind::Scaled => LifecycleKind::Scaled,
        InfrastructureKind::Deleted => LifecycleKind::Deleted,
        _ => return None,
    };
    if event.outcome.status == OutcomeStatus::Failure || event.resource.id.is_empty() {
        return None;
    }
    let configuration = event
        .configuration
        .as_deref()
        .filter(|text| text.len() <= MAX_CONFIGURATION_BYTES)
        .and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok())
        .unwrap_or_default();
    let seen = Seen { resource: &event.resource, kind, configuration };
    let mut life = seen.priced(prices);
    measured(&mut life.told, event.quantity.as_deref(), event.unit.as_deref());
    Some(life)
}

/// The lifecycle events of a call, from its native record.
pub fn of_activity(
    activity: &Activity,
    native: Option<(&str, &str)>,
    prices: &PriceList,
) -> Vec<ResourceLife> {
    if activity.read_only == Some(true) {
        return Vec::new();
    }
    native.map_or_else(Vec::new, |(format, record)| calls::lives(activity, format, record, prices))
}

/// A resource in an event, before it is priced.
struct Seen<'a> {
    resource: &'a Resource,
    kind: LifecycleKind,
    configuration: Map<String, Value>,
}

impl Seen<'_> {
    fn priced(self, prices: &PriceList) -> ResourceLife {
        let known = self.resource.kind.as_deref().and_then(Kind::of);
        let mut told = SizeTold::default();
        if self.kind != LifecycleKind::Deleted {
            match known {
                None => told.unpriced = Some("Weir has no rule for this type".to_owned()),
                Some(known) => known_price(known, &self, prices, &mut told),
            }
        }
        ResourceLife { series: series(self.resource, known, prices), kind: self.kind, told }
    }
}

fn known_price(known: &Kind, seen: &Seen<'_>, prices: &PriceList, told: &mut SizeTold) {
    let mut configuration = known.configuration(&seen.configuration);
    told.count = kinds::take_count(known, &mut configuration);
    told.size_gb = kinds::size(&configuration);
    if !known.tells_price(&configuration) {
        return;
    }
    let region = seen.resource.region.as_deref();
    match price_of(known.terraform, &Value::Object(configuration), region, known.apart, prices) {
        Ok(parts) => match unit_price(&parts) {
            Some((price, size)) => {
                told.price = Some(price);
                told.sku = parts.first().map(|part| part.told(prices));
                told.size_gb = size.or(told.size_gb);
            }
            None => told.unpriced = Some("the amount is too large".to_owned()),
        },
        Err(reason) => told.unpriced = Some(reason),
    }
}

/// A part of a resource with its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PricedPart {
    pub(crate) unit: Unit,
    pub(crate) quantity: Decimal,
    pub(crate) unit_price: Decimal,
    pub(crate) provider: &'static str,
    pub(crate) region: String,
    pub(crate) product: &'static str,
    pub(crate) sku: String,
}

impl PricedPart {
    /// The size behind the price, with those that cost less.
    fn told(&self, prices: &PriceList) -> SkuTold {
        SkuTold {
            provider: self.provider.to_owned(),
            region: self.region.clone(),
            product: self.product.to_owned(),
            sku: self.sku.clone(),
            unit: self.unit.name().to_owned(),
            unit_price: self.unit_price,
            cheaper: prices.cheaper(self.provider, &self.region, self.product, &self.sku),
        }
    }
}

/// The sums of the parts, and the size that the price per gigabyte applies to. `None` on overflow.
fn unit_price(parts: &[PricedPart]) -> Option<(UnitPrice, Option<Decimal>)> {
    let (mut price, mut size) = (UnitPrice::default(), None);
    for part in parts {
        let whole = part.unit_price.checked_mul(part.quantity)?;
        let by_size = size.is_none_or(|size| size == part.quantity);
        let (sum, amount) = match part.unit {
            Unit::GbHour if by_size => (&mut price.gb_hourly, part.unit_price),
            Unit::GbMonth if by_size => (&mut price.gb_monthly, part.unit_price),
            Unit::Hour | Unit::GbHour => (&mut price.hourly, whole),
            Unit::Month | Unit::IopsMonth | Unit::MbpsMonth | Unit::GbMonth => (&mut price.monthly, whole),
        };
        *sum = sum.checked_add(amount)?.normalize();
        if by_size && matches!(part.unit, Unit::GbHour | Unit::GbMonth) {
            size = Some(part.quantity);
        }
    }
    Some((price, size))
}

/// The largest quantity that has a price: its cost is far from the end of decimals.
const MOST: u64 = 1_000_000_000_000;

/// Adds the size that a quantity and its unit state.
fn measured(told: &mut SizeTold, quantity: Option<&str>, unit: Option<&str>) {
    let Some(quantity) = quantity.and_then(|text| text.trim().parse::<Decimal>().ok()) else { return };
    if quantity.is_sign_negative() && !quantity.is_zero() {
        told.unpriced = Some("the quantity is negative".to_owned());
        return;
    }
    if quantity > Decimal::from(MOST) {
        told.unpriced = Some("the quantity is larger than any".to_owned());
        return;
    }
    let unit = unit.map(|unit| unit.trim().to_ascii_lowercase()).unwrap_or_default();
    match unit.as_str() {
        "" | "instance" | "instances" | "node" | "nodes" | "replica" | "replicas" | "machine"
        | "machines" | "server" | "servers" | "broker" | "brokers" | "count" | "units" | "unit" => {
            told.count = Some(quantity);
        }
        "gb" | "gib" | "g" | "gi" | "gigabyte" | "gigabytes" => told.size_gb = Some(quantity),
        "tb" | "tib" | "t" | "ti" | "terabyte" | "terabytes" => {
            told.size_gb = quantity.checked_mul(Decimal::from(1_024));
        }
        "mb" | "mib" => told.size_gb = Some(quantity / Decimal::from(1_024)),
        _ => {
            told.price = None;
            told.unpriced = Some("a quantity in this unit has no price".to_owned());
        }
    }
}

/// The series that a resource accrues to.
fn series(resource: &Resource, known: Option<&Kind>, prices: &PriceList) -> CostSeries {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let cloud = resource.cloud.as_deref().unwrap_or_default().to_ascii_lowercase();
    let provider = match (cloud.as_str(), known.map(|known| known.terraform)) {
        ("aws", _) => "AWS",
        ("azure", _) => "Microsoft",
        ("gcp" | "google", _) => "Google Cloud",
        (_, Some(terraform)) if terraform.starts_with("aws_") => "AWS",
        (_, Some(terraform)) if terraform.starts_with("azurerm_") => "Microsoft",
        (_, Some(_)) => "Google Cloud",
        (other, None) => other,
    };
    let mut tags: BTreeMap<String, String> = resource.tags.clone();
    for (name, value) in [("project", &resource.project), ("environment", &resource.environment)] {
        if let Some(value) = value {
            tags.entry(name.to_owned()).or_insert_with(|| value.clone());
        }
    }
    let (service, category) = known.map_or(("", ""), |known| (known.service, known.category));
    CostSeries {
        provider: provider.to_owned(),
        sub_account: text(&resource.account),
        service: service.to_owned(),
        service_category: category.to_owned(),
        region: text(&resource.region),
        resource: bounded_id(&resource.id),
        charge_category: USAGE.to_owned(),
        currency: prices.currency().to_owned(),
        tags,
        ..CostSeries::default()
    }
}
