//! The documented contracts of receivers as cases: for each answer, what the sender must do; first by its meaning, then played
//! by a receiver over the network.

use std::fs;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use siem::{
    Fate, Message, Verdict,
    datadog::{Datadog, RECORD_BYTES},
    dispatch::{Answers, Stop},
    elasticsearch::Elasticsearch,
    http::HttpAnswer,
    settings::{SinkSettings, checked},
    splunk_hec::{Acknowledgement, SplunkHec},
    verdict::ItemFate,
    webhook::{Webhook, sign},
};

use super::receiver::{Answer, Receiver};
use crate::support::corpus::corpus;

fn corpus_text() -> Option<Value> {
    let set = corpus("siem_receivers")?;
    let text = fs::read_to_string(set.path().join("siem_receivers/cases.json")).expect("the cases");
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// A message with that id.
fn message(id: &str) -> Message {
    let json = format!("{{\"class_uid\":6003,\"raw_data\":\"x\",\"unmapped\":{{}},\"n\":\"{id}\"}}");
    Message {
        id: id.into(),
        tenant: "acme".into(),
        class_uid: 6003,
        json: json.into_bytes().into(),
        ..Message::default()
    }
}

/// The messages of the case's request, as far as its answer names them.
fn messages(case: &Value) -> Vec<Message> {
    let items = case["response"]["body"]["items"].as_array();
    let ids =
        items.map(|items| items.iter().map(|item| item["create"]["_id"].as_str().unwrap_or("e").to_owned()));
    match ids {
        Some(ids) => ids.map(|id| message(&id)).collect(),
        // A request that is to come apart holds several.
        None if case["sender"]["action"] == "split" => (0..10).map(|n| message(&format!("m{n}"))).collect(),
        None => vec![message("m0")],
    }
}

fn body(case: &Value) -> Vec<u8> {
    match &case["response"]["body"] {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

fn header<'a>(case: &'a Value, name: &str) -> Option<&'a str> {
    case["response"]["headers"][name].as_str()
}

fn acknowledgement(case: &Value) -> Acknowledgement {
    let asks =
        case["response"]["body"]["ackId"].is_u64() || case["request"]["path"] == "/services/collector/ack";
    if asks { Acknowledgement::On } else { Acknowledgement::Off }
}

fn hec(case: &Value) -> SplunkHec {
    SplunkHec {
        endpoint: String::new(),
        acknowledgement: acknowledgement(case),
        index: None,
        channel: "c".into(),
    }
}

fn elastic() -> Elasticsearch {
    Elasticsearch { endpoint: String::new(), index: "audit".into() }
}

fn judged(case: &Value, answer: &HttpAnswer<'_>, sent: &[&Message]) -> Verdict {
    let path = case["request"]["path"].as_str().unwrap_or_default();
    match case["receiver"].as_str().expect("a receiver") {
        "splunk_hec" if path.ends_with("/health") => hec(case).judge_health(answer),
        "splunk_hec" if path.ends_with("/ack") => match hec(case).acknowledged(answer) {
            Ok(told) if !told.is_empty() && told.values().all(|done| *done) => Verdict::Delivered,
            // Some are not there yet: asked again, and sent again once their time is over.
            Ok(_) => Verdict::Taken { acknowledgement: 0 },
            Err(verdict) => verdict,
        },
        "splunk_hec" => hec(case).judge(answer),
        "datadog" => Datadog { endpoint: String::new() }.judge(answer),
        "elasticsearch" => elastic().judge(answer, sent),
        "standard_webhooks" => Webhook { endpoint: String::new(), what: "audit" }.judge(answer),
        other => panic!("{other}"),
    }
}

/// Action of the sender on a verdict, in the words of the cases.
fn action(sent: usize, verdict: Verdict) -> &'static str {
    let taken = matches!(verdict, Verdict::Taken { .. });
    let disables = matches!(&verdict, Verdict::Pause { why } if why.starts_with("status 410"));
    let mixed = matches!(&verdict, Verdict::Items(items) if items.iter().any(|item| matches!(item, ItemFate::Refused(_)))
        && items.iter().any(|item| matches!(item, ItemFate::Retry(_))));
    let outcome = Answers::default().follow((0..sent).collect(), verdict);
    let parks = outcome.settled.iter().any(|(_, fate)| matches!(fate, Fate::Parked(_)));
    let again: usize = outcome.next.iter().map(Vec::len).sum();
    let (retries, pauses) =
        (matches!(outcome.stop, Some(Stop::Retry { .. })), matches!(outcome.stop, Some(Stop::Pause(_))));
    assert_eq!(
        outcome.settled.len() + again + outcome.taken.map_or(0, |(group, _)| group.len()),
        sent,
        "nothing is skipped"
    );
    match (taken, pauses, retries, parks, again) {
        (true, ..) => "poll",
        (_, true, ..) if disables => "disable",
        (_, true, ..) => "pause",
        (_, _, true, ..) if mixed => "split",
        (_, _, true, ..) => "retry",
        (_, _, _, _, 1..) => "split",
        (_, _, _, true, _) => "park",
        _ => "advance",
    }
}

#[test]
fn every_documented_answer_means_what_it_says() {
    let Some(corpus) = corpus_text() else { return };
    let cases = corpus["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 106);
    let mut wrong = Vec::new();
    for case in cases {
        let id = case["id"].as_str().expect("an id");
        let expected = case["sender"]["action"].as_str().expect("an action");
        // Faults are played over the network, below.
        let Some(status) = case["response"]["status"].as_u64() else { continue };
        let (body, messages) = (body(case), messages(case));
        let sent: Vec<&Message> = messages.iter().collect();
        let answer = HttpAnswer {
            status: u16::try_from(status).expect("a status"),
            retry_after: header(case, "retry-after"),
            rate_limit_reset: header(case, "x-ratelimit-reset"),
            content_type: header(case, "content-type"),
            body: &body,
            compressed: false,
            at: chrono::Utc::now(),
        };
        let verdict = judged(case, &answer, &sent);
        let got = action(sent.len(), verdict);
        let fits = match (expected, id) {
            // The sender's own fault, which it does not commit, or which is its settings': nothing is parked.
            ("configuration", "standard_webhooks-dots") => !message("ab-1").id.contains('.'),
            ("configuration", _) => got == "pause",
            // Accepted and cut: so it never leaves whole (below).
            ("park", _) if id.starts_with("datadog-record-over-1mb") => got == "advance",
            // An acknowledgement that has not come is asked for until its time is over, and then the events go again.
            ("retry", "splunk_hec-ack-after-restart" | "splunk_hec-ack-channel-idle") => got == "poll",
            _ => got == expected,
        };
        if !fits {
            wrong.push(format!("{id}: {got}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_receiver_would_cut_never_leaves_whole() {
    let text = |native: usize, rest: usize| {
        let json = serde_json::json!({
            "class_uid": 6003, "message": "y".repeat(rest), "raw_data": "x".repeat(native), "metadata": {}, "unmapped": {},
        });
        Message { id: "m".into(), json: json.to_string().into_bytes().into(), ..Message::default() }
    };
    let datadog = Datadog { endpoint: String::new() };
    let parts = text(1_200_000, 10).parted(RECORD_BYTES).expect("its native record stands in parts");
    for part in &parts {
        assert!(datadog.request(&[part], "k").body.len() < 1_000_000);
    }
    assert!(text(10, 1_200_000).parted(RECORD_BYTES).is_err(), "what cannot be parted is parked");
}

#[test]
fn webhook_signatures_are_the_published_ones() {
    let Some(corpus) = corpus_text() else { return };
    let set = &corpus["webhook_signatures"];
    let (secret, old) =
        (set["secret"].as_str().expect("a secret"), set["old_secret"].as_str().expect("a secret"));
    let vectors = set["vectors"].as_array().expect("vectors");
    assert_eq!(vectors.len(), 18);
    let tolerance = set["tolerance_s"].as_i64().expect("seconds");
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap_or_default();
        let now = vector["now"].as_i64().unwrap_or_default();
        let listed: Vec<&str> = text("signature").split(' ').filter(|one| one.starts_with("v1,")).collect();
        let signs = |secret: &str| {
            let own = sign(secret, text("id"), text("timestamp"), text("body").as_bytes()).expect("a secret");
            listed.contains(&own.as_str())
        };
        let in_time = text("timestamp").parse::<i64>().is_ok_and(|at| (now - at).abs() <= tolerance);
        if vector["valid"] == true {
            // The asymmetric signatures are of a key that only its owner has.
            let symmetric = listed.is_empty() || signs(secret) || signs(old);
            assert!(in_time && symmetric, "{vector}");
        } else if in_time && !text("id").is_empty() {
            assert!(!signs(secret), "{vector}");
        }
    }
    let mac = Hmac::<Sha256>::new_from_slice(b"k").expect("a key").chain_update(b"x").finalize().into_bytes();
    assert_eq!(mac.len(), 32);
}

/// The settings of the case's sink, with its receiver at that URL.
fn setup(case: &Value, url: &str) -> siem::settings::Sink {
    let kind = match case["receiver"].as_str().expect("a receiver") {
        "standard_webhooks" => "webhook",
        other => other,
    };
    let secret =
        if kind == "webhook" { "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" } else { "t0ken" };
    let settings = SinkSettings {
        name: "case".into(),
        kind: kind.into(),
        endpoint: Some(url.to_owned()),
        secret: Some(secret.into()),
        acknowledgement: (kind == "splunk_hec").then(|| acknowledgement(case)),
        index: (kind == "elasticsearch").then(|| "audit".to_owned()),
        ..SinkSettings::default()
    };
    checked(&[settings], "8e2c6f0e-1111-4222-8333-444455556666", "host").expect("a sink").remove(0)
}

#[tokio::test]
async fn every_answer_means_the_same_over_the_network() {
    let Some(corpus) = corpus_text() else { return };
    let receiver = Receiver::start().await;
    let mut played = 0;
    for case in corpus["cases"].as_array().expect("cases") {
        let id = case["id"].as_str().expect("an id");
        let path = case["request"]["path"].as_str().unwrap_or_default();
        let Some(status) = case["response"]["status"].as_u64() else { continue };
        if path.ends_with("/health") || path.ends_with("/ack") {
            continue;
        }
        let headers = case["response"]["headers"].as_object().into_iter().flatten();
        let headers =
            headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        let status = u16::try_from(status).expect("a status");
        receiver.answers(Answer::Http { status, headers, body: body(case) });
        let message = &messages(case)[0];
        let verdict = sinks::siem::probe(&setup(case, &receiver.url), message).await.expect("a sink");
        let answer = HttpAnswer {
            status,
            retry_after: header(case, "retry-after"),
            rate_limit_reset: header(case, "x-ratelimit-reset"),
            content_type: header(case, "content-type"),
            body: &body(case),
            compressed: case["receiver"] != "standard_webhooks",
            at: chrono::Utc::now(),
        };
        assert_eq!(verdict, judged(case, &answer, &[message]), "{id}");
        played += 1;
    }
    assert!(played > 80, "{played}");
}

#[tokio::test]
async fn a_receiver_that_breaks_off_is_tried_again_and_one_inside_is_never_called() {
    let Some(corpus) = corpus_text() else { return };
    let receiver = Receiver::start().await;
    let case = |receiver: &str| serde_json::json!({ "receiver": receiver, "request": {}, "response": {} });
    let mut faults = 0;
    for written in corpus["cases"].as_array().expect("cases") {
        let Some(fault) = written["response"]["fault"].as_str() else { continue };
        faults += 1;
        if fault == "must not be called" {
            for url in [
                "http://169.254.169.254/",
                "http://[::ffff:7f00:1]:1/",
                "http://0x7f.1:1/",
                "http://localtest.invalid@[::ffff:169.254.169.254]/",
            ] {
                let verdict = sinks::siem::probe(&setup(written, url), &message("m")).await.expect("a sink");
                assert!(matches!(verdict, Verdict::Pause { .. }), "{url}: {verdict:?}");
            }
        }
    }
    assert_eq!(faults, 4);
    for kind in ["splunk_hec", "datadog", "elasticsearch", "standard_webhooks"] {
        for answer in [Answer::Reset, Answer::CutHead, Answer::CutBody] {
            receiver.answers(answer.clone());
            let setup = setup(&case(kind), &receiver.url);
            let verdict = sinks::siem::probe(&setup, &message("m")).await.expect("a sink");
            assert!(matches!(verdict, Verdict::Retry { after: None, .. }), "{kind} {answer:?}: {verdict:?}");
        }
    }
    receiver.answers(Answer::Http {
        status: 302,
        headers: vec![("location".into(), format!("{}/elsewhere", receiver.url))],
        body: Vec::new(),
    });
    let before = receiver.requests();
    let verdict =
        sinks::siem::probe(&setup(&case("datadog"), &receiver.url), &message("m")).await.expect("a sink");
    assert!(matches!(verdict, Verdict::Pause { .. }), "{verdict:?}");
    assert_eq!(receiver.requests(), before + 1, "a redirect is not followed");
}
