//! Whatever crosses crates, on real servers. Each module is one promise.

mod architecture;
mod audit_log;
mod audit_mapping;
mod change_review;
mod command;
mod compose;
mod dead_letter;
mod edge;
mod faults;
mod http_stage;
mod intake;
mod log_continuity;
mod outbox;
mod postgres_sink;
mod query_api;
mod risk;
mod rules;
mod stack;
mod stage;
mod support;
mod tables;
mod topology;
mod transactions;
