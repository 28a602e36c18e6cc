//! Unpacks records from carriers: an event bus, a log subscription, a queue, a delivery stream, a lookup.
//!
//! | carrier | shape | what is taken |
//! |---|---|---|
//! | Amazon EventBridge | `{"detail-type", "detail": {…}}` | `detail` |
//! | CloudWatch Logs subscription | `logEvents[]`, `{"awslogs": {"data"}}` | `message` |
//! | `aws cloudtrail lookup-events` | `Events[]` | `CloudTrailEvent` |
//! | CloudTrail Lake | `{"eventData"}` or `{"eventJson"}`, `QueryResultRows[][]` | that member, the row's columns |
//! | Amazon Data Firehose, Kinesis | `records[]` of `{"data"}` or `{"kinesis": {"data"}}`, base64 | the data, also gzipped |
//! | Amazon SNS, SQS | `{"Type": "Notification", "Message"}`, `Messages[]` of `{"messageId", "body"}` | the text |
//! | Google Pub/Sub | `{"message": {"data": base64}, "subscription"}`, `receivedMessages[]` | the data |
//! | Azure Event Grid, Eventarc, CDEvents | `{"eventType" or "type", "data": {…}}` | `data` |
//! | Okta event hook | `{"eventType": "com.okta.event_hook", "data": {"events"}}` | the events |
//! | log shippers, Splunk, Elasticsearch | see [`shippers`] | the line, as text or parsed |
//!
//! Records of exports in lower case get the spelling of their source ([`exported`]).
//!
//! Messages that only reference records, or contain none by design (S3 notifications, digest files,
//! confirmations of subscriptions), are rejected by name, with advice.

mod exported;
mod lake;
mod room;
mod shippers;

use std::io::Read as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::MultiGzDecoder;
use schemas::Timestamp;

pub(super) use self::room::Full;
pub use self::room::Room;
use super::{
    SourceFormat,
    elements::{Element, ElementDefect, Elements, MAX_ELEMENT_BYTES},
    fields::Fields,
};

/// Maximum nesting of carriers: a queue's message with a bus's event with a log line has three layers.
const MAX_LAYERS: usize = 5;
/// Maximum decompressed size of a carrier, in bytes.
const MAX_UNFOLDED_BYTES: usize = 16 * 1024 * 1024;
const PIECE_BYTES: usize = 16 * 1024;

/// Data from a record's carrier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Around {
    /// Time of the event.
    pub time: Option<Timestamp>,
    /// Id of the carrier, if it is that of the record.
    pub id: Option<String>,
    /// Account of the record.
    pub account: Option<String>,
}

/// An unpacked record, or its defect.
#[derive(Debug)]
pub(super) struct Unwrapped {
    pub(super) text: Result<String, ElementDefect>,
    pub(super) around: Around,
}

/// Records that an object carries; the object itself if it carries none.
pub(super) fn unwrap(
    text: String,
    format: SourceFormat,
    room: &mut Room<'_>,
) -> Result<Vec<Unwrapped>, Full> {
    let mut opening = Opening { format, room, found: Vec::new() };
    opening.open(text, Around::default(), 0)?;
    Ok(opening.found)
}

/// An object whose carriers are being opened.
struct Opening<'r, 'a> {
    format: SourceFormat,
    room: &'r mut Room<'a>,
    found: Vec<Unwrapped>,
}

impl Opening<'_, '_> {
    fn open(&mut self, text: String, around: Around, layers: usize) -> Result<(), Full> {
        let text = if text.starts_with('[') { lake::record_of(&text).unwrap_or(text) } else { text };
        let may_carry = layers < MAX_LAYERS && may_carry(&text);
        let carried = if may_carry { carried(&text, self.format, self.room) } else { Carried::Nothing };
        match carried {
            Carried::Nothing if text.starts_with('[') => self.take(Err(ElementDefect::NotAnObject), around),
            Carried::Nothing => {
                let text = exported::respelled(self.format, &text).unwrap_or(text);
                self.take(Ok(text), around)
            }
            Carried::Empty => Ok(()),
            Carried::Refused(reason) => self.take(Err(ElementDefect::Carrier(reason)), around),
            Carried::Elsewhere(reason) => self.take(Err(ElementDefect::NoRecords(reason)), around),
            Carried::TooMuch(full) => Err(full),
            Carried::Records(inner, told) => {
                // A layer's text is gone before the next one is opened.
                drop(text);
                let around = Around {
                    time: told.time.or(around.time),
                    id: told.id.or(around.id),
                    account: told.account.or(around.account),
                };
                self.open_each(&inner, &around, layers)
            }
        }
    }

    fn open_each(&mut self, inner: &str, around: &Around, layers: usize) -> Result<(), Full> {
        let mut elements = 0;
        for element in Elements::listed_in(inner.as_bytes(), self.format.row().lists) {
            elements += 1;
            match element {
                Ok(Element { text: Ok(text), .. }) => self.open(text, around.clone(), layers + 1)?,
                Ok(Element { text: Err(defect), .. }) => self.take(Err(defect), around.clone())?,
                Err(_) => {
                    self.take(Err(ElementDefect::Malformed), around.clone())?;
                    break;
                }
            }
        }
        if elements == 0 && !inner.trim().is_empty() && inner.trim() != "[]" {
            self.take(Err(ElementDefect::Malformed), around.clone())?;
        }
        Ok(())
    }

    fn take(&mut self, text: Result<String, ElementDefect>, around: Around) -> Result<(), Full> {
        self.room.take_record()?;
        self.found.push(Unwrapped { text, around });
        Ok(())
    }
}

enum Carried {
    /// The object is itself a record.
    Nothing,
    /// A carrier's own message, without records: a test of the connection.
    Empty,
    /// JSON texts, with data from the carrier.
    Records(String, Around),
    /// A carrier without readable records; its description, and advice.
    Refused(&'static str),
    /// Not a carrier of records; its description, and where the records are.
    Elsewhere(&'static str),
    /// A carrier that unpacks to more than there is room for.
    TooMuch(Full),
}

/// A cheap check before parsing: most records have no carrier.
fn may_carry(text: &str) -> bool {
    const MEMBERS: [&str; 33] = [
        "\"detail-type\"",
        "\"message\"",
        "\"awslogs\"",
        "\"CloudTrailEvent\"",
        "\"EventId\"",
        "\"eventJson\"",
        "\"eventData\"",
        "\"data\"",
        "\"Message\"",
        "\"body\"",
        "\"Body\"",
        "\"s3\"",
        "\"s3ObjectKey\"",
        "\"kinesis\"",
        "\"Data\"",
        "\"log\"",
        "\"line\"",
        "\"msg\"",
        "\"MESSAGE\"",
        "\"_raw\"",
        "\"event\"",
        "\"record\"",
        "\"json\"",
        "\"_source\"",
        "\"digestS3Object\"",
        "\"SubscribeURL\"",
        "\"@message\"",
        "\"payload\"",
        "\"jsonPayload\"",
        "\"textPayload\"",
        "\"attributes\"",
        "\"content\"",
        "\"preview\"",
    ];
    MEMBERS.iter().any(|member| text.contains(member))
}

fn carried(text: &str, format: SourceFormat, room: &mut Room<'_>) -> Carried {
    let Ok(record) = Fields::parse(text) else { return Carried::Nothing };
    amazon(&record, room)
        .or_else(|| google(&record, room))
        .or_else(|| azure(&record, room))
        .or_else(|| okta(&record))
        .or_else(|| shippers::shipped(&record, format))
        .unwrap_or(Carried::Nothing)
}

fn amazon(record: &Fields<'_>, room: &mut Room<'_>) -> Option<Carried> {
    if record.has("detail-type")
        && let Some(detail) = record.raw("detail").filter(|raw| raw.get().starts_with('{'))
    {
        let around = Around {
            time: record.instant("time"),
            id: record.plain_text("id"),
            account: record.plain_text("account"),
        };
        return Some(Carried::Records(detail.get().to_owned(), around));
    }
    if let Some(message) = record.plain_text_of_any_size("message")
        && record.len() <= 6
        && record.has("timestamp")
        && (record.has("id") || record.has("eventId") || record.has("ingestionTime"))
    {
        return Some(log_line(message, record.instant("timestamp")));
    }
    if let Some(logs) = record.inner("awslogs") {
        return Some(encoded(logs.plain_text_of_any_size("data"), room));
    }
    for member in ["CloudTrailEvent", "eventJson", "eventData"] {
        if let Some(inner) = record.plain_text_of_any_size(member).filter(|text| is_object(text)) {
            return Some(Carried::Records(inner, Around::default()));
        }
        if let Some(raw) =
            record.raw(member).filter(|raw| raw.get().starts_with('{') && member == "eventData")
        {
            return Some(Carried::Records(raw.get().to_owned(), Around::default()));
        }
    }
    if record.exactly("EventId") && record.exactly("EventName") && record.exactly("Username") {
        let reason = "an entry of lookup-events without its CloudTrailEvent; leave --query and --output out";
        return Some(Carried::Refused(reason));
    }
    if let Some(data) = record.inner("kinesis").and_then(|kinesis| kinesis.plain_text_of_any_size("data")) {
        return Some(encoded(Some(data), room));
    }
    queue(record).or_else(|| bucket(record)).or_else(|| digest(record))
}

/// Messages of SNS and SQS.
fn queue(record: &Fields<'_>) -> Option<Carried> {
    if record.has("SubscribeURL") && record.has("TopicArn") {
        return Some(Carried::Elsewhere(
            "SNS's confirmation of a subscription, not a record; open the SubscribeURL in it once to confirm",
        ));
    }
    let text = if record.has("TopicArn") || record.plain_text("Type").as_deref() == Some("Notification") {
        record.plain_text_of_any_size("Message")
    } else if record.has("messageId") || record.has("MessageId") || record.has("ReceiptHandle") {
        record.plain_text_of_any_size("body")
    } else {
        None
    };
    let text = text.filter(|text| is_object(text) || text.trim_start().starts_with('['))?;
    Some(Carried::Records(text, Around::default()))
}

fn bucket(record: &Fields<'_>) -> Option<Carried> {
    let of_bucket = record.inner("s3").is_some_and(|s3| s3.has("object") && s3.has("bucket"));
    let of_trail = record.has("s3Bucket") && record.has("s3ObjectKey");
    (of_bucket || of_trail).then_some(Carried::Elsewhere(
        "a notification that a file lies in S3, not the file; fetch the object and import it with `weir import`",
    ))
}

fn digest(record: &Fields<'_>) -> Option<Carried> {
    let is_digest = record.has("digestS3Object") && record.has("logFiles");
    is_digest.then_some(Carried::Elsewhere(
        "a CloudTrail digest, which holds hashes of log files and no records; import the files below CloudTrail/, \
         not CloudTrail-Digest/",
    ))
}

fn google(record: &Fields<'_>, room: &mut Room<'_>) -> Option<Carried> {
    let message = record.inner("message")?;
    let data = message.plain_text_of_any_size("data")?;
    (record.has("subscription") || message.has("messageId") || message.has("message_id"))
        .then(|| encoded(Some(data), room))
}

/// Firehose's and Event Hubs' `{"data": base64}`, Event Grid's events.
fn azure(record: &Fields<'_>, room: &mut Room<'_>) -> Option<Carried> {
    if let Some(data) = record.plain_text_of_any_size("data")
        && (record.len() == 1 || record.has("recordId") || record.has("approximateArrivalTimestamp"))
    {
        return Some(encoded(Some(data), room));
    }
    let kind = record.first_text(&["eventType", "type"])?;
    if kind == "Microsoft.EventGrid.SubscriptionValidationEvent" {
        return Some(Carried::Elsewhere(
            "Event Grid's validation of a subscription; open the validationUrl in it once to confirm",
        ));
    }
    let data = record.raw("data").filter(|raw| raw.get().starts_with('{'))?;
    let types = ["Microsoft.", "google.cloud.audit.", "dev.cdevents."];
    let is_grid = types.iter().any(|begin| kind.starts_with(begin));
    is_grid.then(|| {
        let time = record.instant("eventTime").or_else(|| record.instant("time"));
        Carried::Records(data.get().to_owned(), Around { time, ..Around::default() })
    })
}

fn okta(record: &Fields<'_>) -> Option<Carried> {
    if record.plain_text("eventType").as_deref() != Some("com.okta.event_hook") {
        return None;
    }
    let events = record.inner("data")?.raw("events").filter(|raw| raw.get().starts_with('['))?.get();
    let around = Around { time: record.instant("eventTime"), ..Around::default() };
    Some(Carried::Records(events.to_owned(), around))
}

/// A line of a log group: a record, or other text.
fn log_line(message: String, time: Option<Timestamp>) -> Carried {
    if is_object(&message) {
        Carried::Records(message, Around { time, ..Around::default() })
    } else if message.starts_with("CWL CONTROL MESSAGE") {
        Carried::Empty
    } else {
        Carried::Refused("a line of CloudWatch Logs that holds no JSON record")
    }
}

/// Base64 of JSON texts, possibly gzipped.
fn encoded(data: Option<String>, room: &mut Room<'_>) -> Carried {
    let refused = Carried::Refused("data that is not base64 of JSON, plain or gzipped");
    let Some(bytes) = data.and_then(|data| STANDARD.decode(data.trim()).ok()) else { return refused };
    let bytes = if bytes.starts_with(&[0x1F, 0x8B]) {
        match unfolded(&bytes, room) {
            Ok(Some(unfolded)) => unfolded,
            Ok(None) => return refused,
            Err(full) => return Carried::TooMuch(full),
        }
    } else {
        bytes
    };
    match String::from_utf8(bytes) {
        Ok(text) if is_object(&text) || text.trim_start().starts_with('[') => {
            Carried::Records(text, Around::default())
        }
        _ => refused,
    }
}

/// Decompressed bytes, each of which is taken from the room before it is kept; `None` if they are broken or more
/// than one carrier may hold.
fn unfolded(bytes: &[u8], room: &mut Room<'_>) -> Result<Option<Vec<u8>>, Full> {
    let (mut unfolded, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
    let mut reader = MultiGzDecoder::new(bytes);
    loop {
        let read = match reader.read(&mut piece) {
            Ok(0) => return Ok(Some(unfolded)),
            Ok(read) => read,
            Err(_) => return Ok(None),
        };
        if unfolded.len() + read > MAX_UNFOLDED_BYTES {
            return Ok(None);
        }
        room.take_bytes(read)?;
        unfolded.extend_from_slice(&piece[..read]);
    }
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && text.len() <= MAX_ELEMENT_BYTES * 16
}
