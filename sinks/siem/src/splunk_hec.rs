//! Splunk's HTTP Event Collector: the event endpoint, with and without indexer acknowledgement.
//!
//! A 200 says that the events were read. Only the acknowledgement says that they are in the index.

use std::{collections::BTreeMap, io::Write as _};

use serde_json::{Value, json};

use crate::{
    dispatch::RequestLimits,
    http::{HttpAnswer, HttpRequest, join},
    message::Message,
    verdict::Verdict,
};

/// Limits of one request, and of an event: Splunk advises batches of up to 1 MB.
pub const LIMITS: RequestLimits = RequestLimits { messages: 1_000, bytes: 1_000_000 };
/// Time limit for an acknowledgement; after it, the events are sent again.
pub const ACKNOWLEDGED_WITHIN: std::time::Duration = std::time::Duration::from_mins(5);

/// The collector to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplunkHec {
    /// `https://host:8088`.
    pub endpoint: String,
    /// Whether to wait for the index.
    pub acknowledgement: Acknowledgement,
    /// The index, where it is not the token's own.
    pub index: Option<String>,
    /// The channel: a GUID of this process's own. Acknowledgements count in it alone.
    pub channel: String,
}

/// Point at which an event counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledgement {
    /// The indexer's acknowledgement.
    On,
    /// The collector's answer: the events were read, and are not in the index yet.
    Off,
}

impl SplunkHec {
    /// The request that brings events.
    pub fn request(&self, messages: &[&Message], token: &str) -> HttpRequest {
        let mut body = Vec::with_capacity(messages.iter().map(|message| message.weight()).sum());
        let index =
            self.index.as_ref().map_or_else(String::new, |index| format!("\"index\":{},", json!(index)));
        for Message { time_ms, id, tenant, json, .. } in messages {
            let (seconds, millis) = (time_ms.div_euclid(1_000), time_ms.rem_euclid(1_000));
            write!(
                body,
                "{{\"time\":{seconds}.{millis:03},\"source\":\"weir\",\"sourcetype\":\"weir:ocsf\",{index}\"event\":"
            )
            .expect("memory takes everything");
            body.extend_from_slice(json);
            let (id, tenant) = (Value::from(id.as_str()), Value::from(tenant.as_str()));
            writeln!(body, ",\"fields\":{{\"id\":{id},\"tenant\":{tenant}}}}}")
                .expect("memory takes everything");
        }
        self.post("services/collector/event", token, body)
    }

    /// The request that asks for acknowledgements.
    pub fn ask(&self, acknowledgements: &[u64], token: &str) -> HttpRequest {
        let body = json!({ "acks": acknowledgements }).to_string().into_bytes();
        self.post("services/collector/ack", token, body)
    }

    /// URL of the collector's health check.
    pub fn health(&self) -> String {
        join(&self.endpoint, "services/collector/health")
    }

    fn post(&self, path: &str, token: &str, body: Vec<u8>) -> HttpRequest {
        let mut headers = vec![
            ("authorization", format!("Splunk {token}")),
            ("content-type", "application/json".to_owned()),
        ];
        if self.acknowledgement == Acknowledgement::On {
            headers.push(("x-splunk-request-channel", self.channel.clone()));
        }
        HttpRequest { url: join(&self.endpoint, path), headers, body }
    }

    /// The meaning of the answer to events.
    pub fn judge(&self, answer: &HttpAnswer<'_>) -> Verdict {
        let body = answer.json();
        let code = body.as_ref().and_then(|body| body["code"].as_i64());
        let why = || answer.quoted();
        if !answer.is_success() {
            return by_code(code, body.as_ref(), answer);
        }
        // Accepted, with a warning that a queue is nearly full.
        let code = if matches!(code, Some(24 | 25)) { Some(0) } else { code };
        match (code, body.as_ref().and_then(|body| body["ackId"].as_u64()), self.acknowledgement) {
            (Some(0), Some(acknowledgement), Acknowledgement::On) => Verdict::Taken { acknowledgement },
            (Some(0), None, Acknowledgement::On) => Verdict::pause(format!(
                "{}: the token has no indexer acknowledgement: enable it, or set acknowledgement = \"off\"",
                why()
            )),
            (Some(0), _, Acknowledgement::Off) => Verdict::Delivered,
            (Some(_), ..) => by_code(code, body.as_ref(), answer),
            (None, ..) if answer.content_type.is_some_and(|kind| kind.starts_with("text/html")) => {
                Verdict::pause(format!("{}: this is no HTTP Event Collector", why()))
            }
            (None, ..) => Verdict::unreadable(why()),
        }
    }

    /// The acknowledgements of an answer; an error is the meaning of an answer without them.
    pub fn acknowledged(&self, answer: &HttpAnswer<'_>) -> Result<BTreeMap<u64, bool>, Verdict> {
        let body = answer.json();
        if !answer.is_success() {
            // The collector refuses to be asked: that is never the fault of an event.
            return Err(
                match by_code(body.as_ref().and_then(|body| body["code"].as_i64()), body.as_ref(), answer) {
                    retry @ Verdict::Retry { .. } => retry,
                    _ => Verdict::pause(answer.quoted()),
                },
            );
        }
        let acks = body.as_ref().and_then(|body| body["acks"].as_object());
        let acks = acks.ok_or_else(|| Verdict::unreadable(answer.quoted()))?;
        let told = acks.iter().filter_map(|(id, done)| Some((id.parse().ok()?, done.as_bool()?)));
        Ok(told.collect())
    }

    /// The meaning of the collector's health.
    pub fn judge_health(&self, answer: &HttpAnswer<'_>) -> Verdict {
        let body = answer.json();
        match (body.as_ref().and_then(|body| body["code"].as_i64()), answer.status) {
            (Some(17), _) => Verdict::Delivered,
            (Some(18..=20), _) | (_, 500..=599) => {
                Verdict::Retry { after: answer.wait(), why: answer.quoted() }
            }
            _ => Verdict::pause(answer.quoted()),
        }
    }
}

/// The meaning of the collector's own codes.
fn by_code(code: Option<i64>, body: Option<&Value>, answer: &HttpAnswer<'_>) -> Verdict {
    let why = answer.quoted();
    let at =
        body.and_then(|body| body["invalid-event-number"].as_u64()).and_then(|at| usize::try_from(at).ok());
    match code {
        Some(5 | 6 | 12 | 13 | 15) => Verdict::Refused { at, why },
        Some(8 | 9 | 18..=20) => Verdict::Retry { after: answer.wait(), why },
        Some(1..=4 | 7 | 10 | 11 | 14 | 16 | 21 | 22) => Verdict::Pause { why },
        // A collector in front of which a proxy stands that reads no compressed bodies.
        None if answer.status == 400 && answer.compressed => Verdict::NotCompressed { why },
        _ if answer.is_success() => Verdict::unreadable(why),
        _ => answer.by_status(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ENVELOPE_BYTES, tests::record};

    fn collector(acknowledgement: Acknowledgement) -> SplunkHec {
        let endpoint = "https://splunk.example.com:8088/".to_owned();
        SplunkHec { endpoint, acknowledgement, index: Some("main".into()), channel: "guid".into() }
    }

    #[test]
    fn events_stand_one_after_another_each_with_its_id() {
        let (one, two) = (record("{\"a\": 1}"), record("2"));
        let request = collector(Acknowledgement::On).request(&[&one, &two], "t0ken");
        assert_eq!(request.url, "https://splunk.example.com:8088/services/collector/event");
        assert!(request.headers.contains(&("authorization", "Splunk t0ken".to_owned())));
        assert!(request.headers.contains(&("x-splunk-request-channel", "guid".to_owned())));
        let events: Vec<Value> = serde_json::Deserializer::from_slice(&request.body)
            .into_iter()
            .map(|v| v.expect("JSON"))
            .collect();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["event"], one.value());
        assert_eq!((&events[0]["index"], &events[0]["fields"]["id"]), (&json!("main"), &json!(one.id)));
        assert!(String::from_utf8_lossy(&request.body).contains("\"time\":1764288000.123,"));
        assert!(request.body.len() <= one.weight() + two.weight() && ENVELOPE_BYTES > 500);
        let plain = collector(Acknowledgement::Off).request(&[&one], "t");
        assert!(plain.headers.iter().all(|(name, _)| *name != "x-splunk-request-channel"));
    }

    #[test]
    fn a_warning_that_a_queue_is_nearly_full_is_success() {
        let judged = |acknowledgement, status, body: &str| {
            let answer = HttpAnswer { status, body: body.as_bytes(), ..HttpAnswer::default() };
            collector(acknowledgement).judge(&answer)
        };
        for code in [0, 24, 25] {
            let body = format!(r#"{{"text":"Success","code":{code},"ackId":7}}"#);
            assert_eq!(judged(Acknowledgement::On, 200, &body), Verdict::Taken { acknowledgement: 7 });
            let body = format!(r#"{{"text":"Success","code":{code}}}"#);
            assert_eq!(judged(Acknowledgement::Off, 200, &body), Verdict::Delivered);
            assert!(matches!(judged(Acknowledgement::On, 200, &body), Verdict::Pause { .. }));
        }
        let busy = judged(Acknowledgement::Off, 429, r#"{"text":"Queue is at capacity","code":26}"#);
        assert!(matches!(busy, Verdict::Retry { .. }));
    }

    #[test]
    fn acknowledgements_are_read_by_number() {
        let read = |status, body: &str| {
            let answer = HttpAnswer { status, body: body.as_bytes(), ..HttpAnswer::default() };
            collector(Acknowledgement::On).acknowledged(&answer)
        };
        assert_eq!(read(200, r#"{"acks":{"0":true,"7":false}}"#), Ok([(0, true), (7, false)].into()));
        assert!(matches!(read(404, ""), Err(Verdict::Pause { .. })));
        assert!(matches!(read(400, r#"{"code":14}"#), Err(Verdict::Pause { .. })));
        assert!(matches!(read(503, r#"{"code":9}"#), Err(Verdict::Retry { .. })));
        assert!(matches!(read(200, "{"), Err(Verdict::RetryThen { attempts: 3, .. })));
    }
}
