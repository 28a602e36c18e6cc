//! Producers with transactions, some of which they give up, while stages are killed and share partitions anew: what was
//! committed is applied once, and every position goes past the markers to the end of its log, never past a record.

use std::time::Duration;

use producers::generate::{Generator, GeneratorConfig};
use rand::{Rng as _, rngs::StdRng};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use schemas::{
    Envelope, TenantId, Timestamp,
    codec::{Framing, encode},
};

use super::{dice, ledger, member::Member, setting};
use crate::{support::site::Site, transactions::caught_up};

const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_is_applied_once_whatever_happens_to_the_stages() {
    let mut dice = dice("what_is_committed_is_applied_once_whatever_happens_to_the_stages");
    let (events, kills) = (setting("WEIR_FAULT_EVENTS", 200_000) / 20, setting("WEIR_FAULT_KILLS", 50) / 4);
    let site = Site::new().await;
    ledger::open(&site.endpoints).await;
    let names = ["a", "b"];
    let mut members = names.map(|name| Member::start(&site.endpoints, Some(name)));
    let mut guest: Option<Member> = None;

    let (kafka, mut its_dice) = (site.endpoints.kafka.clone(), dice.clone());
    let pause = Duration::from_secs(kills) / u32::try_from(events.div_ceil(20)).expect("few").max(1);
    let publishing = tokio::task::spawn_blocking(move || publish(&kafka, &mut its_dice, (events, pause)));
    for round in 0..kills {
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..1_500))).await;
        let victim = dice.random_range(0..names.len());
        let anew = Member::start(&site.endpoints, Some(names[victim]));
        std::mem::replace(&mut members[victim], anew).kill();
        if round % 3 == 0 {
            match guest.take() {
                Some(guest) => guest.stop(),
                None => guest = Some(Member::start(&site.endpoints, None)),
            }
        }
    }
    if let Some(guest) = guest {
        guest.stop();
    }
    let committed = publishing.await.expect("no panic");
    assert!(committed > events / 2 && committed < events, "some were given up: {committed} of {events}");
    caught_up(&site).await;
    members.iter_mut().for_each(Member::assert_alive);
    ledger::balance(&site.endpoints, committed).await;
}

/// Publishes events in transactions of 1 to 40, of which every third or so is given up, the last one too; how many
/// were committed.
fn publish(kafka: &str, dice: &mut StdRng, (events, pause): (u64, Duration)) -> u64 {
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("transactional.id", "test")
        .set("transaction.timeout.ms", "180000")
        .set("partitioner", "murmur2_random")
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("ready");
    let now = Timestamp::from(std::time::SystemTime::now());
    let config = GeneratorConfig::ending_at(now, events, TenantId::new("acme").expect("valid"));
    let mut generated = Generator::new(1, config).take(usize::try_from(events).expect("a count")).peekable();
    let mut committed = 0;
    while generated.peek().is_some() {
        let size = dice.random_range(1..=40);
        producer.begin_transaction().expect("begun");
        let sent = generated.by_ref().take(size).map(|event| send(&producer, &event)).count();
        if dice.random_bool(0.3) || generated.peek().is_none() {
            producer.flush(PATIENCE).expect("sent");
            producer.abort_transaction(PATIENCE).expect("aborted");
        } else {
            producer.commit_transaction(PATIENCE).expect("committed");
            committed += sent as u64;
        }
        std::thread::sleep(pause);
    }
    committed
}

fn send(producer: &BaseProducer, event: &Envelope) {
    let encoded = encode(event, &Framing::SingleObject);
    let headers = encoded.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    });
    let record =
        BaseRecord::to(event.event.topic().name()).key(&encoded.key).payload(&encoded.value).headers(headers);
    producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
}
