//! Published plans, where `WEIR_CORPUS` names a folder with their archives.
#![expect(clippy::disallowed_methods, reason = "tests read the corpus; processors read no files")]

use std::fs;

use schemas::changes::change_review::{PlanReading, Route};

use super::*;
use crate::tests::corpus::{corpus, files};

/// Every plan of the set `terraform_plans`, by its file's name; none where no corpus is named.
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
