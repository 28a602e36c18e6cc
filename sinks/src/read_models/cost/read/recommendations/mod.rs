//! Recommendations: what the rules of [`costs::recommend`] say about resources and services as they were known at an instant,
//! what was decided about it, and whether the saving came.

mod decided;
mod facts;
mod item;
mod usage;

use std::collections::BTreeMap;

use chrono::{Days as DayCount, NaiveDate};
use costs::recommend;
use rust_decimal::Decimal;
use schemas::{
    TenantId, Timestamp,
    changes::cost::{Grade, RecommendationKind},
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    STAGE,
    filter::{CostFilter, Days},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};
use decided::{Decided, decisions};
use facts::Resource;
use usage::Usage;

/// One recommendation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Recommendation {
    /// Its id: the same as long as it is about the same thing. Decisions name it.
    pub id: String,
    /// The rule.
    pub kind: RecommendationKind,
    /// Whether somebody has decided.
    pub status: RecommendationStatus,
    /// Priority: its share of all spending, weighted by its confidence.
    pub priority: Grade,
    /// Saving in 30 days, a decimal.
    pub monthly_saving: String,
    /// Present cost of 30 days, a decimal.
    pub monthly_cost: String,
    /// ISO 4217.
    pub currency: String,
    /// Risk that something breaks.
    pub risk: Grade,
    /// Effort.
    pub effort: Grade,
    /// 0 to 100.
    pub confidence: u8,
    /// Action.
    pub action: String,
    /// Reasons.
    pub reasons: Vec<String>,
    /// FOCUS `ResourceId`, or the id that events give the resource; null for a commitment.
    pub resource: Option<String>,
    /// FOCUS `ProviderName`.
    pub provider: String,
    /// FOCUS `SubAccountId` of a resource, `BillingAccountId` of a commitment.
    pub account: String,
    /// FOCUS `ServiceName`.
    pub service: String,
    /// FOCUS `RegionId`.
    pub region: String,
    /// The project that its tags name.
    pub project: Option<String>,
    /// The environment that its tags name.
    pub environment: Option<String>,
    /// Evidence.
    pub evidence: RecommendationEvidence,
    /// The decision in force.
    pub decision: Option<RecommendationDecided>,
    /// Whether the saving came; null unless it was accepted.
    pub outcome: Option<RecommendationOutcome>,
}

/// Whether somebody has decided about a recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecommendationStatus {
    /// Nobody has, or it was opened again.
    #[default]
    Open,
    /// It is to be followed.
    Accepted,
    /// It is not to be shown.
    Dismissed,
}

/// Evidence of a recommendation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecommendationEvidence {
    /// The charges, and what has accrued.
    pub charges: ChargesEvidence,
    /// Measurements.
    pub utilisation: Vec<UtilisationEvidence>,
    /// The prices.
    pub price: Option<PriceEvidence>,
}

/// The charges behind a recommendation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChargesEvidence {
    /// The first day.
    #[schema(value_type = String, format = Date)]
    pub from: NaiveDate,
    /// The day after the last.
    #[schema(value_type = String, format = Date)]
    pub to: NaiveDate,
    /// Days from the first cost on.
    pub days: i64,
    /// Effective cost with what has accrued, a decimal; of a commitment billed cost.
    pub cost: String,
    /// Number of charges.
    pub charges: i64,
}

/// Measurement of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UtilisationEvidence {
    /// The metric: `cpu_percent`, `memory_percent`, `io_percent`, `network`, `connections`, `requests`.
    pub metric: String,
    /// Measurements.
    pub samples: i64,
    /// Days with one.
    pub days: i64,
    /// Their mean.
    pub mean: f64,
    /// The largest of 95 of 100 hours' largest.
    pub p95: f64,
    /// The largest.
    pub largest: f64,
    /// The newest three events.
    pub events: Vec<Uuid>,
}

/// The prices behind a recommendation, by the price list in force when the resource's newest event was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceEvidence {
    /// The region of the price; `*`: the same everywhere.
    pub region: String,
    /// The product in the price list.
    pub product: String,
    /// The size or class.
    pub sku: String,
    /// The pricing unit.
    pub unit: String,
    /// Price of one unit, a decimal.
    pub unit_price: String,
    /// The size, class or tier to take instead.
    pub target_sku: Option<String>,
    /// Its price.
    pub target_unit_price: Option<String>,
    /// The event that tells the size.
    pub event_id: Option<Uuid>,
}

/// A decision about a recommendation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecommendationDecided {
    /// The event.
    pub event_id: Uuid,
    /// Who decided.
    pub actor: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Timestamp,
    /// Reason.
    pub reason: Option<String>,
}

/// Whether the saving of an accepted recommendation came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecommendationOutcome {
    /// `too_early` (fewer than 7 days are known), `came` (80 % of what was expected), `partly` (20 %), `missing`.
    pub state: String,
    /// Realised saving in 30 days since the acceptance, a decimal; null while it is too early.
    pub realised_monthly_saving: Option<String>,
    /// Days since the acceptance that are known.
    pub days: i64,
}

/// Savings of recommendations in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SavingSum {
    /// ISO 4217.
    pub currency: String,
    /// Number of recommendations.
    pub recommendations: i64,
    /// Saving in 30 days, a decimal.
    pub monthly_saving: String,
}

/// One question.
#[derive(Debug, Clone)]
pub struct RecommendationsRequest {
    /// The instant to look from.
    pub at: Timestamp,
    /// Filter of the costs.
    pub filter: CostFilter,
    /// Only of this kind.
    pub kind: Option<RecommendationKind>,
    /// Only with this status; `None`: with any.
    pub status: Option<RecommendationStatus>,
    /// Most recommendations in the answer.
    pub limit: u16,
}

/// Recommendations of an instant, with their totals.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendations {
    /// The largest saving first.
    pub items: Vec<Recommendation>,
    /// Of all that fit the question, by currency.
    pub totals: Vec<SavingSum>,
    /// Whether the items are all, and every resource was looked at.
    pub complete: bool,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// Facts that the recommendations of an instant derive from.
struct Known {
    resources: Vec<Resource>,
    usages: Vec<Usage>,
    spent: BTreeMap<String, Decimal>,
    complete: bool,
}

/// Everything that is recommended.
pub async fn recommendations(
    pool: &PgPool,
    tenant: &TenantId,
    request: &RecommendationsRequest,
) -> Result<Recommendations, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let decided = decisions(&mut snapshot, tenant, request.at).await?;
    let known = known(&mut snapshot, tenant, Looked::at_all(&request.filter), request.at).await?;
    let mut complete = known.complete;
    let mut items = derived(&known);
    items.retain(
        |item| !matches!(decided.get(&item.id), Some(of) if of.status == RecommendationStatus::Accepted),
    );
    for item in &mut items {
        if let Some(of) = decided.get(&item.id) {
            (item.status, item.decision) = (of.status, Some(of.told.clone()));
        }
    }
    if matches!(request.status, None | Some(RecommendationStatus::Accepted)) {
        let (accepted, all) = accepted(&mut snapshot, tenant, request, &decided).await?;
        complete &= all;
        items.extend(accepted);
    }
    items.retain(|item| {
        request.kind.is_none_or(|kind| kind == item.kind)
            && request.status.is_none_or(|status| status == item.status)
    });
    sort(&mut items);
    let totals = totals(&items);
    complete &= items.len() <= usize::from(request.limit);
    items.truncate(usize::from(request.limit));
    facts::name_events(&mut snapshot, tenant, request.at, &mut items).await?;
    Ok(Recommendations { items, totals, complete, positions: snapshot.positions })
}

/// Largest saving first.
fn sort(items: &mut [Recommendation]) {
    let saving = |item: &Recommendation| item.monthly_saving.parse::<Decimal>().unwrap_or_default();
    items.sort_by(|a, b| saving(b).cmp(&saving(a)).then_with(|| a.id.cmp(&b.id)));
}

fn totals(items: &[Recommendation]) -> Vec<SavingSum> {
    let mut sums: BTreeMap<&str, (i64, Decimal)> = BTreeMap::new();
    for item in items {
        let sum = sums.entry(&item.currency).or_default();
        sum.0 += 1;
        sum.1 = sum.1.saturating_add(item.monthly_saving.parse().unwrap_or_default());
    }
    let sum = |(currency, (recommendations, saving)): (&str, (i64, Decimal))| SavingSum {
        currency: currency.to_owned(),
        recommendations,
        monthly_saving: saving.normalize().to_string(),
    };
    sums.into_iter().map(sum).collect()
}

/// Costs that are looked at.
#[derive(Clone, Copy)]
struct Looked<'a> {
    filter: &'a CostFilter,
    /// The one resource that is looked at.
    reference: Option<&'a str>,
    /// Spending of everything, if it is known already.
    spent: Option<&'a BTreeMap<String, Decimal>>,
}

impl<'a> Looked<'a> {
    const fn at_all(filter: &'a CostFilter) -> Self {
        Self { filter, reference: None, spent: None }
    }
}

/// Loads what was known at an instant.
async fn known(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    looked: Looked<'_>,
    at: Timestamp,
) -> Result<Known, ReadError> {
    let days = Days::of(snapshot, tenant, Some(at)).await?;
    let Some(window) = usage::window(snapshot, tenant, days, at).await? else {
        return Ok(Known {
            resources: Vec::new(),
            usages: Vec::new(),
            spent: BTreeMap::new(),
            complete: true,
        });
    };
    let Looked { filter, reference, spent } = looked;
    let (resources, complete) =
        facts::resources(snapshot, tenant, (days, filter, reference), window, at).await?;
    // Advice about one resource does not depend on what others use.
    let usages = match reference {
        Some(_) => Vec::new(),
        None => usage::usages(snapshot, tenant, filter, window, at).await?,
    };
    let spent = match spent {
        Some(spent) => spent.clone(),
        None => usage::spent(snapshot, tenant, days, window, at).await?,
    };
    Ok(Known { resources, usages, spent, complete })
}

/// Advice of the rules. Savings of a service's resources reduce its commitment.
fn derived(known: &Known) -> Vec<Recommendation> {
    let mut items = Vec::new();
    let mut saved: BTreeMap<[&str; 5], Decimal> = BTreeMap::new();
    for resource in &known.resources {
        for advice in recommend::of_resource(&resource.facts) {
            let sum = saved.entry(resource.usage_key()).or_default();
            *sum = sum.saturating_add(advice.monthly_saving);
            let spent = known.spent.get(&resource.currency).copied().unwrap_or_default();
            items.push(item::of_resource(resource, advice, spent));
        }
    }
    for usage in &known.usages {
        let mut steady = usage.steady.clone();
        steady.saved_otherwise = saved.get(&usage.key()).copied().unwrap_or_default();
        if let Some(advice) = recommend::of_usage(&steady) {
            let spent = known.spent.get(&usage.currency).copied().unwrap_or_default();
            items.push(item::of_usage(usage, advice, spent));
        }
    }
    items
}

/// Accepted recommendations as they were when they were accepted, with what became of them; whether these are all.
async fn accepted(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &RecommendationsRequest,
    decided: &BTreeMap<String, Decided>,
) -> Result<(Vec<Recommendation>, bool), ReadError> {
    let mut newest: Vec<(&String, &Decided)> =
        decided.iter().filter(|(_, of)| of.status == RecommendationStatus::Accepted).collect();
    newest.sort_by_key(|(_, of)| std::cmp::Reverse(of.told.decided_at));
    let mut all = newest.len() <= decided::MAX_ACCEPTED;
    let (mut items, mut whole) = (Vec::new(), 0);
    // What was spent on the day of an acceptance says how much a saving matters: once for each day is enough.
    let mut spent: BTreeMap<NaiveDate, BTreeMap<String, Decimal>> = BTreeMap::new();
    for (id, of) in newest.into_iter().take(decided::MAX_ACCEPTED) {
        let reference = decided::reference_of(id);
        whole += usize::from(reference.is_none());
        if whole > decided::MAX_DERIVED_WHOLE {
            all = false;
            continue;
        }
        let (at, day) = (of.told.decided_at, of.told.decided_at.date_naive());
        let looked = Looked { filter: &request.filter, reference, spent: spent.get(&day) };
        let known = known(snapshot, tenant, looked, at).await?;
        spent.entry(day).or_insert_with(|| known.spent.clone());
        // A decision about something that was not recommended says nothing.
        let Some(mut item) = derived(&known).into_iter().find(|item| item.id == *id) else { continue };
        item.status = RecommendationStatus::Accepted;
        item.decision = Some(of.told.clone());
        item.outcome = Some(decided::outcome(snapshot, tenant, &item, request.at).await?);
        items.push(item);
    }
    Ok((items, all))
}

/// Days before another.
fn before(day: NaiveDate, days: i64) -> NaiveDate {
    day.checked_sub_days(DayCount::new(days.unsigned_abs())).unwrap_or(day)
}
