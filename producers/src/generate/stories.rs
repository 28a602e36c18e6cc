//! Sequences of related events: deployments, alerts and their resolution, incidents.

use std::{cmp::Reverse, collections::BinaryHeap};

use schemas::{
    Envelope, EventId, Timestamp,
    events::{DeliveryKind, GovernanceKind, InfrastructureKind, MonitoringKind},
};

use super::{
    calls::INTRUSION,
    clock::Clock,
    cloudtrail::{self, Answer, SignIn},
    dice::Dice,
    families::{self, Happening},
    organisation::Organisation,
};

/// Maximum number of pending steps; while there are so many, no new story begins.
const MAX_WAITING: usize = 4_096;
/// Maximum number of other events between two steps, however slow the generated time.
const MOST_EVENTS_BETWEEN: u64 = 400;

/// One step of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Delivery(DeliveryKind, &'static str),
    Infrastructure(InfrastructureKind),
    Monitoring(MonitoringKind),
    Governance(GovernanceKind, Option<&'static str>),
    /// A charge, multiplied by this factor.
    Charge(u32),
    /// A failed sign-in from an unknown address.
    Guess,
    /// The successful sign-in after the guesses.
    Break,
    /// A call of the intrusion, by index; the first ones are denied.
    Intrude(usize, u8),
}

/// A pending step: its time, organisation, project or person, and story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: Timestamp,
    sequence: u64,
    organisation: usize,
    whom: usize,
    undertaking: EventId,
    step: Step,
}

/// The running stories.
#[derive(Debug, Clone, Default)]
pub(super) struct Stories {
    waiting: BinaryHeap<Reverse<Waiting>>,
    sequence: u64,
}

/// The steps of a story, each with its delay in seconds after the one before.
type Plot = Vec<(u64, Step)>;

impl Stories {
    /// The next step that is due.
    pub(super) fn continued(
        &mut self,
        organisations: &[Organisation],
        at: Timestamp,
        dice: &mut Dice,
    ) -> Option<Envelope> {
        if self.waiting.peek().is_none_or(|Reverse(first)| first.due > at) {
            return None;
        }
        let Reverse(waiting) = self.waiting.pop()?;
        let happening = Happening { at, undertaking: waiting.undertaking };
        Some(happen(&organisations[waiting.organisation], (waiting.whom, waiting.step), happening, dice))
    }

    /// Starts a story with its first step.
    pub(super) fn begun(
        &mut self,
        organisations: &[Organisation],
        (organisation, plot): (usize, Plot),
        clock: &Clock,
        dice: &mut Dice,
    ) -> Envelope {
        let undertaking = dice.id();
        let whom = dice.index(organisations[organisation].people.len());
        let mut steps = plot.into_iter();
        let (_, first) = steps.next().expect("a story has a step");
        if self.waiting.len() < MAX_WAITING {
            let (mut seconds, mut events) = (0, 0);
            for (after, step) in steps {
                seconds += after;
                events += MOST_EVENTS_BETWEEN.min(after);
                self.sequence += 1;
                let (due, sequence) = (clock.after(seconds, events), self.sequence);
                self.waiting.push(Reverse(Waiting { due, sequence, organisation, whom, undertaking, step }));
            }
        }
        let happening = Happening { at: clock.now(), undertaking };
        happen(&organisations[organisation], (whom, first), happening, dice)
    }
}

fn happen(
    organisation: &Organisation,
    (whom, step): (usize, Step),
    happening: Happening,
    dice: &mut Dice,
) -> Envelope {
    let project = &organisation.projects[whom % organisation.projects.len()];
    let person = &organisation.people[whom];
    let address = format!("198.51.100.{}", 200 + whom % 50);
    match step {
        Step::Delivery(kind, status) => {
            families::delivery(organisation, project, (kind, status), happening, dice)
        }
        Step::Infrastructure(kind) => {
            families::infrastructure(organisation, (project, kind), happening, dice)
        }
        Step::Monitoring(kind) => families::monitoring(organisation, (project, kind), happening, dice),
        Step::Governance(kind, decision) => {
            families::governance(organisation, (kind, project, decision), happening, dice)
        }
        Step::Charge(spike) => families::charge(organisation, (project, spike), happening, dice),
        Step::Guess => {
            let attempt = (SignIn::Failed, Some(address.as_str()));
            cloudtrail::sign_in(organisation, person, attempt, happening.at, dice)
        }
        Step::Break => {
            let entry = (SignIn::Done, Some(address.as_str()));
            cloudtrail::sign_in(organisation, person, entry, happening.at, dice)
        }
        Step::Intrude(at, denied) => {
            let mut intruder = person.clone();
            intruder.actor.ip = Some(address);
            let answer = if denied > 0 { Answer::Denied } else { Answer::Done };
            cloudtrail::call(organisation, &intruder, (&INTRUSION[at], answer), happening.at, dice)
        }
    }
}

/// A random story of ordinary operation.
pub(super) fn ordinary(dice: &mut Dice) -> Plot {
    match dice.weighted([30, 14, 12, 10, 12, 4].into_iter()) {
        0 => release(dice),
        1 => vec![
            (0, Step::Infrastructure(InfrastructureKind::ChangeProposed)),
            (300, Step::Governance(GovernanceKind::ApprovalRequested, None)),
            (1_800, Step::Governance(GovernanceKind::ApprovalDecided, Some("approved"))),
            (60, Step::Infrastructure(InfrastructureKind::Provisioned)),
            (240, Step::Infrastructure(InfrastructureKind::Completed)),
        ],
        2 => vec![
            (0, Step::Monitoring(MonitoringKind::ThresholdCrossed)),
            (60, Step::Monitoring(MonitoringKind::AlertRaised)),
            (120, Step::Infrastructure(InfrastructureKind::Scaled)),
            (900, Step::Monitoring(MonitoringKind::AlertResolved)),
        ],
        3 => {
            let ending = if dice.per_mille(80) {
                (DeliveryKind::JobFailed, "failed")
            } else {
                (DeliveryKind::JobFinished, "succeeded")
            };
            vec![
                (0, Step::Delivery(DeliveryKind::JobQueued, "queued")),
                (20, Step::Delivery(DeliveryKind::JobStarted, "running")),
                (400, Step::Delivery(ending.0, ending.1)),
            ]
        }
        4 => vec![(0, Step::Infrastructure(InfrastructureKind::ConfigurationObserved))],
        _ => {
            let decision = *dice.pick(&[
                Step::Governance(GovernanceKind::BudgetSet, None),
                Step::Governance(GovernanceKind::FindingTriaged, Some("acknowledged")),
                Step::Governance(GovernanceKind::WaiverGranted, Some("granted")),
            ]);
            vec![(0, decision)]
        }
    }
}

fn release(dice: &mut Dice) -> Plot {
    let mut plot = vec![
        (0, Step::Delivery(DeliveryKind::PipelineStarted, "running")),
        (240, Step::Delivery(DeliveryKind::PipelineFinished, "succeeded")),
        (60, Step::Delivery(DeliveryKind::DeploymentStarted, "running")),
    ];
    if dice.per_mille(60) {
        plot.extend([
            (90, Step::Monitoring(MonitoringKind::AlertRaised)),
            (60, Step::Delivery(DeliveryKind::DeploymentFinished, "failed")),
            (30, Step::Delivery(DeliveryKind::DeploymentRolledBack, "rolled_back")),
            (300, Step::Monitoring(MonitoringKind::AlertResolved)),
        ]);
    } else {
        plot.push((180, Step::Delivery(DeliveryKind::DeploymentFinished, "succeeded")));
    }
    plot
}

/// A random incident.
pub(super) fn incident(dice: &mut Dice) -> Plot {
    match dice.below(3) {
        // Guessed password, then everything that the account may do.
        0 => {
            let guesses = (0..20 + u64::from(dice.below(20))).map(|_| (3, Step::Guess));
            let denied = (0..3).map(|at| (20, Step::Intrude(at, 1)));
            let done = (0..INTRUSION.len()).map(|at| (40, Step::Intrude(at, 0)));
            guesses.chain([(10, Step::Break)]).chain(denied).chain(done).collect()
        }
        // Machines that nobody planned for, found by their cost.
        1 => {
            let started = (0..12).map(|_| (15, Step::Infrastructure(InfrastructureKind::Provisioned)));
            let charged = (0..10).map(|_| (600, Step::Charge(60)));
            let seen = [
                (60, Step::Monitoring(MonitoringKind::ThresholdCrossed)),
                (30, Step::Monitoring(MonitoringKind::AlertRaised)),
                (900, Step::Governance(GovernanceKind::FindingTriaged, Some("acknowledged"))),
            ];
            started.chain(charged).chain(seen).collect()
        }
        // One account after another is tried, none opens.
        _ => (0..60).map(|_| (5, Step::Guess)).collect(),
    }
}
