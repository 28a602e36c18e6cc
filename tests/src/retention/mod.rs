//! Removal of data: of erased people, and of rows past their retention period.

mod erasure;
mod fixture;
mod retiring;
