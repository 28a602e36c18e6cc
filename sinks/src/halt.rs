//! Reason for which a partition is halted.

use std::fmt;

/// The reason for which a partition is halted: a kind for programs and metrics, a detail for people.
///
/// It is stored and shown as `kind: detail`, or as the kind alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltReason {
    /// The class of reason.
    pub kind: HaltKind,
    /// One sentence; may be empty.
    pub detail: String,
}

/// The class of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HaltKind {
    /// The record at the last settled offset is another one.
    LogDiverged,
    /// The log ends before the position.
    LogTruncated,
    /// The positions belong to another cluster.
    LogReplaced,
    /// Records between the position and the oldest offset expired unread.
    RetentionGap,
    /// The topic has another number of partitions: keys have moved between them.
    PartitionsChanged,
    /// Too many records of several tenants, or of no tenant, cannot be applied.
    ParkingLimit,
    /// One record can be neither applied nor parked.
    Stuck,
    /// The sink is set up wrongly. It is probed, and heals by itself.
    Misconfigured,
    /// Delivering one record fails again and again. It is retried, and heals by itself.
    Failing,
    /// An operator has paused the sink, or its destination refuses every record. It is probed, and resumes by
    /// itself.
    Paused,
    /// Written by another version or by hand.
    Other,
}

impl HaltKind {
    const ALL: [Self; 11] = [
        Self::LogDiverged,
        Self::LogTruncated,
        Self::LogReplaced,
        Self::RetentionGap,
        Self::PartitionsChanged,
        Self::ParkingLimit,
        Self::Stuck,
        Self::Misconfigured,
        Self::Failing,
        Self::Paused,
        Self::Other,
    ];

    /// The kind's name in `stage_position.halted` and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogDiverged => "log_diverged",
            Self::LogTruncated => "log_truncated",
            Self::LogReplaced => "log_replaced",
            Self::RetentionGap => "retention_gap",
            Self::PartitionsChanged => "partitions_changed",
            Self::ParkingLimit => "parking_limit",
            Self::Stuck => "stuck",
            Self::Misconfigured => "misconfigured",
            Self::Failing => "failing",
            Self::Paused => "paused",
            Self::Other => "other",
        }
    }

    /// Whether the stage continues by itself once a delivery succeeds; all other kinds wait for an operator.
    pub const fn heals_by_itself(self) -> bool {
        matches!(self, Self::Misconfigured | Self::Failing | Self::Paused)
    }

    /// Whether the log is not the one that was read before: no position of the stage means anything in it.
    pub const fn is_of_another_log(self) -> bool {
        matches!(self, Self::LogDiverged | Self::LogTruncated | Self::LogReplaced)
    }
}

impl HaltReason {
    /// Another record has the offset of the last settled one.
    pub fn log_diverged(offset: i64) -> Self {
        Self::new(HaltKind::LogDiverged, format!("offset {offset} holds another record"))
    }

    /// The log ends at `high`, before the position.
    pub fn log_truncated(position: i64, high: i64) -> Self {
        Self::new(HaltKind::LogTruncated, format!("the log ends at {high}, before position {position}"))
    }

    /// The position was stored for another cluster than the one that was found.
    pub fn log_replaced(stored: &str, found: &str) -> Self {
        Self::new(HaltKind::LogReplaced, format!("the position belongs to cluster {stored}, this is {found}"))
    }

    /// The records of this range expired unread.
    pub fn retention_gap(from: i64, to: i64) -> Self {
        Self::new(HaltKind::RetentionGap, format!("from {from} to {to}"))
    }

    /// The topic had `from` partitions and has `to`.
    pub fn partitions_changed(from: usize, to: usize) -> Self {
        Self::new(HaltKind::PartitionsChanged, format!("from {from} to {to}"))
    }

    /// Too many records cannot be applied.
    pub fn parking_limit() -> Self {
        Self::new(HaltKind::ParkingLimit, String::new())
    }

    /// One record can be neither applied nor parked.
    pub fn stuck(why: impl Into<String>) -> Self {
        Self::new(HaltKind::Stuck, why)
    }

    /// The sink is set up wrongly.
    pub fn misconfigured(why: impl Into<String>) -> Self {
        Self::new(HaltKind::Misconfigured, why)
    }

    /// Delivering one record fails again and again.
    pub fn failing(why: impl Into<String>) -> Self {
        Self::new(HaltKind::Failing, why)
    }

    /// The sink is paused.
    pub fn paused(why: impl Into<String>) -> Self {
        Self::new(HaltKind::Paused, why)
    }

    /// The operator's remedy. `place` names the partition as commands take it:
    /// `STAGE --topic TOPIC --partition NUMBER`.
    pub fn cure(&self, place: &str) -> String {
        match self.kind {
            HaltKind::RetentionGap => {
                let to = self.detail.rsplit_once("to ").map_or("OFFSET", |(_, to)| to);
                format!(
                    "records were deleted before the stage read them: raise the topic's retention.ms, then `weir stage \
                     accept-gap {place} --to {to} --reason TEXT` records the loss and goes on"
                )
            }
            kind if kind.is_of_another_log() => {
                let anew = "; or give the sink another name, under which it begins anew (docs/siem.md)";
                format!(
                    "the topic is not the one that the stage has read: bring that one back, or restore the database \
                     from the same time (docs/upgrading.md){}",
                    if place.starts_with("sink.") { anew } else { "" }
                )
            }
            _ => format!("fix the cause, then `weir stage resume {place}`"),
        }
    }

    /// Reads a stored reason. A text that names no kind is kept whole as the detail of [`HaltKind::Other`].
    pub fn from_stored(text: &str) -> Self {
        let (name, detail) = text.split_once(": ").unwrap_or((text, ""));
        let named = HaltKind::ALL.into_iter().find(|kind| kind.name() == name && *kind != HaltKind::Other);
        named.map_or_else(|| Self::new(HaltKind::Other, text), |kind| Self::new(kind, detail))
    }

    fn new(kind: HaltKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl fmt::Display for HaltReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.detail.as_str()) {
            (HaltKind::Other, detail) => f.write_str(detail),
            (kind, "") => f.write_str(kind.name()),
            (kind, detail) => write!(f, "{}: {detail}", kind.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_as_it_was_stored() {
        for reason in [
            HaltReason::log_diverged(4),
            HaltReason::log_truncated(5, 4),
            HaltReason::log_replaced("a", "b: c"),
            HaltReason::retention_gap(1, 2),
            HaltReason::partitions_changed(8, 12),
            HaltReason::parking_limit(),
            HaltReason::stuck("a: b: c"),
            HaltReason::misconfigured("42P01"),
            HaltReason::failing("57014"),
            HaltReason::paused("401"),
        ] {
            assert_eq!(HaltReason::from_stored(&reason.to_string()), reason);
        }
    }

    #[test]
    fn a_cure_names_the_command_that_passes_the_halt() {
        let check = |reason: &HaltReason, place: &str, expected: &[&str]| {
            let cure = reason.cure(place);
            assert!(expected.iter().all(|text| cure.contains(text)), "{reason}: {cure}");
        };
        let at = "audit --topic t --partition 2";
        check(
            &HaltReason::retention_gap(3, 9),
            at,
            &["`weir stage accept-gap audit --topic t --partition 2 --to 9"],
        );
        check(&HaltReason::from_stored("retention_gap: 5 records"), at, &["--to OFFSET"]);
        for other in
            [HaltReason::log_diverged(4), HaltReason::log_truncated(5, 4), HaltReason::log_replaced("a", "b")]
        {
            check(&other, at, &["restore the database"]);
            assert!(!other.cure(at).contains("another name") && !other.cure(at).contains("weir stage"));
            check(&other, "sink.copy --topic t --partition 2", &["restore the database", "another name"]);
        }
        check(&HaltReason::parking_limit(), at, &["`weir stage resume audit --topic t --partition 2`"]);
    }

    #[test]
    fn a_text_of_somebody_else_is_kept_and_waits_for_an_operator() {
        for text in ["by hand", "", "other: x", "stuckish: y", "misconfigured:z"] {
            let reason = HaltReason::from_stored(text);
            assert_eq!((reason.kind, reason.to_string().as_str()), (HaltKind::Other, text));
            assert!(!reason.kind.heals_by_itself());
        }
    }
}
