//! Fixtures shared by the processors' tests.

pub(crate) mod corpus;
