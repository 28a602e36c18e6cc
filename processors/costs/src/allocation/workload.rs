//! Divides the cost of a cluster's node by workload: each pays for the larger of its request and its usage.

use rust_decimal::Decimal;

use super::{Amount, divide};

/// Price of a CPU core and of a gigabyte of memory for an hour, in one currency: their ratio divides a node's cost between CPU
/// and memory. Source: OpenCost, default pricing of on-demand machines (`configs/default.json`).
const PRICES: Taken = Taken {
    cpu: Decimal::from_parts(31_611, 0, 0, false, 6),
    memory_gb: Decimal::from_parts(4_237, 0, 0, false, 6),
};

/// CPU and memory, averages over a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// CPU cores.
    pub cpu: Decimal,
    /// Memory in gigabytes.
    pub memory_gb: Decimal,
}

/// A node over a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCost {
    /// Cost in the period.
    pub amount: Amount,
    /// The node's capacity; an unknown one is 0.
    pub capacity: Taken,
}

/// The cost of a node by workload; the sum with `idle` is the node's cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadCosts {
    /// In the order of the workloads.
    pub workloads: Vec<Amount>,
    /// Cost of the capacity that is neither requested nor used.
    pub idle: Amount,
}

/// Divides a node's cost by the larger of request and usage of each workload. CPU and memory share it in proportion to the
/// prices of the node's capacity. Where workloads together take more than the node has (usage above requests, or an unknown
/// capacity), they share the whole and nothing is idle. Negative figures count as 0.
pub fn workloads(node: &NodeCost, taken: &[Taken]) -> WorkloadCosts {
    let cpu = Side::of(node.capacity.cpu, taken.iter().map(|taken| taken.cpu));
    let memory = Side::of(node.capacity.memory_gb, taken.iter().map(|taken| taken.memory_gb));
    let by_price = [(&cpu, PRICES.cpu), (&memory, PRICES.memory_gb)]
        .map(|(side, price)| side.whole.times(&price.into()));
    let (for_cpu, for_memory) = match divide(&node.amount, &by_price).as_deref() {
        Some([for_cpu, for_memory]) => (for_cpu.clone(), for_memory.clone()),
        _ => (node.amount.clone(), Amount::default()),
    };
    let ((of_cpu, idle_cpu), (of_memory, idle_memory)) = (cpu.divide(for_cpu), memory.divide(for_memory));
    WorkloadCosts {
        workloads: of_cpu.into_iter().zip(&of_memory).map(|(cpu, memory)| cpu + memory).collect(),
        idle: idle_cpu + &idle_memory,
    }
}

/// CPU or memory of a node.
struct Side {
    /// The workloads' shares, and then the unused capacity.
    weights: Vec<Amount>,
    /// Capacity, or all that is taken if that is more.
    whole: Amount,
}

impl Side {
    fn of(capacity: Decimal, taken: impl Iterator<Item = Decimal>) -> Self {
        let mut weights: Vec<Amount> = taken.map(|one| Amount::from(one.max(Decimal::ZERO))).collect();
        let sum: Amount = weights.iter().sum();
        let whole = Amount::from(capacity).max(sum.clone());
        weights.push(whole.clone() - sum);
        Self { weights, whole }
    }

    /// Each workload's part of an amount, and the rest.
    fn divide(&self, amount: Amount) -> (Vec<Amount>, Amount) {
        match divide(&amount, &self.weights) {
            None => (vec![Amount::default(); self.weights.len().saturating_sub(1)], amount),
            Some(mut parts) => {
                let idle = parts.pop().unwrap_or_default();
                (parts, idle)
            }
        }
    }
}
