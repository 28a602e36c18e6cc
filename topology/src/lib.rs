//! What is connected to what, and what runs it. Start reading at `pipeline.rs`.

pub mod pipeline;
pub mod runtime;
pub mod siem;
pub mod topology;
