//! The resources of a Terraform plan on both sides, and the regions in the plan.

use std::collections::{BTreeMap, BTreeSet};

use schemas::changes::estimate::PlannedAction;
use serde_json::{Map, Value};

use super::side::Side;

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
pub(super) fn resources(plan: &Value) -> Option<(Vec<Planned<'_>>, u32)> {
    let plan = plan.as_object()?;
    let entries = match plan.get("resource_changes") {
        Some(Value::Array(entries)) => entries.as_slice(),
        None | Some(Value::Null) if plan.contains_key("planned_values") => &[],
        _ => return None,
    };
    let regions = ProviderRegions::of(plan);
    let (mut found, mut unreadable) = (Vec::new(), 0_u32);
    for entry in entries {
        match planned(entry, &regions) {
            Ok(resource) => found.extend(resource),
            Err(Unreadable) => unreadable = unreadable.saturating_add(1),
        }
    }
    Some((found, unreadable))
}

/// The entry is not a change.
struct Unreadable;

fn planned<'a>(entry: &'a Value, regions: &ProviderRegions) -> Result<Option<Planned<'a>>, Unreadable> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let change = entry.get("change").filter(|change| change.is_object()).ok_or(Unreadable)?;
    let actions = change.get("actions").and_then(Value::as_array).ok_or(Unreadable)?;
    let words: Vec<&str> = actions.iter().filter_map(Value::as_str).collect();
    if text("mode") == Some("data") || words == ["read"] {
        return Ok(None);
    }
    let action = match words.as_slice() {
        ["create"] => PlannedAction::Create,
        ["update"] | ["create", "forget"] => PlannedAction::Update,
        ["delete"] => PlannedAction::Delete,
        ["delete", "create"] | ["create", "delete"] => PlannedAction::Replace,
        // What Terraform forgets goes on to exist and to cost.
        ["no-op" | "forget"] => PlannedAction::Keep,
        _ => return Err(Unreadable),
    };
    let part = |name: &str| change.get(name).unwrap_or(&NOTHING);
    let before = Side::new(part("before"), &NOTHING);
    let after = match words.as_slice() {
        ["forget"] => before,
        _ => Side::new(part("after"), part("after_unknown")),
    };
    let (address, kind) = (text("address").ok_or(Unreadable)?, text("type").ok_or(Unreadable)?);
    Ok(Some(Planned {
        address: printable(address),
        kind,
        action,
        before: (action != PlannedAction::Create).then_some(before),
        after: (action != PlannedAction::Delete).then_some(after),
        configured_region: regions.find(address, kind),
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

/// Regions of the plan's provider configurations.
#[derive(Debug, Default)]
struct ProviderRegions {
    /// Regions by provider key, for example `aws` or `aws.west`.
    by_key: BTreeMap<String, String>,
    /// Provider keys by resource address without indices: `module.a.aws_instance.b`.
    key_of: BTreeMap<String, String>,
}

impl ProviderRegions {
    fn of(plan: &Map<String, Value>) -> Self {
        let mut regions = Self::default();
        let Some(configuration) = plan.get("configuration") else { return regions };
        let providers = configuration.get("provider_config").and_then(Value::as_object).into_iter().flatten();
        for (key, provider) in providers {
            let region = ["region", "zone", "location"]
                .iter()
                .find_map(|name| expression(plan, provider.pointer(&format!("/expressions/{name}"))?));
            if let Some(region) = region {
                regions.by_key.insert(key.clone(), region_of_zone(&region));
            }
        }
        if let Some(root) = configuration.get("root_module") {
            regions.module(root, "", 0);
        }
        regions
    }

    fn module(&mut self, module: &Value, prefix: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for resource in module.get("resources").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| resource.get(name).and_then(Value::as_str);
            if let (Some(address), Some(key)) = (text("address"), text("provider_config_key")) {
                self.key_of.insert(format!("{prefix}{address}"), key.to_owned());
            }
        }
        for (name, call) in module.get("module_calls").and_then(Value::as_object).into_iter().flatten() {
            if let Some(inner) = call.get("module") {
                self.module(inner, &format!("{prefix}module.{name}."), depth + 1);
            }
        }
    }

    /// The region of a resource's provider configuration, in its own module or else the root.
    fn find(&self, address: &str, kind: &str) -> Option<String> {
        let key = self.key_of.get(&without_places(address)).map(String::as_str);
        let short = kind.split('_').next()?;
        // `module.a:aws` is the configuration `aws` as module a sees it.
        let outer = key.and_then(|key| key.rsplit_once(':')).map(|(_, key)| key);
        let candidates = [key, outer, key.is_none().then_some(short)];
        candidates.into_iter().flatten().find_map(|key| self.by_key.get(key)).cloned()
    }
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
    fn regions_are_taken_from_zones() {
        assert_eq!(region_of_zone("europe-west1-b"), "europe-west1");
        assert_eq!(region_of_zone("projects/p/zones/us-central1-a"), "us-central1");
        assert_eq!(region_of_zone("us-east-1"), "us-east-1");
        assert_eq!(azure_region("West Europe"), "westeurope");
    }
}
