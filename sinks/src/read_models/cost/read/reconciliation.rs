//! Reconciliation: what resources have cost by the second beside what was charged for them, line by line.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use costs::accrual::{Charged, Interval, Life, Rate, Reconciled, accrue, reconcile};
use rust_decimal::Decimal;
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row, postgres::PgRow};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{super::spend::nearest, STAGE};
use crate::read_models::snapshot::{Page, ReadError, Snapshot};

/// Resources that are read at a time.
const RESOURCES: i64 = 50;
/// Reason of a charge that is not compared.
const OTHER_CURRENCY: &str = "other_currency";

/// One resource on one day, in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReconciliationLine {
    /// The resource's id, as its newest event names it.
    pub resource: String,
    /// The day, UTC; of a charge for several days the first, against what accrued on all of them.
    #[schema(value_type = String, format = Date)]
    pub day: NaiveDate,
    /// ISO 4217, of every amount of the line.
    pub currency: String,
    /// Accrued cost of the time that is billed, a decimal.
    pub accrued: String,
    /// Charged cost; null while there is no charge in this currency.
    pub charged: Option<String>,
    /// Accrued cost of the time that is not billed yet.
    pub pending: String,
    /// Charged minus accrued, of what is billed; 0 where nothing is compared.
    pub difference: String,
    /// The parts of the difference with their reasons; they add up to it.
    pub explained: Vec<ExplainedPart>,
    /// Reason for which a part of the resource has no price.
    pub unpriced: Option<String>,
}

/// A part of a difference, and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedPart {
    /// `no_events`: a charge without any event for its time. `no_price`: the price list has none. `beginning_unknown`: the
    /// resource existed before its first event. `hours`: more or fewer hours were billed. `price`: the list price is another
    /// than the price list's. `discount`: the bill is below or above list prices. `other_currency`: the resource accrues in
    /// another currency, so nothing is compared, and the part is 0.
    pub reason: String,
    /// The part, a decimal.
    pub amount: String,
}

/// The line after which a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconciliationKey {
    /// Reference of the resource.
    pub resource_ref: String,
    /// The day.
    pub day: NaiveDate,
    /// The currency.
    #[serde(default)]
    pub currency: String,
}

/// Request for one page.
#[derive(Debug, Clone)]
pub struct ReconciliationRequest {
    /// The first day.
    pub from: Option<NaiveDate>,
    /// The day after the last.
    pub to: Option<NaiveDate>,
    /// Instant of knowledge: only what was known by then counts; resources accrue up to it.
    pub known_at: Timestamp,
    /// Only this resource.
    pub resource: Option<String>,
    /// Only lines after this one.
    pub after: Option<ReconciliationKey>,
    /// Most lines on the page.
    pub limit: u16,
}

/// A resource of which lines are asked for.
struct Asked {
    resource_ref: String,
    resource: String,
    beginning_unknown: bool,
}

/// Lifecycle and charges of a resource.
#[derive(Default)]
struct Known {
    unpriced: Option<String>,
    covers: BTreeMap<NaiveDate, Timestamp>,
    /// Amounts of several currencies are never compared.
    currencies: BTreeMap<String, OfCurrency>,
}

/// Lifecycle and charges of a resource in one currency.
#[derive(Default)]
struct OfCurrency {
    life: Life,
    charges: BTreeMap<NaiveDate, Charged>,
    /// Until when charges of a day go.
    charged_until: BTreeMap<NaiveDate, Timestamp>,
}

/// A page of lines, by resource, day and currency.
pub async fn reconciliation(
    pool: &PgPool,
    tenant: &TenantId,
    request: &ReconciliationRequest,
) -> Result<Page<ReconciliationLine, ReconciliationKey>, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let limit = usize::from(request.limit);
    let mut lines: Vec<(ReconciliationKey, ReconciliationLine)> = Vec::new();
    let mut from = request.after.as_ref().map(|after| after.resource_ref.clone());
    while lines.len() <= limit {
        let asked = resources(&mut snapshot, tenant, request, from.as_deref()).await?;
        let complete = asked.len() < usize::try_from(RESOURCES).unwrap_or(usize::MAX);
        let mut known = known(&mut snapshot, tenant, request, &asked).await?;
        for asked in &asked {
            let known = known.remove(&asked.resource_ref).unwrap_or_default();
            lines.extend(lines_of(asked, &known, request));
        }
        // The next read begins behind the last resource of this one.
        from = asked.last().map(|last| format!("{}\u{1}", last.resource_ref));
        if complete || from.is_none() {
            break;
        }
    }
    let more = lines.len() > limit;
    lines.truncate(limit);
    let next = lines.last().filter(|_| more).map(|(key, _)| key.clone());
    let items = lines.into_iter().map(|(_, line)| line).collect();
    Ok(Page { items, next, reached: None, positions: snapshot.positions })
}

async fn resources(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &ReconciliationRequest,
    from: Option<&str>,
) -> Result<Vec<Asked>, ReadError> {
    let rows = sqlx::query(
        "SELECT resource_ref, resource, beginning_unknown FROM cost_resource
          WHERE tenant_id = $1 AND first_at <= $2 AND ($3::text IS NULL OR resource_ref = weir_resource_ref($3))
            AND ($4::text IS NULL OR resource_ref COLLATE \"C\" >= $4)
          ORDER BY resource_ref COLLATE \"C\" LIMIT $5",
    )
    .bind(tenant.as_str())
    .bind(request.known_at)
    .bind(&request.resource)
    .bind(from)
    .bind(RESOURCES)
    .fetch_all(snapshot.connection())
    .await?;
    let one = |row: &PgRow| {
        Ok::<_, ReadError>(Asked {
            resource_ref: row.try_get("resource_ref")?,
            resource: row.try_get("resource")?,
            beginning_unknown: row.try_get("beginning_unknown")?,
        })
    };
    rows.iter().map(one).collect()
}

/// Everything that is known of these resources.
async fn known(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &ReconciliationRequest,
    asked: &[Asked],
) -> Result<BTreeMap<String, Known>, ReadError> {
    let refs: Vec<&str> = asked.iter().map(|asked| asked.resource_ref.as_str()).collect();
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    add_lives(snapshot, tenant, request.known_at, &refs, &mut known).await?;
    add_charges(snapshot, tenant, request.known_at, &refs, &mut known).await?;
    let covers: Vec<(String, NaiveDate, Timestamp)> = sqlx::query_as(
        "SELECT resource_ref, day, covers_until FROM weir_cost_covered($1, $3) WHERE resource_ref = ANY($2)",
    )
    .bind(tenant.as_str())
    .bind(&refs)
    .bind(request.known_at)
    .fetch_all(snapshot.connection())
    .await?;
    for (resource, day, until) in covers {
        known.entry(resource).or_default().covers.insert(day, until);
    }
    Ok(known)
}

/// Adds the intervals of these resources.
async fn add_lives(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    known_at: Timestamp,
    refs: &[&str],
    known: &mut BTreeMap<String, Known>,
) -> Result<(), ReadError> {
    let intervals = sqlx::query(
        "SELECT a.resource_ref, a.starts, a.ends, a.hourly, a.monthly, a.unpriced, a.began_by, s.currency
           FROM cost_accrual AS a JOIN cost_series AS s USING (tenant_id, series_key)
          WHERE a.tenant_id = $1 AND a.resource_ref = ANY($2) AND a.starts <= $3 ORDER BY a.starts",
    )
    .bind(tenant.as_str())
    .bind(refs)
    .bind(known_at)
    .fetch_all(snapshot.connection())
    .await?;
    for row in &intervals {
        let of = known.entry(row.try_get("resource_ref")?).or_default();
        let unpriced: Option<String> = row.try_get("unpriced")?;
        of.unpriced = unpriced.clone().or(of.unpriced.take());
        let of_currency = of.currencies.entry(row.try_get("currency")?).or_default();
        of_currency.life.intervals.push(Interval {
            from: row.try_get("starts")?,
            until: row.try_get("ends")?,
            rate: match unpriced {
                Some(reason) => Err(reason),
                None => Ok(Rate { hourly: row.try_get("hourly")?, monthly: row.try_get("monthly")? }),
            },
            began_by: row.try_get::<Uuid, _>("began_by")?,
        });
    }
    Ok(())
}

/// Adds the charges for these resources.
async fn add_charges(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    known_at: Timestamp,
    refs: &[&str],
    known: &mut BTreeMap<String, Known>,
) -> Result<(), ReadError> {
    let charges = sqlx::query(
        "SELECT s.resource_ref, d.day, s.currency, sum(d.billed)::text AS billed, sum(d.list)::text AS list,
                max(d.covers_until) AS until, (sum(d.consumed_quantity)
                FILTER (WHERE lower(s.consumed_unit) IN ('h', 'hr', 'hrs', 'hour', 'hours', '1 hour', '1 hours')))::text AS hours
           FROM cost_series AS s JOIN cost_daily AS d USING (tenant_id, series_key)
          WHERE s.tenant_id = $1 AND s.resource_ref = ANY($2) AND s.charge_category = 'Usage' AND d.known_at <= $3
          GROUP BY 1, 2, 3 HAVING sum(d.charges) > 0",
    )
    .bind(tenant.as_str())
    .bind(refs)
    .bind(known_at)
    .fetch_all(snapshot.connection())
    .await?;
    for row in &charges {
        let of = known.entry(row.try_get("resource_ref")?).or_default();
        let of_currency = of.currencies.entry(row.try_get("currency")?).or_default();
        let day: NaiveDate = row.try_get("day")?;
        let list = nearest(row.try_get("list")?);
        let hours: Option<&str> = row.try_get("hours")?;
        let bill = Charged {
            cost: nearest(row.try_get("billed")?),
            // A bill that tells no list cost has 0 there.
            list: (!list.is_zero()).then_some(list),
            hours: hours.map(nearest).filter(|hours| !hours.is_zero()),
        };
        of_currency.charges.insert(day, bill);
        if let Some(until) = row.try_get::<Option<Timestamp>, _>("until")? {
            of_currency.charged_until.insert(day, until);
        }
    }
    Ok(())
}

fn lines_of(
    asked: &Asked,
    known: &Known,
    request: &ReconciliationRequest,
) -> Vec<(ReconciliationKey, ReconciliationLine)> {
    let accrues = known.currencies.values().any(|of| !of.life.intervals.is_empty());
    let mut lines: Vec<ReconciliationLine> = Vec::new();
    for (currency, of) in &known.currencies {
        if accrues && of.life.intervals.is_empty() {
            let charges = of.charges.iter();
            lines.extend(charges.map(|(day, charged)| not_compared(asked, known, (*day, currency), charged)));
            continue;
        }
        let (mut covered, rest) = accrue(&of.life, Timestamp::UNIX_EPOCH, request.known_at, &known.covers);
        for (first, until) in &of.charged_until {
            covered.gather(*first, *until);
        }
        let reconciled = reconcile(&covered, &rest, &of.charges, asked.beginning_unknown);
        lines.extend(reconciled.iter().map(|line| shown(asked, known, currency, line)));
    }
    lines.sort_by(|a, b| (a.day, &a.currency).cmp(&(b.day, &b.currency)));
    let after = request.after.as_ref().filter(|after| after.resource_ref == asked.resource_ref);
    lines
        .into_iter()
        .filter(|line| request.from.is_none_or(|from| line.day >= from))
        .filter(|line| request.to.is_none_or(|to| line.day < to))
        .filter(|line| after.is_none_or(|after| (line.day, &line.currency) > (after.day, &after.currency)))
        .map(|line| {
            let key = ReconciliationKey {
                resource_ref: asked.resource_ref.clone(),
                day: line.day,
                currency: line.currency.clone(),
            };
            (key, line)
        })
        .collect()
}

fn shown(asked: &Asked, known: &Known, currency: &str, line: &Reconciled) -> ReconciliationLine {
    let part = |(reason, amount): &(costs::accrual::Reason, Decimal)| ExplainedPart {
        reason: reason.name().to_owned(),
        amount: amount.to_string(),
    };
    ReconciliationLine {
        resource: asked.resource.clone(),
        day: line.day,
        currency: currency.to_owned(),
        accrued: line.accrued.to_string(),
        charged: line.charged.map(|charged| charged.to_string()),
        pending: line.pending.to_string(),
        difference: line.difference.to_string(),
        explained: line.explained.iter().map(part).collect(),
        unpriced: known.unpriced.clone(),
    }
}

/// A charge in a currency in which the resource does not accrue.
fn not_compared(
    asked: &Asked,
    known: &Known,
    (day, currency): (NaiveDate, &str),
    charged: &Charged,
) -> ReconciliationLine {
    let nothing = || Decimal::ZERO.to_string();
    ReconciliationLine {
        resource: asked.resource.clone(),
        day,
        currency: currency.to_owned(),
        accrued: nothing(),
        charged: Some(charged.cost.normalize().to_string()),
        pending: nothing(),
        difference: nothing(),
        explained: vec![ExplainedPart { reason: OTHER_CURRENCY.to_owned(), amount: nothing() }],
        unpriced: known.unpriced.clone(),
    }
}
