//! Divides the costs of nodes by the larger of what each pod requests and uses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use costs::allocation::{self, Amount, NodeCost, Taken};
use rust_decimal::Decimal;
use schemas::{
    TenantId,
    changes::cost::{BudgetCost, NodeMeasure},
};
use sqlx::{QueryBuilder, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::super::{
    allocation::{exact, push_amount},
    filter::{CostFilter, CostView, Days},
};
use crate::read_models::snapshot::{ReadError, Snapshot};

/// Most parts of nodes on a day; beyond it the question is too large.
const MAX_PARTS: i64 = 500_000;
/// Bytes of a gigabyte, in which memory is told.
const GIGABYTE: i64 = 1 << 30;

/// The parts of nodes by day and workload: the sums of the pods' averages, and of the larger of request and usage of each pod.
/// The workload of a pod is the one with the most labels where its measurements tell several.
const PARTS: &str = "WITH measured AS (
       SELECT node_ref, day, pod, container, measure, workload_key, total,
              max(samples) OVER (PARTITION BY node_ref, day, measure) AS most
         FROM cost_node_day
        WHERE tenant_id = $1 AND pod <> '' AND node_ref = ANY ($2) AND day BETWEEN $3 AND $4
     ), averages AS (
       SELECT node_ref, day, pod, measure,
              greatest(sum(total / most) FILTER (WHERE container = ''), sum(total / most) FILTER (WHERE container <> ''))
                AS average
         FROM measured GROUP BY 1, 2, 3, 4
     ), pods AS (
       SELECT node_ref, day, pod,
              coalesce(max(average) FILTER (WHERE measure = 'cpu_requested'), 0) AS cpu_requested,
              coalesce(max(average) FILTER (WHERE measure = 'cpu_used'), 0) AS cpu_used,
              coalesce(max(average) FILTER (WHERE measure = 'memory_requested'), 0) AS memory_requested,
              coalesce(max(average) FILTER (WHERE measure = 'memory_working_set'),
                       max(average) FILTER (WHERE measure = 'memory_used'), 0) AS memory_used
         FROM averages GROUP BY 1, 2, 3
     ), named AS (
       SELECT DISTINCT ON (m.node_ref, m.day, m.pod) m.node_ref, m.day, m.pod, m.workload_key
         FROM measured AS m JOIN cost_workload AS w ON w.tenant_id = $1 AND w.workload_key = m.workload_key
        ORDER BY m.node_ref, m.day, m.pod, w.told DESC, m.workload_key
     )
     SELECT node_ref, day, workload_key, round(sum(cpu_requested), 9), round(sum(cpu_used), 9),
            round(sum(memory_requested), 9), round(sum(memory_used), 9), round(sum(greatest(cpu_requested, cpu_used)), 9),
            round(sum(greatest(memory_requested, memory_used)), 9)
       FROM pods JOIN named USING (node_ref, day, pod)
      GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $5";

/// The capacity of nodes by day. What a node offers to its pods comes after what it has, and so takes its place.
const CAPACITIES: &str =
    "SELECT node_ref, day, measure, round(sum(total) / sum(samples), 9) FROM cost_node_day
      WHERE tenant_id = $1 AND pod = '' AND node_ref = ANY ($2) AND day BETWEEN $3 AND $4 GROUP BY 1, 2, 3
      ORDER BY measure LIKE '%_allocatable'";

/// A workload with its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::read_models::cost::read) struct Named {
    pub(in crate::read_models::cost::read) cluster: String,
    pub(in crate::read_models::cost::read) namespace: String,
    pub(in crate::read_models::cost::read) name: String,
    pub(in crate::read_models::cost::read) project: String,
    pub(in crate::read_models::cost::read) labels: BTreeMap<String, String>,
}

/// Charges of a node on a day that are divided together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::read_models::cost::read) struct NodeCharge {
    pub(in crate::read_models::cost::read) currency: String,
    pub(in crate::read_models::cost::read) sub_account: String,
    /// Tags of the charges, as far as they were asked for.
    pub(in crate::read_models::cost::read) tags: BTreeMap<String, String>,
    pub(super) node: String,
    pub(super) day: NaiveDate,
}

/// A divided amount.
pub(in crate::read_models::cost::read) struct Divided {
    pub(in crate::read_models::cost::read) of: NodeCharge,
    pub(in crate::read_models::cost::read) amount: Amount,
    /// Parts by key of the workload.
    pub(in crate::read_models::cost::read) parts: Vec<(Uuid, Amount)>,
    pub(in crate::read_models::cost::read) idle: Amount,
}

/// Costs of nodes, divided by workload.
#[derive(Default)]
pub(in crate::read_models::cost::read) struct Division {
    pub(in crate::read_models::cost::read) divided: Vec<Divided>,
    pub(in crate::read_models::cost::read) named: HashMap<Uuid, Named>,
    pub(super) amounts: BTreeMap<(String, NaiveDate), Vec<Part>>,
}

/// Part of a node on a day.
pub(super) struct Part {
    pub(super) workload: Uuid,
    pub(super) cpu_requested: Decimal,
    pub(super) cpu_used: Decimal,
    pub(super) memory_requested: Decimal,
    pub(super) memory_used: Decimal,
    taken: Taken,
}

/// Divides the costs of all nodes whose pods were measured; `tags` are those of the charges that are told apart.
pub(in crate::read_models::cost::read) async fn divided(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    (view, filter, cost): (&CostView, &CostFilter, BudgetCost),
    tags: &[String],
) -> Result<Division, ReadError> {
    if !has_workloads(snapshot, tenant).await? {
        return Ok(Division::default());
    }
    let charges = node_charges(snapshot, tenant, (view, filter, cost), tags).await?;
    let days: BTreeSet<NaiveDate> = charges.iter().map(|(charge, _)| charge.day).collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return Ok(Division::default()) };
    let days = (*first, *last);
    let nodes: BTreeSet<&str> = charges.iter().map(|(charge, _)| charge.node.as_str()).collect();
    let nodes: Vec<String> = nodes.into_iter().map(str::to_owned).collect();
    let amounts = parts(snapshot, tenant, &nodes, days).await?;
    let capacities = capacities(snapshot, tenant, &nodes, days).await?;
    let named = named(snapshot, tenant, amounts.values().flatten().map(|part| part.workload)).await?;
    let mut divided = Vec::with_capacity(charges.len());
    for (of, amount) in charges {
        let place = (of.node.clone(), of.day);
        let Some(parts) = amounts.get(&place) else { continue };
        let node = NodeCost {
            amount: amount.clone(),
            capacity: capacities.get(&place).copied().unwrap_or_default(),
        };
        let taken: Vec<Taken> = parts.iter().map(|part| part.taken).collect();
        let costs = allocation::workloads(&node, &taken);
        let parts = parts.iter().map(|part| part.workload).zip(costs.workloads).collect();
        divided.push(Divided { of, amount, parts, idle: costs.idle });
    }
    Ok(Division { divided, named, amounts })
}

/// Whether anything was measured of the tenant's nodes: most tenants' allocations need to look no further.
async fn has_workloads(snapshot: &mut Snapshot, tenant: &TenantId) -> Result<bool, ReadError> {
    let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM cost_node_day WHERE tenant_id = $1)")
        .bind(tenant.as_str())
        .fetch_one(snapshot.connection());
    Ok(found.await?)
}

/// Charges of the machines of nodes by day.
async fn node_charges(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    (view, filter, cost): (&CostView, &CostFilter, BudgetCost),
    tags: &[String],
) -> Result<Vec<(NodeCharge, Amount)>, ReadError> {
    let mut query = QueryBuilder::new(
        "SELECT s.currency, s.sub_account, coalesce((SELECT jsonb_object_agg(t.key, t.value) FROM jsonb_each_text(s.tags) AS t \
         WHERE t.key = ANY (",
    );
    query.push_bind(tags.to_vec()).push(")), '{}'::jsonb), s.resource_ref, d.day, trim_scale(");
    push_amount(&mut query, cost);
    query.push(")::text");
    Days::of_charges().push_where(&mut query, tenant, view, filter);
    query.push(" AND EXISTS (SELECT FROM cost_node_day AS n WHERE n.tenant_id = ");
    query.push_bind(tenant.as_str().to_owned());
    query.push(" AND n.node_ref = s.resource_ref AND n.day = d.day AND n.pod <> '')");
    query.push(" GROUP BY 1, 2, 3, 4, 5 ORDER BY 4, 5 LIMIT ").push_bind(MAX_PARTS + 1);
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    check_size(rows.len())?;
    let charge = |row: &PgRow| -> Result<_, ReadError> {
        let tags: Json<BTreeMap<String, String>> = row.try_get(2)?;
        let of = NodeCharge {
            currency: row.try_get(0)?,
            sub_account: row.try_get(1)?,
            tags: tags.0,
            node: row.try_get(3)?,
            day: row.try_get(4)?,
        };
        Ok((of, exact(row.try_get(5)?)?))
    };
    rows.iter().map(charge).collect()
}

async fn parts(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    nodes: &[String],
    (first, last): (NaiveDate, NaiveDate),
) -> Result<BTreeMap<(String, NaiveDate), Vec<Part>>, ReadError> {
    let rows = sqlx::query(PARTS)
        .bind(tenant.as_str())
        .bind(nodes)
        .bind(first)
        .bind(last)
        .bind(MAX_PARTS + 1)
        .fetch_all(snapshot.connection())
        .await?;
    check_size(rows.len())?;
    let mut parts: BTreeMap<(String, NaiveDate), Vec<Part>> = BTreeMap::new();
    for row in &rows {
        let gigabytes =
            |column: usize| -> Result<Decimal, ReadError> { Ok(in_gigabytes(row.try_get(column)?)) };
        let cores = |column: usize| row.try_get::<Decimal, _>(column);
        parts.entry((row.try_get(0)?, row.try_get(1)?)).or_default().push(Part {
            workload: row.try_get(2)?,
            cpu_requested: cores(3)?,
            cpu_used: cores(4)?,
            memory_requested: gigabytes(5)?,
            memory_used: gigabytes(6)?,
            taken: Taken { cpu: cores(7)?, memory_gb: gigabytes(8)? },
        });
    }
    Ok(parts)
}

async fn capacities(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    nodes: &[String],
    (first, last): (NaiveDate, NaiveDate),
) -> Result<HashMap<(String, NaiveDate), Taken>, ReadError> {
    let rows: Vec<(String, NaiveDate, String, Decimal)> = sqlx::query_as(CAPACITIES)
        .bind(tenant.as_str())
        .bind(nodes)
        .bind(first)
        .bind(last)
        .fetch_all(snapshot.connection())
        .await?;
    let mut capacities: HashMap<(String, NaiveDate), Taken> = HashMap::new();
    for (node, day, measure, amount) in rows {
        let capacity = capacities.entry((node, day)).or_default();
        let is_cpu =
            [NodeMeasure::CpuAllocatable, NodeMeasure::CpuCapacity].iter().any(|of| of.name() == measure);
        if is_cpu {
            capacity.cpu = amount;
        } else {
            capacity.memory_gb = in_gigabytes(amount);
        }
    }
    Ok(capacities)
}

async fn named(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    keys: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, Named>, ReadError> {
    let keys: Vec<Uuid> = keys.collect::<BTreeSet<_>>().into_iter().collect();
    let rows = sqlx::query(
        "SELECT workload_key, cluster, namespace, name, project, labels FROM cost_workload
          WHERE tenant_id = $1 AND workload_key = ANY ($2)",
    )
    .bind(tenant.as_str())
    .bind(&keys)
    .fetch_all(snapshot.connection())
    .await?;
    let named = |row: &PgRow| -> Result<_, ReadError> {
        let labels: Json<BTreeMap<String, String>> = row.try_get(5)?;
        Ok((
            row.try_get(0)?,
            Named {
                cluster: row.try_get(1)?,
                namespace: row.try_get(2)?,
                name: row.try_get(3)?,
                project: row.try_get(4)?,
                labels: labels.0,
            },
        ))
    };
    rows.iter().map(named).collect()
}

fn check_size(rows: usize) -> Result<(), ReadError> {
    let most = usize::try_from(MAX_PARTS).unwrap_or(usize::MAX);
    if rows > most { Err(ReadError::TooSlow) } else { Ok(()) }
}

fn in_gigabytes(bytes: Decimal) -> Decimal {
    (bytes / Decimal::from(GIGABYTE)).round_dp(9).normalize()
}
