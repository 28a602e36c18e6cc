//! Foreign records: how they are found in a file, and how each becomes an envelope. Pure but for reading.

pub mod cloudtrail;
pub mod elements;
