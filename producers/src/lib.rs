//! Where data enters Weir: foreign records become envelopes ([`sources`]), files are brought in ([`import`]),
//! a believable organisation is played ([`generate`]), and all of it reaches Kafka through one [`kafka::Producer`].

pub mod gateway;
pub mod generate;
pub mod import;
pub mod kafka;
pub mod registry;
pub mod sources;
