//! Counts by key in a temporary file, for more keys than memory has room for.
//!
//! The file is a hash table with open addressing: the first bits of a key say on which page it is looked for, and where a
//! page is full, the next one follows. The operating system keeps the pages in its cache.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Bytes of a page.
const PAGE: usize = 4096;
/// Bytes of a key and its count.
const SLOT: usize = 16;
/// Slots of a page.
const SLOTS: usize = PAGE / SLOT;
/// Pages of a new file.
const FIRST_PAGES: u64 = 1 << 12;
/// The file doubles when more than this of a hundred slots are taken.
const MAX_FULL_PERCENT: u64 = 70;
/// Stands for the key 0, which marks an empty slot.
const INSTEAD_OF_ZERO: u64 = 1;

/// The file; it has no name, and goes when it is closed.
#[derive(Debug)]
pub(super) struct CountsFile {
    file: File,
    /// A power of two.
    pages: u64,
    taken: u64,
}

/// A slot and where it is.
struct Slot {
    at: u64,
    /// The count of the key; `None` if the slot is empty.
    count: Option<u64>,
}

impl CountsFile {
    pub(super) fn new() -> io::Result<Self> {
        Self::of_pages(FIRST_PAGES)
    }

    fn of_pages(pages: u64) -> io::Result<Self> {
        let file = tempfile::tempfile()?;
        // Pages that nothing was written to take no room.
        file.set_len(pages * PAGE as u64)?;
        Ok(Self { file, pages, taken: 0 })
    }

    /// Counts the key: how often it was counted before.
    pub(super) fn count(&mut self, key: u64) -> io::Result<u64> {
        if self.taken * 100 >= self.pages * SLOTS as u64 * MAX_FULL_PERCENT {
            self.double()?;
        }
        let key = if key == 0 { INSTEAD_OF_ZERO } else { key };
        let Slot { at, count } = self.find(key)?;
        let before = count.unwrap_or(0);
        self.put(at, key, before + 1)?;
        self.taken += u64::from(count.is_none());
        Ok(before)
    }

    /// The slot of the key, or the one that it gets.
    fn find(&self, key: u64) -> io::Result<Slot> {
        let mut number = key >> (u64::BITS - self.pages.trailing_zeros());
        let mut page = [0; PAGE];
        loop {
            self.file.read_exact_at(&mut page, number * PAGE as u64)?;
            for (slot, (of_key, count)) in slots(&page).enumerate() {
                if of_key == key || of_key == 0 {
                    let at = number * PAGE as u64 + (slot * SLOT) as u64;
                    return Ok(Slot { at, count: (of_key == key).then_some(count) });
                }
            }
            number = (number + 1) % self.pages;
        }
    }

    fn put(&self, at: u64, key: u64, count: u64) -> io::Result<()> {
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&key.to_le_bytes());
        slot[8..].copy_from_slice(&count.to_le_bytes());
        self.file.write_all_at(&slot, at)
    }

    fn double(&mut self) -> io::Result<()> {
        let mut larger = Self::of_pages(self.pages * 2)?;
        let mut page = [0; PAGE];
        for number in 0..self.pages {
            self.file.read_exact_at(&mut page, number * PAGE as u64)?;
            for (key, count) in slots(&page).filter(|(key, _)| *key != 0) {
                let Slot { at, .. } = larger.find(key)?;
                larger.put(at, key, count)?;
            }
        }
        larger.taken = self.taken;
        *self = larger;
        Ok(())
    }
}

/// The keys of a page and their counts.
fn slots(page: &[u8; PAGE]) -> impl Iterator<Item = (u64, u64)> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    page.as_chunks::<SLOT>().0.iter().map(move |slot| (number(&slot[..8]), number(&slot[8..])))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn counts_are_those_of_a_map_also_while_the_file_doubles() {
        let mut counts = CountsFile::of_pages(2).expect("a temporary file");
        let mut expected: HashMap<u64, u64> = HashMap::new();
        for n in 0..20_000_u64 {
            // Some keys come again, some crowd the last page, so that what follows is on the first one.
            let key = match n % 4 {
                0 => u64::MAX - n % 900,
                1 => n % 50,
                _ => n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            };
            let before = expected.entry(if key == 0 { INSTEAD_OF_ZERO } else { key }).or_default();
            assert_eq!(counts.count(key).expect("counts"), *before, "key {key}");
            *before += 1;
        }
        assert!(counts.pages > 2 && counts.taken == expected.len() as u64, "{counts:?}");
    }
}
