//! With the real producer, against the client library's own broker.

use std::collections::BTreeMap;

use rdkafka::{
    mocking::MockCluster, producer::DefaultProducerContext, types::RDKafkaApiKey, types::RDKafkaRespErr,
};
use schemas::{Topic, codec::Framing};

use super::*;
use crate::{
    gateway::KafkaPublisher,
    kafka::{ProducerConfig, Purpose},
};

struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    address: SocketAddr,
    _keys: watch::Sender<Option<Arc<KeyRing>>>,
}

/// A broker with the topics, and a gateway that publishes to it.
async fn start() -> Broker {
    let cluster = MockCluster::new(1).expect("a broker in this process");
    for topic in Topic::FAMILIES {
        cluster.create_topic(topic.name(), 4, 1).expect("a new topic");
    }
    let producer = ProducerConfig {
        bootstrap: cluster.bootstrap_servers(),
        purpose: Purpose::Gateway,
        client_id: "weir-gateway-test".into(),
        extra: BTreeMap::from([("delivery.timeout.ms".to_owned(), "2000".to_owned())]),
    };
    let publisher = KafkaPublisher::new(producer, Framing::SingleObject).expect("the settings are good");
    let gateway = Gateway::bind(config()).await.expect("a free port");
    let address = gateway.address();
    let (keys, watch) = watch::channel(Some(Arc::new(ring())));
    tokio::spawn(gateway.serve(Arc::new(publisher), watch, CancellationToken::new()));
    Broker { cluster, address, _keys: keys }
}

impl Broker {
    async fn ask(&self, ask: &Ask) -> Reply {
        let mut wire = Wire::to(self.address).await;
        wire.send(&ask.bytes()).await;
        wire.reply().await.expect("an answer")
    }

    /// Publishes until it is taken again, then says how often it was not.
    async fn until_taken(&self) -> Vec<String> {
        let mut refused = Vec::new();
        let publishing = async {
            loop {
                let reply = self.ask(&Ask::structured(&event("again"))).await;
                if reply.status == 202 {
                    break;
                }
                assert_eq!(reply.header("retry-after"), "1");
                refused.push(reply.problem());
            }
        };
        timeout(HANGING, publishing).await.expect("the broker comes back");
        refused
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_names_the_offset_that_the_broker_gave() {
    let broker = start().await;
    let reply = broker.ask(&Ask::batch(&[event("a"), event("b"), event("c")])).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    let accepted = reply.json()["accepted"].as_array().expect("a list").clone();
    let offsets: Vec<_> = accepted.iter().map(|one| one["offset"].as_i64()).collect();
    assert_eq!(offsets, [Some(0), Some(1), Some(2)], "one actor, one partition, in order");
    assert_eq!(broker.ask(&Ask::new("GET", "/readyz")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_away_is_503_until_it_is_back() {
    let broker = start().await;
    assert!(broker.until_taken().await.is_empty());
    broker.cluster.broker_down(1).expect("it was up");
    let away = broker.ask(&Ask::structured(&event("lost"))).await;
    assert_eq!(away.status, 503, "{}", away.json());
    assert!(["outcome-unknown", "broker-unavailable"].contains(&away.problem().as_str()), "{}", away.json());
    broker.cluster.broker_up(1).expect("it was down");
    broker.until_taken().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_failed_for_good_is_replaced() {
    let broker = start().await;
    assert!(broker.until_taken().await.is_empty());
    let out_of_order = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER];
    broker.cluster.request_errors(RDKafkaApiKey::Produce, &out_of_order);
    let failed = broker.ask(&Ask::structured(&event("fatal"))).await;
    failed.expect(503, "outcome-unknown");
    let refused = broker.until_taken().await;
    assert!(!refused.is_empty(), "the next one meets the failed producer");
}
