//! Moves admissions and refusals from the services' memory to the audit log.
//!
//! Every service writes them to the database ([`follow`]); a gateway publishes them ([`publish`]), since it
//! may write to Kafka and the query API may not. It publishes what commands and stages leave as well.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use producers::{gateway::Publisher, kafka::SendError};
use schemas::Timestamp;
use sinks::{
    access_trail::{self, AccessEvent, Recording, Trail, Use},
    event_outbox::{Queue, WaitingEvents},
    postgres::{PgPool, service_pool},
};
use tokio::{sync::mpsc, task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Interval of storing uses and refusals.
const WRITE_INTERVAL: Duration = Duration::from_secs(5);
/// A principal's use is written again after this time, or when its roles change.
const USE_AGE: Duration = Duration::from_mins(5);
/// Interval of forgetting principals that were not seen for long.
const FORGET_INTERVAL: Duration = Duration::from_hours(1);
/// Interval at which a gateway looks for events.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of Kafka's acknowledgement of a page of them.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(20);
/// Events of one page.
const PAGE: u32 = 500;
/// Events that callers wait for, at a time.
const RECORDINGS: usize = 256;
/// Principals whose last writing is remembered.
const MAX_REMEMBERED: usize = 100_000;

/// Writes what the trail gathers into the database until the shutdown, and once more then. While the
/// database is away it is kept in memory, within the trail's bounds.
pub fn follow(database_url: &str, trail: &Arc<Trail>, shutdown: CancellationToken) -> JoinHandle<()> {
    let (recorder, recordings) = mpsc::channel(RECORDINGS);
    trail.recorded_by(recorder);
    let (pool, trail) = (service_pool(database_url, 1), Arc::clone(trail));
    tokio::spawn(async move {
        match pool {
            Ok(pool) => Follower::new(pool, trail).follow(recordings, shutdown).await,
            Err(error) => warn!(%error, "the database's URL cannot be used to write down who asks"),
        }
    })
}

struct Follower {
    pool: PgPool,
    trail: Arc<Trail>,
    /// Events and uses that could not be written yet.
    events: Vec<AccessEvent>,
    uses: Vec<Use>,
    remembered: Remembered,
    forgot: Option<Instant>,
}

impl Follower {
    fn new(pool: PgPool, trail: Arc<Trail>) -> Self {
        let (events, uses, remembered) = (Vec::new(), Vec::new(), Remembered::default());
        Self { pool, trail, events, uses, remembered, forgot: None }
    }

    async fn follow(mut self, mut recordings: mpsc::Receiver<Recording>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(WRITE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(recording) = recordings.recv() => self.record(recording).await,
                _ = ticks.tick() => self.write(Utc::now()).await,
            }
        }
        recordings.close();
        while let Some(recording) = recordings.recv().await {
            self.record(recording).await;
        }
        // The minute that is not over ends here.
        self.write(Utc::now() + TimeDelta::minutes(1)).await;
    }

    /// Stores an event that somebody waits for; where that fails they are told by the channel's end.
    async fn record(&mut self, Recording { event, stored }: Recording) {
        match access_trail::keep(&self.pool, std::slice::from_ref(&event)).await {
            // Whoever waited may have gone.
            Ok(()) => drop(stored.send(())),
            Err(error) => {
                warn!(tenant = %event.tenant, event_id = %event.id, %error, "cannot store an access event");
                if stored.is_closed() && self.events.len() < RECORDINGS {
                    self.events.push(event);
                }
            }
        }
    }

    /// Writes uses, and refusals of minutes that are over. What cannot be written is kept; until it can,
    /// the trail gathers on.
    async fn write(&mut self, now: Timestamp) {
        if self.events.is_empty() {
            self.events = self.trail.take_refusals(now).into_iter().map(AccessEvent::from).collect();
        }
        if self.uses.is_empty() {
            self.uses = self.remembered.due(self.trail.take_uses(), Instant::now());
        }
        let written = async {
            access_trail::keep_each(&self.pool, &self.events).await?;
            self.events.clear();
            access_trail::note_uses(&self.pool, &self.uses).await
        };
        match written.await {
            Ok(()) => self.uses.clear(),
            Err(error) => warn!(%error, "cannot write down who asks; will retry"),
        }
        if self.forgot.is_none_or(|forgot| forgot.elapsed() >= FORGET_INTERVAL) {
            self.forgot = Some(Instant::now());
            if let Err(error) = access_trail::forget(&self.pool, now).await {
                warn!(%error, "cannot forget principals of long ago; will retry");
            }
        }
    }
}

/// Time and roles of the last stored use of each principal.
#[derive(Default)]
struct Remembered(HashMap<(String, String), (Instant, Vec<String>)>);

impl Remembered {
    /// The uses that have to be written down now.
    fn due(&mut self, mut uses: Vec<Use>, now: Instant) -> Vec<Use> {
        self.0.retain(|_, (written, _)| now.saturating_duration_since(*written) < USE_AGE);
        uses.retain(|used| {
            let principal = &used.principal;
            let key = (principal.tenant().to_string(), principal.id().into_owned());
            let roles = principal.actor().roles;
            let is_new = self.0.get(&key).is_none_or(|(_, before)| *before != roles);
            if is_new && self.0.len() < MAX_REMEMBERED {
                self.0.insert(key, (now, roles));
            }
            is_new
        });
        // In one order everywhere: replicas never wait for each other.
        uses.sort_by(|a, b| {
            (a.principal.tenant(), a.principal.id()).cmp(&(b.principal.tenant(), b.principal.id()))
        });
        uses
    }
}

/// Publishes the events that wait in the database until the shutdown: one gateway at a time does.
pub async fn publish(database_url: String, publisher: Arc<dyn Publisher>, shutdown: CancellationToken) {
    let mut waiting = match WaitingEvents::new(&database_url) {
        Ok(waiting) => waiting,
        Err(error) => {
            return warn!(%error, "the database's URL cannot be used to publish the events that wait there");
        }
    };
    let mut ticks = tokio::time::interval(PUBLISH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for queue in Queue::ALL {
            if let Err(error) = publish_waiting(&mut waiting, queue, publisher.as_ref()).await {
                warn!(?queue, %error, "cannot read the events that wait to be published; will retry");
            }
        }
    }
}

/// Publishes what waits in a queue now, page by page. What Kafka does not take waits on.
async fn publish_waiting(
    waiting: &mut WaitingEvents,
    queue: Queue,
    publisher: &dyn Publisher,
) -> Result<(), sinks::postgres::DatabaseError> {
    let mut after = i64::MIN;
    while let Some(page) = waiting.after(queue, after, PAGE).await?
        && let Some(last) = page.last()
    {
        after = last.number;
        let full = page.len() >= PAGE as usize;
        let mut deliveries = FuturesUnordered::new();
        let mut settled = Vec::new();
        for event in page {
            let number = event.number;
            let Some(event) = event.event else {
                warn!(?queue, number, "an event cannot be read; it waits for a gateway that can");
                continue;
            };
            match publisher.publish(&event, None) {
                Ok(delivery) => deliveries.push(async move { (number, delivery.await) }),
                Err(unfit @ SendError::TooLarge { .. }) => {
                    error!(?queue, event_id = %event.id, error = %unfit, "an event cannot be published");
                    settled.push(number);
                }
                Err(error) => {
                    warn!(?queue, %error, "Kafka takes no events now; will retry");
                    break;
                }
            }
        }
        let acknowledged = async {
            while let Some((number, outcome)) = deliveries.next().await {
                match outcome {
                    Ok(_) => settled.push(number),
                    Err(error) => warn!(?queue, number, %error, "an event is not published; will retry"),
                }
            }
        };
        let in_time = tokio::time::timeout(ACKNOWLEDGED_WITHIN, acknowledged).await.is_ok();
        waiting.published(queue, &settled).await?;
        if !full || !in_time {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use schemas::{
        TenantId,
        access::{Principal, Role, TokenSubject},
    };

    use super::*;

    fn used(id: &str, roles: &[Role]) -> Use {
        let principal = Principal::Person(TokenSubject {
            issuer: "https://issuer.test".to_owned(),
            id: id.to_owned(),
            name: None,
            tenant: TenantId::new("acme").expect("a tenant"),
            roles: roles.to_vec(),
            scopes: Vec::new(),
            expires_at: Timestamp::UNIX_EPOCH,
        });
        let address = IpAddr::from([192, 0, 2, 1]);
        Use { principal: Arc::new(principal), address, at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_use_is_written_again_when_it_is_old_or_its_roles_are_others() {
        let (mut remembered, began) = (Remembered::default(), Instant::now());
        let mut due = |uses: &[Use], after: Duration| remembered.due(uses.to_vec(), began + after).len();
        let (viewer, admin) = (used("mara", &[Role::Viewer]), used("mara", &[Role::Admin]));
        assert_eq!(due(&[viewer.clone(), used("ben", &[])], Duration::ZERO), 2);
        assert_eq!(due(std::slice::from_ref(&viewer), Duration::from_secs(5)), 0);
        assert_eq!(due(std::slice::from_ref(&admin), Duration::from_secs(10)), 1);
        assert_eq!(due(std::slice::from_ref(&admin), Duration::from_mins(5)), 0);
        assert_eq!(due(&[admin], Duration::from_secs(10) + USE_AGE), 1);
    }
}
