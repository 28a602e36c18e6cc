//! Whatever crosses crates, on real servers. Each module is one promise.

mod stack;
