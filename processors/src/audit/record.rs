//! The OCSF 1.8.0 record: one struct for every class that Weir writes.
//!
//! Attributes are in alphabetical order, numbers are integers below 2^53, and every key is fixed: maps
//! become lists of name and value. So the JSON text is already in the canonical form of RFC 8785.

use std::cell::RefCell;

use schemas::{Envelope, EventId, changes::OcsfRecord};
use serde::{Serialize, Serializer};

use super::{
    class::{Activity, Class},
    object::{
        Actor, Api, Cloud, Compliance, Device, Endpoint, FindingInfo, HttpRequest, Named, Product, Resources,
        Session, TypedEntity, User,
    },
    unmapped::Unmapped,
};

/// The version of OCSF that records are written in.
pub(super) const OCSF_VERSION: &str = "1.8.0";

/// One record. An attribute that the class does not have stays `None`.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    pub(super) activity_id: i32,
    pub(super) activity_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<Actor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api: Option<Api<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app: Option<Product<'a>>,
    category_uid: i32,
    class_name: &'static str,
    pub(super) class_uid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cloud: Option<Cloud<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compliance: Option<Compliance<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) database: Option<TypedEntity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) databucket: Option<TypedEntity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device: Option<Device<'a>>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entity: Option<TypedEntity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finding_info: Option<FindingInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http_request: Option<HttpRequest<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_mfa: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    pub(super) metadata: Metadata<'a>,
    /// Marker; the native record itself follows the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_data: Option<&'static str>,
    #[serde(skip_serializing_if = "Resources::is_empty")]
    pub(super) resources: Resources<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Session<'a>>,
    pub(super) severity: &'a str,
    pub(super) severity_id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) src_endpoint: Option<Endpoint<'a>>,
    pub(super) status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_detail: Option<&'a str>,
    pub(super) status_id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<Named<'a>>,
    /// Milliseconds since 1970.
    time: i64,
    type_uid: i32,
    #[serde(skip_serializing_if = "Unmapped::is_empty")]
    pub(super) unmapped: Unmapped<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<User<'a>>,
}

impl<'a> Record<'a> {
    /// A record with the attributes of every class, taken from the envelope.
    pub(super) fn new(envelope: &'a Envelope, class: Class, activity: Activity<'a>) -> Self {
        Self {
            activity_id: activity.id,
            activity_name: activity.name,
            actor: None,
            api: None,
            app: None,
            category_uid: class.category_uid(),
            class_name: class.name(),
            class_uid: class.uid(),
            cloud: None,
            comment: None,
            compliance: None,
            database: None,
            databucket: None,
            device: None,
            duration: None,
            entity: None,
            finding_info: None,
            http_request: None,
            is_mfa: None,
            message: None,
            metadata: Metadata::of(envelope),
            raw_data: envelope.native.as_ref().map(|_| OcsfRecord::BESIDE),
            resources: Resources::default(),
            service: None,
            session: None,
            severity: "Informational",
            severity_id: 1,
            src_endpoint: None,
            status: "Unknown",
            status_code: None,
            status_detail: None,
            status_id: 0,
            table: None,
            time: envelope.occurred_at.timestamp_millis(),
            type_uid: class.uid() * 100 + activity.id,
            unmapped: Unmapped {
                causation_id: envelope.causation_id.as_deref(),
                subject: envelope.subject.as_deref(),
                traceparent: envelope.trace.as_ref().map(|trace| trace.traceparent.as_str()),
                tracestate: envelope.trace.as_ref().and_then(|trace| trace.tracestate.as_deref()),
                ..Unmapped::default()
            },
            user: None,
        }
    }

    /// The record as JSON text, with its native record.
    pub(super) fn finish(&self, envelope: &Envelope) -> OcsfRecord {
        let json = TEXT.with_borrow_mut(|text| {
            text.clear();
            serde_json::to_writer(&mut *text, self)
                .expect("strings, integers and lists always have a JSON form");
            let json = text.as_slice().to_vec();
            text.shrink_to(MAX_KEPT_BYTES);
            json
        });
        OcsfRecord::new(json, envelope.native.as_ref().map(|native| native.record.clone()))
    }
}

/// Room for a text that is kept from one record to the next, in bytes.
const MAX_KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    /// The text in the making: the record gets a copy of exactly its length.
    static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// OCSF `metadata`.
#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_uid: Option<&'a str>,
    event_code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<&'a str>,
    log_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_event_uid: Option<&'a str>,
    original_time: String,
    product: Product<'static>,
    #[serde(skip_serializing_if = "Profiles::is_empty")]
    pub(super) profiles: Profiles,
    source: &'a str,
    tenant_uid: &'a str,
    uid: EventId,
    version: &'static str,
}

impl<'a> Metadata<'a> {
    fn of(envelope: &'a Envelope) -> Self {
        Self {
            correlation_uid: envelope.correlation_id.as_deref(),
            event_code: envelope.event.ce_type(),
            labels: labels(envelope),
            log_format: envelope.native.as_ref().map(|native| native.format.as_str()),
            log_name: envelope.event.topic().name(),
            original_event_uid: envelope.original_id.as_deref(),
            original_time: envelope.occurred_at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            product: Product { name: Some("Weir"), vendor_name: Some("Weir"), ..Product::default() },
            profiles: Profiles::default(),
            source: envelope.source.as_str(),
            tenant_uid: envelope.tenant.as_str(),
            uid: envelope.id,
            version: OCSF_VERSION,
        }
    }
}

/// Labels for a `time` that is not the time of the event: the source's clock runs ahead, or the event has no
/// time.
fn labels(envelope: &Envelope) -> Vec<&'static str> {
    let all = [(envelope.skewed, "skewed"), (envelope.time_assumed, "time_assumed")];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, label)| label).collect()
}

/// OCSF profiles of a record, which add attributes independent of the class.
#[derive(Default)]
pub(super) struct Profiles {
    /// `cloud`, and in some classes `api`.
    pub(super) cloud: bool,
    /// `actor`, in classes that do not define it.
    pub(super) host: bool,
}

impl Profiles {
    fn is_empty(&self) -> bool {
        !self.cloud && !self.host
    }
}

impl Serialize for Profiles {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq([(self.cloud, "cloud"), (self.host, "host")].iter().filter(|p| p.0).map(|p| p.1))
    }
}
