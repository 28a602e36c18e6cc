//! Random numbers from a seed: the same on every machine and with every release of the libraries.

use std::fmt::Write as _;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use schemas::{EventId, Timestamp};

/// A seeded random number generator. Draws are mapped to ranges here, because libraries change their
/// mappings.
#[derive(Debug, Clone)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The generator for a run that starts at that time.
    pub(super) fn on(mut self, start: Timestamp) -> Self {
        Self::new(self.0.next_u64() ^ start.timestamp_micros().cast_unsigned())
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        let scaled = u64::from(self.0.next_u32()) * u64::from(end);
        (scaled >> 32) as u32
    }

    /// True with this probability, in thousandths.
    pub(super) fn per_mille(&mut self, often: u32) -> bool {
        self.below(1_000) < often
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// Like [`Dice::pick`], with the first items far more likely than the last.
    pub(super) fn pick_early<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let (one, other) = (self.index(from.len()), self.index(from.len()));
        &from[one.min(other)]
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).expect("lists are short")) as usize
    }

    /// A random index, with these weights.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let mut rest = self.below(weights.clone().sum());
        for (at, weight) in weights.enumerate() {
            match rest.checked_sub(weight) {
                Some(left) => rest = left,
                None => return at,
            }
        }
        0
    }

    /// Appends `digits` random hexadecimal digits.
    pub(super) fn hex(&mut self, digits: usize, out: &mut String) {
        self.of_bits(digits, (b"0123456789abcdef", 4), out);
    }

    /// Appends `count` random characters of an alphabet.
    pub(super) fn letters(&mut self, count: usize, alphabet: &[u8], out: &mut String) {
        for _ in 0..count {
            out.push(char::from(alphabet[self.index(alphabet.len())]));
        }
    }

    /// Appends `count` random characters of the base64 alphabet.
    pub(super) fn base64(&mut self, count: usize, out: &mut String) {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        self.of_bits(count, (alphabet, 6), out);
    }

    /// Appends characters of `width` bits each; one draw serves several.
    fn of_bits(&mut self, count: usize, (alphabet, width): (&[u8], u32), out: &mut String) {
        let (mut bits, mut left) = (0_u64, 0);
        for _ in 0..count {
            if left < width {
                (bits, left) = (self.0.next_u64(), 64);
            }
            let at = usize::try_from(bits & ((1 << width) - 1)).expect("an alphabet is short");
            out.push(char::from(alphabet[at]));
            (bits, left) = (bits >> width, left - width);
        }
    }

    /// A random (version 4) id, as most sources make them.
    pub(super) fn id(&mut self) -> EventId {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        EventId::new(uuid::Builder::from_random_bytes(bytes).into_uuid()).expect("a version is set: not nil")
    }

    /// Appends a random UUID.
    pub(super) fn uuid(&mut self, out: &mut String) {
        write!(out, "{}", self.id()).expect("writing to a string does not fail");
    }
}
