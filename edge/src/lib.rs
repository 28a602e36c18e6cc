//! The HTTP layer that all services share: listeners, and processing of requests and responses around the
//! routes.
//!
//! A [`Listener`] accepts connections within limits, terminates TLS if configured ([`tls`]), speaks HTTP/1.1,
//! or HTTP/2 if negotiated by ALPN, and shuts down without cutting responses off.
//!
//! The rest are the parts of a service: [`service`] wraps all routes (ids, spans, problems, headers);
//! [`access`] guards those that need a credential ([`admission`], [`credential`], [`key_ring`], [`identity`],
//! [`rates`], [`quotas`], [`peer`]); [`tenants`] holds limits and usage by tenant, [`trail`] admissions and refusals for
//! the audit log, [`health`] the probes, [`api_error`] the error responses, and [`openapi`] the common parts
//! of the API documents. [`outbound`] makes clients that ask others.

pub mod access;
pub mod admission;
pub mod api_error;
pub mod credential;
pub mod head;
pub mod health;
pub mod identity;
mod in_hand;
pub mod key_ring;
mod listener;
mod metrics_text;
pub mod openapi;
pub mod outbound;
pub mod peer;
pub mod quotas;
pub mod rates;
pub mod service;
mod serving;
mod slots;
mod stalled;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod trail;

pub use listener::{ConnectionLimits, Listen, ListenError, Listener, Open};
pub use metrics_text::RenderMetrics;
