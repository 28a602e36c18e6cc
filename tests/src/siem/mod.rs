//! Delivery to SIEMs: published contracts of receivers as cases, and sinks on real servers under faults.

mod backfill;
mod completeness;
mod delivery;
mod formats;
mod kills;
mod notices;
mod parking_limit;
mod receiver;
mod receivers;
