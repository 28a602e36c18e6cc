//! Properties of every answer that a receiver may give, well-formed or not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::{
    Fate, Message, Verdict,
    datadog::Datadog,
    dispatch::{Answers, Group, Outcome},
    elasticsearch::Elasticsearch,
    http::{HttpAnswer, LONGEST_WAIT},
    slack::Slack,
    splunk_hec::{Acknowledgement, SplunkHec},
    webhook::Webhook,
};

/// Messages of a request.
const SENT: usize = 4;

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    retry_after: Option<String>,
    content_type: Option<String>,
    body: Vec<u8>,
    compressed: bool,
}

/// Bodies that are nearly right, cut or with a byte of their own, beside bytes of any kind.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let templates = prop_oneof![
        Just(r#"{"text":"Success","code":0,"ackId":7}"#),
        Just(r#"{"text":"Incorrect data format","code":6,"invalid-event-number":2}"#),
        Just(r#"{"text":"x","code":9,"invalid-event-number":18446744073709551615}"#),
        Just(r#"{"acks":{"7":true,"8":false,"x":true}}"#),
        Just(r#"{"took":1,"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409}}]}"#),
        Just(
            r#"{"took":1,"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}},{"create":{"status":201}},{"create":{"status":201}}]}"#
        ),
        Just(
            r#"{"errors":true,"items":[{"create":{"status":429,"error":{"type":"es_rejected_execution_exception"}}},{"create":{"status":400,"error":{}}},{"create":{"status":403}},{"create":{}}]}"#
        ),
        Just("ok"),
        Just("invalid_payload"),
        Just("[]"),
        Just("null"),
        Just(""),
    ];
    let spoiled = (templates, any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let spoiled = spoiled.prop_map(|(template, at, byte, how)| {
        let mut body = template.as_bytes().to_vec();
        match how {
            0 if !body.is_empty() => body.truncate(at.index(body.len())),
            1 if !body.is_empty() => {
                let at = at.index(body.len());
                body[at] = byte;
            }
            2 => body.push(byte),
            _ => {}
        }
        body
    });
    prop_oneof![3 => spoiled, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

fn answer() -> impl Strategy<Value = Answer> {
    let statuses = prop::sample::select(vec![
        100, 200, 201, 202, 204, 299, 301, 400, 401, 403, 404, 408, 409, 410, 413, 415, 425, 429, 500, 502,
        503, 599, 999,
    ]);
    let header = prop::option::of(prop_oneof![
        Just("7".to_owned()),
        Just("-1".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("Wed, 21 Oct 2099 07:28:00 GMT".to_owned()),
        ".{0,20}"
    ]);
    let content_type = prop::option::of(prop_oneof![Just("application/json".to_owned()), ".{0,20}"]);
    (prop_oneof![3 => statuses, 1 => any::<u16>()], header, content_type, body(), any::<bool>()).prop_map(
        |(status, retry_after, content_type, body, compressed)| Answer {
            status,
            retry_after,
            content_type,
            body,
            compressed,
        },
    )
}

impl Answer {
    fn http(&self) -> HttpAnswer<'_> {
        HttpAnswer {
            status: self.status,
            retry_after: self.retry_after.as_deref(),
            content_type: self.content_type.as_deref(),
            body: &self.body,
            compressed: self.compressed,
            ..HttpAnswer::default()
        }
    }
}

fn splunk(acknowledgement: Acknowledgement) -> SplunkHec {
    let endpoint = "https://splunk.test".to_owned();
    SplunkHec { endpoint, acknowledgement, index: None, channel: "c".to_owned() }
}

/// The verdicts of all receivers on one answer.
fn verdicts(answer: &HttpAnswer<'_>) -> Vec<(&'static str, Verdict)> {
    let messages: Vec<Message> =
        (0..SENT).map(|n| Message { id: n.to_string(), ..Message::default() }).collect();
    let sent: Vec<&Message> = messages.iter().collect();
    let elastic = Elasticsearch { endpoint: "https://elastic.test".to_owned(), index: "audit".to_owned() };
    let webhook = Webhook { endpoint: "https://hook.test".to_owned(), what: "audit" };
    vec![
        ("splunk", splunk(Acknowledgement::On).judge(answer)),
        ("splunk without acknowledgement", splunk(Acknowledgement::Off).judge(answer)),
        ("datadog", Datadog { endpoint: "https://datadog.test".to_owned() }.judge(answer)),
        ("elasticsearch", elastic.judge(answer, &sent)),
        ("webhook", webhook.judge(answer)),
        ("slack", Slack.judge(answer)),
    ]
}

/// Every message of a request is settled, taken or sent again, and exactly one of these.
fn check_whole(group: &Group, outcome: &Outcome) -> Result<(), TestCaseError> {
    let settled = outcome.settled.iter().map(|(index, _)| *index);
    let taken = outcome.taken.iter().flat_map(|(group, _)| group.iter().copied());
    let again = outcome.next.iter().flatten().copied();
    let mut all: Vec<usize> = settled.chain(taken).chain(again).collect();
    all.sort_unstable();
    prop_assert_eq!(&all, group);
    Ok(())
}

proptest! {
    #[test]
    fn no_answer_loses_or_doubles_a_message(answers in prop::collection::vec(answer(), 1..6)) {
        let group: Group = (0..SENT).collect();
        let mut memory: Vec<Answers> = vec![Answers::default(); 6];
        for answer in &answers {
            let answer = answer.http();
            for ((who, verdict), memory) in verdicts(&answer).into_iter().zip(&mut memory) {
                let outcome = memory.follow(group.clone(), verdict.clone());
                check_whole(&group, &outcome).map_err(|error| {
                    TestCaseError::fail(format!("{who}: {error}; {verdict:?} on {answer:?}"))
                })?;
                let is_2xx = (200..300).contains(&answer.status);
                let delivered = outcome.settled.iter().any(|(_, fate)| *fate == Fate::Delivered);
                prop_assert!(is_2xx || !delivered && outcome.taken.is_none(), "{who}: {answer:?}");
            }
        }
    }

    #[test]
    fn a_receiver_that_asks_for_a_pause_gets_a_bounded_one(answer in answer()) {
        let answer = answer.http();
        prop_assert!(answer.wait().is_none_or(|wait| wait <= LONGEST_WAIT && !wait.is_zero()));
        prop_assert!(answer.quoted().chars().count() < 400 && !answer.quoted().contains(char::is_control));
    }

    #[test]
    fn a_plain_body_is_never_refused_for_its_compression(answer in answer()) {
        let plain = Answer { compressed: false, ..answer };
        for (who, verdict) in verdicts(&plain.http()) {
            prop_assert!(!matches!(verdict, Verdict::NotCompressed { .. }), "{who} would be sent the same for ever");
        }
    }

    #[test]
    fn only_asked_and_true_acknowledgements_count(answer in answer()) {
        if let Ok(told) = splunk(Acknowledgement::On).acknowledged(&answer.http()) {
            prop_assert!((200..300).contains(&answer.status));
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let yes: BTreeSet<u64> = told.into_iter().filter(|(_, yes)| *yes).map(|(number, _)| number).collect();
            for number in yes {
                prop_assert!(text.contains(&number.to_string()), "{number} in {text}");
            }
        }
    }
}
