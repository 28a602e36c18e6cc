//! The audit table without its log: the yardstick that `weir bench log` measures the log by. No stage of a
//! pipeline has it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    copies::{Copies, Place, encode},
    partitions::Partitions,
    terms::Terms,
    write::{AuditFact, stored_content},
};
use crate::{
    compress::{CompressError, Compressor},
    postgres::copy::CopyRows,
    read_models::{Fact, ReadModel, WritePath, audit_entry::AuditEntries},
};
use schemas::changes::AuditEntry;

/// Audit rows with their records, terms and partitions, that are part of no log.
pub struct UnloggedEntries {
    compressor: Compressor,
    record: Vec<u8>,
    copies: Copies,
    partitions: Partitions,
    terms: Terms,
}

impl UnloggedEntries {
    /// Fails only if zstd cannot be set up.
    pub fn new() -> Result<Self, CompressError> {
        Ok(Self {
            compressor: Compressor::new()?,
            record: Vec::new(),
            copies: Copies::default(),
            partitions: Partitions::default(),
            terms: Terms::default(),
        })
    }
}

impl ReadModel for UnloggedEntries {
    type Change = AuditEntry;
    type Key<'a> = (&'a str, Uuid);

    const TABLE: &'static str = "audit_entry";

    fn key(entry: &AuditEntry) -> Self::Key<'_> {
        AuditEntries::key(entry)
    }

    fn content_sha256(entry: &AuditEntry) -> [u8; 32] {
        AuditEntries::content_sha256(entry)
    }

    async fn prepare(&mut self, connection: &mut PgConnection, facts: &[AuditFact<'_>]) -> sqlx::Result<()> {
        let instants = facts.iter().map(|fact| fact.change.occurred_at);
        let now = (std::time::Instant::now(), chrono::Utc::now().date_naive());
        self.partitions.make(connection, instants, now).await?;
        self.terms.learn(connection, facts).await
    }

    async fn stored_content(
        &mut self,
        tx: &mut PgConnection,
        facts: &[AuditFact<'_>],
    ) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
        stored_content(tx, facts).await
    }

    async fn write(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Fact<'_, AuditEntry>],
        _path: WritePath,
    ) -> sqlx::Result<()> {
        let (record, compressor) = (&mut self.record, &mut self.compressor);
        let encode = |position: usize, rows: &mut CopyRows| {
            let fact = &facts[position];
            record.clear();
            fact.change.record.write(record);
            let frame = compressor.compress_bytes(record);
            let frame = frame.map_err(|error| sqlx::Error::Encode(error.into()))?;
            encode(rows, fact, frame, Place::default());
            Ok(())
        };
        self.copies.copy(tx, facts, encode).await
    }

    fn forget(&mut self) {
        self.terms = Terms::default();
    }
}
