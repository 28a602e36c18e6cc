//! Workloads: the cost of Kubernetes nodes goes to what pods request or use of them, and the rest is idle.

use rand::{Rng as _, rngs::StdRng};
use rust_decimal::Decimal;
use schemas::{
    Envelope, Event,
    events::{Monitoring, MonitoringKind, Resource},
};
use sinks::{
    query_api::{AllocationAnswer, CostSummary, CostWorkloads},
    read_models::cost::read::{CurrencyAllocation, CurrencyWorkloads},
};

use super::fixture::{Place, at, charge, columns};
use crate::{
    faults::dice,
    query_api::fixture::Api,
    support::projection::{in_batches, shuffled},
};

const NODE: &str = "i-0f3b7c21d9a84e650";
const GIGABYTE: i64 = 1 << 30;

/// A day of a node's machine.
fn billed(n: u64, cents: i64, node: &str, day: i64) -> Envelope {
    let mut envelope = charge(n, cents, day * 86_400, at("2025-06-01T00:00:00Z"));
    let usage = columns(&mut envelope);
    usage.resource_id = Some(format!("arn:aws:ec2:eu-central-1:42:instance/{node}"));
    usage.tags = [("team".to_owned(), "platform".to_owned())].into();
    envelope
}

/// Subject of a measurement: its kind and tags.
struct Subject<'a> {
    kind: &'a str,
    id: &'a str,
    tags: Vec<(&'a str, &'a str)>,
}

/// A measurement in the n-th minute of May.
fn measured(n: u64, subject: &Subject<'_>, name: &str, value: &str, minute: i64) -> Envelope {
    let mut envelope = charge(n, 0, 0, at("2025-05-01T00:00:00Z") + chrono::TimeDelta::minutes(minute));
    envelope.event = Event::Monitoring(Monitoring {
        kind: MonitoringKind::UtilisationMeasured,
        subject: Resource {
            cloud: Some("kubernetes".into()),
            account: Some("prod".into()),
            kind: Some(subject.kind.into()),
            id: subject.id.into(),
            tags: subject.tags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..Resource::default()
        },
        name: name.into(),
        severity: None,
        status: None,
        value: Some(value.into()),
        threshold: None,
        unit: None,
        message: None,
    });
    envelope
}

/// A node of 4 cores and 16 GB; a pod that asks for 1 core and uses 4 GB; one that uses 2 cores half of the time.
pub(crate) fn a_day() -> Vec<Envelope> {
    let provider = "aws:///eu-central-1a/i-0f3b7c21d9a84e650";
    let of_node = ("k8s.node.provider_id", provider);
    let node = Subject { kind: "k8s.node", id: "worker-1", tags: vec![of_node] };
    let api = Subject {
        kind: "k8s.pod",
        id: "api-7d9c5b6f8b-x2x4q",
        tags: vec![
            of_node,
            ("k8s.namespace.name", "shop"),
            ("k8s.pod.uid", "u-1"),
            ("k8s.deployment.name", "api"),
            ("k8s.pod.label.team", "ads"),
        ],
    };
    let [web, proxy] = ["web", "proxy"].map(|container| {
        let mut tags = api.tags.clone();
        tags.push(("k8s.container.name", container));
        Subject { kind: "k8s.container", id: container, tags }
    });
    let job = Subject {
        kind: "k8s.pod",
        id: "nightly-x",
        tags: vec![
            of_node,
            ("k8s.namespace.name", "batch"),
            ("k8s.pod.uid", "u-2"),
            ("k8s.cronjob.name", "nightly"),
        ],
    };
    let gigabytes = |count: i64| (count * GIGABYTE).to_string();
    let mut events =
        vec![billed(1, 1_000, NODE, 0), billed(2, 1_000, NODE, 1), billed(3, 700, "i-0ffffffffffffffff", 0)];
    for minute in 0..4 {
        let mut push = |subject: &Subject<'_>, name: &str, value: &str| {
            let n = 100 + events.len() as u64;
            events.push(measured(n, subject, name, value, minute));
        };
        push(&node, "k8s.node.allocatable_cpu", "4");
        push(&node, "k8s.node.allocatable_memory", &gigabytes(16));
        push(&api, "k8s.pod.cpu.usage", "0.5");
        push(&api, "k8s.pod.memory.working_set", &gigabytes(4));
        push(&api, "k8s.pod.memory.usage", &gigabytes(6));
        push(&web, "k8s.container.cpu_request", "0.75");
        push(&proxy, "k8s.container.cpu_request", "0.25");
        push(&web, "k8s.container.memory_request", &gigabytes(2));
        push(&web, "container.cpu.usage", "0.3");
        push(&proxy, "container.cpu.usage", "0.1");
        if minute % 2 == 0 {
            push(&job, "k8s.pod.cpu.usage", "2");
        }
    }
    events
}

fn rounded(amount: &str) -> Decimal {
    amount.parse::<Decimal>().expect("a decimal").round_dp(6).normalize()
}

/// Bucket or team, and its total to six places.
fn buckets(allocation: &CurrencyAllocation) -> Vec<(String, String)> {
    let name = |bucket: &str, team: &Option<String>| team.clone().unwrap_or_else(|| format!("({bucket})"));
    let buckets = allocation.buckets.iter();
    buckets.map(|one| (name(&one.bucket, &one.team), rounded(&one.total).to_string())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned())).collect()
}

#[tokio::test]
async fn a_node_is_divided_by_the_larger_of_request_and_usage() {
    let mut first = None;
    for seed in 0..3_u64 {
        let api = Api::start().await;
        let mut member = Place::at(api.database.clone()).await.member(0).await;
        let mut events = a_day();
        if seed > 0 {
            events.extend(a_day().into_iter().skip(5));
            events = shuffled(events, seed);
        }
        for batch in in_batches(&events, 1 + events.len() / 4) {
            member.deliver(&batch).await;
        }
        let found: CostWorkloads = api.get("acme", "/api/v1/cost/workloads").await;
        assert_eq!(first.get_or_insert_with(|| found.currencies.clone()), &found.currencies, "seed {seed}");
        let [euros] = &found.currencies[..] else { panic!("one currency: {found:?}") };
        assert_eq!((euros.total.as_str(), euros.nodes), ("10", 1), "a day without pods is not divided");
        // 4 cores are worth 0.126444 and 16 GB 0.067792: 6.509813 of the cost is for CPU.
        let costs = euros.workloads.iter().map(|item| {
            let workload = item.workload.clone().unwrap_or_default();
            (
                format!("{}/{workload}", item.namespace.as_deref().unwrap_or_default()),
                rounded(&item.cost).to_string(),
            )
        });
        assert_eq!(costs.collect::<Vec<_>>(), pairs(&[("shop/api", "2.5"), ("batch/nightly", "1.627453")]));
        assert_eq!(rounded(&euros.idle).to_string(), "5.872547");
        let amounts = &euros.workloads[0].amounts;
        assert_eq!((amounts.cpu_requested.as_str(), amounts.cpu_used.as_str()), ("1", "0.5"));
        assert_eq!((amounts.memory_requested_gb.as_str(), amounts.memory_used_gb.as_str()), ("2", "4"));

        let by_team: AllocationAnswer = api.get("acme", "/api/v1/cost/allocation").await;
        let expected = [("ads", "2.5"), ("platform", "18.627453"), ("(idle)", "5.872547")];
        assert_eq!(buckets(&by_team.allocation[0]), pairs(&expected), "a pod without a team is the node's");
        assert_eq!(by_team.allocation[0].total, "27");
        let rules =
            r#"[{"when":{"tags":{"namespace":"batch"}},"to":{"team":"data"}},{"to":{"team_of_tag":"team"}}]"#;
        let url = reqwest::Url::parse_with_params("http://api/api/v1/cost/allocation", [("rules", rules)]);
        let url = url.expect("a URL");
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let tried = api.get::<AllocationAnswer>("acme", &path).await.tried.expect("tried rules");
        let expected = [("ads", "2.5"), ("data", "1.627453"), ("platform", "17"), ("(idle)", "5.872547")];
        assert_eq!(buckets(&tried[0]), pairs(&expected));
        let foreign: CostWorkloads = api.get("other", "/api/v1/cost/workloads").await;
        assert!(foreign.currencies.is_empty());
    }
}

/// Nodes, days, pods and amounts by chance.
fn by_chance(dice: &mut StdRng) -> Vec<Envelope> {
    let mut events = Vec::new();
    for day in 0..3_i64 {
        for node in 0..3_u64 {
            let machine = format!("i-0000000{node}");
            events.push(billed(events.len() as u64, dice.random_range(-500..100_000), &machine, day));
            for _ in 0..dice.random_range(0..12) {
                let [pod, namespace] =
                    [dice.random_range(0..4), dice.random_range(0..2)].map(|n: u8| n.to_string());
                let subject = Subject {
                    kind: "pod",
                    id: "p",
                    tags: vec![("node", &machine), ("pod", &pod), ("namespace", &namespace), ("team", &pod)],
                };
                let names = [
                    "cpu_requested",
                    "cpu_usage",
                    "memory_requested",
                    "memory_working_set",
                    "cpu_allocatable",
                ];
                let name = names[dice.random_range(0..names.len())];
                let value =
                    Decimal::new(dice.random_range(0..10_000_000), dice.random_range(0..7)).to_string();
                let minute = day * 1_440 + dice.random_range(0..1_440);
                events.push(measured(events.len() as u64, &subject, name, &value, minute));
            }
        }
    }
    events
}

#[tokio::test]
async fn no_cent_is_lost_or_invented() {
    let mut dice = dice("no_cent_is_lost_or_invented");
    for _ in 0..8 {
        let api = Api::start().await;
        let mut member = Place::at(api.database.clone()).await.member(0).await;
        member.deliver(&by_chance(&mut dice)).await;
        let summary: CostSummary = api.get("acme", "/api/v1/cost/summary").await;
        let allocation: AllocationAnswer = api.get("acme", "/api/v1/cost/allocation").await;
        assert_eq!(allocation.allocation[0].total, summary.totals[0].billed_cost);
        for by in ["workload", "namespace", "cluster"] {
            for limit in [1, 1_000] {
                let path = format!("/api/v1/cost/workloads?by={by}&limit={limit}");
                let found: CostWorkloads = api.get("acme", &path).await;
                for CurrencyWorkloads { workloads, others, idle, total, .. } in &found.currencies {
                    let parts = workloads.iter().map(|one| &one.cost).chain([others, idle]);
                    let sum: Decimal = parts.map(|part| part.parse::<Decimal>().expect("a decimal")).sum();
                    assert_eq!(sum, total.parse::<Decimal>().expect("a decimal"), "{path}");
                }
            }
        }
    }
}
