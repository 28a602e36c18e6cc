use proptest::prelude::*;

use super::*;

fn cost(amount: &str, tags: &[(&str, &str)]) -> Cost {
    Cost {
        amount: amount.parse().expect("an amount"),
        account: Some("acc-1".into()),
        project: None,
        tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        is_idle: false,
    }
}

fn rule(tags: &[(&str, &str)], to: Target) -> Rule {
    let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Rule { when: Condition { tags, ..Condition::default() }, to }
}

fn total_of(allocation: &Allocation) -> Amount {
    allocation.buckets.values().fold(Amount::default(), |sum, share| sum + &share.total())
}

fn check(costs: &[Cost], rules: &[Rule], expected: &[(Bucket, &str, &str)]) {
    let allocation = allocate(costs, rules);
    let found: Vec<_> = allocation
        .buckets
        .iter()
        .map(|(bucket, share)| (bucket.clone(), share.direct.to_string(), share.shared.to_string()))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(bucket, direct, shared)| (bucket.clone(), (*direct).to_owned(), (*shared).to_owned()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(total_of(&allocation), allocation.total);
}

fn team(name: &str) -> Bucket {
    Bucket::Team(name.to_owned())
}

#[test]
fn teams_pay_their_own_and_their_part_of_what_is_shared() {
    let rules = [
        rule(&[("kind", "shared")], Target::SharedProportionally),
        rule(&[("kind", "spare")], Target::Idle),
        rule(&[], Target::TeamOfTag("team".into())),
    ];
    let costs = [
        cost("30", &[("team", "a")]),
        cost("10", &[("team", "b")]),
        cost("10", &[("kind", "shared")]),
        cost("5", &[("kind", "spare")]),
        cost("1", &[]),
        cost("2", &[("team", " ")]),
    ];
    check(
        &costs,
        &rules,
        &[
            (team("a"), "30", "7.5"),
            (team("b"), "10", "2.5"),
            (Bucket::Idle, "5", "0"),
            (Bucket::Untagged, "3", "0"),
        ],
    );
}

#[test]
fn fixed_shares_are_divided_to_the_last_digit_and_shared_cost_without_teams_stays_shared() {
    let thirds: BTreeMap<String, Decimal> =
        ["a", "b", "c"].iter().map(|name| ((*name).to_owned(), Decimal::ONE)).collect();
    let fixed = [rule(&[], Target::SharedFixed(TeamWeights(thirds)))];
    check(
        &[cost("0.05", &[]), cost("0.05", &[])],
        &fixed,
        &[
            (team("a"), "0", "0.0333333334"),
            (team("b"), "0", "0.0333333333"),
            (team("c"), "0", "0.0333333333"),
        ],
    );
    check(
        &[cost("7", &[])],
        &[rule(&[], Target::SharedProportionally)],
        &[(Bucket::Shared, "7", "0")].map(|(bucket, amount, _)| (bucket, "0", amount)),
    );
    check(&[cost("7", &[])], &[], &[(Bucket::Untagged, "7", "0")]);
}

#[test]
fn a_preview_shows_only_the_buckets_that_change() {
    let costs = [cost("3", &[("team", "a")]), cost("4", &[("app", "x")])];
    let in_force = [rule(&[], Target::TeamOfTag("team".into()))];
    let tried = [rule(&[("app", "x")], Target::Team("b".into())), in_force[0].clone()];
    let preview = preview(&costs, &in_force, &tried);
    let moved: Vec<_> = preview.moved.into_iter().collect();
    let four = Amount::from(Decimal::from(4));
    assert_eq!(moved, [(team("b"), four.clone()), (Bucket::Untagged, -four)]);
    assert_eq!(preview.after.taken_by_rule, [1, 1]);
}

fn node(amount: i64, cpu: i64, memory_gb: i64) -> NodeCost {
    NodeCost { amount: Decimal::from(amount).into(), capacity: taken(cpu, memory_gb) }
}

fn taken(cpu: i64, memory_gb: i64) -> Taken {
    Taken { cpu: Decimal::from(cpu), memory_gb: Decimal::from(memory_gb) }
}

fn divided(node: &NodeCost, of: &[(i64, i64)]) -> (Vec<String>, String) {
    let of: Vec<Taken> = of.iter().map(|(cpu, memory_gb)| taken(*cpu, *memory_gb)).collect();
    let costs = workloads(node, &of);
    assert_eq!(costs.workloads.iter().sum::<Amount>() + &costs.idle, node.amount, "nothing is lost");
    let shown = |amount: &Amount| {
        amount.to_string().parse::<Decimal>().expect("a decimal").round_dp(4).normalize().to_string()
    };
    (costs.workloads.iter().map(shown).collect(), shown(&costs.idle))
}

#[test]
fn workloads_share_a_node_by_the_prices_of_cpu_and_memory() {
    // 10 cores are worth 0.31611, 10 GB 0.04237: 88.1807 and 11.8193 of 100.
    let (of, idle) = divided(&node(100, 10, 10), &[(4, 5), (2, 0)]);
    assert_eq!((of, idle.as_str()), (vec!["41.1819".to_owned(), "17.6361".to_owned()], "41.1819"));
}

#[test]
fn workloads_that_take_more_than_the_node_has_share_all_of_it() {
    for capacity in [0, 10] {
        let (of, idle) = divided(&node(100, capacity, capacity), &[(30, 30), (10, 10)]);
        assert_eq!((of, idle.as_str()), (vec!["75".to_owned(), "25".to_owned()], "0"));
    }
    assert_eq!(divided(&node(100, 0, 0), &[(0, 0)]), (vec!["0".to_owned()], "100".to_owned()));
    assert_eq!(divided(&node(-7, 4, 4), &[(-1, 2)]).0.len(), 1, "a credit is divided as well");
}

/// Two rows of one bill, of which one is noise of a double: their sum has more digits than a decimal of 96 bits holds.
#[test]
fn sums_of_any_number_of_digits_are_allocated_to_the_last_one() {
    const NOISE: &str = "0.0000000000000017763568394003";
    let of_teams = [rule(&[], Target::TeamOfTag("team".into()))];
    let own = [cost("123.45", &[("team", "a")]), cost(NOISE, &[("team", "b")])];
    check(&own, &of_teams, &[(team("a"), "123.45", "0"), (team("b"), NOISE, "0")]);
    assert_eq!(allocate(&own, &of_teams).total.to_string(), "123.4500000000000017763568394003");

    let shared = [rule(&[("kind", "shared")], Target::SharedProportionally), of_teams[0].clone()];
    let mut costs = own.to_vec();
    costs.push(cost("10", &[("kind", "shared")]));
    costs.push(cost(NOISE, &[("kind", "shared")]));
    let allocation = allocate(&costs, &shared);
    assert_eq!(total_of(&allocation), allocation.total);
    assert_eq!(allocation.total.to_string(), "133.4500000000000035527136788006");

    let node = NodeCost { amount: allocation.total, capacity: taken(4, 16) };
    let of = workloads(&node, &[taken(1, 4), taken(2, 1)]);
    assert_eq!(of.workloads.iter().sum::<Amount>() + &of.idle, node.amount);
    check(
        &[cost("79228162514264337593543950335", &[]), cost("0.1", &[])],
        &[],
        &[(Bucket::Untagged, "79228162514264337593543950335.1", "0")],
    );
}

fn amount() -> impl Strategy<Value = Amount> {
    (-1_000_000_000_000_i64..1_000_000_000_000, 0_u32..28)
        .prop_map(|(digits, scale)| Decimal::new(digits, scale).into())
}

fn any_cost() -> impl Strategy<Value = Cost> {
    let tags = proptest::collection::btree_map("[ab]", "[xyz]", 0..3);
    (amount(), proptest::option::of("[pq]"), tags).prop_map(|(amount, project, tags)| Cost {
        amount,
        account: None,
        project,
        tags,
        is_idle: false,
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let weights = proptest::collection::btree_map("[tuv]", (0_i64..1_000_000, 0_u32..6), 0..4);
    let target = prop_oneof![
        "[tuv]".prop_map(Target::Team),
        "[ab]".prop_map(Target::TeamOfTag),
        Just(Target::SharedProportionally),
        Just(Target::Idle),
        weights.prop_map(|weights| Target::SharedFixed(TeamWeights(
            weights.into_iter().map(|(team, (digits, scale))| (team, Decimal::new(digits, scale))).collect()
        ))),
    ];
    let tags = proptest::collection::btree_map("[ab]", "[xyz]", 0..2);
    (proptest::option::of("[pq]"), tags, target)
        .prop_map(|(project, tags, to)| Rule { when: Condition { account: None, project, tags }, to })
}

proptest! {
    #[test]
    fn no_digit_is_lost_or_invented(
        costs in proptest::collection::vec(any_cost(), 0..40),
        rules in proptest::collection::vec(any_rule(), 0..6),
    ) {
        let allocation = allocate(&costs, &rules);
        let total: Amount = costs.iter().map(|cost| &cost.amount).sum();
        prop_assert_eq!(&allocation.total, &total);
        prop_assert_eq!(total_of(&allocation), total);
        let mut backwards = costs.clone();
        backwards.reverse();
        prop_assert_eq!(allocate(&backwards, &rules), allocation);
    }

    #[test]
    fn parts_sum_to_the_whole_whatever_the_weights(
        amount in amount(),
        weights in proptest::collection::vec((0_i64..i64::MAX, 0_u32..18), 1..20),
    ) {
        let weights: Vec<Amount> =
            weights.into_iter().map(|(digits, scale)| Decimal::new(digits, scale).into()).collect();
        if let Some(parts) = divide(&amount, &weights) {
            prop_assert_eq!(parts.iter().sum::<Amount>(), amount);
        }
    }
}
