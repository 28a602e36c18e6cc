//! `audit_entry`: one row per event, what people filter by in columns, the whole OCSF record compressed beside it.

mod append;
mod attested;
mod copies;
mod decode;
mod dictionary;
pub(crate) mod erased;
pub mod facets;
mod filter;
mod handover;
mod keys;
mod partitions;
pub mod read;
mod search;
mod subjects;
pub(crate) mod terms;
mod unlogged;
pub mod upkeep;
mod window;
mod write;

pub use unlogged::UnloggedEntries;
pub use write::AuditEntries;
