//! `GET /api/v1/cost/export`: the charges that count at an instant, as a FOCUS file.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use chrono::{Months, SecondsFormat};
use edge::api_error::ApiError;
use http::{HeaderValue, Uri, header};
use schemas::{TenantId, Timestamp, access::Principal};

use super::check_view;
use crate::{
    query_api::{
        Api,
        body::Answer,
        described::ListRefusals,
        freshness::{Freshness, await_positions},
        paging::MAX_LIMIT,
        parameters::Parameters,
        streamed::{Pages, csv_lines, streamed},
    },
    read_models::{
        Page,
        cost::read::{self, ChargeKey, ChargeRecord, ChargesRequest, CostFilter, CostView, STAGE},
    },
};

/// The columns that every row has. All further columns of a charge are in `x_OtherColumns`, as JSON.
const COLUMNS: [&str; 46] = [
    "AvailabilityZone",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_ExportDateTime",
    "x_EventId",
    "x_OtherColumns",
];

/// The charges that fulfil the filter and count at the instant, oldest first, as CSV in the columns of FOCUS 1.0.
///
/// `x_ExportDateTime` is when a charge became known; `x_EventId` is its event. The answer has no length beforehand and no
/// limit; it is whole when it ends as HTTP ends an answer.
#[utoipa::path(
    get,
    path = "/api/v1/cost/export",
    tag = "cost",
    params(CostView, CostFilter, Freshness),
    responses((status = 200, description = "The charges", body = String, content_type = "text/csv"), ListRefusals),
    security(("api_key" = ["cost:read"]))
)]
pub(in crate::query_api) async fn export(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut given = Parameters::of(&uri);
    let (mut view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    let freshness = given.take::<Freshness>();
    check_view(&view, &mut given);
    given.finish()?;
    let tenant = caller.tenant().clone();
    await_positions(&api, &tenant, STAGE, &freshness.positions()).await?;
    // All pages look from one instant.
    view.known_at = Some(view.instant().unwrap_or_else(chrono::Utc::now));
    let export = Export { api, tenant, view, filter, after: None, is_over: false };
    let mut response = Response::new(streamed(csv_lines([COLUMNS])?, export).await?);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    let file = HeaderValue::from_static("attachment; filename=\"focus.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, file);
    Ok(response)
}

/// An export on its way.
struct Export {
    api: Arc<Api>,
    tenant: TenantId,
    view: CostView,
    filter: CostFilter,
    /// The next page comes after this charge.
    after: Option<ChargeKey>,
    is_over: bool,
}

impl Pages for Export {
    async fn page(&mut self) -> Result<Answer<Vec<u8>>, ApiError> {
        let request = ChargesRequest {
            view: self.view.clone(),
            filter: self.filter.clone(),
            after: self.after,
            limit: MAX_LIMIT,
        };
        let (pool, tenant) = (self.api.pool.clone(), self.tenant.clone());
        let question = async move { read::charges(&pool, &tenant, &request).await };
        let Answer { value, memory } = self.api.ask(&self.tenant, question).await?;
        let Page { items, next, .. } = value;
        let lines = csv_lines(items.into_iter().map(cells))?;
        self.is_over = next.is_none();
        self.after = next;
        Ok(Answer { value: lines, memory })
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn of(&self) -> (&Api, &TenantId) {
        (&self.api, &self.tenant)
    }
}

/// The cells of a charge, in the order of [`COLUMNS`]; null is an empty cell.
fn cells(mut charge: ChargeRecord) -> Vec<String> {
    let mut cells: Vec<String> = COLUMNS.iter().map(|column| cell(&mut charge, column)).collect();
    let other = &charge.other_columns;
    if !other.is_empty() {
        let last = cells.last_mut().expect("there are columns");
        *last = serde_json::json!(other).to_string();
    }
    cells
}

fn cell(charge: &mut ChargeRecord, column: &str) -> String {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let instant = |instant: Timestamp| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    // Its own text, if the charge brought one, is among the other columns.
    let kept = charge.other_columns.remove(column);
    let period = charge.billing_period.and_time(chrono::NaiveTime::MIN).and_utc();
    match column {
        "BilledCost" => charge.billed_cost.clone(),
        "BillingAccountId" => charge.billing_account.clone(),
        "BillingCurrency" => charge.currency.clone(),
        "BillingPeriodStart" => kept.unwrap_or_else(|| instant(period)),
        "BillingPeriodEnd" => {
            let end = || period.checked_add_months(Months::new(1)).map(instant);
            kept.or_else(end).unwrap_or_default()
        }
        "ChargeCategory" => charge.charge_category.clone(),
        "ChargeClass" => charge.charge_class.clone(),
        "ChargeDescription" => optional(&charge.description),
        "ChargePeriodEnd" => instant(charge.charge_period_end),
        "ChargePeriodStart" => instant(charge.charge_period_start),
        "ConsumedQuantity" => optional(&charge.consumed_quantity),
        "ConsumedUnit" => charge.consumed_unit.clone(),
        "ContractedCost" => optional(&charge.contracted_cost),
        "EffectiveCost" => optional(&charge.effective_cost),
        "InvoiceIssuerName" | "PublisherName" => kept.unwrap_or_else(|| charge.provider.clone()),
        "ListCost" => optional(&charge.list_cost),
        "PricingQuantity" => optional(&charge.pricing_quantity),
        "PricingUnit" => charge.pricing_unit.clone(),
        "ProviderName" => charge.provider.clone(),
        "RegionId" => charge.region.clone(),
        "ResourceId" => charge.resource.clone(),
        "ServiceCategory" => charge.service_category.clone(),
        "ServiceName" => charge.service.clone(),
        "SkuId" => charge.sku.clone(),
        "SkuPriceId" => charge.sku_price.clone(),
        "SubAccountId" => charge.sub_account.clone(),
        "Tags" if charge.tags.is_empty() => String::new(),
        "Tags" => serde_json::json!(charge.tags).to_string(),
        "x_ExportDateTime" => instant(charge.known_at),
        "x_EventId" => charge.event_id.to_string(),
        _ => kept.unwrap_or_default(),
    }
}
