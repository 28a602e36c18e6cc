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
        correlation::{Shown, Sightings},
        risk::{RiskChange, STAGE, UnusableEvent},
    },
};

pub use self::native::is_undecided;
pub use self::{rule_set::RuleSet, signals::signals};
use self::{
    sigma::SigmaEngine,
    signals::{Found, Wanted},
};
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

    fn process(&self, envelope: &Envelope) -> Vec<RiskChange> {
        let engine = self.rules.current();
        let mut changes: Vec<RiskChange> = match signals::found(&engine, envelope, Wanted::Shown) {
            Ok(Found { signals, parts, shown, .. }) => {
                let signals = signals.into_iter().map(|signal| RiskChange::Signal(Box::new(signal)));
                let parts = parts.into_iter().map(|part| RiskChange::Part(Box::new(part)));
                signals.chain(parts).chain(sightings(engine, envelope, shown)).collect()
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

/// The values that an event shows. If one is new, the event is evaluated again, by the same rules, for the evidence.
fn sightings(engine: Arc<SigmaEngine>, envelope: &Envelope, shown: Vec<Shown>) -> Option<RiskChange> {
    if shown.is_empty() {
        return None;
    }
    let event = envelope.clone();
    let make = move || {
        let found = signals::found(&engine, &event, Wanted::Sightings);
        found.expect("the record was read before").sightings
    };
    let sightings = Sightings::new(envelope.tenant.clone(), envelope.id, envelope.occurred_at, shown, make);
    Some(RiskChange::Sightings(Box::new(sightings)))
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
