//! One tenant attacks, another publishes as always. Each attack is a way in which one publisher could once hold up
//! everybody: the neighbour's records must become rows and signals while it goes on, nothing may halt, and the stages'
//! memory stays bounded. The table that is printed has the neighbour's times, for people.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::io::AsyncWriteExt as _;

use crate::{
    faults::member::Member,
    intake::door::{Answer, Door},
    support::site::Site,
};

/// The neighbour's records while each attack goes on.
const LOOKS: u32 = 12;
/// Resident memory of the stages' process above which one tenant has taken too much. The process of the tests is built
/// without optimisation and holds about as much more as it is slower.
const MOST_MEMORY: u64 = 512 * 1024 * 1024;
const HALTED: &str = "SELECT count(*) FROM stage_position WHERE halted IS NOT NULL";
const SIGNALLED: &str =
    "SELECT count(DISTINCT event_id) FROM risk_signal WHERE tenant_id = 'other' AND entity_kind = 'user'";
const AUDITED: &str = "SELECT count(*) FROM audit_entry WHERE tenant_id = 'other'";

/// Both tenants' way in, and the stages behind it.
struct Street {
    site: Site,
    door: Door,
    stages: Member,
    /// Records that the neighbour has published.
    published: AtomicU32,
    /// Attacks that went before: each has ids of its own.
    round: u32,
}

/// The slowest of the neighbour's requests, and the longest until a record was both a row and a signal.
struct Seen {
    answer: Duration,
    visible: Duration,
}

/// A call that both audit and risk have something to say about.
fn deleted_trail(number: u32) -> Value {
    json!({
        "eventVersion": "1.08", "eventID": format!("5d3f1f0e-0000-4000-8000-{number:012x}"),
        "eventTime": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "eventSource": "cloudtrail.amazonaws.com", "eventName": "DeleteTrail", "awsRegion": "eu-central-1",
        "sourceIPAddress": "192.0.2.7", "userAgent": "aws-cli/2.15", "recipientAccountId": "111122223333",
        "eventType": "AwsApiCall", "requestParameters": {"name": "main"}, "responseElements": null,
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/nora", "userName": "nora"},
    })
}

/// An event of the attacker's.
fn event(kind: &str, id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/loud", "type": format!("io.weir.{kind}.v1"), "data": data,
           "time": chrono::Utc::now().to_rfc3339()})
}

impl Street {
    async fn open() -> Self {
        let site = Site::new().await;
        let door = Door::open(&site).await;
        let stages = Member::running(&["audit", "risk", "change_review"], &site.endpoints, None);
        Self { site, door, stages, published: AtomicU32::new(0), round: 0 }
    }

    /// Sends what the attacker sends; what the gateway refuses of it is refused to the attacker alone.
    async fn attack(&self, path: &str, content_type: &str, body: String) {
        let answer = Answer::to(self.door.post_of(content_type, path, body)).await;
        assert!([202, 403, 413, 422, 429].contains(&answer.status), "{}: {}", answer.status, answer.body);
    }

    async fn attack_with(&self, events: &[Value]) {
        self.attack("/api/v1/events", "application/cloudevents-batch+json", Value::from(events).to_string())
            .await;
    }

    /// Publishes as the neighbour, one record after another, each until it is a row and a signal.
    async fn look(&self) -> Seen {
        let mut seen = Seen { answer: Duration::ZERO, visible: Duration::ZERO };
        for _ in 0..LOOKS {
            let published = self.published.fetch_add(1, Relaxed) + 1;
            let body = json!({"Records": [deleted_trail(published)]}).to_string();
            let began = Instant::now();
            let answer =
                Answer::to(self.door.post_as(&self.door.neighbour, "/api/v1/sources/cloudtrail", body));
            let answer = answer.await.taken();
            assert_eq!(answer["counts"]["accepted"], 1, "{answer}");
            seen.answer = seen.answer.max(began.elapsed());
            for count in [AUDITED, SIGNALLED] {
                self.site.await_count(count, i64::from(published)).await;
            }
            seen.visible = seen.visible.max(began.elapsed());
        }
        seen
    }

    /// Resident bytes of the stages' process.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.stages.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Looks as the neighbour while an attack goes on, holds the promises against it, and prints a row of the
    /// table.
    #[expect(clippy::print_stderr, reason = "a table for people")]
    async fn judge<T>(&mut self, attack: &str, attacking: impl AsyncFnOnce(&Self) -> T) -> T {
        self.round += 1;
        let (held, seen) = tokio::join!(attacking(self), self.look());
        let memory = self.memory();
        eprintln!(
            "| {attack:<32} | {:>6} ms | {:>6} ms | {:>4} MB |",
            seen.answer.as_millis(),
            seen.visible.as_millis(),
            memory / 1_000_000
        );
        assert_eq!(self.site.count(HALTED).await, 0, "{attack}: one tenant's attack halts nothing");
        self.stages.assert_alive();
        assert!(memory < MOST_MEMORY, "{attack}: {memory} bytes");
        held
    }
}

/// Ids that are sent again with other content, over all partitions.
async fn conflicts(street: &Street) {
    for action in ["Read", "Write"] {
        let batch: Vec<_> = (0..1_000)
            .map(|n| {
                let data = json!({"action": action, "actor": {"id": format!("actor-{}", n % 64)}});
                let mut event =
                    event("activity.api_called", &format!("conflict-{}-{n}", street.round), &data);
                event["time"] = "2026-01-02T03:04:05Z".into();
                event
            })
            .collect();
        street.attack_with(&batch).await;
    }
}

/// Records that name no time, all of them sent again as a publisher does that saw no answer.
async fn repeats(street: &Street) {
    let batch: Vec<_> = (0..600)
        .map(|n| {
            let data =
                json!({"resource": {"id": format!("vm-{n}"), "kind": "instance"}, "change_id": "run-1"});
            let mut event =
                event("infrastructure.provisioned", &format!("repeat-{}-{n}", street.round), &data);
            event.as_object_mut().expect("an object").remove("time");
            event
        })
        .collect();
    street.attack_with(&batch).await;
    street.attack_with(&batch).await;
}

/// Thousands of weights for one entity.
async fn weights(street: &Street) {
    for request in 0..3 {
        let batch: Vec<_> = (0..1_000)
            .map(|n| {
                let data = json!({"subject_kind": "user", "subject_id": "x", "actor": {"id": "loud"},
                                  "decision": "added", "reason": "because",
                                  "attributes": {"watchlist": format!("list-{}-{request}-{n}", street.round), "multiplier": "1.1"}});
                event("governance.watchlist_changed", &format!("weight-{}-{request}-{n}", street.round), &data)
            })
            .collect();
        street.attack_with(&batch).await;
    }
}

/// Events that touch as many entities as fit into them, each with rules that fire.
async fn amplification(street: &Street) {
    let records: Vec<_> = (0..12)
        .map(|n| {
            let mut record = deleted_trail(900_000 + street.round * 10_000_000 + n);
            let resources =
                (0..10_000).map(|p| json!({"ARN": format!("arn:aws:s3:::b{n}-{p}"), "accountId": p}));
            record["resources"] = resources.collect();
            record
        })
        .collect();
    for record in records {
        let body = json!({"Records": [record]}).to_string();
        street.attack("/api/v1/sources/cloudtrail", "application/json", body).await;
    }
}

/// A deployment loop: one identity is refused, thousands of times within minutes.
async fn hot_entity(street: &Street) {
    for request in 0..8 {
        let records: Vec<_> = (0..1_000)
            .map(|n| {
                let mut record = deleted_trail(1_000_000 + street.round * 10_000_000 + request * 1_000 + n);
                record["errorCode"] = "AccessDenied".into();
                record["eventName"] = format!("Call{}", n % 50).into();
                record
            })
            .collect();
        let body = json!({"Records": records}).to_string();
        street.attack("/api/v1/sources/cloudtrail", "application/json", body).await;
    }
}

/// Requests whose last byte does not come, for as long as the connections are held.
async fn stalled(street: &Street) -> Vec<tokio::net::TcpStream> {
    let mut held = Vec::new();
    for _ in 0..24 {
        let mut stream = tokio::net::TcpStream::connect(street.door.address()).await.expect("it listens");
        let request = format!(
            "POST /api/v1/sources/cloudtrail HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             authorization: Bearer {}\r\ncontent-length: 4000001\r\n\r\n",
            street.door.token()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        // The gateway may refuse before it has read all.
        drop(stream.write_all(&vec![b' '; 4_000_000]).await);
        held.push(stream);
    }
    held
}

/// Events of months without a partition, while a long transaction reads the table.
async fn old_months(street: &Street) -> PgConnection {
    let mut reader = PgConnection::connect(&street.site.endpoints.database_url).await.expect("Postgres");
    reader.execute("BEGIN; SELECT count(*) FROM audit_entry").await.expect("reads");
    for year in [2011, 2012, 2013] {
        let batch: Vec<_> = (0..1_000)
            .map(|n| {
                let data = json!({"action": "Read", "actor": {"id": format!("actor-{}", n % 64)}});
                let mut event =
                    event("activity.api_called", &format!("old-{}-{year}-{n}", street.round), &data);
                event["time"] = format!("{year}-{:02}-02T03:04:05Z", n % 12 + 1).into();
                event
            })
            .collect();
        street.attack_with(&batch).await;
    }
    reader
}

/// A flood of small requests with all the rights of the tenant, without waiting for answers one by one.
async fn flood(street: &Street) {
    let ask = |n: usize| {
        let data = json!({"action": "Read", "actor": {"id": format!("actor-{}", n % 64)}});
        let event = event("activity.api_called", &format!("flood-{}-{n}", street.round), &data);
        street.attack("/api/v1/events", "application/cloudevents+json", event.to_string())
    };
    for first in (0..2_000).step_by(50) {
        futures_util::future::join_all((first..first + 50).map(ask)).await;
    }
}

/// Everything at once.
async fn all(street: &Street) {
    let (_held, _reader, ..) = tokio::join!(
        stalled(street),
        old_months(street),
        conflicts(street),
        repeats(street),
        weights(street),
        amplification(street),
        hot_entity(street),
        flood(street),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_tenant_does_leaves_the_other_served() {
    let mut street = Street::open().await;
    street.judge("quiet", async |_| ()).await;
    street.judge("conflicting ids", conflicts).await;
    street.judge("repeats without a time", repeats).await;
    street.judge("weights of one entity", weights).await;
    street.judge("events that touch 10,000 entities", amplification).await;
    street.judge("one entity, 8,000 refusals", hot_entity).await;
    street.judge("bodies withheld", stalled).await;
    street.judge("old months, long transaction", old_months).await;
    street.judge("2,000 requests, 50 at a time", flood).await;
    Box::pin(street.judge("all of it at once", all)).await;
    street.judge("quiet again", async |_| ()).await;
    street.door.stop.cancel();
    street.stages.stop();
}
