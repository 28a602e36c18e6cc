//! Drives one consumer's partitions: claims them, seeks to their positions, pauses those that must wait.
//!
//! It talks to Kafka through [`Source`] and to the worker through commands and notices; time is an argument.

mod heeding;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::rngs::StdRng;
use sinks::{Claim, ClaimRequest, DeliveryError, HaltKind, HaltReason, TopicPartition};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::runtime::{
    consume::continuity::Watermarks,
    consume::intake::{Claimed, Decide, Intake, Record, Rewind, Taken},
    consume::source::{Schemas, Source},
    deliver::backoff::Backoff,
    deliver::worker::{Command, Shared},
    fatal::Fatal,
};

/// Positions are committed to Kafka this often, for dashboards only; they are never read back.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// Interval at which the consumer's position is read: transaction markers at the end of a log deliver no
/// record.
const HEAR_INTERVAL: Duration = Duration::from_millis(250);

/// A claim that is not answered yet.
pub(crate) struct Asked {
    watermarks: HashMap<TopicPartition, Watermarks>,
    /// Partitions of each topic.
    counts: HashMap<schemas::Topic, i32>,
    pub(crate) reply: oneshot::Receiver<Result<Vec<Claim>, DeliveryError>>,
}

/// Next claim of a partition: its time and attempt.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    attempt: u32,
    /// It is owned, and halted.
    is_halted: bool,
    /// Its log seemed to end before its position.
    is_doubted: bool,
}

impl Due {
    fn first(at: Instant) -> Self {
        Self { at, attempt: 0, is_halted: false, is_doubted: false }
    }
}

/// Parts that a driver shares with other threads.
pub(crate) struct Links<C, Q> {
    pub(crate) shared: Arc<Shared<C>>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) schemas: Q,
    pub(crate) cluster_id: Arc<str>,
}

/// Drives the partitions of one consumer.
pub(crate) struct Driver<D: Decide, Q> {
    pub(crate) intake: Intake<D>,
    links: Links<D::Change, Q>,
    random: StdRng,
    due: HashMap<TopicPartition, Due>,
    asked: Option<Asked>,
    fenced_at: VecDeque<Instant>,
    /// Positions reached, as the worker last reported.
    settled: BTreeMap<TopicPartition, i64>,
    uncommitted: BTreeMap<TopicPartition, i64>,
    committed_at: Option<Instant>,
    heard_at: Option<Instant>,
    /// Everything is paused until the slot has room.
    waits_for_room: bool,
    has_joined: bool,
}

impl<D: Decide, Q: Schemas> Driver<D, Q> {
    pub(crate) fn new(decide: D, links: Links<D::Change, Q>, random: StdRng) -> Self {
        Self {
            intake: Intake::new(decide),
            links,
            random,
            due: HashMap::new(),
            asked: None,
            fenced_at: VecDeque::new(),
            settled: BTreeMap::new(),
            uncommitted: BTreeMap::new(),
            committed_at: None,
            heard_at: None,
            waits_for_room: false,
            has_joined: false,
        }
    }

    /// Begins to claim partitions. `None`: not possible now; they are claimed later.
    pub(crate) fn ask(
        &mut self,
        source: &impl Source,
        partitions: &[TopicPartition],
        now: Instant,
    ) -> Option<Asked> {
        self.has_joined = true;
        for partition in partitions {
            self.intake.unclaimed(*partition);
            self.settled.remove(partition);
            self.due.insert(*partition, Due::first(now));
            if let Some(asked) = &mut self.asked {
                asked.watermarks.remove(partition);
            }
        }
        if partitions.is_empty() { None } else { self.request(source, partitions) }
    }

    fn request(&mut self, source: &impl Source, partitions: &[TopicPartition]) -> Option<Asked> {
        let (mut watermarks, mut counts) = (HashMap::new(), HashMap::new());
        for partition in partitions {
            let counted = match counts.get(&partition.topic) {
                Some(count) => Ok(*count),
                None => source.partitions(partition.topic),
            };
            match counted.and_then(|count| Ok((count, source.watermarks(*partition)?))) {
                Ok((count, ends)) => {
                    counts.insert(partition.topic, count);
                    watermarks.insert(*partition, ends);
                }
                Err(error) => {
                    warn!(topic = %partition.topic, partition = partition.partition, %error,
                          "cannot fetch watermarks; will retry the claim");
                    return None;
                }
            }
        }
        let request = |at: &TopicPartition| ClaimRequest {
            partition: *at,
            low: watermarks[at].low,
            partitions: counts.get(&at.topic).copied(),
        };
        let requests = partitions.iter().map(request).collect();
        let (answer, reply) = oneshot::channel();
        self.links.commands.try_send(Command::Claim { requests, reply: answer }).ok()?;
        Some(Asked { watermarks, counts, reply })
    }

    /// Handles the answer to a claim. Returns the offset to read each partition from; the others stay paused.
    pub(crate) fn answered(
        &mut self,
        asked: &Asked,
        answer: Result<Vec<Claim>, DeliveryError>,
        now: Instant,
    ) -> Vec<(TopicPartition, i64)> {
        let claims = match answer {
            Ok(claims) => claims,
            Err(error) => {
                warn!(%error, "cannot claim partitions; will retry");
                asked.watermarks.keys().for_each(|partition| self.postpone(*partition, now));
                return Vec::new();
            }
        };
        let mut places = Vec::with_capacity(claims.len());
        for claim in claims {
            let (partition, seen) = (claim.partition, asked.watermarks.get(&claim.partition));
            let Some(seen) = seen.filter(|_| self.intake.holds(partition)) else { continue };
            if let Some(reason) = partitions_changed(&claim, asked.counts.get(&partition.topic)) {
                self.halted_by_us(partition, claim.owner_epoch, reason, now);
                continue;
            }
            match self.intake.claimed(&claim, *seen, &self.links.cluster_id) {
                Claimed::ReadFrom { offset, recognisable } => {
                    self.due.remove(&partition);
                    self.settled.insert(partition, claim.position);
                    if claim.halted.is_none() {
                        self.links.shared.seen.halted(partition, None);
                    }
                    if !recognisable {
                        let (topic, number, position) =
                            (partition.topic, partition.partition, claim.position);
                        warn!(%topic, partition = number, position,
                              "the last settled record has expired; cannot verify that the log is the same");
                        self.links.shared.seen.unverified();
                    }
                    places.push((partition, offset));
                }
                Claimed::StillHalted(reason) => self.halted(partition, &reason, now),
                Claimed::Halted { reason, .. } if self.is_doubtful(partition, &reason) => {
                    self.postpone(partition, now);
                }
                Claimed::Halted { owner_epoch, reason } => {
                    self.halted_by_us(partition, owner_epoch, reason, now);
                }
            }
        }
        places
    }

    /// Partitions were revoked. The receiver resolves when the worker has released them.
    pub(crate) fn revoked(
        &mut self,
        source: &impl Source,
        partitions: &[TopicPartition],
    ) -> Option<oneshot::Receiver<()>> {
        // The client keeps a partition paused until it comes back, and then nobody knows that it is.
        source.resume(partitions);
        for partition in partitions {
            self.intake.revoked(*partition);
            self.due.remove(partition);
            self.settled.remove(partition);
            self.uncommitted.remove(partition);
            self.links.shared.seen.halted(*partition, None);
            // Its lag is somebody else's to tell now.
            self.links.shared.seen.lag(*partition, 0);
        }
        let (reply, released) = oneshot::channel();
        let command = Command::Release { partitions: partitions.to_vec(), reply };
        self.links.commands.try_send(command).ok().map(|()| released)
    }

    /// Handles a record of the consumer.
    pub(crate) fn take(&mut self, source: &impl Source, record: &Record<'_>, now: Instant) -> Taken {
        let taken = self.intake.take(record);
        match &taken {
            Taken::Diverged { owner_epoch, reason } => {
                source.pause(&[record.partition()]);
                self.halted_by_us(record.partition(), *owner_epoch, reason.clone(), now);
            }
            Taken::NeedsSchema(id) => {
                source.pause(&[record.partition()]);
                self.links.schemas.want(*id);
            }
            Taken::Gathered | Taken::Dropped | Taken::Recognised => {}
        }
        taken
    }

    /// Does all work that is due; called after every poll.
    pub(crate) fn tend(&mut self, source: &impl Source, now: Instant) -> Result<(), Fatal> {
        if let Some(board) = self.links.shared.notices.take() {
            self.heed(source, board, now)?;
        }
        self.claim_what_is_due(source, now);
        self.send_back(source, now);
        if self.heard_at.is_none_or(|at| now.duration_since(at) >= HEAR_INTERVAL) {
            self.heard_at = Some(now);
            self.hear(source);
        }
        if self.committed_at.is_none_or(|at| now.duration_since(at) >= COMMIT_INTERVAL) {
            self.committed_at = Some(now);
            self.links.shared.seen.polled(self.intake.assigned().count());
            if !self.uncommitted.is_empty() {
                source.commit(&std::mem::take(&mut self.uncommitted));
            }
        }
        Ok(())
    }

    /// Reads the consumer's position. Also to be called after every seek, before the next poll.
    pub(crate) fn hear(&mut self, source: &impl Source) {
        for (partition, upto) in source.handed_out() {
            self.intake.handed_out(partition, upto);
        }
    }

    /// The broker reports an offset out of range: partitions whose position is outside the log are claimed
    /// again, which finds the reason.
    pub(crate) fn out_of_range(&mut self, source: &impl Source, now: Instant) {
        let active: Vec<_> = self.intake.active().map(|(partition, _)| partition).collect();
        source.pause(&active);
        for partition in active {
            self.intake.unclaimed(partition);
            self.due.insert(partition, Due::first(now));
        }
    }

    /// The topic has another number of partitions than before: its keys have moved.
    pub(crate) fn partitions_changed(
        &mut self,
        source: &impl Source,
        topic: schemas::Topic,
        from: usize,
        to: usize,
    ) {
        let now = Instant::now();
        let active: Vec<_> = self.intake.active().filter(|(partition, _)| partition.topic == topic).collect();
        for (partition, _) in active {
            let Some(owner_epoch) = self.intake.epoch_of(partition) else { continue };
            source.pause(&[partition]);
            self.intake.unclaimed(partition);
            self.halted_by_us(partition, owner_epoch, HaltReason::partitions_changed(from, to), now);
        }
    }

    /// Stops fetching until [`Self::room`].
    pub(crate) fn no_room(&mut self, source: &impl Source) {
        if !std::mem::replace(&mut self.waits_for_room, true) {
            source.pause(&self.intake.active().map(|(partition, _)| partition).collect::<Vec<_>>());
        }
    }

    /// Fetches again.
    pub(crate) fn room(&mut self, source: &impl Source) {
        if std::mem::take(&mut self.waits_for_room) {
            source.resume(&self.intake.active().map(|(partition, _)| partition).collect::<Vec<_>>());
        }
    }

    pub(crate) fn waits_for_room(&self) -> bool {
        self.waits_for_room
    }

    /// Whether the group has assigned partitions and all of this consumer's are owned.
    pub(crate) fn is_ready(&self) -> bool {
        self.has_joined && self.due.values().all(|due| due.is_halted)
    }

    /// The position that the stage has reached in a partition it owns.
    pub(crate) fn settled(&self, partition: TopicPartition) -> Option<i64> {
        self.settled.get(&partition).copied()
    }

    fn claim_what_is_due(&mut self, source: &impl Source, now: Instant) {
        if let Some(mut asked) = self.asked.take() {
            match asked.reply.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.asked = Some(asked);
                    return;
                }
                Err(oneshot::error::TryRecvError::Closed) => {
                    asked.watermarks.keys().for_each(|partition| self.postpone(*partition, now));
                }
                Ok(answer) => {
                    for (partition, _) in self.answered(&asked, answer, now) {
                        self.intake.refuse(partition);
                    }
                }
            }
        }
        let due: Vec<_> = self.due.iter().filter(|(_, due)| due.at <= now).map(|(at, _)| *at).collect();
        if due.is_empty() {
            return;
        }
        self.asked = self.request(source, &due);
        // Until the answer is there nothing more is asked; without one, try again later.
        for partition in due {
            self.postpone(partition, now);
        }
    }

    /// Whether a log may only seem to be truncated: its end was asked for before the claim, and until then another owner may
    /// have gone on, for long if this process was frozen. Owned, it is asked for again, and nobody moves the position.
    fn is_doubtful(&mut self, partition: TopicPartition, reason: &HaltReason) -> bool {
        let due = self.due.get_mut(&partition).filter(|_| reason.kind == HaltKind::LogTruncated);
        due.is_some_and(|due| !std::mem::replace(&mut due.is_doubted, true))
    }

    fn postpone(&mut self, partition: TopicPartition, now: Instant) {
        if let Some(due) = self.due.get_mut(&partition) {
            let wait = Duration::from_secs(1) + Backoff::CLAIM.wait(due.attempt, &mut self.random);
            *due = Due { at: now + wait, attempt: due.attempt.saturating_add(1), ..*due };
        }
    }

    /// Seeks the consumer back to the positions of partitions whose wait is over.
    fn send_back(&mut self, source: &impl Source, now: Instant) {
        if self.waits_for_room {
            return;
        }
        let ready = |why: &Rewind| match why {
            Rewind::NoRoom => true,
            Rewind::AwaitsSchema(id) => self.links.schemas.is_answered(*id),
        };
        let places: Vec<_> = self
            .intake
            .rewinds()
            .into_iter()
            .filter(|(_, why, _)| ready(why))
            .map(|(partition, _, offset)| (partition, offset))
            .collect();
        if places.is_empty() {
            return;
        }
        let partitions: Vec<_> = places.iter().map(|(partition, _)| *partition).collect();
        source.resume(&partitions);
        match source.seek(&places) {
            Ok(()) => {
                for partition in &partitions {
                    self.intake.rewound(*partition);
                }
                self.hear(source);
            }
            Err(error) => {
                warn!(%error, "cannot seek to the position; claiming again");
                source.pause(&partitions);
                for partition in partitions {
                    self.intake.unclaimed(partition);
                    self.due.insert(partition, Due::first(now + Duration::from_secs(1)));
                }
            }
        }
    }
}

/// Whether the topic has another number of partitions than when the stage first claimed this one.
fn partitions_changed(claim: &Claim, count: Option<&i32>) -> Option<HaltReason> {
    let (from, to) = (claim.partitions?, *count?);
    let standing = claim.halted.is_some();
    let number = |count: i32| usize::try_from(count).unwrap_or(0);
    (from != to && !standing).then(|| HaltReason::partitions_changed(number(from), number(to)))
}
