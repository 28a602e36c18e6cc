//! Parked records are published anew or given up, and nothing is lost or doubled by it.

mod fixture;
mod flood;
mod mended;
mod refused;
mod schemas_by_guid;
