//! Against a scripted registry: the one that is well, and the ones that are not.

use schemas::codec::NoRegistry;
use wiremock::{
    Mock, MockServer, ResponseTemplate, Times,
    matchers::{basic_auth, body_partial_json, header, method, path},
};

use super::*;

const SEVEN: SchemaRef = SchemaRef::Id(7);

async fn scripted(answer: ResponseTemplate) -> (MockServer, Registry) {
    scripted_times(answer, 1..).await
}

async fn scripted_times(answer: ResponseTemplate, times: impl Into<Times>) -> (MockServer, Registry) {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/schemas/ids/7"))
        .respond_with(answer)
        .expect(times)
        .mount(&server)
        .await;
    let registry = Registry::new(RegistryConfig::new(server.uri(), None)).expect("a client");
    (server, registry)
}

fn json(body: &serde_json::Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.to_string(), MEDIA_TYPE)
}

fn activity() -> serde_json::Value {
    json!({ "schema": own_schemas()[0].json })
}

#[tokio::test]
async fn a_schema_is_fetched_once_and_then_known() {
    let (_server, registry) = scripted_times(json(&activity()), 1).await;
    assert!(matches!(registry.look_up(SEVEN), SchemaAnswer::Missing));
    assert_eq!(registry.fetch(SEVEN).await.expect("known").topic(), Topic::Activity);
    assert_eq!(registry.fetch(SEVEN).await.expect("remembered").topic(), Topic::Activity);
    assert!(matches!(registry.look_up(SEVEN), SchemaAnswer::Known(_)));
    assert!(matches!(NoRegistry.look_up(SEVEN), SchemaAnswer::Unknown));
}

#[tokio::test]
async fn an_unknown_id_is_a_fact_and_a_wrong_path_is_not() {
    let unknown = json!({ "error_code": 40403, "message": "Schema 7 not found" });
    let (_server, registry) = scripted_times(ResponseTemplate::new(404).set_body_json(&unknown), 1).await;
    assert_eq!(registry.fetch(SEVEN).await.expect_err("unknown"), RegistryError::Unknown(SEVEN));
    assert_eq!(registry.fetch(SEVEN).await.expect_err("remembered"), RegistryError::Unknown(SEVEN));
    assert!(matches!(registry.look_up(SEVEN), SchemaAnswer::Unknown));

    let elsewhere = json!({ "error_code": 404, "message": "HTTP 404 Not Found" });
    for answer in [ResponseTemplate::new(404).set_body_json(&elsewhere), ResponseTemplate::new(404)] {
        let (_server, registry) = scripted(answer).await;
        assert!(matches!(registry.fetch(SEVEN).await, Err(RegistryError::Unavailable(_))));
        assert!(matches!(registry.look_up(SEVEN), SchemaAnswer::Missing));
    }
}

#[tokio::test]
async fn what_may_not_be_used_is_refused_and_remembered() {
    let own = own_schemas()[0].json;
    let foreign = r#"{"type":"record","name":"Other","fields":[]}"#;
    for (answer, said) in [
        (json!({ "schema": foreign }), "none of our topics"),
        (json!({ "schema": "{" }), ""),
        (json!({ "schema": own, "schemaType": "PROTOBUF" }), "not an Avro schema"),
        (json!({ "schema": own, "references": [{ "name": "x", "subject": "x", "version": 1 }] }), "refers"),
    ] {
        let (_server, registry) = scripted_times(json(&answer), 1).await;
        let error = registry.fetch(SEVEN).await.expect_err("refused");
        assert!(matches!(&error, RegistryError::Refused(why) if why.contains(said)), "{error}");
        assert!(matches!(registry.look_up(SEVEN), SchemaAnswer::Refused(_)));
        assert_eq!(registry.fetch(SEVEN).await.expect_err("remembered"), error);
    }
}

#[tokio::test]
async fn garbage_and_faults_are_asked_again() {
    let error = json!({ "error_code": 50001, "message": "Error in the backend datastore" });
    for answer in [
        ResponseTemplate::new(200).set_body_string("<html>sign in</html>"),
        ResponseTemplate::new(200).set_body_json(json!({ "id": 7 })),
        ResponseTemplate::new(200).set_body_bytes(vec![b' '; MAX_ANSWER_BYTES + 1]),
        ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:9/"),
        ResponseTemplate::new(401),
        ResponseTemplate::new(429),
        ResponseTemplate::new(500).set_body_json(&error),
        ResponseTemplate::new(503),
    ] {
        let (_server, registry) = scripted_times(answer, 2).await;
        for _ in 0..2 {
            assert!(matches!(registry.fetch(SEVEN).await, Err(RegistryError::Unavailable(_))));
            assert!(matches!(registry.look_up(SEVEN), SchemaAnswer::Missing));
        }
    }
}

#[tokio::test]
async fn a_registry_that_is_away_or_slow_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let away = Registry::new(RegistryConfig::new(format!("http://{free}"), None)).expect("a client");
    assert!(matches!(away.fetch(SEVEN).await, Err(RegistryError::Unavailable(_))), "nobody listens");

    let (server, registry) = scripted(json(&activity()).set_delay(Duration::from_mins(1))).await;
    let impatient = Client::builder().timeout(Duration::from_millis(50)).build().expect("a client");
    let answer = Registry { http: impatient, ..registry }.fetch(SEVEN).await.expect_err("too slow");
    assert!(matches!(answer, RegistryError::Unavailable(_)), "{answer}");
    assert!(!answer.to_string().contains(&server.uri()), "an address stays out of the logs: {answer}");
}

#[tokio::test]
async fn our_schemas_are_registered_under_the_prefix_with_the_credential() {
    let server = MockServer::start().await;
    for (id, topic) in (100_u32..).zip(Topic::FAMILIES) {
        for own in own_schemas().iter().filter(|own| own.topic == topic) {
            Mock::given(method("POST"))
                .and(path(format!("/apis/ccompat/v7/subjects/{topic}-value/versions")))
                .and(header("content-type", MEDIA_TYPE))
                .and(basic_auth("weir", "secret:with:colons"))
                .and(body_partial_json(json!({ "schema": own.json })))
                .respond_with(json(&json!({ "id": id + 100 * (own.version - 1) })))
                .expect(1)
                .mount(&server)
                .await;
        }
        Mock::given(method("PUT"))
            .and(path(format!("/apis/ccompat/v7/config/{topic}-value")))
            .and(body_partial_json(json!({ "compatibility": COMPATIBILITY })))
            .respond_with(json(&json!({ "compatibility": COMPATIBILITY })))
            .expect(1)
            .mount(&server)
            .await;
    }
    let url = format!("{}/apis/ccompat/v7/", server.uri());
    let registry =
        Registry::new(RegistryConfig::new(url, Some("weir:secret:with:colons"))).expect("a client");
    let ids = registry.register().await.expect("registered");
    assert_eq!(ids, SchemaIds::new([100, 101, 102, 103, 104, 205]), "of governance's second version");
}

#[tokio::test]
async fn a_schema_that_the_registry_does_not_take_is_refused() {
    let server = MockServer::start().await;
    let fault = json!({ "error_code": 409, "message": "Schema being registered is incompatible" });
    let conflict = ResponseTemplate::new(409).set_body_json(&fault);
    Mock::given(method("POST")).respond_with(conflict).mount(&server).await;
    let registry = Registry::new(RegistryConfig::new(server.uri(), None)).expect("a client");
    let error = registry.register().await.expect_err("incompatible");
    assert_eq!(error, RegistryError::Refused("Schema being registered is incompatible".into()));
}

/// Against the registry that `SCHEMA_REGISTRY_URL` names: registered schemas are found again and read Weir's
/// records, incompatible ones are rejected. Registering is idempotent, so any registry may be used.
#[tokio::test]
async fn against_a_real_registry() {
    let Ok(url) = std::env::var("SCHEMA_REGISTRY_URL") else {
        std::io::Write::write_all(&mut std::io::stderr(), b"skipped: SCHEMA_REGISTRY_URL is not set\n")
            .expect("stderr");
        return;
    };
    let user_info = std::env::var("SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO").ok();
    let registry = Registry::new(RegistryConfig::new(url, user_info.as_deref())).expect("a client");
    let ids = registry.register().await.expect("registered");
    assert_eq!(registry.register().await.expect("registered again"), ids);
    for (topic, id) in ids.iter() {
        assert_eq!(registry.fetch(SchemaRef::Id(id)).await.expect("found again").topic(), topic);
    }
    assert_eq!(
        registry.fetch(SchemaRef::Id(2_000_000_000)).await.expect_err("nobody's"),
        RegistryError::Unknown(SchemaRef::Id(2_000_000_000))
    );

    let incompatible = own_schemas()[0].json.replace("\"action\"", "\"verb\"");
    let refused = registry.register_one(Topic::Activity, &incompatible).await.expect_err("a lost field");
    assert!(matches!(refused, RegistryError::Refused(_)), "{refused}");
}

#[tokio::test]
async fn a_schema_is_asked_for_by_its_guid_as_by_its_id() {
    let text = "00112233-4455-6677-8899-aabbccddeeff";
    let named = |text: &str| SchemaRef::Guid(text.parse().expect("a GUID"));
    let server = MockServer::start().await;
    Mock::given(path(format!("/schemas/guids/{text}")))
        .respond_with(json(&activity()))
        .expect(1)
        .mount(&server)
        .await;
    let gone = json!({ "error_code": 40403, "message": "Schema not found" });
    let other = "ffffffff-4455-6677-8899-aabbccddeeff";
    Mock::given(path(format!("/schemas/guids/{other}")))
        .respond_with(ResponseTemplate::new(404).set_body_json(&gone))
        .expect(1)
        .mount(&server)
        .await;
    let registry = Registry::new(RegistryConfig::new(server.uri(), None)).expect("a client");
    assert!(matches!(registry.look_up(named(text)), SchemaAnswer::Missing));
    for _ in 0..2 {
        assert_eq!(registry.fetch(named(text)).await.expect("known").topic(), Topic::Activity);
        let unknown = registry.fetch(named(other)).await.expect_err("unknown");
        assert_eq!(unknown, RegistryError::Unknown(named(other)));
    }
    assert!(matches!(registry.look_up(named(text)), SchemaAnswer::Known(_)));
    // A registry that does not know GUIDs at all says nothing about this one.
    let old = MockServer::start().await;
    let registry = Registry::new(RegistryConfig::new(old.uri(), None)).expect("a client");
    assert!(matches!(registry.fetch(named(text)).await, Err(RegistryError::Unavailable(_))));
}
