//! Delivery state of messages whose records are not settled yet.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use siem::{Fate, Refusal, splunk_hec::ACKNOWLEDGED_WITHIN};
use tokio::time::Instant;

use crate::batch::TopicPartition;

/// The first wait for acknowledgements; each further one is twice as long, up to [`LONGEST_QUESTION`].
const FIRST_QUESTION: Duration = Duration::from_millis(250);
const LONGEST_QUESTION: Duration = Duration::from_secs(10);

/// A part of a record: most records have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Part {
    /// Partition and offset of the record.
    pub(super) at: (TopicPartition, i64),
    /// The part's number, from 0.
    pub(super) part: usize,
}

/// A request that the receiver has taken and not confirmed.
#[derive(Debug)]
struct Taken {
    parts: Vec<Part>,
    at: Instant,
}

/// Fates of messages, and requests without acknowledgement. Holds no more than one batch.
#[derive(Debug, Default)]
pub(super) struct Progress {
    fates: HashMap<Part, Fate>,
    taken: BTreeMap<u64, Taken>,
    questions: u32,
}

impl Progress {
    /// Whether the part is to be sent.
    pub(super) fn is_pending(&self, part: Part) -> bool {
        !self.is_settled(part) && !self.taken.values().any(|taken| taken.parts.contains(&part))
    }

    /// Whether the part's fate is known.
    pub(super) fn is_settled(&self, part: Part) -> bool {
        self.fates.contains_key(&part)
    }

    pub(super) fn settle(&mut self, part: Part, fate: Fate) {
        self.fates.insert(part, fate);
    }

    /// Refusal for which a record is parked, if the receiver refused a part of it.
    pub(super) fn refusal(&self, at: (TopicPartition, i64)) -> Option<&Refusal> {
        // Parts are numbered without a gap.
        (0..).map_while(|part| self.fates.get(&Part { at, part })).find_map(|fate| match fate {
            Fate::Parked(refusal) => Some(refusal),
            Fate::Delivered => None,
        })
    }

    /// The receiver has taken these parts under a number.
    pub(super) fn taken(&mut self, parts: Vec<Part>, number: u64, at: Instant) {
        // A number that comes again is that of a receiver which began anew: what it named before is lost.
        self.taken.insert(number, Taken { parts, at });
        self.questions = 0;
    }

    /// The numbers to ask for.
    pub(super) fn outstanding(&self) -> Vec<u64> {
        self.taken.keys().copied().collect()
    }

    /// Handles an answer to a query for acknowledgements; returns the number of delivered parts.
    pub(super) fn acknowledge(&mut self, told: &BTreeMap<u64, bool>) -> u64 {
        let mut delivered = 0;
        for number in told.iter().filter(|(_, done)| **done).map(|(number, _)| number) {
            for part in self.taken.remove(number).map(|taken| taken.parts).unwrap_or_default() {
                self.fates.insert(part, Fate::Delivered);
                delivered += 1;
            }
        }
        delivered
    }

    /// Stops waiting for requests that were taken too long ago, so that they are sent again; returns whether
    /// there were any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.taken.len();
        self.taken.retain(|_, taken| now.duration_since(taken.at) < ACKNOWLEDGED_WITHIN);
        self.taken.len() < before
    }

    /// Time of the next query for acknowledgements; `None` if there are none to query.
    pub(super) fn next_question(&mut self) -> Option<Duration> {
        if self.taken.is_empty() {
            self.questions = 0;
            return None;
        }
        let wait = FIRST_QUESTION.saturating_mul(1 << self.questions.min(10)).min(LONGEST_QUESTION);
        self.questions += 1;
        Some(wait)
    }

    /// The record's position has moved.
    pub(super) fn done(&mut self, at: (TopicPartition, i64)) {
        // Parts are numbered without a gap.
        let mut part = 0;
        while self.fates.remove(&Part { at, part }).is_some() {
            part += 1;
        }
        // Of a record that is parked, nothing is waited for.
        self.taken.retain(|_, taken| {
            taken.parts.retain(|part| part.at != at);
            !taken.parts.is_empty()
        });
    }

    /// The partition is claimed again: its position decides which of its records are settled.
    pub(super) fn forget(&mut self, partition: TopicPartition) {
        self.fates.retain(|part, _| part.at.0 != partition);
        self.taken.retain(|_, taken| {
            taken.parts.retain(|part| part.at.0 != partition);
            !taken.parts.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Topic;

    fn part(partition: i32, offset: i64) -> Part {
        Part { at: (TopicPartition { topic: Topic::Audit, partition }, offset), part: 0 }
    }

    #[test]
    fn what_was_taken_is_delivered_once_it_is_acknowledged_and_sent_again_when_that_never_comes() {
        let (mut progress, now) = (Progress::default(), Instant::now());
        progress.taken(vec![part(0, 1), part(0, 2)], 0, now);
        progress.taken(vec![part(0, 3)], 1, now);
        assert!(!progress.is_pending(part(0, 1)) && !progress.is_settled(part(0, 1)));
        assert_eq!(progress.acknowledge(&[(0, false), (1, true), (9, true)].into()), 1);
        assert_eq!(progress.outstanding(), [0]);
        let waits: Vec<u128> =
            (0..8).filter_map(|_| progress.next_question()).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        assert!(!progress.expire(now + Duration::from_secs(299)));
        assert!(progress.expire(now + Duration::from_mins(5)));
        assert!(progress.is_pending(part(0, 1)) && progress.is_settled(part(0, 3)));
        assert_eq!(progress.next_question(), None);
    }

    #[test]
    fn a_partition_that_is_claimed_anew_leaves_the_others_alone() {
        let mut progress = Progress::default();
        progress.settle(part(0, 1), Fate::Delivered);
        progress.settle(part(1, 1), Fate::Delivered);
        progress.taken(vec![part(0, 2), part(1, 2)], 7, Instant::now());
        progress.forget(part(0, 0).at.0);
        assert!(progress.is_pending(part(0, 1)) && progress.is_pending(part(0, 2)));
        assert!(progress.is_settled(part(1, 1)) && !progress.is_pending(part(1, 2)));
        progress.done(part(1, 1).at);
        assert!(progress.is_pending(part(1, 1)));
        progress.done(part(1, 2).at);
        assert!(progress.outstanding().is_empty(), "nothing is asked for that nobody waits for");
    }
}
