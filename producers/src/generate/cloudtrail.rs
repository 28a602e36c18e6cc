//! API calls and sign-ins as CloudTrail records, with the events that such records map to.

use chrono::{SubsecRound as _, TimeDelta};
use schemas::{
    Envelope, Event, EventId, Native, Timestamp,
    envelope::native_format,
    events::{Activity, ActivityKind, Outcome, OutcomeStatus, Resource},
};

use super::{
    calls::{Call, Caller},
    dice::Dice,
    organisation::{Account, Identity, Organisation},
    scene::{Scene, push_time},
};
use crate::sources::cloudtrail::resources_in;

/// Result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Denied,
    Throttled,
}

/// Result of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignIn {
    Done,
    Failed,
}

/// One API call in the caller's account.
pub(super) fn call(
    organisation: &Organisation,
    identity: &Identity,
    (call, answer): (&Call, Answer),
    at: Timestamp,
    dice: &mut Dice,
) -> Envelope {
    let account = &organisation.accounts[identity.account];
    let scene = Scene::new(account, identity, at.trunc_subsecs(0), dice);
    let outcome = outcome_of(call, answer, &scene);
    let kind = match answer {
        Answer::Done => call.kind,
        Answer::Denied => ActivityKind::AccessDenied,
        Answer::Throttled => ActivityKind::ApiCalled,
    };
    let (mut request_id, id) = (String::with_capacity(36), dice.id());
    dice.uuid(&mut request_id);
    let record = call_record(&scene, (call, &outcome), (&request_id, id), dice);
    let activity = Activity {
        kind,
        action: call.action.into(),
        service: Some(call.service.into()),
        actor: identity.actor.clone(),
        resources: resources_in(&record, &account.id),
        outcome,
        read_only: Some(call.read_only),
        request_id: Some(request_id),
    };
    envelope(organisation, account, (id, scene.at), activity, record)
}

fn outcome_of(call: &Call, answer: Answer, scene: &Scene<'_>) -> Outcome {
    let failure = |code: &str, message: String| Outcome {
        status: OutcomeStatus::Failure,
        code: Some(code.into()),
        message: Some(message),
    };
    match answer {
        Answer::Done => Outcome { status: OutcomeStatus::Success, ..Outcome::default() },
        Answer::Denied => {
            let service = call.service.trim_end_matches(".amazonaws.com");
            let message = format!(
                "User: {} is not authorized to perform: {service}:{} because no identity-based policy allows it",
                scene.identity.actor.id, call.action
            );
            failure("AccessDenied", message)
        }
        Answer::Throttled => failure("ThrottlingException", "Rate exceeded".into()),
    }
}

fn call_record(
    scene: &Scene<'_>,
    (call, outcome): (&Call, &Outcome),
    (request_id, id): (&str, EventId),
    dice: &mut Dice,
) -> String {
    let mut out = String::with_capacity(3_072);
    begin_record(scene, (call.service, call.action), dice, &mut out);
    if let (Some(code), Some(message)) = (&outcome.code, &outcome.message) {
        push(&mut out, &[",\"errorCode\":\"", code, "\",\"errorMessage\":\"", message, "\""]);
    }
    out.push_str(",\"requestParameters\":");
    scene.fill(call.request, dice, &mut out);
    out.push_str(",\"responseElements\":");
    scene.fill(if outcome.code.is_some() { "null" } else { call.response }, dice, &mut out);
    if let Some(more) = call.more() {
        out.push_str(",\"additionalEventData\":{");
        scene.fill(more, dice, &mut out);
        out.push('}');
    }
    push(&mut out, &[",\"requestID\":\"", request_id, "\""]);
    listed_record(scene, call, dice, &mut out);
    if call.caller == Caller::Workload {
        scene.fill(VPC_ENDPOINT, dice, &mut out);
    }
    let ending = RecordEnding {
        id,
        kind: "AwsApiCall",
        read_only: if call.read_only { "true" } else { "false" },
        host: call.service.trim_end_matches(".amazonaws.com"),
        of_data: call.action.ends_with("Object"),
    };
    end_record(scene, &ending, &mut out);
    out
}

/// Programs in production call through the private network.
const VPC_ENDPOINT: &str = r#","vpcEndpointId":"vpce-0<hex16>","vpcEndpointAccountId":"<account>""#;

fn listed_record(scene: &Scene<'_>, call: &Call, dice: &mut Dice, out: &mut String) {
    for (at, (kind, arn)) in call.listed().iter().enumerate() {
        push(out, &[if at == 0 { ",\"resources\":[" } else { "," }]);
        push(out, &["{\"accountId\":\"", &scene.account.id, "\",\"type\":\"", kind, "\",\"ARN\":\""]);
        scene.fill(arn, dice, out);
        out.push_str("\"}");
    }
    if !call.listed().is_empty() {
        out.push(']');
    }
}

/// A person's console sign-in, from their own address or another.
pub(super) fn sign_in(
    organisation: &Organisation,
    person: &Identity,
    (ending, address): (SignIn, Option<&str>),
    at: Timestamp,
    dice: &mut Dice,
) -> Envelope {
    let account = &organisation.accounts[person.account];
    let mut person = person.clone();
    if let Some(address) = address {
        person.actor.ip = Some(address.into());
    }
    let scene = Scene::new(account, &person, at.trunc_subsecs(0), dice);
    let id = dice.id();
    let mut out = String::with_capacity(2_048);
    begin_record(&scene, ("signin.amazonaws.com", "ConsoleLogin"), dice, &mut out);
    let (kind, outcome) = match ending {
        SignIn::Done => {
            (ActivityKind::SignedIn, Outcome { status: OutcomeStatus::Success, ..Outcome::default() })
        }
        SignIn::Failed => {
            out.push_str(",\"errorMessage\":\"Failed authentication\"");
            let message = Some("Failed authentication".to_owned());
            (ActivityKind::SignInFailed, Outcome { status: OutcomeStatus::Failure, code: None, message })
        }
    };
    let result = if ending == SignIn::Done { "Success" } else { "Failure" };
    let mfa = if person.actor.mfa == Some(true) { "Yes" } else { "No" };
    push(
        &mut out,
        &[
            ",\"requestParameters\":null,\"responseElements\":{\"ConsoleLogin\":\"",
            result,
            "\"},\"additionalEventData\":{\"LoginTo\":\"https://console.aws.amazon.com/console/home?region=",
            account.region,
            "&state=hashArgs%23\",\"MobileVersion\":\"No\",\"MFAUsed\":\"",
            mfa,
            "\"}",
        ],
    );
    let ending =
        RecordEnding { id, kind: "AwsConsoleSignIn", read_only: "false", host: "signin", of_data: false };
    end_record(&scene, &ending, &mut out);
    let activity = Activity {
        kind,
        action: "ConsoleLogin".into(),
        service: Some("signin.amazonaws.com".into()),
        actor: person.actor.clone(),
        resources: vec![of_account(place(account))],
        outcome,
        read_only: Some(false),
        request_id: None,
    };
    let at = scene.at;
    envelope(organisation, account, (id, at), activity, out)
}

fn begin_record(scene: &Scene<'_>, (service, action): (&str, &str), dice: &mut Dice, out: &mut String) {
    let identity = scene.identity;
    push(out, &["{\"eventVersion\":\"1.11\",\"userIdentity\":", &identity.json_head]);
    push_time(scene.at - TimeDelta::seconds(i64::from(dice.below(3_600))), out);
    push(out, &[&identity.json_tail, ",\"eventTime\":\""]);
    push_time(scene.at, out);
    push(
        out,
        &[
            "\",\"eventSource\":\"",
            service,
            "\",\"eventName\":\"",
            action,
            "\",\"awsRegion\":\"",
            scene.account.region,
            "\",\"sourceIPAddress\":\"",
            identity.actor.ip.as_deref().unwrap_or_default(),
            "\",\"userAgent\":\"",
            identity.actor.user_agent.as_deref().unwrap_or_default(),
            "\"",
        ],
    );
}

struct RecordEnding {
    id: EventId,
    kind: &'static str,
    read_only: &'static str,
    host: &'static str,
    /// Whether the call acts on data, not on the container of data.
    of_data: bool,
}

fn end_record(scene: &Scene<'_>, ending: &RecordEnding, out: &mut String) {
    let Account { id: account, region, .. } = scene.account;
    let (management, category) = if ending.of_data { ("false", "Data") } else { ("true", "Management") };
    push(
        out,
        &[
            ",\"eventID\":\"",
            &ending.id.to_string(),
            "\",\"readOnly\":",
            ending.read_only,
            ",\"eventType\":\"",
            ending.kind,
            "\",\"managementEvent\":",
            management,
            ",\"recipientAccountId\":\"",
            account,
            "\",\"eventCategory\":\"",
            category,
            "\",\"tlsDetails\":{\"tlsVersion\":\"TLSv1.3\",\"cipherSuite\":\"TLS_AES_128_GCM_SHA256\",\
         \"clientProvidedHostHeader\":\"",
            ending.host,
            ".",
            region,
            ".amazonaws.com\"}}",
        ],
    );
}

fn push(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

fn place(account: &Account) -> Resource {
    let region = Some(account.region.into());
    Resource { cloud: Some("aws".into()), account: Some(account.id.clone()), region, ..Resource::default() }
}

fn of_account(place: Resource) -> Resource {
    let id = place.account.clone().unwrap_or_default();
    Resource { kind: Some("AWS::Account".into()), id, ..place }
}

fn envelope(
    organisation: &Organisation,
    account: &Account,
    (id, occurred_at): (EventId, Timestamp),
    activity: Activity,
    record: String,
) -> Envelope {
    Envelope {
        id,
        tenant: organisation.tenant.clone(),
        source: account.source.clone(),
        subject: activity.resources.first().map(|resource| resource.id.clone()),
        occurred_at,
        skewed: false,
        time_assumed: false,
        original_id: None,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event: Event::Activity(activity),
        native: Some(Native { format: native_format::CLOUDTRAIL.into(), record: record.into() }),
    }
}
