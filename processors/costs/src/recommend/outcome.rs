//! Whether the saving of a recommendation came.

use rust_decimal::Decimal;

use super::{LEAST_DAYS, MONTH_DAYS, money};

/// Progress of a saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeState {
    /// Fewer than seven days since the acceptance are known.
    TooEarly,
    /// At least 80 % of what was expected.
    Came,
    /// At least 20 %.
    Partly,
    /// Less.
    Missing,
}

impl OutcomeState {
    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooEarly => "too_early",
            Self::Came => "came",
            Self::Partly => "partly",
            Self::Missing => "missing",
        }
    }
}

/// A saving as the charges show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Progress.
    pub state: OutcomeState,
    /// Realised saving in 30 days; negative: they cost more. `None` while it is too early.
    pub realised: Option<Decimal>,
}

/// Compares the costs of days before and after an acceptance: sums, and the days that they are of.
pub fn outcome(expected: Option<Decimal>, before: (Decimal, i64), after: (Decimal, i64)) -> Outcome {
    if before.1 < 1 || after.1 < LEAST_DAYS {
        return Outcome { state: OutcomeState::TooEarly, realised: None };
    }
    let month = |(sum, days): (Decimal, i64)| sum * Decimal::from(MONTH_DAYS) / Decimal::from(days);
    let realised = money(month(before) - month(after));
    let reaches = |percent: i64| match expected {
        Some(expected) => realised >= expected * Decimal::new(percent, 2),
        None => realised > Decimal::ZERO,
    };
    let state = if realised <= Decimal::ZERO {
        OutcomeState::Missing
    } else if reaches(80) {
        OutcomeState::Came
    } else if reaches(20) {
        OutcomeState::Partly
    } else {
        OutcomeState::Missing
    };
    Outcome { state, realised: Some(realised) }
}
