//! Accrual: what resources cost by the second until their charges come, in whatever order events arrive.

use reqwest::StatusCode;
use rust_decimal::Decimal;
use schemas::{
    Envelope, Event,
    events::{
        Activity, ActivityKind, Actor, ActorKind, Infrastructure, InfrastructureKind, Outcome, Resource,
    },
};
use sinks::query_api::{
    BudgetsPage, CostBreakdown, CostSummary, CostTimeseries, ReconciliationPage, ResourceAnswer,
};

use super::{
    budget::{budget, told},
    fixture::{Place, at, charge, columns, events, replacing},
};
use crate::{
    query_api::fixture::Api,
    support::projection::{in_batches, in_partitions, shuffled},
};

const ARN: &str = "arn:aws:ec2:us-east-1:42:instance/i-0f3b7c21d9a84e650";
const INSTANCE: &str = "i-0f3b7c21d9a84e650";
/// 0.0816 USD an hour by the shipped prices.
const LARGE: &str = r#"{"instanceType":"m7g.large"}"#;

/// The n-th event: something happened to a resource; its type, and how many of it there are.
fn happened(
    n: u64,
    kind: InfrastructureKind,
    when: &str,
    (configuration, count): (Option<&str>, Option<&str>),
) -> Envelope {
    let mut envelope = charge(n, 0, 0, at(when));
    envelope.event = Event::Infrastructure(Infrastructure {
        kind,
        resource: Resource {
            cloud: Some("aws".into()),
            account: Some("42".into()),
            region: Some("us-east-1".into()),
            kind: Some("AWS::EC2::Instance".into()),
            id: ARN.into(),
            project: Some("orders".into()),
            tags: [("team".to_owned(), "core".to_owned())].into(),
            ..Resource::default()
        },
        actor: Some(Actor { kind: ActorKind::User, id: "ada".into(), ..Actor::default() }),
        outcome: Outcome::default(),
        change_id: None,
        quantity: count.map(str::to_owned),
        unit: count.map(|_| "instances".to_owned()),
        configuration: configuration.map(str::to_owned),
    });
    envelope
}

fn provisioned(n: u64, when: &str) -> Envelope {
    happened(n, InfrastructureKind::Provisioned, when, (Some(LARGE), None))
}

fn scaled(n: u64, when: &str, count: &str) -> Envelope {
    happened(n, InfrastructureKind::Scaled, when, (None, Some(count)))
}

fn deleted(n: u64, when: &str) -> Envelope {
    happened(n, InfrastructureKind::Deleted, when, (None, None))
}

/// A charge in USD for the resource on a day of May, as a bill names it.
fn billed(n: u64, day: i64, cost: &str, hours: i64, known_at: &str) -> Envelope {
    let mut envelope = charge(n, 0, day * 86_400, at(known_at));
    let usage = columns(&mut envelope);
    usage.resource_id = Some(INSTANCE.into());
    usage.billing_currency = "USD".into();
    usage.billed_cost = cost.parse().expect("a decimal");
    usage.effective_cost = Some(usage.billed_cost);
    usage.charge_period_end = usage.charge_period_start + chrono::TimeDelta::days(1);
    usage.consumed_quantity = Some(Decimal::from(hours));
    usage.consumed_unit = Some("Hours".into());
    envelope
}

/// Billed and accrued, in USD.
async fn summary(api: &Api, query: &str) -> (String, String) {
    let found: CostSummary = api.get("acme", &format!("/api/v1/cost/summary?currency=USD&{query}")).await;
    found
        .totals
        .first()
        .map_or_else(Default::default, |sums| (sums.billed_cost.clone(), sums.accrued_cost.clone()))
}

fn pair(billed: &str, accrued: &str) -> (String, String) {
    (billed.to_owned(), accrued.to_owned())
}

#[tokio::test]
async fn a_resource_accrues_from_its_events_until_charges_take_its_place() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let all = [
        provisioned(1, "2025-05-01T12:00:00Z"),
        scaled(2, "2025-05-03T00:00:00Z", "2"),
        deleted(3, "2025-05-04T06:00:00Z"),
    ];
    assert_eq!(member.deliver(&all[..1]).await, [1, 0, 0, 0]);
    assert_eq!(summary(&api, "known_at=2025-05-01T13:00:00Z").await, pair("0", "0.0816"));
    assert_eq!(summary(&api, "known_at=2025-05-01T12:00:00Z").await, pair("", ""));
    assert_eq!(summary(&api, "known_at=2025-05-03T12:00:00Z").await, pair("0", "3.9168"), "48 hours");
    assert_eq!(member.deliver(&all[1..]).await, [2, 0, 0, 0]);
    assert_eq!(member.deliver(&all).await, [0, 3, 0, 0]);
    // 36 hours of one, 30 of two.
    assert_eq!(summary(&api, "").await, pair("0", "7.8336"));
    assert_eq!(summary(&api, "from=2025-05-03&to=2025-05-04").await, pair("0", "3.9168"));
    assert_eq!(
        summary(&api, "tag=team%3Dcore&service=Amazon%20Elastic%20Compute%20Cloud").await,
        pair("0", "7.8336")
    );
    assert_eq!(summary(&api, "tag=team%3Dedge").await, pair("", ""));

    // Bills of the second and third of May; the latter says more.
    let bills =
        [billed(4, 1, "1.9584", 24, "2025-05-10T00:00:00Z"), billed(5, 2, "5", 50, "2025-05-11T00:00:00Z")];
    member.deliver(&bills).await;
    assert_eq!(summary(&api, "").await, pair("6.9584", "1.9584"), "12 hours of one and 6 of two are left");
    assert_eq!(summary(&api, "known_at=2025-05-10T00:00:00Z").await, pair("1.9584", "5.8752"));
    let days: CostTimeseries = api.get("acme", "/api/v1/cost/timeseries").await;
    let told: Vec<_> = days
        .points
        .iter()
        .map(|point| format!("{} {} {}", point.day, point.sums.billed_cost, point.sums.accrued_cost))
        .collect();
    assert_eq!(told, ["2025-05-01 0 0.9792", "2025-05-02 1.9584 0", "2025-05-03 5 0", "2025-05-04 0 0.9792"]);
    let parts: CostBreakdown = api.get("acme", "/api/v1/cost/breakdown?by=billing_period").await;
    let told: Vec<_> =
        parts.items.iter().map(|item| (item.value.as_deref(), item.sums.accrued_cost.as_str())).collect();
    assert_eq!(told, [(Some("2025-05-01"), "0"), (None, "1.9584")]);
    // The id of the events, and that of the bills.
    for id in [ARN.replace('/', "%2F"), INSTANCE.to_owned()] {
        let resource: ResourceAnswer = api.get("acme", &format!("/api/v1/cost/resources/{id}")).await;
        let total = &resource.item.totals[0];
        assert_eq!((total.billed_cost.as_str(), total.accrued_cost.as_str()), ("6.9584", "1.9584"), "{id}");
    }
    assert_eq!(summary(&api, "").await.0, "6.9584");
    let foreign: CostSummary = api.get("other", "/api/v1/cost/summary").await;
    assert!(foreign.totals.is_empty());
}

#[tokio::test]
async fn every_difference_between_bill_and_accrual_has_its_reasons() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut discounted = billed(6, 3, "1", 24, "2025-05-12T00:00:00Z");
    columns(&mut discounted).list_cost = Some(Decimal::new(19_584, 4));
    let euros = |n, day| {
        let mut envelope = billed(n, day, "7", 24, "2025-05-12T00:00:00Z");
        columns(&mut envelope).billing_currency = "EUR".into();
        envelope
    };
    // Azure's own export counts in `1 Hour`.
    let mut of_azure = billed(5, 2, "5", 25, "2025-05-11T00:00:00Z");
    columns(&mut of_azure).consumed_unit = Some("1 Hour".into());
    let all = [
        provisioned(1, "2025-05-02T00:00:00Z"),
        deleted(2, "2025-05-06T00:00:00Z"),
        billed(3, 0, "1.9584", 24, "2025-05-10T00:00:00Z"),
        billed(4, 1, "1.9584", 24, "2025-05-10T00:00:00Z"),
        of_azure,
        discounted,
        euros(7, 3),
        euros(8, 4),
    ];
    member.deliver(&all).await;
    let page: ReconciliationPage = api.get("acme", "/api/v1/cost/reconciliation").await;
    let told: Vec<String> = page
        .items
        .iter()
        .map(|line| {
            let parts: Vec<_> =
                line.explained.iter().map(|part| format!("{} {}", part.reason, part.amount)).collect();
            let sum: Decimal =
                line.explained.iter().map(|part| part.amount.parse::<Decimal>().expect("a decimal")).sum();
            assert_eq!(sum, line.difference.parse().expect("a decimal"), "{line:?}");
            let charged = line.charged.as_deref().unwrap_or("-");
            let [day, parts] = [line.day.to_string(), parts.join(", ")];
            format!("{day} {} {} {charged} {} | {parts}", line.currency, line.accrued, line.pending)
        })
        .collect();
    let expected = [
        "2025-05-01 USD 0 1.9584 0 | no_events 1.9584",
        "2025-05-02 USD 1.9584 1.9584 0 | ",
        "2025-05-03 USD 1.9584 5 0 | hours 0.0816, price 2.96",
        "2025-05-04 EUR 0 7 0 | other_currency 0",
        "2025-05-04 USD 1.9584 1 0 | discount -0.9584",
        "2025-05-05 EUR 0 7 0 | other_currency 0",
        "2025-05-05 USD 1.9584 - 0 | ",
    ];
    assert_eq!(told, expected);
    assert_eq!(page.items[0].resource, ARN);

    // The page ends between two currencies of a day.
    let first: ReconciliationPage = api.get("acme", "/api/v1/cost/reconciliation?limit=4").await;
    let rest = format!("/api/v1/cost/reconciliation?limit=9&cursor={}", first.next_cursor.expect("more"));
    assert_eq!(api.ask("acme", &rest).await.0, StatusCode::OK);
    let rest: ReconciliationPage = api.get("acme", &rest).await;
    assert_eq!([first.items, rest.items].concat(), page.items);
    let before: ReconciliationPage =
        api.get("acme", "/api/v1/cost/reconciliation?known_at=2025-05-09T00:00:00Z&from=2025-05-03").await;
    assert_eq!(before.items.len(), 3);
    assert!(before.items.iter().all(|line| line.charged.is_none() && line.pending == "1.9584"));
    let by_id: ReconciliationPage =
        api.get("acme", &format!("/api/v1/cost/reconciliation?resource={INSTANCE}")).await;
    assert_eq!(by_id.items.len(), 7);
    let none: ReconciliationPage = api.get("acme", "/api/v1/cost/reconciliation?resource=i-1").await;
    assert!(none.items.is_empty());
    assert!(api.get::<ReconciliationPage>("other", "/api/v1/cost/reconciliation").await.items.is_empty());
}

#[tokio::test]
async fn a_charge_for_a_month_covers_all_of_its_days_and_part_of_a_day_leaves_the_rest() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let mut month = billed(2, 0, "60", 744, "2025-06-02T00:00:00Z");
    columns(&mut month).charge_period_end = at("2025-06-01T00:00:00Z");
    let mut hours = billed(3, 31, "0.5", 6, "2025-06-02T00:00:00Z");
    columns(&mut hours).charge_period_end = at("2025-06-01T06:00:00Z");
    member.deliver(&[provisioned(1, "2025-05-01T00:00:00Z"), month, hours]).await;
    assert_eq!(summary(&api, "known_at=2025-06-01T12:00:00Z").await, pair("0", "61.6896"));
    assert_eq!(summary(&api, "known_at=2025-06-02T00:00:00Z").await, pair("60.5", "1.4688"), "18 hours");
    let page: ReconciliationPage =
        api.get("acme", "/api/v1/cost/reconciliation?known_at=2025-06-02T00:00:00Z").await;
    let told: Vec<_> = page
        .items
        .iter()
        .map(|line| format!("{} {} {:?} {}", line.day, line.accrued, line.charged, line.pending))
        .collect();
    assert_eq!(told, ["2025-05-01 60.7104 Some(\"60\") 0", "2025-06-01 0.4896 Some(\"0.5\") 1.4688"]);
}

#[tokio::test]
async fn a_scaled_event_changes_budgets_at_its_second() {
    let api = Api::start().await;
    let mut place = Place::at(api.database.clone()).await;
    let mut member = place.member(0).await;
    let mut of_core = budget(1, "core", "8.16", &[("team", "core")], at("2025-04-01T00:00:00Z"));
    if let Event::Governance(event) = &mut of_core.event {
        event.attributes.insert("currency".into(), "USD".into());
    }
    member.deliver(&[of_core, provisioned(2, "2025-05-01T00:00:00Z")]).await;
    assert_eq!(told(&mut place).await, [], "nobody knows yet that time goes on");
    member.deliver(&[scaled(3, "2025-05-03T00:00:00Z", "10")]).await;
    assert_eq!(told(&mut place).await, [], "48 of 100 hours");
    // Two hours at ten: 50 at the 12th minute of it, and after 5:12 h all.
    member.deliver(&[scaled(4, "2025-05-03T04:00:00Z", "10")]).await;
    assert_eq!(told(&mut place).await, [(50, "4.08".into()), (80, "6.528".into())]);
    let page: BudgetsPage =
        api.get("acme", "/api/v1/cost/budgets?day=2025-05-03&known_at=2025-05-03T04:00:00Z").await;
    let terms = page.items[0].terms.as_ref().expect("terms");
    assert_eq!((terms.spent.as_str(), terms.accrued.as_str()), ("7.1808", "7.1808"));
    let when: Vec<String> = terms.crossings.iter().map(|crossing| crossing.known_at.to_rfc3339()).collect();
    assert_eq!(when, ["2025-05-03T00:12:00+00:00", "2025-05-03T03:12:00+00:00"]);
    // A bill below what accrued takes the rest of it away; what was reached stays reached.
    member.deliver(&[billed(5, 0, "0.1", 24, "2025-05-04T00:00:00Z")]).await;
    member.deliver(&[deleted(6, "2025-05-03T05:12:00Z")]).await;
    let page: BudgetsPage = api.get("acme", "/api/v1/cost/budgets?day=2025-05-03").await;
    let terms = page.items[0].terms.as_ref().expect("terms");
    let reached: Vec<i64> = terms.crossings.iter().map(|crossing| crossing.percent).collect();
    assert_eq!(reached, [50, 80, 90, 100], "at 5:12 all of it was spent as far as anybody knew");
}

#[tokio::test]
async fn a_charge_of_a_report_of_aws_stays_in_the_budget_of_the_team() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let terms = [("team", "core"), ("currency", "USD")];
    let of_core = budget(1, "core", "100", &terms, at("2025-04-01T00:00:00Z"));
    let (begun, ended) = (provisioned(2, "2025-05-01T00:00:00Z"), deleted(3, "2025-05-02T00:00:00Z"));
    member.deliver(&[of_core, begun, ended]).await;
    let spent = async || {
        let page: BudgetsPage = api.get("acme", "/api/v1/cost/budgets?day=2025-05-03").await;
        let terms = page.items[0].terms.as_ref().expect("terms");
        (terms.spent.clone(), terms.accrued.clone())
    };
    assert_eq!(spent().await, pair("1.9584", "1.9584"));
    let mut charge = billed(4, 0, "2", 24, "2025-05-03T00:00:00Z");
    let usage = columns(&mut charge);
    usage.tags = [("user_team".to_owned(), "core".to_owned())].into();
    usage.other_columns.insert("line_item_line_item_type".into(), "Usage".into());
    member.deliver(&[charge]).await;
    assert_eq!(spent().await, pair("2", "0"));
}

/// What `weir_cost_covered_days` says for `/budgets` is true of crossings too.
#[tokio::test]
async fn a_charge_without_an_end_in_sight_covers_no_more_than_400_days() {
    let mut place = Place::new().await;
    let mut member = place.member(0).await;
    let mut of_core = budget(1, "core", "8.16", &[("team", "core")], at("2025-04-01T00:00:00Z"));
    if let Event::Governance(event) = &mut of_core.event {
        event.attributes.insert("currency".into(), "USD".into());
    }
    let endless = (10..40).map(|n| {
        let mut charge = billed(n, -800, "0.001", 24, "2025-04-01T00:00:00Z");
        columns(&mut charge).charge_period_end = at("9999-12-31T00:00:00Z");
        charge
    });
    let mut events: Vec<Envelope> = endless.collect();
    events.extend([of_core, provisioned(2, "2025-05-01T00:00:00Z"), scaled(3, "2025-05-03T00:00:00Z", "10")]);
    member.deliver(&events).await;
    told(&mut place).await;
    member.deliver(&[scaled(4, "2025-05-03T04:00:00Z", "10")]).await;
    assert_eq!(told(&mut place).await, [(50, "4.08".into()), (80, "6.528".into())]);
}

#[tokio::test]
async fn calls_in_the_audit_trail_accrue_as_well() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    let call = |n: u64, action: &str, when: &str| {
        let mut envelope = charge(n, 0, 0, at(when));
        envelope.event = Event::Activity(Activity {
            kind: ActivityKind::ApiCalled,
            action: action.into(),
            service: Some("ec2.amazonaws.com".into()),
            actor: Actor { kind: ActorKind::User, id: "ada".into(), ..Actor::default() },
            resources: Vec::new(),
            outcome: Outcome::default(),
            read_only: Some(false),
            request_id: None,
        });
        let items = r#"{"instancesSet":{"items":[{"instanceId":"i-00000001","instanceType":"m7g.large"},{"instanceId":"i-00000002","instanceType":"m7g.large"}]}}"#;
        envelope.native = Some(schemas::envelope::Native {
            format: "aws.cloudtrail".into(),
            record: format!(
                r#"{{"awsRegion":"us-east-1","recipientAccountId":"42","requestParameters":null,"responseElements":{items}}}"#
            )
            .into(),
        });
        envelope
    };
    let all = [
        call(1, "RunInstances", "2025-05-01T00:00:00Z"),
        call(2, "StopInstances", "2025-05-01T05:00:00Z"),
        call(3, "StartInstances", "2025-05-01T10:00:00Z"),
        call(4, "TerminateInstances", "2025-05-01T15:00:00Z"),
        call(5, "DescribeInstances", "2025-05-01T16:00:00Z"),
    ];
    assert_eq!(member.deliver(&all).await, [5, 0, 0, 0]);
    assert_eq!(summary(&api, "").await, pair("0", "1.632"));
}

/// Lives of one resource, charges for it and others, a replacement and budgets.
fn all_sorts() -> Vec<Envelope> {
    let day = |n: u32, hour: u32| format!("2025-05-{n:02}T{hour:02}:00:00Z");
    let mut all = events(3, 40);
    all.extend([
        provisioned(500, &day(1, 3)),
        scaled(501, &day(4, 7), "3"),
        deleted(502, &day(6, 0)),
        provisioned(503, &day(9, 1)),
        scaled(504, &day(9, 1), "2"),
        scaled(505, &day(20, 0), "7"),
        billed(510, 2, "1.2", 24, "2025-05-06T00:00:00Z"),
        billed(511, 3, "1.2", 24, "2025-05-07T00:00:00Z"),
        replacing(billed(512, 3, "1.3", 24, "2025-05-21T00:00:00Z")),
    ]);
    let decided = at("2025-05-01T00:00:00Z");
    for (n, name, terms) in [(520, "all", [("period", "yearly")]), (521, "core", [("team", "core")])] {
        let mut set = budget(n, name, "9", &terms, decided);
        if let Event::Governance(event) = &mut set.event {
            event.attributes.insert("currency".into(), "USD".into());
        }
        all.push(set);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accrual_follows_from_the_set_of_events() {
    const TABLES: [&str; 5] =
        ["cost_resource", "cost_accrual", "cost_lifecycle_resource", "cost_daily", "cost_budget_crossing"];
    let all = all_sorts();
    let expected = Place::built(vec![in_batches(&all, 500)], &TABLES).await.1;
    assert!(expected[1].len() == 4 && expected[4].len() > 3, "there is something to compare: {expected:?}");
    for (seed, partitions, size) in [(1_u64, 1, 1), (2, 3, 5), (3, 4, 9), (4, 2, 60)] {
        let dealt = in_partitions(&shuffled(all.clone(), seed), partitions, size);
        let found = Place::built(dealt, &TABLES).await.1;
        assert_eq!(found, expected, "seed {seed}, {partitions} partitions, batches of {size}");
    }
}

/// The accrued costs in Postgres are those of the crate, to the last digit.
#[tokio::test]
async fn postgres_and_the_arithmetic_agree() {
    let api = Api::start().await;
    let mut member = Place::at(api.database.clone()).await.member(0).await;
    member.deliver(&all_sorts()).await;
    for known_at in
        ["2025-05-05T01:02:03Z", "2025-05-09T01:00:00Z", "2025-05-25T23:59:59Z", "2025-07-01T00:00:00Z"]
    {
        let view = format!("known_at={known_at}");
        let page: ReconciliationPage =
            api.get("acme", &format!("/api/v1/cost/reconciliation?limit=1000&{view}")).await;
        let pending: Decimal =
            page.items.iter().map(|line| line.pending.parse::<Decimal>().expect("a decimal")).sum();
        let accrued: Decimal = summary(&api, &view).await.1.parse().expect("a decimal");
        assert!(!accrued.is_zero());
        assert_eq!(accrued, pending, "{known_at}");
    }
}
