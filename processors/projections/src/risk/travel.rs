//! Places on earth, and whether anybody can have travelled between them.

use std::collections::HashMap;

/// Nearer places are one: addresses are located no better, and a provider's exit may lie in the next city.
const NEAR_KILOMETRES: f64 = 500.0;
/// Mean radius of the earth.
const EARTH_KILOMETRES: f64 = 6_371.0;

/// A place, to half a degree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    latitude_halves: i16,
    longitude_halves: i16,
}

impl Place {
    /// A place as correlated events tell it: latitude and longitude in half degrees, with a comma between them.
    pub(super) fn read(value: &str) -> Option<Self> {
        let (latitude, longitude) = value.split_once(',')?;
        let place =
            Self { latitude_halves: latitude.parse().ok()?, longitude_halves: longitude.parse().ok()? };
        (place.latitude_halves.abs() <= 180 && place.longitude_halves.abs() <= 360).then_some(place)
    }

    /// The distance along the surface (the haversine formula).
    pub(super) fn kilometres_to(self, other: Self) -> f64 {
        let radians = |halves: i16| (f64::from(halves) / 2.0).to_radians();
        let (here, there) = (radians(self.latitude_halves), radians(other.latitude_halves));
        let half = |from: i16, to: i16| ((radians(to) - radians(from)) / 2.0).sin().powi(2);
        let square = half(self.latitude_halves, other.latitude_halves)
            + here.cos() * there.cos() * half(self.longitude_halves, other.longitude_halves);
        2.0 * EARTH_KILOMETRES * square.sqrt().min(1.0).asin()
    }
}

/// Whether a place that is seen now cannot have been reached at that speed, in km/h, from one of those that were seen before
/// or are seen now too. Instants are microseconds.
pub(super) fn out_of_reach(seen: &HashMap<Place, i64>, now: i64, speed: u64) -> bool {
    let reached = |from: Place, at: i64, to: Place| {
        let kilometres = from.kilometres_to(to);
        kilometres < NEAR_KILOMETRES || kilometres * 3.6e9 <= as_float(speed) * as_float(now.abs_diff(at))
    };
    let mut here = seen.iter().filter(|(_, at)| **at == now);
    here.any(|(here, _)| seen.iter().any(|(place, at)| !reached(*place, *at, *here)))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of 90 days and speeds are below 2^53")]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn place(latitude: i16, longitude: i16) -> Place {
        Place { latitude_halves: latitude * 2, longitude_halves: longitude * 2 }
    }

    #[test]
    fn distances_are_those_of_the_map() {
        let (stockholm, tokyo, gothenburg) = (place(59, 18), place(36, 140), place(58, 12));
        let far = stockholm.kilometres_to(tokyo);
        assert!((8_000.0..8_400.0).contains(&far), "{far}");
        assert!(stockholm.kilometres_to(gothenburg) < NEAR_KILOMETRES);
        assert!(stockholm.kilometres_to(stockholm) < 1.0);
        let across = place(0, 179).kilometres_to(place(0, -179));
        assert!((200.0..250.0).contains(&across), "the short way around: {across}");
        assert!((20_000.0..20_100.0).contains(&place(90, 0).kilometres_to(place(-90, 0))));
        assert_eq!(Place::read("119,36"), Some(Place { latitude_halves: 119, longitude_halves: 36 }));
        for wrong in ["", "1", "a,b", "181,0", "0,361", "1,2,3"] {
            assert_eq!(Place::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nobody_is_far_away_at_once() {
        let (stockholm, tokyo, gothenburg) = (place(59, 18), place(36, 140), place(58, 12));
        let seen = |events: &[(Place, i64)]| events.iter().copied().collect::<HashMap<_, _>>();
        assert!(out_of_reach(&seen(&[(stockholm, 0), (tokyo, HOUR)]), HOUR, 900));
        assert!(
            !out_of_reach(&seen(&[(stockholm, 0), (tokyo, 10 * HOUR)]), 10 * HOUR, 900),
            "there are aeroplanes"
        );
        assert!(!out_of_reach(&seen(&[(stockholm, 0), (gothenburg, 1)]), 1, 900), "too near to tell");
        assert!(out_of_reach(&seen(&[(stockholm, HOUR), (tokyo, HOUR)]), HOUR, 900), "both at once");
        // Who came back in time is told by the event that was too early, not by all that follow.
        assert!(!out_of_reach(
            &seen(&[(tokyo, 0), (stockholm, HOUR), (gothenburg, 12 * HOUR)]),
            12 * HOUR,
            900
        ));
        assert!(!out_of_reach(&HashMap::new(), 0, 900));
    }
}
