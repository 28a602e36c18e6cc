//! Resources for which a smaller size of the same family does.

use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use schemas::changes::cost::{Grade, RecommendationKind, SkuPrice, UtilisationMetric};

use super::{Advice, MEASURED_DAYS, PricePartKind, ResourceFacts, confidence, part_of, shown};
use crate::prices::is_storage;

/// Maximum utilisation of a smaller size, in percent: in 95 of 100 hours, and at most. Azure Advisor keeps
/// workloads that answer people below 40 % and others below 80 %; this is between them, with room for peaks.
const CPU: Bounds = Bounds { p95: 60.0, largest: 90.0 };
/// The same of memory, which cannot be exceeded for a while.
const MEMORY: Bounds = Bounds { p95: 80.0, largest: 90.0 };
/// The same of input and output.
const IO: Bounds = Bounds { p95: 80.0, largest: 100.0 };
/// Without measurements of memory only the next size is taken, of which a family's sizes are twice one another.
const ONE_STEP: Decimal = Decimal::from_parts(21, 0, 0, false, 1);

struct Bounds {
    p95: f64,
    largest: f64,
}

/// Within a family, capacity goes with the list price.
pub(super) fn advise(facts: &ResourceFacts) -> Option<Advice> {
    let sku = facts.sku.as_ref().filter(|sku| !is_storage(&sku.product))?;
    let cpu = facts.measured(UtilisationMetric::Cpu)?;
    let memory = facts.measured(UtilisationMetric::Memory);
    let io = facts.measured(UtilisationMetric::Io);
    let fits = |ratio: f64| {
        let within = |metric: &super::Measured, bounds: &Bounds| {
            metric.p95 * ratio <= bounds.p95 && metric.largest * ratio <= bounds.largest
        };
        within(cpu, &CPU)
            && memory.is_none_or(|memory| within(memory, &MEMORY))
            && io.is_none_or(|io| within(io, &IO))
    };
    let ratio_to = |price: &SkuPrice| sku.unit_price.checked_div(price.unit_price);
    let may_be = |price: &&SkuPrice| {
        ratio_to(price)
            .is_some_and(|ratio| (memory.is_some() || ratio <= ONE_STEP) && ratio.to_f64().is_some_and(&fits))
    };
    // Dearest first: the last that fits is the cheapest.
    let target = sku.cheaper.iter().rfind(may_be)?;
    let ratio = ratio_to(target)?.to_f64()?;
    let part = if sku.unit == "month" { PricePartKind::Monthly } else { PricePartKind::Hourly };
    let saved = (Decimal::ONE - target.unit_price / sku.unit_price) * facts.share_of(part)?;
    let mut reasons = vec![reason("Processor use", cpu, ratio, &target.sku)];
    reasons.extend(memory.map(|memory| reason("Memory use", memory, ratio, &target.sku)));
    reasons.extend(io.map(|io| reason("Input and output", io, ratio, &target.sku)));
    if memory.is_none() {
        reasons.push("Memory was not measured: only the next smaller size is proposed.".to_owned());
    }
    let points = 50 + cpu.days.min(MEASURED_DAYS) + if memory.is_some() { 25 } else { 0 };
    Some(Advice {
        kind: RecommendationKind::RightSize,
        action: format!("Change its size from {} to {}.", sku.sku, target.sku),
        reasons,
        monthly_saving: part_of(facts.monthly_cost(), saved),
        risk: facts.risk(if memory.is_some() { Grade::Low } else { Grade::Medium }),
        effort: Grade::Medium,
        confidence: confidence(points),
        target: Some(target.clone()),
    })
}

fn reason(what: &str, metric: &super::Measured, ratio: f64, target: &str) -> String {
    format!(
        "{what} was at most {} % in 95 of 100 hours and {} % at its largest; of {target} that is {} % and {} %.",
        shown(metric.p95),
        shown(metric.largest),
        shown(metric.p95 * ratio),
        shown(metric.largest * ratio)
    )
}
