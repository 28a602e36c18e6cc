//! The billed parts of a resource, by its configuration.

use rust_decimal::Decimal;

use super::side::{Side, Unpriced};

/// Billing model of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Measured {
    /// Free of charge.
    Free,
    /// Billed by size and time.
    BySize(Bill),
}

/// Parts of a bill that follow from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bill {
    pub(super) parts: Vec<Part>,
    /// Assumed values that the plan does not contain.
    pub(super) assumptions: Vec<String>,
    /// Usage-based parts, which no plan contains.
    pub(super) by_use: Vec<&'static str>,
}

/// A number of units of a SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) product: &'static str,
    pub(super) sku: String,
    pub(super) quantity: Decimal,
}

impl Bill {
    pub(super) fn of(product: &'static str, sku: impl Into<String>) -> Self {
        Self::default().and(product, sku, Decimal::ONE)
    }

    pub(super) fn and(mut self, product: &'static str, sku: impl Into<String>, quantity: Decimal) -> Self {
        self.parts.push(Part { product, sku: sku.into(), quantity });
        self
    }

    pub(super) fn assuming(mut self, what: impl Into<String>) -> Self {
        self.assumptions.push(what.into());
        self
    }

    pub(super) fn besides(mut self, by_use: &'static str) -> Self {
        if !self.by_use.contains(&by_use) {
            self.by_use.push(by_use);
        }
        self
    }

    /// Multiplies every part.
    pub(super) fn times(mut self, count: Decimal) -> Result<Self, Unpriced> {
        for part in &mut self.parts {
            part.quantity = part.quantity.checked_mul(count).ok_or("the quantity is too large")?;
        }
        Ok(self)
    }

    /// A number, or the provider's default, which is recorded as an assumption.
    pub(super) fn number_or(
        &mut self,
        side: &Side<'_>,
        path: &str,
        default: u32,
    ) -> Result<Decimal, Unpriced> {
        if let Some(number) = side.number(path)? {
            return Ok(number);
        }
        side.says_default_of(path);
        self.assumptions.push(format!("{} is {default}, the provider's default", path.replace('/', ".")));
        Ok(Decimal::from(default))
    }
}

impl From<Bill> for Measured {
    fn from(bill: Bill) -> Self {
        Self::BySize(bill)
    }
}

/// Result of a rule: no rule for the type, a bill, or the reason why there is none.
pub(super) type Answer = Option<Result<Measured, Unpriced>>;

/// A resource that is billed by usage alone.
pub(super) fn by_use(what: &str) -> Result<Measured, Unpriced> {
    Err(format!("billed by usage ({what}), which a plan does not contain"))
}
