//! Read models: one module per table, holding how it is written and how it is read.

pub mod audit_entry;
pub mod change_review;
mod computed;
pub mod pipeline;
pub mod risk;
mod snapshot;
mod writing;

pub use snapshot::{Page, Positions, ReadError, STATEMENT_TIMEOUT, reader_pool};
pub use writing::{Fact, ReadModel, WritePath};
