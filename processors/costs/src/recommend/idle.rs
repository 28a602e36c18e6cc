//! Resources that nobody uses.

use schemas::changes::cost::{Grade, RecommendationKind, UtilisationMetric};

use super::{Advice, MEASURED_DAYS, Measured, ResourceFacts, confidence, shown};

/// Largest processor use of 95 of 100 hours, in percent: Azure Advisor shuts machines down below it.
const CPU_P95: f64 = 3.0;
/// Largest processor use at all, in percent: AWS Trusted Advisor calls days up to it low.
const CPU_LARGEST: f64 = 10.0;
/// Most bytes over the network in a day: AWS Trusted Advisor's bound, 5 MB.
const NETWORK_DAY: f64 = 5_000_000.0;
/// Days after which a stopped resource is idle.
const STOPPED_DAYS: i64 = MEASURED_DAYS;

pub(super) fn advise(facts: &ResourceFacts) -> Option<Advice> {
    let (reasons, points) = stopped(facts).or_else(|| unused(facts))?;
    Some(Advice {
        kind: RecommendationKind::Idle,
        action: "Remove it, with a last copy of what it holds if that may be needed.".to_owned(),
        reasons,
        monthly_saving: facts.monthly_cost(),
        risk: facts.risk(Grade::Low),
        effort: Grade::Low,
        confidence: confidence(points),
        target: None,
    })
}

/// A stopped resource pays for what it stores.
fn stopped(facts: &ResourceFacts) -> Option<(Vec<String>, i64)> {
    let days = facts.stopped_days.filter(|days| *days >= STOPPED_DAYS)?;
    Some((vec![format!("It has been stopped for {days} days, and what it stores is paid for.")], 85))
}

/// A running resource that does nothing. Every metric that was measured must agree, and one of them must say something by
/// itself.
fn unused(facts: &ResourceFacts) -> Option<(Vec<String>, i64)> {
    if facts.stopped_days.is_some() {
        return None;
    }
    let cpu = facts.measured(UtilisationMetric::Cpu);
    if cpu.is_some_and(|cpu| cpu.p95 > CPU_P95 || cpu.largest > CPU_LARGEST) {
        return None;
    }
    let network = facts.measured(UtilisationMetric::Network);
    if network.is_some_and(|network| network.largest_day > NETWORK_DAY) {
        return None;
    }
    // Objects that nobody asks for are kept for a reason; a cheaper tier holds them.
    if facts.is_of_storage() {
        return None;
    }
    let asked =
        [UtilisationMetric::Connections, UtilisationMetric::Requests].map(|metric| facts.measured(metric));
    if asked.iter().flatten().any(|asked| asked.largest > 0.0) {
        return None;
    }
    let mut reasons = Vec::new();
    if let Some(cpu) = cpu {
        reasons.push(format!(
            "Processor use stayed at or below {} % in 95 of 100 hours of {} days, and never exceeded {} %.",
            shown(cpu.p95),
            cpu.days,
            shown(cpu.largest)
        ));
    }
    if let Some(network) = network {
        let megabytes = shown(network.largest_day / 1_000_000.0);
        reasons.push(format!("The network carried at most {megabytes} MB a day."));
    }
    for asked in asked.iter().flatten() {
        reasons.push(format!("There were no {} in {} days.", asked.metric, asked.days));
    }
    let nobody_asks = asked.iter().flatten().next().is_some();
    let speaks = if nobody_asks { asked.iter().flatten().next() } else { cpu.as_ref() };
    let agreeing = i64::try_from(reasons.len()).unwrap_or_default() - 1;
    let days = speaks.map(|measured: &&Measured| measured.days)?;
    Some((reasons, 60 + days.min(MEASURED_DAYS) + 10 * agreeing))
}
