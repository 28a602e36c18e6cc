//! Detects a consumer that gets no records although the log has more.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sinks::TopicPartition;

/// Longest time without a record while the log has more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Progress of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionProgress {
    pub(crate) at: TopicPartition,
    /// The next offset to settle.
    pub(crate) settled: i64,
    /// Last stable offset: the end for readers of committed records.
    pub(crate) end: i64,
}

/// Watches the partitions of one consumer.
#[derive(Debug, Default)]
pub(crate) struct StallWatch {
    /// Time since which a partition that is behind has not advanced, and its position.
    standing: BTreeMap<TopicPartition, (Instant, i64)>,
    stalled: bool,
}

impl StallWatch {
    /// Observes the progress of the partitions; `excused` while no progress can be expected.
    pub(crate) fn observe(&mut self, progress: &[PartitionProgress], excused: bool, now: Instant) {
        let before = std::mem::take(&mut self.standing);
        if excused {
            return;
        }
        for partition in progress.iter().filter(|partition| partition.settled < partition.end) {
            let since = match before.get(&partition.at) {
                Some((since, settled)) if *settled == partition.settled => *since,
                _ => now,
            };
            self.stalled |= now.duration_since(since) >= PATIENCE;
            self.standing.insert(partition.at, (since, partition.settled));
        }
    }

    /// Whether no partition has advanced for too long.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled
    }
}

#[cfg(test)]
mod tests {
    use schemas::Topic;

    use super::*;

    /// Observes (seconds, settled, end) of one partition, beside one that moves on.
    fn check(observations: &[(u64, i64, i64)], excused: bool, stalled: bool) {
        let (began, mut watch) = (Instant::now(), StallWatch::default());
        for (seconds, settled, end) in observations {
            let of = |partition| TopicPartition { topic: Topic::Usage, partition };
            let watched = PartitionProgress { at: of(0), settled: *settled, end: *end };
            let moving = i64::try_from(*seconds).expect("a few seconds");
            let other = PartitionProgress { at: of(1), settled: moving, end: 100 };
            watch.observe(&[watched, other], excused, began + Duration::from_secs(*seconds));
        }
        assert_eq!(watch.is_stalled(), stalled, "{observations:?}");
    }

    #[test]
    fn one_partition_that_stands_behind_its_end_for_thirty_seconds_is_a_stall() {
        check(&[(0, 5, 9), (15, 5, 9), (29, 5, 12)], false, false);
        check(&[(0, 5, 9), (15, 5, 9), (30, 5, 12)], false, true);
        check(&[(0, 5, 9), (15, 6, 9), (30, 6, 12)], false, false);
        check(&[(0, 9, 9), (40, 9, 9)], false, false);
        check(&[(0, 5, 9), (40, 5, 9)], true, false);
    }
}
