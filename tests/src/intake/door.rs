//! A gateway in this process, in front of a test's own Kafka.

use std::{net::SocketAddr, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use producers::{
    gateway::{Gateway, GatewayConfig, KafkaPublisher, Rates, WebhookSecrets},
    kafka::{ProducerConfig, Purpose},
};
use reqwest::{RequestBuilder, Response};
use schemas::{
    TenantId, Timestamp,
    access::{ApiKey, KeyRing, NewApiKey, Pepper, Scope},
    codec::Framing,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{self, site::Site};

const SECRET: &str = "a webhook secret of this test";

pub(crate) struct Door {
    http: reqwest::Client,
    url: String,
    token: String,
    /// A key of the tenant `other` that may do everything.
    pub(crate) neighbour: String,
    pub(crate) stop: CancellationToken,
    _keys: watch::Sender<Option<Arc<KeyRing>>>,
}

/// An answer of the gateway.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Door {
    /// A gateway of the tenant `acme`, and a key that may do everything.
    pub(crate) async fn open(site: &Site) -> Self {
        Self::open_with(site, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn open_with(site: &Site, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        support::provide_cryptography();
        let pepper = Pepper::new("pepper");
        let [acme, other] = ["acme", "other"].map(|name| TenantId::new(name).expect("a tenant"));
        let [(key, token), (other_key, neighbour)] = [&acme, &other].map(|tenant| made_key(&pepper, tenant));
        let ring = KeyRing::new(pepper, [key, other_key]);
        let (keys, watch) = watch::channel(Some(Arc::new(ring)));
        let producer = ProducerConfig {
            bootstrap: site.endpoints.kafka.clone(),
            purpose: Purpose::Gateway,
            client_id: "weir-gateway-test".into(),
            extra: [].into(),
        };
        let publisher = KafkaPublisher::new(producer, Framing::SingleObject).expect("a producer");
        let mut github = WebhookSecrets::default();
        github.set(acme, vec![SecretString::from(SECRET)]).expect("a good secret");
        let mut config = GatewayConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            rates: Rates { per_key_per_minute: None, ..Rates::default() },
            github,
            ..GatewayConfig::default()
        };
        change(&mut config);
        let gateway = Gateway::bind(config).await.expect("a free port");
        let (url, stop) = (format!("http://{}", gateway.address()), CancellationToken::new());
        tokio::spawn(gateway.serve(Arc::new(publisher), watch, stop.clone()));
        Self { http: reqwest::Client::new(), url, token, neighbour, stop, _keys: keys }
    }

    /// The key of `acme`.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// With the key.
    pub(crate) fn post(&self, path: &str, body: impl Into<String>) -> RequestBuilder {
        self.post_as(&self.token, path, body)
    }

    /// CloudEvents in one request.
    pub(super) fn batch(&self, events: &[Value]) -> RequestBuilder {
        let body = Value::from(events).to_string();
        self.post_of("application/cloudevents-batch+json", "/api/v1/events", body)
    }

    /// With the key, and a content type of its own.
    pub(crate) fn post_of(&self, content_type: &str, path: &str, body: String) -> RequestBuilder {
        self.http
            .post(format!("{}{path}", self.url))
            .bearer_auth(&self.token)
            .header("content-type", content_type)
            .body(body)
    }

    /// With another credential.
    pub(crate) fn post_as(&self, token: &str, path: &str, body: impl Into<String>) -> RequestBuilder {
        self.http
            .post(format!("{}{path}", self.url))
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body.into())
    }

    /// As [`Self::post_as`], to replace what is there.
    pub(crate) fn put_as(&self, token: &str, path: &str, body: impl Into<String>) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.put(url).bearer_auth(token).header("content-type", "application/json").body(body.into())
    }

    /// As GitHub sends it.
    pub(crate) fn webhook(&self, event: &str, delivery: &str, body: &str) -> RequestBuilder {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
        mac.update(body.as_bytes());
        let digits: Vec<String> =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        self.http
            .post(format!("{}/api/v1/sources/github-webhook/acme", self.url))
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", delivery)
            .header("x-hub-signature-256", format!("sha256={}", digits.concat()))
            .body(body.to_owned())
    }
}

/// A key of the tenant that may do everything, and its token.
fn made_key(pepper: &Pepper, tenant: &TenantId) -> (ApiKey, String) {
    let made = NewApiKey::generate(pepper, &rand::random());
    let token = made.token.expose_secret().to_owned();
    let key = ApiKey {
        id: made.id,
        succeeds: None,
        tenant: tenant.clone(),
        name: "everything".into(),
        scopes: Scope::ALL.to_vec(),
        secret_hmac: made.secret_hmac,
        created_at: Timestamp::UNIX_EPOCH,
        revoked_at: None,
        expires_at: None,
        last_used_at: None,
        sources: Vec::new(),
        networks: Vec::new(),
    };
    (key, token)
}

impl Answer {
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        Self::of(request.send().await.expect("the gateway answers")).await
    }

    async fn of(response: Response) -> Self {
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().expect("ASCII").to_owned());
        let status = response.status().as_u16();
        Self { status, retry_after, body: response.json().await.expect("JSON") }
    }

    /// That it is 202; its body.
    #[track_caller]
    pub(crate) fn taken(self) -> Value {
        assert_eq!(self.status, 202, "{}", self.body);
        self.body
    }
}
