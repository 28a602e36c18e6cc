//! Risk: who and what is dangerous, and why.

pub mod rules;
pub mod sigma;
