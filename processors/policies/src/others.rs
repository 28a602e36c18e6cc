//! The resources that a resource is judged with.

use std::collections::BTreeMap;

use regorus::Value;

/// The resources that a resource is judged with, as members of its input.
pub(crate) struct Others {
    all: Value,
    by_type: Value,
}

impl Others {
    /// These resources, each in the form of an input without others.
    pub(crate) fn new(inputs: impl Iterator<Item = Value>) -> Self {
        let all: Vec<_> = inputs.collect();
        let mut by_type: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
        for input in &all {
            by_type.entry(input["resource"]["type"].clone()).or_default().push(input.clone());
        }
        let by_type: BTreeMap<_, Value> =
            by_type.into_iter().map(|(kind, inputs)| (kind, inputs.into())).collect();
        Self { all: all.into(), by_type: by_type.into() }
    }

    /// The input of one of them, with all.
    pub(crate) fn around(&self, mut input: Value) -> Value {
        if let Ok(members) = input.as_object_mut() {
            members.insert("resources".into(), self.all.clone());
            members.insert("resources_by_type".into(), self.by_type.clone());
        }
        input
    }
}
