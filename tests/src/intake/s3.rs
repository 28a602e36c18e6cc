//! Files in a store of S3's protocol, imported by the command from a scripted store.

use std::process::Output;

use serde_json::json;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param, query_param_is_missing},
};

use crate::support::site::{Site, ended};

const PREFIX: &str = "AWSLogs/111122223333/";

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
        .map(|(key, size)| format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>"))
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

async fn import(site: &Site, server: &MockServer, location: &str) -> Output {
    let mut command =
        site.command(&["import", "cloudtrail", location, "--tenant", "acme", "--output", "json"]);
    command
        .env("AWS_ENDPOINT_URL", server.uri())
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "a secret of this test");
    ended(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_fetched_and_imported() {
    let site = Site::new().await;
    let store = store().await;
    let output = import(&site, &store, &format!("s3://logs/{PREFIX}")).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
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
        let output = import(&site, &store, location).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(told), "{location}: {errors}");
        assert!(!errors.contains("X-Amz-Signature"), "{errors}");
    }
    store.reset().await;
}
