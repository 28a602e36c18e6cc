//! Weir's own policies: test cases and required metadata.

use std::collections::BTreeSet;

use crate::{Config, PolicySet, Severity};

/// Frameworks that every policy names controls of.
const FRAMEWORKS: [&str; 6] = ["CIS-Controls-8", "GDPR", "HIPAA", "NIST-800-53r5", "PCI-DSS-4.0", "SOC2"];

#[test]
fn every_case_holds() {
    let set = PolicySet::own(Config::default());
    let faults: Vec<_> = set.faults().iter().map(ToString::to_string).collect();
    assert_eq!(faults.join("\n"), "");
    let outcomes = set.test();
    let wrong: Vec<_> = outcomes
        .iter()
        .filter_map(|one| one.wrong.as_ref().map(|wrong| format!("{} {}: {wrong}", one.file, one.name)))
        .collect();
    assert_eq!(wrong.join("\n"), "");
    assert!(outcomes.len() > 1_000, "{}", outcomes.len());
    assert_eq!(set.untested().iter().map(|policy| &policy.id).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_policy_says_whom_it_concerns_and_what_to_do() {
    let set = PolicySet::own(Config::default());
    assert!(set.policies().len() >= 150);
    let mut severities = BTreeSet::new();
    for policy in set.policies() {
        let provider = policy.id.split('-').next().unwrap_or_default();
        assert!(policy.file.starts_with(&format!("{provider}/")), "{} lies in {}", policy.id, policy.file);
        assert!(!policy.title.is_empty() && !policy.remediation.is_empty(), "{}", policy.id);
        assert!(!policy.resource_types.is_empty(), "{}", policy.id);
        for framework in FRAMEWORKS {
            let controls = policy.controls.get(framework);
            assert!(controls.is_some_and(|controls| !controls.is_empty()), "{}: {framework}", policy.id);
        }
        severities.insert(policy.severity);
    }
    assert_eq!(severities.len(), [Severity::Low, Severity::Medium, Severity::High, Severity::Critical].len());
}

#[test]
fn the_catalogue_is_that_of_the_policies() {
    let set = PolicySet::own(Config::default());
    let wanted = crate::catalogue(&set);
    let held = include_str!("../../CATALOGUE.md");
    let differing = wanted.lines().zip(held.lines()).find(|(wanted, held)| wanted != held);
    assert_eq!(differing, None, "run `weir policy catalogue > processors/policies/CATALOGUE.md`");
    assert_eq!(wanted.len(), held.len(), "run `weir policy catalogue > processors/policies/CATALOGUE.md`");
}
