//! Identity of a charge: its content, and the number of equal rows before it in the file.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use rust_decimal::Decimal;
use schemas::{DecimalText, Timestamp, events::Usage, rfc3339};
use sha2::{Digest, Sha256};

/// Maximum number of contents tracked for one file: slots of 9 bytes, 38 MB.
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

/// Counts the occurrences of each content, in bounded memory: beyond the maximum, a row is numbered by its
/// index, which identifies it as well in an unchanged file.
#[derive(Debug)]
pub(super) struct Repetitions {
    once: [HashSet<u64, BuildHasherDefault<IsHash>>; PARTS],
    contents: usize,
    more: HashMap<u64, u64>,
    rows: u64,
}

impl Default for Repetitions {
    fn default() -> Self {
        let once = std::array::from_fn(|_| HashSet::default());
        Self { once, contents: 0, more: HashMap::default(), rows: 0 }
    }
}

impl Repetitions {
    /// The content with the row's number among the rows of that content.
    pub(super) fn numbered(&mut self, content: [u8; 32]) -> [u8; 40] {
        let first: [u8; 8] = *content.first_chunk().expect("a hash is longer");
        let key = u64::from_be_bytes(first);
        self.rows += 1;
        let once = &mut self.once[usize::from(first[0]) % PARTS];
        let number = if once.contains(&key) {
            let full = self.more.len() >= MAX_CONTENTS / 4;
            match self.more.get_mut(&key) {
                Some(number) => {
                    *number += 1;
                    *number
                }
                None if full => u64::MAX - self.rows,
                None => {
                    self.more.insert(key, 1);
                    1
                }
            }
        } else if self.contents < MAX_CONTENTS {
            self.contents += usize::from(once.insert(key));
            0
        } else {
            u64::MAX - self.rows
        };
        let mut numbered = [0; 40];
        numbered[..32].copy_from_slice(&content);
        numbered[32..].copy_from_slice(&number.to_be_bytes());
        numbered
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

    #[test]
    fn equal_contents_are_numbered() {
        let mut repetitions = Repetitions::default();
        let number = |numbered: [u8; 40]| numbered[39];
        for (content, expected) in [(1, 0), (2, 0), (1, 1), (1, 2), (2, 1), (65, 0)] {
            let content: [u8; 32] = Sha256::digest([content]).into();
            assert_eq!(number(repetitions.numbered(content)), expected);
        }
    }
}
