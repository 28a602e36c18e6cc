//! Events that a backtest reads: those of a period, of one tenant or of all.

use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Args;
use schemas::{Envelope, TenantId, Timestamp, Topic};
use tokio::runtime::Handle;
use topology::runtime::offline::history::{Counts, History};

use crate::{output::Format, place::Place, settings::kafka_security};

/// Arguments that every backtest takes.
#[derive(Debug, Args)]
pub(super) struct PastArgs {
    /// From when events count, RFC 3339.
    #[arg(long)]
    pub(super) from: Timestamp,
    /// Before when they count.
    #[arg(long)]
    pub(super) to: Timestamp,
    /// Only events of this tenant; all tenants' by default.
    #[arg(long)]
    tenant: Option<String>,
    /// Maximum examples of each difference.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(super) examples: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
}

/// A period, and the tenant if it is one tenant's.
pub(super) struct Past {
    during: (Timestamp, Timestamp),
    tenant: Option<TenantId>,
}

impl PastArgs {
    /// Checks the period and the tenant's name.
    pub(super) fn checked(&self) -> anyhow::Result<Past> {
        ensure!(self.from < self.to, "--from must lie before --to");
        let tenant = self.tenant.as_deref().map(TenantId::new).transpose()?;
        Ok(Past { during: (self.from, self.to), tenant })
    }
}

impl Past {
    /// Shows `judge` the events of each topic in turn, until `see` fails.
    pub(super) async fn read<J: Send + 'static>(
        self,
        place: &Place,
        topics: &[Topic],
        mut judge: J,
        see: fn(&mut J, &Envelope) -> anyhow::Result<()>,
    ) -> anyhow::Result<(Counts, J)> {
        let history = History {
            bootstrap: place.endpoints.kafka.clone(),
            extra: kafka_security(),
            registry: place.registry()?.map(Arc::new),
        };
        let (runtime, Self { during, tenant }) = (Handle::current(), self);
        let topics = topics.to_vec();
        let reading = tokio::task::spawn_blocking(move || -> anyhow::Result<(Counts, J)> {
            let (mut all, mut failed) = (Counts::default(), None);
            for topic in topics {
                let shown = |event: Envelope| {
                    if tenant.as_ref().is_none_or(|tenant| *tenant == event.tenant) && failed.is_none() {
                        failed = see(&mut judge, &event).err();
                    }
                };
                let counts = history.read(&runtime, topic, during, shown)?;
                all.records += counts.records;
                all.events += counts.events;
                all.undecodable += counts.undecodable;
            }
            failed.map_or(Ok((all, judge)), Err)
        });
        reading.await.context("reading the past panicked")?
    }
}
