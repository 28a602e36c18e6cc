//! Allocation: assigns costs to teams by rules; shared, idle and untagged cost have buckets of their own.
//!
//! The sum of the buckets equals the sum of the costs, to the last digit: a cost that cannot be divided
//! evenly is divided by the largest remainder method, ties by name, so that equal input gives equal results.

mod divide;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
pub use schemas::changes::cost::{
    AllocationCondition as Condition, AllocationRule as Rule, AllocationTarget as Target, TeamWeights,
};

pub use divide::{TooLarge, divide, exact_sum};
pub use workload::{NodeCost, Taken, WorkloadCosts, workloads};

/// A cost with the attributes that rules match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Amount; costs in different currencies are allocated separately.
    pub amount: Decimal,
    /// The account or subscription.
    pub account: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// Tags by name.
    pub tags: BTreeMap<String, String>,
    /// Whether it is of capacity that nothing takes: no rule applies to it.
    pub is_idle: bool,
}

/// Target of allocated cost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// A team.
    Team(String),
    /// Shared cost that could not be assigned to any team.
    Shared,
    /// Unused capacity.
    Idle,
    /// Cost that no rule matches.
    Untagged,
}

/// The cost of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Directly assigned cost.
    pub direct: Decimal,
    /// Assigned part of shared cost.
    pub shared: Decimal,
}

impl Share {
    /// Direct and shared cost together.
    pub fn total(&self) -> Decimal {
        self.direct + self.shared
    }
}

/// Costs by bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Buckets with a cost.
    pub buckets: BTreeMap<Bucket, Share>,
    /// The sum of all costs, which equals the sum of the buckets.
    pub total: Decimal,
    /// Number of costs that each rule matched, in the order of the rules.
    pub taken_by_rule: Vec<u64>,
}

/// Allocates costs of one currency.
///
/// # Errors
/// A sum exceeds the 96 bits of a decimal: no digit is ever rounded away.
pub fn allocate(costs: &[Cost], rules: &[Rule]) -> Result<Allocation, TooLarge> {
    let mut pools = Pools::default();
    let mut taken_by_rule = vec![0_u64; rules.len()];
    for cost in costs {
        if cost.is_idle {
            pools.add(cost.amount, Destination::Bucket(Bucket::Idle))?;
            continue;
        }
        let found = rules.iter().enumerate().find_map(|(at, rule)| Some((at, destination(rule, cost)?)));
        if let Some((at, _)) = &found {
            taken_by_rule[*at] += 1;
        }
        pools.add(cost.amount, found.map_or(Destination::Bucket(Bucket::Untagged), |(_, to)| to))?;
    }
    let total = pools.total;
    Ok(Allocation { buckets: pools.settle()?, total, taken_by_rule })
}

/// A preview: the buckets by two rule sets over the same costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// By the rules in force.
    pub before: Allocation,
    /// By the proposed rules.
    pub after: Allocation,
    /// Buckets that change, with the difference.
    pub moved: BTreeMap<Bucket, Decimal>,
}

/// Allocates the same costs by two rule sets.
///
/// # Errors
/// As [`allocate`].
pub fn preview(costs: &[Cost], in_force: &[Rule], tried: &[Rule]) -> Result<Preview, TooLarge> {
    let (before, after) = (allocate(costs, in_force)?, allocate(costs, tried)?);
    let mut moved = BTreeMap::new();
    for bucket in before.buckets.keys().chain(after.buckets.keys()) {
        let of =
            |allocation: &Allocation| allocation.buckets.get(bucket).copied().unwrap_or_default().total();
        let difference = of(&after).checked_sub(of(&before)).ok_or(TooLarge)?;
        if !difference.is_zero() {
            moved.insert(bucket.clone(), difference);
        }
    }
    Ok(Preview { before, after, moved })
}

/// Destination of a cost before shared cost is divided.
enum Destination<'r> {
    Bucket(Bucket),
    Proportional,
    Fixed(&'r BTreeMap<String, Decimal>),
}

fn destination<'r>(rule: &'r Rule, cost: &Cost) -> Option<Destination<'r>> {
    let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
    let when = &rule.when;
    let tagged = when.tags.iter().all(|(name, value)| cost.tags.get(name) == Some(value));
    if !same(&when.account, &cost.account) || !same(&when.project, &cost.project) || !tagged {
        return None;
    }
    Some(match &rule.to {
        Target::Team(team) => Destination::Bucket(Bucket::Team(team.clone())),
        Target::TeamOfTag(tag) => {
            let team = cost.tags.get(tag).map(|team| team.trim()).filter(|team| !team.is_empty())?;
            Destination::Bucket(Bucket::Team(team.to_owned()))
        }
        Target::SharedProportionally => Destination::Proportional,
        Target::SharedFixed(weights) => Destination::Fixed(&weights.0),
        Target::Idle => Destination::Bucket(Bucket::Idle),
    })
}

/// Sums before shared cost is divided. Shared cost is summed first and divided once, so that the order of costs does not
/// matter.
#[derive(Debug, Default)]
struct Pools<'r> {
    direct: BTreeMap<Bucket, Decimal>,
    proportional: Decimal,
    fixed: BTreeMap<Vec<(&'r str, Decimal)>, Decimal>,
    total: Decimal,
}

impl<'r> Pools<'r> {
    fn add(&mut self, amount: Decimal, to: Destination<'r>) -> Result<(), TooLarge> {
        self.total = divide::exact_sum(self.total, amount)?;
        let pool = match to {
            Destination::Bucket(bucket) => self.direct.entry(bucket).or_default(),
            Destination::Proportional => &mut self.proportional,
            Destination::Fixed(weights) => {
                let key = weights.iter().map(|(team, weight)| (team.as_str(), *weight)).collect();
                self.fixed.entry(key).or_default()
            }
        };
        *pool = divide::exact_sum(*pool, amount)?;
        Ok(())
    }

    fn settle(self) -> Result<BTreeMap<Bucket, Share>, TooLarge> {
        let own: Vec<(&str, Decimal)> = self
            .direct
            .iter()
            .filter_map(|(bucket, amount)| match bucket {
                Bucket::Team(team) if *amount > Decimal::ZERO => Some((team.as_str(), *amount)),
                _ => None,
            })
            .collect();
        let mut shared: BTreeMap<Bucket, Decimal> = BTreeMap::new();
        let proportional = std::iter::once((own, self.proportional));
        for (weights, amount) in proportional.chain(self.fixed) {
            for (bucket, part) in parts(amount, &weights)? {
                let sum = shared.entry(bucket).or_default();
                *sum = divide::exact_sum(*sum, part)?;
            }
        }
        let mut buckets: BTreeMap<Bucket, Share> = BTreeMap::new();
        for (bucket, amount) in &self.direct {
            buckets.entry(bucket.clone()).or_default().direct = *amount;
        }
        for (bucket, amount) in shared {
            buckets.entry(bucket).or_default().shared = amount;
        }
        Ok(buckets)
    }
}

/// Divides a shared amount by weights; without weights it stays in the bucket of shared cost.
fn parts(amount: Decimal, weights: &[(&str, Decimal)]) -> Result<Vec<(Bucket, Decimal)>, TooLarge> {
    if amount.is_zero() {
        return Ok(Vec::new());
    }
    let divided = divide(amount, &weights.iter().map(|(_, weight)| *weight).collect::<Vec<_>>())?;
    Ok(match divided {
        None => vec![(Bucket::Shared, amount)],
        Some(divided) => {
            let teams = weights.iter().map(|(team, _)| Bucket::Team((*team).to_owned()));
            teams.zip(divided).filter(|(_, part)| !part.is_zero()).collect()
        }
    })
}
