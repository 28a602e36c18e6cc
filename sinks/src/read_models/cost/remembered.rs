//! Keys of rows that committed batches wrote, so that later batches write them no more.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use uuid::Uuid;

/// Most keys that are remembered; beyond it all are forgotten.
const MAX_KEYS: usize = 100_000;

/// Keys by tenant.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    committed: HashMap<String, HashSet<Uuid, RandomState>, RandomState>,
    keys: usize,
    /// Those that the current batch writes.
    written: Vec<(String, Uuid)>,
}

impl Remembered {
    /// Whether a committed batch wrote the row.
    pub(super) fn has(&self, tenant: &str, key: Uuid) -> bool {
        self.committed.get(tenant).is_some_and(|keys| keys.contains(&key))
    }

    /// Replaces the keys that the current batch writes: an attempt before this one may have been rolled back.
    pub(super) fn writes<'a>(&mut self, keys: impl IntoIterator<Item = (&'a str, Uuid)>) {
        self.written.clear();
        self.written.extend(keys.into_iter().map(|(tenant, key)| (tenant.to_owned(), key)));
    }

    /// The current batch is committed.
    pub(super) fn commit(&mut self) {
        if self.keys + self.written.len() > MAX_KEYS {
            self.committed.clear();
            self.keys = 0;
        }
        for (tenant, key) in self.written.drain(..) {
            self.keys += usize::from(self.committed.entry(tenant).or_default().insert(key));
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_committed_batch_wrote_is_remembered() {
        let key = Uuid::from_u128;
        let mut remembered = Remembered::default();
        remembered.writes([("acme", key(1))]);
        assert!(!remembered.has("acme", key(1)), "nothing is committed");
        remembered.writes([("acme", key(2)), ("other", key(3))]);
        remembered.commit();
        assert!(!remembered.has("acme", key(1)), "its attempt was replaced");
        assert!(remembered.has("acme", key(2)) && remembered.has("other", key(3)));
        assert!(!remembered.has("other", key(2)), "keys are of a tenant");
        remembered.forget();
        assert!(!remembered.has("acme", key(2)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut remembered = Remembered::default();
        for batch in 0..3 {
            remembered
                .writes((0..MAX_KEYS).map(|at| ("acme", Uuid::from_u128((batch * MAX_KEYS + at) as u128))));
            remembered.commit();
            assert!(remembered.keys <= MAX_KEYS);
        }
    }
}
