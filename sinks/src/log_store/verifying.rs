//! Verification of the log in the database: tiles against checkpoints, entries against tiles, columns against records.

mod roots;

use std::collections::{BTreeMap, BTreeSet};

use audit_log::{
    Hash,
    checkpoint::Checkpoint,
    columns::Columns,
    integrity::leaf_of,
    record::Splitter,
    retired::Retired,
    verify::{Entries, Fault, Kind, Observed, Report, RetiredEntries, Trust, is_of, root_of},
};
use futures_util::TryStreamExt as _;
use schemas::Timestamp;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use self::roots::edited_root;
use super::{connect, natural, proofs::personal_of, undecodable};
use crate::{
    compress,
    postgres::copy::read::{Malformed, Reader, RowReader},
};

/// Error that prevented a verification; it does not tell whether the log is intact.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Postgres cannot be reached or refuses the query.
    #[error("the database cannot be read")]
    Database(#[from] sqlx::Error),
    /// The rows are not in COPY's binary format.
    #[error("the rows read are not in PGCOPY binary format")]
    Format,
}

/// Stored state of a log besides its entries.
struct Stored {
    /// Leaves that the newest checkpoint covers, from the tiles or another source.
    leaves: Vec<Hash>,
    /// The first leaf that the tiles have otherwise.
    edited_tile: Option<u64>,
    /// The first leaf below a root or a tile above the leaves that is not what the leaves make.
    edited_root: Option<u64>,
    /// The first entry behind the last checkpoint that holds.
    rewritten: Option<u64>,
    /// The log is shorter than a checkpoint.
    is_cut: bool,
    /// A checkpoint is missing, or bears not the signatures.
    unsigned: bool,
    /// The size of the first checkpoint whose time is not the one that was signed, or is before that of a
    /// smaller one.
    backdated: Option<u64>,
    /// Frontier and last leaf are not those of the leaves.
    edited_end: bool,
    first_offset: i64,
    /// Entries that retention removed, as far as the log's key has signed them.
    retired: Vec<Retired>,
}

/// Verifies all logs of a database. `others` are leaves of the logs that others have kept: a witness, for
/// example.
///
/// Takes memory of 32 bytes an entry, and one snapshot.
pub async fn verify(
    database_url: &str,
    trust: &Trust,
    others: &BTreeMap<String, Vec<Hash>>,
) -> Result<Report, VerifyError> {
    let mut connection = connect(database_url).await?;
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let report = verify_on(&mut tx, trust, others).await?;
    tx.rollback().await?;
    Ok(report)
}

/// The same inside a transaction, which sees one snapshot.
pub async fn verify_on(
    connection: &mut PgConnection,
    trust: &Trust,
    others: &BTreeMap<String, Vec<Hash>>,
) -> Result<Report, VerifyError> {
    let stored = read_logs(connection, trust, others).await?;
    let mut checks: BTreeMap<&str, Check<'_>> = stored
        .iter()
        .map(|(log, stored)| {
            let mut entries = Entries::new(log, &stored.leaves);
            stored.retired.iter().flat_map(Retired::indices).for_each(|index| entries.retire(index));
            (log.as_str(), Check { entries, stored, stray: None })
        })
        .collect();
    let mut gone = read_entries(connection, &mut checks).await?;
    let mut found: BTreeMap<String, (u64, Option<Fault>)> = checks
        .into_iter()
        .map(|(log, check)| (log.to_owned(), (check.entries.count(), check.finish(log))))
        .collect();
    gone.extend(named_beside(connection).await?);
    gone.extend(others.iter().filter(|(_, leaves)| !leaves.is_empty()).map(|(log, _)| log.clone()));
    for log in gone {
        let cut = || (0, Some(Fault { log: log.clone(), index: 0, kind: Kind::Cut }));
        found.entry(log.clone()).or_insert_with(cut);
    }
    let report = Report::of(found.into_values());
    let retired = stored.iter().filter_map(|(log, stored)| retired_entries(log, &stored.retired));
    Ok(Report { retired: retired.collect(), ..report })
}

/// Count and range of the entries of a log that retention removed, if there are any.
fn retired_entries(log: &str, retired: &[Retired]) -> Option<RetiredEntries> {
    let (mut entries, mut from) = (0, 0);
    for index in retired.iter().flat_map(Retired::indices) {
        entries += 1;
        from += u64::from(index == from);
    }
    (entries > 0).then(|| RetiredEntries { log: log.to_owned(), entries, from })
}

/// The check of one log under way.
struct Check<'a> {
    entries: Entries<'a>,
    stored: &'a Stored,
    /// A row without an index that ought to have one: the index of the entry that follows it.
    stray: Option<u64>,
}

impl Check<'_> {
    fn finish(self, log: &str) -> Option<Fault> {
        let fault = |index, kind| Some(Fault { log: log.to_owned(), index, kind });
        if self.stored.unsigned {
            return fault(0, Kind::Checkpoint);
        }
        let end = self.stored.leaves.len() as u64;
        let found = [
            self.entries.finish(),
            self.stray.and_then(|index| fault(index, Kind::Inserted)),
            self.stored.edited_tile.and_then(|index| fault(index, Kind::Edited)),
            self.stored.rewritten.and_then(|index| fault(index, Kind::Rewritten)),
            self.stored.is_cut.then(|| fault(end, Kind::Cut)).flatten(),
            self.stored.edited_end.then(|| fault(end, Kind::Rewritten)).flatten(),
            self.stored.backdated.and_then(|size| fault(size, Kind::Backdated)),
        ];
        // The first entry; of several faults of one entry, what the entry itself shows.
        let first = found.into_iter().flatten().min_by_key(|fault| fault.index);
        // A leaf that was edited says more than the roots above it.
        first.or_else(|| self.stored.edited_root.and_then(|index| fault(index, Kind::Edited)))
    }
}

async fn read_logs(
    connection: &mut PgConnection,
    trust: &Trust,
    others: &BTreeMap<String, Vec<Hash>>,
) -> Result<BTreeMap<String, Stored>, VerifyError> {
    type Row = (String, i64, Vec<u8>, Vec<u8>, i64);
    let rows: Vec<Row> =
        sqlx::query_as("SELECT log, size, frontier, last_leaf, first_offset FROM audit_log ORDER BY log")
            .fetch_all(&mut *connection)
            .await?;
    let mut logs = BTreeMap::new();
    for (log, size, frontier, last_leaf, first_offset) in rows {
        let tiles = stored_leaves(connection, &log).await?;
        let edited_root = edited_root(connection, &log, &tiles).await?;
        let notes: Vec<(String, Timestamp)> =
            sqlx::query_as("SELECT note, signed_at FROM audit_checkpoint WHERE log = $1 ORDER BY size DESC")
                .bind(&log)
                .fetch_all(&mut *connection)
                .await?;
        // The newest that bears all signatures: cosignatures come a moment after the log's own.
        let opened = |(note, at): &(String, Timestamp)| Some((trust.open(&log, note).ok()?, *at));
        let dated: Vec<(Checkpoint, Timestamp)> = notes.iter().filter_map(opened).collect();
        let backdated = backdated(&dated);
        let checkpoints: Vec<Checkpoint> = dated.into_iter().map(|(checkpoint, _)| checkpoint).collect();
        let mut stored = Stored {
            unsigned: checkpoints.is_empty(),
            backdated,
            is_cut: checkpoints.first().is_some_and(|newest| newest.size > tiles.len() as u64),
            edited_tile: None,
            edited_root,
            rewritten: None,
            edited_end: false,
            first_offset,
            retired: retired_chunks(connection, &log, trust).await?,
            leaves: Vec::new(),
        };
        let columns = leaf_column(connection, &log).await?;
        let kept = others.get(&log);
        choose(&mut stored, tiles, kept.into_iter().chain([&columns]), &checkpoints);
        let root = Hash::list(&frontier).map(|roots| audit_log::proof::join(&roots));
        let is_end = natural(size)? == stored.leaves.len() as u64
            && root == root_of(&stored.leaves, natural(size)?)
            && stored.leaves.last().map(|leaf| leaf.0.as_slice()) == Some(last_leaf.as_slice());
        stored.edited_end = !is_end && !stored.is_cut;
        logs.insert(log, stored);
    }
    Ok(logs)
}

/// The size of the first of these checkpoints, the largest of which comes first, that has another time than
/// it was signed with, or an earlier one than a smaller checkpoint.
fn backdated(dated: &[(Checkpoint, Timestamp)]) -> Option<u64> {
    let mut latest = 0;
    dated.iter().rev().find_map(|(checkpoint, stored_at)| {
        let signed_at = checkpoint.time()?;
        let is_stored = u64::try_from(stored_at.timestamp()) == Ok(signed_at);
        let is_in_order = signed_at >= latest;
        latest = latest.max(signed_at);
        (!is_stored || !is_in_order).then_some(checkpoint.size)
    })
}

/// Chooses the leaves that the newest checkpoint covers: those of the tiles, or a set from `others`.
fn choose<'a>(
    stored: &mut Stored,
    tiles: Vec<Hash>,
    others: impl Iterator<Item = &'a Vec<Hash>>,
    checkpoints: &[Checkpoint],
) {
    let mut others = others;
    let trusted = checkpoints
        .first()
        .filter(|newest| !is_of(&tiles, newest))
        .and_then(|newest| others.find(|leaves| is_of(leaves, newest)).map(|leaves| (leaves, newest.size)));
    if let Some((trusted, covered)) = trusted {
        let covered = usize::try_from(covered).unwrap_or(usize::MAX);
        let differs = trusted.iter().zip(&tiles).position(|(trusted, own)| trusted != own);
        let differs = differs.or((tiles.len() < covered).then_some(tiles.len()));
        stored.edited_tile = differs.map(|index| index as u64);
        stored.is_cut = false;
        // What lies behind the checkpoint is as the tiles have it.
        let behind = tiles.get(covered..).unwrap_or_default();
        stored.leaves = trusted[..covered].iter().chain(behind).copied().collect();
        return;
    }
    let mut within = checkpoints.iter().filter(|own| own.size <= tiles.len() as u64);
    if within.next().is_some_and(|newest| !is_of(&tiles, newest)) {
        stored.rewritten = Some(within.find(|own| is_of(&tiles, own)).map_or(0, |holding| holding.size));
    }
    stored.leaves = tiles;
}

/// The leaves of a log out of its tiles, as far as they follow one another.
async fn stored_leaves(connection: &mut PgConnection, log: &str) -> Result<Vec<Hash>, VerifyError> {
    let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(
        "(SELECT index * 256, hashes FROM audit_tile WHERE log = $1 AND level = 0 ORDER BY index)
         UNION ALL
         (SELECT first_index, hashes FROM audit_tile_part WHERE log = $1 ORDER BY first_index)",
    )
    .bind(log)
    .fetch(&mut *connection);
    let mut leaves: Vec<Hash> = Vec::new();
    while let Some((first, bytes)) = rows.try_next().await? {
        let hashes = Hash::list(&bytes).unwrap_or_default();
        if natural(first)? != leaves.len() as u64 || hashes.is_empty() {
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
    let rows: Vec<(i64, Vec<u8>, String)> =
        sqlx::query_as("SELECT chunk, indices, note FROM audit_retired WHERE log = $1 ORDER BY chunk")
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
        "SELECT log_index, leaf_hash FROM audit_entry
          WHERE topic = $1 AND partition = $2 AND log_index IS NOT NULL ORDER BY log_index",
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

/// The columns that the check looks at, in the order in which [`Row::read`] takes them.
const ENTRIES: &str = "COPY (
    SELECT e.topic, e.partition, e.record_offset, e.log_index, e.leaf_hash, e.personal_digest, k.key,
           e.record_dictionary, e.record, e.occurred_at, e.event_id, e.class_uid, e.activity_id, e.severity_id,
           e.tenant_id, e.kind, e.actor_kind, e.actor, e.actor_name, e.actor_ip, e.action, e.resource_type,
           e.resource, e.project, e.outcome, e.outcome_code, e.source, e.correlation_id
      FROM audit_entry AS e LEFT JOIN subject_key AS k ON k.tenant_id = e.tenant_id AND k.actor = weir_subject_name(e.actor)
  ) TO STDOUT (FORMAT binary)";

/// The logs that tiles, checkpoints and retired entries belong to: one whose own row is gone is named there still.
async fn named_beside(connection: &mut PgConnection) -> Result<Vec<String>, VerifyError> {
    let logs = sqlx::query_scalar(
        "SELECT log FROM audit_checkpoint UNION SELECT log FROM audit_tile UNION SELECT log FROM audit_tile_part
          UNION SELECT log FROM audit_retired",
    )
    .fetch_all(connection)
    .await?;
    Ok(logs)
}

/// Checks all entries; returns the logs of those that no check is of.
async fn read_entries(
    connection: &mut PgConnection,
    checks: &mut BTreeMap<&str, Check<'_>>,
) -> Result<BTreeSet<String>, VerifyError> {
    let mut unknown = BTreeSet::new();
    let mut stream = connection.copy_out_raw(ENTRIES).await?;
    let mut reader = Reader::default();
    let mut splitter = Splitter::default();
    let mut log = String::new();
    while let Some(chunk) = stream.try_next().await? {
        reader.push(&chunk);
        while let Some(row) = reader.next().map_err(|Malformed| VerifyError::Format)? {
            let row = Row::read(row).map_err(|Malformed| VerifyError::Format)?;
            log.clear();
            log.push_str(row.topic);
            log.push('/');
            log.push_str(&row.partition.to_string());
            if let Some(check) = checks.get_mut(log.as_str()) {
                check.observe(&row, &mut splitter)?;
            } else if row.log_index.is_some() && !unknown.contains(&log) {
                unknown.insert(log.clone());
            }
        }
    }
    Ok(unknown)
}

/// One row, borrowed from what was read.
struct Row<'a> {
    topic: &'a str,
    partition: i32,
    record_offset: i64,
    log_index: Option<i64>,
    leaf_hash: Option<&'a [u8]>,
    personal_digest: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    record_dictionary: i16,
    record: &'a [u8],
    columns: Columns,
}

impl<'a> Row<'a> {
    fn read(mut row: RowReader<'a>) -> Result<Self, Malformed> {
        let topic = row.text()?;
        let (partition, record_offset, log_index) = (row.integer()?, row.bigint()?, row.optional_bigint()?);
        let (leaf_hash, personal_digest, key) = (row.optional()?, row.optional()?, row.optional()?);
        let (record_dictionary, record) = (row.smallint()?, row.bytes()?);
        let columns = read_columns(topic, &mut row)?;
        Ok(Self {
            topic,
            partition,
            record_offset,
            log_index,
            leaf_hash,
            personal_digest,
            key,
            record_dictionary,
            record,
            columns,
        })
    }

    fn leaf(&self, record: &[u8], splitter: &mut Splitter) -> Option<Hash> {
        let personal = personal_of(self.personal_digest, self.key, &self.columns.event_id)?;
        leaf_of(splitter, record, &personal).ok()
    }

    /// Whether the columns are those of the record; of an erased one, those of what is left of it.
    fn agrees(&self, record: &[u8]) -> bool {
        match Columns::of(record) {
            Ok(columns) => columns == self.columns,
            Err(_) => self.personal_digest.is_some(),
        }
    }
}

fn read_columns(topic: &str, row: &mut RowReader<'_>) -> Result<Columns, Malformed> {
    let text = |row: &mut RowReader<'_>| row.text().map(ToOwned::to_owned);
    let optional = |row: &mut RowReader<'_>| Ok(row.optional_text()?.map(ToOwned::to_owned));
    Ok(Columns {
        topic: topic.to_owned(),
        occurred_at: row.timestamptz()?,
        event_id: Uuid::from_slice(row.bytes()?).map_err(|_| Malformed)?,
        class_uid: row.integer()?,
        activity_id: row.integer()?,
        severity_id: row.integer()?,
        tenant_id: text(row)?,
        kind: text(row)?,
        actor_kind: text(row)?,
        actor: text(row)?,
        actor_name: optional(row)?,
        actor_ip: optional(row)?,
        action: text(row)?,
        resource_type: optional(row)?,
        resource: optional(row)?,
        project: optional(row)?,
        outcome: text(row)?,
        outcome_code: optional(row)?,
        source: text(row)?,
        correlation_id: optional(row)?,
    })
}

impl Check<'_> {
    fn observe(&mut self, row: &Row<'_>, splitter: &mut Splitter) -> Result<(), VerifyError> {
        let Some(index) = row.log_index else {
            if row.record_offset >= self.stored.first_offset {
                // Nobody knows which entry it would follow: it is named as one behind all.
                self.stray = Some(self.stored.leaves.len() as u64);
            }
            return Ok(());
        };
        let index = u64::try_from(index).map_err(|_| undecodable("an index is negative"))?;
        let record = compress::decompress(row.record_dictionary, row.record).ok();
        let leaf = record.as_deref().and_then(|record| row.leaf(record, splitter));
        let states_it = leaf.is_some_and(|leaf| row.leaf_hash == Some(leaf.0.as_slice()));
        let agrees = states_it && record.as_deref().is_some_and(|record| row.agrees(record));
        self.entries.observe(index, Observed { leaf, agrees });
        Ok(())
    }
}
