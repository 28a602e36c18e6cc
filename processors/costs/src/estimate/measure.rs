//! The billed parts of a resource, as its configuration tells them.

use rust_decimal::Decimal;

use super::side::{Side, Unpriced};

/// How a resource is billed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Measured {
    /// Nothing is charged for it.
    Free,
    /// By its size and time.
    BySize(Bill),
}

/// The parts of a bill that the configuration tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bill {
    pub(super) parts: Vec<Part>,
    /// Values that the plan does not tell and that were assumed.
    pub(super) assumptions: Vec<String>,
    /// Parts that are billed by use and stand in no plan.
    pub(super) by_use: Vec<&'static str>,
}

/// So many units of a SKU.
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
        self.by_use.push(by_use);
        self
    }

    /// Every part so many times.
    pub(super) fn times(mut self, count: Decimal) -> Result<Self, Unpriced> {
        for part in &mut self.parts {
            part.quantity = part.quantity.checked_mul(count).ok_or("the quantity is too large")?;
        }
        Ok(self)
    }

    /// A number, or the provider's default, which is noted.
    pub(super) fn number_or(
        &mut self,
        side: &Side<'_>,
        path: &str,
        default: u32,
    ) -> Result<Decimal, Unpriced> {
        if let Some(number) = side.number(path)? {
            return Ok(number);
        }
        self.assumptions.push(format!("{} is {default}, the provider's default", path.replace('/', ".")));
        Ok(Decimal::from(default))
    }
}

impl From<Bill> for Measured {
    fn from(bill: Bill) -> Self {
        Self::BySize(bill)
    }
}

/// What a rule answers: no rule for the type, a bill, or the reason why there is none.
pub(super) type Answer = Option<Result<Measured, Unpriced>>;

/// Billed by use alone.
pub(super) fn by_use(what: &str) -> Result<Measured, Unpriced> {
    Err(format!("billed by use ({what}), which no plan tells"))
}
