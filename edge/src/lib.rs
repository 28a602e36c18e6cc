//! The HTTP edge: what every listener of Weir does before a request reaches a route, and after its answer.
//!
//! A [`Listener`] accepts connections within limits, ends TLS where it is configured ([`tls`]), speaks HTTP/1.1, or
//! HTTP/2 where ALPN agreed on it, and stops without cutting answers off. Beside it stands what the routes of several
//! services need to know of their callers: who they are and whether they may ([`admission`], [`credential`]), where
//! they are ([`peer`]), how often they ask ([`rates`]), whether their request's head is acceptable ([`head`]).

pub mod admission;
pub mod credential;
pub mod head;
mod in_hand;
mod listener;
mod metrics_text;
pub mod peer;
pub mod rates;
mod serving;
mod slots;
mod stalled;
#[cfg(test)]
mod tests;
pub mod tls;

pub use listener::{ConnectionLimits, Listen, ListenError, Listener, Open};
pub use metrics_text::RenderMetrics;
