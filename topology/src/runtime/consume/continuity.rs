//! Where a claimed partition goes on, or why it must not: the log must be the one that was read before.

use std::fmt;

use sinks::{Claim, LastRecord};

/// What the broker tells about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermarks {
    /// The oldest offset that is still there.
    pub(crate) low: i64,
    /// The next offset that readers of committed records will see.
    pub(crate) high: i64,
}

/// Where to begin fetching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the position; there is no record to recognise the log by.
    At(i64),
    /// At the last settled record: it must come first and match, then it is dropped.
    Verify(LastRecord),
    /// At the position; the record to recognise the log by has expired.
    Unverified(i64),
    /// Not at all.
    Halted(HaltReason),
}

/// Why a partition must not go on until a person has looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HaltReason {
    /// The record at the last settled offset is another one.
    LogDiverged { offset: i64 },
    /// The log ends before the position.
    LogTruncated { position: i64, high: i64 },
    /// The positions belong to another cluster.
    LogReplaced { stored: String, found: String },
    /// Records between the position and the oldest offset expired unread.
    RetentionGap { from: i64, to: i64 },
    /// Keys have moved between partitions.
    PartitionsChanged { from: usize, to: usize },
    /// Too many records in a row, or too large a share, cannot be applied.
    ParkingLimit,
    /// One record can be neither applied nor parked.
    Stuck(String),
    /// The sink is set up wrongly. Nobody needs to resume it: it is tried again and again, for a late migration heals it.
    Misconfigured(String),
    /// Halted before, and not resumed since.
    Standing(String),
}

const MISCONFIGURED: &str = "misconfigured";

impl HaltReason {
    /// The reason in a word, for metrics.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::LogDiverged { .. } => "log_diverged",
            Self::LogTruncated { .. } => "log_truncated",
            Self::LogReplaced { .. } => "log_replaced",
            Self::RetentionGap { .. } => "retention_gap",
            Self::PartitionsChanged { .. } => "partitions_changed",
            Self::ParkingLimit => "parking_limit",
            Self::Stuck(_) => "stuck",
            Self::Misconfigured(_) => MISCONFIGURED,
            Self::Standing(text) => text.split(':').next().unwrap_or(text),
        }
    }
}

impl fmt::Display for HaltReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogDiverged { offset } => {
                write!(f, "log_diverged: another record stands at offset {offset}")
            }
            Self::LogTruncated { position, high } => {
                write!(f, "log_truncated: the log ends at {high}, before position {position}")
            }
            Self::LogReplaced { stored, found } => {
                write!(f, "log_replaced: the position belongs to cluster {stored}, this is {found}")
            }
            Self::RetentionGap { from, to } => write!(f, "retention_gap: from {from} to {to}"),
            Self::PartitionsChanged { from, to } => write!(f, "partitions_changed: from {from} to {to}"),
            Self::ParkingLimit => f.write_str("parking_limit"),
            Self::Stuck(why) => write!(f, "stuck: {why}"),
            Self::Misconfigured(why) => write!(f, "{MISCONFIGURED}: {why}"),
            Self::Standing(text) => f.write_str(text),
        }
    }
}

/// Whether a stored reason lifts by itself once a delivery succeeds.
pub(crate) fn lifts_by_itself(halted: &str) -> bool {
    halted.split(':').next() == Some(MISCONFIGURED)
}

/// Decides where a claimed partition goes on.
pub(crate) fn start(claim: &Claim, seen: Watermarks, cluster_id: &str) -> Start {
    let position = claim.position;
    if let Some(reason) = claim.halted.as_ref().filter(|reason| !lifts_by_itself(reason)) {
        return Start::Halted(HaltReason::Standing(reason.clone()));
    }
    if claim.cluster_id != cluster_id {
        let (stored, found) = (claim.cluster_id.clone(), cluster_id.to_owned());
        return Start::Halted(HaltReason::LogReplaced { stored, found });
    }
    if seen.high < position {
        return Start::Halted(HaltReason::LogTruncated { position, high: seen.high });
    }
    if seen.low > position {
        return Start::Halted(HaltReason::RetentionGap { from: position, to: seen.low });
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
        check(5, Some(4), (6, 9), &Start::Halted(HaltReason::RetentionGap { from: 5, to: 6 }));
        check(5, Some(4), (0, 4), &Start::Halted(HaltReason::LogTruncated { position: 5, high: 4 }));
        check(0, None, (0, 0), &Start::At(0));
        check(3, None, (3, 8), &Start::At(3));
    }

    #[test]
    fn a_foreign_cluster_and_a_standing_halt_come_first() {
        let seen = Watermarks { low: 0, high: 9 };
        let replaced = start(&claim(5, Some(4)), seen, "elsewhere");
        assert!(matches!(replaced, Start::Halted(HaltReason::LogReplaced { .. })), "{replaced:?}");
        let mut halted = claim(5, Some(4));
        halted.halted = Some("retention_gap: from 1 to 2".into());
        let Start::Halted(reason) = start(&halted, seen, "here") else { panic!("must stay halted") };
        let mut misconfigured = claim(5, None);
        misconfigured.halted = Some(HaltReason::Misconfigured("42P01: no table".into()).to_string());
        assert_eq!(start(&misconfigured, seen, "here"), Start::At(5), "a migration may have healed it");
        assert_eq!(
            (reason.word(), reason.to_string().as_str()),
            ("retention_gap", "retention_gap: from 1 to 2")
        );
    }
}
