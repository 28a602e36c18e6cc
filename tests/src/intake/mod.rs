//! Records that other systems and people send to the gateway: from the request over a real Kafka to rows,
//! once.

mod corpus;
mod decisions;
pub(crate) mod door;
pub(crate) mod four_eyes;
mod java_sdk;
mod long_values;
mod outage;
mod rows;
mod s3;
mod searches;
mod senders;
mod waived;
mod ways;
