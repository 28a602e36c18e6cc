//! Resources as events leave them, judged by two sets of policies.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::ensure;
use policies::InForce;
use processors::{Processor as _, compliance::Compliance};
use schemas::{
    Envelope, EventId, TenantId, Timestamp,
    changes::{
        ComplianceChange,
        compliance::{Observation, PolicyVersion, Presence, VerdictFact, VerdictStatus},
    },
};
use serde::Serialize;

/// Most states of resources that are held: about 1 GB.
const MAX_STATES: usize = 500_000;

/// Verdicts of one policy in both sets of policies.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) policy_id: String,
    title: String,
    pub(super) severity: &'static str,
    pub(super) candidate: Tally,
    pub(super) present: Tally,
    /// Resources that fail with the candidate only.
    pub(super) added: usize,
    /// Resources that fail with the present set only.
    pub(super) removed: usize,
    pub(super) examples_added: Vec<String>,
    pub(super) examples_removed: Vec<String>,
}

impl Difference {
    /// Whether it fails anything.
    pub(super) fn is_of_note(&self) -> bool {
        self.candidate.fail + self.present.fail > 0
    }
}

/// Resources by their verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Tally {
    pub(super) pass: usize,
    pub(super) fail: usize,
    pub(super) not_evaluated: usize,
    pub(super) error: usize,
}

impl Tally {
    fn add(&mut self, status: VerdictStatus) {
        *match status {
            VerdictStatus::Pass => &mut self.pass,
            VerdictStatus::Fail => &mut self.fail,
            VerdictStatus::NotEvaluated => &mut self.not_evaluated,
            VerdictStatus::Error => &mut self.error,
        } += 1;
    }
}

/// A resource, within its tenant.
type Key = (TenantId, String);
/// Where a state stands among others: the later holds, of two at one instant that of the larger event.
type Order = (Timestamp, EventId);

/// State of a resource after an event: both sets' verdicts, or nothing where it is gone.
#[derive(Debug, Clone)]
struct State {
    order: Order,
    verdicts: Option<[Vec<VerdictFact>; 2]>,
}

/// The states of resources, so far.
pub(super) struct Judged {
    /// The candidates, then the present policies.
    sets: [Compliance; 2],
    states: HashMap<Key, State>,
    /// Resources of plans by their change: they count once it is applied.
    planned: HashMap<(TenantId, String), Vec<(String, State)>>,
    /// Instants at which changes were applied.
    applied: HashMap<(TenantId, String), BTreeSet<Timestamp>>,
    held: usize,
}

impl Judged {
    pub(super) fn new(candidate: InForce, present: InForce) -> Self {
        Self {
            sets: [candidate, present].map(Compliance::new),
            states: HashMap::new(),
            planned: HashMap::new(),
            applied: HashMap::new(),
            held: 0,
        }
    }

    /// Judges the resources that an event shows.
    pub(super) fn see(&mut self, event: &Envelope) -> anyhow::Result<()> {
        let [candidate, present] = [0, 1].map(|set: usize| self.sets[set].process(event));
        for pair in candidate.into_iter().zip(present) {
            match pair {
                (ComplianceChange::Observation(candidate), ComplianceChange::Observation(present)) => {
                    self.observe(*candidate, *present);
                }
                (ComplianceChange::Applied(change), _) => {
                    let key = (change.tenant, change.change_id);
                    self.applied.entry(key).or_default().insert(change.applied_at);
                }
                _ => {}
            }
        }
        ensure!(
            self.held <= MAX_STATES,
            "more than {MAX_STATES} resources were seen in that time; choose a shorter one, or one --tenant"
        );
        Ok(())
    }

    /// The sets see the same resources of an event in the same order.
    fn observe(&mut self, candidate: Observation, present: Observation) {
        assert_eq!(candidate.resource, present.resource, "what an event shows is not for policies to say");
        if candidate.fault.is_some() {
            // The resource keeps the state that it had.
            return;
        }
        let exists = candidate.presence == Presence::Present;
        let state = State {
            order: (candidate.observed_at, candidate.event_id),
            verdicts: exists.then_some([candidate.verdicts, present.verdicts]),
        };
        self.held += 1;
        if let Some(change) = candidate.change_id {
            self.planned.entry((candidate.tenant, change)).or_default().push((candidate.resource, state));
        } else {
            self.held -=
                usize::from(keep_later(&mut self.states, (candidate.tenant, candidate.resource), state));
        }
    }

    /// Number of resources in the end, and each policy's verdicts about them.
    pub(super) fn differences(mut self, examples: usize) -> (usize, Vec<Difference>) {
        for ((tenant, change), planned) in std::mem::take(&mut self.planned) {
            for applied in self.applied.remove(&(tenant.clone(), change)).unwrap_or_default() {
                // Of several plans of one change the last before each completion counts.
                let last =
                    planned.iter().map(|(_, state)| state.order).filter(|(at, _)| *at <= applied).max();
                for (resource, state) in planned.iter().filter(|(_, state)| Some(state.order) == last) {
                    let state = State { order: (applied, state.order.1), ..state.clone() };
                    keep_later(&mut self.states, (tenant.clone(), resource.clone()), state);
                }
            }
        }
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        let mut resources = 0;
        for (key, state) in self.states {
            let Some(verdicts) = state.verdicts else { continue };
            resources += 1;
            for (set, verdicts) in verdicts.into_iter().enumerate() {
                for verdict in verdicts {
                    let found = found.entry(verdict.policy.id.clone()).or_default();
                    found.tallies[set].add(verdict.status);
                    if verdict.status == VerdictStatus::Fail {
                        found.failing[set].insert(key.clone());
                    }
                    found.policy = Some(verdict.policy);
                }
            }
        }
        let differences =
            found.into_iter().filter_map(|(id, found)| found.difference(id, examples)).collect();
        (resources, differences)
    }
}

/// Keeps the later of two states; answers whether one of them was given up.
fn keep_later(states: &mut HashMap<Key, State>, key: Key, state: State) -> bool {
    let Some(known) = states.get_mut(&key) else {
        states.insert(key, state);
        return false;
    };
    if known.order < state.order {
        *known = state;
    }
    true
}

/// Verdicts of both sets by one policy.
#[derive(Default)]
struct Found {
    policy: Option<std::sync::Arc<PolicyVersion>>,
    tallies: [Tally; 2],
    failing: [BTreeSet<Key>; 2],
}

impl Found {
    fn difference(self, policy_id: String, examples: usize) -> Option<Difference> {
        let [candidate, present] = &self.failing;
        let added: Vec<&Key> = candidate.difference(present).collect();
        let removed: Vec<&Key> = present.difference(candidate).collect();
        let first =
            |failing: &[&Key]| failing.iter().take(examples).map(|(_, resource)| resource.clone()).collect();
        let policy = self.policy?;
        let [candidate, present] = self.tallies;
        Some(Difference {
            policy_id,
            title: policy.title.clone(),
            severity: policy.severity.name(),
            candidate,
            present,
            added: added.len(),
            removed: removed.len(),
            examples_added: first(&added),
            examples_removed: first(&removed),
        })
    }
}

#[cfg(test)]
mod tests {
    use policies::{Config, PolicySet};
    use schemas::{
        Event, Source,
        envelope::{Native, native_format},
        events::{Infrastructure, InfrastructureKind, Outcome, Resource},
    };
    use serde_json::{Value, json};

    use super::*;

    fn set(rule: &str) -> InForce {
        let text = format!(
            "# METADATA\n# title: T\n# custom:\n#   id: p\n#   severity: high\n#   resource_types: [t]\npackage p\n\n{rule}\n"
        );
        let set = PolicySet::load([("p.rego", text.as_str())], Config::default());
        assert_eq!(set.faults(), []);
        InForce::new(set)
    }

    fn event(n: u64, kind: InfrastructureKind, id: &str, configuration: Option<&Value>) -> Envelope {
        Envelope {
            id: EventId::new(uuid::Uuid::from_u128(u128::from(n) + 1)).expect("not nil"),
            original_id: None,
            tenant: TenantId::new("acme").expect("a plain name"),
            source: Source::new("/test").expect("valid"),
            subject: None,
            occurred_at: Timestamp::from_timestamp(1_800_000_000 + i64::try_from(n).expect("small"), 0)
                .expect("a time"),
            skewed: false,
            time_assumed: false,
            correlation_id: None,
            causation_id: None,
            trace: None,
            event: Event::Infrastructure(Infrastructure {
                kind,
                resource: Resource { kind: Some("t".into()), id: id.into(), ..Resource::default() },
                actor: None,
                outcome: Outcome::default(),
                change_id: None,
                quantity: None,
                unit: None,
                configuration: configuration.map(Value::to_string),
            }),
            native: None,
        }
    }

    #[test]
    fn policies_are_compared_by_the_state_that_resources_are_left_in() {
        let candidate = set("deny contains \"small\" if input.config.size < 10");
        let present = set("deny contains \"open\" if input.config.open");
        let mut judged = Judged::new(candidate, present);
        let observed = |n, id, size: u64, open: bool| {
            event(
                n,
                InfrastructureKind::ConfigurationObserved,
                id,
                Some(&json!({"size": size, "open": open})),
            )
        };
        let events = [
            observed(1, "a", 50, true),
            observed(2, "b", 5, false),
            observed(4, "c", 5, true),
            observed(3, "c", 50, false),
            observed(5, "d", 5, true),
            event(6, InfrastructureKind::Deleted, "d", None),
        ];
        for event in &events {
            judged.see(event).expect("few resources");
        }
        let (resources, differences) = judged.differences(5);
        assert_eq!((resources, differences.len()), (3, 1));
        let of_p = &differences[0];
        assert_eq!((of_p.candidate.fail, of_p.present.fail), (2, 2));
        assert_eq!((of_p.candidate.pass, of_p.present.pass), (1, 1));
        assert_eq!(
            (&of_p.examples_added[..], &of_p.examples_removed[..]),
            (&["b".to_owned()][..], &["a".to_owned()][..])
        );
        assert_eq!((of_p.policy_id.as_str(), of_p.severity), ("p", "high"));
    }

    /// A change that failed, was planned anew and completed, completes with its second plan.
    #[test]
    fn a_change_counts_as_it_was_planned_before_each_completion() {
        let candidate = set("deny contains \"small\" if input.config.size < 10");
        let present = set("deny contains \"open\" if input.config.open");
        let mut judged = Judged::new(candidate, present);
        let of_change = |n, kind, size: Option<u64>| {
            let plan = size.map(|size| {
                json!({
                    "format_version": "1.2",
                    "resource_changes": [{
                        "address": "t.a", "mode": "managed", "type": "t", "name": "a",
                        "change": {"actions": ["create"], "before": null, "after": {"size": size},
                                   "after_unknown": {}}
                    }]
                })
            });
            let mut event = event(n, kind, "workspace", None);
            event.native = plan.map(|plan| Native {
                format: native_format::TERRAFORM_PLAN.into(),
                record: plan.to_string().into(),
            });
            if let Event::Infrastructure(infrastructure) = &mut event.event {
                infrastructure.change_id = Some("c".to_owned());
            }
            event
        };
        for event in [
            of_change(1, InfrastructureKind::ChangeProposed, Some(5)),
            of_change(2, InfrastructureKind::Completed, None),
            of_change(3, InfrastructureKind::ChangeProposed, Some(50)),
            of_change(4, InfrastructureKind::Completed, None),
        ] {
            judged.see(&event).expect("few resources");
        }
        let (resources, differences) = judged.differences(5);
        let failing: Vec<usize> = differences.iter().map(|one| one.candidate.fail).collect();
        assert_eq!((resources, failing), (1, vec![0]), "the second plan passes both sets");
    }
}
