//! Arithmetic of cost: pure functions over prices, charges, intervals of resources, and daily series.
//!
//! Money is decimal and never passes through a float. Statistics (forecasts, expected ranges) are floating point and are
//! estimates by nature. Nothing here reads a clock, a database or a file.

pub mod accrual;
pub mod allocation;
pub mod anomaly;
pub mod budget;
pub mod estimate;
pub mod forecast;
pub mod kubernetes;
pub mod lifecycle;
pub mod prices;
pub mod recommend;
mod service_category;
pub mod utilisation;

pub use service_category::service_category;
