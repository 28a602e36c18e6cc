//! Notices a consumer that gets nothing although the log goes on.

use std::time::{Duration, Instant};

use sinks::TopicPartition;

/// How long nothing may come in while there is more.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far a partition's fetching is, by the client's own statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionProgress {
    pub(crate) at: TopicPartition,
    /// The next offset to fetch.
    pub(crate) fetched: i64,
    /// The end of what readers of committed records may see.
    pub(crate) end: i64,
}

/// Watches the statistics of one consumer.
#[derive(Debug, Default)]
pub(crate) struct StallWatch {
    /// Since when, and how far the partitions were that are behind.
    behind: Option<(Instant, Vec<PartitionProgress>)>,
    stalled: bool,
}

impl StallWatch {
    /// Takes the newest statistics; `excused` while nothing can be expected to move.
    pub(crate) fn observe(&mut self, progress: &[PartitionProgress], excused: bool, now: Instant) {
        let behind: Vec<_> =
            progress.iter().copied().filter(|p| p.fetched >= 0 && p.fetched < p.end).collect();
        if behind.is_empty() || excused {
            self.behind = None;
            return;
        }
        let stands = |before: &[PartitionProgress]| {
            before.iter().all(|b| progress.iter().any(|p| p.at == b.at && p.fetched == b.fetched))
        };
        match &self.behind {
            Some((since, before)) if stands(before) => self.stalled |= now.duration_since(*since) >= PATIENCE,
            _ => self.behind = Some((now, behind)),
        }
    }

    /// Whether nothing moved for too long.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled
    }
}

#[cfg(test)]
mod tests {
    use schemas::Topic;

    use super::*;

    /// Observes (seconds, fetched, end) of one partition.
    fn check(observations: &[(u64, i64, i64)], excused: bool, stalled: bool) {
        let (began, mut watch) = (Instant::now(), StallWatch::default());
        for (seconds, fetched, end) in observations {
            let at = TopicPartition { topic: Topic::Usage, partition: 0 };
            let progress = PartitionProgress { at, fetched: *fetched, end: *end };
            watch.observe(&[progress], excused, began + Duration::from_secs(*seconds));
        }
        assert_eq!(watch.is_stalled(), stalled, "{observations:?}");
    }

    #[test]
    fn standing_still_behind_the_end_for_thirty_seconds_is_a_stall() {
        check(&[(0, 5, 9), (15, 5, 9), (29, 5, 12)], false, false);
        check(&[(0, 5, 9), (15, 5, 9), (30, 5, 12)], false, true);
        check(&[(0, 5, 9), (15, 6, 9), (30, 6, 12)], false, false);
        check(&[(0, 9, 9), (40, 9, 9)], false, false);
        check(&[(0, 5, 9), (40, 5, 9)], true, false);
        check(&[(0, -1001, 9), (40, -1001, 9)], false, false);
    }
}
