//! Reading risk: the leaderboard, one entity with its reasons, its signals, and incidents.

mod changed;
pub mod entities;
pub mod entity;
pub mod incidents;
pub mod signals;
pub mod unusable;

/// The stage that fills the tables; its positions say what an answer reflects.
pub use schemas::changes::risk::STAGE;
