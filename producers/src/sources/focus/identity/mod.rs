//! Identity of a charge: its content, and the number of equal rows before it in the file.

mod counts_file;

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
    io,
};

use rust_decimal::Decimal;
use schemas::{DecimalText, Timestamp, events::Usage, rfc3339};
use sha2::{Digest, Sha256};

use self::counts_file::CountsFile;

/// Maximum number of contents of one file in memory: slots of 9 bytes, 38 MB.
const MAX_CONTENTS: usize = 3_600_000;
/// Parts of the contents by their first bits: they grow one at a time, so that little room is taken twice while they do.
const PARTS: usize = 64;

/// SHA-256 over a charge's content. Amounts are compared by value: `1.50` equals `1.5`.
pub(super) fn content(usage: &Usage, known_at: Option<Timestamp>) -> [u8; 32] {
    let mut parts = Parts(Vec::with_capacity(2048));
    parts.text(usage.kind.name());
    for text in [
        &usage.billing_account_id,
        &usage.provider_name,
        &usage.service_name,
        &usage.charge_category,
        &usage.billing_currency,
    ] {
        parts.text(text);
    }
    for text in [
        &usage.sub_account_id,
        &usage.service_category,
        &usage.region_id,
        &usage.resource_id,
        &usage.charge_description,
        &usage.consumed_unit,
    ] {
        parts.text(text.as_deref().unwrap_or_default());
    }
    for instant in [Some(usage.charge_period_start), Some(usage.charge_period_end), known_at] {
        parts.text(&instant.map(rfc3339).unwrap_or_default());
    }
    let costs = [usage.effective_cost, usage.list_cost, usage.contracted_cost, usage.consumed_quantity];
    for decimal in std::iter::once(Some(usage.billed_cost)).chain(costs) {
        parts.decimal(decimal);
    }
    for (name, value) in usage.tags.iter().chain(&usage.other_columns) {
        parts.text(name);
        parts.text(value);
    }
    Sha256::digest(&parts.0).into()
}

/// Parts that are hashed together, each after its length: hashed at once, which takes half as long as one by one.
struct Parts(Vec<u8>);

impl Parts {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn decimal(&mut self, decimal: Option<Decimal>) {
        match decimal {
            Some(decimal) => self.text(DecimalText::normal(decimal).as_str()),
            None => self.text(""),
        }
    }
}

/// Counts the occurrences of each content, in bounded memory: those for which it has no room are counted in a temporary
/// file.
#[derive(Debug)]
pub(super) struct Repetitions {
    /// Contents that occurred.
    once: [HashSet<u64, BuildHasherDefault<IsHash>>; PARTS],
    contents: usize,
    /// Later occurrences of contents among them, counted.
    again: HashMap<u64, u64>,
    /// The counts of others.
    others: Option<CountsFile>,
    max_contents: usize,
}

impl Default for Repetitions {
    fn default() -> Self {
        Self::within(MAX_CONTENTS)
    }
}

impl Repetitions {
    fn within(max_contents: usize) -> Self {
        let once = std::array::from_fn(|_| HashSet::default());
        Self { once, contents: 0, again: HashMap::default(), others: None, max_contents }
    }

    /// The content with the row's number among the rows of that content.
    pub(super) fn numbered(&mut self, content: [u8; 32]) -> io::Result<[u8; 40]> {
        let mut numbered = [0; 40];
        numbered[..32].copy_from_slice(&content);
        numbered[32..].copy_from_slice(&self.before(content)?.to_be_bytes());
        Ok(numbered)
    }

    /// Number of earlier rows of that content.
    fn before(&mut self, content: [u8; 32]) -> io::Result<u64> {
        let first: [u8; 8] = *content.first_chunk().expect("a hash is longer");
        let key = u64::from_be_bytes(first);
        let once = &mut self.once[usize::from(first[0]) % PARTS];
        if once.contains(&key) {
            let has_room = self.again.len() < self.max_contents / 4;
            return match self.again.get_mut(&key) {
                Some(number) => {
                    *number += 1;
                    Ok(*number)
                }
                None if has_room => {
                    self.again.insert(key, 1);
                    Ok(1)
                }
                None => Ok(1 + self.count_elsewhere(key)?),
            };
        }
        if self.contents < self.max_contents {
            self.contents += usize::from(once.insert(key));
            return Ok(0);
        }
        self.count_elsewhere(key)
    }

    fn count_elsewhere(&mut self, key: u64) -> io::Result<u64> {
        let others = match &mut self.others {
            Some(others) => others,
            none => none.insert(CountsFile::new()?),
        };
        others.count(key)
    }
}

/// Hashes a number that is part of a hash already. The sets take its first bits, which a part's contents have in common,
/// for their slots' marks: the last ones come first here.
#[derive(Debug, Default)]
struct IsHash(u64);

impl Hasher for IsHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.rotate_right(8);
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(of: u32) -> [u8; 32] {
        Sha256::digest(of.to_be_bytes()).into()
    }

    fn number(repetitions: &mut Repetitions, of: u32) -> u64 {
        let numbered = repetitions.numbered(content(of)).expect("counted");
        u64::from_be_bytes(*numbered.last_chunk().expect("8 bytes"))
    }

    #[test]
    fn equal_contents_are_numbered() {
        let mut repetitions = Repetitions::default();
        for (of, expected) in [(1, 0), (2, 0), (1, 1), (1, 2), (2, 1), (65, 0)] {
            assert_eq!(number(&mut repetitions, of), expected);
        }
    }

    /// Were a row numbered by its place, a bill that comes again with one row more would add all that follow.
    #[test]
    fn numbers_do_not_depend_on_places_or_on_how_many_contents_fit_into_memory() {
        let mut order: Vec<u32> = (0..200).chain(50..150).chain(0..200).collect();
        for max_contents in [0, 8, 100, 10_000] {
            let mut repetitions = Repetitions::within(max_contents);
            let mut seen: HashMap<u32, u64> = HashMap::new();
            for of in &order {
                let before = seen.entry(*of).or_default();
                assert_eq!(number(&mut repetitions, *of), *before, "{of} of {max_contents} in memory");
                *before += 1;
            }
            order.rotate_left(37);
        }
    }
}
