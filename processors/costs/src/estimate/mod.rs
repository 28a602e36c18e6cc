//! Estimates: the monthly cost of a Terraform plan's resources, before and after, by a price list.
//!
//! A resource is priced on a side if every part of its configuration has a price. It is unpriced if a part
//! has none, if an argument is known only after apply, or if there is no rule for its type: then it is listed
//! and counts in no amount. For a value that the configuration leaves to the provider its default is assumed,
//! with a note. Usage-based parts (requests, transfer) are not in a plan; they are noted beside the price of
//! the rest. A month has 730 hours.

mod aws;
mod azure;
mod free;
mod gcp;
mod measure;
mod plan;
mod side;
#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::BTreeMap};

use rust_decimal::Decimal;
use schemas::changes::estimate::{
    Coverage, Estimate, PricePart, Pricing, ResourceEstimate, TaggedDelta, UnpricedResource,
};
use serde_json::Value;

use crate::{
    lifecycle::PricedPart,
    prices::{EVERYWHERE, PriceList},
};
use measure::{Bill, Measured};
use plan::{Configuration, Planned, own_region, provider_of};
use side::{Side, Unpriced};

/// Maximum number of resources, and of unpriced resources, that an estimate lists.
const MAX_NAMED: usize = 100;
/// Maximum number of notes for one resource.
const MAX_NOTES: usize = 20;
/// Most tags whose difference an estimate tells, those with the largest.
const MAX_TAGS: usize = 100;
/// Reduction of a resource's confidence for each assumption, and for usage-based parts.
const ASSUMPTION: u8 = 10;
const BY_USE: u8 = 20;
/// Minimum confidence of a priced resource.
const LEAST_CONFIDENCE: u8 = 30;

/// Estimates a plan (`terraform show -json`); `None` if the document is not a plan.
pub fn estimate(plan: &Value, prices: &PriceList) -> Option<Estimate> {
    let configuration = Configuration::of(plan);
    let (planned, unreadable) = plan::resources(plan, &configuration)?;
    let regions = Regions::of(&planned);
    let mut total = Sums::default();
    for resource in &planned {
        total.add(priced(resource, &regions, prices));
    }
    total.unreadable(unreadable);
    Some(total.finish(prices))
}

/// Whether Weir has a billing rule for the type, or it is free.
pub fn knows_type(kind: &str) -> bool {
    let side = Side::new(&Value::Null, &Value::Null);
    free::is_free(kind) || measure(kind, &side).is_some()
}

/// The priced parts of one resource of a Terraform type, without the products listed in `apart`.
///
/// # Errors
/// The reason why it has no price.
pub(crate) fn price_of(
    kind: &str,
    configuration: &Value,
    region: Option<&str>,
    apart: &[&str],
    prices: &PriceList,
) -> Result<Vec<PricedPart>, String> {
    let side = Side::new(configuration, &Value::Null);
    let bill = match measure(kind, &side) {
        None => return Err("Weir has no rule for this type".to_owned()),
        Some(Err(reason)) => return Err(reason),
        Some(Ok(Measured::Free)) => return Ok(Vec::new()),
        Some(Ok(Measured::BySize(bill))) => bill,
    };
    let provider = provider_of(kind).unwrap_or_default();
    let region = own_region(kind, &side).or_else(|| region.map(str::to_owned));
    let region = region.as_deref();
    let with_price = |part: measure::Part| {
        let found = prices.find(provider, region.unwrap_or(EVERYWHERE), part.product, &part.sku);
        let (found_in, price) = found.ok_or_else(|| match region {
            None => "the event does not contain the region".to_owned(),
            Some(_) => without_price(provider, region, part.product, &part.sku, prices),
        })?;
        Ok(PricedPart {
            unit: price.unit,
            quantity: part.quantity,
            unit_price: price.price.normalize(),
            provider,
            region: found_in.to_owned(),
            product: part.product,
            sku: price.sku.clone(),
        })
    };
    bill.parts.into_iter().filter(|part| !apart.contains(&part.product)).map(with_price).collect()
}

fn measure(kind: &str, side: &Side<'_>) -> measure::Answer {
    match provider_of(kind)? {
        "aws" => aws::measure(kind, side),
        "azure" => azure::measure(kind, side),
        _ => gcp::measure(kind, side),
    }
}

/// Regions of a plan, for resources without a region of their own.
struct Regions(BTreeMap<&'static str, String>);

impl Regions {
    /// The region by provider, if all resources that state one state the same.
    fn of(planned: &[Planned<'_>]) -> Self {
        let mut found: BTreeMap<&'static str, Option<String>> = BTreeMap::new();
        for resource in planned {
            let told = resource.configured_region.clone().or_else(|| told_by(resource));
            let (Some(provider), Some(region)) = (provider_of(resource.kind), told) else { continue };
            found
                .entry(provider)
                .and_modify(|known| {
                    if known.as_deref() != Some(&region) {
                        *known = None;
                    }
                })
                .or_insert(Some(region));
        }
        Self(found.into_iter().filter_map(|(provider, region)| Some((provider, region?))).collect())
    }
}

fn told_by(resource: &Planned<'_>) -> Option<String> {
    [&resource.after, &resource.before].into_iter().flatten().find_map(|side| own_region(resource.kind, side))
}

/// One side of a resource.
#[derive(Debug)]
enum SidePrice {
    /// The resource does not exist on this side.
    Absent,
    Free,
    Priced {
        monthly: Decimal,
        parts: Vec<PricePart>,
        notes: Vec<String>,
        confidence: u8,
    },
    Unpriced(Unpriced),
}

impl SidePrice {
    fn monthly(&self) -> Option<Decimal> {
        match self {
            Self::Absent | Self::Free => Some(Decimal::ZERO),
            Self::Priced { monthly, .. } => Some(*monthly),
            Self::Unpriced(_) => None,
        }
    }

    fn confidence(&self) -> u8 {
        match self {
            Self::Absent | Self::Free => 100,
            Self::Priced { confidence, .. } => *confidence,
            Self::Unpriced(_) => 0,
        }
    }
}

/// A resource with the prices of both sides.
struct Both {
    resource: ResourceEstimate,
    before: SidePrice,
    after: SidePrice,
    tags_before: Vec<(String, String)>,
    tags_after: Vec<(String, String)>,
}

fn priced(resource: &Planned<'_>, regions: &Regions, prices: &PriceList) -> Both {
    let one = |side: Option<&Side<'_>>| match side {
        None => SidePrice::Absent,
        Some(side) => side_price(resource, side, regions, prices),
    };
    let tags = |side: Option<&Side<'_>>| side.map(Side::tags).unwrap_or_default();
    let (before, after) = (resource.before.as_ref(), resource.after.as_ref());
    let (tags_before, tags_after) = (tags(before), tags(after));
    let (before, after) = (one(before), one(after));
    let delta = before
        .monthly()
        .zip(after.monthly())
        .and_then(|(before, after)| after.checked_sub(before))
        .map(|delta| delta.normalize());
    let pricing = match (&before, &after) {
        (SidePrice::Unpriced(_), _) | (_, SidePrice::Unpriced(_)) => Pricing::Unpriced,
        (SidePrice::Priced { .. }, _) | (_, SidePrice::Priced { .. }) => Pricing::Priced,
        _ => Pricing::Free,
    };
    let shown = if matches!(after, SidePrice::Absent) { &before } else { &after };
    let (parts, notes) = match shown {
        SidePrice::Priced { parts, notes, .. } => (parts.clone(), notes.clone()),
        _ => (Vec::new(), Vec::new()),
    };
    let resource = ResourceEstimate {
        address: resource.address.clone(),
        kind: resource.kind.to_owned(),
        action: resource.action,
        pricing,
        monthly_before: before.monthly(),
        monthly_after: after.monthly(),
        delta,
        confidence: before.confidence().min(after.confidence()),
        parts,
        notes,
    };
    Both { resource, before, after, tags_before, tags_after }
}

fn side_price(resource: &Planned<'_>, side: &Side<'_>, regions: &Regions, prices: &PriceList) -> SidePrice {
    if free::is_free(resource.kind) {
        return SidePrice::Free;
    }
    match measure(resource.kind, side) {
        None => SidePrice::Unpriced("Weir has no rule for this type".to_owned()),
        Some(Err(reason)) => SidePrice::Unpriced(reason),
        Some(Ok(Measured::Free)) => SidePrice::Free,
        Some(Ok(Measured::BySize(mut bill))) => {
            bill.assumptions.extend(side.assumption());
            let mut assumed = None;
            let region = own_region(resource.kind, side)
                .or_else(|| resource.configured_region.clone())
                .or_else(|| told_by(resource))
                .or_else(|| {
                    let region = regions.0.get(provider_of(resource.kind)?)?;
                    assumed = Some(format!("in {region}, the region of the plan's other resources"));
                    Some(region.clone())
                });
            by_list(provider_of(resource.kind).unwrap_or_default(), region.as_deref(), bill, assumed, prices)
        }
    }
}

/// Prices a bill by the price list.
fn by_list(
    provider: &str,
    region: Option<&str>,
    bill: Bill,
    assumed_region: Option<String>,
    prices: &PriceList,
) -> SidePrice {
    let (mut monthly, mut parts) = (Decimal::ZERO, Vec::new());
    for part in bill.parts {
        let Some((found_in, price)) =
            prices.find(provider, region.unwrap_or(EVERYWHERE), part.product, &part.sku)
        else {
            return SidePrice::Unpriced(without_price(provider, region, part.product, &part.sku, prices));
        };
        let cost = part
            .quantity
            .checked_mul(price.unit.per_month())
            .and_then(|units| units.checked_mul(price.price))
            .and_then(|cost| Some((cost, monthly.checked_add(cost)?)));
        let Some((cost, sum)) = cost else {
            return SidePrice::Unpriced("the amount is too large".to_owned());
        };
        monthly = sum;
        parts.push(PricePart {
            product: part.product.to_owned(),
            sku: price.sku.clone(),
            region: found_in.to_owned(),
            unit: price.unit.name().to_owned(),
            quantity: part.quantity.normalize(),
            unit_price: price.price.normalize(),
            monthly: cost.normalize(),
        });
    }
    let assumptions = bill.assumptions.len() + usize::from(assumed_region.is_some());
    let off = usize::from(ASSUMPTION).saturating_mul(assumptions)
        + usize::from(if bill.by_use.is_empty() { 0 } else { BY_USE });
    let confidence = 100_u8.saturating_sub(u8::try_from(off).unwrap_or(u8::MAX)).max(LEAST_CONFIDENCE);
    let assumed = bill.assumptions.into_iter().chain(assumed_region).map(|what| format!("assumed: {what}"));
    let by_use = bill.by_use.into_iter().map(|what| format!("not in the amount: {what}, billed by use"));
    let notes = assumed.chain(by_use).take(MAX_NOTES).collect();
    SidePrice::Priced { monthly: monthly.normalize(), parts, notes, confidence }
}

/// The reason why the list has no price. Names the SKU only if the list contains it, since values of a plan
/// stay in the plan.
fn without_price(
    provider: &str,
    region: Option<&str>,
    product: &str,
    sku: &str,
    prices: &PriceList,
) -> String {
    match region {
        Some(_) if prices.knows(provider, product, sku) => {
            format!("the price list has no {product} {} in this region", sku.to_ascii_lowercase())
        }
        None if prices.knows(provider, product, sku) => "the plan does not contain the region".to_owned(),
        _ => format!("the price list has no such {product} of {provider}"),
    }
}

/// Sums of an estimate.
#[derive(Debug, Default)]
struct Sums {
    before: Decimal,
    after: Decimal,
    delta: Decimal,
    coverage_before: Coverage,
    coverage_after: Coverage,
    confidence: u64,
    resources: Vec<ResourceEstimate>,
    unpriced: Vec<UnpricedResource>,
    unpriced_total: u32,
    resources_total: u32,
    by_tag: BTreeMap<(String, String), Decimal>,
}

impl Sums {
    fn add(&mut self, both: Both) {
        let Both { mut resource, before, after, tags_before, tags_after } = both;
        if resource.delta.is_some() {
            self.add_tags(tags_before, before.monthly().map(|monthly| -monthly));
            self.add_tags(tags_after, after.monthly());
        }
        count(&mut self.coverage_before, &before);
        count(&mut self.coverage_after, &after);
        self.resources_total = self.resources_total.saturating_add(1);
        let sums = (
            self.before.checked_add(before.monthly().unwrap_or_default()),
            self.after.checked_add(after.monthly().unwrap_or_default()),
            self.delta.checked_add(resource.delta.unwrap_or_default()),
        );
        match sums {
            (Some(before), Some(after), Some(delta)) => {
                (self.before, self.after, self.delta) = (before, after, delta);
            }
            _ => self.leave_out(&resource, "the sum is too large"),
        }
        match (&after, &before) {
            (SidePrice::Unpriced(reason), _) | (_, SidePrice::Unpriced(reason)) => {
                self.leave_out(&resource, reason);
                resource.confidence = 0;
            }
            _ => {}
        }
        self.confidence += u64::from(resource.confidence);
        self.resources.push(resource);
    }

    fn add_tags(&mut self, tags: Vec<(String, String)>, monthly: Option<Decimal>) {
        for tag in tags {
            let sum = self.by_tag.entry(tag).or_default();
            *sum = sum.saturating_add(monthly.unwrap_or_default());
        }
    }

    /// Difference in cost of each tag's resources, the largest first.
    fn tagged(&mut self) -> Vec<TaggedDelta> {
        let tagged = |((key, value), delta): ((String, String), Decimal)| TaggedDelta {
            key,
            value,
            delta: delta.normalize(),
        };
        let mut all: Vec<TaggedDelta> = std::mem::take(&mut self.by_tag).into_iter().map(tagged).collect();
        all.retain(|tagged| !tagged.delta.is_zero());
        all.sort_by_key(|tagged| Reverse(tagged.delta.abs()));
        all.truncate(MAX_TAGS);
        all
    }

    fn leave_out(&mut self, resource: &ResourceEstimate, reason: &str) {
        self.unpriced_total = self.unpriced_total.saturating_add(1);
        if self.unpriced.len() < MAX_NAMED {
            let (address, kind) = (resource.address.clone(), resource.kind.clone());
            self.unpriced.push(UnpricedResource { address, kind, reason: reason.to_owned() });
        }
    }

    /// Counts unreadable entries, which have no price on either side.
    fn unreadable(&mut self, count: u32) {
        for coverage in [&mut self.coverage_before, &mut self.coverage_after] {
            coverage.resources = coverage.resources.saturating_add(count);
            coverage.unpriced = coverage.unpriced.saturating_add(count);
        }
        self.resources_total = self.resources_total.saturating_add(count);
        self.unpriced_total = self.unpriced_total.saturating_add(count);
    }

    fn finish(mut self, prices: &PriceList) -> Estimate {
        let size =
            |resource: &ResourceEstimate| (resource.delta.map(|delta| delta.abs()), resource.monthly_after);
        self.resources.sort_by_key(|resource| Reverse(size(resource)));
        self.resources.truncate(MAX_NAMED);
        let confidence = match self.resources_total {
            0 => 100,
            total => u8::try_from(self.confidence / u64::from(total)).unwrap_or(100),
        };
        let percent = |mut coverage: Coverage| {
            coverage.percent = match coverage.resources {
                0 => 100,
                all => {
                    let covered = u64::from(coverage.priced) + u64::from(coverage.free);
                    u8::try_from(covered * 100 / u64::from(all)).unwrap_or(100)
                }
            };
            coverage
        };
        let by_tag = self.tagged();
        Estimate {
            by_tag,
            currency: prices.currency().to_owned(),
            prices: prices.used(),
            monthly_before: self.before.normalize(),
            monthly_after: self.after.normalize(),
            delta: self.delta.normalize(),
            confidence,
            coverage_before: percent(self.coverage_before),
            coverage_after: percent(self.coverage_after),
            resources: self.resources,
            resources_total: self.resources_total,
            unpriced: self.unpriced,
            unpriced_total: self.unpriced_total,
        }
    }
}

fn count(coverage: &mut Coverage, side: &SidePrice) {
    let counter = match side {
        SidePrice::Absent => return,
        SidePrice::Free => &mut coverage.free,
        SidePrice::Priced { .. } => &mut coverage.priced,
        SidePrice::Unpriced(_) => &mut coverage.unpriced,
    };
    *counter += 1;
    coverage.resources += 1;
}
