//! Identity of a charge: its content, and the number of equal rows before it in the file.

use std::collections::{HashMap, HashSet};

use schemas::{Timestamp, events::Usage};
use sha2::{Digest, Sha256};

/// Maximum number of contents tracked for one file: 2^22 slots of 9 bytes, 38 MB, and half as much again
/// while growing.
const MAX_CONTENTS: usize = 3_600_000;

/// SHA-256 over a charge's content. Amounts are compared by value: `1.50` equals `1.5`.
pub(super) fn content(usage: &Usage, known_at: Option<Timestamp>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part(usage.kind.name());
    for text in [
        &usage.billing_account_id,
        &usage.provider_name,
        &usage.service_name,
        &usage.charge_category,
        &usage.billing_currency,
    ] {
        part(text);
    }
    for text in [
        &usage.sub_account_id,
        &usage.service_category,
        &usage.region_id,
        &usage.resource_id,
        &usage.charge_description,
        &usage.consumed_unit,
    ] {
        part(text.as_deref().unwrap_or_default());
    }
    for instant in [Some(usage.charge_period_start), Some(usage.charge_period_end), known_at] {
        part(&instant.map(super::rfc3339).unwrap_or_default());
    }
    let costs = [usage.effective_cost, usage.list_cost, usage.contracted_cost, usage.consumed_quantity];
    for decimal in std::iter::once(Some(usage.billed_cost)).chain(costs) {
        part(&decimal.map(|decimal| decimal.normalize().to_string()).unwrap_or_default());
    }
    for (name, value) in usage.tags.iter().chain(&usage.other_columns) {
        part(name);
        part(value);
    }
    hash.finalize().into()
}

/// Counts the occurrences of each content, in bounded memory: beyond the maximum, a row is numbered by its
/// index, which identifies it as well in an unchanged file.
#[derive(Debug, Default)]
pub(super) struct Repetitions {
    once: HashSet<u64>,
    more: HashMap<u64, u64>,
    rows: u64,
}

impl Repetitions {
    /// The content with the row's number among the rows of that content.
    pub(super) fn numbered(&mut self, content: [u8; 32]) -> Vec<u8> {
        let mut first = [0; 8];
        first.copy_from_slice(&content[..8]);
        let key = u64::from_be_bytes(first);
        self.rows += 1;
        let number = if self.once.contains(&key) {
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
        } else if self.once.len() < MAX_CONTENTS {
            self.once.insert(key);
            0
        } else {
            u64::MAX - self.rows
        };
        let mut numbered = content.to_vec();
        numbered.extend(number.to_be_bytes());
        numbered
    }
}
