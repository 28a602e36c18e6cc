//! Senders that want an answer of their own: Amazon Data Firehose, Amazon SNS, Azure Event Grid.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rdkafka::error::RDKafkaErrorCode;

use super::*;

fn call() -> Value {
    json!({"eventID": "5f1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10", "eventName": "StopLogging",
           "eventSource": "cloudtrail.amazonaws.com", "eventTime": "2026-01-02T03:04:05Z"})
}

fn firehose(data: &str) -> Ask {
    let body = json!({"requestId": "r-1", "timestamp": 1, "records": [{"data": STANDARD.encode(data)}]});
    Ask::new("POST", "/api/v1/sources/cloudtrail")
        .header("content-type", "application/json")
        .header("x-amz-firehose-request-id", "r-1")
        .body(body.to_string())
}

#[tokio::test]
async fn firehose_is_answered_in_its_own_words() {
    let running = start().await;
    let keyed = |ask: Ask| ask.header("x-amz-firehose-access-key", &token(WRITER));
    let reply = keyed(firehose(&call().to_string())).to(&running).await;
    assert_eq!((reply.status, &reply.json()["requestId"]), (200, &"r-1".into()), "{}", reply.json());
    assert!(reply.json()["timestamp"].is_i64() && reply.json().get("errorMessage").is_none());
    assert_eq!(running.kafka.published().len(), 1);

    let control = json!({"messageType": "CONTROL_MESSAGE", "logEvents": [
        {"id": "", "timestamp": 1, "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose."}]});
    assert_eq!(keyed(firehose(&control.to_string())).to(&running).await.status, 200);
    let reply = keyed(firehose("no record")).to(&running).await;
    assert_eq!(reply.status, 422);
    assert!(reply.json()["errorMessage"].as_str().is_some_and(|told| told.contains("base64")));
    firehose("{}").to(&running).await.expect(401, "unauthenticated");
    let unavailable = Fate::Fails(DeliveryFailure::Unavailable(RDKafkaErrorCode::BrokerTransportFailure));
    let running = start_with(config(), Scripted::new(&[unavailable])).await;
    let reply = keyed(firehose(&call().to_string())).to(&running).await;
    assert_eq!((reply.status, &reply.json()["requestId"]), (503, &"r-1".into()));
}

#[tokio::test]
async fn sns_comes_as_plain_text_and_asks_to_be_confirmed() {
    let running = start().await;
    let sns = |kind: &str, body: &Value| {
        let password = STANDARD.encode(format!("weir:{}", token(WRITER)));
        Ask::new("POST", "/api/v1/sources/cloudtrail")
            .header("authorization", &format!("Basic {password}"))
            .header("content-type", "text/plain; charset=UTF-8")
            .header("x-amz-sns-message-type", kind)
            .body(body.to_string())
    };
    let topic = "arn:aws:sns:eu-west-1:1:trail";
    let message = json!({"Type": "Notification", "TopicArn": topic, "Message": call().to_string()});
    assert_eq!(sns("Notification", &message).to(&running).await.status, 202);
    assert_eq!(running.kafka.published().len(), 1);
    let mut confirm = json!({"Type": "SubscriptionConfirmation", "TopicArn": topic,
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"});
    let reply = sns("SubscriptionConfirmation", &confirm).to(&running).await;
    assert_eq!((reply.status, &reply.json()["subscribeUrl"]), (200, &confirm["SubscribeURL"]));
    for elsewhere in ["https://evil.example/?.amazonaws.com", "http://sns.eu-west-1.amazonaws.com/"] {
        confirm["SubscribeURL"] = elsewhere.into();
        let reply = sns("SubscriptionConfirmation", &confirm).to(&running).await;
        reply.expect(400, "invalid-request");
    }
    assert_eq!(running.kafka.published().len(), 1);
}

#[tokio::test]
async fn event_grid_is_validated_in_both_of_its_schemas() {
    let running = start().await;
    let event = json!([{"id": "1", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "512d38b6", "validationUrl": "https://example.com"}}]);
    let validate = |body: &Value| {
        Ask::new("POST", "/api/v1/sources/azure-activity")
            .header("authorization", &format!("Bearer {}", token(WRITER)))
            .header("content-type", "application/json")
            .header("aeg-event-type", "SubscriptionValidation")
            .body(body.to_string())
    };
    let reply = validate(&event).to(&running).await;
    assert_eq!((reply.status, reply.json()), (200, json!({"validationResponse": "512d38b6"})));
    validate(&json!([])).to(&running).await.expect(400, "invalid-request");

    for path in ["/api/v1/events", "/api/v1/sources/azure-activity"] {
        let ask = || Ask::new("OPTIONS", path);
        let reply = ask().header("webhook-request-origin", "eventgrid.azure.net").to(&running).await;
        assert_eq!((reply.status, reply.header("webhook-allowed-origin")), (200, "eventgrid.azure.net"));
        assert!(!reply.header("webhook-allowed-rate").is_empty());
        ask().to(&running).await.expect(400, "invalid-request");
    }
    let nobody = Ask::new("OPTIONS", "/api/v1/sources/nobody").header("webhook-request-origin", "a.example");
    nobody.to(&running).await.expect(404, "not-found");
}
