//! Terraform plans (`terraform show -json`) as subjects: one for each resource that exists after the change, and a
//! further one for each Kubernetes object that a resource declares.

mod sensitive;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use self::sensitive::hide;
pub(crate) use self::sensitive::without_sensitive;
use crate::{
    Refused, Subject, kubernetes,
    others::Others,
    planned_objects,
    rego_value::{object, rego_value},
};

/// Maximum number of resources in one plan.
const MAX_RESOURCES: usize = 100_000;
/// Maximum nesting of modules.
const MAX_MODULES: usize = 64;
const INSTEAD: &str =
    "run `terraform show -json PLANFILE` with the file that `terraform plan -out PLANFILE` wrote";

/// Reads the resources of a plan, with those whose change it defers. Data sources and resources that the plan
/// deletes are left out.
///
/// # Errors
/// The document is not a plan, or one of an unknown format version.
pub fn subjects(plan: &Value) -> Result<Vec<Subject>, Refused> {
    check_document(plan)?;
    let mut resources = Vec::new();
    if let Some(changes) = plan["resource_changes"].as_array() {
        resources.extend(changes.iter().filter_map(changed));
    } else {
        planned(&plan["planned_values"]["root_module"], 0, &mut resources);
    }
    resources.extend(deferred(plan, &resources));
    if resources.len() > MAX_RESOURCES {
        return Err(Refused(format!("the plan has more than {MAX_RESOURCES} resources")));
    }
    for resource in &mut resources {
        let (scope, declared) = declaration(plan, &resource.address);
        resource.references = references(plan, &scope, declared);
        if let (Some(arguments), Some(unknown)) =
            (declared["expressions"].as_object(), resource.unknown.as_object_mut())
        {
            // The provider fills in what the configuration leaves out: for a policy it is absent. A `dynamic` block
            // has no expression either, but its mask has the shape of its blocks.
            unknown.retain(|name, mask| arguments.contains_key(name) || *mask != Value::Bool(true));
        }
    }
    let objects: Vec<_> = resources.iter().filter_map(Planned::object).collect();
    let inputs: Vec<_> = resources.iter().map(Planned::input).collect();
    let others = Others::new(inputs.iter().cloned());
    let subjects =
        resources.into_iter().zip(inputs).map(|(resource, input)| resource.subject(input, &others));
    Ok(subjects.chain(objects).collect())
}

/// The reason why a document is not a plan, and the document to use instead.
fn check_document(plan: &Value) -> Result<(), Refused> {
    let Some(members) = plan.as_object() else {
        return Err(Refused(format!("a plan is a JSON object; {INSTEAD}")));
    };
    let has = |name: &str| members.contains_key(name);
    let why = match members.get("resource_changes") {
        Some(changes) if !changes.is_array() => "its `resource_changes` is no list",
        None if has("planned_values") => "",
        Some(_) => "",
        None if has("values") || has("resources") || has("lineage") => {
            "this is a state, not a plan (it has no `planned_values` and no `resource_changes`)"
        }
        None if has("provider_schemas") => "these are schemas of providers, not a plan",
        None if has("@level") && has("@message") => {
            "this is a line of the log that `terraform plan -json` writes, not a plan"
        }
        None => "this is no plan: it has neither `planned_values` nor `resource_changes`",
    };
    if !why.is_empty() {
        return Err(Refused(format!("{why}; {INSTEAD}")));
    }
    match members.get("format_version").and_then(Value::as_str) {
        Some(version) if version.starts_with("0.") || version.starts_with("1.") => Ok(()),
        Some(version) => Err(Refused(format!("its format version is {version}; 0.x and 1.x are read"))),
        None => Err(Refused(format!("it names no `format_version`; {INSTEAD}"))),
    }
}

/// The reason why a plan does not show everything that it would change; `None` if it does.
pub(crate) fn incomplete(plan: &Value) -> Option<&'static str> {
    let defers = plan["deferred_changes"].as_array().is_some_and(|deferred| !deferred.is_empty());
    match () {
        () if plan["errored"] == true => Some("planning ended with an error: the plan is incomplete"),
        () if defers => Some("the plan defers changes to a later plan"),
        () if plan["complete"] == false => {
            Some("the plan says that it is not complete: applying it leaves something to do")
        }
        () => None,
    }
}

#[derive(Debug, Default)]
struct Planned {
    address: String,
    kind: String,
    name: String,
    module: String,
    actions: Vec<String>,
    config: Value,
    unknown: Value,
    references: Value,
    is_deferred: bool,
}

impl Planned {
    /// The resource as a policy's input, without the others.
    fn input(&self) -> regorus::Value {
        let actions = self.actions.iter().map(|action| action.as_str().into()).collect::<Vec<_>>();
        let resource = object([
            ("address", self.address.as_str().into()),
            ("type", self.kind.as_str().into()),
            ("name", self.name.as_str().into()),
            ("module", self.module.as_str().into()),
            ("actions", actions.into()),
            ("references", rego_value(&self.references)),
        ]);
        object([
            ("resource", resource),
            ("config", rego_value(&self.config)),
            ("unknown", rego_value(&self.unknown)),
        ])
    }

    /// The Kubernetes object that the resource declares, under the resource's address.
    fn object(&self) -> Option<Subject> {
        let object = planned_objects::object(&self.kind, &self.config)?;
        let mut subject = kubernetes::subject(&object).ok()?;
        let mask = planned_objects::mask(&self.unknown);
        unknown_paths(&mask, "", &mut subject.unknown);
        let members = json!({
            "address": self.address, "type": subject.kind, "name": object["metadata"]["name"],
            "namespace": object["metadata"]["namespace"], "module": self.module, "actions": self.actions,
        });
        if let Ok(input) = subject.input.as_object_mut() {
            input.insert("resource".into(), members.into());
            input.insert("unknown".into(), mask.into());
        }
        Some(Subject { address: self.address.clone(), is_deferred: self.is_deferred, ..subject })
    }

    fn subject(self, input: regorus::Value, others: &Others) -> Subject {
        let mut unknown = BTreeSet::new();
        unknown_paths(&self.unknown, "", &mut unknown);
        Subject {
            address: self.address,
            kind: self.kind,
            input: others.around(input),
            unknown,
            is_deferred: self.is_deferred,
            review: None,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether a resource is only read: a data source, or an ephemeral resource.
fn is_in_no_state(resource: &Value) -> bool {
    matches!(resource["mode"].as_str(), Some("data" | "ephemeral"))
}

fn changed(entry: &Value) -> Option<Planned> {
    let change = &entry["change"];
    if is_in_no_state(entry) || !change["after"].is_object() {
        return None;
    }
    let actions: Vec<String> = change["actions"].as_array().into_iter().flatten().map(text).collect();
    let goes_away = actions.iter().any(|action| action == "delete" || action == "forget");
    if goes_away && !actions.iter().any(|action| action == "create") {
        return None;
    }
    let mut config = change["after"].clone();
    hide(&mut config, &change["after_sensitive"]);
    Some(Planned {
        address: text(&entry["address"]),
        kind: text(&entry["type"]),
        name: text(&entry["name"]),
        module: text(&entry["module_address"]),
        actions,
        config,
        unknown: change["after_unknown"].clone(),
        ..Planned::default()
    })
}

/// Resources whose change the plan defers, except those that it changes now.
fn deferred(plan: &Value, now: &[Planned]) -> Vec<Planned> {
    let entries = plan["deferred_changes"].as_array().map_or(&[][..], Vec::as_slice);
    if entries.is_empty() {
        return Vec::new();
    }
    let now: BTreeSet<&str> = now.iter().map(|resource| resource.address.as_str()).collect();
    let resources = entries.iter().filter_map(|entry| changed(&entry["resource_change"]));
    resources
        .filter(|resource| !now.contains(resource.address.as_str()))
        .map(|resource| Planned { is_deferred: true, ..resource })
        .collect()
}

fn planned(module: &Value, depth: usize, found: &mut Vec<Planned>) {
    if depth > MAX_MODULES {
        return;
    }
    for resource in module["resources"].as_array().into_iter().flatten() {
        if is_in_no_state(resource) || !resource["values"].is_object() {
            continue;
        }
        let mut config = resource["values"].clone();
        hide(&mut config, &resource["sensitive_values"]);
        found.push(Planned {
            address: text(&resource["address"]),
            kind: text(&resource["type"]),
            name: text(&resource["name"]),
            module: text(&module["address"]),
            config,
            ..Planned::default()
        });
    }
    for below in module["child_modules"].as_array().into_iter().flatten() {
        planned(below, depth + 1, found);
    }
}

/// Paths of members whose values are known only after the change; list indices are left out.
pub(crate) fn unknown_paths(unknown: &Value, path: &str, found: &mut BTreeSet<String>) {
    match unknown {
        Value::Bool(true) if !path.is_empty() => drop(found.insert(path.to_owned())),
        Value::Array(elements) => elements.iter().for_each(|below| unknown_paths(below, path, found)),
        Value::Object(members) => members.iter().for_each(|(name, below)| {
            let dot = if path.is_empty() { "" } else { "." };
            unknown_paths(below, &format!("{path}{dot}{name}"), found);
        }),
        _ => {}
    }
}

/// The module of a resource, and its declaration in the configuration; null if there is none.
fn declaration<'a>(plan: &'a Value, address: &str) -> (Scope, &'a Value) {
    let parts = split(address);
    let mut scope = Scope { calls: Vec::new() };
    let mut rest = parts.as_slice();
    while rest.len() > 3 && rest[0] == "module" {
        scope.calls.push(without_index(&rest[1]).to_owned());
        rest = &rest[2..];
    }
    let wanted = without_index(&rest.join(".")).to_owned();
    let resources = scope.module(plan)["resources"].as_array();
    let found = resources.into_iter().flatten().find(|one| one["address"] == wanted.as_str());
    (scope, found.unwrap_or(&Value::Null))
}

/// For each argument of a resource, the addresses of the resources that its expression refers to: in its own
/// module, and through the module's variables and the outputs of modules that it calls.
fn references(plan: &Value, scope: &Scope, declared: &Value) -> Value {
    let mut found = Map::new();
    for (argument, expression) in declared["expressions"].as_object().into_iter().flatten() {
        let mut addresses = BTreeSet::new();
        scope.follow(plan, expression, MAX_STEPS, &mut addresses);
        if !addresses.is_empty() {
            found.insert(argument.clone(), json!(addresses));
        }
    }
    Value::Object(found)
}

/// Maximum number of variables and outputs that one reference is followed through.
const MAX_STEPS: usize = 8;
/// Maximum number of addresses that one argument refers to.
const MAX_REFERENCES: usize = 200;

/// A module of the configuration, by the calls that lead to it.
#[derive(Clone)]
struct Scope {
    calls: Vec<String>,
}

impl Scope {
    fn module<'a>(&self, plan: &'a Value) -> &'a Value {
        let root = &plan["configuration"]["root_module"];
        self.calls.iter().fold(root, |module, call| &module["module_calls"][call]["module"])
    }

    /// Collects the resources that an expression names, block by block.
    fn follow(&self, plan: &Value, expression: &Value, steps: usize, found: &mut BTreeSet<String>) {
        if steps == 0 || found.len() > MAX_REFERENCES {
            return;
        }
        match expression {
            Value::Array(blocks) => {
                for block in blocks {
                    self.follow(plan, block, steps - 1, found);
                }
            }
            Value::Object(members) => {
                for (name, below) in members {
                    match (name.as_str(), below) {
                        ("references", Value::Array(names)) => {
                            let names = names.iter().filter_map(Value::as_str);
                            names.for_each(|name| self.follow_name(plan, name, steps - 1, found));
                        }
                        ("constant_value", _) => {}
                        _ => self.follow(plan, below, steps - 1, found),
                    }
                }
            }
            _ => {}
        }
    }

    fn follow_name(&self, plan: &Value, name: &str, steps: usize, found: &mut BTreeSet<String>) {
        let parts = split(name);
        match (parts[0].as_str(), parts.get(1)) {
            ("each" | "count" | "local" | "path" | "terraform" | "self", _) | (_, None) => {}
            ("var", Some(variable)) => {
                let mut outer = self.clone();
                if let Some(call) = outer.calls.pop() {
                    let call = &outer.module(plan)["module_calls"][&call];
                    outer.follow(plan, &call["expressions"][without_index(variable)], steps, found);
                }
            }
            ("module", Some(call)) => {
                let mut inner = self.clone();
                inner.calls.push(without_index(call).to_owned());
                if let Some(output) = parts.get(2) {
                    let output = &inner.module(plan)["outputs"][without_index(output)];
                    inner.follow(plan, &output["expression"], steps, found);
                }
            }
            (kind, Some(name)) => {
                let prefix: String = self.calls.iter().map(|call| ["module.", call, "."].concat()).collect();
                let (kind, name, data) = match (kind, parts.get(2)) {
                    ("data", Some(data_name)) => (name.as_str(), data_name.as_str(), "data."),
                    _ => (kind, name.as_str(), ""),
                };
                found.insert(format!("{prefix}{data}{kind}.{}", without_index(name)));
            }
        }
    }
}

fn without_index(name: &str) -> &str {
    name.split_once('[').map_or(name, |(name, _)| name)
}

/// The parts of an address; dots within an index (`["a.b"]`) do not count.
fn split(address: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut brackets = 0_usize;
    for symbol in address.chars() {
        match symbol {
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        if symbol == '.' && brackets == 0 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(symbol);
        }
    }
    parts
}
