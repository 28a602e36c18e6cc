//! Rights that are taken from a key or from an issuer's subjects end on every replica of both services, and a key
//! that was just made is let in. The times that are printed are for people.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use schemas::{
    TenantId,
    access::{Pepper, Scope},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sinks::api_keys::{self, KeyRequest};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    intake::four_eyes::{ISSUER, Issuer},
    support::{self, service::Service},
};

const PEPPER: &str = "thirty-two bytes of pepper, and more";

/// A process that runs both services.
async fn replica(database: &str, home: &TempDir) -> Service {
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let (home, issuers) = (text(home.path()), text(&home.path().join("issuers.json")));
    let environment = [
        ("DATABASE_URL", database),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("WEIR_API_KEYS__PEPPER", PEPPER),
        ("WEIR_IDENTITY__ISSUERS_FILE", issuers.as_str()),
        ("WEIR_HOME", home.as_str()),
    ];
    Service::start(&["gateway", "query-api"], &environment, &["gateway", "query API"]).await
}

/// Two replicas over one database, whose issuer is described in one file.
struct Place {
    database: String,
    home: TempDir,
    issuer: Issuer,
    replicas: [Service; 2],
    client: reqwest::Client,
}

impl Place {
    async fn new() -> Self {
        let (database, home) = (support::database().await, tempfile::tempdir().expect("a folder"));
        let issuer = Issuer::new();
        write_issuers(&home, &json!([described(&issuer, &json!([rule("developer"), rule("auditor")]))]));
        let replicas = [replica(&database, &home).await, replica(&database, &home).await];
        Self { database, home, issuer, replicas, client: reqwest::Client::new() }
    }

    /// A publish and a query on each replica: gateway, query API, gateway, query API.
    fn requests(&self, token: &str) -> Vec<RequestBuilder> {
        let of_one = |replica: &Service| {
            let event =
                self.client.post(format!("{}/api/v1/events", replica.url("gateway"))).json(&json!({}));
            let question = self.client.get(format!("{}/api/v1/audit?limit=1", replica.url("query API")));
            [event, question].map(|request| request.bearer_auth(token))
        };
        self.replicas.iter().flat_map(of_one).collect()
    }

    /// Status of each request.
    async fn statuses(&self, token: &str) -> Vec<u16> {
        join_all(self.requests(token).into_iter().map(status)).await
    }

    /// Waits until each is answered so, and prints after how long the last one was. Who is refused is not asked again: an
    /// address may not fail often.
    #[expect(clippy::print_stderr, reason = "times for people")]
    async fn until(&self, what: &str, token: &str, expected: [u16; 4]) {
        let began = Instant::now();
        let reach = |(request, expected): (RequestBuilder, u16)| async move {
            let mut seen = 0;
            let reached = async {
                while seen != expected {
                    seen = status(request.try_clone().expect("no stream")).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let in_time = timeout(Duration::from_secs(30), reached).await.is_ok();
            assert!(in_time, "{what}: {seen}, not {expected}: {request:?}");
        };
        join_all(self.requests(token).into_iter().zip(expected).map(reach)).await;
        eprintln!("| {what:<44} | {:>4} ms |", began.elapsed().as_millis());
    }
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

fn rule(role: &str) -> Value {
    json!({"claim": "groups", "matches": "platform", "role": role, "tenant": "acme"})
}

fn described(issuer: &Issuer, rules: &Value) -> Value {
    json!({"issuer": ISSUER, "audiences": ["weir"], "jwks_file": issuer.keys(), "rules": rules})
}

/// Replaces the file at once, as operators of many replicas do.
fn write_issuers(home: &TempDir, issuers: &Value) {
    let (file, new) = (home.path().join("issuers.json"), home.path().join("issuers.new"));
    std::fs::write(&new, json!({"issuer": issuers}).to_string()).expect("written");
    std::fs::rename(new, file).expect("renamed");
}

async fn made_key(connection: &mut PgConnection) -> (String, String) {
    let request = KeyRequest {
        tenant: TenantId::new("acme").expect("valid"),
        name: "ci".into(),
        scopes: vec![Scope::EventsWrite, Scope::AuditRead],
        expires_at: None,
        sources: Vec::new(),
        networks: Vec::new(),
    };
    let made = api_keys::create(connection, &Pepper::new(PEPPER), &request).await.expect("made");
    (made.key.id, made.token.expose_secret().to_owned())
}

/// An empty event is refused as one of a caller who may publish.
const MAY_BOTH: [u16; 4] = [400, 200, 400, 200];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_let_in_at_once_and_its_end_is_everywhere() {
    let place = Place::new().await;
    let mut owner = PgConnection::connect(&place.database).await.expect("connected");
    let (_, warm) = made_key(&mut owner).await;
    place.until("services that have just started", &warm, MAY_BOTH).await;
    for _ in 0..3 {
        let (_, token) = made_key(&mut owner).await;
        assert_eq!(place.statuses(&token).await, MAY_BOTH, "the first request of a new key");
    }
    let (id, revoked) = made_key(&mut owner).await;
    assert_eq!(place.statuses(&revoked).await, MAY_BOTH);
    assert!(api_keys::revoke(&mut owner, &id).await.expect("asked").is_some());
    place.until("a key is revoked", &revoked, [401; 4]).await;
    let (id, token) = made_key(&mut owner).await;
    assert_eq!(place.statuses(&token).await, MAY_BOTH);
    let narrowed = sqlx::query("UPDATE api_key SET scopes = '{events:write}' WHERE id = $1").bind(&id);
    narrowed.execute(&mut owner).await.expect("written");
    place.until("a scope is taken from a key", &token, [400, 403, 400, 403]).await;
    let ended = sqlx::query("UPDATE api_key SET expires_at = now() WHERE name = 'ci'");
    ended.execute(&mut owner).await.expect("written");
    place.until("a key's end is set to now", &warm, [401; 4]).await;
    let (id, narrow) = made_key(&mut owner).await;
    assert_eq!(place.statuses(&narrow).await, MAY_BOTH);
    let narrowed = sqlx::query("UPDATE api_key SET networks = '{192.0.2.0/24}' WHERE id = $1").bind(&id);
    narrowed.execute(&mut owner).await.expect("written");
    place.until("a key is narrowed to other networks", &narrow, [403; 4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_a_rule_no_longer_gives_is_gone_everywhere() {
    let place = Place::new().await;
    let token = place.issuer.token("mara");
    place.until("services that have just started", &token, MAY_BOTH).await;
    let write = |rules: Value| write_issuers(&place.home, &json!([described(&place.issuer, &rules)]));
    write(json!([rule("developer")]));
    place.until("the rule of the auditor is taken away", &token, [400, 403, 400, 403]).await;
    write(json!([rule("auditor")]));
    place.until("another role is given instead", &token, [403, 200, 403, 200]).await;
    write(json!([]));
    place.until("no rule is left", &token, [403; 4]).await;
    write(json!([rule("developer"), rule("auditor")]));
    place.until("both roles are given again", &token, MAY_BOTH).await;
    write_issuers(&place.home, &json!([]));
    place.until("the issuer is taken away", &token, [401; 4]).await;
}
