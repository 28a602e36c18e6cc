//! A Terraform plan (`terraform show -json`,
//! <https://developer.hashicorp.com/terraform/internals/json-format>, format versions 0.1 to 1.x), as far as
//! a review needs it. Missing members and members of another type are counted, never guessed.

use serde_json::{Map, Value};

use super::words::printable;

/// Stands for absent members of a plan.
pub(super) static NOTHING: Value = Value::Null;

/// A parsed plan.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) format_version: Option<&'a str>,
    pub(super) terraform_version: Option<&'a str>,
    /// Planned changes in the plan's order, without reads and no-ops.
    pub(super) changes: Vec<Change<'a>>,
    /// Changes outside Terraform since the last run.
    pub(super) drift: Vec<Change<'a>>,
    /// Imports and moves, of resources that change and of those that do not.
    pub(super) kept: Kept<'a>,
    /// Input variables that the configuration does not mark sensitive, with their values.
    pub(super) variables: Vec<(&'a str, &'a Value)>,
    /// Changes that could not be read.
    pub(super) unreadable: u32,
    /// Whether planning ended with an error.
    pub(super) errored: bool,
    /// Whether the plan declares that it is incomplete.
    pub(super) incomplete: bool,
}

/// The object is not a plan, or the entry not a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPlan;

/// Resources that are only imported or moved.
#[derive(Debug, Default)]
pub(super) struct Kept<'a> {
    /// Number of entries with `change.importing`.
    pub(super) imports: u32,
    /// Number of entries with `previous_address`.
    pub(super) moves: u32,
    /// The imported resources, unchanged.
    pub(super) imported: Vec<Change<'a>>,
}

impl<'a> Plan<'a> {
    /// Reads a plan; an object without a list of changes is not one.
    pub(super) fn of(value: &'a Value) -> Result<Self, NoPlan> {
        let plan = value.as_object().ok_or(NoPlan)?;
        let (changes, unreadable) = match plan.get("resource_changes") {
            Some(Value::Array(changes)) => read_changes(changes),
            // Versions 1.x leave the list out where nothing would change. A state has no planned values.
            None | Some(Value::Null) if plan.contains_key("planned_values") => (Vec::new(), 0),
            _ => return Err(NoPlan),
        };
        let kept = plan.get("resource_changes").and_then(Value::as_array).map(|all| Kept::of(all));
        let (drift, unreadable_drift) = match plan.get("resource_drift") {
            Some(Value::Array(drift)) => read_changes(drift),
            None | Some(Value::Null) => (Vec::new(), 0),
            Some(_) => (Vec::new(), 1),
        };
        let flag = |name: &str| plan.get(name).and_then(Value::as_bool);
        Ok(Self {
            format_version: plan.get("format_version").and_then(Value::as_str),
            terraform_version: plan.get("terraform_version").and_then(Value::as_str),
            changes,
            drift,
            kept: kept.unwrap_or_default(),
            variables: plain_variables(plan),
            unreadable: unreadable.saturating_add(unreadable_drift),
            errored: flag("errored") == Some(true),
            incomplete: flag("complete") == Some(false) || defers(plan),
        })
    }

    /// Whether its format version is supported: 0.1 to 1.x.
    pub(super) fn format_is_known(&self) -> bool {
        self.format_version.is_some_and(|version| matches!(version.split('.').next(), Some("0" | "1")))
    }
}

/// Whether the plan defers changes to a later one.
fn defers(plan: &Map<String, Value>) -> bool {
    plan.get("deferred_changes").and_then(Value::as_array).is_some_and(|deferred| !deferred.is_empty())
}

impl<'a> Kept<'a> {
    fn of(entries: &'a [Value]) -> Self {
        let mut kept = Self::default();
        for entry in entries {
            let imports = entry.pointer("/change/importing").is_some_and(Value::is_object);
            let moves = entry.get("previous_address").is_some_and(Value::is_string);
            kept.imports = kept.imports.saturating_add(u32::from(imports));
            kept.moves = kept.moves.saturating_add(u32::from(moves));
            if imports {
                kept.imported.extend(Change::as_it_is(entry));
            }
        }
        kept
    }
}

/// Action on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Update,
    Replace,
    Delete,
    /// Removed from the state without being deleted.
    Forget,
    /// Created anew, while the old object is removed from the state without being deleted.
    CreateAndForget,
}

/// A change of one resource.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// Resource address, printable and bounded.
    pub(super) address: String,
    /// Module of the resource; empty for the root.
    pub(super) module: &'a str,
    /// The resource's type, for example `aws_db_instance`.
    pub(super) kind: &'a str,
    pub(super) action: Action,
    pub(super) before: &'a Value,
    pub(super) after: &'a Value,
    /// Parts of `after` that are known only after the change, marked by `true`.
    pub(super) after_unknown: &'a Value,
    /// Parts of `after` that are sensitive, marked by `true`.
    pub(super) after_sensitive: &'a Value,
}

impl<'a> Change<'a> {
    /// The change of an entry; `None` for a no-op. An error: the entry cannot be read.
    fn of(entry: &'a Value) -> Result<Option<Self>, NoPlan> {
        let member = |name: &str| entry.get(name).unwrap_or(&NOTHING);
        let change = entry.get("change").filter(|change| change.is_object()).ok_or(NoPlan)?;
        let actions = change.get("actions").and_then(Value::as_array).ok_or(NoPlan)?;
        let words: Option<Vec<&str>> = actions.iter().map(Value::as_str).collect();
        let words = words.ok_or(NoPlan)?;
        // Ephemeral resources are opened while planning and applying, and are in no state.
        if matches!(member("mode").as_str(), Some("data" | "ephemeral")) {
            return Ok(None);
        }
        let action = match words.as_slice() {
            ["no-op" | "read"] => return Ok(None),
            ["create"] => Action::Create,
            ["update"] => Action::Update,
            ["delete"] => Action::Delete,
            ["delete", "create"] | ["create", "delete"] => Action::Replace,
            ["forget"] => Action::Forget,
            // Terraform and OpenTofu name the two in different orders.
            ["create", "forget"] | ["forget", "create"] => Action::CreateAndForget,
            _ => return Err(NoPlan),
        };
        Self::with(entry, change, action).map(Some)
    }

    /// The entry of an imported resource; `None` if it cannot be read. Its action is ignored.
    fn as_it_is(entry: &'a Value) -> Option<Self> {
        Self::with(entry, entry.get("change")?, Action::Update).ok()
    }

    fn with(entry: &'a Value, change: &'a Value, action: Action) -> Result<Self, NoPlan> {
        let member = |name: &str| entry.get(name).unwrap_or(&NOTHING);
        let part = |name: &str| change.get(name).unwrap_or(&NOTHING);
        Ok(Self {
            address: printable(member("address").as_str().ok_or(NoPlan)?),
            module: member("module_address").as_str().unwrap_or_default(),
            kind: member("type").as_str().ok_or(NoPlan)?,
            action,
            before: part("before"),
            after: part("after"),
            after_unknown: part("after_unknown"),
            after_sensitive: part("after_sensitive"),
        })
    }

    /// The configuration that the change starts from, for comparison with the one that it ends with: none where an object is
    /// created, even if another goes on existing.
    pub(super) fn changed_from(&self) -> &'a Value {
        if self.action == Action::CreateAndForget { &NOTHING } else { self.before }
    }

    /// Whether only tags and labels would change.
    pub(super) fn is_of_tags_only(&self) -> bool {
        const TAGS: [&str; 5] = ["tags", "tags_all", "labels", "effective_labels", "terraform_labels"];
        let (Some(before), Some(after)) = (self.before.as_object(), self.after.as_object()) else {
            return false;
        };
        let unknown = |name: &str| self.after_unknown.get(name).is_some_and(any_true);
        let differs = |name: &str| before.get(name) != after.get(name) || unknown(name);
        let names = before
            .keys()
            .chain(after.keys())
            .chain(self.after_unknown.as_object().into_iter().flat_map(Map::keys));
        let mut changed = names.filter(|name| differs(name)).peekable();
        self.action == Action::Update
            && changed.peek().is_some()
            && changed.all(|name| TAGS.contains(&name.as_str()))
    }
}

/// The changes of a list, and the number of entries that cannot be read.
fn read_changes(entries: &[Value]) -> (Vec<Change<'_>>, u32) {
    let (mut changes, mut unreadable) = (Vec::new(), 0_u32);
    for entry in entries {
        match Change::of(entry) {
            Ok(change) => changes.extend(change),
            Err(NoPlan) => unreadable = unreadable.saturating_add(1),
        }
    }
    (changes, unreadable)
}

/// The variables that the configuration does not mark sensitive; the plan contains the values of all.
fn plain_variables(plan: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let declared = plan
        .get("configuration")
        .and_then(|configuration| configuration.pointer("/root_module/variables"))
        .unwrap_or(&NOTHING);
    let sensitive =
        |name: &str| declared.get(name).and_then(|v| v.get("sensitive")) == Some(&Value::Bool(true));
    let given = plan.get("variables").and_then(Value::as_object).into_iter().flatten();
    given
        .filter(|(name, _)| !sensitive(name))
        .filter_map(|(name, variable)| Some((name.as_str(), variable.get("value")?)))
        .collect()
}

/// Whether any part of the value is `true`.
fn any_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Array(values) => values.iter().any(any_true),
        Value::Object(values) => values.values().any(any_true),
        _ => false,
    }
}
