//! Terraform states (`terraform show -json`, format versions 0.1 to 1.x) to observed configurations, one
//! event for each managed resource.
//!
//! A resource has the id that plans of the same workspace give it: workspace and address. A state says
//! nothing of when it was so: whoever reads the file tells. Values that the state marks sensitive do not
//! travel along, and count as unknown.

use std::collections::{BTreeMap, HashMap};

use schemas::{
    Envelope, Event, EventId, Source, TenantId, Timestamp, canonical_json,
    events::{Infrastructure, InfrastructureKind, Outcome, Resource},
};
use serde_json::{Value, json};

use super::{
    super::mapped::{Mapped, Oddities},
    redaction::mask,
};

/// Largest state, in bytes.
pub const MAX_STATE_BYTES: u64 = 64 << 20;
/// The workspace of a state for which none is named, as of plans that name none.
pub const WORKSPACE: &str = "terraform";
/// Most resources of one state.
const MAX_RESOURCES: usize = 100_000;
/// Most other resources that a resource is shown with.
const MAX_BESIDE: usize = 50;
/// Types of resources that concern all others of their kind without naming them.
const OF_ACCOUNTS: [&str; 1] = ["aws_s3_account_public_access_block"];
/// Arguments by which other resources name one.
const NAMES: [&str; 4] = ["id", "arn", "bucket", "name"];

/// Where and when a state was seen.
#[derive(Debug, Clone, Copy)]
pub struct StateSeen<'a> {
    /// Tenant of the resources.
    pub tenant: &'a TenantId,
    /// The workspace.
    pub workspace: &'a str,
    /// When it was so.
    pub at: Timestamp,
    /// Whether that is the time of the file, as nobody told another.
    pub time_assumed: bool,
}

/// Whether a file that begins so may be a state, and not items of AWS Config.
pub fn may_be_state(begins: &[u8]) -> bool {
    let holds = |name: &str| memchr::memmem::find(begins, name.as_bytes()).is_some();
    !holds("\"configurationItem") && (holds("\"format_version\"") || holds("\"terraform_version\""))
}

/// The resources of a state, each as its event or with the reason why it is none.
///
/// # Errors
/// The text is no state; the reason names the place, or what to send instead.
pub fn read(text: &[u8], seen: StateSeen<'_>) -> Result<Vec<Result<Mapped, String>>, String> {
    let state: Value =
        serde_json::from_slice(text).map_err(|error| format!("the state is not valid JSON: {error}"))?;
    if let Some(why) = other_document(&state) {
        return Err(why);
    }
    let mut listed = Vec::new();
    list(&state["values"]["root_module"], "/values/root_module", &mut listed)?;
    let resources: Vec<Result<Observed, String>> = listed
        .into_iter()
        .map(|(place, resource)| Observed::of(resource).map_err(|why| format!("{place}: {why}")))
        .collect();
    let known: Vec<&Observed> = resources.iter().flatten().collect();
    let named = Named::of(&known);
    let mapped = resources.iter().map(|one| match one {
        Ok(one) => Ok(one.mapped(&named, seen)),
        Err(why) => Err(why.clone()),
    });
    Ok(mapped.collect())
}

fn other_document(state: &Value) -> Option<String> {
    const INSTEAD: &str = "run `terraform show -json` in the workspace, without a file or with a state file";
    let has = |name: &str| state.get(name).is_some();
    if has("planned_values") || has("resource_changes") {
        return Some("this is a plan, not a state; import it with `weir import terraform-plan`".into());
    }
    if has("lineage") || has("serial") {
        return Some(format!("this is a state as Terraform stores it, not as it shows it; {INSTEAD}"));
    }
    let version = state["format_version"].as_str().unwrap_or_default();
    if !matches!(version.split('.').next(), Some("0" | "1")) {
        return Some(format!(
            "/format_version: {version:?} is no version of states that is known (0.1 to 1.x)"
        ));
    }
    if has("values") && !state["values"].is_object() {
        return Some("/values: it is no object".into());
    }
    None
}

/// Managed resources of a module and those below it, with their places.
fn list<'a>(module: &'a Value, place: &str, listed: &mut Vec<(String, &'a Value)>) -> Result<(), String> {
    let resources = module["resources"].as_array().into_iter().flatten().enumerate();
    let managed = resources.filter(|(_, resource)| resource["mode"] != "data");
    listed.extend(managed.map(|(number, resource)| (format!("{place}/resources/{number}"), resource)));
    if listed.len() > MAX_RESOURCES {
        return Err(format!("{place}: the state has more than {MAX_RESOURCES} resources"));
    }
    // The parser bounds how deep modules are nested.
    let children = module["child_modules"].as_array().into_iter().flatten().enumerate();
    for (number, child) in children {
        list(child, &format!("{place}/child_modules/{number}"), listed)?;
    }
    Ok(())
}

/// One resource of a state.
struct Observed {
    address: String,
    kind: String,
    /// Its values, without those that are sensitive.
    config: Value,
    /// Marks of what is sensitive.
    unknown: Value,
}

impl Observed {
    fn of(resource: &Value) -> Result<Self, String> {
        let text = |name: &str| {
            let text = resource[name].as_str().filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or_else(|| format!("the resource has no `{name}`"))
        };
        let (address, kind) = (text("address")?, text("type")?);
        let mut config = resource["values"].clone();
        if !config.is_object() {
            return Err(format!("`values` of {address} is no object"));
        }
        let marks = match &resource["sensitive_values"] {
            marks @ Value::Object(_) => marks.clone(),
            _ => json!({}),
        };
        mask(&mut config, &marks);
        Ok(Self { address, kind, config, unknown: marks })
    }

    fn document(&self) -> Value {
        json!({"type": self.kind, "name": self.address, "config": self.config, "unknown": self.unknown})
    }

    fn mapped(&self, named: &Named<'_>, seen: StateSeen<'_>) -> Mapped {
        let beside: Vec<Value> = named.beside(self).map(Self::document).collect();
        let mut document = self.document();
        document["resources"] = beside.into();
        let configuration = document.to_string();
        let id = format!("{}/{}", seen.workspace, self.address);
        let content = json!([id, seen.at, document]).to_string();
        let event = Infrastructure {
            kind: InfrastructureKind::ConfigurationObserved,
            resource: self.resource(id.clone()),
            actor: None,
            outcome: Outcome::default(),
            change_id: None,
            quantity: None,
            unit: None,
            configuration: Some(configuration),
        };
        let envelope = Envelope {
            id: EventId::derived(seen.tenant, "terraform.state", &canonical_json(&content)),
            original_id: None,
            tenant: seen.tenant.clone(),
            source: Source::new("terraform:state").expect("a URI without spaces"),
            subject: (id.len() <= 1_024).then_some(id),
            occurred_at: seen.at,
            skewed: false,
            time_assumed: seen.time_assumed,
            correlation_id: None,
            causation_id: None,
            trace: None,
            event: Event::Infrastructure(event),
            native: None,
        };
        let oddities = Oddities { id_derived: false, time_assumed: seen.time_assumed, fields_empty: false };
        Mapped { envelope, oddities }
    }

    fn resource(&self, id: String) -> Resource {
        let text = |name: &str| self.config[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let arn = text("arn").unwrap_or_default();
        let of_arn =
            |part: usize| arn.split(':').nth(part).filter(|part| !part.is_empty()).map(str::to_owned);
        let tags = ["tags_all", "tags", "labels"].into_iter().find_map(|name| self.config[name].as_object());
        let tags: BTreeMap<String, String> = tags
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let cloud = match self.kind.split('_').next().unwrap_or_default() {
            "azurerm" | "azuread" | "azapi" => "azure",
            "google" => "gcp",
            provider => provider,
        };
        Resource {
            cloud: Some(cloud.to_owned()),
            account: of_arn(4).or_else(|| if cloud == "gcp" { text("project") } else { None }),
            region: of_arn(3).or_else(|| text("region")).or_else(|| text("location")),
            kind: Some(self.kind.clone()),
            id,
            name: Some(self.address.clone()),
            project: None,
            environment: None,
            tags,
        }
    }
}

/// Resources by the values of their arguments, to find those that name another.
struct Named<'a> {
    by_value: HashMap<&'a str, Vec<&'a Observed>>,
    of_accounts: Vec<&'a Observed>,
}

impl<'a> Named<'a> {
    fn of(resources: &[&'a Observed]) -> Self {
        let mut by_value: HashMap<&str, Vec<&Observed>> = HashMap::new();
        for one in resources {
            for value in one.config.as_object().into_iter().flat_map(|config| config.values()) {
                if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
                    by_value.entry(text).or_default().push(one);
                }
            }
        }
        let of_accounts = resources.iter().filter(|one| OF_ACCOUNTS.contains(&one.kind.as_str()));
        Self { by_value, of_accounts: of_accounts.copied().collect() }
    }

    /// Other resources that name this one, or concern its whole account.
    fn beside(&self, own: &'a Observed) -> impl Iterator<Item = &'a Observed> {
        let names = NAMES.iter().filter_map(|name| own.config[*name].as_str());
        let naming = names.filter_map(|name| self.by_value.get(name)).flatten().copied();
        let all = naming.chain(self.of_accounts.iter().copied()).filter(|other| other.address != own.address);
        let each: BTreeMap<&str, &Observed> = all.map(|other| (other.address.as_str(), other)).collect();
        each.into_values().take(MAX_BESIDE)
    }
}
