//! The stages of the pipeline, and the runtime that runs them. Start reading at `pipeline.rs`.

pub mod budgets;
pub mod pipeline;
pub mod runtime;
pub mod siem;
pub mod topology;
