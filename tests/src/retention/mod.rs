//! What goes from the tables again: erased people's data, and what is older than it must be kept.

mod erasure;
mod fixture;
mod retiring;
