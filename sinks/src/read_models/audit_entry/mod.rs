//! `audit_entry`: one row per event, what people filter by in columns, the whole OCSF record compressed beside it.

mod append;
mod handover;
pub mod read;
mod write;

pub use write::AuditEntries;
