//! Risk: signals of detection rules, and decisions about risk.
//!
//! Sigma rules are evaluated on an event's native record. Each hit becomes one signal for every entity
//! involved; decisions (criticality, watchlists, triage) become facts beside them. Scores, incidents and
//! everything that changes with time follow from the set of these facts, and are computed where the facts are
//! stored.

mod decisions;
mod entities;
mod native;
mod rule_set;
pub mod rules;
pub mod sigma;
mod signals;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use schemas::{
    Envelope, Event,
    changes::{
        correlation::Sightings,
        risk::{RiskChange, STAGE, UnusableEvent},
    },
};

pub use self::native::is_undecided;
use self::signals::Found;
pub use self::{rule_set::RuleSet, signals::signals};
use crate::Processor;

/// Turns an event into signals of the rules that fire on it, and a decision into a fact.
///
/// A native record that rules should read and cannot is a fact as well: [`RiskChange::Unusable`].
#[derive(Debug, Clone)]
pub struct Risk {
    rules: RuleSet,
}

impl Risk {
    /// A processor with these rules, which may be replaced while it runs.
    pub fn new(rules: RuleSet) -> Self {
        Self { rules }
    }
}

impl Processor for Risk {
    type Input = Envelope;
    type Change = RiskChange;
    const NAME: &'static str = STAGE;

    fn rule_set(&self) -> Option<Arc<str>> {
        Some(self.rules.hash())
    }

    fn process(&self, envelope: &Envelope) -> Vec<RiskChange> {
        self.process_kept(envelope, || {
            let kept = envelope.clone();
            move || kept
        })
    }

    fn process_kept<K>(&self, envelope: &Envelope, keep: impl FnOnce() -> K) -> Vec<RiskChange>
    where
        K: FnOnce() -> Envelope + Send + 'static,
    {
        let engine = self.rules.current();
        let mut changes: Vec<RiskChange> = match signals::found(&engine, envelope) {
            Ok(Found { signals, parts, shown, sighted }) => {
                let signals = signals.into_iter().map(|signal| RiskChange::Signal(Box::new(signal)));
                let parts = parts.into_iter().map(|part| RiskChange::Part(Box::new(part)));
                // An event of which every value is known already is not read again.
                let sightings = (!shown.is_empty()).then(|| {
                    let again = keep();
                    let make = move || sighted.parts(&engine, &again());
                    let (tenant, at) = (envelope.tenant.clone(), envelope.occurred_at);
                    RiskChange::Sightings(Box::new(Sightings::new(tenant, envelope.id, at, shown, make)))
                });
                signals.chain(parts).chain(sightings).collect()
            }
            Err(error) => {
                let format = envelope.native.as_ref().map_or("", |native| native.format.as_str());
                vec![unusable(envelope, format, error.to_string())]
            }
        };
        if let Event::Governance(event) = &envelope.event {
            match decisions::decision(envelope, event) {
                Ok(decided) => changes.extend(decided),
                Err(reason) => changes.push(unusable(envelope, event.kind.name(), reason)),
            }
        }
        changes
    }
}

fn unusable(envelope: &Envelope, format: &str, reason: String) -> RiskChange {
    RiskChange::Unusable(Box::new(UnusableEvent {
        tenant: envelope.tenant.clone(),
        event_id: envelope.id,
        occurred_at: envelope.occurred_at,
        source: envelope.source.as_str().to_owned(),
        format: format.to_owned(),
        reason,
        content_sha256: envelope.content_sha256(),
    }))
}
