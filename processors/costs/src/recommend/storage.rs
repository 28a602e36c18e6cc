//! Storage for which a cheaper tier does.

use rust_decimal::Decimal;
use schemas::changes::cost::{Grade, RecommendationKind, SkuTold, UtilisationMetric};

use super::{
    Advice, Environment, MEASURED_DAYS, Measured, PricePartKind, ResourceFacts, confidence, part_of, shown,
};
use crate::prices::is_storage;

/// Largest use of input and output, in percent of what is provisioned, at which the next tier does.
const IO_P95: f64 = 40.0;
/// The same for a tier of spinning disks.
const IO_P95_OF_DISKS: f64 = 10.0;
/// Largest gp2 volume with the throughput that gp3 has without a surcharge: 128 MB/s against 125. From 334 GB on it is 250 MB/s.
/// Source: Amazon EBS User Guide, "General Purpose SSD volumes".
const GP2_THROUGHPUT_GIGABYTES: i64 = 170;
/// Largest gp2 volume with the operations that gp3 has without a surcharge: 3 per second and gigabyte against 3,000.
const GP2_OPERATIONS_GIGABYTES: i64 = 1_000;
/// Saving of a tier for rarely read objects, in percent of the storage's cost: less than the list prices of S3 Infrequent
/// Access (46), Azure's cool tier (44) and Google's Nearline (50) say.
const OBJECTS_PERCENT: i64 = 40;

pub(super) fn advise(facts: &ResourceFacts) -> Option<Advice> {
    match facts.sku.as_ref() {
        Some(sku) if is_storage(&sku.product) => tier(facts, sku),
        Some(_) => None,
        None => objects(facts),
    }
}

/// Confidence and risk of a change of tier.
struct Judged {
    reason: String,
    points: i64,
    risk: Grade,
}

fn tier(facts: &ResourceFacts, sku: &SkuTold) -> Option<Advice> {
    let target = sku.cheaper.first()?;
    let Judged { reason, points, risk } = judge(facts, sku, &target.sku)?;
    let part = if sku.unit == "month" { PricePartKind::Monthly } else { PricePartKind::Gigabytes };
    let saved = (Decimal::ONE - target.unit_price / sku.unit_price) * facts.share_of(part)?;
    Some(Advice {
        kind: RecommendationKind::StorageTier,
        action: format!("Change its tier from {} to {}.", sku.sku, target.sku),
        reasons: vec![reason],
        monthly_saving: part_of(facts.monthly_cost(), saved),
        risk,
        effort: Grade::Low,
        confidence: confidence(points),
        target: Some(target.clone()),
    })
}

fn judge(facts: &ResourceFacts, sku: &SkuTold, target: &str) -> Option<Judged> {
    let io = facts.measured(UtilisationMetric::Io);
    if sku.sku.eq_ignore_ascii_case("gp2") {
        return gp2(facts, io);
    }
    let to_disks = target.starts_with('S') || target.eq_ignore_ascii_case("pd-standard");
    let bound = if to_disks { IO_P95_OF_DISKS } else { IO_P95 };
    match io {
        Some(io) if io.p95 <= bound => Some(Judged {
            reason: within(io),
            points: 60 + io.days.min(MEASURED_DAYS),
            risk: facts.risk(Grade::Low),
        }),
        None if !to_disks && facts.environment() == Environment::Other => {
            let name = facts.environment.as_deref().unwrap_or_default().trim();
            let reason = format!("It belongs to the environment {name}; its use was not measured.");
            Some(Judged { reason, points: 45, risk: Grade::Medium })
        }
        _ => None,
    }
}

/// gp3 has 3,000 operations per second and 125 MB/s at any size.
fn gp2(facts: &ResourceFacts, io: Option<&Measured>) -> Option<Judged> {
    let is_up_to = |most: i64| facts.size_gb.is_some_and(|size| size <= Decimal::from(most));
    if is_up_to(GP2_THROUGHPUT_GIGABYTES) {
        let reason =
            format!("Up to {GP2_THROUGHPUT_GIGABYTES} GB, gp3 is as fast as gp2 without a surcharge.");
        return Some(Judged { reason, points: 95, risk: Grade::Low });
    }
    match io {
        Some(io) if io.p95 <= IO_P95 => Some(Judged {
            reason: within(io),
            points: 65 + io.days.min(MEASURED_DAYS),
            risk: facts.risk(Grade::Low),
        }),
        None if is_up_to(GP2_OPERATIONS_GIGABYTES) => {
            let reason = "gp3 has as many operations per second without a surcharge, but 125 MB/s of throughput against up \
                          to 250 MB/s of gp2; the use of it was not measured.";
            Some(Judged { reason: reason.to_owned(), points: 60, risk: Grade::Medium })
        }
        _ => None,
    }
}

fn within(io: &Measured) -> String {
    format!(
        "Input and output used at most {} % of what is provisioned in 95 of 100 hours of {} days.",
        shown(io.p95),
        io.days
    )
}

/// Objects that nobody reads or writes.
fn objects(facts: &ResourceFacts) -> Option<Advice> {
    if !facts.is_of_storage() {
        return None;
    }
    let requests = facts.measured(UtilisationMetric::Requests)?;
    if requests.largest > 0.0 || requests.days < MEASURED_DAYS {
        return None;
    }
    Some(Advice {
        kind: RecommendationKind::StorageTier,
        action: "Move its objects to a tier for rarely read data.".to_owned(),
        reasons: vec![
            format!("There were no requests in {} days.", requests.days),
            format!("Such tiers cost at least {OBJECTS_PERCENT} % less to store, and more to read."),
        ],
        monthly_saving: part_of(facts.monthly_cost(), Decimal::new(OBJECTS_PERCENT, 2)),
        risk: Grade::Low,
        effort: Grade::Low,
        confidence: 60,
        target: None,
    })
}
