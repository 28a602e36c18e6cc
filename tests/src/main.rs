//! Whatever crosses crates, on real servers. Each module is one promise.

mod architecture;
mod audit_mapping;
mod change_review;
mod command;
mod compose;
mod dashboards;
mod dead_letter;
mod docs;
mod edge;
mod faults;
mod intake;
mod log_continuity;
mod postgres_sink;
mod query_api;
mod risk;
mod rules;
mod stack;
mod stage;
mod support;
mod topology;
mod transactions;
