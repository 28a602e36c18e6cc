//! Copies of the logs' tiles, for others to keep.

use audit_log::tile::Tile;
use schemas::Topic;
use sqlx::PgConnection;

use super::{StoreError, connect, natural, undecodable};

/// A log as it stood in one snapshot: its newest checkpoint is of no more entries than it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredLog {
    /// `<topic>/<partition>`, which is a path as well.
    pub log: String,
    /// Entries.
    pub size: u64,
    /// The newest checkpoint, if one is signed.
    pub checkpoint: Option<String>,
}

/// A connection to read logs and their tiles with.
#[derive(Debug)]
pub struct Mirror {
    connection: PgConnection,
}

impl Mirror {
    /// Connects to a database.
    pub async fn connect(database_url: &str) -> Result<Self, StoreError> {
        Ok(Self { connection: connect(database_url).await? })
    }

    /// All logs. Their tiles may be read afterwards: what a tile holds at a size never changes.
    pub async fn logs(&mut self) -> Result<Vec<MirroredLog>, StoreError> {
        type Row = (String, String, i32, i64, Option<String>);
        // One statement, one snapshot.
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT l.log, l.topic, l.partition, l.size, c.note
               FROM audit_log AS l
               LEFT JOIN LATERAL (SELECT note FROM audit_checkpoint AS c WHERE c.log = l.log
                                   ORDER BY c.size DESC LIMIT 1) AS c ON true
              ORDER BY l.topic, l.partition",
        )
        .fetch_all(&mut self.connection)
        .await?;
        rows.into_iter()
            .map(|(log, topic, partition, size, checkpoint)| {
                // It becomes a path: nobody who writes the table may choose where.
                if Topic::from_name(&topic).is_none() || log != format!("{topic}/{partition}") {
                    return Err(StoreError::from(undecodable(
                        "a log of an unknown topic or of another name",
                    )));
                }
                Ok(MirroredLog { log, size: natural(size)?, checkpoint })
            })
            .collect()
    }

    /// The hashes of a tile of a log; `None` if the log has not that many.
    pub async fn tile(&mut self, log: &str, tile: Tile) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(super::tile(&mut self.connection, log, tile).await?)
    }
}
