//! Findings about costs that follow from the course of days: budgets whose forecast reaches a threshold, anomalies, and first
//! spends, each once.
//!
//! A round looks at every tenant with costs; several processes may run rounds, of which one at a time works. A finding goes
//! into the outbox of the stage `cost` in the transaction that notes that it was reported. A first spend is also an event of
//! the activity family, which a gateway publishes and the stage `risk` reads as a signal.

use chrono::NaiveDate;
use projections::cost::finding::{AnomalyFound, CE_SOURCE, CauseFound, CostFinding, ForecastCrossing};
use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp, Topic,
    changes::cost::{BudgetCost, STAGE},
    envelope::native_format,
    events::{Activity, ActivityKind, Actor, ActorKind, Outcome, Resource},
};
use serde_json::json;
use sqlx::{PgConnection, PgPool, Row};
use tracing::warn;

use crate::{
    batch::TopicPartition,
    event_outbox,
    outbox::{self, Outgoing, PublishedFinding},
    read_models::{
        ReadError,
        cost::read::{
            AnomaliesRequest, BudgetItem, BudgetsRequest, CostAnomaly, CostFilter, CostView, anomalies,
            budgets,
        },
        writer_pool,
    },
};

/// Most anomalies of a tenant in a round; the largest come first.
const MAX_ANOMALIES: u16 = 1_000;
/// Budgets on a page.
const BUDGETS: u16 = 200;
/// Connections of a round: one holds its lock, one reads and writes.
const CONNECTIONS: u32 = 2;

/// Finds and reports what follows from the course of days.
pub struct CostOutlook {
    pool: PgPool,
    /// Day and number of applied facts of the last round: nothing else changes what it finds.
    done: Option<(NaiveDate, i64)>,
}

impl CostOutlook {
    /// Over the database of the stage `cost`, whose login must be a member of `weir_writer`. Connects when it is first used.
    pub fn new(database_url: &str) -> sqlx::Result<Self> {
        Ok(Self { pool: writer_pool(database_url, CONNECTIONS)?, done: None })
    }

    /// One round; the number of new findings. 0 as well while another process is at work, or if nothing has changed. A tenant
    /// whose costs cannot be read is logged and looked at again in the next round; the others are not affected.
    pub async fn round(&mut self, now: Timestamp) -> Result<u64, ReadError> {
        let today = now.date_naive();
        let mut lock = self.pool.begin().await?;
        let (is_ours, applied): (bool, i64) = sqlx::query_as(
            "SELECT pg_try_advisory_xact_lock(hashtextextended('weir.cost.outlook', 0)),
                    (SELECT coalesce(sum(applied), 0)::bigint FROM stage_position WHERE stage = $1)",
        )
        .bind(STAGE)
        .fetch_one(&mut *lock)
        .await?;
        if !is_ours || self.done == Some((today, applied)) {
            return Ok(0);
        }
        let tenants: Vec<String> = sqlx::query_scalar(
            "SELECT tenant_id FROM cost_scope UNION SELECT tenant_id FROM cost_resource ORDER BY 1",
        )
        .fetch_all(&mut *lock)
        .await?;
        let (mut told, mut is_complete) = (0, true);
        for tenant in tenants.iter().filter_map(|tenant| TenantId::new(tenant).ok()) {
            match self.of_tenant(&tenant, now).await {
                Ok(found) => told += found,
                Err(error) => {
                    // Where the database is away, no other tenant can be read either.
                    sqlx::query("SELECT").execute(&mut *lock).await?;
                    warn!(%tenant, %error, "cannot look for findings about the costs of a tenant; will try again");
                    is_complete = false;
                }
            }
        }
        lock.rollback().await?;
        if is_complete {
            self.done = Some((today, applied));
        }
        Ok(told)
    }

    /// Finds and reports what is new about a tenant; the number of new findings.
    async fn of_tenant(&self, tenant: &TenantId, now: Timestamp) -> Result<u64, ReadError> {
        let mut found = self.forecasts(tenant, now).await?;
        found.extend(self.anomalies(tenant, now).await?);
        self.report(tenant, &found).await
    }

    /// Thresholds that forecasts reach and spending has not.
    async fn forecasts(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<Found>, ReadError> {
        let day = now.date_naive();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let asked =
                BudgetsRequest { day, known_at: None, forecast_from: Some(day), after, limit: BUDGETS };
            let page = budgets(&self.pool, tenant, &asked).await?;
            for item in &page.items {
                let crossings = crossings(item);
                found.extend(crossings.iter().map(|crossing| Found {
                    finding: CostFinding::of_forecast(tenant, crossing, now),
                    event: None,
                }));
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    async fn anomalies(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<Found>, ReadError> {
        let asked = AnomaliesRequest {
            view: CostView::default(),
            filter: CostFilter::default(),
            cost: BudgetCost::Billed,
            today: now.date_naive(),
            limit: MAX_ANOMALIES,
        };
        let answer = anomalies(&self.pool, tenant, &asked).await?;
        let found = |anomaly: CostAnomaly| {
            let finding = CostFinding::of_anomaly(tenant, &anomaly_found(&anomaly), now);
            let event = (anomaly.kind == "first_spend").then(|| first_spend(tenant, &anomaly, &finding));
            Found { finding, event: event.map(Box::new) }
        };
        Ok(answer.items.into_iter().map(found).collect())
    }

    /// Notes findings and puts the new ones into the outbox, with their events into that of the gateway; their number.
    async fn report(&self, tenant: &TenantId, found: &[Found]) -> Result<u64, ReadError> {
        if found.is_empty() {
            return Ok(0);
        }
        let mut tx = self.pool.begin().await?;
        let new: Vec<uuid::Uuid> = sqlx::query_scalar(
            "INSERT INTO cost_reported (tenant_id, finding, kind)
             SELECT DISTINCT ON (f.finding) $1, f.finding, f.kind FROM unnest($2::uuid[], $3::text[]) AS f(finding, kind)
              ORDER BY f.finding
             ON CONFLICT DO NOTHING RETURNING finding",
        )
        .bind(tenant.as_str())
        .bind(found.iter().map(|found| *found.finding.id.as_uuid()).collect::<Vec<_>>())
        .bind(found.iter().map(|found| found.finding.ce_type).collect::<Vec<_>>())
        .fetch_all(&mut *tx)
        .await?;
        let is_new = |found: &&Found| new.contains(found.finding.id.as_uuid());
        let new: Vec<&Found> = found.iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(0);
        }
        let outgoing =
            |from: TopicPartition| new.iter().map(|found| found.record(tenant, from)).collect::<Vec<_>>();
        if !enqueue(&mut tx, outgoing).await? {
            return Ok(0);
        }
        let events: Vec<Envelope> = new.iter().filter_map(|found| found.event.as_deref().cloned()).collect();
        event_outbox::write(&mut tx, &events).await?;
        tx.commit().await?;
        for found in &new {
            metrics::counter!("weir_cost_findings_total", "type" => found.finding.ce_type).increment(1);
        }
        Ok(new.len() as u64)
    }
}

/// Puts records into the outbox, numbered with those that the stage itself causes; false without a partition of its own.
async fn enqueue(
    tx: &mut PgConnection,
    records: impl FnOnce(TopicPartition) -> Vec<Outgoing>,
) -> sqlx::Result<bool> {
    // The row's lock orders the numbers, as in the stage's own transactions.
    let row = sqlx::query(
        "SELECT partition, outbox_next FROM stage_position WHERE stage = $1 AND topic = $2
          ORDER BY partition LIMIT 1 FOR UPDATE",
    )
    .bind(STAGE)
    .bind(Topic::Usage.name())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let from = TopicPartition { topic: Topic::Usage, partition: row.try_get("partition")? };
    let first: i64 = row.try_get("outbox_next")?;
    let numbered: Vec<(i64, Outgoing)> = (first..).zip(records(from)).collect();
    sqlx::query(
        "UPDATE stage_position SET outbox_next = outbox_next + $4 WHERE stage = $1 AND topic = $2 AND partition = $3",
    )
    .bind(STAGE)
    .bind(from.topic.name())
    .bind(from.partition)
    .bind(i64::try_from(numbered.len()).unwrap_or(i64::MAX))
    .execute(&mut *tx)
    .await?;
    outbox::write(tx, STAGE, &numbered).await?;
    Ok(true)
}

/// A finding, with the event that is published beside it.
struct Found {
    finding: CostFinding,
    event: Option<Box<Envelope>>,
}

impl Found {
    fn record(&self, tenant: &TenantId, from: TopicPartition) -> Outgoing {
        let finding = &self.finding;
        let published = PublishedFinding {
            tenant,
            about: &finding.subject,
            id: finding.id,
            ce_source: CE_SOURCE,
            ce_type: finding.ce_type,
            ce_subject: &finding.subject,
            time: finding.time,
            record: finding.record.clone(),
        };
        published.caused_by(from)
    }
}

fn crossings(item: &BudgetItem) -> Vec<ForecastCrossing> {
    let Some(terms) = &item.terms else { return Vec::new() };
    let Some(forecast) = &terms.forecast else { return Vec::new() };
    let crossing = |percent: i64, expected_on: NaiveDate| ForecastCrossing {
        budget: item.budget.clone(),
        set_by: item.set_by,
        period_start: terms.period_start,
        percent,
        expected_on,
        expected: forecast.spent,
        amount: terms.amount.clone(),
        currency: terms.currency.clone(),
        enforcement: terms.enforcement,
    };
    let to_come = forecast.thresholds.iter().filter_map(|reached| Some((reached.percent, reached.day?)));
    to_come.map(|(percent, day)| crossing(percent, day)).collect()
}

fn anomaly_found(anomaly: &CostAnomaly) -> AnomalyFound {
    let CostAnomaly { account, service, region, resource, .. } = anomaly;
    AnomalyFound {
        kind: anomaly.kind.clone(),
        day: anomaly.day,
        place: [account.clone(), service.clone(), region.clone(), resource.clone()],
        dimension: (anomaly.dimension.clone(), anomaly.dimension_value.clone()),
        currency: anomaly.currency.clone(),
        expected: anomaly.expected,
        actual: anomaly.actual,
        severity: anomaly.severity.clone(),
        cause: anomaly.cause.as_ref().map(|cause| CauseFound {
            event_id: cause.event_id,
            actor: cause.actor.clone(),
            resource: cause.resource.clone(),
        }),
    }
}

/// The event that a first spend is for detection rules. Its actor is that of the event behind it, if one is known.
fn first_spend(tenant: &TenantId, anomaly: &CostAnomaly, finding: &CostFinding) -> Envelope {
    let cause = anomaly.cause.as_ref();
    let actor = cause.and_then(|cause| cause.actor.clone());
    let native = json!({
        "actor": actor,
        "actual": anomaly.actual,
        "currency": anomaly.currency,
        "day": anomaly.day.to_string(),
        "dimension": anomaly.dimension,
        "event_id": cause.map(|cause| cause.event_id.to_string()),
        "kind": anomaly.kind,
        "value": anomaly.dimension_value,
    });
    let id = format!("{}/event", finding.id);
    Envelope {
        id: EventId::derived(tenant, native_format::COST_ANOMALY, id.as_bytes()),
        original_id: None,
        tenant: tenant.clone(),
        source: Source::new(CE_SOURCE).expect("a URI reference"),
        subject: None,
        occurred_at: finding.time,
        skewed: false,
        time_assumed: false,
        correlation_id: None,
        causation_id: cause.map(|cause| cause.event_id.to_string()),
        trace: None,
        event: Event::Activity(Activity {
            kind: ActivityKind::ApiCalled,
            action: "FirstSpend".to_owned(),
            service: Some("weir.cost".to_owned()),
            actor: match actor {
                Some(id) => Actor { kind: ActorKind::Unknown, id, ..Actor::default() },
                None => Actor { kind: ActorKind::System, id: "weir".to_owned(), ..Actor::default() },
            },
            resources: vec![Resource {
                id: format!("cost/{}/{}", anomaly.dimension, anomaly.dimension_value),
                ..Resource::default()
            }],
            outcome: Outcome::default(),
            read_only: None,
            request_id: None,
        }),
        native: Some(Native {
            format: native_format::COST_ANOMALY.to_owned(),
            record: native.to_string().into(),
        }),
    }
}
