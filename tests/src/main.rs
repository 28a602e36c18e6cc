//! Whatever crosses crates, on real servers. Each module is one promise.

mod architecture;
mod audit_log;
mod audit_mapping;
mod change_review;
mod command;
mod compose;
mod dashboards;
mod dead_letter;
mod docs;
mod edge;
mod faults;
mod http_stage;
mod intake;
mod log_continuity;
mod openapi;
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
