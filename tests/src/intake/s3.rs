//! Files in a store of S3's protocol, imported by the command from a scripted store.

use std::process::Output;

use serde_json::json;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param, query_param_is_missing},
};

use crate::support::site::{Site, ended};

const PREFIX: &str = "AWSLogs/111122223333/";
/// The time at which the objects were last modified.
const MODIFIED: &str = "2020-02-03T04:05:06.000Z";

fn record(n: usize) -> serde_json::Value {
    json!({
        "eventVersion": "1.08", "eventID": format!("5d3f1f0e-2222-4000-8000-{n:012x}"),
        "eventTime": "2026-01-05T03:04:05Z", "eventSource": "s3.amazonaws.com", "eventName": "PutObject",
        "awsRegion": "eu-central-1", "sourceIPAddress": "192.0.2.7", "userAgent": "aws-cli",
        "recipientAccountId": "111122223333", "eventType": "AwsApiCall",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ada"},
    })
}

fn page(objects: &[(String, usize)], next: Option<&str>) -> String {
    let contents: Vec<String> = objects
        .iter()
        .map(|(key, size)| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>{MODIFIED}</LastModified><Size>{size}</Size></Contents>"
            )
        })
        .collect();
    let contents = contents.concat();
    let next = next.map(|next| format!("<NextContinuationToken>{next}</NextContinuationToken>"));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>logs</Name><MaxKeys>1000</MaxKeys>
<IsTruncated>{}</IsTruncated>{}{contents}</ListBucketResult>"#,
        next.is_some(),
        next.unwrap_or_default()
    )
}

/// A store with two files, listed on two pages, each with a folder that a console made.
async fn store() -> MockServer {
    let server = MockServer::start().await;
    let files: Vec<(String, String)> = (0..2)
        .map(|n| {
            let records: Vec<_> = (0..3).map(|record_of| record(3 * n + record_of)).collect();
            (format!("{PREFIX}2026/{n} a.json"), json!({ "Records": records }).to_string())
        })
        .collect();
    let listed = |n: usize| [(format!("{PREFIX}2026/"), 0), (files[n].0.clone(), files[n].1.len())];
    let list = || {
        Mock::given(method("GET"))
            .and(path("/logs/"))
            .and(query_param("list-type", "2"))
            .and(query_param("prefix", PREFIX))
            .and(query_param("X-Amz-Algorithm", "AWS4-HMAC-SHA256"))
    };
    list()
        .and(query_param_is_missing("continuation-token"))
        .respond_with(ResponseTemplate::new(200).set_body_string(page(&listed(0), Some("more"))))
        .mount(&server)
        .await;
    list()
        .and(query_param("continuation-token", "more"))
        .respond_with(ResponseTemplate::new(200).set_body_string(page(&listed(1), None)))
        .mount(&server)
        .await;
    for (key, text) in files {
        let at = format!("/logs/{}", key.replace(' ', "%20"));
        Mock::given(method("GET"))
            .and(path(at))
            .respond_with(ResponseTemplate::new(200).set_body_string(text))
            .expect(1)
            .mount(&server)
            .await;
    }
    server
}

/// A list of all objects of a prefix.
fn list_of(prefix: &str, page: String) -> Mock {
    Mock::given(method("GET"))
        .and(path("/logs/"))
        .and(query_param("prefix", prefix))
        .respond_with(ResponseTemplate::new(200).set_body_string(page))
}

/// Adds a prefix with these objects to a store.
async fn add(server: &MockServer, prefix: &str, objects: &[(&str, &str)]) {
    let listed: Vec<_> = objects.iter().map(|(key, text)| ((*key).to_owned(), text.len())).collect();
    list_of(prefix, page(&listed, None)).mount(server).await;
    for (key, text) in objects {
        Mock::given(method("GET"))
            .and(path(format!("/logs/{key}")))
            .respond_with(ResponseTemplate::new(200).set_body_string(*text))
            .mount(server)
            .await;
    }
}

/// `weir import` of a source's paths, with the store's address.
async fn import(site: &Site, server: &MockServer, args: &[&str]) -> Output {
    let args = [&["import"][..], args, &["--tenant", "acme", "--output", "json"]].concat();
    let mut command = site.command(&args);
    command
        .env("AWS_ENDPOINT_URL", server.uri())
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "a secret of this test");
    ended(command).await
}

fn errors_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_fetched_and_imported() {
    let site = Site::new().await;
    let store = store().await;
    let output = import(&site, &store, &["cloudtrail", &format!("s3://logs/{PREFIX}")]).await;
    assert!(output.status.success(), "{}", errors_of(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["published"], &told["rejected"]), (&json!(6), &json!(0)), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_fetched_is_named() {
    let site = Site::new().await;
    let store = store().await;
    let refused = ResponseTemplate::new(403).set_body_string("<Error><Code>AccessDenied</Code></Error>");
    Mock::given(path("/closed/")).respond_with(refused).mount(&store).await;
    let empty = ResponseTemplate::new(200).set_body_string(page(&[], None));
    Mock::given(path("/empty/")).respond_with(empty).mount(&store).await;
    for (location, told) in [
        ("s3://closed/x/", "s3://closed/x/: <Error><Code>AccessDenied</Code></Error>"),
        ("s3://empty/x/", "no object of the bucket empty has a key that begins with \"x/\""),
        ("s3:///x/", "s3:///x/ names no bucket"),
    ] {
        let output = import(&site, &store, &["cloudtrail", location]).await;
        let errors = errors_of(&output);
        assert!(!output.status.success() && errors.contains(told), "{location}: {errors}");
        assert!(!errors.contains("X-Amz-Signature"), "{errors}");
    }
    store.reset().await;
}

/// The store's mocks count how often each object is fetched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_failed_goes_on_with_what_it_has_after_another_ran() {
    let site = Site::new().await;
    let store = store().await;
    Mock::given(method("GET"))
        .and(path(format!("/logs/{PREFIX}2026/1%20a.json")))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .with_priority(1)
        .mount(&store)
        .await;
    let location = format!("s3://logs/{PREFIX}");
    let failed = import(&site, &store, &["cloudtrail", &location]).await;
    let errors = errors_of(&failed);
    assert!(!failed.status.success() && errors.contains("503"), "{errors}");

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), record(9).to_string()).expect("written");
    add(&store, "other/", &[("other/a.json", record(10).to_string().as_str())]).await;
    for path in [file.path().to_str().expect("UTF-8"), "s3://logs/other/"] {
        let other = import(&site, &store, &["cloudtrail", path]).await;
        assert!(other.status.success(), "{}", errors_of(&other));
    }

    let resumed = import(&site, &store, &["cloudtrail", &location, "--resume"]).await;
    assert!(resumed.status.success(), "{}", errors_of(&resumed));
    let told: serde_json::Value = serde_json::from_slice(&resumed.stdout).expect("JSON");
    assert_eq!((&told["published"], &told["rejected"]), (&json!(6), &json!(0)), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_an_incomplete_import_are_fetched_again_when_they_changed() {
    let site = Site::new().await;
    let server = MockServer::start().await;
    let record = record(1).to_string();
    add(&server, "x/", &[("x/a.json", record.as_str()), ("x/b.json.gz", "not gzip")]).await;
    let fetched = async || {
        let output = import(&site, &server, &["cloudtrail", "s3://logs/x/"]).await;
        let errors = errors_of(&output);
        assert!(!output.status.success() && errors.contains("the objects stay in"), "{errors}");
        let requests = server.received_requests().await.expect("recorded");
        requests.iter().filter(|request| request.url.path().starts_with("/logs/x/")).count()
    };
    assert_eq!(fetched().await, 2);
    assert_eq!(fetched().await, 2, "they are there");
    let listed = [("x/a.json".to_owned(), record.len()), ("x/b.json.gz".to_owned(), "not gzip".len())];
    let changed = page(&listed, None).replace(MODIFIED, "2020-02-03T04:05:07.000Z");
    list_of("x/", changed).with_priority(1).mount(&server).await;
    assert_eq!(fetched().await, 4);
}

/// Neither states nor these charges say of when they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_time_of_its_own_has_that_of_its_object() {
    let site = Site::new().await;
    let server = MockServer::start().await;
    let state = json!({"format_version": "1.0", "values": {"root_module": {"resources": [
        {"address": "aws_ebs_volume.a", "mode": "managed", "type": "aws_ebs_volume", "name": "a",
         "values": {"encrypted": true}, "sensitive_values": {}}]}}});
    let bill = "BilledCost,BillingCurrency,BillingAccountId,ProviderName,BillingPeriodStart,ChargePeriodStart,ChargePeriodEnd\n\
                1,EUR,A-1,Nimbus,2020-01-01,2020-01-01,2020-01-02\n";
    add(&server, "states/", &[("states/a.json", state.to_string().as_str())]).await;
    add(&server, "bills/", &[("bills/a.csv", bill)]).await;
    let stages = site.run_stages(&["compliance", "cost"], 1);
    for args in [["config", "s3://logs/states/"], ["focus", "s3://logs/bills/"]] {
        let output = import(&site, &server, &args).await;
        assert!(output.status.success(), "{}", errors_of(&output));
    }
    let observed =
        "SELECT count(*) FROM compliance_observation WHERE observed_at = timestamptz '2020-02-03T04:05:06Z'";
    site.await_count(observed, 1).await;
    let known = "SELECT count(*) FROM cost_charge WHERE known_at = timestamptz '2020-02-03T04:05:06Z'";
    site.await_count(known, 1).await;
    stages.stop().await;
}
