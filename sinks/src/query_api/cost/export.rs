//! `GET /api/v1/cost/export`: the charges that count at an instant, as a FOCUS file.

mod parquet;

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use chrono::{Months, SecondsFormat};
use edge::api_error::ApiError;
use http::{HeaderValue, Uri, header};
use schemas::{TenantId, Timestamp, access::Principal};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use self::parquet::{ParquetFile, held, is_lost};
use super::check_view;
use crate::{
    query_api::{
        Api,
        body::Answer,
        described::ListRefusals,
        freshness::{Freshness, await_positions},
        paging::MAX_LIMIT,
        parameters::Parameters,
        streamed::{Pages, csv_lines, streamed, unwritable},
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

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FileFormat {
    /// CSV with a header.
    #[default]
    Csv,
    /// Apache Parquet: money is `DECIMAL(38, 18)`, instants are microseconds in UTC, tags are JSON.
    Parquet,
}

/// Form of the export.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Form {
    /// `csv` or `parquet`; `csv` by default.
    #[param(inline)]
    format: Option<FileFormat>,
}

/// The charges that fulfil the filter and count at the instant, oldest first, in the columns of FOCUS 1.0, as CSV or Parquet.
///
/// In Parquet an amount with more than 18 digits after the point is rounded, and another value that its column cannot hold is null; as
/// it was it stands in `x_OtherColumns`, from which an import takes it.
///
/// `x_ExportDateTime` is when a charge became known; `x_EventId` is its event. The answer has no length beforehand and no
/// limit; it is whole when it ends as HTTP ends an answer.
#[utoipa::path(
    get,
    path = "/api/v1/cost/export",
    operation_id = "cost_export",
    tag = "cost",
    params(CostView, CostFilter, Form, Freshness),
    responses(
        (status = 200, description = "The charges", content(
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )),
        ListRefusals,
    ),
    security(("api_key" = ["cost:read"]))
)]
pub(in crate::query_api) async fn export(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Arc<Principal>>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut given = Parameters::of(&uri);
    let (mut view, filter) = (given.take::<CostView>(), given.take::<CostFilter>());
    let (form, freshness) = (given.take::<Form>(), given.take::<Freshness>());
    check_view(&view, &mut given);
    given.finish()?;
    let tenant = caller.tenant().clone();
    await_positions(&api, &tenant, STAGE, &freshness.positions()).await?;
    // All pages look from one instant.
    view.known_at = Some(view.instant().unwrap_or_else(chrono::Utc::now));
    let format = form.format.unwrap_or_default();
    let (media, name, head, file) = match format {
        FileFormat::Csv => {
            ("text/csv; charset=utf-8; header=present", "focus.csv", csv_lines([COLUMNS])?, None)
        }
        FileFormat::Parquet => {
            let file = ParquetFile::new(&COLUMNS).map_err(|error| unwritable(&error))?;
            ("application/vnd.apache.parquet", "focus.parquet", Vec::new(), Some(file))
        }
    };
    let export = Export { api, tenant, view, filter, after: None, format, file, is_over: false };
    let mut response = Response::new(streamed(head, export).await?);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    headers.insert(header::CONTENT_DISPOSITION, disposition.map_err(|error| unwritable(&error))?);
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
    format: FileFormat,
    /// The Parquet file, where it is one and not at its end.
    file: Option<ParquetFile>,
    is_over: bool,
}

impl Export {
    async fn next_page(&mut self) -> Result<Answer<Vec<u8>>, ApiError> {
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
        self.is_over = next.is_none();
        self.after = next;
        if self.format == FileFormat::Csv {
            return Ok(Answer { value: csv_lines(items.into_iter().map(cells))?, memory });
        }
        let file = self.file.take().ok_or_else(ApiError::internal)?;
        let last = self.is_over;
        // Compressing takes its time, and not that of the event loop.
        let writing = tokio::task::spawn_blocking(move || written(file, items, last));
        let (bytes, file) =
            writing.await.map_err(|error| unwritable(&error))?.map_err(|error| unwritable(&error))?;
        self.file = file;
        Ok(Answer { value: bytes, memory })
    }
}

impl Pages for Export {
    async fn page(&mut self) -> Result<Answer<Vec<u8>>, ApiError> {
        loop {
            let page = self.next_page().await?;
            // A Parquet file grows by groups of several pages.
            if !page.value.is_empty() || self.is_over {
                return Ok(page);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn of(&self) -> (&Api, &TenantId) {
        (&self.api, &self.tenant)
    }
}

/// Bytes of a Parquet file that are ready with these charges, and the file unless they are the last.
fn written(
    mut file: ParquetFile,
    charges: Vec<ChargeRecord>,
    last: bool,
) -> Result<(Vec<u8>, Option<ParquetFile>), ::parquet::errors::ParquetError> {
    let mut bytes = file.push(charges.into_iter().map(|charge| keeping_lost(cells(charge))))?;
    if last {
        bytes.extend(file.finish()?);
        return Ok((bytes, None));
    }
    Ok((bytes, Some(file)))
}

/// The same cells as far as their columns hold them; those that they do not hold whole are among the other columns as they are.
fn keeping_lost(mut cells: Vec<String>) -> Vec<String> {
    let lost: Vec<usize> = COLUMNS
        .iter()
        .zip(&cells)
        .enumerate()
        .filter(|(_, (column, cell))| is_lost(column, cell))
        .map(|(place, _)| place)
        .collect();
    if lost.is_empty() {
        return cells;
    }
    let mut other: std::collections::BTreeMap<String, String> =
        cells.last().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    for place in lost {
        let held = held(COLUMNS[place], &cells[place]);
        other.insert(COLUMNS[place].to_owned(), std::mem::replace(&mut cells[place], held));
    }
    if let Some(last) = cells.last_mut() {
        *last = serde_json::json!(other).to_string();
    }
    cells
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_that_is_rounded_stands_among_the_other_columns_as_it_is() {
        let exact = "0.0000000000000017763568394003";
        let mut cells = vec![String::new(); COLUMNS.len()];
        let place = |name: &str| COLUMNS.iter().position(|column| *column == name).expect("a column");
        exact.clone_into(&mut cells[place("BilledCost")]);
        "2".clone_into(&mut cells[place("ListCost")]);
        r#"{"x_Team":"core"}"#.clone_into(&mut cells[place("x_OtherColumns")]);
        let kept = keeping_lost(cells);
        assert_eq!(kept[place("BilledCost")], "0.000000000000001776");
        assert_eq!(kept[place("ListCost")], "2");
        assert_eq!(kept[place("x_OtherColumns")], format!(r#"{{"BilledCost":"{exact}","x_Team":"core"}}"#));
    }
}
