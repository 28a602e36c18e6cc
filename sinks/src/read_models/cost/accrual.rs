//! Accrual: events about resources as they are stored, and the intervals at one price that follow from them.

use std::collections::{BTreeMap, BTreeSet};

use costs::accrual::{Interval, Lifecycle, life};
use projections::cost::series_key;
use rust_decimal::Decimal;
use schemas::{
    Timestamp,
    changes::cost::{LifecycleFact, LifecycleKind, SizeTold},
};
use sqlx::{FromRow, PgConnection, types::Json};
use uuid::Uuid;

use super::table::{AccrualRow, LifecycleResourceRow, LifecycleRow};

/// Writes events, and what they say about each resource.
pub(super) async fn write<'a>(tx: &mut PgConnection, lives: &[&'a LifecycleFact]) -> sqlx::Result<()> {
    if lives.is_empty() {
        return Ok(());
    }
    let event = |fact: &'a LifecycleFact| LifecycleRow {
        tenant_id: fact.tenant.as_str(),
        event_id: *fact.event_id.as_uuid(),
        happened_at: fact.at,
        actor: fact.actor.as_deref(),
        content_sha256: &fact.content_sha256,
    };
    let rows: Vec<LifecycleRow<'a>> = lives.iter().copied().map(event).collect();
    LifecycleRow::insert(tx, &rows).await?;
    let mut rows: Vec<LifecycleResourceRow<'_>> = Vec::new();
    for fact in lives {
        rows.extend(fact.resources.iter().map(|resource| LifecycleResourceRow {
            tenant_id: fact.tenant.as_str(),
            resource: &resource.series.resource,
            event_id: *fact.event_id.as_uuid(),
            happened_at: fact.at,
            series_key: series_key(&resource.series),
            kind: resource.kind.name(),
            told: Json(&resource.told),
            actor: fact.actor.as_deref(),
        }));
    }
    rows.sort_by_key(|row| (row.tenant_id, row.resource, row.event_id));
    LifecycleResourceRow::insert_missing(tx, &rows).await
}

/// A resource of a tenant.
type ResourceKey = (String, String);

/// Stored lifecycle facts of an event about one resource.
#[derive(Debug, FromRow)]
struct Stored {
    tenant_id: String,
    resource_ref: String,
    resource: String,
    event_id: Uuid,
    happened_at: Timestamp,
    series_key: Uuid,
    kind: String,
    told: Json<SizeTold>,
    actor: Option<String>,
}

/// An interval as it is stored.
#[derive(Debug, Clone, PartialEq, FromRow)]
struct StoredInterval {
    tenant_id: String,
    resource_ref: String,
    starts: Timestamp,
    ends: Option<Timestamp>,
    series_key: Uuid,
    began_by: Uuid,
    hourly: Option<Decimal>,
    monthly: Option<Decimal>,
    unpriced: Option<String>,
    actor: Option<String>,
}

/// Derives the intervals of the resources of these events again, each from all events about it.
pub(super) async fn derive(tx: &mut PgConnection, lives: &[&LifecycleFact]) -> sqlx::Result<()> {
    let pairs: BTreeSet<(&str, &str)> = lives
        .iter()
        .flat_map(|fact| {
            fact.resources.iter().map(|resource| (fact.tenant.as_str(), resource.series.resource.as_str()))
        })
        .collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let (tenants, refs) = lock(tx, pairs).await?;
    let events: Vec<Stored> = sqlx::query_as(
        "SELECT e.tenant_id, e.resource_ref, e.resource, e.event_id, e.happened_at, e.series_key, e.kind, e.told, e.actor
           FROM unnest($1::text[], $2::text[]) AS a(tenant_id, resource_ref)
           JOIN cost_lifecycle_resource AS e USING (tenant_id, resource_ref)",
    )
    .bind(&tenants)
    .bind(&refs)
    .fetch_all(&mut *tx)
    .await?;
    let stored: Vec<StoredInterval> = sqlx::query_as(
        "SELECT i.* FROM unnest($1::text[], $2::text[]) AS a(tenant_id, resource_ref)
           JOIN cost_accrual AS i USING (tenant_id, resource_ref) ORDER BY i.starts",
    )
    .bind(&tenants)
    .bind(&refs)
    .fetch_all(&mut *tx)
    .await?;
    let mut events_of: BTreeMap<ResourceKey, Vec<Stored>> = BTreeMap::new();
    for event in events {
        events_of.entry((event.tenant_id.clone(), event.resource_ref.clone())).or_default().push(event);
    }
    let mut stored_of: BTreeMap<ResourceKey, Vec<StoredInterval>> = BTreeMap::new();
    for interval in stored {
        stored_of
            .entry((interval.tenant_id.clone(), interval.resource_ref.clone()))
            .or_default()
            .push(interval);
    }
    let (mut whole, mut gone, mut come) = (Lived::default(), Gone::default(), Vec::new());
    for (key, events) in events_of {
        let (intervals, beginning_unknown) = intervals_of(&key, &events)?;
        whole.push(&key, &events, beginning_unknown);
        let before = stored_of.remove(&key).unwrap_or_default();
        let same = before.iter().zip(&intervals).take_while(|(old, new)| old == new).count();
        if let Some(first) = before.get(same) {
            gone.push(&key, first.starts);
        }
        come.extend(intervals.into_iter().skip(same));
    }
    whole.update(tx).await?;
    gone.delete(tx).await?;
    let rows: Vec<AccrualRow<'_>> = come.iter().map(row).collect();
    AccrualRow::insert(tx, &rows).await
}

/// Makes the rows of resources that are missing and locks all, in the order of the primary key.
async fn lock(
    tx: &mut PgConnection,
    pairs: BTreeSet<(&str, &str)>,
) -> sqlx::Result<(Vec<String>, Vec<String>)> {
    let (tenants, resources): (Vec<&str>, Vec<&str>) = pairs.into_iter().unzip();
    sqlx::query(
        "INSERT INTO cost_resource (tenant_id, resource_ref)
         SELECT DISTINCT tenant_id, weir_resource_ref(resource) FROM unnest($1::text[], $2::text[]) AS a(tenant_id, resource)
          ORDER BY 1, 2 ON CONFLICT DO NOTHING",
    )
    .bind(&tenants)
    .bind(&resources)
    .execute(&mut *tx)
    .await?;
    let locked: Vec<(String, String)> = sqlx::query_as(
        "SELECT r.tenant_id, r.resource_ref
           FROM cost_resource AS r
           JOIN (SELECT DISTINCT tenant_id, weir_resource_ref(resource) AS resource_ref
                   FROM unnest($1::text[], $2::text[]) AS a(tenant_id, resource)) AS a USING (tenant_id, resource_ref)
          ORDER BY 1, 2 FOR UPDATE OF r",
    )
    .bind(&tenants)
    .bind(&resources)
    .fetch_all(tx)
    .await?;
    Ok(locked.into_iter().unzip())
}

/// The intervals of one resource, and whether its beginning is unknown. An interval belongs to the series of the event
/// that made the resource, and where none is known of the first event about it.
fn intervals_of(key: &ResourceKey, events: &[Stored]) -> sqlx::Result<(Vec<StoredInterval>, bool)> {
    let kind_of = |event: &Stored| {
        LifecycleKind::from_name(&event.kind)
            .ok_or_else(|| sqlx::Error::Decode(format!("{:?} is no kind of event", event.kind).into()))
    };
    let mut lifecycle = Vec::with_capacity(events.len());
    for event in events {
        let Json(told) = &event.told;
        let (at, id, kind) = (event.happened_at, event.event_id, kind_of(event)?);
        lifecycle.push((Lifecycle { at, id, kind, told: told.clone() }, event));
    }
    lifecycle.sort_unstable_by_key(|(event, _)| (event.at, event.kind, event.id));
    let mut series = None;
    let mut about: BTreeMap<Uuid, (Uuid, Option<&str>)> = BTreeMap::new();
    for (event, stored) in &lifecycle {
        if event.kind == LifecycleKind::Provisioned || series.is_none() {
            series = Some(stored.series_key);
        }
        about.insert(event.id, (series.unwrap_or(stored.series_key), stored.actor.as_deref()));
    }
    let told: Vec<Lifecycle> = lifecycle.iter().map(|(event, _)| event.clone()).collect();
    let life = life(&told);
    let interval = |interval: Interval| {
        let (series_key, actor) = about.get(&interval.began_by).copied().unwrap_or_default();
        let (rate, unpriced) = match interval.rate {
            Ok(rate) => (Some(rate), None),
            Err(reason) => (None, Some(reason)),
        };
        StoredInterval {
            tenant_id: key.0.clone(),
            resource_ref: key.1.clone(),
            starts: interval.from,
            ends: interval.until,
            series_key,
            began_by: interval.began_by,
            hourly: rate.map(|rate| rate.hourly),
            monthly: rate.map(|rate| rate.monthly),
            unpriced,
            actor: actor.map(str::to_owned),
        }
    };
    Ok((life.intervals.into_iter().map(interval).collect(), life.beginning_unknown))
}

fn row(interval: &StoredInterval) -> AccrualRow<'_> {
    AccrualRow {
        tenant_id: &interval.tenant_id,
        resource_ref: &interval.resource_ref,
        starts: interval.starts,
        ends: interval.ends,
        series_key: interval.series_key,
        began_by: interval.began_by,
        hourly: interval.hourly,
        monthly: interval.monthly,
        unpriced: interval.unpriced.as_deref(),
        actor: interval.actor.as_deref(),
    }
}

/// Columns of the facts that concern a resource as a whole.
#[derive(Default)]
struct Lived {
    tenants: Vec<String>,
    refs: Vec<String>,
    first_at: Vec<Timestamp>,
    resources: Vec<String>,
    unknown: Vec<bool>,
}

impl Lived {
    fn push(&mut self, key: &ResourceKey, events: &[Stored], beginning_unknown: bool) {
        let Some(first) = events.iter().map(|event| event.happened_at).min() else { return };
        let Some(newest) = events.iter().max_by_key(|event| (event.happened_at, event.event_id)) else {
            return;
        };
        self.tenants.push(key.0.clone());
        self.refs.push(key.1.clone());
        self.first_at.push(first);
        self.resources.push(newest.resource.clone());
        self.unknown.push(beginning_unknown);
    }

    async fn update(&self, tx: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE cost_resource AS r SET first_at = a.first_at, resource = a.resource, beginning_unknown = a.unknown
               FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::boolean[])
                    AS a(tenant_id, resource_ref, first_at, resource, unknown)
              WHERE (r.tenant_id, r.resource_ref) = (a.tenant_id, a.resource_ref)
                AND (r.first_at, r.resource, r.beginning_unknown) IS DISTINCT FROM (a.first_at, a.resource, a.unknown)",
        )
        .bind(&self.tenants)
        .bind(&self.refs)
        .bind(&self.first_at)
        .bind(&self.resources)
        .bind(&self.unknown)
        .execute(tx)
        .await
        .map(drop)
    }
}

/// Intervals that are no more: those of a resource from an instant on.
#[derive(Default)]
struct Gone {
    tenants: Vec<String>,
    refs: Vec<String>,
    from: Vec<Timestamp>,
}

impl Gone {
    fn push(&mut self, key: &ResourceKey, from: Timestamp) {
        self.tenants.push(key.0.clone());
        self.refs.push(key.1.clone());
        self.from.push(from);
    }

    async fn delete(&self, tx: &mut PgConnection) -> sqlx::Result<()> {
        if self.tenants.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "DELETE FROM cost_accrual AS i
              USING unnest($1::text[], $2::text[], $3::timestamptz[]) AS a(tenant_id, resource_ref, starts)
              WHERE i.tenant_id = a.tenant_id AND i.resource_ref = a.resource_ref AND i.starts >= a.starts",
        )
        .bind(&self.tenants)
        .bind(&self.refs)
        .bind(&self.from)
        .execute(tx)
        .await
        .map(drop)
    }
}
