//! The attacks: ways in which one publisher could once hold up everybody.

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::io::AsyncWriteExt as _;

use super::neighbours::{Neighbours, deleted_trail};

/// An event of the attacker's.
fn event(kind: &str, id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/loud", "type": format!("io.weir.{kind}.v1"), "data": data,
           "time": chrono::Utc::now().to_rfc3339()})
}

/// Ids that are sent again with other content, over all partitions.
pub(super) async fn conflicts(neighbours: &Neighbours) {
    for action in ["Read", "Write"] {
        let batch: Vec<_> = (0..1_000)
            .map(|n| {
                let data = json!({"action": action, "actor": {"id": format!("actor-{}", n % 64)}});
                let mut event =
                    event("activity.api_called", &format!("conflict-{}-{n}", neighbours.round), &data);
                event["time"] = "2026-01-02T03:04:05Z".into();
                event
            })
            .collect();
        neighbours.attack_with(&batch).await;
    }
}

/// Records that name no time, all of them sent again as a publisher does that saw no answer.
pub(super) async fn repeats(neighbours: &Neighbours) {
    let batch: Vec<_> = (0..600)
        .map(|n| {
            let data =
                json!({"resource": {"id": format!("vm-{n}"), "kind": "instance"}, "change_id": "run-1"});
            let mut event =
                event("infrastructure.provisioned", &format!("repeat-{}-{n}", neighbours.round), &data);
            event.as_object_mut().expect("an object").remove("time");
            event
        })
        .collect();
    neighbours.attack_with(&batch).await;
    neighbours.attack_with(&batch).await;
}

/// Thousands of weights for one entity.
pub(super) async fn weights(neighbours: &Neighbours) {
    for request in 0..3 {
        let batch: Vec<_> = (0..1_000)
            .map(|n| {
                let data = json!({"subject_kind": "user", "subject_id": "x", "actor": {"id": "loud"},
                                  "decision": "added", "reason": "because",
                                  "attributes": {"watchlist": format!("list-{}-{request}-{n}", neighbours.round), "multiplier": "1.1"}});
                event("governance.watchlist_changed", &format!("weight-{}-{request}-{n}", neighbours.round), &data)
            })
            .collect();
        neighbours.attack_with(&batch).await;
    }
}

/// Events that touch as many entities as fit into them, each with rules that fire.
pub(super) async fn amplification(neighbours: &Neighbours) {
    let records: Vec<_> = (0..12)
        .map(|n| {
            let mut record = deleted_trail(900_000 + neighbours.round * 10_000_000 + n);
            let resources =
                (0..10_000).map(|p| json!({"ARN": format!("arn:aws:s3:::b{n}-{p}"), "accountId": p}));
            record["resources"] = resources.collect();
            record
        })
        .collect();
    for record in records {
        let body = json!({"Records": [record]}).to_string();
        neighbours.attack("/api/v1/sources/cloudtrail", "application/json", body).await;
    }
}

/// A deployment loop: one identity is refused, thousands of times within minutes.
pub(super) async fn hot_entity(neighbours: &Neighbours) {
    for request in 0..8 {
        let records: Vec<_> = (0..1_000)
            .map(|n| {
                let mut record =
                    deleted_trail(1_000_000 + neighbours.round * 10_000_000 + request * 1_000 + n);
                record["errorCode"] = "AccessDenied".into();
                record["eventName"] = format!("Call{}", n % 50).into();
                record
            })
            .collect();
        let body = json!({"Records": records}).to_string();
        neighbours.attack("/api/v1/sources/cloudtrail", "application/json", body).await;
    }
}

/// Requests whose last byte does not come, for as long as the connections are held.
pub(super) async fn stalled(neighbours: &Neighbours) -> Vec<tokio::net::TcpStream> {
    let mut held = Vec::new();
    for _ in 0..24 {
        let mut stream = tokio::net::TcpStream::connect(neighbours.address()).await.expect("it listens");
        let request = format!(
            "POST /api/v1/sources/cloudtrail HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             authorization: Bearer {}\r\ncontent-length: 4000001\r\n\r\n",
            neighbours.loud
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        // The gateway may refuse before it has read all.
        drop(stream.write_all(&vec![b' '; 4_000_000]).await);
        held.push(stream);
    }
    held
}

/// Events of months without a partition, while a long transaction reads the table.
pub(super) async fn old_months(neighbours: &Neighbours) -> PgConnection {
    let mut reader = PgConnection::connect(&neighbours.site.endpoints.database_url).await.expect("Postgres");
    reader.execute("BEGIN; SELECT count(*) FROM audit_entry").await.expect("reads");
    for year in [2011, 2012, 2013] {
        let batch: Vec<_> = (0..1_000)
            .map(|n| {
                let data = json!({"action": "Read", "actor": {"id": format!("actor-{}", n % 64)}});
                let mut event =
                    event("activity.api_called", &format!("old-{}-{year}-{n}", neighbours.round), &data);
                event["time"] = format!("{year}-{:02}-02T03:04:05Z", n % 12 + 1).into();
                event
            })
            .collect();
        neighbours.attack_with(&batch).await;
    }
    reader
}

/// Two tenants name actors whose names no index can hold, over all partitions.
pub(super) async fn long_names(neighbours: &Neighbours) {
    for request in 0..8 {
        let batch: Vec<_> = (0..200)
            .map(|n| {
                let name: String = (0..3_000).map(|_| rand::random_range('!'..='~')).collect();
                let data = json!({"action": "Read", "actor": {"id": format!("{n}{name}")}});
                event("activity.api_called", &format!("long-{}-{request}-{n}", neighbours.round), &data)
            })
            .collect();
        neighbours.attack_in_pairs(&batch).await;
    }
}

/// A flood of small requests with all the rights of the tenant, without waiting for answers one by one.
pub(super) async fn flood(neighbours: &Neighbours) {
    let ask = |n: usize| {
        let data = json!({"action": "Read", "actor": {"id": format!("actor-{}", n % 64)}});
        let event = event("activity.api_called", &format!("flood-{}-{n}", neighbours.round), &data);
        neighbours.attack("/api/v1/events", "application/cloudevents+json", event.to_string())
    };
    for first in (0..2_000).step_by(50) {
        futures_util::future::join_all((first..first + 50).map(ask)).await;
    }
}

/// Everything at once.
pub(super) async fn all(neighbours: &Neighbours) {
    let (_held, _reader, ..) = tokio::join!(
        stalled(neighbours),
        old_months(neighbours),
        conflicts(neighbours),
        repeats(neighbours),
        long_names(neighbours),
        weights(neighbours),
        amplification(neighbours),
        hot_entity(neighbours),
        flood(neighbours),
    );
}
