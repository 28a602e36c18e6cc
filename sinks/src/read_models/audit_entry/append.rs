//! Appending to logs: which index an entry gets, and what becomes of the logs when a batch is committed.

use std::collections::{BTreeSet, HashMap};

use audit_log::{
    Hash, Malformed, Salt, SubjectSecret,
    record::{Splitter, leaf as leaf_of_parts},
    tree::{FullTile, OpenLog},
};
use schemas::changes::AuditEntry;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use tracing::error;

use super::{
    erased::{ErasedEntry, without_personal_part},
    subjects::{ErasedSubjects, KeyRow, MAX_SUBJECTS, Standing, SubjectName, Subjects, erased_of},
};
use crate::{batch::TopicPartition, postgres::row_type::row_type, read_models::Fact};

/// The logs that a writer appends to, as it knows them.
pub(super) struct Logbook {
    secret: SubjectSecret,
    splitter: Splitter,
    subjects: Subjects,
    /// Erasure epoch up to which the erased subjects are known; `None` until they are looked up.
    epoch: Option<i64>,
    erased: ErasedSubjects,
    /// As the last transaction left them, as far as is known.
    logs: HashMap<TopicPartition, OpenLog>,
    /// As the current transaction leaves them.
    pending: HashMap<TopicPartition, OpenLog>,
}

/// Effect of a batch on its logs: the arguments of `audit_log_grow`.
#[derive(Default)]
pub(super) struct Advance {
    pub(super) epoch: i64,
    pub(super) moves: Vec<Move>,
    pub(super) tiles: Vec<TileRow>,
    pub(super) parts: Vec<TilePart>,
    pub(super) keys: Vec<KeyRow>,
}

/// A log's row before and after.
#[derive(sqlx::Encode)]
pub(super) struct Move {
    log: String,
    topic: &'static str,
    partition: i32,
    first_offset: i64,
    start: i64,
    previous_leaf: Option<Vec<u8>>,
    size: i64,
    frontier: Vec<u8>,
    last_leaf: Vec<u8>,
    fills_tile: bool,
}

/// A tile that was filled.
#[derive(sqlx::Encode)]
pub(super) struct TileRow {
    log: String,
    level: i16,
    index: i64,
    hashes: Vec<u8>,
    root: Vec<u8>,
}

/// Leaves of the tile that is not full yet.
#[derive(sqlx::Encode)]
pub(super) struct TilePart {
    log: String,
    first_index: i64,
    hashes: Vec<u8>,
}

row_type!(owned Move, "audit_log_move");
row_type!(owned TileRow, "audit_full_tile");
row_type!(owned TilePart, "audit_tile_part_row");

/// The name of a partition's log.
pub(crate) fn log_name(partition: TopicPartition) -> String {
    format!("{}/{}", partition.topic.name(), partition.partition)
}

/// A log's index as Postgres has it.
pub(crate) fn as_bigint(index: u64) -> i64 {
    i64::try_from(index).expect("a log has fewer than 2^63 entries")
}

impl Logbook {
    pub(super) fn new(secret: SubjectSecret) -> Self {
        Self {
            secret,
            splitter: Splitter::default(),
            subjects: Subjects::default(),
            epoch: None,
            erased: ErasedSubjects::Many,
            logs: HashMap::new(),
            pending: HashMap::new(),
        }
    }

    /// Looks up the logs and the subjects of these facts that are not known yet.
    pub(super) async fn look_up(
        &mut self,
        connection: &mut PgConnection,
        facts: &[Fact<'_, AuditEntry>],
    ) -> sqlx::Result<()> {
        self.look_up_subjects(connection, facts).await?;
        self.look_up_logs(connection, facts).await
    }

    /// First the epoch: an erasure after it was read makes the batch be looked up again.
    async fn look_up_subjects(
        &mut self,
        connection: &mut PgConnection,
        facts: &[Fact<'_, AuditEntry>],
    ) -> sqlx::Result<()> {
        if self.epoch.is_none() {
            let epoch =
                sqlx::query_scalar("SELECT epoch FROM audit_epoch").fetch_one(&mut *connection).await?;
            self.erased = ErasedSubjects::look_up(connection).await?;
            self.epoch = Some(epoch);
        }
        if self.subjects.count >= MAX_SUBJECTS {
            self.subjects.forget_all();
        }
        let unknown: BTreeSet<SubjectName<'_>> = facts
            .iter()
            .map(|fact| SubjectName { tenant_id: fact.change.tenant.as_str(), subject: &fact.change.actor })
            .filter(|name| self.subjects.get(name.tenant_id, name.subject).is_none())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<SubjectName<'_>> = unknown.into_iter().collect();
        let asked;
        let erased = match &self.erased {
            ErasedSubjects::All(all) => all,
            ErasedSubjects::Many => {
                asked = erased_of(connection, &unknown).await?;
                &asked
            }
        };
        for SubjectName { tenant_id, subject } in unknown {
            let gone = !erased.is_empty() && erased.contains(&(tenant_id.to_owned(), subject.to_owned()));
            let standing = if gone { Standing::Erased } else { Standing::Kept };
            self.subjects.add(&self.secret, tenant_id, subject, standing);
        }
        Ok(())
    }

    async fn look_up_logs(
        &mut self,
        connection: &mut PgConnection,
        facts: &[Fact<'_, AuditEntry>],
    ) -> sqlx::Result<()> {
        let mut unknown: Vec<TopicPartition> = facts
            .iter()
            .map(|fact| fact.partition)
            .filter(|partition| !self.logs.contains_key(partition))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = unknown.iter().copied().map(log_name).collect();
        // The tiles below the open ones: of each level, those whose roots the open tile of the next holds. A tile that was
        // written without its root is read whole.
        let rows = sqlx::query(
            "SELECT l.log, l.size, l.frontier, l.last_leaf,
                    ARRAY(SELECT p.hashes FROM audit_tile_part AS p WHERE p.log = l.log ORDER BY p.first_index),
                    ARRAY(SELECT t.level FROM audit_tile AS t
                           WHERE t.log = l.log AND t.level < 6 AND t.index >= (l.size >> (8 * (t.level + 2))) << 8
                           ORDER BY t.level, t.index),
                    ARRAY(SELECT coalesce(t.root, t.hashes) FROM audit_tile AS t
                           WHERE t.log = l.log AND t.level < 6 AND t.index >= (l.size >> (8 * (t.level + 2))) << 8
                           ORDER BY t.level, t.index)
               FROM audit_log AS l WHERE l.log = ANY($1)",
        )
        .bind(&names)
        .fetch_all(connection)
        .await?;
        let mut found: HashMap<String, OpenLog> = HashMap::new();
        for row in &rows {
            found.insert(row.try_get(0)?, restored(row)?);
        }
        for (partition, name) in unknown.into_iter().zip(names) {
            self.logs.insert(partition, found.remove(&name).unwrap_or_default());
        }
        Ok(())
    }

    /// The index that each fact gets: those of a partition in the order of their offsets, from the log's end on.
    pub(super) fn indices(&self, facts: &[Fact<'_, AuditEntry>]) -> Vec<u64> {
        let mut indices = vec![0; facts.len()];
        let mut next: Option<(TopicPartition, u64)> = None;
        for position in in_log_order(facts) {
            let partition = facts[position].partition;
            let index = match next {
                Some((before, next)) if before == partition => next,
                _ => self.logs.get(&partition).map_or(0, OpenLog::size),
            };
            indices[position] = index;
            next = Some((partition, index + 1));
        }
        indices
    }

    /// The leaf of an entry, from its record as it is stored, and the salt in it.
    pub(super) fn leaf(&mut self, entry: &AuditEntry, stored: &[u8]) -> Result<(Hash, Salt), Malformed> {
        let salt = self.salt(entry);
        Ok((self.splitter.split(stored)?.leaf(&salt), salt))
    }

    fn salt(&self, entry: &AuditEntry) -> Salt {
        let (tenant, actor) = (entry.tenant.as_str(), entry.actor.as_str());
        let event = entry.event_id.as_uuid();
        match self.subjects.get(tenant, actor) {
            Some(subject) => subject.key.salt(event),
            None => self.secret.key(tenant, actor).salt(event),
        }
    }

    /// Of each fact whose actor was erased, the entry without its personal part. Its leaf is that of the whole entry, so
    /// that a log is the same whether its entries came before or after the erasure.
    pub(super) fn erased(
        &mut self,
        facts: &[Fact<'_, AuditEntry>],
    ) -> Result<HashMap<usize, ErasedEntry>, Malformed> {
        let mut erased = HashMap::new();
        if self.subjects.erased == 0 {
            return Ok(erased);
        }
        for (position, fact) in facts.iter().enumerate() {
            let entry = fact.change;
            let subject = self.subjects.get(entry.tenant.as_str(), &entry.actor);
            if subject.is_none_or(|subject| subject.standing == Standing::Kept) {
                continue;
            }
            let salt = self.salt(entry);
            let stored = entry.record.to_bytes();
            let parts = self.splitter.split(&stored)?;
            let digest = parts.personal_digest(&salt);
            let leaf = leaf_of_parts(parts.public, &digest);
            let entry = without_personal_part(entry, parts.public);
            erased.insert(position, ErasedEntry { entry, leaf, digest });
        }
        Ok(erased)
    }

    /// Computes the effect of facts, with their leaves, on their logs. The logs themselves advance with
    /// [`committed`](Self::committed).
    pub(super) fn advance(&mut self, facts: &[Fact<'_, AuditEntry>], leaves: &[Hash]) -> Advance {
        assert_eq!(facts.len(), leaves.len(), "a leaf for each fact");
        let order = in_log_order(facts);
        let mut advance = Advance {
            epoch: self.epoch.unwrap_or_default(),
            keys: self.subjects.unstored.clone(),
            ..Advance::default()
        };
        self.subjects.sent = true;
        self.pending.clear();
        for one in order.chunk_by(|a, b| facts[*a].partition == facts[*b].partition) {
            let first = &facts[one[0]];
            let mut log = self.logs.get(&first.partition).cloned().unwrap_or_default();
            let (start, previous) = (log.size(), log.last_leaf());
            let tiles: Vec<FullTile> = one.iter().flat_map(|position| log.push(leaves[*position])).collect();
            let name = log_name(first.partition);
            advance.parts.extend(new_part(
                &name,
                &log,
                if tiles.is_empty() { one.len() } else { usize::MAX },
            ));
            advance.moves.push(Move {
                topic: first.partition.topic.name(),
                partition: first.partition.partition,
                first_offset: first.offset,
                start: as_bigint(start),
                previous_leaf: previous.map(|leaf| leaf.0.to_vec()),
                size: as_bigint(log.size()),
                frontier: Hash::concat(log.frontier().roots()),
                last_leaf: log.last_leaf().map(|leaf| leaf.0.to_vec()).unwrap_or_default(),
                fills_tile: !tiles.is_empty(),
                log: name.clone(),
            });
            advance.tiles.extend(tiles.into_iter().map(|tile| TileRow {
                log: name.clone(),
                level: i16::from(tile.level),
                index: as_bigint(tile.index),
                hashes: Hash::concat(&tile.hashes),
                root: tile.root.0.to_vec(),
            }));
            self.pending.insert(first.partition, log);
        }
        advance
    }

    /// Confirms the last advance: its transaction is committed.
    pub(super) fn committed(&mut self) {
        self.logs.extend(self.pending.drain());
        // A batch of which nothing was new has stored nothing.
        if std::mem::take(&mut self.subjects.sent) {
            self.subjects.unstored.clear();
        }
    }

    /// Discards the last advance: its transaction is rolled back, and nothing of it is stored.
    pub(super) fn undone(&mut self) {
        self.pending.clear();
        self.subjects.sent = false;
    }

    /// Discards the last advance, since its transaction failed or its result is unknown; the logs are looked
    /// up again.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
        self.logs.clear();
        // A batch may have failed for one of its subjects: the next one must not send that again.
        self.subjects = Subjects::default();
        self.epoch = None;
    }
}

/// The open leaves that are not stored yet: the last `new` of them, or all if a tile was filled.
fn new_part(name: &str, log: &OpenLog, new: usize) -> Option<TilePart> {
    let open = log.open_leaves();
    let new = &open[open.len() - new.min(open.len())..];
    (!new.is_empty()).then(|| TilePart {
        log: name.to_owned(),
        first_index: as_bigint(log.size() - new.len() as u64),
        hashes: Hash::concat(new),
    })
}

/// Positions of facts, by partition and offset.
fn in_log_order(facts: &[Fact<'_, AuditEntry>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..facts.len()).collect();
    order.sort_by_key(|position| (facts[*position].partition, facts[*position].offset));
    order
}

/// The log of a row. Where its parts do not belong together, somebody has tampered with them: entries flow all the same,
/// and whoever signs checkpoints refuses to.
fn restored(row: &PgRow) -> sqlx::Result<OpenLog> {
    let name: String = row.try_get(0)?;
    let size: i64 = row.try_get(1)?;
    let size = u64::try_from(size).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let (frontier, last_leaf): (Vec<u8>, Vec<u8>) = (row.try_get(2)?, row.try_get(3)?);
    let (parts, levels): (Vec<Vec<u8>>, Vec<i16>) = (row.try_get(4)?, row.try_get(5)?);
    let tiles: Vec<Vec<u8>> = row.try_get(6)?;
    let hashes = |bytes: &[u8]| Hash::list(bytes).unwrap_or_default();
    let mut open: Vec<Vec<Hash>> = vec![hashes(&parts.concat())];
    for (level, tile) in levels.iter().zip(&tiles) {
        let above = usize::try_from(level + 1).unwrap_or_default();
        open.resize(open.len().max(above + 1), Vec::new());
        let tile = hashes(tile);
        open[above].push(if tile.len().is_power_of_two() {
            audit_log::tree::subtree(&tile)
        } else {
            Hash::default()
        });
    }
    let last_leaf = Hash::from_slice(&last_leaf);
    let (log, broken) = OpenLog::restore(size, hashes(&frontier), last_leaf, &open);
    if let Some(broken) = broken {
        error!(log = name, %broken, "the stored log is inconsistent; it is not signed until it is repaired");
    }
    Ok(log)
}
