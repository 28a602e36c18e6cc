//! Legal holds and erasures: `retention_decision` holds what was decided, `legal_hold` and `erasure` what
//! follows from it, `erasure_progress` how far each erasure is. The last is written by the worker that
//! carries erasures out ([`crate::retention`]).

pub mod read;
mod write;

pub use write::RetentionDecisions;
