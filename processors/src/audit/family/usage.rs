//! Usage: OCSF has no class for charges, so a charge is a base event with its FOCUS columns unmapped.

use rust_decimal::Decimal;
use schemas::{
    Envelope, Timestamp,
    events::{OutcomeStatus, Usage},
};
use serde::Serialize;

use crate::audit::{
    Described,
    class::{Activity, Class},
    object::{Cloud, Named, Tags},
    record::Record,
};

/// A charge by FOCUS 1.0's columns; amounts are decimals as text.
#[derive(Serialize, PartialEq)]
pub(in crate::audit) struct FocusRow<'a> {
    billed_cost: &'a Decimal,
    billing_account_id: &'a str,
    billing_currency: &'a str,
    charge_category: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    charge_description: Option<&'a str>,
    charge_period_end: &'a Timestamp,
    charge_period_start: &'a Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_quantity: Option<&'a Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contracted_cost: Option<&'a Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrects: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_cost: Option<&'a Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list_cost: Option<&'a Decimal>,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    other_columns: Tags<'a>,
    provider_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_category: Option<&'a str>,
    service_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_account_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    tags: Tags<'a>,
}

impl<'a> From<&'a Usage> for FocusRow<'a> {
    fn from(event: &'a Usage) -> Self {
        Self {
            billed_cost: &event.billed_cost,
            billing_account_id: &event.billing_account_id,
            billing_currency: &event.billing_currency,
            charge_category: &event.charge_category,
            charge_description: event.charge_description.as_deref(),
            charge_period_end: &event.charge_period_end,
            charge_period_start: &event.charge_period_start,
            consumed_quantity: event.consumed_quantity.as_ref(),
            consumed_unit: event.consumed_unit.as_deref(),
            contracted_cost: event.contracted_cost.as_ref(),
            corrects: event.corrects.as_deref(),
            effective_cost: event.effective_cost.as_ref(),
            list_cost: event.list_cost.as_ref(),
            other_columns: Tags(Some(&event.other_columns)),
            provider_name: &event.provider_name,
            region_id: event.region_id.as_deref(),
            resource_id: event.resource_id.as_deref(),
            service_category: event.service_category.as_deref(),
            service_name: &event.service_name,
            sub_account_id: event.sub_account_id.as_deref(),
            tags: Tags(Some(&event.tags)),
        }
    }
}

pub(in crate::audit) fn describe<'a>(envelope: &'a Envelope, event: &'a Usage) -> Described<'a> {
    let kind = event.kind.name();
    let mut record = Record::new(envelope, Class::BaseEvent, Activity::other(kind));
    let account = event.sub_account_id.as_deref().unwrap_or(&event.billing_account_id);
    record.cloud = Some(Cloud {
        account: Some(Named { name: None, uid: Some(account) }),
        provider: &event.provider_name,
        region: event.region_id.as_deref(),
    });
    record.metadata.profiles.cloud = true;
    record.message =
        Some(format!("{} {} for {}", event.billed_cost, event.billing_currency, event.service_name));
    record.unmapped.charge = Some(event.into());
    Described {
        record,
        actor: None,
        action: kind,
        resource_type: None,
        resource: event.resource_id.as_deref(),
        other_resources: Vec::new(),
        project: None,
        outcome: OutcomeStatus::Unknown,
        outcome_code: None,
    }
}
