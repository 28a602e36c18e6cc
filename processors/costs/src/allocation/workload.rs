//! Divides the cost of a cluster's node by workload: each pays for the larger of its request and its usage.

use rust_decimal::Decimal;

use super::{TooLarge, divide};

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
    pub amount: Decimal,
    /// The node's capacity; an unknown one is 0.
    pub capacity: Taken,
}

/// The cost of a node by workload; the sum with `idle` is the node's cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadCosts {
    /// In the order of the workloads.
    pub workloads: Vec<Decimal>,
    /// Cost of the capacity that is neither requested nor used.
    pub idle: Decimal,
}

/// Divides a node's cost by the larger of request and usage of each workload. CPU and memory share it in proportion to the
/// prices of the node's capacity. Where workloads together take more than the node has (usage above requests, or an unknown
/// capacity), they share the whole and nothing is idle. Negative figures count as 0.
///
/// # Errors
/// As [`super::allocate`].
pub fn workloads(node: &NodeCost, taken: &[Taken]) -> Result<WorkloadCosts, TooLarge> {
    let cpu = Side::of(node.capacity.cpu, taken.iter().map(|taken| taken.cpu))?;
    let memory = Side::of(node.capacity.memory_gb, taken.iter().map(|taken| taken.memory_gb))?;
    let value = |side: &Side, price: Decimal| side.whole.checked_mul(price).ok_or(TooLarge);
    let by_price = [value(&cpu, PRICES.cpu)?, value(&memory, PRICES.memory_gb)?];
    let [for_cpu, for_memory] = match divide(node.amount, &by_price)? {
        Some(parts) => [parts[0], parts[1]],
        None => [node.amount, Decimal::ZERO],
    };
    let ((of_cpu, idle_cpu), (of_memory, idle_memory)) = (cpu.divide(for_cpu)?, memory.divide(for_memory)?);
    Ok(WorkloadCosts {
        workloads: of_cpu.into_iter().zip(of_memory).map(|(cpu, memory)| cpu + memory).collect(),
        idle: idle_cpu + idle_memory,
    })
}

/// CPU or memory of a node.
struct Side {
    taken: Vec<Decimal>,
    /// Capacity, or all that is taken if that is more.
    whole: Decimal,
    left: Decimal,
}

impl Side {
    fn of(capacity: Decimal, taken: impl Iterator<Item = Decimal>) -> Result<Self, TooLarge> {
        let taken: Vec<Decimal> = taken.map(|one| one.max(Decimal::ZERO)).collect();
        let mut sum = Decimal::ZERO;
        for one in &taken {
            sum = sum.checked_add(*one).ok_or(TooLarge)?;
        }
        let whole = capacity.max(sum);
        Ok(Self { taken, whole, left: whole - sum })
    }

    /// Each workload's part of an amount, and the rest.
    fn divide(&self, amount: Decimal) -> Result<(Vec<Decimal>, Decimal), TooLarge> {
        let weights: Vec<Decimal> = self.taken.iter().copied().chain([self.left]).collect();
        Ok(match divide(amount, &weights)? {
            None => (vec![Decimal::ZERO; self.taken.len()], amount),
            Some(mut parts) => {
                let idle = parts.pop().unwrap_or_default();
                (parts, idle)
            }
        })
    }
}
