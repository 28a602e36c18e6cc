//! A report as OSCAL 1.1.3 documents: assessment results, and a plan of action and milestones.
//!
//! Ids are made of what they identify, so that the same posture gives the same document. A control's id is
//! written as a token, as OSCAL asks for (`164.312(b)` becomes `hipaa_164.312-b`, NIST's `AC-2(1)` becomes
//! `ac-2.1`); the id that policies name stands beside it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{Report, text};

const OSCAL_VERSION: &str = "1.1.3";
/// The namespace of properties of our own.
const NAMESPACE: &str = "https://weir.example/ns/oscal";
/// The longest text of a property.
const MAX_PROPERTY_CHARS: usize = 512;

/// OSCAL assessment results.
pub(super) fn assessment_results(report: &Report) -> Value {
    let plan = id(&["assessment-plan", &report.framework, &scope(report)]);
    let assessed = || report.controls.iter().filter(|control| finding_state(control).is_some());
    let controls: Vec<Value> = assessed()
        .map(|control| json!({"control-id": token(&report.framework, &text(&control["control"]))}))
        .collect();
    let mut selection = json!({"description": "controls that policies could decide"});
    if !controls.is_empty() {
        selection["include-controls"] = controls.into();
    }
    let left_out: Vec<String> = report
        .controls
        .iter()
        .filter(|control| finding_state(control).is_none())
        .map(|control| format!("{} ({})", text(&control["control"]), text(&control["state"])))
        .collect();
    let mut reviewed = json!({"control-selections": [selection]});
    if !left_out.is_empty() {
        reviewed["remarks"] = format!("Not decided: {}.", left_out.join(", ")).into();
    }
    let result = without_empty(json!({
        "uuid": id(&["result", &report.framework, &scope(report), &report.as_of]),
        "title": format!("{} as of {}", report.framework, report.as_of),
        "description": format!("Verdicts of policies about {} resources ({}).", report.resources, scope(report)),
        "start": report.as_of,
        "end": report.as_of,
        "local-definitions": without_empty(json!({"inventory-items": inventory(report)})),
        "reviewed-controls": reviewed,
        "observations": report.verdicts.iter().map(observation).collect::<Vec<_>>(),
        "risks": failures(report).map(|verdict| risk(report, verdict)).collect::<Vec<_>>(),
        "findings": assessed().map(|control| finding(report, control)).collect::<Vec<_>>(),
    }));
    json!({"assessment-results": {
        "uuid": id(&["assessment-results", &report.framework, &scope(report), &report.as_of]),
        "metadata": metadata(report, "assessment results"),
        "import-ap": {"href": format!("#{plan}")},
        "results": [result],
        "back-matter": {"resources": [{
            "uuid": plan,
            "title": format!("Continuous assessment of {}", report.framework),
            "description": "Every observed configuration is judged by the policies in force.",
        }]},
    }})
}

/// An OSCAL plan of action and milestones: an item for each failure. `None` where nothing fails: OSCAL knows
/// no plan without items.
pub(super) fn plan_of_action(report: &Report) -> Option<Value> {
    let items: Vec<Value> = failures(report).map(item).collect();
    if items.is_empty() {
        return None;
    }
    let plan = without_empty(json!({
        "uuid": id(&["poam", &report.framework, &scope(report), &report.as_of]),
        "metadata": metadata(report, "plan of action and milestones"),
        "system-id": {"identifier-type": NAMESPACE, "id": scope(report)},
        "local-definitions": without_empty(json!({"inventory-items": inventory(report)})),
        "observations": failures(report).map(observation).collect::<Vec<_>>(),
        "risks": failures(report).map(|verdict| risk(report, verdict)).collect::<Vec<_>>(),
        "poam-items": items,
    }));
    Some(json!({ "plan-of-action-and-milestones": plan }))
}

fn scope(report: &Report) -> String {
    report.project.clone().unwrap_or_else(|| "all projects".into())
}

fn metadata(report: &Report, what: &str) -> Value {
    json!({
        "title": format!("{} {what}", report.framework),
        "last-modified": report.as_of,
        "version": report.as_of,
        "oscal-version": OSCAL_VERSION,
        "props": [property("generator", &format!("weir {}", env!("CARGO_PKG_VERSION")))],
    })
}

fn failures(report: &Report) -> impl Iterator<Item = &Value> {
    report.verdicts.iter().filter(|verdict| verdict["status"] == "fail")
}

/// The resources of verdicts, each once.
fn inventory(report: &Report) -> Vec<Value> {
    let resources: BTreeMap<String, &Value> =
        report.verdicts.iter().map(|verdict| (text(&verdict["resource"]), verdict)).collect();
    let item = |(resource, verdict): (String, &Value)| {
        let mut props = vec![property("resource-id", &resource)];
        props.push(property("resource-type", &text(&verdict["resource_type"])));
        props.extend(verdict["project"].as_str().map(|project| property("project", project)));
        json!({"uuid": subject(&resource), "description": resource, "props": props})
    };
    resources.into_iter().map(item).collect()
}

fn subject(resource: &str) -> String {
    id(&["resource", resource])
}

fn observation_id(verdict: &Value) -> String {
    let [event, resource, policy] = ["event_id", "resource", "policy_id"].map(|name| text(&verdict[name]));
    id(&["observation", &event, &resource, &policy])
}

fn risk_id(verdict: &Value) -> String {
    let [resource, policy] = ["resource", "policy_id"].map(|name| text(&verdict[name]));
    id(&["risk", &resource, &policy])
}

/// One verdict: the policy's answer, and its place in the audit log.
fn observation(verdict: &Value) -> Value {
    let place = format!(
        "event {}, {}/{}, offset {}",
        text(&verdict["event_id"]),
        text(&verdict["topic"]),
        verdict["partition"],
        verdict["offset"]
    );
    let mut props: Vec<Value> = ["policy_id", "policy_hash", "severity", "status", "event_id", "waiver"]
        .into_iter()
        .filter_map(|name| Some(property(&name.replace('_', "-"), verdict[name].as_str()?)))
        .collect();
    props.retain(|property| property["value"] != "");
    json!({
        "uuid": observation_id(verdict),
        "title": text(&verdict["title"]),
        "description": described(verdict),
        "props": props,
        "methods": ["TEST"],
        "types": ["control-objective"],
        "subjects": [{"subject-uuid": subject(&text(&verdict["resource"])), "type": "inventory-item"}],
        "relevant-evidence": [{"description": format!("The entry of the audit log: {place}.")}],
        "collected": text(&verdict["observed_at"]),
    })
}

fn described(verdict: &Value) -> String {
    let reasons: Vec<&str> =
        verdict["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let status = text(&verdict["status"]);
    if reasons.is_empty() { status } else { format!("{status}: {}", reasons.join("; ")) }
}

/// The risk of one failure, until when it ought to be gone, and the change that makes it so.
fn risk(report: &Report, verdict: &Value) -> Value {
    let key = (text(&verdict["resource"]), text(&verdict["policy_id"]));
    let waiver = verdict["waiver"].as_str();
    let mut risk = json!({
        "uuid": risk_id(verdict),
        "title": text(&verdict["title"]),
        "description": format!("{} fails for {}.", key.1, key.0),
        "statement": described(verdict),
        "status": if waiver.is_some() { "deviation-approved" } else { "open" },
        "props": [property("severity", &text(&verdict["severity"]))],
        "related-observations": [{"observation-uuid": observation_id(verdict)}],
    });
    if let Some(due) = report.due.get(&key) {
        risk["deadline"] = due.clone().into();
    }
    let remediation = text(&verdict["remediation"]);
    if !remediation.is_empty() {
        risk["remediations"] = json!([{
            "uuid": id(&["remediation", &key.0, &key.1]),
            "lifecycle": "recommendation",
            "title": "Make the resource compliant",
            "description": remediation,
        }]);
    }
    if let (Some(waiver), Some(props)) = (waiver, risk["props"].as_array_mut()) {
        props.push(property("waiver", waiver));
        props.push(property("waived-until", &text(&verdict["waived_until"])));
    }
    risk
}

/// The finding's state and reason; `None` where no policy could decide.
fn finding_state(control: &Value) -> Option<(&'static str, &'static str)> {
    match control["state"].as_str()? {
        "pass" => Some(("satisfied", "pass")),
        "fail" => Some(("not-satisfied", "fail")),
        // The failure is there; somebody has accepted it for a time.
        "waived" => Some(("not-satisfied", "other")),
        _ => None,
    }
}

fn finding(report: &Report, control: &Value) -> Value {
    let name = text(&control["control"]);
    let (state, reason) = finding_state(control).unwrap_or(("not-satisfied", "other"));
    let evidence = || report.evidence(&name);
    let target = json!({
        "type": "objective-id",
        "target-id": token(&report.framework, &name),
        "props": [property("control", &name)],
        "status": {"state": state, "reason": reason},
    });
    let count = |status: &str| evidence().filter(|verdict| verdict["status"] == status).count();
    let observations: Vec<Value> =
        evidence().map(|verdict| json!({"observation-uuid": observation_id(verdict)})).collect();
    let failing = evidence().filter(|verdict| verdict["status"] == "fail");
    let risks: Vec<Value> = failing.map(|verdict| json!({"risk-uuid": risk_id(verdict)})).collect();
    without_empty(json!({
        "uuid": id(&["finding", &report.framework, &scope(report), &name, &report.as_of]),
        "title": format!("{} {name}", report.framework),
        "description": format!("{} verdicts pass, {} fail.", count("pass"), count("fail")),
        "target": target,
        "related-observations": observations,
        "related-risks": risks,
    }))
}

fn item(verdict: &Value) -> Value {
    json!({
        "uuid": id(&["poam-item", &text(&verdict["resource"]), &text(&verdict["policy_id"])]),
        "title": format!("{}: {}", text(&verdict["resource"]), text(&verdict["title"])),
        "description": format!("{} {}", described(verdict), text(&verdict["remediation"])),
        "props": [property("severity", &text(&verdict["severity"]))],
        "related-observations": [{"observation-uuid": observation_id(verdict)}],
        "related-risks": [{"risk-uuid": risk_id(verdict)}],
    })
}

/// A property of our own. Its value is one line that begins and ends with a visible character.
fn property(name: &str, value: &str) -> Value {
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(MAX_PROPERTY_CHARS).collect();
    json!({"name": name, "ns": NAMESPACE, "value": if line.is_empty() { "-" } else { line.trim() }})
}

/// A control's id as a token: letters, digits, dots, hyphens and underscores, and a letter or an underscore
/// first.
fn token(framework: &str, control: &str) -> String {
    if framework.starts_with("NIST-800-53") {
        let id = control.to_ascii_lowercase().replace('(', ".").replace(')', "");
        if id.starts_with(|first: char| first.is_ascii_alphabetic()) && id.chars().all(is_of_token) {
            return id;
        }
    }
    let word = |text: &str| -> String {
        let words: Vec<&str> =
            text.split(|symbol| !is_of_token(symbol)).filter(|word| !word.is_empty()).collect();
        words.join("-")
    };
    let framework = word(&framework.to_lowercase());
    let first = if framework.starts_with(char::is_alphabetic) { "" } else { "_" };
    format!("{first}{framework}_{}", word(control))
}

fn is_of_token(symbol: char) -> bool {
    symbol.is_alphanumeric() || matches!(symbol, '.' | '-' | '_')
}

/// OSCAL's lists have members or are left out, and so are its objects.
fn without_empty(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let is_empty = |value: &Value| {
        value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
    };
    members.into_iter().filter(|(_, value)| !is_empty(value)).collect()
}

/// A UUID of version 5 form, out of SHA-256 of its parts.
fn id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_named_by_tokens() {
        for (framework, control, expected) in [
            ("HIPAA", "164.312(b)", "hipaa_164.312-b"),
            ("NIST-800-53r5", "AC-2(1)", "ac-2.1"),
            ("PCI-DSS-4.0", "1.4.4", "pci-dss-4.0_1.4.4"),
            ("GDPR", "Art.25(2)", "gdpr_Art.25-2"),
            ("9001", "a b", "_9001_a-b"),
        ] {
            assert_eq!(token(framework, control), expected);
        }
    }

    #[test]
    fn the_same_posture_gives_the_same_document() {
        let report = super::super::tests::of_two();
        assert_eq!(assessment_results(&report), assessment_results(&report));
        let results = assessment_results(&report);
        let result = &results["assessment-results"]["results"][0];
        assert_eq!(
            result["findings"].as_array().map(Vec::len),
            Some(1),
            "a control without evidence has no finding"
        );
        assert_eq!(result["findings"][0]["target"]["status"]["state"], "not-satisfied");
        let risk = &result["risks"][0];
        assert_eq!((&risk["status"], &risk["deadline"]), (&json!("open"), &json!("2026-03-01T00:00:00Z")));
        assert!(
            result["reviewed-controls"]["remarks"]
                .as_str()
                .is_some_and(|text| text.contains("2 (no_evidence)"))
        );
        let plan = plan_of_action(&report).expect("one fails");
        let items = &plan["plan-of-action-and-milestones"]["poam-items"];
        assert_eq!(items.as_array().map(Vec::len), Some(1));
        assert_eq!(items[0]["related-risks"][0]["risk-uuid"], risk["uuid"]);
    }

    /// Every UUID has the form that OSCAL asks for, and every reference leads to something in the document.
    #[test]
    fn references_lead_somewhere() {
        let report = super::super::tests::of_two();
        for document in [assessment_results(&report), plan_of_action(&report).expect("one fails")] {
            let (mut made, mut named) = (Vec::new(), Vec::new());
            walk(&document, &mut made, &mut named);
            for uuid in made.iter().chain(&named) {
                let uuid: uuid::Uuid = uuid.parse().expect("a UUID");
                assert_eq!(uuid.get_version_num(), 5);
            }
            assert!(!named.is_empty());
            for uuid in named {
                assert!(made.contains(&uuid), "{uuid} is nowhere");
            }
        }
    }

    fn walk(value: &Value, made: &mut Vec<String>, named: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, made, named)),
            Value::Object(members) => {
                assert!(!members.is_empty(), "OSCAL's objects are not empty");
                for (name, value) in members {
                    assert!(value.as_array().is_none_or(|items| !items.is_empty()), "{name} is empty");
                    match (name.as_str(), value.as_str()) {
                        ("uuid", Some(uuid)) => made.push(uuid.to_owned()),
                        (name, Some(uuid)) if name.ends_with("-uuid") => named.push(uuid.to_owned()),
                        ("href", Some(href)) => named.push(href.trim_start_matches('#').to_owned()),
                        _ => walk(value, made, named),
                    }
                }
            }
            _ => {}
        }
    }
}
