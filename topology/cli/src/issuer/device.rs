//! Devices that wait for somebody to approve them (RFC 8628).

use chrono::TimeDelta;
use schemas::Timestamp;

use super::tokens::Subject;
use crate::output;

/// Maximum wait of a device.
pub(super) const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// Minimum interval of its requests.
pub(super) const INTERVAL: TimeDelta = TimeDelta::seconds(1);
/// Devices that may wait at a time.
const MAX_WAITING: usize = 1_000;
/// Letters of user codes: no vowels, and none that looks like another (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// A device that waits.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) code: String,
    pub(super) user_code: String,
    ends: Timestamp,
    asked: Option<Timestamp>,
    approved: Option<Subject>,
}

/// The devices that wait.
#[derive(Debug, Default)]
pub(super) struct Devices(Vec<Device>);

/// Answer to a device that asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Poll {
    Approved(Subject),
    /// The error code.
    Refused(&'static str),
}

impl Devices {
    /// A new device; `None` while too many wait.
    pub(super) fn begin(&mut self, now: Timestamp) -> Option<&Device> {
        self.0.retain(|device| device.ends > now);
        if self.0.len() >= MAX_WAITING {
            return None;
        }
        let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
        let mut user_code: String = rand::random::<[u8; 8]>().into_iter().map(letter).collect();
        user_code.insert(4, '-');
        let code = output::hex(&rand::random::<[u8; 32]>());
        self.0.push(Device { code, user_code, ends: now + LIFETIME, asked: None, approved: None });
        self.0.last()
    }

    /// Approves the device that shows this code; false where there is none.
    pub(super) fn approve(&mut self, user_code: &str, by: Subject, now: Timestamp) -> bool {
        let letters = |text: &str| -> String {
            text.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase()).collect()
        };
        let code = letters(user_code);
        let waits = |device: &&mut Device| {
            device.approved.is_none() && device.ends > now && letters(&device.user_code) == code
        };
        let Some(device) = self.0.iter_mut().find(waits) else { return false };
        device.approved = Some(by);
        true
    }

    /// Answer to the device of this code. It gets its subject once.
    pub(super) fn poll(&mut self, device_code: &str, now: Timestamp) -> Poll {
        let found = self.0.iter().position(|device| device.code == device_code);
        let Some(at) = found else { return Poll::Refused("invalid_grant") };
        let device = &mut self.0[at];
        if device.ends <= now {
            self.0.swap_remove(at);
            return Poll::Refused("expired_token");
        }
        if let Some(subject) = device.approved.take() {
            self.0.swap_remove(at);
            return Poll::Approved(subject);
        }
        let too_soon = device.asked.replace(now).is_some_and(|asked| now - asked < INTERVAL);
        Poll::Refused(if too_soon { "slow_down" } else { "authorization_pending" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_waits_for_its_approval_and_gets_its_subject_once() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("an instant");
        let at = |seconds| now + TimeDelta::seconds(seconds);
        let mut devices = Devices::default();
        let mara = || Subject::person("mara", "viewer", "").ok().expect("a subject");
        let begun = devices.begin(now).expect("room");
        let (device, code) = (begun.code.clone(), begun.user_code.clone());
        assert_eq!(devices.poll(&device, at(1)), Poll::Refused("authorization_pending"));
        assert_eq!(devices.poll(&device, at(1)), Poll::Refused("slow_down"));
        assert!(!devices.approve("XXXX-XXXX", mara(), at(2)));
        assert!(devices.approve(&code.to_lowercase().replace('-', " "), mara(), at(2)));
        assert!(!devices.approve(&code, mara(), at(2)), "once");
        assert_eq!(devices.poll(&device, at(3)), Poll::Approved(mara()));
        assert_eq!(devices.poll(&device, at(4)), Poll::Refused("invalid_grant"));
        let late = devices.begin(now).expect("room").code.clone();
        assert_eq!(devices.poll(&late, now + LIFETIME), Poll::Refused("expired_token"));
    }

    #[test]
    fn devices_that_wait_are_bounded() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("an instant");
        let mut devices = Devices::default();
        for _ in 0..MAX_WAITING {
            assert!(devices.begin(now).is_some());
        }
        assert!(devices.begin(now).is_none());
        assert!(devices.begin(now + LIFETIME).is_some(), "those that waited too long make room");
    }
}
