//! Records whose schema a header names by its GUID.

use std::{sync::Arc, time::Duration};

use producers::registry::{Registry, RegistryConfig};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use schemas::{
    Envelope, Topic,
    codec::{Framing, encode, own_schemas},
};
use topology::runtime::RunConfig;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::{stage::Running, support::site::Site};

const KNOWN: [u8; 16] = [0x11; 16];
const UNKNOWN: [u8; 16] = [0x22; 16];

/// While the registry is away its records wait, and those of other partitions do not; an unknown GUID is parked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guid_in_a_header_names_the_schema() {
    let site = Site::new().await;
    let server = MockServer::start().await;
    let away = Mock::given(path(guid_path(KNOWN))).respond_with(ResponseTemplate::new(503)).expect(1..);
    let away = away.mount_as_scoped(&server).await;
    let gone = serde_json::json!({ "error_code": 40403, "message": "Schema not found" });
    Mock::given(path(guid_path(UNKNOWN)))
        .respond_with(ResponseTemplate::new(404).set_body_json(gone))
        .mount(&server)
        .await;
    let registry = Arc::new(Registry::new(RegistryConfig::new(server.uri(), None)).expect("a client"));
    let stage = Running::start(&["audit"], RunConfig { registry: Some(registry), ..site.run_config() });
    let event = site.some_event();
    send(&site, &event, (1, &[&[1], &UNKNOWN[..]].concat())).await;
    send(&site, &event, (1, &KNOWN[..10])).await;
    site.await_count("SELECT count(*) FROM parked_record WHERE reason = 'schema_unknown'", 1).await;
    site.await_count("SELECT count(*) FROM parked_record WHERE reason = 'undecodable'", 1).await;
    send(&site, &event, (0, &[&[1], &KNOWN[..]].concat())).await;
    while server.received_requests().await.is_none_or(|all| !all.iter().any(is_for_the_known)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let read_by_the_stage =
        "SELECT coalesce(sum(position), 0)::bigint FROM stage_position WHERE partition = 0";
    assert_eq!(site.count(read_by_the_stage).await, 0, "it waits");

    drop(away);
    let schema = own_schemas().iter().find(|own| own.topic == Topic::Activity).expect("ours").json;
    Mock::given(path(guid_path(KNOWN)))
        .respond_with(ResponseTemplate::new(200).set_body_json(serde_json::json!({ "schema": schema })))
        .mount(&server)
        .await;
    site.await_count("SELECT count(*) FROM audit_entry", 1).await;
    assert_eq!(site.count("SELECT count(*) FROM parked_record").await, 2);
    stage.stop().await;
}

fn is_for_the_known(request: &wiremock::Request) -> bool {
    request.url.path() == guid_path(KNOWN)
}

fn guid_path(guid: [u8; 16]) -> String {
    format!("/schemas/guids/{}", uuid::Uuid::from_bytes(guid))
}

/// The event as Confluent's clients write it: the bare datum, and the header.
async fn send(site: &Site, event: &Envelope, (partition, header): (i32, &[u8])) {
    let producer: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &site.endpoints.kafka)
        .create()
        .expect("a producer");
    let encoded = encode(event, &Framing::SingleObject);
    let headers = encoded.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    });
    let headers = headers.insert(Header { key: "__value_schema_id", value: Some(header) });
    let record = FutureRecord::<[u8], [u8]> {
        topic: Topic::Activity.name(),
        partition: Some(partition),
        key: Some(&encoded.key),
        // Without the marker and the fingerprint.
        payload: Some(&encoded.value[10..]),
        timestamp: None,
        headers: Some(headers),
    };
    producer.send(record, Duration::from_secs(5)).await.expect("acknowledged");
}
