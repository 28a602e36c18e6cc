//! Writing risk: the facts, and in the same transaction what follows from them.

use std::collections::BTreeSet;

use schemas::changes::RiskChange;
use sqlx::PgConnection;

use super::{
    correlation::{self, first_seen, known::Known},
    exposure_cache::ExposureCache,
    facts, fold,
    rules::Rules,
};
use crate::{
    outbox::Outgoing,
    postgres::copy::CopyRows,
    read_models::{Fact, ReadModel, WritePath},
};

/// The read model of risk: signals and decisions, each once.
#[derive(Debug, Default)]
pub struct RiskSignals {
    rules: Rules,
    known: Known,
    exposures: ExposureCache,
    /// Signals on their way to the table.
    copied: CopyRows,
    /// Places of those facts of the last write that retention had removed.
    retired: BTreeSet<usize>,
}

impl RiskSignals {
    /// The model; everything lies in the database.
    pub fn new() -> Self {
        Self::default()
    }

    /// The facts that count.
    fn counted<'a>(&self, facts: &[Fact<'a, RiskChange>]) -> Vec<Fact<'a, RiskChange>> {
        let counted = facts.iter().enumerate().filter(|(place, _)| !self.retired.contains(place));
        counted.map(|(_, fact)| *fact).collect()
    }
}

impl ReadModel for RiskSignals {
    type Change = RiskChange;
    type Key<'a> = facts::FactKey<'a>;

    const TABLE: &'static str = "risk_signal";
    const JOINED: &'static [&'static str] = &[
        "entity_risk",
        "incident",
        "risk_correlation_event",
        "risk_correlation_group",
        "risk_exposure",
        "risk_first_seen",
        "risk_first_seen_group",
        "risk_signal",
        "risk_triage",
        "risk_weight",
    ];

    fn key(change: &RiskChange) -> Self::Key<'_> {
        facts::key(change)
    }

    fn content_sha256(change: &RiskChange) -> [u8; 32] {
        facts::content_sha256(change)
    }

    async fn prepare(
        &mut self,
        connection: &mut PgConnection,
        facts: &[Fact<'_, RiskChange>],
    ) -> sqlx::Result<()> {
        self.rules.store(connection, facts).await
    }

    async fn stored_content(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Fact<'_, RiskChange>],
    ) -> sqlx::Result<Vec<Option<[u8; 32]>>> {
        facts::stored_content(tx, facts).await
    }

    async fn write(
        &mut self,
        tx: &mut PgConnection,
        facts: &[Fact<'_, RiskChange>],
        path: WritePath,
    ) -> sqlx::Result<()> {
        self.retired = facts::retired(tx, facts).await?;
        let counted = self.counted(facts);
        facts::write(tx, &counted, path, &mut self.copied).await
    }

    async fn fold(
        &mut self,
        tx: &mut PgConnection,
        new: &[Fact<'_, RiskChange>],
    ) -> sqlx::Result<Vec<Outgoing>> {
        let new = self.counted(new);
        let correlated = correlation::complete(tx, &mut self.rules, &new).await?;
        let seen = first_seen::complete(tx, (&mut self.rules, &mut self.known), &new).await?;
        let correlated = correlated.and(seen);
        fold::fold(tx, &mut self.rules, &mut self.exposures, &new, &correlated).await
    }

    fn committed(&mut self) {
        self.known.commit();
        self.exposures.commit();
    }

    fn forget(&mut self) {
        self.known.roll_back();
        self.exposures.clear();
    }
}
