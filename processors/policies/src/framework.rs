//! Catalogues of frameworks: Prowler's two JSON formats and OSCAL catalogues, with lints.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::{Fault, PolicySet, Refused};

/// Maximum nesting of OSCAL groups and controls.
const MAX_DEPTH: usize = 16;
/// Maximum number of requirements in one catalogue.
const MAX_REQUIREMENTS: usize = 100_000;

/// A framework: its requirements, each with the checks that are evidence for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Framework {
    /// Short name, for example `CIS`.
    pub framework: String,
    /// Long name.
    pub name: String,
    /// Version; empty if the catalogue has none.
    pub version: String,
    /// Provider of its checks; empty for several.
    pub provider: String,
    /// Requirements, in the catalogue's order.
    pub requirements: Vec<Requirement>,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// Id within the framework.
    pub id: String,
    /// Name, or else the description.
    pub title: String,
    /// Full text.
    pub description: String,
    /// Checks, each once; none if the requirement needs manual assessment.
    pub checks: Vec<String>,
}

/// A member by its name, ignoring case.
fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let members = value.as_object().into_iter().flatten();
    members
        .into_iter()
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map_or(&Value::Null, |(_, found)| found)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

impl Framework {
    /// Reads a catalogue, and lints it: duplicate ids, checks listed twice in a requirement, checks unknown
    /// to `knows`, requirements without a text. The first of requirements with one id is kept.
    ///
    /// # Errors
    /// The document is not a catalogue.
    pub fn read(
        file: &str,
        document: &Value,
        knows: impl Fn(&str) -> bool,
    ) -> Result<(Self, Vec<Fault>), Refused> {
        let (mut framework, found) = if document["catalog"].is_object() {
            oscal(&document["catalog"])
        } else if document["profile"].is_object() {
            return Err(Refused("this is an OSCAL profile: hand over the catalogue that it imports".into()));
        } else {
            prowler(document)?
        };
        if framework.framework.is_empty() {
            return Err(Refused(
                "the catalogue has no name (`Framework`, or `catalog.metadata.title`)".into(),
            ));
        }
        if found.len() > MAX_REQUIREMENTS {
            return Err(Refused(format!("the catalogue has more than {MAX_REQUIREMENTS} requirements")));
        }
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for (number, requirement) in found.into_iter().enumerate() {
            let Requirement { id, .. } = &requirement;
            let mut fault = |reason: String| faults.push(Fault::new(file, None, reason));
            if id.is_empty() {
                fault(format!("the {}. requirement has no id and is left out", number + 1));
                continue;
            }
            if !seen.insert(id.clone()) {
                fault(format!("the requirement {id} occurs twice; the first is kept"));
                continue;
            }
            if requirement.description.is_empty() && requirement.title.is_empty() {
                fault(format!("the requirement {id} has no text"));
            }
            framework.requirements.push(without_repetition(requirement, &knows, &mut fault));
        }
        if framework.requirements.is_empty() {
            return Err(Refused("the catalogue has no requirements".into()));
        }
        Ok((framework, faults))
    }

    /// Number of requirements without checks, which need manual assessment.
    pub fn manual(&self) -> usize {
        self.requirements.iter().filter(|requirement| requirement.checks.is_empty()).count()
    }

    /// For each requirement, the policies of a set that are evidence for it: those that it lists as checks,
    /// and those whose controls contain its id, or a part of it, under a framework of the same name.
    pub fn crosswalk(&self, set: &PolicySet) -> BTreeMap<String, BTreeSet<String>> {
        let requirements = self.requirements.iter().map(|requirement| {
            let name = requirement.title.split(' ').next().unwrap_or_default();
            let ids = [parts(&requirement.id), parts(name)];
            let is_within = |control: &String| {
                let control = parts(control);
                ids.iter().any(|id| !id.is_empty() && control.starts_with(id))
            };
            let policies = set.policies().iter().filter(|policy| {
                let named = policy.controls.iter().filter(|(framework, _)| self.is_named(framework));
                requirement.checks.contains(&policy.id)
                    || named.flat_map(|(_, controls)| controls).any(is_within)
            });
            (requirement.id.clone(), policies.map(|policy| policy.id.clone()).collect())
        });
        requirements.collect()
    }

    /// Whether a policy's framework (`CIS-AWS-3.0`) is this one: of the same family and, if it names one, for
    /// the same provider. Versions may differ, since ids rarely change.
    fn is_named(&self, framework: &str) -> bool {
        let own = comparable(&format!("{} {} {}", self.framework, self.name, self.provider));
        // Numbers below 100 and those with letters or dots behind them are versions; 800 is a name.
        let is_version = |part: &&str| {
            part.starts_with(|first: char| first.is_ascii_digit())
                && part.parse::<u32>().map_or(true, |number| number < 100)
        };
        let mut names = framework.split('-').filter(|part| !is_version(part) && *part != "DSS");
        names.all(|part| own.contains(&comparable(part)))
    }
}

/// A name without case and punctuation.
fn comparable(name: &str) -> String {
    name.chars().filter(|symbol| symbol.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The words and numbers of an id, which are equal for `164.312(a)(1)` and `164_312_a_1`, for `Art.32(1)` and
/// `article_32_1`, and for `CC6.1` and `cc_6_1`.
fn parts(id: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut before = None;
    for symbol in id.chars().flat_map(char::to_lowercase) {
        let kind = symbol.is_alphanumeric().then(|| symbol.is_ascii_digit());
        match found.last_mut() {
            Some(last) if kind.is_some() && kind == before => last.push(symbol),
            _ if kind.is_some() => found.push(symbol.to_string()),
            _ => {}
        }
        before = kind;
    }
    if let Some(first) = found.first_mut().filter(|first| *first == "article") {
        "art".clone_into(first);
    }
    found
}

fn without_repetition(
    requirement: Requirement,
    knows: impl Fn(&str) -> bool,
    fault: &mut impl FnMut(String),
) -> Requirement {
    let mut checks = Vec::new();
    for check in &requirement.checks {
        if checks.contains(check) {
            fault(format!("the requirement {} names the check {check} twice", requirement.id));
            continue;
        }
        if !knows(check) {
            fault(format!("the requirement {} names the check {check}, which is unknown", requirement.id));
        }
        checks.push(check.clone());
    }
    Requirement { checks, ..requirement }
}

/// Prowler's formats: members with capitals and `Checks` as a list, or in lower case with `checks` by
/// provider.
fn prowler(document: &Value) -> Result<(Framework, Vec<Requirement>), Refused> {
    let requirements = member(document, "requirements");
    let Some(requirements) = requirements.as_array() else {
        return Err(Refused("this is no catalogue: it has neither `Requirements` nor `catalog`".into()));
    };
    let read = |requirement: &Value| {
        let name = text(member(requirement, "name"));
        let description = text(member(requirement, "description"));
        Requirement {
            id: text(member(requirement, "id")),
            title: if name.is_empty() { description.clone() } else { name },
            description,
            checks: checks(member(requirement, "checks")),
        }
    };
    let framework = Framework {
        framework: text(member(document, "framework")),
        name: text(member(document, "name")),
        version: text(member(document, "version")),
        provider: text(member(document, "provider")),
        requirements: Vec::new(),
    };
    Ok((framework, requirements.iter().map(read).collect()))
}

fn checks(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(text).filter(|check| !check.is_empty()).collect(),
        Value::Object(providers) => providers.values().flat_map(checks).collect(),
        _ => Vec::new(),
    }
}

fn oscal(catalogue: &Value) -> (Framework, Vec<Requirement>) {
    let mut found = Vec::new();
    controls(catalogue, 0, &mut found);
    let title = text(&catalogue["metadata"]["title"]);
    let framework = Framework {
        framework: title.clone(),
        name: title,
        version: text(&catalogue["metadata"]["version"]),
        provider: String::new(),
        requirements: Vec::new(),
    };
    (framework, found)
}

fn controls(group: &Value, depth: usize, found: &mut Vec<Requirement>) {
    if depth > MAX_DEPTH || found.len() > MAX_REQUIREMENTS {
        return;
    }
    for control in group["controls"].as_array().into_iter().flatten() {
        let is_withdrawn = control["props"].as_array().into_iter().flatten().any(|property| {
            property["name"] == "status"
                && property["value"].as_str().is_some_and(|value| value == "withdrawn")
        });
        if !is_withdrawn {
            let mut prose = Vec::new();
            statements(&control["parts"], 0, &mut prose);
            found.push(Requirement {
                id: text(&control["id"]),
                title: text(&control["title"]),
                description: prose.join(" "),
                checks: Vec::new(),
            });
        }
        controls(control, depth + 1, found);
    }
    for below in group["groups"].as_array().into_iter().flatten() {
        controls(below, depth + 1, found);
    }
}

fn statements(parts: &Value, depth: usize, prose: &mut Vec<String>) {
    if depth > MAX_DEPTH {
        return;
    }
    for part in parts.as_array().into_iter().flatten() {
        if matches!(part["name"].as_str(), Some("statement" | "item")) {
            prose.extend(part["prose"].as_str().map(ToOwned::to_owned));
            statements(&part["parts"], depth + 1, prose);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Config;

    fn read(document: &Value) -> Result<(Framework, Vec<String>), Refused> {
        let (framework, faults) = Framework::read("f.json", document, |check| check != "nowhere")?;
        Ok((framework, faults.into_iter().map(|fault| fault.reason).collect()))
    }

    #[test]
    fn both_shapes_of_prowler_are_read() {
        let capitals = json!({"Framework": "CIS", "Version": "3.0", "Provider": "AWS", "Requirements": [
            {"Id": "1.1", "Description": "d", "Checks": ["a", "b"]}, {"Id": "1.2", "Description": "e", "Checks": []}]});
        let lower = json!({"framework": "CIS", "version": "3.0", "provider": "AWS", "requirements": [
            {"id": "1.1", "description": "d", "checks": {"aws": ["a"], "gcp": ["b"]}},
            {"id": "1.2", "description": "e", "checks": {}}]});
        assert_eq!(read(&capitals), read(&lower));
        let (framework, faults) = read(&lower).expect("a catalogue");
        assert_eq!((framework.requirements.len(), framework.manual(), faults), (2, 1, Vec::new()));
    }

    #[test]
    fn faults_are_named_and_the_rest_is_kept() {
        let (framework, faults) = read(&json!({"Framework": "X", "Requirements": [
            {"Id": "1", "Description": "d", "Checks": ["a", "a", "nowhere"]},
            {"Id": "1", "Description": "e", "Checks": []},
            {"Id": "2", "Checks": []}, {"Description": "f"}]}))
        .expect("a catalogue");
        assert_eq!(framework.requirements[0].checks, ["a", "nowhere"]);
        assert_eq!(framework.requirements.len(), 2);
        assert_eq!(
            faults,
            [
                "the requirement 1 names the check a twice",
                "the requirement 1 names the check nowhere, which is unknown",
                "the requirement 1 occurs twice; the first is kept",
                "the requirement 2 has no text",
                "the 4. requirement has no id and is left out",
            ]
        );
    }

    #[test]
    fn controls_of_oscal_are_requirements() {
        let (framework, faults) =
            read(&json!({"catalog": {"metadata": {"title": "NIST SP 800-53", "version": "5"},
            "groups": [{"id": "ac", "controls": [
                {"id": "ac-2", "title": "Account Management",
                 "parts": [{"name": "statement", "parts": [{"name": "item", "prose": "Define."}]}],
                 "controls": [{"id": "ac-2.1", "title": "Automated"}]},
                {"id": "ac-9", "title": "Gone", "props": [{"name": "status", "value": "withdrawn"}]}]}]}}))
            .expect("a catalogue");
        let ids: Vec<_> = framework.requirements.iter().map(|one| one.id.as_str()).collect();
        assert_eq!((ids, faults), (vec!["ac-2", "ac-2.1"], Vec::new()));
        assert_eq!(framework.requirements[0].description, "Define.");
        let found = framework.crosswalk(&PolicySet::own(Config::default()));
        assert!(found["ac-2"].contains("aws-iam-no-admin-policy"));
    }

    #[test]
    fn ids_of_a_framework_are_recognised_however_they_are_written() {
        for (one, other) in
            [("164.312(a)(1)", "164_312_a_1"), ("Art.32(1)", "article_32_1"), ("CC6.1", "cc_6_1")]
        {
            assert_eq!(parts(one), parts(other));
        }
        assert_ne!(parts("1.1"), parts("1.10"));
        assert!(parts("Art.25(2)").starts_with(&parts("article_25")));
        assert_eq!(parts(""), Vec::<String>::new());
        let is_named = |framework: &str, name: &str| {
            let document = json!({"Framework": framework, "Name": name, "Provider": "AWS",
                                  "Requirements": [{"Id": "1", "Description": "d"}]});
            let (framework, _) = read(&document).expect("a catalogue");
            ["CIS-AWS-3.0", "CIS-GCP-3.0", "NIST-800-53r5", "PCI-DSS-4.0"].map(|one| framework.is_named(one))
        };
        assert_eq!(is_named("CIS", "CIS Amazon Web Services"), [true, false, false, false]);
        assert_eq!(is_named("NIST-CSF", "NIST CSF"), [false; 4]);
        assert_eq!(is_named("NIST", "NIST SP 800-53 Rev. 5"), [false, false, true, false]);
        assert_eq!(is_named("PCI", "PCI DSS v4.0"), [false, false, false, true]);
    }

    #[test]
    fn documents_that_are_no_catalogue_are_refused() {
        for document in
            [json!({}), json!([]), json!({"profile": {}}), json!({"Framework": "X", "Requirements": []})]
        {
            assert!(read(&document).is_err(), "{document}");
        }
    }
}
