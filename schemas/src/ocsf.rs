//! OCSF records as published on `weir.audit.v1` and `weir.findings.v1`: Weir's own JSON, read for delivery to
//! SIEMs.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{EventId, ParkReason, TenantId, Timestamp};

/// Header of a record that is for one sink alone: the sink's name.
pub const SINK_HEADER: &str = "weir-sink";

/// An OCSF record in JSON, with the members that decide on its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcsfEvent {
    /// `metadata.uid`: the event's or finding's id, by which receivers recognise duplicates.
    pub id: EventId,
    /// `metadata.tenant_uid`.
    pub tenant: TenantId,
    /// `time`.
    pub time: Timestamp,
    /// `class_uid`, for example 6003 (API Activity) or 2004 (Detection Finding).
    pub class_uid: i64,
    /// `severity_id`, 0 (unknown) to 6 (fatal) and 99 (other).
    pub severity_id: i64,
    /// Its place in its log; findings have none.
    pub place: Option<Arc<LogPlace>>,
    /// The only sink that it is for; `None`: it is for every one.
    pub only_for: Option<Box<str>>,
    /// The record itself: one JSON object.
    pub json: Bytes,
}

/// An audit record's place in its log, as `unmapped.record_integrity` states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPlace {
    /// `<topic>/<partition>`.
    pub log: String,
    /// The entry's index in it.
    pub index: u64,
    /// The entry's leaf, in hexadecimal.
    pub leaf: String,
    /// The leaf of the entry before; the first has none.
    pub previous: Option<String>,
}

/// Error of reading an OCSF record.
#[derive(Debug, thiserror::Error)]
pub enum OcsfFault {
    /// Not a JSON object, or a required member is missing.
    #[error("not an OCSF record: {0}")]
    Json(#[from] serde_json::Error),
    /// A member has an invalid value.
    #[error("{0} of the OCSF record is not valid")]
    Member(&'static str),
}

impl OcsfFault {
    /// The reason under which a stage parks the record.
    pub fn reason(&self) -> ParkReason {
        match self {
            Self::Json(_) => ParkReason::Undecodable,
            Self::Member("metadata.tenant_uid") => ParkReason::TenantMissing,
            Self::Member(_) => ParkReason::EnvelopeInvalid,
        }
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    time: i64,
    class_uid: i64,
    #[serde(default)]
    severity_id: i64,
    #[serde(borrow)]
    metadata: Metadata<'a>,
    /// Whatever it is: only the log writes a place in it.
    #[serde(borrow)]
    unmapped: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    uid: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    tenant_uid: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Unmapped {
    record_integrity: Option<Integrity>,
}

#[derive(Deserialize)]
struct Integrity {
    attestation_list: [Attestation; 1],
    index: u64,
    log: String,
}

#[derive(Deserialize)]
struct Attestation {
    fingerprint: Fingerprint,
    prev_event: Option<Before>,
}

#[derive(Deserialize)]
struct Before {
    fingerprint: Fingerprint,
}

#[derive(Deserialize)]
struct Fingerprint {
    value: String,
}

impl LogPlace {
    /// The place that the object `unmapped` of a record states, if it states one.
    fn stated(unmapped: &str) -> Option<Self> {
        let unmapped: Unmapped = serde_json::from_str(unmapped).ok()?;
        let Integrity { attestation_list: [attestation], index, log } = unmapped.record_integrity?;
        Some(Self {
            log,
            index,
            leaf: attestation.fingerprint.value,
            previous: attestation.prev_event.map(|before| before.fingerprint.value),
        })
    }
}

impl OcsfEvent {
    /// Reads a record that is for every sink; `json` is kept unchanged.
    pub fn from_json(json: Bytes) -> Result<Self, OcsfFault> {
        let members: Members<'_> = serde_json::from_slice(&json)?;
        let id = members.metadata.uid.parse::<uuid::Uuid>().ok().and_then(EventId::new);
        let record = Self {
            id: id.ok_or(OcsfFault::Member("metadata.uid"))?,
            tenant: TenantId::new(&members.metadata.tenant_uid)
                .map_err(|_| OcsfFault::Member("metadata.tenant_uid"))?,
            time: Timestamp::from_timestamp_millis(members.time).ok_or(OcsfFault::Member("time"))?,
            class_uid: members.class_uid,
            severity_id: members.severity_id,
            place: members.unmapped.and_then(|own| LogPlace::stated(own.get())).map(Arc::new),
            only_for: None,
            json: Bytes::new(),
        };
        Ok(Self { json, ..record })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

    fn read(text: &str) -> Result<OcsfEvent, OcsfFault> {
        OcsfEvent::from_json(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_record_is_read_for_what_decides_where_it_goes_and_kept_as_it_is() {
        let text = format!(
            r#"{{"class_uid":2004,"severity_id":4,"time":1780000000123,"metadata":{{"uid":"{ID}","tenant_uid":"acme"}},"x":"\u00e9"}}"#
        );
        let record = read(&text).expect("a record");
        assert_eq!((record.class_uid, record.severity_id), (2004, 4));
        assert_eq!((record.id.to_string().as_str(), record.tenant.as_str()), (ID, "acme"));
        assert_eq!((record.time.timestamp_millis(), &record.json[..]), (1_780_000_000_123, text.as_bytes()));
    }

    #[test]
    fn a_place_is_read_where_it_is_stated_and_missed_by_nobody_elsewhere() {
        let with = |unmapped: &str| {
            let text = format!(
                r#"{{"class_uid":6003,"time":0,"metadata":{{"uid":"{ID}","tenant_uid":"acme"}},"unmapped":{unmapped}}}"#
            );
            read(&text).expect("a record").place
        };
        let stated = r#"{"record_integrity":{"attestation_list":[{"fingerprint":{"value":"ab"},"prev_event":
            {"fingerprint":{"value":"cd"},"uid":"l/0#6"}}],"checkpoint":"note","index":7,"log":"l/0"},"x":1}"#;
        let place = LogPlace { log: "l/0".into(), index: 7, leaf: "ab".into(), previous: Some("cd".into()) };
        assert_eq!(with(stated).as_deref(), Some(&place));
        for none in
            ["null", "{}", "7", "\"\"", r#"{"record_integrity":{"index":7}}"#, r#"{"record_integrity":1}"#]
        {
            assert_eq!(with(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_none_says_why() {
        let with = |time: &str, uid: &str, tenant: &str| {
            read(&format!(
                r#"{{"class_uid":6003,"time":{time},"metadata":{{"uid":"{uid}","tenant_uid":"{tenant}"}}}}"#
            ))
            .map_err(|fault| fault.reason())
        };
        assert!(with("0", ID, "acme").is_ok());
        assert_eq!(with("0", "7", "acme"), Err(ParkReason::EnvelopeInvalid));
        assert_eq!(with("0", ID, ""), Err(ParkReason::TenantMissing));
        assert_eq!(with("9223372036854775807", ID, "acme"), Err(ParkReason::EnvelopeInvalid));
        for text in ["", "[]", "nonsense", "{}", &"[".repeat(100_000)] {
            assert_eq!(read(text).map_err(|fault| fault.reason()), Err(ParkReason::Undecodable));
        }
    }
}
