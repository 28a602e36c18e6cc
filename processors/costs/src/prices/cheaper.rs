//! Cheaper sizes of the same family, and cheaper tiers of storage.

use schemas::changes::cost::SkuPrice;

use super::{Price, PriceKey, PriceList};

/// Most of them that are told.
const MAX_CHEAPER: usize = 12;

/// Tiers of storage that can take one another's place without moving data by hand: product, tier, cheaper tiers.
const TIERS: [(&str, &str, &[&str]); 7] = [
    ("volume", "gp2", &["gp3"]),
    ("volume", "io1", &["gp3"]),
    ("volume", "io2", &["gp3"]),
    ("search_storage", "gp2", &["gp3"]),
    ("disk", "pd-ssd", &["pd-balanced"]),
    ("disk", "pd-extreme", &["pd-balanced"]),
    ("disk", "pd-balanced", &["pd-standard"]),
];

/// Whether SKUs of a product are tiers of storage, and no sizes.
pub fn is_storage(product: &str) -> bool {
    product == "managed_disk" || TIERS.iter().any(|(of, ..)| *of == product)
}

impl PriceList {
    /// SKUs that cost less than one and can take its place, dearest first: smaller sizes of its family, or cheaper tiers. In
    /// the region of its own price, by the same unit.
    pub(crate) fn cheaper(&self, provider: &str, region: &str, product: &str, sku: &str) -> Vec<SkuPrice> {
        let Some((region, own)) = self.find(provider, region, product, sku) else { return Vec::new() };
        let serves = |other: &str| {
            if is_storage(product) {
                is_cheaper_tier(product, sku, other)
            } else {
                are_of_one_family(provider, sku, other)
            }
        };
        let start = PriceKey {
            provider: provider.to_owned(),
            region: region.to_owned(),
            product: product.to_owned(),
            sku: String::new(),
        };
        let of_product = self.prices.range(start.clone()..).take_while(|(key, _)| {
            (&key.provider, &key.region, &key.product) == (&start.provider, &start.region, &start.product)
        });
        let costs_less =
            |price: &&Price| price.unit == own.unit && price.price < own.price && serves(&price.sku);
        let mut found: Vec<SkuPrice> = of_product
            .map(|(_, price)| price)
            .filter(costs_less)
            .map(|price| SkuPrice { sku: price.sku.clone(), unit_price: price.price.normalize() })
            .collect();
        found.sort_by(|a, b| b.unit_price.cmp(&a.unit_price).then_with(|| a.sku.cmp(&b.sku)));
        found.truncate(MAX_CHEAPER);
        found
    }
}

fn is_cheaper_tier(product: &str, sku: &str, other: &str) -> bool {
    if product == "managed_disk" {
        // Premium, standard SSD, standard HDD: `P10`, `E10`, `S10` are of one size.
        let parts = |sku: &str| Some((sku.chars().next()?.to_ascii_uppercase(), sku.get(1..)?.to_owned()));
        let (Some((tier, size)), Some((other, of_size))) = (parts(sku), parts(other)) else { return false };
        return size == of_size && matches!((tier, other), ('P', 'E') | ('E', 'S'));
    }
    TIERS.iter().any(|(of, from, to)| {
        *of == product && from.eq_ignore_ascii_case(sku) && to.iter().any(|to| to.eq_ignore_ascii_case(other))
    })
}

fn are_of_one_family(provider: &str, sku: &str, other: &str) -> bool {
    family(provider, sku).zip(family(provider, other)).is_some_and(|(one, other)| one == other)
}

/// The family of a size: within one, capacity goes with the price. `None`: it is of none.
fn family(provider: &str, sku: &str) -> Option<String> {
    let sku = sku.to_ascii_lowercase();
    match provider {
        // `m5.large`, `mysql:db.m5.large`, `cache.m5.large`.
        "aws" => sku.rsplit_once('.').map(|(family, _)| family.to_owned()),
        // `n2-standard-8`; sizes by word (`e2-micro`) share a core.
        "gcp" => {
            let (family, size) = sku.rsplit_once('-')?;
            size.bytes().all(|byte| byte.is_ascii_digit()).then(|| family.to_owned())
        }
        // `Standard_D4s_v3`, `GP_Standard_D2ds_v4`: the number after the letters of the series.
        "azure" => {
            let place = sku.rfind("standard_").map_or(0, |place| place + "standard_".len());
            let (before, series) = sku.split_at(place);
            let letters = series.bytes().take_while(u8::is_ascii_alphabetic).count();
            let digits = series[letters..].bytes().take_while(u8::is_ascii_digit).count();
            let is_size = (1..=2).contains(&letters) && digits > 0;
            is_size.then(|| format!("{before}{}#{}", &series[..letters], &series[letters + digits..]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(provider: &str, region: &str, product: &str, sku: &str, expected: &[&str]) {
        let found = PriceList::examples().cheaper(provider, region, product, sku);
        let names: Vec<&str> = found.iter().map(|price| price.sku.as_str()).collect();
        assert_eq!(names, expected, "{provider} {sku}");
        assert!(found.windows(2).all(|pair| pair[0].unit_price >= pair[1].unit_price), "{found:?}");
    }

    #[test]
    fn smaller_sizes_are_of_the_same_family() {
        check("aws", "us-east-1", "instance", "m5.2xlarge", &["m5.xlarge", "m5.large"]);
        check("aws", "eu-west-1", "instance", "M5.large", &[]);
        check(
            "aws",
            "us-east-1",
            "database",
            "mysql:db.m5.2xlarge",
            &["mysql:db.m5.xlarge", "mysql:db.m5.large"],
        );
        check("gcp", "us-central1", "instance", "n2-standard-8", &["n2-standard-4", "n2-standard-2"]);
        check("gcp", "us-central1", "instance", "e2-medium", &[]);
        check("azure", "eastus", "mysql_server", "GP_Standard_D4ds_v4", &["GP_Standard_D2ds_v4"]);
        check("aws", "us-east-1", "instance", "no.such", &[]);
    }

    #[test]
    fn cheaper_tiers_hold_as_much() {
        check("aws", "us-east-1", "volume", "gp2", &["gp3"]);
        check("aws", "us-east-1", "volume", "gp3", &[]);
        check("gcp", "us-central1", "disk", "pd-ssd", &["pd-balanced"]);
        check("azure", "eastus", "managed_disk", "P10", &["E10"]);
        check("azure", "eastus", "managed_disk", "E10", &["S10"]);
    }

    #[test]
    fn families_of_azure_keep_series_and_version_apart() {
        let of = |sku| family("azure", sku);
        assert_eq!(of("Standard_D4s_v3"), of("Standard_D16s_v3"));
        assert_ne!(of("Standard_D4s_v3"), of("Standard_D4s_v5"));
        assert_ne!(of("Standard_D4s_v3"), of("Standard_E4s_v3"));
        assert_eq!(of("GP_Gen5_2"), None);
    }
}
