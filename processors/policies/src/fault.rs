//! Faults of policies, templates and catalogues, with their locations.

use std::fmt;

use serde::Serialize;

/// Reason for rejecting a file or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// The file's name within its set.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The reason and, where possible, the remedy.
    pub reason: String,
}

impl Fault {
    pub(crate) fn new(file: &str, line: Option<usize>, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.file, self.reason),
            None => write!(formatter, "{}: {}", self.file, self.reason),
        }
    }
}
