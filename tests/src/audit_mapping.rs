//! Real records through source and audit processor, beside other people's mapping of the same records.
//!
//! The corpus is named by `WEIR_CORPUS`; without it these tests report themselves skipped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use processors::{Processor, audit::Audit};
use producers::sources::cloudtrail;
use schemas::{
    TenantId,
    changes::{AuditEntry, OcsfRecord},
    events::{ActorKind, OutcomeStatus},
};
use serde_json::Value;

use crate::support::corpus::{corpus, files};

/// A CloudTrail record's audit entry and its OCSF record.
fn audited(record: &str) -> (AuditEntry, Value) {
    let tenant = TenantId::new("corpus").expect("a plain name");
    let envelope = cloudtrail::map(&tenant, record).expect("an object").envelope;
    let entry = Audit.process(&envelope).pop().expect("one entry");
    let text = OcsfRecord::json(&entry.record.to_bytes()).expect("readable");
    let ocsf = serde_json::from_str(&text).expect("the record is JSON");
    (entry, ocsf)
}

/// Attributes that a published mapping states and that ours are compared with.
const STATED: [&str; 22] = [
    "/class_uid",
    "/activity_id",
    "/type_uid",
    "/category_uid",
    "/severity_id",
    "/time",
    "/api/operation",
    "/api/request/uid",
    "/cloud/region",
    "/cloud/account/uid",
    "/actor/user/uid",
    "/actor/user/name",
    "/actor/user/account/uid",
    "/actor/session/is_mfa",
    "/activity_name",
    "/api/service/name",
    "/class_name",
    "/cloud/provider",
    "/http_request/user_agent",
    "/src_endpoint/domain",
    "/src_endpoint/ip",
    "/status",
];

/// Deliberate differences of our mapping: the pair, the stated value, and the reason.
const DEVIATIONS: [(&str, &str, &str); 3] = [
    ("account_change", "/cloud/provider", "providers are written as events write them: aws"),
    ("authentication", "/cloud/provider", "providers are written as events write them: aws"),
    ("generic_api_activity", "/cloud/provider", "providers are written as events write them: aws"),
];

#[test]
fn cloudtrail_pairs_agree_but_for_what_is_listed() {
    let Some(corpus) = corpus("ocsf_pairs") else { return };
    let folder = corpus.path().join("ocsf_pairs/markdown/AWS/v1.5.0/CloudTrail");
    let mut deviations = BTreeSet::new();
    let published = files(&folder, "ocsf");
    assert_eq!(published.len(), 3, "CloudTrail pairs");
    for path in published {
        let published: Value = parse_lenient(&fs::read_to_string(&path).expect("readable"));
        let (_, ours) = audited(&fs::read_to_string(path.with_extension("raw")).expect("readable"));
        let pair = path.file_stem().expect("a file").to_string_lossy().into_owned();
        for stated in STATED {
            let (theirs, ours) = (published.pointer(stated), ours.pointer(stated));
            if theirs.is_some() && theirs != ours {
                deviations.insert((pair.clone(), stated));
            }
        }
    }
    let listed: BTreeSet<_> =
        DEVIATIONS.iter().map(|(pair, stated, _)| ((*pair).to_owned(), *stated)).collect();
    assert_eq!(deviations, listed, "every deviation is listed with its reason");
}

/// Some published records have a comma before a closing bracket.
fn parse_lenient(text: &str) -> Value {
    let mut kept = String::with_capacity(text.len());
    for piece in text.split_inclusive([',']) {
        let next = text[kept.len() + piece.len()..].trim_start();
        let dangling = piece.ends_with(',') && next.starts_with(['}', ']']);
        kept.push_str(if dangling { &piece[..piece.len() - 1] } else { piece });
        if dangling {
            kept.push(' ');
        }
    }
    serde_json::from_str(&kept).expect("JSON but for its commas")
}

#[test]
fn simulated_attacks_are_audited_whole() {
    let Some(corpus) = corpus("stratus") else { return };
    let folder = corpus.path().join("stratus");
    let labels: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("labels.json")).expect("labels")).expect("JSON");
    let (mut actions, mut outcomes, mut classes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for path in files(&folder.join("docs/detonation-logs"), "json") {
        let text = fs::read_to_string(path).expect("readable");
        let records: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text).expect("an array");
        for record in records {
            let (entry, ocsf) = audited(record.get());
            assert_eq!(
                ocsf["raw_data"].as_str(),
                Some(record.get()),
                "the native record is kept byte for byte"
            );
            assert_ne!(entry.actor_kind, ActorKind::Unknown, "{}", entry.actor);
            *actions.entry(entry.action).or_insert(0_u64) += 1;
            *outcomes.entry(entry.outcome.name()).or_insert(0_u64) += 1;
            *classes.entry(entry.class_uid).or_insert(0_u64) += 1;
        }
    }
    assert_eq!(actions, labelled_actions(&labels));
    let expected = [(OutcomeStatus::Failure.name(), 52), (OutcomeStatus::Success.name(), 258)];
    assert_eq!(outcomes, BTreeMap::from(expected));
    assert_eq!(classes.values().sum::<u64>(), 310);
    assert!([6003, 3002, 3004].iter().all(|class| classes.contains_key(class)), "{classes:?}");
}

/// The sums of `event_names` over all techniques.
fn labelled_actions(labels: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    let techniques = labels.as_array().expect("a list of techniques");
    for (name, count) in techniques.iter().flat_map(|t| t["event_names"].as_object().expect("counts by name"))
    {
        *sums.entry(name.clone()).or_insert(0) += count.as_u64().expect("a count");
    }
    sums
}
