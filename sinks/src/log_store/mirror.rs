//! Copies of one log's tiles, for others to keep.

use audit_log::tile::Tile;
use sqlx::PgConnection;

use super::{StoreError, connect, logs, newest_checkpoint};

/// A log as it stood when it was looked up, and a connection to read its tiles with.
#[derive(Debug)]
pub struct Mirror {
    connection: PgConnection,
    log: String,
    size: u64,
    checkpoint: Option<String>,
}

impl Mirror {
    /// All logs of a database.
    pub async fn read(database_url: &str) -> Result<Vec<Self>, StoreError> {
        let mut connection = connect(database_url).await?;
        let mut mirrors = Vec::new();
        for log in logs(&mut connection).await? {
            let checkpoint = newest_checkpoint(&mut connection, &log.log).await?;
            let connection = connect(database_url).await?;
            mirrors.push(Self { connection, log: log.log, size: log.size, checkpoint });
        }
        Ok(mirrors)
    }

    /// `<topic>/<partition>`.
    pub fn name(&self) -> &str {
        &self.log
    }

    /// Entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The newest checkpoint, if one is signed.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// The hashes of a tile.
    pub async fn tile(&mut self, tile: Tile) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(super::tile(&mut self.connection, &self.log, tile).await?)
    }
}
