//! Every record of the corpus is taken.

use std::{fs, path::PathBuf};

use schemas::Event;
use serde_json::Value;

use super::{SourceFormat, activity, map};
use crate::sources::records::Records;

/// Unpacks an archive of the corpus, or prints that there is none.
pub(in crate::sources) fn corpus(name: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let Some(folder) = std::env::var_os("WEIR_CORPUS") else {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: WEIR_CORPUS names no corpus");
        }
        return None;
    };
    let archive =
        fs::File::open(PathBuf::from(folder).join(format!("{name}.tar.gz"))).expect("the archive is there");
    let unpacked = tempfile::tempdir().expect("a temporary folder");
    tar::Archive::new(flate2::read::GzDecoder::new(archive)).unpack(unpacked.path()).expect("unpacked");
    let path = unpacked.path().join(name);
    Some((unpacked, path))
}

#[test]
fn corpus_panther_every_line_of_every_source_is_taken() {
    let Some((_unpacked, path)) = corpus("panther") else { return };
    for (file, format, count) in [
        ("amazon_eks_audit", SourceFormat::KubernetesAudit, 127),
        ("github_audit", SourceFormat::GithubAudit, 50),
        ("github_webhook", SourceFormat::GithubWebhook, 20),
        ("okta_systemlog", SourceFormat::OktaSystemLog, 29),
        ("gcp_auditlog", SourceFormat::GcpAudit, 86),
        ("azure_monitoractivity", SourceFormat::AzureActivity, 95),
        ("azure_audit", SourceFormat::AzureAudit, 37),
    ] {
        let lines = fs::read_to_string(path.join(format!("{file}.jsonl"))).expect("text");
        let mut named = 0;
        for line in lines.lines() {
            let test: Value = serde_json::from_str(line).expect("a line is JSON");
            named += usize::from(activity(format, &test["event"]).action != "unknown");
        }
        assert_eq!(lines.lines().count(), count, "{file}");
        assert!(named * 10 >= count * 8, "{file}: {named} of {count} name an action");
    }
}

#[test]
fn corpus_github_every_webhook_body_is_taken() {
    let Some((_unpacked, path)) = corpus("github_webhooks") else { return };
    let mut taken = 0;
    for folder in fs::read_dir(path.join("payload-examples/api.github.com")).expect("listed") {
        for file in fs::read_dir(folder.expect("an entry").path()).expect("listed") {
            let file = file.expect("an entry").path();
            if file.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(file).expect("text");
                map(SourceFormat::GithubWebhook, &text);
                taken += 1;
            }
        }
    }
    assert_eq!(taken, 273);
}

#[test]
fn corpus_terraform_every_plan_is_one_record() {
    let Some((_unpacked, path)) = corpus("terraform_plans") else { return };
    let (mut folders, mut plans, mut changes) = (vec![path], 0, 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "json") || path.ends_with("expected.json")
            {
                continue;
            }
            let format = SourceFormat::TerraformPlan;
            let file = fs::File::open(&path).expect("opened");
            let mut elements: Vec<_> = Records::new(file, format).collect();
            assert_eq!(elements.len(), 1, "{}", path.display());
            let text = elements.remove(0).expect("a good file").text.expect("a good record");
            assert!(format.is_recognised(&text));
            let Event::Infrastructure(proposed) = map(format, &text).envelope.event else {
                panic!("not a plan")
            };
            changes += proposed.quantity.expect("counted").parse::<u32>().expect("a number");
            plans += 1;
        }
    }
    assert_eq!((plans, changes), (8, 46));
}
