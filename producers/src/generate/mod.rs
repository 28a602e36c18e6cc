//! Generated events of a realistic organisation, from a seed: for demonstrations, tests and measurements.
//!
//! People sign in, programs call the cloud, projects are built, deployed and charged for, alerts are raised
//! and resolved, and now and then somebody guesses a password. API calls carry a CloudTrail record of
//! realistic size. Names are invented; addresses and domains are those reserved for documentation.

mod calls;
mod clock;
mod cloudtrail;
mod dice;
mod families;
mod organisation;
mod plans;
mod run;
mod scene;
mod stories;

use std::time::Duration;

use schemas::{Envelope, EventId, TenantId, Timestamp, events::MonitoringKind};

pub use self::run::{Rate, RunError, RunProgress, RunSummary, run};
use self::{
    calls::{Caller, EVERYDAY},
    clock::Clock,
    cloudtrail::{Answer, SignIn},
    dice::Dice,
    families::Happening,
    organisation::Organisation,
    stories::Stories,
};

/// Average number of events per incident.
const EVENTS_PER_INCIDENT: u32 = 2_500;

/// Settings of the generator.
#[derive(Debug, Clone)]
pub struct GeneratorConfig {
    /// Tenants, one organisation each; the first is the busiest. At least one.
    pub tenants: Vec<TenantId>,
    /// Start of the generated time. Events more than a day ahead of the clock are rejected downstream: see
    /// [`GeneratorConfig::ending_at`].
    pub start_time: Timestamp,
    /// Average generated time between two events, over a week: 1 µs to 1 day.
    pub mean_gap: Duration,
    /// Distribution over the day.
    pub rhythm: Rhythm,
    /// Families of the events.
    pub mix: Mix,
}

/// Distribution of events over the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rhythm {
    /// Busy working hours, quiet nights and weekends.
    #[default]
    DayAndNight,
    /// Even distribution, for events that are published live.
    Steady,
}

/// Families of the generated events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mix {
    /// All six families; about three quarters are activity.
    #[default]
    Organisation,
    /// API calls and sign-ins only, each with its native record of about 2 KB.
    CloudTrail,
}

impl GeneratorConfig {
    /// `events` events of one tenant, the last of them before `end`, 250 ms apart on average.
    pub fn ending_at(end: Timestamp, events: u64, tenant: TenantId) -> Self {
        let mean_gap = Duration::from_millis(250);
        let (rhythm, mix) = (Rhythm::DayAndNight, Mix::Organisation);
        let start_time = rhythm.start_before(end, events, mean_gap);
        Self { tenants: vec![tenant], start_time, mean_gap, rhythm, mix }
    }

    /// `per_second` events a second of one tenant, from `now` on, in real time.
    pub fn live(now: Timestamp, per_second: u32, tenant: TenantId) -> Self {
        let mean_gap = Duration::from_secs(1) / per_second.max(1);
        let (rhythm, mix) = (Rhythm::Steady, Mix::Organisation);
        Self { tenants: vec![tenant], start_time: now, mean_gap, rhythm, mix }
    }
}

/// An endless iterator of events. The same seed and configuration give the same events, byte for byte.
#[derive(Debug, Clone)]
pub struct Generator {
    organisations: Vec<Organisation>,
    mix: Mix,
    clock: Clock,
    dice: Dice,
    stories: Stories,
}

impl Generator {
    /// Creates the organisations.
    ///
    /// # Panics
    /// Without a tenant.
    pub fn new(seed: u64, config: GeneratorConfig) -> Self {
        assert!(!config.tenants.is_empty(), "somebody must own the events");
        let mut founding = Dice::new(seed);
        let organisations =
            config.tenants.into_iter().map(|tenant| Organisation::new(tenant, &mut founding)).collect();
        // The same people on another day: other events, with other ids.
        let dice = founding.on(config.start_time);
        let clock = Clock::new(config.start_time, config.mean_gap, config.rhythm);
        Self { organisations, mix: config.mix, clock, dice, stories: Stories::default() }
    }

    fn event(&mut self) -> Envelope {
        let at = self.clock.tick(&mut self.dice);
        if let Some(envelope) = self.stories.continued(&self.organisations, at, &mut self.dice) {
            return envelope;
        }
        let which = {
            let (one, other) =
                (self.dice.index(self.organisations.len()), self.dice.index(self.organisations.len()));
            one.min(other)
        };
        match self.mix {
            Mix::CloudTrail => self.cloud(which, at),
            Mix::Organisation => self.everything(which, at),
        }
    }

    fn everything(&mut self, which: usize, at: Timestamp) -> Envelope {
        if self.dice.below(EVENTS_PER_INCIDENT) == 0 {
            let plot = stories::incident(&mut self.dice);
            return self.stories.begun(&self.organisations, (which, plot), &self.clock, &mut self.dice);
        }
        // Stories go on for three to four events each: they are begun that much more rarely.
        match self.dice.weighted([860, 45, 60, 50].into_iter()) {
            0 => self.cloud(which, at),
            1 => {
                let plot = stories::ordinary(&mut self.dice);
                self.stories.begun(&self.organisations, (which, plot), &self.clock, &mut self.dice)
            }
            2 => self.alone(which, at, Alone::Charge),
            _ => self.alone(which, at, Alone::Measurement),
        }
    }

    fn alone(&mut self, which: usize, at: Timestamp, what: Alone) -> Envelope {
        let organisation = &self.organisations[which];
        let project = self.dice.pick_early(&organisation.projects);
        let undertaking: EventId = self.dice.id();
        let (happening, dice) = (Happening { at, undertaking }, &mut self.dice);
        match what {
            Alone::Charge => families::charge(organisation, (project, 1), happening, dice),
            Alone::Measurement => {
                let kind = *dice.pick(&[MonitoringKind::HealthChecked, MonitoringKind::UtilisationMeasured]);
                families::monitoring(organisation, (project, kind), happening, dice)
            }
        }
    }

    /// An API call, or one time in fourteen a sign-in.
    fn cloud(&mut self, which: usize, at: Timestamp) -> Envelope {
        let (organisation, dice) = (&self.organisations[which], &mut self.dice);
        if dice.per_mille(70) {
            let person = dice.pick_early(&organisation.people);
            let ending = if dice.per_mille(40) { SignIn::Failed } else { SignIn::Done };
            return cloudtrail::sign_in(organisation, person, (ending, None), at, dice);
        }
        let call = &EVERYDAY[dice.weighted(EVERYDAY.iter().map(|call| call.weight))];
        let identity = match call.caller {
            Caller::Workload => dice.pick_early(&organisation.workloads),
            Caller::Person => dice.pick_early(&organisation.people),
            Caller::Pipeline => dice.pick_early(&organisation.pipelines),
        };
        let answer = match dice.below(1_000) {
            0..18 => Answer::Denied,
            18..26 => Answer::Throttled,
            _ => Answer::Done,
        };
        cloudtrail::call(organisation, identity, (call, answer), at, dice)
    }
}

#[derive(Debug, Clone, Copy)]
enum Alone {
    Charge,
    Measurement,
}

impl Iterator for Generator {
    type Item = Envelope;

    fn next(&mut self) -> Option<Envelope> {
        Some(self.event())
    }
}

#[cfg(test)]
mod tests;
