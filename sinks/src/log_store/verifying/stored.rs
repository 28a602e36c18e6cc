//! Logs as they are stored, besides their entries, and the leaves that are believed of each.

use std::{collections::BTreeMap, ops::Range};

use audit_log::{
    Hash,
    checkpoint::{Checkpoint, SignedCheckpoint},
    retired::Retired,
    verify::{Past, Trust, is_of},
};
use futures_util::TryStreamExt as _;
use schemas::Timestamp;
use sqlx::PgConnection;

use super::{Kept, VerifyError, roots::edited_root};
use crate::log_store::natural;

/// Stored state of a log besides its entries.
pub(super) struct Stored {
    /// Leaves that the newest checkpoint covers, from the tiles or another source.
    pub(super) leaves: Vec<Hash>,
    /// The first leaf that the tiles have otherwise.
    pub(super) edited_tile: Option<u64>,
    /// The first leaf below a root or a tile above the leaves that is not what the leaves make.
    pub(super) edited_root: Option<u64>,
    /// Entries of which a checkpoint says otherwise.
    pub(super) rewritten: Option<Range<u64>>,
    /// Entries that the newest checkpoint covers, of those that bear all signatures or that others have kept.
    pub(super) covered: u64,
    /// Entries that are gone although the log has signed them, without the cosignatures that are demanded.
    pub(super) cut_uncosigned: bool,
    /// No checkpoint in the database bears the signatures.
    pub(super) unsigned: bool,
    /// Others have kept leaves or checkpoints of it.
    pub(super) is_kept: bool,
    /// The size of the first checkpoint whose time is not the one that was signed, or is before that of a
    /// smaller one.
    pub(super) backdated: Option<u64>,
    /// The number of leaves, where frontier and last leaf are not those of the leaves.
    pub(super) edited_end: Option<u64>,
    /// Where the log begins in its topic.
    pub(super) beginning: Beginning,
    /// Entries that retention removed, as far as the log's key has signed them.
    pub(super) retired: Vec<Retired>,
}

impl Stored {
    /// The log is shorter than its newest checkpoint.
    pub(super) fn is_cut(&self) -> bool {
        self.covered > self.leaves.len() as u64
    }
}

/// Where a log begins in its topic.
pub(super) struct Beginning {
    /// Rows without an index are from before the log if their offset is below this one. Checkpoints say it: whoever writes the
    /// table can write the log's row as well.
    pub(super) unlogged_below: u64,
    /// Checkpoints and the log's row disagree about it.
    pub(super) is_disputed: bool,
}

impl Beginning {
    fn of(column: i64, checkpoints: &[Checkpoint]) -> Self {
        let mut stated = checkpoints.iter().map(Checkpoint::first_offset);
        let first = stated.next().flatten();
        let is_other = |own: Option<u64>| own != first;
        let is_disputed =
            stated.any(is_other) || first.is_some_and(|first| u64::try_from(column) != Ok(first));
        let lowest = checkpoints.iter().map(|own| own.first_offset().unwrap_or(0)).min();
        Self { unlogged_below: lowest.unwrap_or(0), is_disputed }
    }
}

/// All logs; `checkpoints` are those that others have kept.
pub(super) async fn read_logs(
    connection: &mut PgConnection,
    trust: &Trust,
    kept: &Kept,
    checkpoints: &BTreeMap<String, Vec<Checkpoint>>,
) -> Result<BTreeMap<String, Stored>, VerifyError> {
    type Row = (String, i64, Vec<u8>, Vec<u8>, i64);
    let rows: Vec<Row> =
        sqlx::query_as("SELECT log, size, frontier, last_leaf, first_offset FROM audit_log ORDER BY log")
            .fetch_all(&mut *connection)
            .await?;
    let mut logs = BTreeMap::new();
    for (log, size, frontier, last_leaf, first_offset) in rows {
        let mut leaves = stored_leaves(connection, &log).await?;
        let edited_root = edited_root(connection, &log, &leaves).await?;
        let others = checkpoints.get(&log).map(Vec::as_slice).unwrap_or_default();
        let checkpoints = Checkpoints::read(connection, &log, trust, others).await?;
        let columns = leaf_column(connection, &log).await?;
        let kept_leaves = kept.leaves.get(&log).map(Vec::as_slice).unwrap_or_default();
        let edited_tile = believe(&mut leaves, (kept_leaves, &columns), checkpoints.demanded.last());
        let past = Past::of(&leaves, &checkpoints.all());
        let length = leaves.len() as u64;
        let root = Hash::list(&frontier).map(|roots| audit_log::proof::join(&roots));
        let is_end = natural(size)? == length
            && root == Some(past.root)
            && leaves.last().map(|leaf| leaf.0.as_slice()) == Some(last_leaf.as_slice());
        let covered = checkpoints.demanded.last().map_or(0, |newest| newest.size);
        let stored = Stored {
            edited_tile: edited_tile.map(|index| index as u64),
            edited_root,
            rewritten: past.rewritten,
            covered,
            cut_uncosigned: checkpoints.uncosigned.last().is_some_and(|newest| newest.size > length),
            unsigned: checkpoints.unsigned,
            is_kept: !(others.is_empty() && kept_leaves.is_empty()),
            backdated: checkpoints.backdated,
            edited_end: (!is_end && covered <= length).then_some(length),
            beginning: Beginning::of(first_offset, &checkpoints.demanded),
            retired: retired_chunks(connection, &log, trust).await?,
            leaves,
        };
        logs.insert(log, stored);
    }
    Ok(logs)
}

/// The checkpoints of one log, the smallest first.
struct Checkpoints {
    /// Those that bear all signatures, and those that others have kept.
    demanded: Vec<Checkpoint>,
    /// Those beyond them that the log has signed and not all of the witnesses: a cosignature comes a moment after the log's own,
    /// or with a later checkpoint.
    uncosigned: Vec<Checkpoint>,
    /// None in the database bears all signatures.
    unsigned: bool,
    backdated: Option<u64>,
}

impl Checkpoints {
    async fn read(
        connection: &mut PgConnection,
        log: &str,
        trust: &Trust,
        kept: &[Checkpoint],
    ) -> Result<Self, VerifyError> {
        let notes: Vec<(String, Timestamp)> =
            sqlx::query_as("SELECT note, signed_at FROM audit_checkpoint WHERE log = $1")
                .bind(log)
                .fetch_all(connection)
                .await?;
        let (mut dated, mut uncosigned) = (Vec::new(), Vec::new());
        for (note, at) in notes {
            let Ok(signed) = SignedCheckpoint::parse(&note) else { continue };
            if signed.check(log, &trust.keys).is_err() {
                continue;
            }
            if trust.witnesses.iter().all(|witness| signed.cosigned(witness).is_ok()) {
                dated.push((signed.checkpoint, at));
            } else {
                uncosigned.push(signed.checkpoint);
            }
        }
        dated.sort_by_key(|(checkpoint, _)| checkpoint.size);
        let (unsigned, backdated) = (dated.is_empty(), backdated(&dated));
        let mut demanded: Vec<Checkpoint> = dated.into_iter().map(|(checkpoint, _)| checkpoint).collect();
        demanded.extend_from_slice(kept);
        demanded.sort_by_key(|checkpoint| checkpoint.size);
        let covered = demanded.last().map_or(0, |newest| newest.size);
        uncosigned.retain(|checkpoint| checkpoint.size > covered);
        uncosigned.sort_by_key(|checkpoint| checkpoint.size);
        Ok(Self { demanded, uncosigned, unsigned, backdated })
    }

    fn all(&self) -> Vec<Checkpoint> {
        [self.demanded.as_slice(), &self.uncosigned].concat()
    }
}

/// The size of the first of these checkpoints, the smallest of which comes first, that has another time than
/// it was signed with, or an earlier one than a smaller checkpoint.
fn backdated(dated: &[(Checkpoint, Timestamp)]) -> Option<u64> {
    let mut latest = 0;
    dated.iter().find_map(|(checkpoint, stored_at)| {
        let signed_at = checkpoint.time()?;
        let is_stored = u64::try_from(stored_at.timestamp()) == Ok(signed_at);
        let is_in_order = signed_at >= latest;
        latest = latest.max(signed_at);
        (!is_stored || !is_in_order).then_some(checkpoint.size)
    })
}

/// Replaces the leaves of the tiles by those that are believed instead: if the newest checkpoint is not of the tiles, those
/// that it is of; and those that others have kept. Answers the first that differs.
fn believe(
    leaves: &mut Vec<Hash>,
    (kept, columns): (&[Hash], &[Hash]),
    newest: Option<&Checkpoint>,
) -> Option<usize> {
    let newest = newest.filter(|newest| !is_of(leaves, newest));
    let covered = newest.and_then(|newest| {
        let of_it = [kept, columns].into_iter().find(|own| is_of(own, newest))?;
        of_it.get(..usize::try_from(newest.size).ok()?)
    });
    let differ = [covered.unwrap_or_default(), kept].map(|believed| replace(leaves, believed));
    differ.into_iter().flatten().min()
}

/// Replaces the first leaves by these, if they differ; answers the first that does.
fn replace(leaves: &mut Vec<Hash>, believed: &[Hash]) -> Option<usize> {
    let differs = believed.iter().zip(&*leaves).position(|(believed, own)| believed != own);
    let first = differs.or((leaves.len() < believed.len()).then_some(leaves.len()))?;
    let end = believed.len().min(leaves.len());
    drop(leaves.splice(first..end, believed[first..].iter().copied()));
    Some(first)
}

/// The leaves of a log out of its tiles, as far as they follow one another.
async fn stored_leaves(connection: &mut PgConnection, log: &str) -> Result<Vec<Hash>, VerifyError> {
    let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(
        "(SELECT index * 256, hashes FROM audit_tile
           WHERE log = $1 AND level = 0 AND index BETWEEN 0 AND (1::bigint << 54) ORDER BY index)
         UNION ALL
         (SELECT first_index, hashes FROM audit_tile_part WHERE log = $1 ORDER BY first_index)",
    )
    .bind(log)
    .fetch(&mut *connection);
    let mut leaves: Vec<Hash> = Vec::new();
    while let Some((first, bytes)) = rows.try_next().await? {
        let hashes = Hash::list(&bytes).unwrap_or_default();
        if u64::try_from(first) != Ok(leaves.len() as u64) || hashes.is_empty() {
            break;
        }
        leaves.extend(hashes);
    }
    Ok(leaves)
}

/// Entries of a log that retention removed. Notes that are unsigned or disagree with their bits are skipped.
async fn retired_chunks(
    connection: &mut PgConnection,
    log: &str,
    trust: &Trust,
) -> Result<Vec<Retired>, VerifyError> {
    let rows: Vec<(i64, Vec<u8>, String)> = sqlx::query_as(
        "SELECT chunk, indices, note FROM audit_retired WHERE log = $1 AND chunk >= 0 ORDER BY chunk",
    )
    .bind(log)
    .fetch_all(connection)
    .await?;
    let mut chunks = Vec::new();
    for (chunk, bits, note) in rows {
        let retired = Retired::of_bits(natural(chunk)?, bits);
        chunks.extend(retired.filter(|retired| retired.is_signed(log, &note, trust)));
    }
    Ok(chunks)
}

/// The leaves of a log as its entries state them.
async fn leaf_column(connection: &mut PgConnection, log: &str) -> Result<Vec<Hash>, VerifyError> {
    let Some((topic, partition)) = log.rsplit_once('/') else { return Ok(Vec::new()) };
    let partition: i32 = partition.parse().unwrap_or(-1);
    let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(
        "SELECT log_index, coalesce(leaf_hash, '') FROM audit_entry
          WHERE topic = $1 AND partition = $2 AND log_index >= 0 ORDER BY log_index",
    )
    .bind(topic)
    .bind(partition)
    .fetch(&mut *connection);
    let mut leaves: Vec<Hash> = Vec::new();
    while let Some((index, leaf)) = rows.try_next().await? {
        match Hash::from_slice(&leaf) {
            Some(leaf) if natural(index)? == leaves.len() as u64 => leaves.push(leaf),
            _ => break,
        }
    }
    Ok(leaves)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(values: &[u8]) -> Vec<Hash> {
        values.iter().map(|value| Hash([*value; 32])).collect()
    }

    fn checkpoint(of: &[u8]) -> Checkpoint {
        let (size, root) = (of.len() as u64, Past::of(&leaves(of), &[]).root);
        Checkpoint { origin: "audit.example.com/t/0".into(), size, root, extensions: Vec::new() }
    }

    /// Leaves that others keep, and those of the rows.
    struct Others<'a> {
        kept: &'a [u8],
        columns: &'a [u8],
    }

    #[track_caller]
    fn check(tiles: &[u8], others: &Others<'_>, covered: &[u8], expected: (&[u8], Option<usize>)) {
        let mut own = leaves(tiles);
        let others = (leaves(others.kept), leaves(others.columns));
        let found = believe(&mut own, (&others.0, &others.1), Some(&checkpoint(covered)));
        assert_eq!((own, found), (leaves(expected.0), expected.1));
    }

    #[test]
    fn what_others_keep_is_always_compared_with_the_tiles() {
        let tiles = &[1, 9, 3, 4];
        check(tiles, &Others { kept: &[], columns: tiles }, &[1, 9], (tiles, None));
        check(tiles, &Others { kept: &[1, 9], columns: tiles }, tiles, (tiles, None));
        // The checkpoint is of the tiles, and somebody keeps other ones.
        check(tiles, &Others { kept: &[1, 2, 3], columns: tiles }, &[1], (&[1, 2, 3, 4], Some(1)));
        check(tiles, &Others { kept: &[1, 2], columns: &[] }, &[1, 9, 3], (&[1, 2, 3, 4], Some(1)));
        check(&[1, 2], &Others { kept: &[1, 2, 3], columns: &[] }, &[1], (&[1, 2, 3], Some(2)));
    }

    #[test]
    fn leaves_that_the_newest_checkpoint_is_of_are_believed() {
        let tiles = &[1, 9, 3, 4];
        check(tiles, &Others { kept: &[], columns: &[1, 2, 3] }, &[1, 2, 3], (&[1, 2, 3, 4], Some(1)));
        check(&[9, 2], &Others { kept: &[1, 2, 3], columns: &[9] }, &[1, 2], (&[1, 2, 3], Some(0)));
        check(&[9, 2], &Others { kept: &[], columns: &[8] }, &[1, 2], (&[9, 2], None));
    }

    #[test]
    fn rows_before_the_log_are_those_that_checkpoints_tell_of() {
        let none = || checkpoint(&[1]);
        let check = |column, checkpoints: &[Checkpoint], expected| {
            let beginning = Beginning::of(column, checkpoints);
            assert_eq!(
                (beginning.unlogged_below, beginning.is_disputed),
                expected,
                "{column} {checkpoints:?}"
            );
        };
        check(0, &[], (0, false));
        check(500, &[none(), none()], (0, false));
        check(7, &[none().beginning_at(7), none().beginning_at(7)], (7, false));
        check(9, &[none().beginning_at(7)], (7, true));
        check(9, &[none(), none().beginning_at(9)], (0, true));
        check(-1, &[none().beginning_at(7), none().beginning_at(8)], (7, true));
    }
}
