//! Rows of CloudTrail Lake, as returned by `aws cloudtrail get-query-results`: `[{"eventName": "…"},
//! {"userIdentity": "{type=IAMUser, arn=…}"}]`, with a member for each column and text values only.

use serde_json::{Map, Value};

/// Maximum nesting of objects that are read from a text; deeper ones stay text.
const MAX_DEPTH: usize = 8;
/// Members whose names Lake writes in lower case, in CloudTrail's spelling.
const NAMES: [&str; 24] = [
    "principalId",
    "accountId",
    "accessKeyId",
    "userName",
    "sessionContext",
    "sessionIssuer",
    "webIdFederationData",
    "federatedProvider",
    "creationDate",
    "mfaAuthenticated",
    "sourceIdentity",
    "ec2RoleDelivery",
    "ec2IssuedInVpc",
    "assumedRoot",
    "invokedBy",
    "identityProvider",
    "credentialId",
    "onBehalfOf",
    "userId",
    "identityStoreArn",
    "inScopeOf",
    "sourceArn",
    "sourceAccount",
    "issuerType",
];

/// The record of a row: one object of its columns without empty ones. `None` if the text is not a row.
pub(super) fn record_of(row: &str) -> Option<String> {
    let columns: Vec<Map<String, Value>> = serde_json::from_str(row).ok()?;
    let mut record = Map::new();
    for (name, value) in columns.into_iter().flatten() {
        match value {
            Value::String(text) if text.is_empty() || text == "null" => {}
            Value::Null => {}
            // The record as it was; it is taken out later, verbatim.
            Value::String(text) if name.eq_ignore_ascii_case("eventJson") => {
                record.insert(name, Value::String(text));
            }
            Value::String(text) => {
                record.insert(name, value_of(text));
            }
            other => {
                record.insert(name, other);
            }
        }
    }
    (!record.is_empty()).then(|| Value::Object(record).to_string())
}

/// JSON, a structure as the query engine prints it, or the text itself.
fn value_of(text: String) -> Value {
    if !text.starts_with(['{', '[']) {
        return Value::String(text);
    }
    let json = serde_json::from_str::<Value>(&text).ok();
    json.or_else(|| printed(&text, 0)).unwrap_or(Value::String(text))
}

/// Parses `{name=value, name={…}}` or `[value, value]`; any other text stays text.
fn printed(text: &str, depth: usize) -> Option<Value> {
    let inside = |open, close| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if depth == MAX_DEPTH {
        return None;
    }
    if let Some(members) = inside('{', '}') {
        let mut object = Map::new();
        for (name, value) in members_of(members)? {
            if !matches!(value, "" | "null") {
                object.insert(spelled(name), printed(value, depth + 1)?);
            }
        }
        return Some(Value::Object(object));
    }
    if let Some(elements) = inside('[', ']') {
        let elements = parts_of(elements)?.into_iter().filter(|part| !part.is_empty());
        return elements.map(|part| printed(part, depth + 1)).collect::<Option<Vec<_>>>().map(Value::Array);
    }
    Some(Value::String(text.to_owned()))
}

/// Names and values. A comma within a value is recognised because no name follows it.
fn members_of(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for part in parts_of(text)? {
        match part.split_once('=') {
            Some((name, value)) if is_name(name) => members.push((name, value)),
            _ if part.is_empty() && members.is_empty() => {}
            _ => {
                // Both are pieces of one text, and this one follows that one.
                let (name, before) = members.pop()?;
                let begin = before.as_ptr() as usize - text.as_ptr() as usize;
                let end = part.as_ptr() as usize - text.as_ptr() as usize + part.len();
                members.push((name, &text[begin..end]));
            }
        }
    }
    Some(members)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte))
}

/// The parts between commas outside brackets; `None` if brackets are not closed.
fn parts_of(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 && text[at..].starts_with(", ") => {
                parts.push(&text[begin..at]);
                begin = at + 2;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (depth == 0).then_some(parts)
}

fn spelled(name: &str) -> String {
    NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)).map_or(name, |known| *known).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "values are written where they are expected")]
    fn check(row: &Value, expected: Option<Value>) {
        let record = record_of(&row.to_string());
        assert_eq!(record.map(|text| serde_json::from_str::<Value>(&text).expect("JSON")), expected, "{row}");
    }

    #[test]
    fn columns_become_the_record() {
        let identity = "{type=AssumedRole, principalid=AROA1:ada, arn=arn:aws:sts::1:assumed-role/Ops/ada, accountid=1, \
                        username=, sessioncontext={attributes={creationdate=2026-01-05 07:00:00.000, mfaauthenticated=false}, \
                        sessionissuer={type=Role, username=Ops}}, invokedby=null}";
        let row = json!([{"eventName": "StopLogging"}, {"readOnly": "false"}, {"errorCode": ""}, {"errorMessage": null},
            {"userIdentity": identity}, {"requestParameters": "{name=arn:aws:cloudtrail:eu-west-1:1:trail/main}"},
            {"resources": "[{arn=arn:aws:s3:::logs, type=AWS::S3::Bucket}]"}, {"additionalEventData": "{\"a\":1}"}]);
        check(
            &row,
            Some(json!({
                "eventName": "StopLogging", "readOnly": "false",
                "userIdentity": {"type": "AssumedRole", "principalId": "AROA1:ada",
                    "arn": "arn:aws:sts::1:assumed-role/Ops/ada", "accountId": "1",
                    "sessionContext": {
                        "attributes": {"creationDate": "2026-01-05 07:00:00.000", "mfaAuthenticated": "false"},
                        "sessionIssuer": {"type": "Role", "userName": "Ops"}}},
                "requestParameters": {"name": "arn:aws:cloudtrail:eu-west-1:1:trail/main"},
                "resources": [{"arn": "arn:aws:s3:::logs", "type": "AWS::S3::Bucket"}],
                "additionalEventData": {"a": 1},
            })),
        );
    }

    #[test]
    fn what_is_not_printed_cleanly_stays_text() {
        let odd = |text: &str| json!([{"requestParameters": text}]);
        let same = |text: &str| Some(json!({"requestParameters": text}));
        for text in ["{a=1", "{a=}}", "{, b}", "[{a=1]", "{no name here}"] {
            check(&odd(text), same(text));
        }
        check(&odd("{a=x, y and z, b=2}"), Some(json!({"requestParameters": {"a": "x, y and z", "b": "2"}})));
        check(&odd("{}"), Some(json!({"requestParameters": {}})));
        check(&odd("[]"), Some(json!({"requestParameters": []})));
        let deep = format!("{}x{}", "{a=".repeat(40), "}".repeat(40));
        check(&odd(&deep), same(&deep));
        check(&json!([]), None);
        check(&json!([7]), None);
    }
}
