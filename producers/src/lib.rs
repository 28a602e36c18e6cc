//! Producers: mapping of foreign records to envelopes ([`sources`]), import of files ([`import`]), generated
//! events ([`generate`]); all of it reaches Kafka through one [`kafka::Producer`].

pub mod gateway;
pub mod generate;
pub mod import;
pub mod kafka;
pub mod registry;
pub mod sources;
