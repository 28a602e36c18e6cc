//! Maps a row to a charge.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use schemas::{
    Timestamp,
    events::{Usage, UsageKind},
};

use super::{
    columns::{Cell, Row},
    dialect::Dialect,
    values,
};

/// An invalid row: the column and its fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} {why}")]
pub(super) struct BadRow {
    column: String,
    why: String,
}

impl BadRow {
    pub(super) fn new(column: &str, why: impl Into<String>) -> Self {
        Self { column: schemas::problem::printable(column).chars().take(80).collect(), why: why.into() }
    }
}

/// Content of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Charge {
    pub(super) usage: Usage,
    /// Time at which the issuer published it, if stated.
    pub(super) known_at: Option<Timestamp>,
}

/// The code of ISO 4217 for no currency, for files without a currency column.
const NO_CURRENCY: &str = "XXX";

/// Maps a row. Money, times and the currency must be valid; other columns are kept as they are.
pub(super) fn charge(row: Row<'_>) -> Result<Charge, BadRow> {
    let dialect = row.header.dialect;
    let text = |name: &str| row.focus(name).map(|cell| cell.text.to_owned());
    let decimal = |name: &str| row.focus(name).map(values::decimal).transpose();
    let (start, end) = charge_period(row)?;
    let billing_period = billing_period(row)?;
    let costs = dialect.costs(row)?;
    let Some(billed_cost) = costs.billed else { return Err(BadRow::new("BilledCost", "is empty")) };
    let category = dialect.category(row).map(str::to_owned).or_else(|| text("ChargeCategory"));
    let class = text("ChargeClass");
    let corrects = class.as_deref().is_some_and(|class| class.eq_ignore_ascii_case("Correction"));
    let (tags, mut others) = tags_and_others(row);
    for (name, instant) in ["BillingPeriodStart", "BillingPeriodEnd"].into_iter().zip(billing_period) {
        if let Some(instant) = instant {
            others.set(name, &schemas::rfc3339(instant));
        }
    }
    for name in ["InvoiceId", "SkuId", "SkuPriceId", "PricingUnit"] {
        if let Some(cell) = row.focus(name) {
            others.set(name, cell.text);
        }
    }
    if let Some(quantity) = decimal("PricingQuantity")? {
        others.set("PricingQuantity", &quantity.to_string());
    }
    let usage = Usage {
        kind: if corrects { UsageKind::ChargeCorrected } else { UsageKind::ChargeRecorded },
        billing_account_id: text("BillingAccountId").unwrap_or_default(),
        sub_account_id: text("SubAccountId"),
        provider_name: text("ProviderName").unwrap_or_else(|| dialect.provider().to_owned()),
        service_name: text("ServiceName").unwrap_or_default(),
        service_category: text("ServiceCategory"),
        region_id: text("RegionId"),
        resource_id: text("ResourceId"),
        charge_category: category.unwrap_or_default(),
        charge_description: text("ChargeDescription"),
        charge_period_start: start,
        charge_period_end: end,
        billing_currency: currency(row)?,
        billed_cost,
        effective_cost: costs.effective,
        list_cost: decimal("ListCost")?,
        contracted_cost: decimal("ContractedCost")?,
        consumed_quantity: decimal("ConsumedQuantity")?,
        consumed_unit: text("ConsumedUnit"),
        tags,
        other_columns: others.0,
        corrects: None,
    };
    let known_at = row.focus("x_ExportDateTime").and_then(|cell| values::parse_instant(cell.text));
    Ok(Charge { usage, known_at })
}

/// Start and end; an Azure row has a single date.
fn charge_period(row: Row<'_>) -> Result<(Timestamp, Timestamp), BadRow> {
    let Some(start_cell) = row.focus("ChargePeriodStart") else {
        return Err(BadRow::new("ChargePeriodStart", "is empty"));
    };
    let start = values::instant(start_cell)?;
    let end = match row.focus("ChargePeriodEnd") {
        Some(cell) => values::instant(cell)?,
        None if row.header.dialect == Dialect::Azure => start + TimeDelta::days(1),
        None => return Err(BadRow::new("ChargePeriodEnd", "is empty")),
    };
    in_order(start, end, "ChargePeriodEnd", start_cell)?;
    Ok((start, end))
}

/// Start and end of the billing period, as far as stated; a period without an end lasts one month.
fn billing_period(row: Row<'_>) -> Result<[Option<Timestamp>; 2], BadRow> {
    let Some(start_cell) = row.focus("BillingPeriodStart") else { return Ok([None, None]) };
    let start = values::instant(start_cell)?;
    let end = match row.focus("BillingPeriodEnd") {
        Some(cell) => Some(values::instant(cell)?),
        None => values::month_after(start),
    };
    if let Some(end) = end {
        in_order(start, end, "BillingPeriodEnd", start_cell)?;
    }
    Ok([Some(start), end])
}

fn in_order(start: Timestamp, end: Timestamp, column: &str, start_cell: Cell<'_>) -> Result<(), BadRow> {
    if end < start {
        return Err(BadRow::new(column, format!("lies before {}", start_cell.column)));
    }
    Ok(())
}

fn currency(row: Row<'_>) -> Result<String, BadRow> {
    let Some(cell) = row.focus("BillingCurrency") else {
        return if row.header.has_focus("BillingCurrency") {
            Err(BadRow::new("BillingCurrency", "is empty"))
        } else {
            Ok(NO_CURRENCY.to_owned())
        };
    };
    let code = cell.text.to_ascii_uppercase();
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(code)
    } else {
        Err(BadRow::new(cell.column, "is not a currency: three letters of ISO 4217"))
    }
}

/// Columns without a field in the event, with their values.
struct Others(BTreeMap<String, String>);

impl Others {
    /// Sets a column, which usually is there, with that value.
    fn set(&mut self, name: &str, text: &str) {
        match self.0.get_mut(name) {
            Some(there) if there == text => {}
            Some(there) => text.clone_into(there),
            None => drop(self.0.insert(name.to_owned(), text.to_owned())),
        }
    }
}

/// The tags, and every column without a field in the event. Unreadable tags are kept as another column.
fn tags_and_others(row: Row<'_>) -> (BTreeMap<String, String>, Others) {
    let tags = row.focus("Tags").and_then(|cell| Some((cell.column, values::tags(cell.text)?)));
    let is_tags = |name: &str| tags.as_ref().is_some_and(|(column, _)| *column == name);
    let others = row.others().filter(|(name, _)| !is_tags(name));
    let others = others.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    (tags.map(|(_, tags)| tags).unwrap_or_default(), Others(others))
}
