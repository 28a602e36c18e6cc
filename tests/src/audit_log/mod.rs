//! The tamper-evident log: its formats against published vectors, its rows and roots in the database, and what is found
//! after somebody has tampered with it.

mod columns;
mod cosigned;
mod records;
mod tampering;
pub(crate) mod topic;
mod vectors;
