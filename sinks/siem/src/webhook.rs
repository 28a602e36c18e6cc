//! Webhooks as the specification Standard Webhooks describes them: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::{
    breaker::THRESHOLD,
    dispatch::RequestLimits,
    hexadecimal,
    http::{HttpAnswer, HttpRequest},
    message::Message,
    verdict::Verdict,
};

/// Limits of one request: the specification recommends payloads below 20 kB, and receivers take more.
pub const LIMITS: RequestLimits = RequestLimits { messages: 1, bytes: 1_000_000 };

/// The URL to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The whole URL.
    pub endpoint: String,
    /// `audit` or `finding`, for the payload's `type`.
    pub what: &'static str,
}

/// A text that is no secret of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook's secret is `whsec_` and 24 to 64 bytes in base64, or `whsk_` and an Ed25519 key; several are parted by spaces"
)]
pub struct BadSecret;

enum Key {
    Symmetric(Vec<u8>),
    Asymmetric(Box<SigningKey>),
}

impl Webhook {
    /// The request that brings messages: one alone as it is, several as a list.
    pub fn request(
        &self,
        messages: &[&Message],
        secret: &str,
        now: DateTime<Utc>,
    ) -> Result<HttpRequest, BadSecret> {
        let body = self.payload(messages);
        let id = id_of(messages);
        let timestamp = now.timestamp().to_string();
        let signature = sign(secret, &id, &timestamp, &body)?;
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ];
        Ok(HttpRequest { url: self.endpoint.clone(), headers, body })
    }

    fn payload(&self, messages: &[&Message]) -> Vec<u8> {
        let newest = messages.iter().map(|message| message.time_ms).max().unwrap_or_default();
        let time = DateTime::from_timestamp_millis(newest).unwrap_or_default();
        let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let kind = match (self.what, messages) {
            ("finding", [one]) => finding_type(one),
            (_, [_]) => "audit.recorded",
            ("finding", _) => "findings.reported",
            _ => "audit.records",
        };
        let mut body = format!("{{\"type\":\"{kind}\",\"timestamp\":\"{time}\",\"data\":").into_bytes();
        if let [one] = messages {
            body.extend_from_slice(&one.json);
        } else {
            for (place, message) in messages.iter().enumerate() {
                body.push(if place == 0 { b'[' } else { b',' });
                body.extend_from_slice(&message.json);
            }
            body.push(b']');
        }
        body.push(b'}');
        body
    }

    /// The meaning of the answer. Any status but 2xx is a failure and tried again; five in a row that blame the payload
    /// single the message out, and five in a row that blame the setup pause the sink.
    pub fn judge(&self, answer: &HttpAnswer<'_>) -> Verdict {
        let why = answer.quoted();
        let then = match answer.status {
            200..=299 => return Verdict::Delivered,
            410 => return Verdict::Pause { why },
            400 | 422 => Verdict::Refused { at: None, why: why.clone() },
            _ => match answer.by_status() {
                pause @ Verdict::Pause { .. } => pause,
                other => return other,
            },
        };
        Verdict::RetryThen { attempts: THRESHOLD, then: Box::new(then), why }
    }
}

/// `finding.opened`, `finding.updated` or `finding.resolved`, by the finding's content.
pub(crate) fn finding_type(message: &Message) -> &'static str {
    let value = message.value();
    match (value["activity_id"].as_i64(), value["status_id"].as_i64()) {
        (_, Some(3 | 4)) | (Some(3), _) => "finding.resolved",
        (Some(1), _) => "finding.opened",
        _ => "finding.updated",
    }
}

/// The id of a request: that of its only message, or one that follows from all of theirs.
fn id_of(messages: &[&Message]) -> String {
    if let [one] = messages {
        return one.id.clone();
    }
    let mut hash = Sha256::new();
    for message in messages {
        hash.update(message.id.as_bytes());
        hash.update(b"\n");
    }
    hexadecimal(&hash.finalize())
}

/// The value of `webhook-signature`: one signature for each secret, so that a receiver may change from one to the other.
pub fn sign(secrets: &str, id: &str, timestamp: &str, body: &[u8]) -> Result<String, BadSecret> {
    let keys = secrets.split_whitespace().map(key).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Err(BadSecret);
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let signatures: Vec<String> = keys.iter().map(|key| signature(key, &signed)).collect();
    Ok(signatures.join(" "))
}

fn signature(key: &Key, signed: &[u8]) -> String {
    match key {
        Key::Symmetric(secret) => {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
            mac.update(signed);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        }
        Key::Asymmetric(key) => format!("v1a,{}", STANDARD.encode(key.sign(signed).to_bytes())),
    }
}

fn key(text: &str) -> Result<Key, BadSecret> {
    if let Some(encoded) = text.strip_prefix("whsk_") {
        let bytes = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
        // The seed alone, or the seed and the public key behind it.
        let seed: [u8; 32] = bytes.get(..32).and_then(|seed| seed.try_into().ok()).ok_or(BadSecret)?;
        return Ok(Key::Asymmetric(Box::new(SigningKey::from_bytes(&seed))));
    }
    let encoded = text.strip_prefix("whsec_").ok_or(BadSecret)?;
    let secret = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
    if (24..=64).contains(&secret.len()) { Ok(Key::Symmetric(secret)) } else { Err(BadSecret) }
}

/// Whether a text can be used as a webhook's secret.
pub fn check_secret(secrets: &str) -> Result<(), BadSecret> {
    sign(secrets, "", "", b"").map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::record;

    const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    #[test]
    fn a_second_attempt_has_the_same_id_and_a_signature_of_its_own() {
        let hook = Webhook { endpoint: "https://hooks.example.com/weir".into(), what: "audit" };
        let (message, now) = (record("1"), DateTime::from_timestamp(1_764_288_010, 0).expect("a time"));
        let first = hook.request(&[&message], SECRET, now).expect("signed");
        let again = hook.request(&[&message], SECRET, now + chrono::TimeDelta::seconds(5)).expect("signed");
        let header = |request: &HttpRequest, name: &str| {
            request
                .headers
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.clone())
                .expect("a header")
        };
        assert_eq!(header(&first, "webhook-id"), message.id);
        assert_eq!(header(&first, "webhook-id"), header(&again, "webhook-id"));
        assert_ne!(header(&first, "webhook-signature"), header(&again, "webhook-signature"));
        assert!(!header(&first, "webhook-id").contains('.'));
        let payload: serde_json::Value = serde_json::from_slice(&first.body).expect("JSON");
        assert_eq!((&payload["type"], &payload["data"]), (&"audit.recorded".into(), &message.value()));
        assert_eq!(payload["timestamp"], "2025-11-28T00:00:00.123Z");
        let both = hook.request(&[&message, &record("2")], SECRET, now).expect("signed");
        assert_eq!(header(&both, "webhook-id").len(), 64);
    }

    #[test]
    fn secrets_are_base64_of_24_to_64_bytes() {
        let long = format!("whsec_{}", STANDARD.encode([1; 65]));
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        for bad in ["", "abc", "whsec_", "whsec_%%%", "whsk_AAAA", long.as_str(), short.as_str()] {
            assert_eq!(check_secret(bad), Err(BadSecret), "{bad}");
        }
        assert_eq!(check_secret(&format!("{SECRET} {SECRET}")), Ok(()));
    }
}
