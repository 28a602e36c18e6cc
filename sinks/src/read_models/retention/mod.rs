//! Legal holds, erasures and saved searches: `retention_decision` holds what was decided, `legal_hold`, `erasure` and
//! `saved_search` what follows from it, `erasure_progress` how far each erasure is. The last is written by the worker that
//! carries erasures out ([`crate::retention`]).

pub mod read;
pub mod searches;
mod write;

pub use write::RetentionDecisions;
