//! Kubernetes workloads, and the sums of what they requested and used of each node on each day.

use std::collections::BTreeMap;

use projections::cost::workload_key;
use rust_decimal::Decimal;
use schemas::changes::cost::{NodeMeasure, UtilisationFact, Workload};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{remembered::Remembered, table::WorkloadRow};
use crate::postgres::row_type::row_type;

/// Measurements of one day that are added up.
#[derive(Debug, sqlx::Encode)]
struct NodeShareRow<'a> {
    tenant_id: &'a str,
    node: &'a str,
    day: chrono::NaiveDate,
    pod: &'a str,
    container: &'a str,
    measure: &'a str,
    workload_key: Uuid,
    samples: i64,
    total: Decimal,
}

row_type!(NodeShareRow, "cost_node_share_row");

type Place<'a> = (&'a str, &'a str, chrono::NaiveDate, &'a str, &'a str, NodeMeasure, Uuid);

/// Adds measurements to the sums of their days, and writes the workloads that no committed batch wrote.
pub(super) async fn add(
    tx: &mut PgConnection,
    measured: &[&UtilisationFact],
    known: &mut Remembered,
) -> sqlx::Result<()> {
    let mut sums: BTreeMap<Place<'_>, (i64, Decimal)> = BTreeMap::new();
    let mut workloads: BTreeMap<(&str, Uuid), &Workload> = BTreeMap::new();
    for fact in measured {
        let Some(share) = &fact.node_share else { continue };
        let tenant = fact.tenant.as_str();
        let (pod, container, key) = match &share.pod {
            None => ("", "", Uuid::nil()),
            Some(pod) => {
                let key = workload_key(&pod.workload);
                if !known.has(tenant, key) {
                    workloads.entry((tenant, key)).or_insert(&pod.workload);
                }
                (pod.id.as_str(), pod.container.as_str(), key)
            }
        };
        let day = fact.at.date_naive();
        let place = (tenant, share.node.as_str(), day, pod, container, share.measure, key);
        let sum = sums.entry(place).or_default();
        sum.0 += 1;
        sum.1 += share.amount;
    }
    known.writes(workloads.keys().copied());
    if sums.is_empty() {
        return Ok(());
    }
    let rows: Vec<WorkloadRow<'_>> =
        workloads.into_iter().map(|((tenant, key), workload)| row(tenant, key, workload)).collect();
    WorkloadRow::insert_missing(tx, &rows).await?;
    let shares: Vec<NodeShareRow<'_>> = sums
        .into_iter()
        .map(|((tenant_id, node, day, pod, container, measure, workload_key), (samples, total))| {
            NodeShareRow {
                tenant_id,
                node,
                day,
                pod,
                container,
                measure: measure.name(),
                workload_key,
                samples,
                total: total.normalize(),
            }
        })
        .collect();
    sqlx::query(
        "INSERT INTO cost_node_day AS n (tenant_id, node_ref, day, pod, container, measure, workload_key, samples, total)
         SELECT tenant_id, weir_resource_ref(node), day, pod, container, measure, workload_key, sum(samples), sum(total)
           FROM unnest($1::cost_node_share_row[]) GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
         ON CONFLICT (tenant_id, node_ref, day, pod, container, measure, workload_key) DO UPDATE SET
                samples = n.samples + excluded.samples, total = trim_scale(n.total + excluded.total)",
    )
    .bind(&shares)
    .execute(tx)
    .await?;
    Ok(())
}

fn row<'a>(tenant_id: &'a str, workload_key: Uuid, workload: &'a Workload) -> WorkloadRow<'a> {
    let Workload { cluster, namespace, name, project, labels } = workload;
    let columns = [cluster, namespace, name, project].into_iter().chain(labels.values());
    WorkloadRow {
        tenant_id,
        workload_key,
        cluster,
        namespace,
        name,
        project,
        labels: Json(labels),
        told: i32::try_from(columns.filter(|value| !value.is_empty()).count()).unwrap_or(i32::MAX),
    }
}
