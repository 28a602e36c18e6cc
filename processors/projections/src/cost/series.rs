//! Keys of series, scopes, columns and workloads: the first half of a SHA-256 over their columns.

use std::collections::BTreeMap;

use schemas::changes::cost::{CostSeries, Workload};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Key of a series.
pub fn series_key(series: &CostSeries) -> Uuid {
    series_key_in(scope_key(series), series)
}

/// Key of a series whose [`scope_key`] is known.
pub fn series_key_in(scope: Uuid, series: &CostSeries) -> Uuid {
    let CostSeries { sub_account, service, service_category, region, resource, charge_category, .. } = series;
    let CostSeries { charge_class, currency, sku, sku_price, consumed_unit, pricing_unit, tags, .. } = series;
    let texts = [
        sub_account,
        service,
        service_category,
        region,
        resource,
        charge_category,
        charge_class,
        currency,
        sku,
        sku_price,
        consumed_unit,
        pricing_unit,
    ];
    let tags = tags.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]);
    hashed(std::iter::once(&scope.as_bytes()[..]).chain(texts.into_iter().map(String::as_bytes)).chain(tags))
}

/// The group that a series is summed up in: the same without resource, SKU, units and tags.
pub fn group_of(series: &CostSeries) -> CostSeries {
    CostSeries {
        resource: String::new(),
        sku: String::new(),
        sku_price: String::new(),
        consumed_unit: String::new(),
        pricing_unit: String::new(),
        tags: BTreeMap::new(),
        ..series.clone()
    }
}

/// Key of columns with their values, which several charges have in common.
pub fn columns_key(columns: &BTreeMap<&str, &str>) -> Uuid {
    hashed(columns.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]))
}

/// Key of a scope that a delivery replaces as a whole: provider, billing account and billing period.
pub fn scope_key(series: &CostSeries) -> Uuid {
    let period = series.billing_period.to_string();
    hashed([series.provider.as_bytes(), series.billing_account.as_bytes(), period.as_bytes()])
}

/// Key of a Kubernetes workload with its labels.
pub fn workload_key(workload: &Workload) -> Uuid {
    let Workload { cluster, namespace, name, project, labels } = workload;
    let labels = labels.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    hashed([cluster, namespace, name, project].into_iter().map(String::as_bytes).chain(labels))
}

fn hashed<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Uuid {
    // Hashed at once, which takes half as long as part by part.
    let mut all = Vec::with_capacity(512);
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    let digest: [u8; 32] = Sha256::digest(&all).into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    Uuid::new_v8(half)
}
