//! The books: what the topics hold by an independent reader, what the tables hold, and whether they agree.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use ::stack::Endpoints;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{BorrowedMessage, Headers as _},
};
use schemas::Topic;
use sqlx::{Connection as _, PgConnection, Row as _};
use uuid::Uuid;

/// Notes every move of every position, with the transaction that made it.
const WITNESS: &str = "
    CREATE TABLE applied_range (
      stage text, topic text, partition integer, old bigint, new bigint, epoch bigint, old_epoch bigint, xid xid8);
    CREATE FUNCTION note_range() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    BEGIN
      INSERT INTO applied_range VALUES (NEW.stage, NEW.topic, NEW.partition, OLD.position, NEW.position,
        NEW.owner_epoch, OLD.owner_epoch, pg_current_xact_id());
      RETURN NEW;
    END $$;
    CREATE TRIGGER note_range AFTER UPDATE ON stage_position FOR EACH ROW EXECUTE FUNCTION note_range();";

/// Begins to note; before the first event.
pub(super) async fn open(endpoints: &Endpoints) {
    let mut connection = connect(endpoints).await;
    sqlx::raw_sql(WITNESS).execute(&mut connection).await.expect("the witness");
}

/// Compares everything; fails on the first promise that was broken.
pub(super) async fn balance(endpoints: &Endpoints, published: u64) {
    let kafka = endpoints.kafka.clone();
    let dump = tokio::task::spawn_blocking(move || dump(&kafka)).await.expect("a dump");
    let mut connection = connect(endpoints).await;
    once(&mut connection, &dump, published).await;
    counted(&mut connection, &dump).await;
    tiled(&mut connection).await;
}

/// Ids and record counts by partition.
struct Dump {
    ids: HashSet<Uuid>,
    records: BTreeMap<(String, i32), i64>,
}

fn dump(bootstrap: &str) -> Dump {
    let mut dump = Dump { ids: HashSet::new(), records: BTreeMap::new() };
    each_record(bootstrap, |message| {
        let headers = message.headers().expect("headers");
        let id = headers.iter().find(|header| header.key == "ce_id").and_then(|header| header.value);
        let id = std::str::from_utf8(id.expect("ce_id")).expect("text");
        dump.ids.insert(Uuid::parse_str(id).expect("a UUID"));
        *dump.records.entry((message.topic().to_owned(), message.partition())).or_default() += 1;
    });
    dump
}

/// Reads the family topics from their beginning to where they end now, in no group, by `assign()`.
pub(super) fn each_record(bootstrap: &str, mut visit: impl FnMut(&BorrowedMessage<'_>)) {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "independent-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer");
    let patience = Duration::from_secs(30);
    let metadata = consumer.fetch_metadata(None, patience).expect("metadata");
    let mut list = TopicPartitionList::new();
    let families: BTreeSet<&str> = Topic::FAMILIES.iter().map(|topic| topic.name()).collect();
    for topic in metadata.topics().iter().filter(|topic| families.contains(topic.name())) {
        for partition in topic.partitions() {
            list.add_partition_offset(topic.name(), partition.id(), Offset::Beginning).expect("valid");
        }
    }
    let mut open = list.count();
    consumer.assign(&list).expect("assigned");
    while open > 0 {
        match consumer.poll(patience).expect("the topics are read within the patience") {
            Ok(message) => visit(&message),
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("the independent reader fails: {error}"),
        }
    }
}

/// 0 lost, 0 doubled.
async fn once(connection: &mut PgConnection, dump: &Dump, published: u64) {
    let rows =
        sqlx::query("SELECT event_id FROM audit_entry").fetch_all(&mut *connection).await.expect("rows");
    let ids: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(rows.len(), ids.len(), "doubled");
    let lost: Vec<_> = dump.ids.difference(&ids).take(5).collect();
    let invented: Vec<_> = ids.difference(&dump.ids).take(5).collect();
    assert!(lost.is_empty() && invented.is_empty(), "lost {lost:?}, invented {invented:?}");
    assert_eq!(ids.len() as u64, published, "rows are the events that were published");
}

/// Each record of each partition is exactly one of applied, duplicate, ignored and parked.
async fn counted(connection: &mut PgConnection, dump: &Dump) {
    let rows = sqlx::query(
        "SELECT topic, partition, applied + duplicate + ignored + parked, parked FROM stage_position WHERE stage = 'audit'",
    )
    .fetch_all(connection)
    .await
    .expect("positions");
    let settled: BTreeMap<(String, i32), i64> = rows
        .iter()
        .map(|row| ((row.get(0), row.get(1)), row.get(2)))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(settled, dump.records, "settled by partition");
    assert!(rows.iter().all(|row| row.get::<i64, _>(3) == 0), "an outage parks nothing");
}

/// Each range begins where the one before ended, and no epoch falls.
pub(super) async fn tiled(connection: &mut PgConnection) {
    let broken: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s/%s: %s..%s after ..%s', topic, partition, old, new, before)
           FROM (SELECT *, lag(new) OVER w AS before, lag(epoch) OVER w AS epoch_before FROM applied_range
                 WINDOW w AS (PARTITION BY stage, topic, partition ORDER BY xid)) AS moves
          WHERE before <> old OR epoch < old_epoch OR epoch_before > epoch",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the witness");
    assert!(broken.is_empty(), "ranges that do not tile: {broken:?}");
    let moves: i64 = sqlx::query_scalar("SELECT count(*) FROM applied_range")
        .fetch_one(connection)
        .await
        .expect("a count");
    assert!(moves > 0, "the witness saw something");
}

/// Number of records that a stage has settled; `None` while Postgres is down.
pub(super) async fn settled(endpoints: &Endpoints, stage: &str) -> Option<u64> {
    let mut connection = PgConnection::connect(&endpoints.database_url).await.ok()?;
    let settled: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(applied + duplicate + ignored + parked), 0)::bigint FROM stage_position WHERE stage = $1",
    )
    .bind(stage)
    .fetch_one(&mut connection)
    .await
    .ok()?;
    u64::try_from(settled).ok()
}

/// Position, owner and halt of a stage on each partition, for people.
pub(super) async fn places(endpoints: &Endpoints, stage: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('%s/%s: position %s, owner %s, halted: %s', topic, partition, position, owner, halted)
           FROM stage_position WHERE stage = $1 ORDER BY topic, partition",
    )
    .bind(stage)
    .fetch_all(&mut connect(endpoints).await)
    .await
    .expect("positions")
}

pub(super) async fn connect(endpoints: &Endpoints) -> PgConnection {
    PgConnection::connect(&endpoints.database_url).await.expect("Postgres answers")
}
