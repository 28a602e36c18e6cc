//! Events that wait until a gateway publishes them: those about access ([`crate::access_trail`]), and Weir's own that
//! commands and stages leave, since neither may write events to Kafka.

use edge::trail::AccessEvent;
use schemas::{
    Envelope, EventId, TenantId, Timestamp, Topic,
    codec::{Decoded, Encoded, Framing, Incoming, NoRegistry, decode, encode},
};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    headers::{self, Headers},
    session::service_pool,
};

/// Leaves events for a gateway, in the transaction of what they tell.
pub(crate) async fn write(tx: &mut PgConnection, events: &[Envelope]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let encoded: Vec<Encoded> = events.iter().map(|event| encode(event, &Framing::SingleObject)).collect();
    let stored = |encoded: &Encoded| {
        let headers = encoded.headers.iter().map(|(name, value)| ((*name).to_owned(), Some(value.clone())));
        headers::to_json(&headers.collect::<Headers>())
    };
    sqlx::query(
        "INSERT INTO event_outbox (tenant_id, event_id, topic, value, headers)
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bytea[], $5::jsonb[])",
    )
    .bind(events.iter().map(|event| event.tenant.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| *event.id.as_uuid()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.event.topic().name()).collect::<Vec<_>>())
    .bind(encoded.iter().map(|encoded| encoded.value.as_slice()).collect::<Vec<_>>())
    .bind(encoded.iter().map(stored).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// A table of events that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// `access_event`: about access, written by services.
    Access,
    /// `event_outbox`: Weir's own, left by commands and stages.
    Own,
}

impl Queue {
    /// All queues.
    pub const ALL: [Self; 2] = [Self::Access, Self::Own];
}

/// An event that waits to be published.
#[derive(Debug)]
pub struct Waiting {
    /// Its place in the order of arrival in its queue.
    pub number: i64,
    /// The event; `None` where what is stored is none, for example because a later version wrote it.
    pub event: Option<Envelope>,
}

/// The events that wait to be published. One process at a time reads them; others wait for it to go.
pub struct WaitingEvents {
    pool: PgPool,
    /// Holds the advisory lock.
    connection: Option<PgConnection>,
}

impl WaitingEvents {
    /// Connects when it is first used.
    pub fn new(database_url: &str) -> sqlx::Result<Self> {
        Ok(Self { pool: service_pool(database_url, 1)?, connection: None })
    }

    /// The events of a queue that wait after this number, in order; `None` while another process publishes. After an
    /// error, call again.
    pub async fn after(
        &mut self,
        queue: Queue,
        number: i64,
        limit: u32,
    ) -> sqlx::Result<Option<Vec<Waiting>>> {
        let Some(mut connection) = self.locked().await? else { return Ok(None) };
        let waiting = match queue {
            Queue::Access => {
                let rows: Vec<AccessRow> = sqlx::query_as(
                    "SELECT number, tenant_id, event_id, occurred_at, correlation_id, activity, details FROM access_event
                      WHERE number > $1 ORDER BY number LIMIT $2",
                )
                .bind(number)
                .bind(i64::from(limit))
                .fetch_all(&mut connection)
                .await?;
                rows.into_iter().map(AccessRow::into_waiting).collect()
            }
            Queue::Own => {
                let rows: Vec<OwnRow> = sqlx::query_as(
                    "SELECT number, topic, value, headers FROM event_outbox WHERE number > $1 ORDER BY number LIMIT $2",
                )
                .bind(number)
                .bind(i64::from(limit))
                .fetch_all(&mut connection)
                .await?;
                rows.into_iter().map(OwnRow::into_waiting).collect()
            }
        };
        // Put back only after the answer: a connection whose call was dropped half-way is closed.
        self.connection = Some(connection);
        Ok(Some(waiting))
    }

    /// Forgets events of a queue that Kafka has.
    pub async fn published(&mut self, queue: Queue, numbers: &[i64]) -> sqlx::Result<()> {
        let Some(mut connection) = self.locked().await? else { return Ok(()) };
        let delete = match queue {
            Queue::Access => "DELETE FROM access_event WHERE number = ANY ($1)",
            Queue::Own => "DELETE FROM event_outbox WHERE number = ANY ($1)",
        };
        sqlx::query(delete).bind(numbers).execute(&mut connection).await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// The connection that holds the lock; `None` while another process does.
    async fn locked(&mut self) -> sqlx::Result<Option<PgConnection>> {
        if let Some(connection) = self.connection.take() {
            return Ok(Some(connection));
        }
        let mut connection = self.pool.acquire().await?.detach();
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtext('weir.access_event'))")
            .fetch_one(&mut connection)
            .await?;
        Ok(locked.then_some(connection))
    }
}

#[derive(FromRow)]
struct AccessRow {
    number: i64,
    tenant_id: String,
    event_id: Uuid,
    occurred_at: Timestamp,
    correlation_id: Option<String>,
    activity: String,
    details: String,
}

impl AccessRow {
    fn into_waiting(self) -> Waiting {
        let event = || {
            Some(AccessEvent {
                id: EventId::new(self.event_id)?,
                tenant: TenantId::new(&self.tenant_id).ok()?,
                occurred_at: self.occurred_at,
                correlation_id: self.correlation_id,
                activity: serde_json::from_str(&self.activity).ok()?,
                details: self.details,
            })
        };
        Waiting { number: self.number, event: event().map(AccessEvent::envelope) }
    }
}

#[derive(FromRow)]
struct OwnRow {
    number: i64,
    topic: String,
    value: Vec<u8>,
    headers: Value,
}

impl OwnRow {
    fn into_waiting(self) -> Waiting {
        Waiting { number: self.number, event: self.event() }
    }

    fn event(&self) -> Option<Envelope> {
        let headers = headers::from_json(&self.headers)?;
        let headers: Vec<(&str, Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let incoming = Incoming {
            topic: Topic::from_name(&self.topic)?,
            key: None,
            value: Some(&self.value),
            headers: &headers,
            timestamp_ms: -1,
        };
        match decode(&incoming, &NoRegistry) {
            Ok(Decoded::Event(event)) => Some(*event),
            Ok(Decoded::Tombstone) | Err(_) => None,
        }
    }
}
