//! Roots of tiles and the tiles above the leaves, against the leaves.

use audit_log::{
    Hash,
    tree::{TILE_WIDTH, subtree},
};
use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::VerifyError;

/// The first leaf below a stored root, or a hash of a tile above the leaves, that is not what these leaves make.
pub(super) async fn edited_root(
    connection: &mut PgConnection,
    log: &str,
    leaves: &[Hash],
) -> Result<Option<u64>, VerifyError> {
    // Of each level the roots of its full tiles, which are the hashes of the next.
    let mut levels: Vec<Vec<Hash>> = Vec::new();
    loop {
        let below = levels.last().map_or(leaves, Vec::as_slice);
        let roots: Vec<Hash> = below.chunks_exact(TILE_WIDTH).map(subtree).collect();
        if roots.is_empty() {
            break;
        }
        levels.push(roots);
    }
    let mut rows = sqlx::query_as::<_, (i16, i64, Option<Vec<u8>>, Option<Vec<u8>>)>(
        "SELECT level, index, root, CASE WHEN level > 0 THEN hashes END FROM audit_tile
          WHERE log = $1 ORDER BY level, index",
    )
    .bind(log)
    .fetch(connection);
    let mut edited: Option<u64> = None;
    while let Some((level, index, root, hashes)) = rows.try_next().await? {
        let Ok(number) = u64::try_from(index) else {
            // No tile has a number below zero.
            edited = Some(0);
            continue;
        };
        let level = usize::try_from(level).unwrap_or(usize::MAX);
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        let expected = levels.get(level).and_then(|roots| roots.get(at));
        let is_root = root.is_none_or(|root| Hash::from_slice(&root).as_ref() == expected);
        let is_tile = hashes.is_none_or(|hashes| {
            let below = level.checked_sub(1).and_then(|below| levels.get(below));
            let own = below.and_then(|below| below.chunks_exact(TILE_WIDTH).nth(at));
            own.is_some_and(|own| Hash::list(&hashes).as_deref() == Some(own))
        });
        if !(is_root && is_tile) {
            let width = 1_u64
                .checked_shl(u32::try_from(level.saturating_add(1).saturating_mul(8)).unwrap_or(u32::MAX));
            let first = number.saturating_mul(width.unwrap_or(u64::MAX));
            edited = Some(edited.map_or(first, |before| before.min(first)));
        }
    }
    Ok(edited)
}
