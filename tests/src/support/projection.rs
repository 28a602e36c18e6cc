//! A projection's tables and who writes them, without Kafka: what events cause goes straight into the sink.

use std::marker::PhantomData;

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use schemas::Topic;
use sinks::{
    Batch, ClaimRequest, KeptBytes, OffsetRange, RawRecord, RecordChanges, Settlement, Sink, TopicPartition,
    postgres::{PostgresSink, SinkConfig},
    read_models::ReadModel,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A read model under test, and the stage that writes it.
pub(crate) trait Projection: Send + 'static {
    type Model: ReadModel;
    /// Input that the test delivers as one record.
    type Event: Clone + Send + Sync;
    const STAGE: &'static str;
    const TOPIC: Topic;
    /// A row `t` as text, without what differs from one order of events to another by right.
    const ROW: &'static str = "t::text";

    fn model() -> Self::Model;
    fn changes(event: &Self::Event) -> Vec<<Self::Model as ReadModel>::Change>;
}

/// A database of its own.
pub(crate) struct Place<P> {
    pub(crate) url: String,
    pub(crate) owner: PgConnection,
    projection: PhantomData<P>,
}

impl<P: Projection> Place<P> {
    pub(crate) async fn new() -> Self {
        Self::at(super::database().await).await
    }

    /// A database that is there already.
    pub(crate) async fn at(url: String) -> Self {
        let owner = PgConnection::connect(&url).await.expect("the database takes connections");
        Self { url, owner, projection: PhantomData }
    }

    /// A database after events have come in these batches, each partition by a member of its own, all at once; and
    /// the dumps of these tables.
    pub(crate) async fn built(
        partitions: Vec<Vec<Vec<P::Event>>>,
        tables: &[&str],
    ) -> (Self, Vec<Vec<String>>) {
        let mut place = Self::new().await;
        let mut members = Vec::new();
        for (number, batches) in (0..).zip(partitions) {
            let mut member = place.member(number).await;
            members.push(tokio::spawn(async move {
                for batch in batches {
                    member.deliver(&batch).await;
                }
            }));
        }
        for member in members {
            member.await.expect("no panic");
        }
        let mut dumps = Vec::new();
        for table in tables {
            dumps.push(place.dump(table).await);
        }
        (place, dumps)
    }

    /// A stage's member that has claimed a partition.
    pub(crate) async fn member(&self, partition: i32) -> Member<P> {
        let config = SinkConfig {
            stage: P::STAGE.into(),
            url: self.url.clone(),
            owner: "test".into(),
            cluster_id: "test".into(),
            version: "test".into(),
        };
        let mut sink = PostgresSink::new(config, P::model());
        let partition = TopicPartition { topic: P::TOPIC, partition };
        let claim = sink
            .claim(&[ClaimRequest { partition, low: 0, partitions: None }])
            .await
            .expect("claimed")
            .remove(0);
        Member { sink, partition, position: claim.position, owner_epoch: claim.owner_epoch }
    }

    /// Every row of a table, in order.
    pub(crate) async fn dump(&mut self, table: &str) -> Vec<String> {
        let row = P::ROW;
        let rows = format!("SELECT {row} FROM {table} AS t ORDER BY {row} COLLATE \"C\"");
        sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&mut self.owner).await.expect("rows")
    }
}

/// Writer of one partition.
pub(crate) struct Member<P: Projection> {
    sink: PostgresSink<P::Model>,
    partition: TopicPartition,
    position: i64,
    owner_epoch: i64,
}

impl<P: Projection> Member<P> {
    /// Delivers events as one batch; applied, duplicate, ignored, parked.
    pub(crate) async fn deliver(&mut self, events: &[P::Event]) -> [i64; 4] {
        let start = self.position;
        let upto = start + i64::try_from(events.len()).expect("small");
        let record = |(offset, event)| RecordChanges {
            range: 0,
            offset,
            settlement: Settlement::Apply(P::changes(event)),
            raw: RawRecord::default(),
            identity: None,
            kept: KeptBytes::All,
        };
        let records = (start..).zip(events).map(record).collect();
        let range =
            OffsetRange { partition: self.partition, start, upto, last: None, owner_epoch: self.owner_epoch };
        let settled = self
            .sink
            .deliver(&Batch { records, ranges: vec![range], rule_set: None })
            .await
            .expect("delivered");
        self.position = upto;
        let counts = &settled.ranges[0];
        [counts.applied, counts.duplicate, counts.ignored, counts.parked]
    }
}

/// The same events in another order.
pub(crate) fn shuffled<E>(mut events: Vec<E>, seed: u64) -> Vec<E> {
    events.shuffle(&mut StdRng::seed_from_u64(seed));
    events
}

/// Events in batches of that size.
pub(crate) fn in_batches<E: Clone>(events: &[E], size: usize) -> Vec<Vec<E>> {
    events.chunks(size).map(<[E]>::to_vec).collect()
}

/// Events dealt out to so many partitions, each in batches of that size.
pub(crate) fn in_partitions<E: Clone>(events: &[E], count: usize, size: usize) -> Vec<Vec<Vec<E>>> {
    let part = |number: usize| -> Vec<E> { events.iter().skip(number).step_by(count).cloned().collect() };
    (0..count).map(|number| in_batches(&part(number), size)).collect()
}
