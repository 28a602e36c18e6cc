//! What the tests of several processors need.

pub(crate) mod corpus;
