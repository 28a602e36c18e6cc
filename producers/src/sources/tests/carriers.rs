//! Unpacking of records from carriers, and carriers without records.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::sources::{Oddities, elements::ElementDefect};

fn call(name: &str) -> Value {
    json!({"eventVersion": "1.11", "eventID": "5f1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10", "eventName": name,
           "eventSource": "cloudtrail.amazonaws.com", "eventTime": "2026-01-05T08:00:00Z",
           "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::1:user/ada"}, "errorCode": null})
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("to memory");
    encoder.finish().expect("to memory")
}

/// Names of the calls in a body, or the defects of invalid records.
fn calls(format: SourceFormat, body: &str) -> Vec<String> {
    let tenant = TenantId::new("acme").expect("a plain name");
    Records::new(body.as_bytes(), format)
        .map(|record| match record.expect("a good file").text {
            Ok(text) => {
                let mapped = format.map(&tenant, &text).expect("an object");
                assert!(format.is_recognised(&text), "{text}");
                match mapped.envelope.event {
                    Event::Activity(activity) => activity.action,
                    other => panic!("{other:?}"),
                }
            }
            Err(defect) => defect.to_string(),
        })
        .collect()
}

#[test]
fn cloudtrail_comes_out_of_every_carrier_that_people_have() {
    let (one, two) = (call("StopLogging"), call("DeleteTrail"));
    let subscription = json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "trail", "logStream": "s",
        "subscriptionFilters": ["all"], "logEvents": [
            {"id": "1", "timestamp": 1_767_600_000_000_i64, "message": one.to_string()},
            {"id": "2", "timestamp": 1_767_600_000_000_i64, "message": two.to_string()}]});
    let entry = |call: &Value| {
        json!({"EventId": "5f1c0a52", "EventName": call["eventName"], "Username": "ada",
               "EventTime": 1_767_600_000.0, "Resources": [], "CloudTrailEvent": call.to_string()})
    };
    let bus = |call: &Value| {
        json!({"version": "0", "id": "e1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.iam",
               "account": "1", "time": "2026-01-05T08:00:00Z", "detail": call})
    };
    let encoded = |text: &str| STANDARD.encode(text);
    let in_sqs = json!({"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": bus(&two).to_string()});
    for body in [
        json!({"Records": [one, two]}).to_string(),
        subscription.to_string(),
        json!({"awslogs": {"data": STANDARD.encode(gzip(&subscription.to_string()))}}).to_string(),
        json!({"events": [{"logStreamName": "s", "timestamp": 1, "message": one.to_string(), "ingestionTime": 2,
                           "eventId": "1"},
                          {"logStreamName": "s", "timestamp": 1, "message": two.to_string(), "ingestionTime": 2,
                           "eventId": "2"}]})
        .to_string(),
        json!({"Events": [entry(&one), entry(&two)], "NextToken": "x"}).to_string(),
        format!("{}\n{}\n", entry(&one), entry(&two)),
        format!("{}\n{}\n", json!({"eventData": one.to_string()}), json!({"eventJson": two.to_string()})),
        json!([bus(&one), bus(&two)]).to_string(),
        json!({"requestId": "r", "timestamp": 1, "records": [
            {"data": encoded(&one.to_string())}, {"data": STANDARD.encode(gzip(&two.to_string()))}]})
        .to_string()
        .replace("\"records\"", "\"Records\""),
        json!({"Records": [{"messageId": "m1", "body": bus(&one).to_string(), "eventSource": "aws:sqs"},
                           {"messageId": "m2", "body": in_sqs.to_string()}]})
        .to_string(),
    ] {
        assert_eq!(calls(SourceFormat::CloudTrail, &body), ["StopLogging", "DeleteTrail"], "{body}");
    }
}

#[test]
fn lakes_rows_and_streams_are_read() {
    let row = |name: &str| {
        json!([{"eventID": "5f1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10"}, {"eventName": name}, {"readOnly": "false"},
               {"eventTime": "2026-01-05 08:00:00.000"}, {"errorCode": ""},
               {"userIdentity": "{type=IAMUser, arn=arn:aws:iam::1:user/ada, accountid=1, username=ada}"}])
    };
    let of_text = |name: &str| json!([{"eventJson": call(name).to_string()}]);
    let kinesis = |call: &Value| {
        json!({"kinesis": {"partitionKey": "1", "sequenceNumber": "49", "data": STANDARD.encode(call.to_string())},
               "eventSource": "aws:kinesis", "eventName": "aws:kinesis:record", "eventID": "shardId-0:49"})
    };
    let polled = |call: &Value| {
        json!({"SequenceNumber": "49", "ApproximateArrivalTimestamp": 1_767_600_000.5, "PartitionKey": "1",
               "Data": STANDARD.encode(gzip(&call.to_string()))})
    };
    for body in [
        json!({"QueryStatus": "FINISHED", "QueryStatistics": {"ResultsCount": 2, "TotalResultsCount": 2},
               "QueryResultRows": [row("StopLogging"), row("DeleteTrail")]}),
        json!({"QueryResultRows": [of_text("StopLogging"), of_text("DeleteTrail")], "NextToken": "x"}),
        json!({"Records": [kinesis(&call("StopLogging")), kinesis(&call("DeleteTrail"))]}),
        json!({"Records": [polled(&call("StopLogging")), polled(&call("DeleteTrail"))], "MillisBehindLatest": 0}),
    ] {
        assert_eq!(
            calls(SourceFormat::CloudTrail, &body.to_string()),
            ["StopLogging", "DeleteTrail"],
            "{body}"
        );
    }
    let tenant = TenantId::new("acme").expect("a plain name");
    let body = json!({"QueryResultRows": [row("StopLogging")]}).to_string();
    let text =
        Records::new(body.as_bytes(), SourceFormat::CloudTrail).next().expect("one").expect("read").text;
    let mapped = SourceFormat::CloudTrail.map(&tenant, &text.expect("a record")).expect("an object");
    assert_eq!(mapped.oddities, Oddities::default());
    let Event::Activity(activity) = mapped.envelope.event else { panic!("a call") };
    assert_eq!((activity.actor.id.as_str(), activity.read_only), ("arn:aws:iam::1:user/ada", Some(false)));
    assert_eq!(activity.outcome.status, OutcomeStatus::Success);
    let none = json!({"QueryResultRows": [[], [7], "row"]}).to_string();
    assert_eq!(calls(SourceFormat::CloudTrail, &none), ["not an object"; 3]);
    // Elsewhere an array among the records is no record.
    assert_eq!(calls(SourceFormat::CloudTrail, "{\"Records\":[[{\"eventName\":\"x\"}]]}"), ["not an object"]);
}

#[test]
fn records_come_out_of_what_shippers_make_of_a_line() {
    let line = call("StopLogging").to_string();
    let parsed = call("StopLogging");
    for body in [
        json!([{"message": line, "timestamp": "2026-01-05T08:00:00Z", "source_type": "file", "host": "a", "file": "b"}]),
        json!([{"date": 1_767_600_000.5, "log": line}]),
        json!([{"date": 1_767_600_000.5, "log": parsed, "kubernetes": {"pod_name": "a"}}]),
        json!({"@timestamp": "2026-01-05T08:00:00Z", "@version": "1", "message": line, "host": {"name": "a"},
               "event": {"original": line}}),
        json!({"@timestamp": "2026-01-05T08:00:00Z", "event": {"original": line}}),
        json!({"@timestamp": "2026-01-05T08:00:00Z", "agent": {"type": "filebeat"}, "log": {"offset": 1}, "message": line}),
        json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-01-05T08:00:00Z"}),
        json!({"MESSAGE": line, "__REALTIME_TIMESTAMP": "1767600000000000", "_PID": "1"}),
        json!({"time": 1_767_600_000, "sourcetype": "aws:cloudtrail", "event": parsed}),
        json!({"sourcetype": "aws:cloudtrail", "event": line}),
        json!({"_index": "trail", "_id": "1", "_source": parsed}),
        json!({"took": 3, "_shards": {"total": 1}, "hits": {"total": {"value": 1}, "max_score": null,
               "hits": [{"_index": "trail", "_id": "1", "_score": null, "_source": parsed}]}, "aggregations": {}}),
        json!({"Messages": [{"MessageId": "1", "ReceiptHandle": "a", "Body": line}]}),
        json!({"receivedMessages": [{"ackId": "a", "message": {"data": STANDARD.encode(&line), "messageId": "1"}}]}),
        json!({"preview": false, "result": {"_raw": line, "_time": "2026-01-05T08:00:00Z", "host": "a"}}),
        json!({"preview": false, "result": parsed}),
        json!({"insertId": "1", "timestamp": "2026-01-05T08:00:00Z", "jsonPayload": parsed}),
        json!({"insertId": "1", "timestamp": "2026-01-05T08:00:00Z", "textPayload": line}),
        json!([{"@timestamp": "2026-01-05 08:00:00.000", "@message": line, "@ptr": "a"}]),
        json!({"_id": "1", "date": "2026-01-05T08:00:00Z", "attributes": parsed, "source": "cloudtrail"}),
        json!({"specversion": "1.0", "id": "1", "type": "trail", "source": "/a", "data": parsed}),
        json!({"data": parsed}),
        json!({"payload": line}),
        json!({"data": {"Records": [parsed]}}),
        json!({"message": json!({"Records": [parsed]}).to_string(), "source_type": "aws_sqs"}),
        json!({"message": json!({"detail-type": "x", "detail": parsed}).to_string(), "source_type": "aws_sqs"}),
    ] {
        assert_eq!(calls(SourceFormat::CloudTrail, &body.to_string()), ["StopLogging"], "{body}");
    }
    let github = json!({"action": "repo.destroy", "actor": "ada", "@timestamp": 1_767_600_000_000_i64});
    let shipped = json!({"@timestamp": "2026-01-05T08:00:00Z", "message": github.to_string()});
    assert_eq!(calls(SourceFormat::GithubAudit, &shipped.to_string()), ["repo.destroy"]);
    // JSON in a record's own text is no record.
    let mut own = call("PutRule");
    own["message"] = json!("{\"hello\":\"world\"}");
    own["event"] = json!({"eventName": "StopLogging"});
    own["payload"] = json!(line);
    own["data"] = parsed.clone();
    assert_eq!(calls(SourceFormat::CloudTrail, &own.to_string()), ["PutRule"]);
}

#[test]
fn records_with_commas_between_them_and_many_hits_are_read() {
    let of = |name: &str| call(name).to_string();
    let (one, other) = (of("StopLogging"), of("PutRule"));
    for text in [
        format!("{one},\n{other},\n"),
        format!(
            "{{\"hits\":{{\"hits\":[{{\"_source\":{one}}},\n{{\"_source\":{other}}}],\"total\":2}},\"took\":1}}\n"
        ),
        format!(
            "{{\"hits\":{{\"hits\":[{{\"_source\":{one}}}]}}}}\n{{\"hits\":{{\"hits\":[{{\"_source\":{other}}}]}}}}\n"
        ),
    ] {
        assert_eq!(calls(SourceFormat::CloudTrail, &text), ["StopLogging", "PutRule"], "{text}");
    }
    let mut own = call("PutRule");
    own["hits"] = json!({"list": [1, {"a": {}}], "more": {}});
    assert_eq!(calls(SourceFormat::CloudTrail, &own.to_string()), ["PutRule"]);
}

#[test]
fn what_carries_no_record_is_named_and_says_what_to_do() {
    let bucket = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventVersion": "2.1",
        "s3": {"bucket": {"name": "trail"}, "object": {"key": "a.json.gz"}}}]});
    let trail = json!({"s3Bucket": "trail", "s3ObjectKey": ["a.json.gz"]});
    let bare = json!({"Events": [{"EventId": "1", "EventName": "StopLogging", "Username": "ada"}]});
    let text = json!({"logEvents": [{"id": "1", "timestamp": 1, "message": "START RequestId: 1"}]});
    let digest = json!({"awsAccountId": "1", "digestStartTime": "2026-01-05T08:00:00Z", "digestS3Bucket": "trail",
        "digestS3Object": "AWSLogs/1/CloudTrail-Digest/a.json.gz", "digestSignatureAlgorithm": "SHA256withRSA",
        "logFiles": [{"s3Bucket": "trail", "s3Object": "AWSLogs/1/CloudTrail/a.json.gz", "hashValue": "00"}]});
    let confirmation = json!({"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Token": "t",
        "Message": "You have chosen to subscribe", "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=x"});
    for (body, word) in [
        (bucket, "import it"),
        (trail, "import it"),
        (bare, "lookup-events"),
        (text, "CloudWatch"),
        (digest, "CloudTrail-Digest/"),
        (confirmation, "SubscribeURL"),
    ] {
        let told = calls(SourceFormat::CloudTrail, &body.to_string());
        assert!(told.len() == 1 && told[0].contains(word), "{body}: {told:?}");
    }
    let control = json!({"messageType": "CONTROL_MESSAGE", "logEvents": [
        {"id": "", "timestamp": 1, "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose."}]});
    assert_eq!(calls(SourceFormat::CloudTrail, &control.to_string()), [""; 0], "a test of the connection");
    let grid = json!([{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationUrl": "u"}}]);
    assert!(calls(SourceFormat::AzureActivity, &grid.to_string())[0].contains("validationUrl"));
    let broken = json!({"Records": [{"data": "!"}]});
    assert!(calls(SourceFormat::CloudTrail, &broken.to_string())[0].contains("base64"));
}

#[test]
fn other_systems_records_come_out_of_theirs() {
    let okta = |kind: &str| json!({"eventType": kind, "published": "2026-01-05T08:00:00Z", "outcome": {"result": "SUCCESS"}});
    let hook = json!({"eventType": "com.okta.event_hook", "eventId": "1", "eventTime": "2026-01-05T08:00:00Z",
        "data": {"events": [okta("user.account.lock"), okta("user.mfa.factor.deactivate")]}});
    assert_eq!(
        calls(SourceFormat::OktaSystemLog, &hook.to_string()),
        ["user.account.lock", "user.mfa.factor.deactivate"]
    );
    let bus = json!({"detail-type": "SystemLog", "time": "2026-01-05T08:00:00Z", "detail": okta("user.session.start")});
    assert_eq!(calls(SourceFormat::OktaSystemLog, &bus.to_string()), ["user.session.start"]);
    let gcp = json!({"insertId": "a", "protoPayload": {"methodName": "SetIamPolicy"}});
    let push =
        json!({"message": {"data": STANDARD.encode(gcp.to_string()), "messageId": "1"}, "subscription": "s"});
    assert_eq!(calls(SourceFormat::GcpAudit, &push.to_string()), ["SetIamPolicy"]);
    let eks = json!({"logEvents": [{"id": "1", "timestamp": 1, "message": audit_event("get", &json!({"resource": "pods"}), "ada", 200).to_string()}]});
    assert_eq!(calls(SourceFormat::KubernetesAudit, &eks.to_string()), ["get pods"]);
    let log = audit_event("get", &json!({"resource": "pods"}), "ada", 200).to_string();
    let aks = json!({"records": [{"category": "kube-audit", "properties": {"log": log}}]});
    assert_eq!(calls(SourceFormat::KubernetesAudit, &aks.to_string()), ["get pods"]);
    let azure = json!({"operationName": "Microsoft.Compute/virtualMachines/delete", "resourceId": "/subscriptions/1"});
    for body in [
        json!({"records": [azure]}),
        json!({"value": [azure]}),
        json!([{"eventType": "Microsoft.Resources.ResourceDeleteSuccess", "id": "1", "data": azure}]),
    ] {
        assert_eq!(
            calls(SourceFormat::AzureActivity, &body.to_string()),
            ["Microsoft.Compute/virtualMachines/delete"]
        );
    }
}

#[test]
fn what_a_carrier_tells_serves_where_the_record_is_silent() {
    let record = json!({"eventName": "StopLogging", "eventSource": "cloudtrail.amazonaws.com"});
    let bus = json!({"detail-type": "x", "id": "6f1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10", "account": "111122223333",
                     "time": "2026-01-05T08:00:00Z", "detail": record});
    let found = Records::new(bus.to_string().as_bytes(), SourceFormat::CloudTrail)
        .next()
        .expect("one")
        .expect("read");
    let tenant = TenantId::new("acme").expect("a plain name");
    let text = found.text.expect("a record");
    let mapped = SourceFormat::CloudTrail.map_within(&tenant, &text, &found.around).expect("an object");
    assert_eq!(text, record.to_string(), "verbatim");
    assert_eq!(mapped.envelope.id.to_string(), "6f1c0a52-8f0e-4bd5-9a51-6a3f1c9f3a10");
    assert_eq!(mapped.envelope.source.as_str(), "aws://111122223333");
    assert_eq!(mapped.envelope.occurred_at.timestamp(), 1_767_600_000);
    // By whatever way, one content.
    let direct = SourceFormat::CloudTrail.map(&tenant, &call("StopLogging").to_string()).expect("an object");
    let mut bare = call("StopLogging");
    bare.as_object_mut().expect("an object").remove("errorCode");
    let carried = SourceFormat::CloudTrail.map(&tenant, &bare.to_string()).expect("an object");
    assert_eq!(direct.envelope.content_sha256(), carried.envelope.content_sha256());
}

#[test]
fn files_in_utf_16_are_read() {
    let body = json!([call("StopLogging")]).to_string();
    let mut bytes = vec![0xFF, 0xFE];
    bytes.extend(body.encode_utf16().flat_map(u16::to_le_bytes));
    let mut found = Records::new(bytes.as_slice(), SourceFormat::CloudTrail);
    let record = found.next().expect("one").expect("read").text.expect("a record");
    assert!(record.contains("StopLogging"));
    assert!(found.next().is_none());
}

#[test]
fn carriers_within_carriers_have_an_end() {
    let mut body = call("StopLogging").to_string();
    for _ in 0..20 {
        body = json!({"Records": [{"messageId": "m", "body": body}]}).to_string();
    }
    let found: Vec<_> = Records::new(body.as_bytes(), SourceFormat::CloudTrail).collect();
    assert_eq!(found.len(), 1);
    let bomb = STANDARD.encode(gzip(&" ".repeat(40_000_000)));
    let body = json!({"Records": [{"data": bomb}]}).to_string();
    let text =
        Records::new(body.as_bytes(), SourceFormat::CloudTrail).next().expect("one").expect("read").text;
    assert!(matches!(text, Err(ElementDefect::Carrier(_))), "{text:?}");
}

#[test]
fn a_carrier_of_too_many_records_is_refused_alone() {
    let bomb = json!({"data": STANDARD.encode(gzip(&"{}\n".repeat(100_001)))});
    let found = calls(SourceFormat::CloudTrail, &json!([bomb, call("StopLogging")]).to_string());
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("100,000 records"), "{}", found[0]);
    assert_eq!(found[1], "StopLogging");
}
