//! Allocation: what each team pays, by the rules in force or by others that are tried, over all of history.
//!
//! Costs are allocated when they are asked for, from the days as they are: new rules hold for everything that was spent
//! before them, and no record is read again. Postgres sums the costs once more by themselves; an allocation that is not
//! equal to that sum to the last digit is not answered.

use std::collections::{BTreeMap, BTreeSet};

use costs::allocation::{self, Allocation, Amount, Bucket, Cost, Share};
use schemas::{
    TenantId, Timestamp,
    changes::cost::{
        AllocationRule, AllocationTarget, BudgetCost, allocation_rules, default_allocation_rules,
    },
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Postgres, QueryBuilder, Row, postgres::PgRow};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    STAGE,
    filter::{CostFilter, CostView, Days},
    workloads::{self, Named},
};
use crate::read_models::snapshot::{Positions, ReadError, Snapshot};

/// Most groups of costs; beyond it the query is too large.
const MAX_GROUPS: i64 = 200_000;

/// Request for an allocation of costs.
#[derive(Debug, Clone)]
pub struct AllocationRequest {
    /// Days and instant of knowledge to read costs for.
    pub view: CostView,
    /// Filter on the charges.
    pub filter: CostFilter,
    /// Cost that is allocated.
    pub cost: BudgetCost,
    /// Rules that are tried beside those in force.
    pub tried: Option<Vec<AllocationRule>>,
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AllocationRulesInForce {
    /// The decision that set them; null where none did, and what is tagged `team` goes to that team.
    pub set_by: Option<Uuid>,
    /// Time of the decision.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
    /// Actor who set them.
    pub actor: Option<String>,
    /// Reason of the decision.
    pub reason: Option<String>,
    /// The first rule that fits a cost decides.
    pub rules: Vec<AllocationRule>,
}

/// Costs of one currency by bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrencyAllocation {
    /// ISO 4217.
    pub currency: String,
    /// All costs together, as the database sums them; the buckets add up to it, to the last digit.
    pub total: String,
    /// By bucket: teams by name, then shared, idle and untagged.
    pub buckets: Vec<AllocatedBucket>,
    /// The groups of costs (of one account and the same tags) that each rule took, in the order of the rules: a rule with 0
    /// fits nothing.
    pub taken_by_rule: Vec<u64>,
}

/// Costs allocated to one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AllocatedBucket {
    /// `team`, `shared`, `idle` or `untagged`.
    pub bucket: String,
    /// The team's name.
    pub team: Option<String>,
    /// Its own cost, a decimal.
    pub direct: String,
    /// Its part of shared cost.
    pub shared: String,
    /// Both together.
    pub total: String,
    /// Difference to the amount by the rules in force; only where other rules are tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub moved: Option<String>,
}

/// An allocation, and what it reflects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocated {
    /// The rules in force.
    pub in_force: AllocationRulesInForce,
    /// By these rules.
    pub allocation: Vec<CurrencyAllocation>,
    /// By the rules that are tried, if any.
    pub tried: Option<Vec<CurrencyAllocation>>,
    /// Positions that the answer reflects.
    pub positions: Positions,
}

/// Allocates what a view and a filter ask for.
pub async fn allocation(
    pool: &PgPool,
    tenant: &TenantId,
    request: &AllocationRequest,
) -> Result<Allocated, ReadError> {
    let mut snapshot = Snapshot::open(pool, tenant, Some(STAGE)).await?;
    let in_force = in_force(&mut snapshot, tenant, request.view.instant()).await?;
    let rule_sets: Vec<&[AllocationRule]> =
        std::iter::once(in_force.rules.as_slice()).chain(request.tried.as_deref()).collect();
    let costs = costs(&mut snapshot, tenant, request, &rule_sets).await?;
    let totals = totals(&mut snapshot, tenant, request).await?;
    let mut by_set = Vec::with_capacity(rule_sets.len());
    for rules in rule_sets {
        let mut of_currencies = BTreeMap::new();
        for (currency, costs) in &costs {
            let allocated = allocation::allocate(costs, rules);
            check_balance(currency, &allocated, totals.get(currency))?;
            of_currencies.insert(currency.as_str(), allocated);
        }
        by_set.push(of_currencies);
    }
    let shown = |place: usize| {
        let before = (place > 0).then(|| &by_set[0]);
        let one = |(currency, allocation): (&&str, &Allocation)| {
            shown(currency, allocation, before.and_then(|before| before.get(currency)))
        };
        by_set[place].iter().map(one).collect::<Vec<_>>()
    };
    let (allocation, tried) = (shown(0), (by_set.len() > 1).then(|| shown(1)));
    Ok(Allocated { in_force, allocation, tried, positions: snapshot.positions })
}

/// The rules by the newest decision that can be read, as of an instant.
async fn in_force(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    instant: Option<Timestamp>,
) -> Result<AllocationRulesInForce, ReadError> {
    let row = sqlx::query(
        "SELECT event_id, decided_at, actor, reason, rules FROM cost_allocation_fact
          WHERE tenant_id = $1 AND decision <> 'unreadable' AND ($2::timestamptz IS NULL OR decided_at <= $2)
          ORDER BY decided_at DESC, event_id DESC LIMIT 1",
    )
    .bind(tenant.as_str())
    .bind(instant)
    .fetch_optional(snapshot.connection())
    .await?;
    let Some(row) = row else {
        let rules = default_allocation_rules();
        return Ok(AllocationRulesInForce {
            set_by: None,
            decided_at: None,
            actor: None,
            reason: None,
            rules,
        });
    };
    let rules: Option<&str> = row.try_get("rules")?;
    Ok(AllocationRulesInForce {
        set_by: row.try_get("event_id")?,
        decided_at: row.try_get("decided_at")?,
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        rules: match rules {
            Some(text) => allocation_rules(text).map_err(ReadError::Unreadable)?,
            None => default_allocation_rules(),
        },
    })
}

/// The amount of a day that is allocated.
pub(super) fn push_amount(query: &mut QueryBuilder<Postgres>, cost: BudgetCost) {
    query.push(match cost {
        BudgetCost::Billed => "sum(d.billed)",
        BudgetCost::Effective => "sum(d.effective)",
    });
}

/// Costs by currency, account and the tags that the rules read.
async fn costs(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &AllocationRequest,
    rule_sets: &[&[AllocationRule]],
) -> Result<BTreeMap<String, Vec<Cost>>, ReadError> {
    let mut names: BTreeSet<&str> = BTreeSet::from(["project"]);
    for rule in rule_sets.iter().flat_map(|rules| rules.iter()) {
        names.extend(rule.when.tags.keys().map(String::as_str));
        if let AllocationTarget::TeamOfTag(tag) = &rule.to {
            names.insert(tag);
        }
    }
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let days = Days::of_charges();
    // The tags are read once for each series, not for each of its days.
    let mut query = QueryBuilder::new(
        "SELECT s.currency, s.sub_account, s.tags, trim_scale(sum(d.amount))::text AS amount FROM (SELECT d.series_key, ",
    );
    push_amount(&mut query, request.cost);
    query.push(" AS amount");
    days.push_where(&mut query, tenant, &request.view, &request.filter);
    query.push(" GROUP BY d.series_key) AS d JOIN (SELECT series_key, currency, sub_account, (SELECT jsonb_object_agg(t.key, t.value) FROM jsonb_each_text(tags) AS t WHERE t.key = ANY(");
    query.push_bind(names.clone()).push(")) AS tags FROM cost_series WHERE tenant_id = ");
    query.push_bind(tenant.as_str().to_owned());
    query.push(") AS s USING (series_key) GROUP BY 1, 2, 3 LIMIT ").push_bind(MAX_GROUPS + 1);
    let rows = query.build().fetch_all(snapshot.connection()).await?;
    if rows.len() > usize::try_from(MAX_GROUPS).unwrap_or(usize::MAX) {
        return Err(ReadError::TooSlow);
    }
    let mut groups: BTreeMap<Group, Amount> = BTreeMap::new();
    for row in &rows {
        let (group, amount) = group(row)?;
        groups.insert(group, amount);
    }
    divide_nodes(snapshot, tenant, request, &names, &mut groups).await?;
    let mut costs: BTreeMap<String, Vec<Cost>> = BTreeMap::new();
    for (Group { currency, account, project, tags, is_idle }, amount) in groups {
        let account = Some(account).filter(|id| !id.is_empty());
        costs.entry(currency).or_default().push(Cost { amount, account, project, tags, is_idle });
    }
    Ok(costs)
}

/// Costs that rules cannot tell apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    currency: String,
    account: String,
    project: Option<String>,
    tags: BTreeMap<String, String>,
    is_idle: bool,
}

fn group(row: &PgRow) -> Result<(Group, Amount), ReadError> {
    let tags: Option<sqlx::types::Json<BTreeMap<String, String>>> = row.try_get("tags")?;
    let tags = tags.map(|tags| tags.0).unwrap_or_default();
    let amount = exact(row.try_get("amount")?)?;
    let (currency, account) = (row.try_get("currency")?, row.try_get("sub_account")?);
    Ok((Group { currency, account, project: tags.get("project").cloned(), tags, is_idle: false }, amount))
}

/// Replaces the costs of Kubernetes nodes by those of their workloads and of the capacity that nothing takes. A workload has the
/// labels of its pods, those of its own place (`cluster`, `namespace`, `workload`), and the node's tags beside them.
async fn divide_nodes(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &AllocationRequest,
    names: &[String],
    groups: &mut BTreeMap<Group, Amount>,
) -> Result<(), ReadError> {
    let AllocationRequest { view, filter, cost, .. } = request;
    let division = workloads::divided(snapshot, tenant, (view, filter, *cost), names).await?;
    let add = |groups: &mut BTreeMap<Group, Amount>, group: Group, amount: &Amount| {
        *groups.entry(group).or_default() += amount;
    };
    for divided in &division.divided {
        let of = &divided.of;
        let project = of.tags.get("project").cloned();
        let (currency, account, tags) = (of.currency.clone(), of.sub_account.clone(), of.tags.clone());
        let node = Group { currency, account, project, tags, is_idle: false };
        add(groups, node.clone(), &-divided.amount.clone());
        if groups.get(&node).is_some_and(Amount::is_zero) {
            groups.remove(&node);
        }
        for (workload, part) in &divided.parts {
            let mut group = node.clone();
            if let Some(named) = division.named.get(workload) {
                group.tags.extend(own_tags(named, names));
                group.project = Some(named.project.clone())
                    .filter(|id| !id.is_empty())
                    .or(group.tags.get("project").cloned());
            }
            add(groups, group, part);
        }
        if !divided.idle.is_zero() {
            add(groups, Group { is_idle: true, ..node }, &divided.idle);
        }
    }
    Ok(())
}

/// Tags of a workload that rules read.
fn own_tags(workload: &Named, names: &[String]) -> BTreeMap<String, String> {
    let place =
        [("cluster", &workload.cluster), ("namespace", &workload.namespace), ("workload", &workload.name)];
    let place = place.into_iter().filter(|(_, value)| !value.is_empty());
    let place = place.map(|(name, value)| (name.to_owned(), value.clone()));
    let labels = workload.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
    place.chain(labels).filter(|(name, _)| names.contains(name)).collect()
}

/// An amount as the database writes it.
pub(super) fn exact(text: &str) -> Result<Amount, ReadError> {
    text.parse::<Amount>()
        .map_err(|error| ReadError::Unreadable(format!("an amount cannot be allocated: {error}")))
}

/// All costs by currency, in one sum each.
async fn totals(
    snapshot: &mut Snapshot,
    tenant: &TenantId,
    request: &AllocationRequest,
) -> Result<BTreeMap<String, String>, ReadError> {
    let mut query = QueryBuilder::new("SELECT s.currency, trim_scale(");
    push_amount(&mut query, request.cost);
    query.push(")::text");
    Days::of_charges().push_where(&mut query, tenant, &request.view, &request.filter);
    query.push(" GROUP BY s.currency");
    let rows: Vec<(String, String)> = query.build_query_as().fetch_all(snapshot.connection()).await?;
    Ok(rows.into_iter().collect())
}

/// The buckets add up to what the database sums, to the last digit.
fn check_balance(currency: &str, allocation: &Allocation, total: Option<&String>) -> Result<(), ReadError> {
    let sum: Amount = allocation.buckets.values().flat_map(|share| [&share.direct, &share.shared]).sum();
    let total = total.map(|total| exact(total)).transpose()?.unwrap_or_default();
    let balanced = sum == total;
    let result = if balanced { "balanced" } else { "unbalanced" };
    metrics::counter!("weir_cost_allocations_total", "result" => result).increment(1);
    if balanced {
        return Ok(());
    }
    Err(ReadError::Unreadable(format!("{sum} {currency} were allocated of {total} {currency}")))
}

fn shown(currency: &str, allocation: &Allocation, before: Option<&Allocation>) -> CurrencyAllocation {
    let mut buckets: BTreeSet<&Bucket> = allocation.buckets.keys().collect();
    buckets.extend(before.into_iter().flat_map(|before| before.buckets.keys()));
    let share = |allocation: &Allocation, bucket: &Bucket| -> Share {
        allocation.buckets.get(bucket).cloned().unwrap_or_default()
    };
    let bucket = |bucket: &Bucket| {
        let of = share(allocation, bucket);
        let (name, team) = match bucket {
            Bucket::Team(team) => ("team", Some(team.clone())),
            Bucket::Shared => ("shared", None),
            Bucket::Idle => ("idle", None),
            Bucket::Untagged => ("untagged", None),
        };
        let moved = before.map(|before| (of.total() - share(before, bucket).total()).to_string());
        AllocatedBucket {
            bucket: name.to_owned(),
            team,
            direct: of.direct.to_string(),
            shared: of.shared.to_string(),
            total: of.total().to_string(),
            moved,
        }
    };
    CurrencyAllocation {
        currency: currency.to_owned(),
        total: allocation.total.to_string(),
        buckets: buckets.into_iter().map(bucket).collect(),
        taken_by_rule: allocation.taken_by_rule.clone(),
    }
}
