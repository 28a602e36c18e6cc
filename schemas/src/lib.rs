//! Types that cross crate boundaries in Weir: envelopes, events, the changes that processors hand to sinks,
//! topics, credentials, problems, and the only codec between them and bytes. No I/O, no clock, no async.

pub mod access;
mod canonical;
mod canonical_json;
pub mod changes;
pub mod codec;
mod decimal_text;
pub mod envelope;
pub mod events;
mod few_types;
mod instant_text;
mod ocsf;
mod park_reason;
pub mod problem;
pub mod text;
pub mod topics;

pub use canonical_json::canonical_json;
pub use decimal_text::DecimalText;
pub use envelope::{Envelope, EventId, Native, Source, TenantId, Timestamp, TraceContext};
pub use events::Event;
pub use instant_text::rfc3339;
pub use ocsf::{LogPlace, OcsfEvent, OcsfFault, SINK_HEADER};
pub use park_reason::ParkReason;
pub use topics::Topic;
