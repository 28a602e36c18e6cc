//! Detects a producer's transaction that does not end: readers of committed records get no records after it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sinks::TopicPartition;

/// Longest time for which a transaction may hold a partition back. The broker ends transactions after a
/// minute by default: a longer one was configured so, or hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// End offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) at: TopicPartition,
    /// Offset of the oldest open transaction, or else the end.
    pub(crate) stable: i64,
    /// The end.
    pub(crate) high: i64,
}

/// Partitions of one consumer that are held back, with the time and the offset.
#[derive(Debug, Default)]
pub(crate) struct HeldBack(BTreeMap<TopicPartition, Held>);

#[derive(Debug, Clone, Copy)]
struct Held {
    since: Instant,
    stable: i64,
    /// For too long, and reported.
    told: bool,
}

impl HeldBack {
    /// Observes the ends of the logs. Returns the number of partitions that are held back for too long, and
    /// those of them that were not before.
    pub(crate) fn observe(&mut self, ends: &[Ends], now: Instant) -> (usize, Vec<Ends>) {
        let before = std::mem::take(&mut self.0);
        let mut news = Vec::new();
        for ends in ends.iter().filter(|ends| ends.stable < ends.high) {
            let same = before.get(&ends.at).filter(|held| held.stable == ends.stable);
            let Held { since, told, .. } =
                same.copied().unwrap_or(Held { since: now, stable: ends.stable, told: false });
            let too_long = now.duration_since(since) >= PATIENCE;
            if too_long && !told {
                news.push(*ends);
            }
            self.0.insert(ends.at, Held { since, stable: ends.stable, told: too_long });
        }
        (self.0.values().filter(|held| held.told).count(), news)
    }
}

#[cfg(test)]
mod tests {
    use schemas::Topic;

    use super::*;

    /// Observes (seconds, stable, high) of one partition, beside one whose transactions end; how many are held back
    /// each time, and how often that was news.
    fn check(observations: &[(u64, i64, i64)], held: &[usize], news: usize) {
        let (began, mut watch) = (Instant::now(), HeldBack::default());
        let mut told = 0;
        let mut counts = Vec::new();
        for (seconds, stable, high) in observations {
            let of = |partition| TopicPartition { topic: Topic::Usage, partition };
            let moving = i64::try_from(*seconds).expect("a few seconds");
            let ends = [
                Ends { at: of(0), stable: *stable, high: *high },
                Ends { at: of(1), stable: moving, high: moving + 5 },
            ];
            let (count, new) = watch.observe(&ends, began + Duration::from_secs(*seconds));
            counts.push(count);
            told += new.len();
        }
        assert_eq!((counts.as_slice(), told), (held, news), "{observations:?}");
    }

    #[test]
    fn a_transaction_that_is_open_for_a_minute_is_told_once() {
        check(&[(0, 5, 9), (30, 5, 9), (59, 5, 12)], &[0, 0, 0], 0);
        check(&[(0, 5, 9), (60, 5, 9), (65, 5, 12), (70, 12, 12)], &[0, 1, 1, 0], 1);
        // Another one, at the same place in the queue: told anew once it has taken as long.
        check(&[(0, 5, 9), (60, 5, 9), (65, 9, 20), (120, 9, 20), (125, 9, 20)], &[0, 1, 0, 0, 1], 2);
        check(&[(0, 9, 9), (90, 9, 9)], &[0, 0], 0);
    }
}
