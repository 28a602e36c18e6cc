//! Allocation: assigns costs to teams by rules; shared, idle and untagged cost have buckets of their own.
//!
//! The sum of the buckets equals the sum of the costs, to the last digit: a cost that cannot be divided
//! evenly is divided by the largest remainder method, ties by name, so that equal input gives equal results.

mod amount;
mod divide;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
pub use schemas::changes::cost::{
    AllocationCondition as Condition, AllocationRule as Rule, AllocationTarget as Target, TeamWeights,
};

pub use amount::{Amount, NotAnAmount};
pub use divide::divide;
pub use workload::{NodeCost, Taken, WorkloadCosts, workloads};

/// A cost with the attributes that rules match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Amount; costs in different currencies are allocated separately.
    pub amount: Amount,
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Share {
    /// Directly assigned cost.
    pub direct: Amount,
    /// Assigned part of shared cost.
    pub shared: Amount,
}

impl Share {
    /// Direct and shared cost together.
    pub fn total(&self) -> Amount {
        self.direct.clone() + &self.shared
    }
}

/// Costs by bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Buckets with a cost.
    pub buckets: BTreeMap<Bucket, Share>,
    /// The sum of all costs, which equals the sum of the buckets.
    pub total: Amount,
    /// Number of costs that each rule matched, in the order of the rules.
    pub taken_by_rule: Vec<u64>,
}

/// Allocates costs of one currency.
pub fn allocate(costs: &[Cost], rules: &[Rule]) -> Allocation {
    let mut pools = Pools::default();
    let mut taken_by_rule = vec![0_u64; rules.len()];
    for cost in costs {
        if cost.is_idle {
            pools.add(&cost.amount, Destination::Bucket(Bucket::Idle));
            continue;
        }
        let found = rules.iter().enumerate().find_map(|(at, rule)| Some((at, destination(rule, cost)?)));
        if let Some((at, _)) = &found {
            taken_by_rule[*at] += 1;
        }
        pools.add(&cost.amount, found.map_or(Destination::Bucket(Bucket::Untagged), |(_, to)| to));
    }
    let total = pools.total.clone();
    Allocation { buckets: pools.settle(), total, taken_by_rule }
}

/// A preview: the buckets by two rule sets over the same costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// By the rules in force.
    pub before: Allocation,
    /// By the proposed rules.
    pub after: Allocation,
    /// Buckets that change, with the difference.
    pub moved: BTreeMap<Bucket, Amount>,
}

/// Allocates the same costs by two rule sets.
pub fn preview(costs: &[Cost], in_force: &[Rule], tried: &[Rule]) -> Preview {
    let (before, after) = (allocate(costs, in_force), allocate(costs, tried));
    let mut moved = BTreeMap::new();
    for bucket in before.buckets.keys().chain(after.buckets.keys()) {
        let of =
            |allocation: &Allocation| allocation.buckets.get(bucket).map(Share::total).unwrap_or_default();
        let difference = of(&after) - of(&before);
        if !difference.is_zero() {
            moved.insert(bucket.clone(), difference);
        }
    }
    Preview { before, after, moved }
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
    direct: BTreeMap<Bucket, Amount>,
    proportional: Amount,
    fixed: BTreeMap<Vec<(&'r str, Decimal)>, Amount>,
    total: Amount,
}

impl<'r> Pools<'r> {
    fn add(&mut self, amount: &Amount, to: Destination<'r>) {
        self.total += amount;
        let pool = match to {
            Destination::Bucket(bucket) => self.direct.entry(bucket).or_default(),
            Destination::Proportional => &mut self.proportional,
            Destination::Fixed(weights) => {
                let key = weights.iter().map(|(team, weight)| (team.as_str(), *weight)).collect();
                self.fixed.entry(key).or_default()
            }
        };
        *pool += amount;
    }

    fn settle(self) -> BTreeMap<Bucket, Share> {
        let own: Vec<(&str, Amount)> = self
            .direct
            .iter()
            .filter_map(|(bucket, amount)| match bucket {
                Bucket::Team(team) if *amount > Amount::default() => Some((team.as_str(), amount.clone())),
                _ => None,
            })
            .collect();
        let fixed = self.fixed.into_iter().map(|(weights, amount)| {
            let weights = weights.into_iter().map(|(team, weight)| (team, Amount::from(weight)));
            (weights.collect::<Vec<_>>(), amount)
        });
        let mut shared: BTreeMap<Bucket, Amount> = BTreeMap::new();
        for (weights, amount) in std::iter::once((own, self.proportional)).chain(fixed) {
            for (bucket, part) in parts(amount, weights) {
                *shared.entry(bucket).or_default() += &part;
            }
        }
        let mut buckets: BTreeMap<Bucket, Share> = BTreeMap::new();
        for (bucket, amount) in &self.direct {
            buckets.entry(bucket.clone()).or_default().direct = amount.clone();
        }
        for (bucket, amount) in shared {
            buckets.entry(bucket).or_default().shared = amount;
        }
        buckets
    }
}

/// Divides a shared amount by weights; without weights it stays in the bucket of shared cost.
fn parts(amount: Amount, weights: Vec<(&str, Amount)>) -> Vec<(Bucket, Amount)> {
    if amount.is_zero() {
        return Vec::new();
    }
    let (teams, weights): (Vec<&str>, Vec<Amount>) = weights.into_iter().unzip();
    match divide(&amount, &weights) {
        None => vec![(Bucket::Shared, amount)],
        Some(divided) => {
            let teams = teams.into_iter().map(|team| Bucket::Team(team.to_owned()));
            teams.zip(divided).filter(|(_, part)| !part.is_zero()).collect()
        }
    }
}
