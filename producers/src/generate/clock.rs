//! Generated time: busy days, quiet nights and weekends.

use std::time::Duration;

use chrono::{Datelike as _, TimeDelta, Timelike as _};
use schemas::Timestamp;

use super::{Rhythm, dice::Dice};

/// Activity by hour of a working day (UTC), in thousandths of the average.
const WEEKDAY: [u64; 24] = [
    420, 380, 360, 360, 380, 500, 800, 1_250, 1_700, 1_950, 2_000, 1_900, 1_600, 1_850, 1_950, 1_850, 1_650,
    1_350, 1_050, 850, 720, 620, 540, 470,
];
/// Activity on a day of the weekend, likewise.
const WEEKEND: u64 = 450;
/// Factor that keeps the average over a week at one event per mean gap.
const AVERAGE: u64 = {
    let (mut sum, mut hour) = (0, 0);
    while hour < 24 {
        sum += WEEKDAY[hour];
        hour += 1;
    }
    (5 * sum + 2 * 24 * WEEKEND) / (7 * 24)
};

impl Rhythm {
    /// Events per mean gap at this hour, in thousandths.
    fn density(self, at: Timestamp) -> u64 {
        match self {
            Self::Steady => 1_000,
            Self::DayAndNight => {
                let weekend = at.weekday().number_from_monday() > 5;
                let hour = at.hour() as usize;
                1_000 * (if weekend { WEEKEND } else { WEEKDAY[hour] }) / AVERAGE
            }
        }
    }

    /// The latest time from which so many events, so far apart on average, end before `end`, whatever chance does
    /// to their gaps.
    pub(super) fn start_before(self, end: Timestamp, events: u64, mean_gap: Duration) -> Timestamp {
        const HOUR_US: u64 = 3_600_000_000;
        let mean_gap_us = u64::try_from(mean_gap.as_micros()).unwrap_or(u64::MAX).max(1);
        // Gaps deviate by half of the mean; rounding makes them some thousandths longer.
        let events = events.saturating_add(events / 200).saturating_add(3 * events.isqrt() + 3);
        let mut left_us = events.saturating_mul(mean_gap_us);
        let weeks = left_us / (7 * 24 * HOUR_US);
        left_us %= 7 * 24 * HOUR_US;
        let back = |at: Timestamp, by_us: u64| {
            let by = TimeDelta::microseconds(i64::try_from(by_us).unwrap_or(i64::MAX));
            at.checked_sub_signed(by).unwrap_or(Timestamp::UNIX_EPOCH)
        };
        let mut at = back(end, weeks.saturating_mul(7 * 24 * HOUR_US));
        while left_us > 0 && at > Timestamp::UNIX_EPOCH {
            // Up to the hour's beginning, at the density of the hour.
            let before = back(at, 1);
            let into_hour = u64::from(before.minute()) * 60_000_000
                + u64::from(before.second()) * 1_000_000
                + u64::from(before.timestamp_subsec_micros())
                + 1;
            let density = self.density(before);
            let whole = into_hour * density / 1_000;
            let taken = if whole <= left_us { into_hour } else { left_us * 1_000 / density + 1 };
            left_us -= whole.min(left_us);
            at = back(at, taken);
        }
        at
    }
}

/// Current generated time. Whole microseconds and integers only: equal on every machine.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    now: Timestamp,
    mean_gap_us: u64,
    rhythm: Rhythm,
}

impl Clock {
    pub(super) fn new(start: Timestamp, mean_gap: Duration, rhythm: Rhythm) -> Self {
        let mean_gap_us = u64::try_from(mean_gap.as_micros()).unwrap_or(u64::MAX).clamp(1, 86_400_000_000);
        Self { now: start, mean_gap_us, rhythm }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Advances to the next event.
    pub(super) fn tick(&mut self, dice: &mut Dice) -> Timestamp {
        let gap = self.mean_gap_us * u64::from(200 + dice.below(1_600)) / self.rhythm.density(self.now);
        self.now = self.later(gap);
        self.now
    }

    /// The time `seconds` later, but at most `most_events` events later, so that a story also ends within a
    /// short run.
    pub(super) fn after(&self, seconds: u64, most_events: u64) -> Timestamp {
        self.later((seconds * 1_000_000).min(self.mean_gap_us * most_events))
    }

    fn later(&self, by_us: u64) -> Timestamp {
        let by = TimeDelta::microseconds(i64::try_from(by_us).unwrap_or(i64::MAX));
        self.now.checked_add_signed(by).unwrap_or(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_has_the_promised_number_of_events() {
        for rhythm in [Rhythm::DayAndNight, Rhythm::Steady] {
            let (mut clock, mut dice) =
                (Clock::new(Timestamp::UNIX_EPOCH, Duration::from_secs(6), rhythm), Dice::new(1));
            let mut events = 0;
            while clock.now() < Timestamp::UNIX_EPOCH + TimeDelta::days(7) {
                clock.tick(&mut dice);
                events += 1;
            }
            let promised = 7 * 86_400 / 6;
            assert!((promised * 98 / 100..promised * 102 / 100).contains(&events), "{rhythm:?}: {events}");
        }
    }
}
