//! Types that a topic's records are read as.

use bytes::Bytes;

use super::{DecodeError, Decoded, Incoming, SchemaLookup, decode, decode_shared};
use crate::{Envelope, EventId, OcsfEvent, TenantId, ocsf::SINK_HEADER};

/// A type that a stage reads a topic's records as.
pub trait Readable: Clone + Send + Sync + 'static {
    /// Reads a record; `None` is a tombstone. With `shared` (the record's value), the result shares its
    /// memory.
    fn read(
        incoming: &Incoming<'_>,
        shared: Option<&Bytes>,
        schemas: &impl SchemaLookup,
    ) -> Result<Option<Self>, DecodeError>;

    /// Tenant and id.
    fn identity(&self) -> (TenantId, EventId);
}

impl Readable for Envelope {
    fn read(
        incoming: &Incoming<'_>,
        shared: Option<&Bytes>,
        schemas: &impl SchemaLookup,
    ) -> Result<Option<Self>, DecodeError> {
        let decoded = match shared {
            Some(value) => decode_shared(incoming, value, schemas)?,
            None => decode(incoming, schemas)?,
        };
        match decoded {
            Decoded::Event(envelope) => Ok(Some(*envelope)),
            Decoded::Tombstone => Ok(None),
        }
    }

    fn identity(&self) -> (TenantId, EventId) {
        (self.tenant.clone(), self.id)
    }
}

impl Readable for OcsfEvent {
    fn read(
        incoming: &Incoming<'_>,
        shared: Option<&Bytes>,
        _: &impl SchemaLookup,
    ) -> Result<Option<Self>, DecodeError> {
        let Some(value) = incoming.value else { return Ok(None) };
        let bytes = shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(value));
        let headers = incoming.headers.iter().filter(|(name, _)| *name == SINK_HEADER);
        let only_for = headers.filter_map(|(_, value)| str::from_utf8((*value)?).ok()).next_back();
        Self::from_json(bytes)
            .map(|record| Some(Self { only_for: only_for.map(Into::into), ..record }))
            .map_err(|fault| DecodeError::Refused { reason: fault.reason(), detail: fault.to_string() })
    }

    fn identity(&self) -> (TenantId, EventId) {
        (self.tenant.clone(), self.id)
    }
}
