//! Read models: one module per table, holding how it is written and how it is read.

mod aliases;
pub mod audit_entry;
pub mod change_review;
pub mod completeness;
pub mod compliance;
mod computed;
pub mod cost;
pub(crate) mod parameters;
pub mod pipeline;
pub mod retention;
pub mod risk;
pub(crate) mod snapshot;
mod stored_content;
mod writing;

pub(crate) use snapshot::writer_pool;
pub use snapshot::{
    MAX_PAGE_BYTES, Page, PageAt, Positions, ReadError, STATEMENT_TIMEOUT, companion_pool, reader_pool,
};
pub use writing::{Fact, ReadModel, WritePath};
