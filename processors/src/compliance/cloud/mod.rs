//! Resources in the names of Azure and Google Cloud, as Terraform's arguments by which policies judge.
//!
//! A table for each type of resource names the arguments that policies read, and their places in the cloud's own
//! document: in an inventory, in the answer to a call, or in a request that holds the whole resource.

mod azure;
mod google;

use serde_json::{Map, Value, json};

pub(super) use self::{azure::TYPES as AZURE, google::TYPES as GOOGLE};

/// One type of resource.
#[derive(Debug)]
pub(super) struct ResourceType {
    /// The cloud's name, for example `microsoft.keyvault/vaults` (in small letters) or `storage.googleapis.com/Bucket`.
    pub(super) name: &'static str,
    /// Terraform's name.
    pub(super) terraform: &'static str,
    arguments: &'static [Argument],
    /// Arguments that policies read and the document never shows.
    not_shown: &'static [&'static str],
}

/// An argument, the place of its value in the document (a JSON pointer), and the value's conversion.
type Argument = (&'static str, &'static str, fn(&Value) -> Value);

/// Whether a document shows every member that has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    /// It does: a missing member has its default.
    Whole,
    /// It shows what a caller wrote: a missing member may have any value.
    Request,
}

impl ResourceType {
    /// The type of this name in a table.
    pub(super) fn find(table: &'static [Self], name: &str) -> Option<&'static Self> {
        table.iter().find(|one| one.name.eq_ignore_ascii_case(name))
    }

    /// The arguments of a resource, and which of them are unknown.
    pub(super) fn read(&self, resource: &Value, shown: Completeness) -> (Value, Value) {
        let (mut config, mut unknown) = (json!({}), json!({}));
        for (argument, place, convert) in self.arguments {
            match resource.pointer(place).map(convert) {
                Some(Value::Null) | None if shown == Completeness::Request => {
                    put(&mut unknown, argument, Value::Bool(true));
                }
                Some(Value::Null) | None => {}
                Some(value) => put(&mut config, argument, value),
            }
        }
        for argument in self.not_shown {
            put(&mut unknown, argument, Value::Bool(true));
        }
        (config, unknown)
    }
}

/// Puts a value at a dotted path; blocks on the way are objects.
fn put(config: &mut Value, path: &str, value: Value) {
    let mut at = config;
    for name in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[name];
    }
    *at = value;
}

fn same(value: &Value) -> Value {
    value.clone()
}

/// `Enabled` and `Disabled` as truth values.
fn is_enabled(value: &Value) -> Value {
    match value.as_str() {
        Some(text) => Value::Bool(!text.eq_ignore_ascii_case("disabled")),
        None => value.clone(),
    }
}

/// A block that is there where the value is true.
fn block_if_true(value: &Value) -> Value {
    if value == &Value::Bool(true) { json!([{}]) } else { Value::Null }
}
