//! Workloads: what each Kubernetes workload costs, by the larger of what its pods request and use of each node on each day.
//!
//! The cost of a node on a day is that of its machine, as charges name it. A pod's amounts count by their averages, for the part
//! of the day in which it was measured: its samples, of those of the pod of the node with the most. A pod that is measured as a
//! whole and by its containers counts once, by the larger.

mod divide;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use costs::allocation::Amount;
use rust_decimal::Decimal;
use schemas::{TenantId, changes::cost::BudgetCost};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use self::divide::Division;
pub(super) use self::divide::{Named, divided};
use super::{
    STAGE,
    filter::{CostFilter, CostView},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};

/// Grouping of workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadsBy {
    /// Each workload of each namespace.
    #[default]
    Workload,
    /// All workloads of a namespace together.
    Namespace,
    /// All workloads of a cluster together.
    Cluster,
}

/// Request for the costs of workloads.
#[derive(Debug, Clone)]
pub struct WorkloadsRequest {
    /// Days and instant of knowledge to read costs for.
    pub view: CostView,
    /// Filter on the charges of nodes.
    pub filter: CostFilter,
    /// Cost that is divided.
    pub cost: BudgetCost,
    /// Grouping.
    pub by: WorkloadsBy,
    /// Most workloads of each currency.
    pub limit: usize,
}

/// Costs of one workload, or of a group of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkloadCost {
    /// The cluster.
    pub cluster: String,
    /// The namespace; null if the answer is grouped by cluster.
    pub namespace: Option<String>,
    /// The workload; null if the answer is grouped.
    pub workload: Option<String>,
    /// Part of the nodes' cost, a decimal.
    pub cost: String,
    /// CPU in core-days, and memory in gigabyte-days.
    #[serde(flatten)]
    pub amounts: WorkloadAmounts,
}

/// CPU and memory that a workload requested and used: sums of the averages of days, rounded to six decimal places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkloadAmounts {
    /// Requested CPU, core-days.
    pub cpu_requested: String,
    /// Used CPU, core-days.
    pub cpu_used: String,
    /// Requested memory, gigabyte-days of 2^30 bytes.
    pub memory_requested_gb: String,
    /// Used memory, gigabyte-days of 2^30 bytes.
    pub memory_used_gb: String,
}

/// Costs of workloads in one currency; `workloads`, `others` and `idle` add up to `total`, to the last digit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrencyWorkloads {
    /// ISO 4217.
    pub currency: String,
    /// Highest cost first.
    pub workloads: Vec<WorkloadCost>,
    /// Cost of the workloads beyond the limit.
    pub others: String,
    /// Cost of capacity that no pod requested or used.
    pub idle: String,
    /// Cost of the nodes whose pods were measured.
    pub total: String,
    /// Number of these nodes.
    pub nodes: u64,
}

/// Costs of workloads by currency, and the positions that they reflect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workloads {
    /// Of each currency.
    pub currencies: Vec<CurrencyWorkloads>,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// Reads the costs of workloads.
pub async fn workloads(
    pool: &PgPool,
    tenant: &TenantId,
    request: &WorkloadsRequest,
) -> Result<Workloads, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let division =
        divided(&mut snapshot, tenant, (&request.view, &request.filter, request.cost), &[]).await?;
    let currencies: BTreeSet<&str> =
        division.divided.iter().map(|divided| divided.of.currency.as_str()).collect();
    let currencies = currencies.into_iter().map(|currency| division.of_currency(currency, request));
    Ok(Workloads { currencies: currencies.collect(), positions: snapshot.positions })
}

/// Cluster, namespace and workload of a group.
type Group<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Sums of a group.
#[derive(Default)]
struct Sums {
    cost: Amount,
    amounts: [Decimal; 4],
}

impl Division {
    fn group(&self, by: WorkloadsBy, workload: Uuid) -> Group<'_> {
        let Some(Named { cluster, namespace, name, .. }) = self.named.get(&workload) else {
            return ("", None, None);
        };
        match by {
            WorkloadsBy::Workload => (cluster, Some(namespace), Some(name)),
            WorkloadsBy::Namespace => (cluster, Some(namespace), None),
            WorkloadsBy::Cluster => (cluster, None, None),
        }
    }

    fn of_currency(&self, currency: &str, request: &WorkloadsRequest) -> CurrencyWorkloads {
        let mut groups: BTreeMap<Group<'_>, Sums> = BTreeMap::new();
        let (mut idle, mut total) = (Amount::default(), Amount::default());
        let mut nodes: BTreeSet<(&str, NaiveDate)> = BTreeSet::new();
        for divided in self.divided.iter().filter(|divided| divided.of.currency == currency) {
            for (workload, part) in &divided.parts {
                let sums = groups.entry(self.group(request.by, *workload)).or_default();
                sums.cost += part;
            }
            idle += &divided.idle;
            total += &divided.amount;
            nodes.insert((&divided.of.node, divided.of.day));
        }
        for (node, day) in &nodes {
            for part in self.amounts.get(&((*node).to_owned(), *day)).into_iter().flatten() {
                let sums = groups.entry(self.group(request.by, part.workload)).or_default();
                let amounts = [part.cpu_requested, part.cpu_used, part.memory_requested, part.memory_used];
                for (sum, amount) in sums.amounts.iter_mut().zip(amounts) {
                    *sum = sum.saturating_add(amount);
                }
            }
        }
        let mut sorted: Vec<(Group<'_>, Sums)> = groups.into_iter().collect();
        sorted.sort_by(|(a, of_a), (b, of_b)| of_b.cost.cmp(&of_a.cost).then_with(|| a.cmp(b)));
        let beyond = sorted.split_off(request.limit.min(sorted.len()));
        let others: Amount = beyond.iter().map(|(_, sums)| &sums.cost).sum();
        let machines: BTreeSet<&str> = nodes.into_iter().map(|(node, _)| node).collect();
        CurrencyWorkloads {
            currency: currency.to_owned(),
            workloads: sorted.into_iter().map(|(group, sums)| shown(group, &sums)).collect(),
            others: others.to_string(),
            idle: idle.to_string(),
            total: total.to_string(),
            nodes: machines.len() as u64,
        }
    }
}

fn shown((cluster, namespace, workload): Group<'_>, sums: &Sums) -> WorkloadCost {
    let [cpu_requested, cpu_used, memory_requested_gb, memory_used_gb] =
        sums.amounts.map(|amount| amount.round_dp(6).normalize().to_string());
    WorkloadCost {
        cluster: cluster.to_owned(),
        namespace: namespace.map(str::to_owned),
        workload: workload.map(str::to_owned),
        cost: sums.cost.to_string(),
        amounts: WorkloadAmounts { cpu_requested, cpu_used, memory_requested_gb, memory_used_gb },
    }
}
