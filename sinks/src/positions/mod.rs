//! The once-only rule: the condition for applying a batch, and for recognising that it was applied.
//!
//! Every partition of a stage has one row in `stage_position`. A batch names, per partition, the range `[start, upto)`
//! and the owner epoch of the claim under which it was read. The row is compared and moved in the transaction that
//! writes the batch's rows:
//!
//! | the row's epoch | the row's position | verdict | because |
//! |---|---|---|---|
//! | ours | `start` | `Apply` | nothing of the batch is there |
//! | ours | `upto` | `Applied` | only this process writes under its epoch: the unanswered COMMIT succeeded |
//! | ours | any other | `Fenced` | an operator moved it (an accepted gap), or an inconsistency: claim again |
//! | another | any | `Fenced` | another owner has claimed it since |
//! | no row | | `Fenced` | it was never claimed, or was removed |
//!
//! Therefore the applied ranges of a partition tile: none overlaps another, none is left out, whichever
//! process writes.

mod decision;
mod stored;

pub(crate) use decision::Decision;
pub use decision::Operator;
pub use stored::{
    AcceptedGap, DecidedUnder, PositionChange, PositionError, StagePosition, accept_gap, begin_at,
    decided_under, reached, read_all, resume, rewind,
};

use crate::batch::OffsetRange;

/// State of a partition in `stage_position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The next offset to apply.
    pub position: i64,
    /// The epoch of the last claim.
    pub owner_epoch: i64,
}

/// Whether a range may be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The batch is next.
    Apply,
    /// The batch has been applied, under this epoch.
    Applied,
    /// It belongs to another owner.
    Fenced,
}

/// The rule, for one partition.
pub fn judge(standing: Option<Standing>, range: &OffsetRange) -> Verdict {
    match standing {
        Some(row) if row.owner_epoch != range.owner_epoch => Verdict::Fenced,
        Some(row) if row.position == range.start => Verdict::Apply,
        Some(row) if row.position == range.upto => Verdict::Applied,
        _ => Verdict::Fenced,
    }
}

/// The rule, for a batch, which is applied whole or not at all: its partitions must agree.
pub fn judge_batch<'a>(rows: impl IntoIterator<Item = (Option<Standing>, &'a OffsetRange)>) -> Verdict {
    let mut verdicts = rows.into_iter().map(|(standing, range)| judge(standing, range));
    let Some(first) = verdicts.next() else { return Verdict::Applied };
    if verdicts.all(|verdict| verdict == first) { first } else { Verdict::Fenced }
}

#[cfg(test)]
mod tests;
