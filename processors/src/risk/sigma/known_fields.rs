//! Known top-level fields of the records of a format.

use schemas::envelope::native_format;

/// All fields of a CloudTrail record (record contents reference, event version 1.11).
const CLOUDTRAIL: &[&str] = &[
    "eventVersion",
    "userIdentity",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "requestID",
    "eventID",
    "eventType",
    "apiVersion",
    "managementEvent",
    "readOnly",
    "resources",
    "recipientAccountId",
    "serviceEventDetails",
    "sharedEventID",
    "vpcEndpointId",
    "vpcEndpointAccountId",
    "eventCategory",
    "addendum",
    "sessionCredentialFromConsole",
    "edgeDeviceDetails",
    "tlsDetails",
    "eventContext",
    "insightDetails",
];

/// All fields of `audit.k8s.io` events, and of the records in which AKS and GKE wrap them.
const KUBERNETES: &[&str] = &[
    "kind",
    "apiVersion",
    "metadata",
    "level",
    "timestamp",
    "auditID",
    "stage",
    "requestURI",
    "verb",
    "user",
    "impersonatedUser",
    "authenticationMetadata",
    "sourceIPs",
    "userAgent",
    "objectRef",
    "responseStatus",
    "requestObject",
    "responseObject",
    "requestReceivedTimestamp",
    "stageTimestamp",
    "annotations",
    "category",
    "operationName",
    "operationname",
    "properties",
    "resourceId",
    "time",
    "ccpNamespace",
    "serviceBuild",
    "Cloud",
    "Environment",
    "UnderlayClass",
    "UnderlayName",
    "attrs",
    "containerID",
    "pod",
    "protoPayload",
    "resource",
    "labels",
    "insertId",
    "logName",
    "severity",
    "receiveTimestamp",
    "operation",
];

/// All fields of Okta's LogEvent, also in the lower case of exports.
const OKTA: &[&str] = &[
    "actor",
    "authenticationContext",
    "client",
    "debugContext",
    "device",
    "displayMessage",
    "eventType",
    "eventtype",
    "legacyEventType",
    "outcome",
    "published",
    "request",
    "securityContext",
    "severity",
    "target",
    "transaction",
    "uuid",
    "version",
    "authenticationcontext",
    "debugcontext",
    "displaymessage",
    "legacyeventtype",
    "securitycontext",
];

/// All fields of Cloud Logging's LogEntry.
const GCP: &[&str] = &[
    "protoPayload",
    "jsonPayload",
    "textPayload",
    "resource",
    "labels",
    "insertId",
    "logName",
    "severity",
    "timestamp",
    "receiveTimestamp",
    "operation",
    "httpRequest",
    "trace",
    "spanId",
    "traceSampled",
    "sourceLocation",
    "split",
    "errorGroups",
    "otel",
    "apphub",
    "apphubDestination",
    "apphubSource",
    "metadata",
];

fn fields_of(format: &str) -> Option<&'static [&'static str]> {
    match format {
        native_format::CLOUDTRAIL => Some(CLOUDTRAIL),
        native_format::KUBERNETES_AUDIT => Some(KUBERNETES),
        native_format::OKTA_SYSTEM_LOG => Some(OKTA),
        native_format::GCP_AUDIT => Some(GCP),
        _ => None,
    }
}

/// Top-level fields that every record of the format has.
pub(super) fn in_every_record(format: &str) -> &'static [&'static str] {
    match format {
        native_format::CLOUDTRAIL => {
            &["eventVersion", "eventTime", "eventSource", "eventName", "awsRegion", "eventID"]
        }
        native_format::KUBERNETES_AUDIT => {
            &["kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb"]
        }
        native_format::OKTA_SYSTEM_LOG => &["eventType", "published", "uuid", "version", "severity"],
        native_format::GITHUB_AUDIT => &["action", "created_at"],
        native_format::GCP_AUDIT => &["logName", "insertId", "timestamp"],
        native_format::AZURE_ACTIVITY | native_format::AZURE_AUDIT => &["operationName", "time"],
        _ => &[],
    }
}

/// The reason why no record of the format has the field, if the format's fields are known and it is none of
/// them.
pub(super) fn unknown<'k>(
    format: &str,
    mut keys: impl Iterator<Item = &'k str> + Clone,
    name: &str,
) -> Option<String> {
    let known = fields_of(format)?;
    if keys.clone().any(|key| known.contains(&key)) {
        return None;
    }
    let key = keys.next().unwrap_or_default();
    let meant = known.iter().find(|known| known.eq_ignore_ascii_case(key));
    let meant = meant.map(|meant| format!("; is {meant:?} meant?")).unwrap_or_default();
    Some(format!("records of {format} have no field {name:?}: a test of its value never matches{meant}"))
}
