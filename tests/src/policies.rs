//! `weir policy` and `weir compliance` as people and pipelines use them: no server, files in, verdicts out.

mod reports;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

fn weir(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir-under-test"))
        .args(args)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("the command starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn plan(acl: &str) -> String {
    json!({
        "format_version": "1.2",
        "resource_changes": [{
            "address": "aws_s3_bucket_acl.a", "mode": "managed", "type": "aws_s3_bucket_acl", "name": "a",
            "change": {"actions": ["create"], "before": null, "after": {"acl": acl, "bucket": "b"},
                       "after_unknown": {"id": true}, "after_sensitive": {}}
        }]
    })
    .to_string()
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec:\n  containers:\n  \
                   - {name: c, image: app, securityContext: {privileged: true}}\n";

#[test]
fn a_plan_is_denied_allowed_or_refused_by_exit_code() {
    let folder = folder(&[
        ("open.json", &plan("public-read")),
        ("closed.json", &plan("private")),
        ("state.json", r#"{"format_version":"1.0","values":{"root_module":{}}}"#),
        ("cut.json", &plan("private")[..60]),
    ]);
    let utf_16: Vec<u8> = plan("public-read").encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path().join("powershell.json"), [&[0xFF, 0xFE][..], &utf_16].concat()).expect("a file");
    fs::write(folder.path().join("tfplan"), b"PK\x03\x04\xFF\xFE").expect("a file");
    fs::write(folder.path().join("chart.yaml"), "{{- if .Values.pod }}\n").expect("a file");
    let run = |file: &str| weir(folder.path(), &["policy", "evaluate", file]);
    assert_eq!(run("powershell.json").status.code(), Some(1));
    let open = run("open.json");
    assert_eq!(open.status.code(), Some(1), "{}", stderr(&open));
    assert!(stdout(&open).contains("aws-s3-acl-not-public") && stdout(&open).contains("public-read"));
    let closed = run("closed.json");
    assert_eq!(closed.status.code(), Some(0), "{}{}", stdout(&closed), stderr(&closed));
    for (file, reason) in [
        ("state.json", "a state, not a plan"),
        ("cut.json", "cut short"),
        ("tfplan", "terraform show -json"),
        ("chart.yaml", "helm template"),
    ] {
        let refused = run(file);
        assert_eq!((refused.status.code(), stdout(&refused)), (Some(2), String::new()), "{file}");
        assert!(stderr(&refused).contains(reason) && stderr(&refused).contains(file), "{}", stderr(&refused));
    }
}

#[test]
fn a_plan_that_is_not_complete_is_at_least_a_warning() {
    let with = |name: &str, value: Value| {
        let mut plan: Value = serde_json::from_str(&plan("private")).expect("JSON");
        plan[name] = value;
        plan.to_string()
    };
    let open: Value = serde_json::from_str(&plan("public-read")).expect("JSON");
    let mut later = open["resource_changes"][0].clone();
    later["address"] = json!("aws_s3_bucket_acl.later");
    let deferred = json!([{"reason": "instance_count_unknown", "resource_change": later}]);
    let folder = folder(&[
        ("errored.json", &with("errored", json!(true))),
        ("partial.json", &with("complete", json!(false))),
        ("deferring.json", &with("deferred_changes", deferred)),
    ]);
    let run = |file: &str, fail_on: &str| {
        let output =
            weir(folder.path(), &["policy", "evaluate", file, "--fail-on", fail_on, "--output", "json"]);
        let told: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert!(told["incomplete"][0].as_str().is_some_and(|told| told.starts_with(file)), "{told}");
        assert!(stderr(&output).contains(file), "{}", stderr(&output));
        (output.status.code(), told["decision"].clone())
    };
    for file in ["errored.json", "partial.json"] {
        assert_eq!(run(file, "deny"), (Some(0), json!("warn")));
        assert_eq!(run(file, "warn"), (Some(1), json!("warn")));
    }
    assert_eq!(run("deferring.json", "deny"), (Some(1), json!("deny")));
}

#[test]
fn settings_are_those_of_the_current_folder_alone() {
    let folder = folder(&[
        ("weir.toml", "[policies]\nno_such_setting = 1\n"),
        ("below/closed.json", &plan("private")),
    ]);
    let run = |at: &Path, file: &str| weir(at, &["policy", "evaluate", file]);
    let here = run(folder.path(), "below/closed.json");
    assert!(stderr(&here).contains("no_such_setting") && !here.status.success(), "{}", stderr(&here));
    let below = run(&folder.path().join("below"), "closed.json");
    assert!(below.status.success(), "{}", stderr(&below));
}

#[test]
fn a_folder_of_objects_is_judged_in_every_form() {
    let folder = folder(&[("k8s/pod.yaml", POD), ("k8s/values.yaml", "replicas: 2\n")]);
    let run = |form: &str| weir(folder.path(), &["policy", "evaluate", "k8s", "--output", form]);
    let output = run("json");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("passed over k8s/values.yaml"), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(told["decision"], "deny");
    let verdicts = told["documents"][0]["verdicts"].as_array().expect("verdicts");
    let privileged =
        verdicts.iter().find(|one| one["policy_id"] == "kubernetes-no-privileged").expect("a verdict");
    assert_eq!((&privileged["status"], &privileged["resource"]), (&json!("fail"), &json!("Pod/shop/web")));
    assert_eq!(privileged["policy_hash"].as_str().map(str::len), Some(64));
    let sarif: Value = serde_json::from_str(&stdout(&run("sarif"))).expect("JSON");
    let results = sarif["runs"][0]["results"].as_array().expect("results");
    assert!(results.iter().any(|one| one["ruleId"] == "kubernetes-no-privileged" && one["level"] == "error"));
    let junit = stdout(&run("junit"));
    assert!(
        junit.contains("<testsuite name=\"k8s/pod.yaml\"") && junit.contains("<failure type=\"critical\"")
    );
}

/// A decision about a folder is one about all of it.
#[test]
fn a_damaged_file_of_a_folder_is_no_file_of_another_kind() {
    let cut = plan("private");
    let cut = &cut[..cut.len() - 20];
    let mixed = format!("{POD}---\nreplicas: 2\n");
    for (name, content, told) in [
        ("plans/cut.json", cut, "plans/cut.json: "),
        ("plans/mixed.yaml", mixed.as_str(), "plans/mixed.yaml: document 2: "),
    ] {
        let folder = folder(&[("plans/closed.json", &plan("private")), (name, content)]);
        let output = weir(folder.path(), &["policy", "evaluate", "plans"]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{name}: {}", stderr(&output));
    }
}

#[test]
fn without_a_policy_there_is_no_decision() {
    let folder = folder(&[("p/only.rego", "package p\n\ndeny contains"), ("plan.json", &plan("private"))]);
    for arguments in [
        &["policy", "evaluate", "plan.json", "--policies", "p"][..],
        &[
            "policy",
            "evaluate",
            "plan.json",
            "--policy",
            "aws-ebs-volume-encrypted",
            "--severity",
            "critical",
        ],
    ] {
        let output = weir(folder.path(), arguments);
        assert!(!output.status.success() && stdout(&output).is_empty(), "{}", stdout(&output));
        assert!(stderr(&output).contains("no policy to judge by"), "{}", stderr(&output));
    }
}

#[test]
fn policies_of_strangers_load_beside_files_that_cannot() {
    let folder = folder(&[
        (
            "p/open.rego",
            "package main\ndeny[msg] { input.resource_changes[_].type == \"aws_s3_bucket_acl\"; msg := \"no\" }\n",
        ),
        ("p/loops.rego", "package loops\nf(x) = f(x)\ndeny[msg] { f(1); msg := \"x\" }\n"),
        ("p/broken.rego", "package broken\n\ndeny[msg] {\n"),
        ("p/nowhere.rego", "package nowhere\ndeny contains \"x\" if no.such(1)\n"),
        ("p/shape.rego", "package shape\ndeny := 5\n"),
        ("plan.json", &plan("private")),
    ]);
    let checked = weir(folder.path(), &["policy", "check", "p"]);
    assert_eq!(checked.status.code(), Some(1));
    for place in ["loops.rego:2:", "broken.rego:", "nowhere.rego:2:"] {
        assert!(stderr(&checked).contains(place), "{place}: {}", stderr(&checked));
    }
    assert!(stdout(&checked).starts_with("2 policies can be used, 3 faults"), "{}", stdout(&checked));
    let judged =
        weir(folder.path(), &["policy", "evaluate", "plan.json", "--policies", "p", "--output", "json"]);
    assert_eq!(judged.status.code(), Some(1), "{}", stderr(&judged));
    let told: Value = serde_json::from_str(&stdout(&judged)).expect("JSON");
    let verdicts = told["documents"][0]["verdicts"].as_array().expect("verdicts");
    let status =
        |id: &str| verdicts.iter().find(|one| one["policy_id"] == id).map(|one| one["status"].clone());
    assert_eq!((status("main"), status("shape")), (Some(json!("fail")), Some(json!("error"))));
}

#[test]
fn own_policies_hold_and_say_what_they_are_for() {
    let folder = folder(&[]);
    let tested = weir(folder.path(), &["policy", "test"]);
    assert_eq!(tested.status.code(), Some(0), "{}{}", stdout(&tested), stderr(&tested));
    let explained = weir(folder.path(), &["policy", "explain", "aws-kms-rotation"]);
    assert!(stdout(&explained).contains("enable_key_rotation") && stdout(&explained).contains("PCI-DSS-4.0"));
    let crossed = weir(folder.path(), &["compliance", "crosswalk", "aws-kms-rotation", "--output", "json"]);
    let rows: Value = serde_json::from_str(&stdout(&crossed)).expect("JSON");
    assert!(rows.as_array().is_some_and(|rows| rows.len() >= 7), "{rows}");
}

#[test]
fn a_catalogue_with_faults_is_named_by_them() {
    let catalogue = json!({"Framework": "X", "Requirements": [
        {"Id": "1", "Description": "d", "Checks": ["aws-kms-rotation", "nowhere"]}, {"Id": "1", "Description": "e", "Checks": []}]});
    let folder = folder(&[("x.json", &catalogue.to_string()), ("y.json", "{}")]);
    let checked = weir(folder.path(), &["compliance", "check", "x.json", "y.json", "--known-checks"]);
    assert_eq!(checked.status.code(), Some(1));
    let told = stderr(&checked);
    for reason in ["nowhere, which is unknown", "occurs twice", "y.json: this is no catalogue"] {
        assert!(told.contains(reason), "{reason}: {told}");
    }
}
