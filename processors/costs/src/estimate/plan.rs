//! The resources of a Terraform plan on both sides, and the regions in the plan.

use std::collections::{BTreeMap, BTreeSet};

use schemas::changes::estimate::PlannedAction;
use serde_json::{Map, Value};

use super::side::{Arguments, Side};

/// Stands for absent members of a plan.
static NOTHING: Value = Value::Null;
/// Maximum nesting of modules.
const MAX_DEPTH: usize = 32;
/// Maximum length of an address, in characters.
const MAX_ADDRESS_CHARS: usize = 200;

/// A resource that a plan manages.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    /// Resource address, printable and bounded.
    pub(super) address: String,
    pub(super) kind: &'a str,
    pub(super) action: PlannedAction,
    /// Configuration before the change; absent if the resource does not exist.
    pub(super) before: Option<Side<'a>>,
    /// Configuration after the change; absent if the resource will not exist.
    pub(super) after: Option<Side<'a>>,
    /// Region of the provider configuration that it refers to.
    pub(super) configured_region: Option<String>,
}

/// The managed resources in the plan's order, and the number of unreadable entries; `None` if it is not a
/// plan.
pub(super) fn resources<'a>(
    plan: &'a Value,
    configuration: &'a Configuration,
) -> Option<(Vec<Planned<'a>>, u32)> {
    let plan = plan.as_object()?;
    let entries = match plan.get("resource_changes") {
        Some(Value::Array(entries)) => entries.as_slice(),
        None | Some(Value::Null) if plan.contains_key("planned_values") => &[],
        _ => return None,
    };
    let (mut found, mut unreadable) = (Vec::new(), 0_u32);
    for entry in entries {
        match planned(entry, configuration) {
            Ok(resource) => found.extend(resource),
            Err(Unreadable) => unreadable = unreadable.saturating_add(1),
        }
    }
    Some((found, unreadable))
}

/// The entry is not a change.
struct Unreadable;

fn planned<'a>(
    entry: &'a Value,
    configuration: &'a Configuration,
) -> Result<Option<Planned<'a>>, Unreadable> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let change = entry.get("change").filter(|change| change.is_object()).ok_or(Unreadable)?;
    let actions = change.get("actions").and_then(Value::as_array).ok_or(Unreadable)?;
    let words: Vec<&str> = actions.iter().filter_map(Value::as_str).collect();
    // Ephemeral resources are in no state.
    if matches!(text("mode"), Some("data" | "ephemeral")) || words == ["read"] {
        return Ok(None);
    }
    let action = match words.as_slice() {
        // The object that is forgotten goes on to exist and to cost, beside the new one.
        ["create"] | ["create", "forget"] | ["forget", "create"] => PlannedAction::Create,
        ["update"] => PlannedAction::Update,
        ["delete"] => PlannedAction::Delete,
        ["delete", "create"] | ["create", "delete"] => PlannedAction::Replace,
        // What Terraform forgets goes on to exist and to cost.
        ["no-op" | "forget"] => PlannedAction::Keep,
        _ => return Err(Unreadable),
    };
    let part = |name: &str| change.get(name).unwrap_or(&NOTHING);
    let (address, kind) = (text("address").ok_or(Unreadable)?, text("type").ok_or(Unreadable)?);
    let arguments = configuration.arguments(address);
    let before = || Side::new(part("before"), &NOTHING).with_arguments(arguments);
    let after = || match (words.as_slice(), action) {
        (["forget"], _) => before(),
        (_, PlannedAction::Create | PlannedAction::Replace) => {
            Side::new(part("after"), part("after_unknown")).with_arguments(arguments).created()
        }
        _ => Side::new(part("after"), part("after_unknown")).with_arguments(arguments),
    };
    Ok(Some(Planned {
        address: printable(address),
        kind,
        action,
        before: (action != PlannedAction::Create).then(before),
        after: (action != PlannedAction::Delete).then(after),
        configured_region: configuration.region(address, kind),
    }))
}

fn printable(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(MAX_ADDRESS_CHARS).map(clean).collect()
}

/// The cloud of a resource type, by its first word.
pub(super) fn provider_of(kind: &str) -> Option<&'static str> {
    match kind.split('_').next()? {
        "aws" => Some("aws"),
        "azurerm" => Some("azure"),
        "google" => Some("gcp"),
        _ => None,
    }
}

/// The region in a resource's own configuration.
pub(super) fn own_region(kind: &str, side: &Side<'_>) -> Option<String> {
    match provider_of(kind)? {
        "aws" => {
            let zone = side
                .known_text("availability_zone")
                .map(|zone| zone.trim_end_matches(|last: char| last.is_ascii_alphabetic()).to_owned());
            let arn = || side.known_text("arn").and_then(|arn| arn.split(':').nth(3)).map(str::to_owned);
            let region = side.known_text("region").map(str::to_owned);
            region.or(zone).or_else(arn).filter(|region| !region.is_empty())
        }
        "azure" => side.known_text("location").map(azure_region),
        _ => {
            let zone = side.known_text("zone").or_else(|| side.known_text("location")).map(region_of_zone);
            side.known_text("region").map(last_segment).or(zone)
        }
    }
}

/// The name in Azure's short form: `West Europe` is `westeurope`.
fn azure_region(location: &str) -> String {
    location.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

/// The region of a zone: `europe-west1-b` and `projects/p/zones/europe-west1-b` are in `europe-west1`.
fn region_of_zone(zone: &str) -> String {
    let zone = last_segment(zone);
    match zone.rsplit_once('-') {
        Some((region, letter)) if letter.len() == 1 && letter.chars().all(|c| c.is_ascii_lowercase()) => {
            region.to_owned()
        }
        _ => zone,
    }
}

fn last_segment(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// Resources in a plan's configuration.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    /// Regions by provider key, for example `aws` or `aws.west`.
    by_key: BTreeMap<String, String>,
    /// Provider keys by resource address without indices: `module.a.aws_instance.b`.
    key_of: BTreeMap<String, String>,
    /// Arguments by resource address without indices.
    arguments: BTreeMap<String, Arguments>,
}

impl Configuration {
    pub(super) fn of(plan: &Value) -> Self {
        let mut found = Self::default();
        let Some(plan) = plan.as_object() else { return found };
        let Some(configuration) = plan.get("configuration") else { return found };
        let providers = configuration.get("provider_config").and_then(Value::as_object).into_iter().flatten();
        for (key, provider) in providers {
            let region = ["region", "zone", "location"]
                .iter()
                .find_map(|name| expression(plan, provider.pointer(&format!("/expressions/{name}"))?));
            if let Some(region) = region {
                found.by_key.insert(key.clone(), region_of_zone(&region));
            }
        }
        if let Some(root) = configuration.get("root_module") {
            // The variables of the root module are known.
            found.module(root, "", &BTreeSet::new(), 0);
        }
        found
    }

    /// Reads a module; `variables` are those of its variables that may be unknown.
    fn module(&mut self, module: &Value, prefix: &str, variables: &BTreeSet<String>, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for resource in module.get("resources").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| resource.get(name).and_then(Value::as_str);
            let Some(address) = text("address") else { continue };
            let address = format!("{prefix}{address}");
            if let Some(key) = text("provider_config_key") {
                self.key_of.insert(address.clone(), key.to_owned());
            }
            self.arguments.insert(address, arguments(resource, variables));
        }
        for (name, call) in module.get("module_calls").and_then(Value::as_object).into_iter().flatten() {
            if let Some(inner) = call.get("module") {
                let Arguments { undecided: variables, .. } = arguments(call, variables);
                self.module(inner, &format!("{prefix}module.{name}."), &variables, depth + 1);
            }
        }
    }

    fn arguments(&self, address: &str) -> Option<&Arguments> {
        self.arguments.get(&without_places(address))
    }

    /// The region of a resource's provider configuration, in its own module or else the root.
    fn region(&self, address: &str, kind: &str) -> Option<String> {
        let key = self.key_of.get(&without_places(address)).map(String::as_str);
        let short = kind.split('_').next()?;
        // `module.a:aws` is the configuration `aws` as module a sees it.
        let outer = key.and_then(|key| key.rsplit_once(':')).map(|(_, key)| key);
        let candidates = [key, outer, key.is_none().then_some(short)];
        candidates.into_iter().flatten().find_map(|key| self.by_key.get(key)).cloned()
    }
}

/// Arguments of a resource, or of a call of a module. An expression of constants and known variables without a value is
/// null, as if the argument were not set.
fn arguments(block: &Value, variables: &BTreeSet<String>) -> Arguments {
    let mut found = Arguments::default();
    let each = block.get("for_each_expression").is_some_and(|of| is_undecided(of, variables, false));
    for (name, expression) in block.get("expressions").and_then(Value::as_object).into_iter().flatten() {
        found.set.insert(name.clone());
        let mut is_undecided = |expression: &Value| is_undecided(expression, variables, each);
        add_undecided(expression, name, &mut is_undecided, &mut found.undecided);
    }
    found
}

/// Adds the paths of an argument, or of those in a block and its blocks, whose expressions are undecided.
fn add_undecided(
    expression: &Value,
    path: &str,
    is_undecided: &mut dyn FnMut(&Value) -> bool,
    names: &mut BTreeSet<String>,
) {
    match expression {
        Value::Array(blocks) => {
            for block in blocks {
                add_undecided(block, path, is_undecided, names);
            }
        }
        Value::Object(members) if members.contains_key("references") => {
            names.extend(is_undecided(expression).then(|| path.to_owned()));
        }
        Value::Object(members) if !members.contains_key("constant_value") => {
            for (name, inner) in members {
                add_undecided(inner, &format!("{path}/{name}"), is_undecided, names);
            }
        }
        _ => {}
    }
}

/// Whether an expression refers to something that may be unknown until the plan is applied.
fn is_undecided(expression: &Value, variables: &BTreeSet<String>, each: bool) -> bool {
    let references = expression.get("references").and_then(Value::as_array).into_iter().flatten();
    references.filter_map(Value::as_str).any(|reference| {
        let mut parts = reference.split(['.', '[']);
        match (parts.next(), parts.next()) {
            (Some("var"), Some(name)) => variables.contains(name),
            (Some("each"), Some("value")) => each,
            (Some("each" | "count" | "path" | "terraform" | "self"), _) => false,
            _ => true,
        }
    })
}

/// An address without the indices of `count` and `for_each`: `a.b["x"]` becomes `a.b`.
fn without_places(address: &str) -> String {
    let (mut kept, mut quoted, mut depth) = (String::with_capacity(address.len()), false, 0_u32);
    for c in address.chars() {
        match c {
            '"' if depth > 0 => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

/// The value of an expression that is constant or names an input variable.
fn expression(plan: &Map<String, Value>, expression: &Value) -> Option<String> {
    if let Some(constant) = expression.get("constant_value").and_then(Value::as_str) {
        return Some(constant.to_owned());
    }
    let references: BTreeSet<&str> = expression
        .get("references")?
        .as_array()?
        .iter()
        .filter_map(|reference| reference.as_str()?.strip_prefix("var."))
        .collect();
    let mut values = references
        .iter()
        .filter_map(|name| plan.get("variables")?.get(*name)?.get("value")?.as_str().map(str::to_owned));
    values.next().filter(|_| references.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_places_only() {
        assert_eq!(without_places(r#"module.a["x]y"].aws_instance.b[0]"#), "module.a.aws_instance.b");
        assert_eq!(without_places("aws_instance.b"), "aws_instance.b");
    }

    #[test]
    fn arguments_are_undecided_by_what_they_refer_to() {
        let argument = |reference: &str| serde_json::json!({"references": [reference]});
        let resource = serde_json::json!({
            "for_each_expression": {"references": ["var.names"]},
            "expressions": {
                "constant": {"constant_value": 1},
                "of_input": argument("var.known"),
                "of_module": argument("var.later"),
                "of_resource": argument("aws_vpc.a.id"),
                "of_local": argument("local.name"),
                "of_key": argument("each.value.name"),
                "disk": [{"size": argument("data.aws_ami.a.size"), "inner": [{"kind": argument("aws_vpc.a")}]}, {}],
                "list": [{"size": {"constant_value": 1}}],
            },
        });
        let variables = BTreeSet::from(["later".to_owned()]);
        let found: Vec<String> = arguments(&resource, &variables).undecided.into_iter().collect();
        assert_eq!(found, ["disk/inner/kind", "disk/size", "of_local", "of_module", "of_resource"]);
        let variables = BTreeSet::from(["names".to_owned()]);
        let found = arguments(&resource, &variables);
        assert!(found.undecided.contains("of_key"), "the collection may be unknown");
        assert!(found.set.contains("constant") && !found.set.contains("size"));
    }

    #[test]
    fn regions_are_taken_from_zones() {
        assert_eq!(region_of_zone("europe-west1-b"), "europe-west1");
        assert_eq!(region_of_zone("projects/p/zones/us-central1-a"), "us-central1");
        assert_eq!(region_of_zone("us-east-1"), "us-east-1");
        assert_eq!(azure_region("West Europe"), "westeurope");
    }
}
