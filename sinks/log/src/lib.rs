//! The tamper-evident log: what an entry is, how entries make a tree, and how anybody checks it.
//!
//! Every partition of an input topic has one log, `<topic>/<partition>`; its entries are the records of `audit_entry` in
//! the order of their offsets. Nothing here does I/O, and time is an argument.

pub mod checkpoint;
pub mod columns;
pub mod hash;
pub mod integrity;
mod json;
pub mod keys;
mod personal;
pub mod proof;
pub mod record;
pub mod retired;
pub mod tile;
pub mod tree;
pub mod verify;
pub mod witness;

pub use hash::{Hash, Salt, SubjectKey, SubjectSecret};
pub use json::Malformed;
pub use personal::PERSONAL;
