//! Divides the cost of a cluster's node by workload: each pays for the larger of its request and its usage.

use rust_decimal::Decimal;

use super::{TooLarge, divide};

/// A node, or a pool of equal nodes, over a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCost {
    /// Cost in the period.
    pub amount: Decimal,
    /// CPU cores.
    pub cpu: Decimal,
    /// Memory in gigabytes.
    pub memory_gb: Decimal,
}

/// A workload on the node over the same period, with averages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Namespace and name.
    pub name: String,
    /// Requested CPU cores.
    pub cpu_requested: Decimal,
    /// Used CPU cores.
    pub cpu_used: Decimal,
    /// Requested memory in gigabytes.
    pub memory_requested_gb: Decimal,
    /// Used memory in gigabytes.
    pub memory_used_gb: Decimal,
}

/// The cost of a node by workload; the sum with `idle` is the node's cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadCosts {
    /// In the order of the workloads.
    pub workloads: Vec<(String, Decimal)>,
    /// Cost of the capacity that is neither requested nor used.
    pub idle: Decimal,
}

/// Divides a node's cost. Half of it is for CPU, half for memory. Where workloads together take more than the node has
/// (usage above requests), they share the whole and nothing is idle. Negative figures count as 0.
///
/// # Errors
/// As [`super::allocate`].
pub fn workloads(node: &NodeCost, workloads: &[Workload]) -> Result<WorkloadCosts, TooLarge> {
    let [for_cpu, for_memory] = match divide(node.amount, &[Decimal::ONE, Decimal::ONE])? {
        Some(halves) => [halves[0], halves[1]],
        None => [node.amount, Decimal::ZERO],
    };
    let larger = |a: Decimal, b: Decimal| a.max(b).max(Decimal::ZERO);
    let cpu: Vec<Decimal> = workloads.iter().map(|w| larger(w.cpu_requested, w.cpu_used)).collect();
    let memory: Vec<Decimal> =
        workloads.iter().map(|w| larger(w.memory_requested_gb, w.memory_used_gb)).collect();
    let (of_cpu, idle_cpu) = by_taken(for_cpu, node.cpu, &cpu)?;
    let (of_memory, idle_memory) = by_taken(for_memory, node.memory_gb, &memory)?;
    let costs = workloads.iter().zip(of_cpu.into_iter().zip(of_memory));
    Ok(WorkloadCosts {
        workloads: costs.map(|(workload, (cpu, memory))| (workload.name.clone(), cpu + memory)).collect(),
        idle: idle_cpu + idle_memory,
    })
}

/// Each workload's part, and the rest.
fn by_taken(
    amount: Decimal,
    capacity: Decimal,
    taken: &[Decimal],
) -> Result<(Vec<Decimal>, Decimal), TooLarge> {
    let mut sum = Decimal::ZERO;
    for one in taken {
        sum = sum.checked_add(*one).ok_or(TooLarge)?;
    }
    let left = (capacity - sum).max(Decimal::ZERO);
    let weights: Vec<Decimal> = taken.iter().copied().chain([left]).collect();
    Ok(match divide(amount, &weights)? {
        None => (vec![Decimal::ZERO; taken.len()], amount),
        Some(mut parts) => {
            let idle = parts.pop().unwrap_or_default();
            (parts, idle)
        }
    })
}
