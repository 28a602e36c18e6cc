//! The API keeps the promises of its description.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::Value;
use sinks::query_api::description;

use super::fixture::{Api, entry};

/// Values of a path's parameters.
const EXAMPLES: [(&str, &str); 2] = [("{kind}", "user"), ("{id}", "0192f0c1-2345-7abc-8def-0123456789ab")];

/// The values that a schema lists.
fn values(schema: &Value) -> Vec<String> {
    let here = schema["enum"].as_array().into_iter().flatten();
    let nested = ["oneOf", "anyOf"].into_iter().flat_map(|of| schema[of].as_array().into_iter().flatten());
    let listed = here.filter_map(|value| Some(value.as_str()?.to_owned()));
    listed.chain(nested.flat_map(values)).collect()
}

#[tokio::test]
async fn every_value_that_is_described_is_taken() {
    let mut api = Api::start().await;
    api.insert(&entry(1, "Read")).await;
    let document = serde_json::to_value(description()).expect("a description");
    let mut sent = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for parameter in operations["get"]["parameters"].as_array().into_iter().flatten() {
            let (name, place) = (parameter["name"].as_str().expect("a name"), &parameter["in"]);
            for value in values(&parameter["schema"]) {
                let mut address = path.clone();
                if place == "path" {
                    address = address.replace(&format!("{{{name}}}"), &value);
                }
                for (part, example) in EXAMPLES {
                    address = address.replace(part, example);
                }
                if place == "query" {
                    address = format!("{address}?{name}={value}");
                }
                let (status, body) = api.ask("acme", &address).await;
                assert!(
                    matches!(status, StatusCode::OK | StatusCode::NOT_FOUND),
                    "{address}: {status} {body}"
                );
                sent.insert(format!("{name}={value}"));
            }
        }
    }
    for expected in [
        "kind=network_address",
        "level=moderate",
        "provisioning=rolled_back",
        "status=false_positive",
        "history=hour",
    ] {
        assert!(sent.contains(expected), "{expected} is described: {sent:?}");
    }
}
