//! Published plans, if `WEIR_CORPUS` names a folder with their archives.
#![expect(clippy::disallowed_methods, reason = "tests read the corpus; processors read no files")]

use std::fs;

use costs::{estimate::estimate, prices::PriceList};
use schemas::changes::{
    change_review::{PlanReading, Route},
    estimate::PlannedAction,
};

use super::*;
use crate::tests::corpus::{corpus, files};

/// Every plan of the set `terraform_plans`, by its file's name; `None` without a corpus.
fn plans() -> Option<Vec<(String, Value)>> {
    let folder = corpus("terraform_plans")?;
    let mut plans = Vec::new();
    for path in files(folder.path(), "json") {
        let value: Value = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        if value.is_object() && value.get("resource_changes").is_some() {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            plans.push((name, value));
        }
    }
    plans.sort_by(|a, b| a.0.cmp(&b.0));
    Some(plans)
}

#[test]
fn every_published_plan_is_read_and_scored() {
    let Some(plans) = plans() else { return };
    assert_eq!(plans.len(), 8);
    for (name, plan) in &plans {
        let proposal = assess(Given::Json(plan), false);
        assert_eq!(proposal.plan.reading, PlanReading::Read, "{name}");
        let changes = plan["resource_changes"].as_array().expect("changes").len();
        assert_eq!(proposal.plan.creates as usize, changes, "all of them are creations: {name}");
        let estimate = estimate(plan, &PriceList::examples()).expect("an estimate");
        assert_eq!(estimate.resources_total as usize, changes, "{name}");
        assert_eq!(estimate.delta, estimate.monthly_after, "{name}");
        let listed: Vec<String> =
            proposal.factors.iter().map(|factor| format!("{} {}", factor.rule, factor.points)).collect();
        // Whoever tunes points wants to see what they do: `cargo test -- --nocapture`.
        #[expect(clippy::print_stderr, reason = "shown only where somebody asks for it")]
        {
            eprintln!("{name}: {} {} {listed:?}", proposal.score, proposal.route.name());
        }
        let wanted = match name.as_str() {
            // Grants that allow everything, and policies that are open to anybody.
            "admin_policy_infra" | "bucketpolicy_allowlist_infra" => Route::Review,
            _ => continue,
        };
        assert!(proposal.route >= wanted, "{name}: {}", proposal.score);
    }
}

#[test]
fn every_reviewed_plan_is_read_whole_and_nothing_dangerous_is_auto() {
    let Some(folder) = corpus("plans") else { return };
    let root = folder.path().join("plans");
    let text = fs::read_to_string(root.join("expected.json")).expect("a file");
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("JSON");
    let (mut read, mut refused, mut changes) = (0, 0, 0);
    let (mut resources, mut covered) = (0_u32, 0_u32);
    for (name, expected) in &expected {
        let plan: Value = serde_json::from_slice(&fs::read(root.join(name)).expect("a plan")).expect("JSON");
        let proposal = assess(Given::Json(&plan), false);
        if expected["readable"] == false {
            assert_eq!(proposal.plan.reading, PlanReading::Unreadable, "{name}");
            assert_eq!(estimate(&plan, &PriceList::examples()), None, "{name}");
            refused += 1;
            continue;
        }
        assert_eq!(proposal.plan.reading, PlanReading::Read, "{name}: {:?}", proposal.factors);
        let estimate = estimate(&plan, &PriceList::examples()).expect("an estimate");
        let coverage = estimate.coverage_after;
        assert_eq!(coverage.priced + coverage.free + coverage.unpriced, coverage.resources, "{name}");
        let named = estimate.unpriced.len() + estimate.resources.len();
        assert!(named >= estimate.resources_total as usize, "{name}: every resource is named");
        resources += estimate.resources_total;
        covered += estimate.resources_total - estimate.unpriced_total;
        let count = |actions: &str| expected["actions"][actions].as_u64().unwrap_or(0);
        let summary = &proposal.plan;
        assert_eq!(u64::from(summary.creates), count("create"), "{name}");
        assert_eq!(u64::from(summary.updates), count("update"), "{name}");
        assert_eq!(u64::from(summary.deletes), count("delete"), "{name}");
        assert_eq!(u64::from(summary.replaces), count("delete+create") + count("create+delete"), "{name}");
        let counted = |member: &str| match &expected[member] {
            Value::Array(list) => list.len(),
            Value::Object(pairs) => pairs.len(),
            _ => 0,
        };
        assert_eq!(summary.moves as usize, counted("moved"), "{name}");
        assert_eq!(summary.drifted as usize, counted("drifted"), "{name}");
        let dangerous = proposal.factors.iter().any(|factor| {
            matches!(factor.rule.as_str(), "data_store" if factor.kind != FactorKind::Update)
                || matches!(
                    factor.rule.as_str(),
                    "open_administration" | "grants_everything" | "grants_anybody"
                )
        });
        assert!(!dangerous || proposal.route > Route::Auto, "{name}: {}", proposal.score);
        read += 1;
        changes += expected["changes"].as_u64().expect("a number");
    }
    assert_eq!((read, refused, changes), (32, 2, 121));
    // Reads are of no interest; of the 115 that are managed, the rest is named with its reason.
    assert_eq!(resources, 115);
    assert!(covered * 100 >= resources * 60, "{covered} of {resources} resources are priced or free");
}

/// The shipped prices of one region as those of every region, with a machine and a disk that the list does not have.
fn prices_of_every_region() -> PriceList {
    let listed = PriceList::examples().to_csv();
    let mut lines: Vec<String> = Vec::new();
    for line in listed.lines() {
        let is_elsewhere =
            ["eu-west-1", "westeurope", "europe-west1"].iter().any(|region| line.contains(region));
        if !is_elsewhere {
            let line = ["us-east-1", "eastus", "us-central1"]
                .iter()
                .fold(line.to_owned(), |line, region| line.replace(&format!(",{region},"), ",*,"));
            lines.push(line);
        }
    }
    lines.push("aws,*,instance,t2.nano,hour,0.0058,USD,2025-06-01".to_owned());
    lines.push("gcp,*,disk,local-ssd,GB-month,0.08,USD,2025-06-01".to_owned());
    costs::prices::read("every region", lines.join("\n").as_bytes()).list.expect("a list")
}

#[test]
fn every_published_machine_database_and_disk_that_is_created_has_a_price() {
    let (Some(mut plans), Some(folder)) = (plans(), corpus("plans")) else { return };
    for path in files(folder.path(), "json") {
        let plan: Value = serde_json::from_slice(&fs::read(&path).expect("a file")).unwrap_or_default();
        plans.push((path.display().to_string(), plan));
    }
    let (prices, mut found) = (prices_of_every_region(), 0);
    for (name, plan) in &plans {
        let Some(estimate) = estimate(plan, &prices) else { continue };
        for one in estimate.resources {
            let kinds = ["aws_instance", "aws_db_instance", "aws_ebs_volume", "google_compute_instance"];
            if one.action == PlannedAction::Create && kinds.contains(&one.kind.as_str()) {
                assert!(one.delta.is_some(), "{name}: {one:?}");
                found += 1;
            }
        }
    }
    assert!(found >= 8, "{found}");
}
