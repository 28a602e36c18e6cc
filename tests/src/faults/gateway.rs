//! The gateway while its broker is killed: 202 means stored as sent, a refusal means not stored, and 503 means that
//! sending it again with the same id is right.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use producers::{
    gateway::{Gateway, GatewayConfig, KafkaPublisher, Rates},
    kafka::{ProducerConfig, Purpose},
};
use rand::Rng as _;
use rdkafka::{Message as _, message::Headers as _};
use schemas::{
    Event, TenantId, Timestamp,
    access::{ApiKey, KeyRing, NewApiKey, Pepper, Scope},
    codec::{self, Decoded, Framing, Incoming, NoRegistry},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{dice, ledger};
use crate::support::{self, site::Site};

const CLIENTS: usize = 4;
const BROKER_KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_202_is_in_kafka_as_it_was_sent() {
    let mut dice = dice("what_was_answered_202_is_in_kafka_as_it_was_sent");
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let (stop, answers) = (CancellationToken::new(), Arc::new(Answers::default()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client =
                Client { number, door: door.clone(), answers: Arc::clone(&answers), told: Told::default() };
            tokio::spawn(client.publish_until(stop.clone()))
        })
        .collect();
    for kill in 1..=BROKER_KILLS {
        sleep(Duration::from_millis(dice.random_range(200..1_500))).await;
        // However slow the machine is: every kill meets publishers at work.
        while answers.accepted.load(Relaxed) < 50 * kill {
            sleep(Duration::from_millis(20)).await;
        }
        site.stack.kill_kafka().await.expect("a broker to kill");
        // Short absences are bridged by the producer. The last one is longer than it waits.
        while kill == BROKER_KILLS && answers.refused.load(Relaxed) == 0 {
            sleep(Duration::from_millis(50)).await;
        }
        site.stack.up().await.expect("the broker comes back");
    }
    stop.cancel();
    let mut told = Told::default();
    for client in clients {
        let one = client.await.expect("no client is told anything else");
        told.accepted.extend(one.accepted);
        told.refused.extend(one.refused);
    }
    check(&site, &told).await;
    door.stop.cancel();
}

/// Compares what the publishers were told with what an independent reader finds.
async fn check(site: &Site, told: &Told) {
    let kafka = site.endpoints.kafka.clone();
    let dump = tokio::task::spawn_blocking(move || actions(&kafka)).await.expect("a dump");
    assert!(told.accepted.len() > 100 && !told.refused.is_empty(), "the publishers did something");
    for (id, action) in &told.accepted {
        let stored = dump.get(id).unwrap_or_else(|| panic!("{id} was answered 202 and is lost"));
        assert!(stored.len() == 1 && stored.contains(action), "{id}: {stored:?} instead of {action}");
    }
    let sent: HashSet<&String> = told.accepted.values().collect();
    for action in dump.values().flatten() {
        assert!(!told.refused.contains(action), "{action} was refused and is stored");
        assert!(sent.contains(action), "{action} was never answered");
    }
}

/// The actions of all records, by event id.
fn actions(bootstrap: &str) -> HashMap<String, HashSet<String>> {
    let mut found: HashMap<String, HashSet<String>> = HashMap::new();
    ledger::each_record(bootstrap, |message| {
        let headers: Vec<_> =
            message.headers().expect("headers").iter().map(|header| (header.key, header.value)).collect();
        let incoming = Incoming {
            topic: schemas::Topic::from_name(message.topic()).expect("a topic of ours"),
            key: message.key(),
            value: message.payload(),
            headers: &headers,
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        };
        let Ok(Decoded::Event(envelope)) = codec::decode(&incoming, &NoRegistry) else {
            panic!("an undecodable record at {}/{}", message.partition(), message.offset());
        };
        assert_eq!(envelope.tenant.as_str(), "acme");
        let Event::Activity(activity) = envelope.event else { panic!("only activity was published") };
        found.entry(envelope.id.to_string()).or_default().insert(activity.action);
    });
    found
}

/// A gateway in this process, and a key to it.
#[derive(Clone)]
struct Door {
    address: SocketAddr,
    token: String,
    stop: CancellationToken,
    _keys: watch::Sender<Option<Arc<KeyRing>>>,
}

impl Door {
    async fn open(site: &Site) -> Self {
        support::provide_cryptography();
        let pepper = Pepper::new("pepper");
        let made = NewApiKey::generate(&pepper, &rand::random());
        let key = ApiKey {
            id: made.id,
            succeeds: None,
            tenant: TenantId::new("acme").expect("a tenant"),
            name: "publisher".into(),
            scopes: vec![Scope::EventsWrite],
            secret_hmac: made.secret_hmac,
            created_at: Timestamp::UNIX_EPOCH,
            revoked_at: None,
            expires_at: None,
            last_used_at: None,
            sources: Vec::new(),
            networks: Vec::new(),
        };
        let (keys, watch) = watch::channel(Some(Arc::new(KeyRing::new(pepper, [key]))));
        let producer = ProducerConfig {
            bootstrap: site.endpoints.kafka.clone(),
            purpose: Purpose::Gateway,
            client_id: "weir-gateway-test".into(),
            extra: [].into(),
        };
        let publisher = KafkaPublisher::new(producer, Framing::SingleObject).expect("a producer");
        let config = GatewayConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            rates: Rates { per_key_per_minute: None, ..Rates::default() },
            ..GatewayConfig::default()
        };
        let gateway = Gateway::bind(config).await.expect("a free port");
        let (address, stop) = (gateway.address(), CancellationToken::new());
        tokio::spawn(gateway.serve(Arc::new(publisher), watch, stop.clone()));
        Self { address, token: made.token.expose_secret().to_owned(), stop, _keys: keys }
    }
}

/// Answers to one publisher.
#[derive(Default)]
struct Told {
    /// Actions of the accepted events, by event id.
    accepted: HashMap<String, String>,
    /// Actions of the refused events.
    refused: HashSet<String>,
}

/// Counts of the answers to all clients so far.
#[derive(Default)]
struct Answers {
    /// Events that were accepted.
    accepted: AtomicUsize,
    /// Answers of 503.
    refused: AtomicUsize,
}

/// Publishes batches one after another, and each again until all of it is settled.
struct Client {
    number: usize,
    door: Door,
    answers: Arc<Answers>,
    told: Told,
}

impl Client {
    async fn publish_until(mut self, stop: CancellationToken) -> Told {
        let http = reqwest::Client::new();
        let mut batch = 0;
        while !stop.is_cancelled() {
            let events: Vec<_> = (0..5).map(|place| self.event(batch, place)).collect();
            while !self.publish(&http, &events).await {
                sleep(Duration::from_millis(100)).await;
            }
            batch += 1;
        }
        self.told
    }

    /// The third of every batch fits no schema.
    fn event(&self, batch: usize, place: usize) -> Value {
        let id = format!("{}-{batch}-{place}", self.number);
        let actor = if place == 2 { json!(null) } else { json!({"id": id}) };
        json!({
            "specversion": "1.0", "id": id, "source": "/publisher", "type": "io.weir.activity.api_called.v1",
            "data": {"action": format!("Say {id}"), "actor": actor},
        })
    }

    /// Whether everything was settled.
    async fn publish(&mut self, http: &reqwest::Client, events: &[Value]) -> bool {
        let answer = http
            .post(format!("http://{}/api/v1/events", self.door.address))
            .bearer_auth(&self.door.token)
            .header("content-type", "application/cloudevents-batch+json")
            .body(Value::from(events).to_string())
            .send()
            .await
            .expect("the gateway answers");
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("JSON");
        assert!([202, 503].contains(&status), "{status}: {body}");
        let action = |one: &Value| {
            let index = one["index"].as_u64().and_then(|n| usize::try_from(n).ok()).expect("an index");
            events[index]["data"]["action"].as_str().expect("text").to_owned()
        };
        for one in body["accepted"].as_array().into_iter().flatten() {
            self.told.accepted.insert(one["id"].as_str().expect("an id").to_owned(), action(one));
            self.answers.accepted.fetch_add(1, Relaxed);
        }
        for one in body["rejected"].as_array().into_iter().flatten() {
            assert_eq!(one["type"], "/problems/invalid-event", "{body}");
            self.told.refused.insert(action(one));
        }
        if status == 503 {
            self.answers.refused.fetch_add(1, Relaxed);
        }
        status == 202
    }
}
