//! Published plans: verdicts in the sense of their authors, and plans of many shapes.

use std::{fs, path::Path};

use serde_json::Value;

use super::corpus::{corpus, files};
use crate::{Config, Document, Evaluator, PolicySet, Status, Surroundings};

/// As its authors mean it: anybody, written as `*` alone, may list the bucket.
const LISTED_BY_ANYBODY: &str = r#"# METADATA
# title: Buckets are not listed by anybody
# custom:
#   id: bucket-list
#   resource_types: [aws_s3_bucket]
package test.bucket_list

import data.weir.lib

deny contains "anybody may list the bucket" if {
	some policy in policies
	some statement in lib.statements_of(policy)
	lib.allows(statement)
	statement.Principal == "*"
	some action in lib.actions(statement)
	startswith(action, "s3:list")
}

policies contains policy if some policy in lib.values("policy")

policies contains policy if {
	some other in lib.related("aws_s3_bucket_policy", "bucket")
	some policy in lib.values_in(other.config, "policy")
}
"#;

/// The policy in the sense of a published rule.
fn policy_of(rule: &str) -> &str {
    match rule {
        "rules.tf_aws_cloudfront_viewer_https" => "aws-cloudfront-https",
        "rules.tf_aws_iam_admin_policy" => "aws-iam-no-admin-policy",
        "rules.tf_aws_s3_bucketpolicy_allowlist" => "bucket-list",
        "rules.tf_aws_vpc_vpc_flow_logging_enabled" => "aws-vpc-flow-logs",
        "rules.tf_azurerm_storage_secure_transfer" => "azure-storage-https",
        "rules.tf_google_compute_subnetwork_flow_logs" => "gcp-subnetwork-flow-logs",
        "rules.tf_google_kms_cryptokey_rotate" => "gcp-kms-rotation",
        _ => "none",
    }
}

#[expect(clippy::disallowed_methods, reason = "tests read the corpus; policies read no files")]
fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("a file of the set")
}

#[test]
fn plans_get_the_verdicts_of_their_authors() {
    let Some(folder) = corpus("terraform_plans") else { return };
    let folder = folder.path().join("terraform_plans");
    let mut files = crate::own();
    files.push(("test/bucket_list.rego", LISTED_BY_ANYBODY));
    let set = PolicySet::load(files, Config::default());
    assert_eq!(set.faults(), []);
    let mut evaluator = Evaluator::new(&set);
    let expected: Vec<Value> = serde_json::from_str(&text(&folder.join("expected.json"))).expect("verdicts");
    let (mut right, mut wrong) = (0, Vec::new());
    for one in &expected {
        let [rule, plan, resource] =
            ["rule", "plan", "resource"].map(|name| one[name].as_str().unwrap_or_default());
        let documents = Document::read(&text(&folder.join(plan))).expect("a plan");
        let wanted = policy_of(rule);
        let found =
            evaluator.evaluate(&set, &documents[0], &Surroundings::default(), |policy| policy.id == wanted);
        let verdict = found.verdicts.iter().find(|verdict| verdict.resource == resource);
        let status = verdict.map(|verdict| verdict.status);
        let wanted = if one["compliant"] == true { Status::Pass } else { Status::Fail };
        if status == Some(wanted) {
            right += 1;
        } else {
            wrong.push(format!("{rule} {resource}: {status:?}"));
        }
    }
    assert_eq!((right, wrong.join("\n")), (29, String::new()));
}

#[test]
fn plans_of_many_shapes_are_judged_whole_or_refused_with_a_reason() {
    let Some(folder) = corpus("plans") else { return };
    let folder = folder.path().join("plans");
    let set = PolicySet::own(Config::default());
    let mut evaluator = Evaluator::new(&set);
    let (mut judged, mut refused, mut verdicts) = (0, Vec::new(), 0);
    for file in files(&folder, "json") {
        if file.ends_with("expected.json") {
            continue;
        }
        match Document::read(&text(&file)) {
            Ok(documents) => {
                judged += 1;
                for document in &documents {
                    let found = evaluator.evaluate(&set, document, &Surroundings::default(), |_| true);
                    let errors: Vec<_> =
                        found.verdicts.iter().filter(|verdict| verdict.status == Status::Error).collect();
                    assert!(errors.is_empty(), "{}: {errors:?}", file.display());
                    verdicts += found.verdicts.len();
                }
            }
            Err(reason) => refused.push(reason.to_string()),
        }
    }
    assert_eq!((judged, refused.len()), (32, 2), "{refused:?}");
    assert!(verdicts > 100, "{verdicts}");
}
