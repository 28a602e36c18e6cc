//! CloudTrail records of exports whose members are named in lower case, since the engine that wrote them keeps no other names
//! (Athena, Glue, Hive, Spark): in the spelling of the source, by which rules find its members.

use serde_json::{Map, Value};

use crate::sources::{SourceFormat, fields::Fields};

/// Members of which every row has some, as they stand in its text.
const MARKS: [&str; 3] = ["\"eventname\"", "\"eventid\"", "\"useridentity\""];
/// Members of CloudTrail's records, in lower case, whose own members others have named.
const FOREIGN: [&str; 4] =
    ["additionaleventdata", "requestparameters", "responseelements", "serviceeventdetails"];
/// Members of CloudTrail's records at any depth that are not in lower case at the source.
const NAMES: &[&str] = &[
    "accessKeyId",
    "accountId",
    "additionalEventData",
    "apiVersion",
    "assumedRoot",
    "awsRegion",
    "cipherSuite",
    "clientProvidedHostHeader",
    "creationDate",
    "credentialId",
    "ec2IssuedInVpc",
    "ec2RoleDelivery",
    "edgeDeviceDetails",
    "errorCode",
    "errorMessage",
    "eventCategory",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "federatedProvider",
    "identityProvider",
    "identityStoreArn",
    "inScopeOf",
    "insightDetails",
    "invokedBy",
    "issuerType",
    "managementEvent",
    "mfaAuthenticated",
    "onBehalfOf",
    "principalId",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "responseElements",
    "serviceEventDetails",
    "sessionContext",
    "sessionCredentialFromConsole",
    "sessionIssuer",
    "sharedEventID",
    "sourceAccount",
    "sourceArn",
    "sourceIPAddress",
    "sourceIdentity",
    "tlsDetails",
    "tlsVersion",
    "userAgent",
    "userId",
    "userIdentity",
    "userName",
    "vpcEndpointAccountId",
    "vpcEndpointId",
    "webIdFederationData",
];

/// The record in the spelling of its source. `None` if it has that already.
pub(super) fn respelled(format: SourceFormat, text: &str) -> Option<String> {
    if format != SourceFormat::CloudTrail || !is_in_lower_case(text) {
        return None;
    }
    let record: Map<String, Value> = serde_json::from_str(text).ok()?;
    let members = record.into_iter().filter_map(|(name, value)| {
        let value = opened(value)?;
        let is_foreign = FOREIGN.contains(&name.as_str());
        Some((spelled(name), if is_foreign { value } else { within(value) }))
    });
    Some(Value::Object(members.collect()).to_string())
}

/// Whether the record names its members in lower case alone, the source's among them. One that somebody has put together
/// is left as it is.
fn is_in_lower_case(text: &str) -> bool {
    // Most records are spelled as at the source, and are not parsed.
    if !MARKS.iter().any(|mark| text.contains(mark)) {
        return false;
    }
    Fields::parse(text).is_ok_and(|fields| {
        let is_lower = |name: &str| !name.contains(|letter: char| letter.is_ascii_uppercase());
        MARKS.iter().any(|mark| fields.exactly(mark.trim_matches('"')))
            && fields.entries().all(|(name, _)| is_lower(name))
    })
}

fn spelled(name: String) -> String {
    let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(&name));
    known.map_or(name, |known| (*known).to_owned())
}

/// The value with its members in the source's spelling, without those that are null.
fn within(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(name, value)| (spelled(name), within(value))).collect())
        }
        Value::Array(elements) => elements.into_iter().map(within).collect(),
        plain => plain,
    }
}

/// The value of a column: what it holds as JSON within a text. `None` for an empty column.
fn opened(column: Value) -> Option<Value> {
    match column {
        Value::Null => None,
        Value::String(text) if text.is_empty() || text == "null" => None,
        Value::String(text) if text.starts_with(['{', '[']) => {
            Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
        }
        value => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sources::records::Records;

    #[track_caller]
    fn check(format: SourceFormat, row: &Value, expected: Option<&Value>) {
        let record = respelled(format, &row.to_string());
        let record = record.map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
        assert_eq!(record.as_ref(), expected, "{row}");
    }

    #[test]
    fn a_row_in_lower_case_becomes_the_record_that_it_was() {
        let row = json!({
            "eventversion": "1.08", "eventname": "PutBucketPolicy", "eventsource": "s3.amazonaws.com",
            "useridentity": {"type": "AssumedRole", "principalid": "AROA1:ada", "username": null,
                "sessioncontext": {"sessionissuer": {"username": "Ops"}, "attributes": {"mfaauthenticated": "true"}}},
            "sourceipaddress": "192.0.2.1", "useragent": "[S3Console/0.4]", "errorcode": null, "errormessage": "",
            "requestparameters": "{\"bucketName\":\"logs\",\"username\":\"as it was\"}", "responseelements": "null",
            "resources": [{"accountid": "1", "type": "AWS::S3::Bucket"}], "year": "2026",
        });
        let record = json!({
            "eventVersion": "1.08", "eventName": "PutBucketPolicy", "eventSource": "s3.amazonaws.com",
            "userIdentity": {"type": "AssumedRole", "principalId": "AROA1:ada",
                "sessionContext": {"sessionIssuer": {"userName": "Ops"}, "attributes": {"mfaAuthenticated": "true"}}},
            "sourceIPAddress": "192.0.2.1", "userAgent": "[S3Console/0.4]",
            "requestParameters": {"bucketName": "logs", "username": "as it was"},
            "resources": [{"accountId": "1", "type": "AWS::S3::Bucket"}], "year": "2026",
        });
        check(SourceFormat::CloudTrail, &row, Some(&record));
        check(SourceFormat::CloudTrail, &record, None);
        check(SourceFormat::OktaSystemLog, &row, None);
    }

    #[test]
    fn a_record_that_has_the_sources_spelling_is_left_alone() {
        for record in [
            json!({"eventName": "A", "requestParameters": {"eventname": "B"}}),
            json!({"eventName": "A", "eventname": "B"}),
            json!({"eventname": "A", "recipientAccountId": "123456789012"}),
            json!({"name": "eventname"}),
            json!(["eventname"]),
        ] {
            check(SourceFormat::CloudTrail, &record, None);
        }
    }

    #[test]
    fn rows_of_a_file_are_read_in_the_sources_spelling() {
        let rows = "{\"eventname\":\"StopLogging\"}\n{\"eventName\":  \"StartLogging\"}\n";
        let records = Records::new(rows.as_bytes(), SourceFormat::CloudTrail);
        let texts: Vec<String> =
            records.map(|record| record.expect("a good file").text.expect("a good record")).collect();
        assert_eq!(texts, ["{\"eventName\":\"StopLogging\"}", "{\"eventName\":  \"StartLogging\"}"]);
    }
}
