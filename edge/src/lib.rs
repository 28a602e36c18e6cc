//! The HTTP edge: what every listener of Weir does before a request reaches a route, and after its answer.
//!
//! A [`Listener`] accepts connections within limits, ends TLS where it is configured ([`tls`]), speaks HTTP/1.1, or
//! HTTP/2 where ALPN agreed on it, and stops without cutting answers off.
//!
//! The rest is the kit that every HTTP service is built of: [`service`] is around all routes (ids, spans, problems,
//! headers), [`access`] in front of those that need a credential ([`admission`], [`credential`], [`identity`], [`rates`], [`peer`]),
//! [`tenants`] beside them for what each tenant may use, [`health`], [`api_error`] the answer of whatever is refused, [`openapi`] what all documents share.

pub mod access;
pub mod admission;
pub mod api_error;
pub mod credential;
pub mod head;
pub mod health;
pub mod identity;
mod in_hand;
mod listener;
mod metrics_text;
pub mod openapi;
pub mod peer;
pub mod rates;
pub mod service;
mod serving;
mod slots;
mod stalled;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod tls;

pub use listener::{ConnectionLimits, Listen, ListenError, Listener, Open};
pub use metrics_text::RenderMetrics;
