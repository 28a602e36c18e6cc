//! Delivery to SIEMs: batches of records to a receiver, at least once, in order, remembering delivered parts.
//!
//! A batch is sent in requests of the receiver's size. Delivered and refused messages are remembered until
//! the position has moved, so that after a failure only the rest is sent again. Protocols are in the crate
//! `siem`.

pub mod backfill;
pub mod control;
mod delivered;
mod file;
mod gauges;
mod http;
mod passed;
mod progress;
mod records;
mod statements;
mod syslog;
mod transport;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use rand::Rng as _;
use schemas::{LogPlace, OcsfEvent, ParkReason};
use siem::{
    Fate, Message,
    breaker::Breaker,
    dispatch::{Answers, Group, Stop, groups},
    settings::Sink as SinkSetup,
};
use tokio::time::Instant;

use crate::{
    batch::{Batch, TopicPartition},
    delivery::{Claim, ClaimRequest, DeliveryError, Guarantee, RefusedRecord, Settled, Sink},
    halt::HaltReason,
    ledger::Ledger,
    positions::Verdict as Standing,
    session::SinkConfig,
};
use control::State;
use delivered::Delivered;
use gauges::Gauges;
use progress::{Part, Progress};
use records::{changes_of, is_refused, log_place, place, settled};
use statements::{Batched, Interval};
use transport::{Composing, Secret, Transport};
pub use transport::{OpenError, probe};

/// Longest call before the stage gets time for other work, such as releasing a partition.
const LONGEST_CALL: Duration = Duration::from_secs(20);
/// Interval at which a waiting sink checks whether an operator resumed it or changed its secret.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Interval at which a refusing receiver is probed.
const PROBE: Duration = Duration::from_mins(1);
/// Longest interval between two looks for statements that are due.
const LOOK_FOR_STATEMENTS: Duration = Duration::from_secs(10);
/// Refused messages of one call after which no more is sent before they are counted.
const REFUSED_TOGETHER: usize = 50;

/// Brings records to one receiver.
pub struct SiemSink {
    setup: SinkSetup,
    name: &'static str,
    ledger: Ledger,
    transport: Transport,
    progress: Progress,
    answers: Answers,
    breaker: Breaker,
    /// Time before which nothing is sent.
    resting: Option<(Instant, String)>,
    refused: Option<Refused>,
    reported: Option<State>,
    looked_at: Option<Instant>,
    /// Time of the last look for statements that are due.
    stated_at: Instant,
    gauges: Gauges,
    /// Messages of the last request.
    in_flight: usize,
}

/// The messages of a batch, and the part of a record that each is.
#[derive(Default)]
struct Outgoing {
    parts: Vec<Part>,
    messages: Arc<Vec<Message>>,
    /// Places of the audit records in their logs.
    places: Vec<((TopicPartition, i64), Arc<LogPlace>)>,
    /// Records that the receiver refused, or that are too large for it.
    parked: HashSet<(TopicPartition, i64)>,
}

/// The receiver refuses everything until its settings or the sink's are changed.
struct Refused {
    why: String,
    secret: Option<Secret>,
    probe_at: Instant,
}

impl SiemSink {
    /// The sink; connects when it is first used.
    pub fn new(setup: SinkSetup, name: &'static str, config: SinkConfig) -> Result<Self, OpenError> {
        Ok(Self {
            transport: Transport::new(&setup)?,
            gauges: Gauges::new(name),
            setup,
            name,
            ledger: Ledger::new(config),
            progress: Progress::default(),
            answers: Answers::default(),
            breaker: Breaker::default(),
            resting: None,
            refused: None,
            reported: None,
            looked_at: None,
            stated_at: Instant::now(),
            in_flight: 0,
        })
    }

    /// Whether anything may be sent now.
    async fn may_send(&mut self) -> Result<(), DeliveryError> {
        let now = Instant::now();
        if let Some((until, why)) = &self.resting
            && now < *until
        {
            return Err(DeliveryError::RetryAfter { wait: *until - now, why: why.clone() });
        }
        self.resting = None;
        if self.looked_at.is_none_or(|at| now.duration_since(at) >= LOOK_AGAIN) {
            if let Some(why) = control::paused(&mut self.ledger, self.name).await? {
                self.gauges.paused(true);
                self.report(State::Paused(why.clone())).await;
                return Err(DeliveryError::Paused { wait: LOOK_AGAIN, why: format!("paused by {why}") });
            }
            self.looked_at = Some(now);
        }
        if let Some(refused) = &self.refused
            && now < refused.probe_at
            && self.transport.secret().ok() == refused.secret
        {
            return Err(DeliveryError::Paused { wait: LOOK_AGAIN, why: refused.why.clone() });
        }
        Ok(())
    }

    /// Sends the messages that are not delivered yet, one request at a time. While an answer is awaited, the
    /// next request is composed.
    async fn send(&mut self, parts: &[Part], messages: &Arc<Vec<Message>>) -> Result<(), DeliveryError> {
        let began = Instant::now();
        let pending: Vec<usize> =
            (0..parts.len()).filter(|index| self.progress.is_pending(parts[*index])).collect();
        let mut queue: VecDeque<Group> = groups(messages, &pending, self.setup.limits).into();
        let (mut ahead, mut refused) = (None, 0);
        while let Some(Composing { group, body }) =
            ahead.take().or_else(|| self.compose(&mut queue, messages))
        {
            if began.elapsed() > LONGEST_CALL || refused >= REFUSED_TOGETHER {
                return Err(DeliveryError::Pending { wait: Duration::ZERO });
            }
            ahead = self.compose(&mut queue, messages);
            self.in_flight = group.len();
            let sent: Vec<&Message> = group.iter().map(|index| &messages[*index]).collect();
            let verdict = self.transport.send(body, &sent).await;
            let outcome = self.answers.follow(group, verdict);
            let is_settled = !outcome.settled.is_empty();
            for (index, fate) in outcome.settled {
                self.gauges.settled(&fate);
                refused += usize::from(fate != Fate::Delivered);
                self.progress.settle(parts[index], fate);
            }
            if let Some((group, number)) = outcome.taken {
                let taken = group.iter().map(|index| parts[*index]).collect();
                self.progress.taken(taken, number, Instant::now());
            }
            if let Some(stop) = outcome.stop {
                return Err(self.stopped(stop).await);
            }
            // What was only taken has to be acknowledged: until then nothing is well.
            if is_settled {
                self.answered().await;
            } else {
                self.refused = None;
            }
            if !outcome.next.is_empty() {
                // These go first, and the answer may have changed how requests are composed.
                let later = ahead.take().map(|Composing { group, .. }| group);
                outcome.next.into_iter().chain(later).rev().for_each(|group| queue.push_front(group));
            }
        }
        self.acknowledged().await
    }

    /// Begins to compose the next request.
    fn compose(&self, queue: &mut VecDeque<Group>, messages: &Arc<Vec<Message>>) -> Option<Composing> {
        let compress = self.setup.gzip && self.answers.may_compress();
        queue.pop_front().map(|group| self.transport.compose(group, messages, compress))
    }

    /// Asks for the acknowledgements that are outstanding.
    async fn acknowledged(&mut self) -> Result<(), DeliveryError> {
        let numbers = self.progress.outstanding();
        if numbers.is_empty() {
            return Ok(());
        }
        match self.transport.acknowledged(&numbers).await {
            Ok(told) => {
                let delivered = self.progress.acknowledge(&told);
                self.gauges.delivered(delivered);
                if delivered > 0 {
                    self.answered().await;
                }
            }
            Err(verdict) => {
                let outcome = self.answers.follow(Group::new(), verdict);
                if let Some(stop) = outcome.stop {
                    return Err(self.stopped(stop).await);
                }
            }
        }
        if self.progress.expire(Instant::now()) {
            let why = "no acknowledgement within 300 s: the events are sent again".to_owned();
            return Err(self.stopped(Stop::Retry { after: None, why }).await);
        }
        match self.progress.next_question() {
            Some(wait) => Err(DeliveryError::Pending { wait }),
            None => Ok(()),
        }
    }

    async fn answered(&mut self) {
        self.breaker.succeeded();
        self.refused = None;
        self.gauges.well();
        self.report(State::Delivering).await;
    }

    /// Translates a failure to send into the stage's error.
    async fn stopped(&mut self, stop: Stop) -> DeliveryError {
        match stop {
            Stop::Retry { after, why } => {
                self.gauges.failed(self.in_flight, self.breaker.failures() + 1 >= siem::breaker::THRESHOLD);
                let wait = self.breaker.failed(after, rand::rng().random_range(0.0..1.0));
                self.resting = Some((Instant::now() + wait, why.clone()));
                self.report(State::Retrying(why.clone())).await;
                DeliveryError::RetryAfter { wait, why }
            }
            Stop::Pause(why) => {
                self.gauges.paused(true);
                let secret = self.transport.secret().ok();
                let probe_at = Instant::now() + PROBE;
                self.refused = Some(Refused { why: why.clone(), secret, probe_at });
                self.report(State::Refused(why.clone())).await;
                DeliveryError::Paused { wait: LOOK_AGAIN, why }
            }
        }
    }

    /// Sends the statements that are due. What cannot be sent now is sent later: records go first.
    async fn state_completeness(&mut self) {
        let Some(every) = self.setup.statements else { return };
        if self.stated_at.elapsed() < every.min(LOOK_FOR_STATEMENTS) {
            return;
        }
        self.stated_at = Instant::now();
        if let Err(error) = self.send_statements(every).await {
            tracing::debug!(sink = self.name, %error, "cannot state completeness now; will retry");
        }
    }

    async fn send_statements(&mut self, every: Duration) -> Result<(), DeliveryError> {
        let due = statements::due(&mut self.ledger, self.name, every).await?;
        if due.is_empty() {
            return Ok(());
        }
        self.may_send().await?;
        let filtered = self.setup.filter.leaves_out();
        let parts: Vec<Part> = due.iter().map(Interval::part).collect();
        let version = self.setup.ocsf_version;
        let messages = due.iter().map(|interval| version.of(interval.message(self.name, filtered))).collect();
        self.send(&parts, &Arc::new(messages)).await?;
        // One that the receiver refuses is settled too: nothing is lost but the statement.
        let ids: Vec<i64> = due.iter().map(Interval::id).collect();
        statements::stated(&mut self.ledger, self.name, &ids).await?;
        for part in &parts {
            self.progress.done(part.at);
        }
        Ok(())
    }

    /// Stores the sink's state if it changed, without waiting.
    async fn report(&mut self, state: State) {
        if self.reported.as_ref() == Some(&state) {
            return;
        }
        match control::report(&mut self.ledger, self.name, self.setup.destination.kind(), &state).await {
            Ok(()) => self.reported = Some(state),
            Err(error) => {
                tracing::warn!(sink = self.name, %error, "cannot store the sink's state");
            }
        }
    }

    /// The messages of a batch; records that would never fit are refused at once.
    fn messages(&mut self, batch: &Batch<OcsfEvent>) -> Outgoing {
        let mut outgoing = Outgoing::default();
        let mut messages = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let at = place(batch, record);
            if is_refused(&record.settlement) {
                outgoing.parked.insert(at);
                outgoing.places.extend(log_place(&record.raw).map(|place| (at, Arc::new(place))));
            }
            for event in changes_of(record) {
                let message = self.setup.ocsf_version.of(Message::of(event));
                outgoing.places.extend(message.place.clone().map(|place| (at, place)));
                match self.setup.destination.parted(message, self.setup.max_record_bytes) {
                    Ok(parts) => {
                        outgoing.parts.extend((0..parts.len()).map(|part| Part { at, part }));
                        messages.extend(parts);
                    }
                    Err(oversize) => {
                        let refusal = siem::Refusal { too_large: true, why: oversize.to_string() };
                        self.progress.settle(Part { at, part: 0 }, Fate::Parked(refusal));
                    }
                }
            }
        }
        outgoing.messages = Arc::new(messages);
        outgoing
    }

    /// Fails where records of the batch are refused that the stage has not counted yet.
    fn count_refused(&self, batch: &Batch<OcsfEvent>) -> Result<(), DeliveryError> {
        let pending = batch.records.iter().enumerate().filter(|(_, record)| !changes_of(record).is_empty());
        let refused = pending.filter_map(|(index, record)| {
            let refusal = self.progress.refusal(place(batch, record))?;
            let reason = if refusal.too_large { ParkReason::SiemTooLarge } else { ParkReason::SiemRefused };
            Some(RefusedRecord { index, reason, detail: format!("{}: {}", self.name, refusal.why) })
        });
        let refused: Vec<RefusedRecord> = refused.collect();
        if refused.is_empty() { Ok(()) } else { Err(DeliveryError::Refused(refused)) }
    }
}

impl Sink for SiemSink {
    type Change = OcsfEvent;

    const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn claim(&mut self, requests: &[ClaimRequest]) -> Result<Vec<Claim>, DeliveryError> {
        for request in requests {
            self.progress.forget(request.partition);
        }
        self.ledger.claim(requests).await
    }

    async fn deliver(&mut self, batch: &Batch<Self::Change>) -> Result<Settled, DeliveryError> {
        let oldest = batch.records.iter().filter(|record| !changes_of(record).is_empty());
        self.gauges.waits_since(oldest.map(|record| record.raw.timestamp_ms).min());
        let Outgoing { parts, messages, places, parked } = self.messages(batch);
        self.count_refused(batch)?;
        if parts.iter().any(|part| !self.progress.is_settled(*part)) {
            // A frozen owner that wakes up sends nothing more.
            match self.ledger.judge(&batch.ranges).await? {
                Standing::Apply => {
                    self.may_send().await?;
                    self.send(&parts, &messages).await?;
                }
                Standing::Applied => {}
                Standing::Fenced => return Err(DeliveryError::Fenced),
            }
        }
        self.count_refused(batch)?;
        let (of, passed) = ((self.name, &self.setup.filter), passed::runs(batch, self.name));
        let delivered = Delivered::of(batch, self.name);
        let counted = match self.setup.statements {
            Some(_) => Batched::of(of, &places, &parked, passed, delivered),
            None => Batched::of(of, &[], &HashSet::new(), passed, delivered),
        };
        let settled = self.ledger.settle_with(&settled(batch), &counted).await?;
        self.gauges.parked(settled.ranges.iter().map(|counts| counts.parked).sum());
        for record in &batch.records {
            self.progress.done(place(batch, record));
        }
        self.gauges.waits_since(None);
        self.state_completeness().await;
        Ok(settled)
    }

    async fn set_halted(
        &mut self,
        partition: TopicPartition,
        owner_epoch: i64,
        reason: Option<&HaltReason>,
    ) -> Result<(), DeliveryError> {
        self.ledger.set_halted(partition, owner_epoch, reason).await
    }

    async fn lost(
        &mut self,
        held: &[(TopicPartition, i64)],
    ) -> Result<Vec<(TopicPartition, i64)>, DeliveryError> {
        // The stage asks from time to time while it has nothing to deliver.
        self.state_completeness().await;
        self.ledger.lost(held).await
    }
}
