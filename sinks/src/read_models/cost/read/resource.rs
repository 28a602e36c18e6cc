//! One resource.

use schemas::{TenantId, changes::cost::bounded_id};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, QueryBuilder, Row, postgres::PgRow};
use utoipa::ToSchema;

use super::{
    STAGE,
    filter::{CostView, Days},
    sums::{CostSums, HAS_COST, SELECTED, TimePoint, sums},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};

/// Most days that are answered with a resource.
const MAX_DAYS: i64 = 1_000;
/// Most parts of its cost.
const MAX_PARTS: i64 = 200;

/// Costs of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResourceCost {
    /// Its id, as it was asked for.
    pub resource: String,
    /// Of each currency.
    pub totals: Vec<CostSums>,
    /// Parts of the costs, highest billed cost first; at most 200.
    pub parts: Vec<ResourcePart>,
    /// By day, oldest first; the newest 1,000.
    pub days: Vec<TimePoint>,
}

/// A part of a resource's cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResourcePart {
    /// FOCUS `ServiceName`.
    pub service: String,
    /// FOCUS `RegionId`.
    pub region: String,
    /// FOCUS `SkuId`.
    pub sku: String,
    /// FOCUS `ChargeCategory`.
    pub charge_category: String,
    /// FOCUS `ChargeClass`: `Correction`, or empty.
    pub charge_class: String,
    /// Costs of the part.
    #[serde(flatten)]
    pub sums: CostSums,
}

/// The cost of the resource with that id, as bills or events name it; `None` where it never cost anything.
pub async fn resource(
    pool: &PgPool,
    tenant: &TenantId,
    view: &CostView,
    id: &str,
) -> Result<(Option<ResourceCost>, Positions), ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let accruing = Days::of(&mut snapshot, tenant, view.instant()).await?;
    let key = bounded_id(id);
    let mut asked = async |columns: &'static str, rest: [&'static str; 3], limit: i64| {
        let mut query = QueryBuilder::new("SELECT ");
        query.push(columns).push(SELECTED);
        accruing.push(&mut query, tenant.as_str(), (view.from, view.to), view.instant());
        query.push(" AND s.resource_ref = weir_resource_ref(").push_bind(key.clone()).push(")");
        query.push(rest.concat()).push(" LIMIT ").push_bind(limit);
        query.build().fetch_all(snapshot.connection()).await
    };
    let totals = asked("", [" GROUP BY s.currency", "", " ORDER BY s.currency"], MAX_PARTS).await?;
    let parts = asked(
        "s.service, s.region, s.sku, s.charge_category, s.charge_class, ",
        [
            " GROUP BY s.service, s.region, s.sku, s.charge_category, s.charge_class, s.currency",
            "",
            " ORDER BY sum(d.billed) DESC, 1, 2, 3, 4, 5, s.currency",
        ],
        MAX_PARTS,
    )
    .await?;
    let mut days = asked(
        "d.day, ",
        [" GROUP BY d.day, s.currency", HAS_COST, " ORDER BY d.day DESC, s.currency DESC"],
        MAX_DAYS,
    )
    .await?;
    days.reverse();
    if totals.is_empty() {
        return Ok((None, snapshot.positions));
    }
    let part = |row: &PgRow| {
        Ok::<_, ReadError>(ResourcePart {
            service: row.try_get("service")?,
            region: row.try_get("region")?,
            sku: row.try_get("sku")?,
            charge_category: row.try_get("charge_category")?,
            charge_class: row.try_get("charge_class")?,
            sums: sums(row)?,
        })
    };
    let day = |row: &PgRow| Ok::<_, ReadError>(TimePoint { day: row.try_get("day")?, sums: sums(row)? });
    let cost = ResourceCost {
        resource: id.to_owned(),
        totals: totals.iter().map(sums).collect::<Result<_, _>>()?,
        parts: parts.iter().map(part).collect::<Result<_, _>>()?,
        days: days.iter().map(day).collect::<Result<_, _>>()?,
    };
    Ok((Some(cost), snapshot.positions))
}
