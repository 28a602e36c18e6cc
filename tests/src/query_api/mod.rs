//! The query API over HTTP, on a real database.

mod entries;
mod faults;
mod fixture;
mod positions;
mod tenants;
