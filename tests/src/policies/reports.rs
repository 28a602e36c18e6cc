//! Reports of `weir policy evaluate` in the forms of other tools, by the rules of their schemas.
//!
//! SARIF: the parts of the [schema of 2.1.0](https://docs.oasis-open.org/sarif/sarif/v2.1.0/) that Weir writes, closed to
//! other members as there. JUnit: the elements and attributes that its readers (Jenkins, GitLab) agree on.

use serde_json::{Value, json};
use xmlparser::{ElementEnd, Token, Tokenizer};

use super::{POD, folder, plan, stderr, stdout, weir};

/// Names and texts with everything that a form could stumble over.
const ODD_POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: 'a<b>&\"c\"', namespace: \"shop\\u0007\"}\nspec:\n  \
                       containers:\n    - {name: '</testcase>', image: 'x', securityContext: {privileged: true}}\n";

fn report(form: &str) -> String {
    let folder = folder(&[
        ("k8s/pod.yaml", POD),
        ("k8s/odd & ends.yaml", ODD_POD),
        ("plan.json", &plan("public-read")),
        ("p/shape.rego", "package shape\ndeny := 5\n"),
    ]);
    let args = ["policy", "evaluate", "k8s", "plan.json", "--policies", "p", "--own", "--output", form];
    let output = weir(folder.path(), &args);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    stdout(&output)
}

fn sarif_schema() -> Value {
    let closed = |properties: Value, required: &[&str]| json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required});
    let bag = json!({"type": "object"});
    let text = json!({"type": "string"});
    let message = closed(json!({"text": {"type": "string", "minLength": 1}}), &["text"]);
    let artifact = closed(json!({"uri": {"type": "string", "format": "uri-reference"}}), &["uri"]);
    let physical = closed(json!({"artifactLocation": artifact}), &["artifactLocation"]);
    let logical = closed(json!({"fullyQualifiedName": text, "kind": text}), &[]);
    let location = closed(
        json!({"physicalLocation": physical, "logicalLocations": {"type": "array", "uniqueItems": true, "items": logical}}),
        &[],
    );
    let result = closed(
        json!({
            "ruleId": text,
            "level": {"enum": ["none", "note", "warning", "error"]},
            "kind": {"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
            "message": message,
            "locations": {"type": "array", "items": location},
            "properties": bag,
        }),
        &["message"],
    );
    let rule =
        closed(json!({"id": text, "shortDescription": message, "help": message, "properties": bag}), &["id"]);
    let driver = closed(
        json!({"name": text, "version": text, "rules": {"type": "array", "uniqueItems": true, "items": rule}}),
        &["name"],
    );
    let run = closed(
        json!({"tool": closed(json!({"driver": driver}), &["driver"]), "results": {"type": "array", "items": result}}),
        &["tool"],
    );
    closed(
        json!({"$schema": {"type": "string", "format": "uri"}, "version": {"enum": ["2.1.0"]},
            "runs": {"type": "array", "items": run}}),
        &["version", "runs"],
    )
}

#[test]
fn sarif_is_valid_by_its_schema_and_rules() {
    let log: Value = serde_json::from_str(&report("sarif")).expect("JSON");
    let schema = jsonschema::validator_for(&sarif_schema()).expect("a schema");
    let wrong: Vec<_> =
        schema.iter_errors(&log).map(|error| format!("{error} at {}", error.instance_path())).collect();
    assert_eq!(wrong, Vec::<String>::new());
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert!(results.len() > 3);
    for result in results {
        // Section 3.27.10: a level other than none is for failures alone.
        assert_eq!(result["level"] != "none", result["kind"] == "fail", "{result}");
        let declared = rules.iter().filter(|rule| rule["id"] == result["ruleId"]).count();
        assert_eq!(declared, 1, "{result}");
    }
    let uris: Vec<_> = results
        .iter()
        .filter_map(|result| result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str())
        .collect();
    assert!(uris.contains(&"k8s/odd%20%26%20ends.yaml") && uris.contains(&"plan.json"), "{uris:?}");
}

/// An element with its attributes, and the elements that it stands in.
struct Element {
    within: Vec<String>,
    name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> usize {
        self.attribute(name).and_then(|text| text.parse().ok()).expect("a number")
    }
}

/// The elements of an XML document, which must be well-formed.
fn elements(text: &str) -> Vec<Element> {
    let (mut open, mut found): (Vec<String>, Vec<Element>) = (Vec::new(), Vec::new());
    for token in Tokenizer::from(text) {
        match token.expect("well-formed XML") {
            Token::ElementStart { local, .. } => {
                found.push(Element {
                    within: open.clone(),
                    name: local.as_str().to_owned(),
                    attributes: Vec::new(),
                });
                open.push(local.as_str().to_owned());
            }
            Token::Attribute { local, value, .. } => {
                let attributes = &mut found.last_mut().expect("an element").attributes;
                attributes.push((local.as_str().to_owned(), value.as_str().to_owned()));
            }
            Token::ElementEnd { end: ElementEnd::Close(_, local), .. } => {
                assert_eq!(open.pop().as_deref(), Some(local.as_str()));
            }
            Token::ElementEnd { end: ElementEnd::Empty, .. } => drop(open.pop()),
            _ => {}
        }
    }
    assert_eq!(open, Vec::<String>::new(), "every element is closed");
    found
}

#[test]
fn junit_is_well_formed_and_counts_its_cases() {
    let elements = elements(&report("junit"));
    assert_eq!(elements[0].name, "testsuites");
    let mut suites = 0;
    for element in &elements {
        let within: Vec<&str> = element.within.iter().map(String::as_str).collect();
        let (within_wanted, required, allowed): (&[&str], &[&str], &[&str]) = match element.name.as_str() {
            "testsuites" => (&[], &["name"], &["name"]),
            "testsuite" => {
                suites += 1;
                let all = &["name", "tests", "failures", "errors", "skipped"];
                (&["testsuites"], all, all)
            }
            "testcase" => (&["testsuites", "testsuite"], &["name", "classname"], &["name", "classname"]),
            "failure" => {
                (&["testsuites", "testsuite", "testcase"], &["type", "message"], &["type", "message"])
            }
            "error" | "skipped" => (&["testsuites", "testsuite", "testcase"], &["message"], &["message"]),
            other => panic!("<{other}> is no element of JUnit"),
        };
        assert_eq!(within, within_wanted, "<{}>", element.name);
        assert!(required.iter().all(|name| element.attribute(name).is_some()), "<{}>", element.name);
        assert!(
            element.attributes.iter().all(|(name, _)| allowed.contains(&name.as_str())),
            "<{}>",
            element.name
        );
    }
    assert_eq!(suites, 3);
    let count = |name: &str| elements.iter().filter(|element| element.name == name).count();
    let told = |attribute: &str| -> usize {
        elements.iter().filter(|one| one.name == "testsuite").map(|suite| suite.number(attribute)).sum()
    };
    let counted = ["testcase", "failure", "error", "skipped"].map(count);
    assert_eq!(counted, ["tests", "failures", "errors", "skipped"].map(told));
    assert!(counted[1] > 1 && counted[2] > 0, "{counted:?}");
}
