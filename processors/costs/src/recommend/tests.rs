//! Rules on facts as readers give them.

use super::*;

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn metric(metric: UtilisationMetric, p95: f64, largest: f64) -> Measured {
    let name = metric.name().to_owned();
    Measured {
        metric: name,
        samples: 4_032,
        hours: 336,
        days: 14,
        mean: p95 / 2.0,
        p95,
        largest,
        largest_day: largest * 288.0,
    }
}

/// A machine for 0.4 an hour in a family of three sizes.
fn machine(measured: Vec<Measured>) -> ResourceFacts {
    let price = |sku: &str, price: &str| SkuPrice { sku: sku.into(), unit_price: decimal(price) };
    ResourceFacts {
        service_category: "Compute".into(),
        service: "Amazon Elastic Compute Cloud".into(),
        environment: None,
        cost: decimal("288"),
        days: 30,
        measured,
        week: None,
        sku: Some(SkuTold {
            provider: "aws".into(),
            region: "us-east-1".into(),
            product: "instance".into(),
            sku: "m5.2xlarge".into(),
            unit: "hour".into(),
            unit_price: decimal("0.4"),
            cheaper: vec![price("m5.xlarge", "0.2"), price("m5.large", "0.1")],
        }),
        price: Some(UnitPrice { hourly: decimal("0.4"), ..UnitPrice::default() }),
        size_gb: None,
        stopped_days: None,
    }
}

fn disk(sku: &str, cheaper: &str, size: i64) -> ResourceFacts {
    let mut facts = machine(Vec::new());
    let sku = SkuTold {
        product: "volume".into(),
        sku: sku.into(),
        unit: "GB-month".into(),
        unit_price: decimal("0.1"),
        cheaper: vec![SkuPrice { sku: cheaper.into(), unit_price: decimal("0.08") }],
        ..SkuTold::default()
    };
    facts.price = Some(UnitPrice { gb_monthly: decimal("0.1"), ..UnitPrice::default() });
    (facts.sku, facts.size_gb, facts.cost) = (Some(sku), Some(Decimal::from(size)), decimal("50"));
    facts
}

fn week(busy: impl Fn(usize) -> bool) -> Week {
    Week((0..HOURS_OF_WEEK).map(|hour| Some(if busy(hour) { 40.0 } else { 1.0 })).collect())
}

fn check(facts: &ResourceFacts, expected: &[(RecommendationKind, &str)]) {
    let found = of_resource(facts);
    let told: Vec<_> = found.iter().map(|one| (one.kind, one.monthly_saving.to_string())).collect();
    let expected: Vec<_> = expected.iter().map(|(kind, saving)| (*kind, (*saving).to_owned())).collect();
    assert_eq!(told, expected, "{found:#?}");
    for advice in &found {
        assert!((1..=100).contains(&advice.confidence) && !advice.reasons.is_empty(), "{advice:?}");
    }
}

use RecommendationKind::{Idle, RightSize, Schedule, StorageTier};
use UtilisationMetric::{Connections, Cpu, Io, Memory, Network, Requests};

#[test]
fn a_machine_that_does_nothing_is_idle() {
    check(&machine(vec![metric(Cpu, 1.5, 4.0)]), &[(Idle, "288")]);
    check(&machine(vec![metric(Cpu, 1.5, 4.0), metric(Network, 100.0, 1_000.0)]), &[(Idle, "288")]);
    // One hour of work, much traffic, or somebody who asks: it is in use. The next size still does.
    check(&machine(vec![metric(Cpu, 1.5, 12.0)]), &[(RightSize, "144")]);
    check(&machine(vec![metric(Cpu, 1.5, 4.0), metric(Network, 9e4, 1e5)]), &[(RightSize, "144")]);
    check(&machine(vec![metric(Cpu, 1.5, 4.0), metric(Connections, 0.0, 2.0)]), &[(RightSize, "144")]);
    check(&machine(vec![metric(Requests, 0.0, 0.0)]), &[(Idle, "288")]);
    check(&machine(Vec::new()), &[]);
    let stopped = |days| ResourceFacts { stopped_days: Some(days), ..machine(Vec::new()) };
    check(&stopped(14), &[(Idle, "288")]);
    check(&stopped(13), &[]);
}

#[test]
fn few_days_or_few_hours_say_nothing() {
    let mut seldom = machine(vec![Measured { hours: 40, ..metric(Cpu, 1.0, 2.0) }]);
    check(&seldom, &[]);
    seldom.measured = vec![Measured { days: 6, hours: 144, ..metric(Cpu, 1.0, 2.0) }];
    check(&seldom, &[]);
    check(&ResourceFacts { days: 6, ..machine(vec![metric(Cpu, 1.0, 2.0)]) }, &[]);
    check(&ResourceFacts { cost: Decimal::ZERO, ..machine(vec![metric(Cpu, 1.0, 2.0)]) }, &[]);
    check(&ResourceFacts { cost: decimal("0.9"), ..machine(vec![metric(Cpu, 1.0, 2.0)]) }, &[]);
}

#[test]
fn a_smaller_size_keeps_room_for_peaks() {
    // Four times 12 and 20 % fit a quarter of the size, if memory does.
    check(&machine(vec![metric(Cpu, 12.0, 20.0), metric(Memory, 15.0, 20.0)]), &[(RightSize, "216")]);
    check(&machine(vec![metric(Cpu, 12.0, 20.0), metric(Memory, 35.0, 40.0)]), &[(RightSize, "144")]);
    check(&machine(vec![metric(Cpu, 12.0, 20.0), metric(Memory, 60.0, 70.0)]), &[]);
    check(&machine(vec![metric(Cpu, 12.0, 20.0)]), &[(RightSize, "144")]);
    check(&machine(vec![metric(Cpu, 31.0, 40.0)]), &[]);
    check(&machine(vec![metric(Cpu, 29.0, 50.0)]), &[]);
    let mut half_a_month = machine(vec![metric(Cpu, 12.0, 20.0)]);
    (half_a_month.days, half_a_month.cost) = (15, decimal("144"));
    check(&half_a_month, &[(RightSize, "144")]);
}

#[test]
fn quiet_hours_are_for_stopping() {
    let with_week = |week| {
        let mut facts = machine(vec![metric(Cpu, 35.0, 40.0)]);
        facts.week = Some(week);
        facts
    };
    let office = |hour: usize| hour / 24 < 5 && (8..18).contains(&(hour % 24));
    // 118 quiet hours of 168.
    check(&with_week(week(office)), &[(Schedule, "202.28")]);
    check(&with_week(week(|hour| hour % 3 == 0)), &[]);
    check(&with_week(week(|_| true)), &[]);
    let mut holes = week(office);
    holes.0[7] = None;
    check(&with_week(holes), &[]);
    // The last night of the week and the first are one stretch.
    let quiet = week(|hour| (3..165).contains(&hour)).quiet();
    assert_eq!(quiet, Some(6));
    let unmeasured = |name: &str| ResourceFacts { environment: Some(name.into()), ..machine(Vec::new()) };
    check(&unmeasured("staging"), &[(Schedule, "185.14")]);
    check(&unmeasured("production"), &[]);
    let idle_is_all = ResourceFacts { week: Some(week(office)), ..machine(vec![metric(Cpu, 1.0, 2.0)]) };
    check(&idle_is_all, &[(Idle, "288")]);
}

#[test]
fn cheaper_tiers_are_as_good() {
    check(&disk("gp2", "gp3", 500), &[(StorageTier, "10")]);
    check(&disk("gp2", "gp3", 5_000), &[]);
    let confidence = |facts: &ResourceFacts| of_resource(facts).first().map(|one| one.confidence);
    assert_eq!(confidence(&disk("gp2", "gp3", 170)), Some(95));
    // Its throughput may be twice that of gp3, and nobody measured it.
    let unmeasured = of_resource(&disk("gp2", "gp3", 334));
    assert!(unmeasured[0].confidence < 70 && unmeasured[0].reasons[0].contains("125 MB/s"), "{unmeasured:?}");
    let used = |p95| ResourceFacts { measured: vec![metric(Io, p95, p95)], ..disk("gp2", "gp3", 500) };
    check(&used(30.0), &[(StorageTier, "10")]);
    check(&used(60.0), &[]);
    let measured = |p95| ResourceFacts { measured: vec![metric(Io, p95, p95)], ..disk("io1", "gp3", 500) };
    check(&measured(39.0), &[(StorageTier, "10")]);
    check(&measured(41.0), &[]);
    check(&disk("io1", "gp3", 500), &[]);
    let objects = |days| ResourceFacts {
        service_category: "Storage".into(),
        sku: None,
        price: None,
        measured: vec![Measured { days, ..metric(Requests, 0.0, 0.0) }],
        ..machine(Vec::new())
    };
    check(&objects(14), &[(StorageTier, "115.2")]);
    // A bucket of a bill without categories is not removed, either.
    let untold = ResourceFacts { service_category: String::new(), service: "AmazonS3".into(), ..objects(14) };
    check(&untold, &[(StorageTier, "115.2")]);
    check(&objects(10), &[]);
}

#[test]
fn steady_usage_is_committed_to() {
    let usage = |days: Vec<i64>| SteadyUsage {
        provider: "Amazon Web Services".into(),
        service_category: "Compute".into(),
        service: "EC2".into(),
        days: days.into_iter().map(Decimal::from).collect(),
        saved_otherwise: Decimal::ZERO,
    };
    let saving = |usage: &SteadyUsage| of_usage(usage).map(|advice| advice.monthly_saving.to_string());
    assert_eq!(saving(&usage(vec![100; 30])), Some("810".to_owned()));
    let mut saved = usage(vec![100; 30]);
    saved.saved_otherwise = Decimal::from(1_000);
    assert_eq!(saving(&saved), Some("540".to_owned()));
    let bursts = (0..30).map(|day| if day % 2 == 0 { 0 } else { 200 }).collect();
    assert_eq!(saving(&usage(bursts)), None);
    assert_eq!(saving(&usage(vec![100; 29])), None);
    let mut elsewhere = usage(vec![100; 30]);
    elsewhere.provider = "Nimbus".into();
    assert_eq!(saving(&elsewhere), None);
}

#[test]
fn outcomes_compare_days_before_and_after() {
    let of = |expected: Option<&str>, after: &str, days: i64| {
        let found = outcome(expected.map(decimal), (decimal("300"), 30), (decimal(after), days));
        (found.state.name(), found.realised.map(|realised| realised.to_string()))
    };
    assert_eq!(of(Some("150"), "35", 7), ("came", Some("150".to_owned())));
    assert_eq!(of(Some("150"), "60", 7), ("partly", Some("42.85".to_owned())));
    assert_eq!(of(Some("150"), "70", 7), ("missing", Some("0".to_owned())));
    assert_eq!(of(Some("150"), "0", 6), ("too_early", None));
    assert_eq!(of(None, "35", 7), ("came", Some("150".to_owned())));
    assert_eq!(of(Some("150"), "140", 7), ("missing", Some("-300".to_owned())));
}

#[test]
fn what_saves_a_part_of_everything_goes_first() {
    let advice = of_resource(&machine(vec![metric(Cpu, 1.0, 2.0)])).remove(0);
    let spent = |amount: &str| priority(&advice, decimal(amount));
    assert_eq!([spent("1000"), spent("100000"), spent("10000000")], [Grade::High, Grade::Medium, Grade::Low]);
    let production =
        ResourceFacts { environment: Some("Production".into()), ..machine(vec![metric(Cpu, 1.0, 2.0)]) };
    assert_eq!(of_resource(&production)[0].risk, Grade::Medium);
}
