//! A topic's log: records, and markers that readers do not see.

use std::{collections::BTreeMap, sync::Mutex};

use sinks::TopicPartition;

/// Effect of a record on its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Becomes a row.
    Good,
    /// Cannot be decoded.
    Poison,
    /// Can be decoded, but the store refuses its row.
    RefusedByStore,
    /// Can be decoded, but the store takes too long over its row, every time.
    Endless,
    /// Nothing follows.
    Ignored,
    /// Takes an offset and is not seen: a transaction's marker.
    MarkerOnly,
}

impl Content {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Good => b'g',
            Self::Poison => b'p',
            Self::RefusedByStore => b'r',
            Self::Endless => b'e',
            Self::Ignored => b'i',
            Self::MarkerOnly => b'm',
        }
    }
}

/// Every partition's records; an offset is an index.
#[derive(Debug)]
pub(super) struct Log {
    partitions: Mutex<BTreeMap<TopicPartition, Vec<Content>>>,
}

impl Log {
    pub(super) fn new(partitions: Vec<TopicPartition>) -> Self {
        Self { partitions: Mutex::new(partitions.into_iter().map(|at| (at, Vec::new())).collect()) }
    }

    pub(super) fn append(&self, at: TopicPartition, content: Content) {
        self.with(at, |records| records.push(content));
    }

    pub(super) fn end(&self, at: TopicPartition) -> i64 {
        self.with(at, |records| i64::try_from(records.len()).expect("short"))
    }

    /// The first record at or after the offset that readers see.
    pub(super) fn read(&self, at: TopicPartition, from: i64) -> Option<(i64, Content)> {
        self.visible(at).into_iter().find(|(offset, _)| *offset >= from)
    }

    /// Records that readers see, with offsets.
    pub(super) fn visible(&self, at: TopicPartition) -> Vec<(i64, Content)> {
        self.with(at, |records| {
            let numbered = (0..).zip(records.iter().copied());
            numbered.filter(|(_, content)| *content != Content::MarkerOnly).collect()
        })
    }

    fn with<R>(&self, at: TopicPartition, look: impl FnOnce(&mut Vec<Content>) -> R) -> R {
        look(self.partitions.lock().expect("no test panics inside").get_mut(&at).expect("a known partition"))
    }
}
