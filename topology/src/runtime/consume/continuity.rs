//! Continuity of a claimed partition: finds the offset to continue at, or the reason to halt. The log must be
//! the one that was read before.

use sinks::{Claim, HaltReason, LastRecord};

/// Watermarks of a partition, as the broker reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermarks {
    /// Low watermark: the oldest offset in the log.
    pub(crate) low: i64,
    /// Last stable offset: the end for readers of committed records.
    pub(crate) high: i64,
}

/// Offset to begin fetching at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the position; there is no record to recognise the log by.
    At(i64),
    /// At the last settled record: it must come first and match, then it is dropped.
    Verify(LastRecord),
    /// At the position; the record to recognise the log by has expired.
    Unverified(i64),
    /// Not at all: it was halted before, and not resumed since.
    StillHalted(HaltReason),
    /// Not at all, for a reason that is not stored yet.
    Halted(HaltReason),
}

/// Decides at which offset a claimed partition continues.
pub(crate) fn start(claim: &Claim, seen: Watermarks, cluster_id: &str) -> Start {
    let position = claim.position;
    if let Some(reason) = claim.halted.as_ref().filter(|reason| !reason.kind.heals_by_itself()) {
        return Start::StillHalted(reason.clone());
    }
    if claim.cluster_id != cluster_id {
        return Start::Halted(HaltReason::log_replaced(&claim.cluster_id, cluster_id));
    }
    if seen.high < position {
        return Start::Halted(HaltReason::log_truncated(position, seen.high));
    }
    if seen.low > position {
        return Start::Halted(HaltReason::retention_gap(position, seen.low));
    }
    match claim.last {
        Some(last) if last.offset >= seen.low => Start::Verify(last),
        Some(_) => Start::Unverified(position),
        None => Start::At(position),
    }
}

#[cfg(test)]
mod tests {
    use schemas::Topic;
    use sinks::TopicPartition;

    use super::*;

    const PRINT: [u8; 32] = [7; 32];

    fn claim(position: i64, last: Option<i64>) -> Claim {
        Claim {
            partition: TopicPartition { topic: Topic::Activity, partition: 0 },
            position,
            last: last.map(|offset| LastRecord { offset, print: PRINT }),
            owner_epoch: 3,
            cluster_id: "here".into(),
            partitions: None,
            halted: None,
        }
    }

    fn check(position: i64, last: Option<i64>, (low, high): (i64, i64), expected: &Start) {
        let seen = Watermarks { low, high };
        assert_eq!(
            &start(&claim(position, last), seen, "here"),
            expected,
            "{position} {last:?} {low}..{high}"
        );
    }

    #[test]
    fn the_table_of_log_continuity() {
        check(5, Some(4), (0, 9), &Start::Verify(LastRecord { offset: 4, print: PRINT }));
        check(5, Some(4), (4, 5), &Start::Verify(LastRecord { offset: 4, print: PRINT }));
        check(5, Some(4), (5, 9), &Start::Unverified(5));
        check(5, Some(4), (6, 9), &Start::Halted(HaltReason::retention_gap(5, 6)));
        check(5, Some(4), (0, 4), &Start::Halted(HaltReason::log_truncated(5, 4)));
        check(0, None, (0, 0), &Start::At(0));
        check(3, None, (3, 8), &Start::At(3));
    }

    #[test]
    fn a_foreign_cluster_and_a_standing_halt_come_first() {
        let seen = Watermarks { low: 0, high: 9 };
        let replaced = start(&claim(5, Some(4)), seen, "elsewhere");
        assert_eq!(replaced, Start::Halted(HaltReason::log_replaced("here", "elsewhere")));
        let halted_for = |reason: HaltReason| Claim { halted: Some(reason), ..claim(5, None) };
        let gap = HaltReason::retention_gap(1, 2);
        assert_eq!(start(&halted_for(gap.clone()), seen, "here"), Start::StillHalted(gap));
        let misconfigured = halted_for(HaltReason::misconfigured("42P01: no table"));
        assert_eq!(start(&misconfigured, seen, "here"), Start::At(5), "a migration may have healed it");
        assert_eq!(start(&halted_for(HaltReason::failing("57014")), seen, "here"), Start::At(5));
    }
}
