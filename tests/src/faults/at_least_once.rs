//! A sink over HTTP, which takes no part in the ledger's transaction: members are killed and come and go, the receiver
//! refuses and forgets to answer. Every entry arrives, the first time in the order of its partition; the positions tile.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use ::stack::Endpoints;
use axum::{Router, extract::State, http::StatusCode, routing::post};
use rand::Rng as _;
use rdkafka::{Message as _, message::Headers as _};
use uuid::Uuid;

use super::{dice, kill::caught_up, ledger, setting};
use crate::{
    http_stage::{self, STAGE},
    stage::Running,
    support::site::Site,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_members_of_a_stage_over_http_lose_nothing() {
    let mut dice = dice("killed_members_of_a_stage_over_http_lose_nothing");
    let (events, kills) = (setting("WEIR_FAULT_EVENTS", 200_000) / 8, setting("WEIR_FAULT_KILLS", 50) / 3);
    let site = Site::new().await;
    ledger::open(&site.endpoints).await;
    let receiver = Receiver::start().await;
    let names = ["a", "b"];
    let mut members = names.map(|name| Member::start(&site.endpoints, &receiver.url, name));
    let flow = site.flow(events, events.div_ceil(kills.max(1)));
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..1_500))).await;
        let victim = dice.random_range(0..names.len());
        // Dropping it kills it.
        members[victim] = Member::start(&site.endpoints, &receiver.url, names[victim]);
    }
    flow.published(events).await;
    caught_up(&site.endpoints, STAGE, events).await;
    receiver.balance(&site.endpoints, events).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_rebalances_of_a_stage_over_http_loses_nothing() {
    let mut dice = dice("a_storm_of_rebalances_of_a_stage_over_http_loses_nothing");
    let (events, rounds) = (setting("WEIR_FAULT_EVENTS", 200_000) / 8, setting("WEIR_FAULT_KILLS", 50) / 3);
    let site = Site::new().await;
    ledger::open(&site.endpoints).await;
    let receiver = Receiver::start().await;
    let member = || Running::start_of(http_stage::topology(&receiver.url), &[STAGE], site.run_config());
    let steady = member();
    steady.ready().await;
    let flow = site.flow(events, events.div_ceil(rounds.max(1)));
    let mut guests: Vec<Running> = Vec::new();
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(dice.random_range(100..1_500))).await;
        if guests.len() > 2 || (!guests.is_empty() && dice.random_bool(0.5)) {
            guests.swap_remove(dice.random_range(0..guests.len())).stop().await;
        } else {
            guests.push(member());
        }
    }
    flow.published(events).await;
    caught_up(&site.endpoints, STAGE, events).await;
    for member in guests.into_iter().chain([steady]) {
        member.stop().await;
    }
    receiver.balance(&site.endpoints, events).await;
}

/// Takes ids over HTTP; every seventh request is refused, and every eleventh is taken and answered as if it were not.
struct Receiver {
    url: String,
    received: Arc<Mutex<Received>>,
}

#[derive(Debug, Default)]
struct Received {
    requests: u64,
    ids: Vec<Uuid>,
}

impl Receiver {
    async fn start() -> Self {
        let received = Arc::new(Mutex::new(Received::default()));
        let router = Router::new().route("/", post(take)).with_state(Arc::clone(&received));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { url, received }
    }

    async fn balance(&self, endpoints: &Endpoints, events: u64) {
        let partitions = {
            let kafka = endpoints.kafka.clone();
            tokio::task::spawn_blocking(move || ids_by_partition(&kafka)).await.expect("a dump")
        };
        let ids = std::mem::take(&mut self.received.lock().expect("held briefly").ids);
        let mut first: HashMap<Uuid, usize> = HashMap::new();
        for (place, id) in ids.iter().enumerate() {
            first.entry(*id).or_insert(place);
        }
        let published: HashSet<Uuid> = partitions.values().flatten().copied().collect();
        assert_eq!(published.len() as u64, events, "the topics hold what was published");
        let lost = published.iter().filter(|id| !first.contains_key(id)).count();
        assert_eq!((lost, first.len()), (0, published.len()), "lost, and received");
        for (partition, ids) in partitions {
            let places: Vec<usize> = ids.iter().map(|id| first[id]).collect();
            assert!(
                places.windows(2).all(|pair| pair[0] < pair[1]),
                "{partition:?}: first deliveries in order"
            );
        }
        assert!(ids.len() > first.len(), "the lost answers alone make some arrive twice");
        let mut connection = ledger::connect(endpoints).await;
        ledger::tiled(&mut connection).await;
    }
}

async fn take(State(received): State<Arc<Mutex<Received>>>, body: String) -> StatusCode {
    let mut received = received.lock().expect("held briefly");
    received.requests += 1;
    if received.requests.is_multiple_of(7) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    received.ids.extend(body.lines().map(|id| Uuid::parse_str(id).expect("an id")));
    if received.requests.is_multiple_of(11) { StatusCode::BAD_GATEWAY } else { StatusCode::OK }
}

/// The ids of every partition of the family topics, in order.
fn ids_by_partition(bootstrap: &str) -> BTreeMap<(String, i32), Vec<Uuid>> {
    let mut partitions: BTreeMap<(String, i32), Vec<Uuid>> = BTreeMap::new();
    ledger::each_record(bootstrap, |message| {
        let headers = message.headers().expect("headers");
        let id = headers.iter().find(|header| header.key == "ce_id").and_then(|header| header.value);
        let id = std::str::from_utf8(id.expect("ce_id")).expect("text");
        let place = (message.topic().to_owned(), message.partition());
        partitions.entry(place).or_default().push(Uuid::parse_str(id).expect("a UUID"));
    });
    partitions
}

/// A process that runs the stage; killed when dropped.
struct Member(Child);

impl Member {
    fn start(endpoints: &Endpoints, receiver: &str, instance: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_http-stage-under-test"))
            .env("KAFKA_BOOTSTRAP_SERVERS", &endpoints.kafka)
            .env("DATABASE_URL", &endpoints.database_url)
            .env("RECEIVER_URL", receiver)
            .env("GROUP_INSTANCE", instance)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("the stage starts"))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
