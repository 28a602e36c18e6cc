//! Parked records are replayed or discarded, and no record is lost or doubled by it.

mod fixture;
mod flood;
mod mended;
mod refused;
mod schemas_by_guid;
