//! The facts that rules read about resources: costs, what was measured, and sizes with their prices.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use costs::{
    accrual::{Lifecycle, standing},
    recommend::{HOURS_OF_WEEK, MEASURED_DAYS, Measured, ResourceFacts, Week},
};
use schemas::{
    TenantId, Timestamp,
    changes::cost::{LifecycleKind, SizeTold, UtilisationMetric},
};
use sqlx::{FromRow, QueryBuilder, Row, types::Json};
use uuid::Uuid;

use super::{
    Recommendation, before,
    usage::{decimal, push_cost},
};
use crate::read_models::{
    cost::read::filter::{CostFilter, Days},
    snapshot::{ReadError, Snapshot},
};

/// Most resources that are looked at, the dearest.
const MAX_RESOURCES: i64 = 5_000;
/// Most events about them that are read: sizes change seldom.
const MAX_EVENTS: i64 = 50_000;
/// Days without a cost after which a resource is gone.
const GONE_AFTER: i64 = 7;

/// A resource with its costs.
#[derive(Debug, FromRow)]
struct Costing {
    currency: String,
    resource_ref: String,
    resource: String,
    provider: String,
    billing_account: String,
    account: String,
    service: String,
    service_category: String,
    region: String,
    project: Option<String>,
    environment: Option<String>,
    cost: String,
    charges: i64,
    first_day: NaiveDate,
    last_day: NaiveDate,
}

/// A resource as rules and answers need it.
pub(super) struct Resource {
    pub(super) facts: ResourceFacts,
    pub(super) currency: String,
    /// By what it is known.
    pub(super) reference: String,
    /// As it is named.
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) billing_account: String,
    pub(super) account: String,
    pub(super) region: String,
    pub(super) project: Option<String>,
    pub(super) charges: i64,
    pub(super) window: (NaiveDate, NaiveDate),
    /// The newest event that tells its size.
    pub(super) told_by: Option<Uuid>,
}

impl Resource {
    /// The usage that it is a part of.
    pub(super) fn usage_key(&self) -> [&str; 5] {
        [&self.currency, &self.provider, &self.billing_account, &self.facts.service, &self.region]
    }
}

/// Resources that cost something, the dearest first; whether these are all.
pub(super) async fn resources(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    (days, filter, reference): (Days, &CostFilter, Option<&str>),
    window: (NaiveDate, NaiveDate),
    at: Timestamp,
) -> Result<(Vec<Resource>, bool), ReadError> {
    let (_, to) = window;
    let mut rows = costings(snapshot, tenant, (days, filter, reference), window, at).await?;
    let most = usize::try_from(MAX_RESOURCES).unwrap_or(usize::MAX);
    let mut complete = rows.len() <= most;
    rows.truncate(most);
    rows.retain(|row| row.last_day >= before(to, GONE_AFTER));
    let refs: Vec<String> = rows.iter().map(|row| row.resource_ref.clone()).collect();
    let mut measured = measured(snapshot, tenant, &refs, at).await?;
    let mut weeks = weeks(snapshot, tenant, &refs, at).await?;
    let (mut lives, all) = lives(snapshot, tenant, &refs, at).await?;
    complete &= all;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let events = lives.remove(&row.resource_ref).unwrap_or_default();
        let standing = standing(&events);
        if !events.is_empty() && !standing.exists {
            continue;
        }
        let told =
            events.iter().filter(|event| event.told.sku.is_some()).max_by_key(|event| (event.at, event.id));
        let facts = ResourceFacts {
            service_category: row.service_category,
            service: row.service,
            environment: row.environment,
            cost: decimal(&row.cost),
            days: (to - row.first_day).num_days(),
            measured: measured.remove(&row.resource_ref).unwrap_or_default(),
            week: weeks.remove(&row.resource_ref),
            stopped_days: standing.stopped_at.map(|since| (at - since).num_days()),
            sku: standing.sku,
            price: standing.price,
            size_gb: standing.size_gb,
        };
        found.push(Resource {
            facts,
            currency: row.currency,
            reference: row.resource_ref,
            name: row.resource,
            provider: row.provider,
            billing_account: row.billing_account,
            account: row.account,
            region: row.region,
            project: row.project,
            charges: row.charges,
            window,
            told_by: told.map(|event| event.id),
        });
    }
    Ok((found, complete))
}

/// The resources with their costs in a window, the dearest first; one more than are looked at.
async fn costings(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    (days, filter, reference): (Days, &CostFilter, Option<&str>),
    (from, to): (NaiveDate, NaiveDate),
    at: Timestamp,
) -> Result<Vec<Costing>, ReadError> {
    let mut query = QueryBuilder::new(
        "SELECT *, amount::text AS cost FROM (
         SELECT s.currency, s.resource_ref, max(s.resource) AS resource, max(s.provider) AS provider,
                max(s.billing_account) AS billing_account, max(s.sub_account) AS account, max(s.service) AS service,
                max(s.service_category) AS service_category, max(s.region) AS region,
                max(s.tags ->> 'project') AS project,
                max(coalesce(s.tags ->> 'environment', s.tags ->> 'Environment', s.tags ->> 'env')) AS environment,
                sum(",
    );
    push_cost(&mut query, tenant, (from, to), at);
    query.push(
        ") AS amount, sum(d.charges)::bigint AS charges, min(d.day) AS first_day, max(d.day) AS last_day",
    );
    days.push(&mut query, tenant.as_str(), (Some(from), Some(to)), Some(at));
    filter.push(&mut query);
    if let Some(reference) = reference {
        query.push(" AND s.resource_ref = ").push_bind(reference.to_owned());
    }
    query.push(
        " AND s.charge_category = 'Usage' AND s.resource_ref <> '' GROUP BY 1, 2) AS r
          WHERE amount >= 1 ORDER BY amount DESC, currency, resource_ref LIMIT ",
    );
    query.push_bind(MAX_RESOURCES + 1);
    Ok(query.build_query_as().fetch_all(snapshot.connection()).await?)
}

/// The hours that measurements are read of: whole ones, up to an instant.
fn hours(at: Timestamp) -> (Timestamp, Timestamp) {
    (at - TimeDelta::days(MEASURED_DAYS), at - TimeDelta::hours(1))
}

async fn measured(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    refs: &[String],
    at: Timestamp,
) -> Result<BTreeMap<String, Vec<Measured>>, ReadError> {
    let (from, to) = hours(at);
    let metrics: Vec<&str> = UtilisationMetric::ALL.iter().map(|metric| metric.name()).collect();
    let rows = sqlx::query(
        "SELECT resource_ref, metric, sum(samples)::bigint AS samples, sum(hours)::bigint AS hours, count(*) AS days,
                (sum(total) / sum(samples))::double precision AS mean, max(total)::double precision AS largest_day,
                max(largest)::double precision AS largest, (
                SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY o.largest)::double precision
                  FROM cost_utilisation_hour AS o
                 WHERE o.tenant_id = $1 AND o.resource_ref = of_day.resource_ref AND o.metric = of_day.metric
                   AND o.hour >= $4 AND o.hour <= $5) AS p95
           FROM (SELECT h.resource_ref, h.metric, (h.hour AT TIME ZONE 'UTC')::date AS day, sum(h.samples) AS samples,
                        count(*) AS hours, sum(h.total) AS total, max(h.largest) AS largest
                   FROM unnest($2::text[]) AS a(resource_ref)
                   JOIN cost_utilisation_hour AS h ON h.tenant_id = $1 AND h.resource_ref = a.resource_ref
                  WHERE h.metric = ANY($3) AND h.hour >= $4 AND h.hour <= $5
                  GROUP BY 1, 2, 3) AS of_day
          GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .bind(tenant.as_str())
    .bind(refs)
    .bind(metrics)
    .bind(from)
    .bind(to)
    .fetch_all(snapshot.connection())
    .await?;
    let mut found: BTreeMap<String, Vec<Measured>> = BTreeMap::new();
    for row in &rows {
        found.entry(row.try_get("resource_ref")?).or_default().push(Measured {
            metric: row.try_get("metric")?,
            samples: row.try_get("samples")?,
            hours: row.try_get("hours")?,
            days: row.try_get("days")?,
            mean: row.try_get("mean")?,
            p95: row.try_get("p95")?,
            largest: row.try_get("largest")?,
            largest_day: row.try_get("largest_day")?,
        });
    }
    Ok(found)
}

/// The largest processor use of each hour of the week that was measured in two weeks.
async fn weeks(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    refs: &[String],
    at: Timestamp,
) -> Result<BTreeMap<String, Week>, ReadError> {
    let (from, to) = hours(at);
    let rows: Vec<(String, Vec<i32>, Vec<f64>)> = sqlx::query_as(
        "SELECT resource_ref, array_agg(place), array_agg(largest)
           FROM (SELECT h.resource_ref, max(h.largest)::double precision AS largest,
                        ((extract(isodow FROM h.hour AT TIME ZONE 'UTC') - 1) * 24
                          + extract(hour FROM h.hour AT TIME ZONE 'UTC'))::integer AS place
                   FROM unnest($2::text[]) AS a(resource_ref)
                   JOIN cost_utilisation_hour AS h ON h.tenant_id = $1 AND h.resource_ref = a.resource_ref
                  WHERE h.metric = $3 AND h.hour >= $4 AND h.hour <= $5
                  GROUP BY h.resource_ref, place HAVING count(*) >= 2) AS of_hour
          GROUP BY 1",
    )
    .bind(tenant.as_str())
    .bind(refs)
    .bind(UtilisationMetric::Cpu.name())
    .bind(from)
    .bind(to)
    .fetch_all(snapshot.connection())
    .await?;
    let week = |places: Vec<i32>, largest: Vec<f64>| {
        let mut hours = vec![None; HOURS_OF_WEEK];
        for (place, largest) in places.into_iter().zip(largest) {
            if let Some(hour) = usize::try_from(place).ok().and_then(|place| hours.get_mut(place)) {
                *hour = Some(largest);
            }
        }
        Week(hours)
    };
    Ok(rows.into_iter().map(|(resource, places, largest)| (resource, week(places, largest))).collect())
}

/// Events about resources by resource; whether all were read.
async fn lives(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    refs: &[String],
    at: Timestamp,
) -> Result<(BTreeMap<String, Vec<Lifecycle>>, bool), ReadError> {
    let rows: Vec<(String, Uuid, Timestamp, String, Json<SizeTold>)> = sqlx::query_as(
        "SELECT e.resource_ref, e.event_id, e.happened_at, e.kind, e.told
           FROM unnest($2::text[]) AS a(resource_ref)
           JOIN cost_lifecycle_resource AS e ON e.tenant_id = $1 AND e.resource_ref = a.resource_ref
          WHERE e.happened_at <= $3 ORDER BY e.happened_at DESC, e.event_id LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(refs)
    .bind(at)
    .bind(MAX_EVENTS)
    .fetch_all(snapshot.connection())
    .await?;
    let all = rows.len() < usize::try_from(MAX_EVENTS).unwrap_or(usize::MAX);
    let mut found: BTreeMap<String, Vec<Lifecycle>> = BTreeMap::new();
    for (resource, id, at, kind, Json(told)) in rows {
        let unknown = || ReadError::Unreadable(format!("{kind:?} is no kind of event"));
        let kind = LifecycleKind::from_name(&kind).ok_or_else(unknown)?;
        found.entry(resource).or_default().push(Lifecycle { at, id, kind, told });
    }
    Ok((found, all))
}

/// Names the newest events behind each metric of the items.
pub(super) async fn name_events(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    at: Timestamp,
    items: &mut [Recommendation],
) -> Result<(), ReadError> {
    let (mut resources, mut metrics) = (Vec::new(), Vec::new());
    for item in &*items {
        for measured in &item.evidence.utilisation {
            resources.extend(item.resource.clone());
            metrics.push(measured.metric.clone());
        }
    }
    let rows: Vec<(i64, Vec<Uuid>)> = sqlx::query_as(
        "SELECT a.number, array(
                SELECT u.event_id FROM cost_utilisation AS u
                 WHERE u.tenant_id = $1 AND u.resource_ref = weir_resource_ref(a.resource) AND u.metric = a.metric
                   AND u.measured_at <= $4
                 ORDER BY u.measured_at DESC, u.event_id LIMIT 3)
           FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS a(resource, metric, number) ORDER BY a.number",
    )
    .bind(tenant.as_str())
    .bind(&resources)
    .bind(&metrics)
    .bind(at)
    .fetch_all(snapshot.connection())
    .await?;
    let measured = items.iter_mut().flat_map(|item| item.evidence.utilisation.iter_mut());
    for (measured, (_, events)) in measured.zip(rows) {
        measured.events = events;
    }
    Ok(())
}
