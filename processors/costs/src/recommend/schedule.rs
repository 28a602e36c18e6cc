//! Resources that need not run all the time.

use rust_decimal::Decimal;
use schemas::changes::cost::{Grade, RecommendationKind, UtilisationMetric};

use super::{
    Advice, COST_DAYS, Environment, MEASURED_DAYS, PricePartKind, ResourceFacts, confidence, part_of, raised,
};

/// Hours of a week.
pub const HOURS_OF_WEEK: usize = 168;
/// Largest processor use, in percent, of an hour in which nobody works with it.
const QUIET: f64 = 5.0;
/// Shortest time, in hours, for which it is worth stopping.
const SHORTEST_STOP: usize = 4;
/// Fewest quiet hours of a week of which anything is said.
const LEAST_HOURS: usize = 40;
/// Office hours: 12 of a day, 5 days a week, as AWS Instance Scheduler's example has them.
const OFFICE_HOURS: usize = 60;

/// The largest processor use of each hour of the week, Monday 00:00 UTC first; `None`: an hour that was not measured in
/// two weeks.
#[derive(Debug, Clone, PartialEq)]
pub struct Week(pub Vec<Option<f64>>);

impl Week {
    /// Hours, in stretches that are worth a stop, in which nobody works with it; `None`: hours are missing.
    pub(super) fn quiet(&self) -> Option<usize> {
        let hours: Vec<f64> = self.0.iter().copied().collect::<Option<_>>()?;
        if hours.len() != HOURS_OF_WEEK {
            return None;
        }
        let is_quiet = |hour: usize| hours[hour % HOURS_OF_WEEK] <= QUIET;
        // From an hour of work on, so that no stretch is cut in two at the end of the week.
        let first = (0..HOURS_OF_WEEK).find(|hour| !is_quiet(*hour))?;
        let (mut quiet, mut stretch) = (0, 0);
        for hour in first..=first + HOURS_OF_WEEK {
            if is_quiet(hour) {
                stretch += 1;
                continue;
            }
            quiet += if stretch >= SHORTEST_STOP { stretch } else { 0 };
            stretch = 0;
        }
        Some(quiet)
    }
}

pub(super) fn advise(facts: &ResourceFacts) -> Option<Advice> {
    let runs = facts.stopped_days.is_none() && facts.price.is_some_and(|price| price.hourly > Decimal::ZERO);
    if !runs {
        return None;
    }
    let measured = facts.week.as_ref().map(Week::quiet);
    let (hours, reasons, points, risk) = match measured.flatten() {
        Some(hours) if hours >= LEAST_HOURS => {
            let reason = format!(
                "Processor use stayed at or below {QUIET} % in {hours} of {HOURS_OF_WEEK} hours of the week, in stretches of at \
                 least {SHORTEST_STOP} hours, for {MEASURED_DAYS} days."
            );
            (hours, vec![reason], 75, facts.risk(Grade::Low))
        }
        // It was measured and is in use; or nobody measured, and its environment says that people work with it.
        Some(_) => return None,
        None => {
            let is_measured = facts.measured(UtilisationMetric::Cpu).is_some();
            let whole_time = facts.days >= COST_DAYS && facts.environment() == Environment::Other;
            if is_measured || !whole_time {
                return None;
            }
            let name = facts.environment.as_deref().unwrap_or_default().trim();
            let reasons = vec![
                format!(
                    "It belongs to the environment {name} and has run for {COST_DAYS} days without a stop."
                ),
                "Its use was not measured: office hours (12 of a day, 5 days a week) are assumed.".to_owned(),
            ];
            (HOURS_OF_WEEK - OFFICE_HOURS, reasons, 45, raised(Grade::Low))
        }
    };
    let part = Decimal::from(hours) / Decimal::from(HOURS_OF_WEEK);
    let saved = facts.share_of(PricePartKind::Hourly)? * part;
    let points = points - if facts.environment() == Environment::Production { 25 } else { 0 };
    Some(Advice {
        kind: RecommendationKind::Schedule,
        action: format!("Stop it in the {hours} hours of the week in which nobody uses it."),
        reasons,
        monthly_saving: part_of(facts.monthly_cost(), saved),
        risk,
        effort: Grade::Medium,
        confidence: confidence(points),
        target: None,
    })
}
