//! Price lists: an open CSV format, and lookups by provider, region, product and SKU.
//!
//! A list is CSV (RFC 4180) in UTF-8 with a header. Columns may come in any order; further columns are
//! ignored:
//!
//! | column | holds |
//! |---|---|
//! | `provider` | `aws`, `azure` or `gcp`; any other word is kept |
//! | `region` | the provider's region id, or `*` for a price that holds everywhere |
//! | `product` | one of the products that `weir prices list --products` shows |
//! | `sku` | the size or class within the product, for example `m5.large` |
//! | `unit` | `hour`, `month`, `GB-hour`, `GB-month`, `IOPS-month`, `MBps-month` |
//! | `price` | list price of one unit: a decimal, not negative |
//! | `currency` | ISO 4217; one list has one currency |
//! | `as_of` | day of the price, `YYYY-MM-DD` |

mod cheaper;
mod read;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use chrono::NaiveDate;
use rust_decimal::Decimal;
use schemas::changes::estimate::PriceListUsed;
use sha2::{Digest, Sha256};

pub use cheaper::is_storage;
pub use read::{PriceProblem, ReadPrices, read};

/// A price list with example prices of common types of three clouds in two regions each, taken from public
/// list prices: replace them with your own before you rely on an estimate.
pub const EXAMPLES: &str = include_str!("examples.csv");
/// Name of the example price list.
pub const EXAMPLES_NAME: &str = "examples";
/// Region of prices that apply in every region.
pub const EVERYWHERE: &str = "*";
/// Columns of a price list, in the order in which lists are written.
pub const COLUMNS: [&str; 8] = ["provider", "region", "product", "sku", "unit", "price", "currency", "as_of"];

/// Hours in a month, as providers count: 8,760 / 12.
pub(crate) const HOURS_PER_MONTH: i64 = 730;

/// The period and quantity that a price is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// One resource for an hour.
    Hour,
    /// One resource for a month.
    Month,
    /// A gigabyte for an hour.
    GbHour,
    /// A gigabyte for a month.
    GbMonth,
    /// One input or output operation per second, provisioned for a month.
    IopsMonth,
    /// A megabyte per second, provisioned for a month.
    MbpsMonth,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 6] =
        [Self::Hour, Self::Month, Self::GbHour, Self::GbMonth, Self::IopsMonth, Self::MbpsMonth];

    /// The unit's name in price lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Month => "month",
            Self::GbHour => "GB-hour",
            Self::GbMonth => "GB-month",
            Self::IopsMonth => "IOPS-month",
            Self::MbpsMonth => "MBps-month",
        }
    }

    /// The unit of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name().eq_ignore_ascii_case(name))
    }

    /// Number of these periods in a month.
    pub fn per_month(self) -> Decimal {
        match self {
            Self::Hour | Self::GbHour => Decimal::from(HOURS_PER_MONTH),
            Self::Month | Self::GbMonth | Self::IopsMonth | Self::MbpsMonth => Decimal::ONE,
        }
    }
}

/// Key of a price.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PriceKey {
    /// The cloud, in lower case.
    pub provider: String,
    /// The region, in lower case, or [`EVERYWHERE`].
    pub region: String,
    /// The product.
    pub product: String,
    /// The SKU within the product, in lower case.
    pub sku: String,
}

/// A unit price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The SKU as the list spells it.
    pub sku: String,
    /// Unit of the price.
    pub unit: Unit,
    /// Price of one unit in the list's currency.
    pub price: Decimal,
    /// Date of the price.
    pub as_of: NaiveDate,
}

/// Prices by provider, region, product and SKU, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceList {
    name: String,
    currency: String,
    prices: BTreeMap<PriceKey, Price>,
    sha256: String,
}

impl PriceList {
    /// The example price list that ships with Weir.
    pub fn examples() -> Self {
        let read = read(EXAMPLES_NAME, EXAMPLES.as_bytes());
        assert!(read.problems.is_empty(), "the shipped price list is sound: {:?}", read.problems);
        read.list.expect("the shipped price list has prices")
    }

    /// [`examples`](Self::examples), read once.
    pub fn shared_examples() -> Arc<Self> {
        static EXAMPLES: LazyLock<Arc<PriceList>> = LazyLock::new(|| Arc::new(PriceList::examples()));
        Arc::clone(&EXAMPLES)
    }

    fn new(name: &str, currency: String, prices: BTreeMap<PriceKey, Price>) -> Self {
        let mut hash = Sha256::new();
        for (key, price) in &prices {
            let line = format!(
                "{},{},{},{},{},{},{currency},{}\n",
                key.provider,
                key.region,
                key.product,
                key.sku,
                price.unit.name(),
                price.price.normalize(),
                price.as_of
            );
            hash.update(line.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let sha256 = digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes everything");
            text
        });
        Self { name: name.to_owned(), currency, prices, sha256 }
    }

    /// Name of the list: the file's name, or [`EXAMPLES_NAME`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// ISO 4217 code of all prices.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Every price, in order of provider, region, product and SKU.
    pub fn iter(&self) -> impl Iterator<Item = (&PriceKey, &Price)> {
        self.prices.iter()
    }

    /// Number of prices.
    pub fn len(&self) -> usize {
        self.prices.len()
    }

    /// Whether it has no price.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }

    /// The price of a SKU in a region, or else the price for every region, with the region of the price. SKUs
    /// and regions are compared ignoring case.
    pub fn find(&self, provider: &str, region: &str, product: &str, sku: &str) -> Option<(&str, &Price)> {
        let wanted = |region: &str| PriceKey {
            provider: provider.to_owned(),
            region: region.to_ascii_lowercase(),
            product: product.to_owned(),
            sku: sku.to_ascii_lowercase(),
        };
        [region, EVERYWHERE].into_iter().find_map(|region| {
            let (key, price) = self.prices.get_key_value(&wanted(region))?;
            Some((key.region.as_str(), price))
        })
    }

    /// Whether it has a price of the SKU in any region.
    pub fn knows(&self, provider: &str, product: &str, sku: &str) -> bool {
        self.prices.keys().any(|key| {
            key.provider == provider && key.product == product && key.sku.eq_ignore_ascii_case(sku)
        })
    }

    /// The prices of both lists; `newer` takes precedence.
    ///
    /// # Errors
    /// The currencies differ.
    pub fn merged(&self, newer: &Self) -> Result<Self, MixedCurrencies> {
        if self.currency != newer.currency {
            return Err(MixedCurrencies { this: self.currency.clone(), other: newer.currency.clone() });
        }
        let mut prices = self.prices.clone();
        prices.extend(newer.prices.clone());
        Ok(Self::new(&newer.name, self.currency.clone(), prices))
    }

    /// The list as CSV, sorted, with the header; reading it gives the same list.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let in_memory = "a Vec takes everything";
        writer.write_record(COLUMNS).expect(in_memory);
        for (key, price) in &self.prices {
            let (amount, as_of) = (price.price.to_string(), price.as_of.to_string());
            let record = [
                key.provider.as_str(),
                &key.region,
                &key.product,
                &price.sku,
                price.unit.name(),
                &amount,
                &self.currency,
                &as_of,
            ];
            writer.write_record(record).expect(in_memory);
        }
        let bytes = writer.into_inner().expect(in_memory);
        String::from_utf8(bytes).expect("every cell was text")
    }

    /// Name, date and hash, as an estimate states them.
    pub fn used(&self) -> PriceListUsed {
        let as_of = self.prices.values().map(|price| price.as_of).max();
        PriceListUsed {
            name: self.name.clone(),
            as_of: as_of.map(|day| day.to_string()).unwrap_or_default(),
            sha256: self.sha256.clone(),
        }
    }
}

/// Two lists in different currencies cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lists are in {this} and {other}: convert one of them first")]
pub struct MixedCurrencies {
    this: String,
    other: String,
}
