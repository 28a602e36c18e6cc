//! Notices from a worker to its poll thread: bounded by the number of partitions, newest wins.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sinks::{HaltReason, TopicPartition};

/// A board that the worker writes to and the poll thread clears.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    news: AtomicBool,
    board: Mutex<Board>,
}

/// Notices since the board was last read.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// The position reached.
    pub(crate) settled: BTreeMap<TopicPartition, i64>,
    /// Deliveries under this owner epoch came too late.
    pub(crate) fenced: BTreeMap<TopicPartition, i64>,
    /// Halted partitions, with the owner epoch that found the reason.
    pub(crate) halted: BTreeMap<TopicPartition, (i64, HaltReason)>,
}

impl Notices {
    /// Adds to the board.
    pub(crate) fn post(&self, write: impl FnOnce(&mut Board)) {
        write(&mut self.board.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.store(true, Ordering::Release);
    }

    /// Takes the board's content, if it has any.
    pub(crate) fn take(&self) -> Option<Board> {
        let news = self.news.swap(false, Ordering::AcqRel);
        news.then(|| std::mem::take(&mut *self.board.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
