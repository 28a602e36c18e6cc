//! Records that were too large for a SIEM: without their native record, which stands in parts of its own.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use audit_log::integrity::Place;
use serde_json::Value;

/// Records and parts that wait for one another, by the record's leaf.
#[derive(Default)]
pub(super) struct Parted {
    waiting: HashMap<String, Waiting>,
}

#[derive(Default)]
struct Waiting {
    record: Option<Value>,
    /// Number of parts, once the record has stated it.
    of: Option<u64>,
    parts: BTreeMap<u64, String>,
}

impl Parted {
    /// Takes a line: the record, once it is whole. A record that was not parted is whole.
    pub(super) fn take<'a>(&mut self, record: Cow<'a, Value>) -> Option<Cow<'a, Value>> {
        if let Some(part) = record.pointer("/unmapped/raw_data_part") {
            let of = part["record"].as_str()?.to_owned();
            let (number, text) = (part["number"].as_u64()?, record["raw_data"].as_str()?.to_owned());
            self.waiting.entry(of.clone()).or_default().parts.insert(number, text);
            return self.whole(&of).map(Cow::Owned);
        }
        let Some(of) = record.pointer("/unmapped/raw_data_parts").and_then(Value::as_u64) else {
            return Some(record);
        };
        let Some(place) = Place::stated(&record) else { return Some(record) };
        let leaf = place.leaf.to_string();
        let waiting = self.waiting.entry(leaf.clone()).or_default();
        waiting.of = Some(of);
        waiting.record = Some(record.into_owned());
        self.whole(&leaf).map(Cow::Owned)
    }

    /// The record with its native record, if all of it is there.
    fn whole(&mut self, leaf: &str) -> Option<Value> {
        let waiting = self.waiting.get(leaf)?;
        let is_whole = waiting.record.is_some() && waiting.of == Some(waiting.parts.len() as u64);
        if !is_whole {
            return None;
        }
        let Waiting { record, parts, .. } = self.waiting.remove(leaf)?;
        let mut record = record?;
        record["raw_data"] = parts.into_values().collect::<String>().into();
        if let Some(unmapped) = record["unmapped"].as_object_mut() {
            unmapped.remove("raw_data_parts");
        }
        Some(record)
    }

    /// Records of which parts are missing.
    pub(super) fn into_rest(self) -> impl Iterator<Item = Value> {
        self.waiting.into_values().filter_map(|waiting| waiting.record)
    }
}
