//! Records that were too large for a SIEM: without their native record, which stands in parts of its own.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use audit_log::{Hash, integrity::Place};
use serde_json::{Value, json};

/// Records and parts that wait for one another, by the record's leaf.
#[derive(Default)]
pub(super) struct Parted {
    waiting: HashMap<String, Waiting>,
    finished: HashMap<String, Finished>,
}

#[derive(Default)]
struct Waiting {
    record: Option<Value>,
    /// Number of parts, once the record has stated it.
    of: Option<u64>,
    parts: BTreeMap<u64, String>,
    /// The lines: those that are delivered again are equal.
    lines: HashSet<Hash>,
    /// Whether the record or a part is there in two versions.
    differs: bool,
}

/// A record that is whole.
struct Finished {
    lines: HashSet<Hash>,
    /// Its place in its log, and nothing else of it.
    place: Value,
}

impl Parted {
    /// Takes a line: the record, once it is whole. A record that was not parted is whole. Lines that are delivered again
    /// are dropped; where one differs from the line before it, there is a record without its native record, which is not as it
    /// was sent.
    pub(super) fn take<'a>(&mut self, line: Cow<'a, Value>) -> Option<Cow<'a, Value>> {
        if let Some(part) = line.pointer("/unmapped/raw_data_part") {
            let leaf = part["record"].as_str()?.to_owned();
            let (number, text) = (part["number"].as_u64()?, line["raw_data"].as_str()?.to_owned());
            return self.add(leaf, &line, |waiting| {
                let other = waiting.parts.insert(number, text);
                waiting.differs |= other.is_some();
            });
        }
        let Some(of) = line.pointer("/unmapped/raw_data_parts").and_then(Value::as_u64) else {
            return Some(line);
        };
        let Some(place) = Place::stated(&line) else { return Some(line) };
        self.add(place.leaf.to_string(), &line, |waiting| {
            waiting.of = Some(of);
            let other = waiting.record.replace(line.clone().into_owned());
            waiting.differs |= other.is_some();
        })
    }

    /// Adds a line of a record that was parted, unless it is there.
    fn add<'a>(
        &mut self,
        leaf: String,
        line: &Value,
        add: impl FnOnce(&mut Waiting),
    ) -> Option<Cow<'a, Value>> {
        let print = Hash::of(line.to_string().as_bytes());
        if let Some(finished) = self.finished.get(&leaf) {
            let is_again = finished.lines.contains(&print);
            return (!is_again).then(|| Cow::Owned(finished.place.clone()));
        }
        let waiting = self.waiting.entry(leaf.clone()).or_default();
        if waiting.lines.insert(print) {
            add(waiting);
        }
        self.whole(leaf).map(Cow::Owned)
    }

    /// The record with its native record, if all of it is there.
    fn whole(&mut self, leaf: String) -> Option<Value> {
        let waiting = self.waiting.get(&leaf)?;
        let is_whole = waiting.record.is_some() && waiting.of == Some(waiting.parts.len() as u64);
        if !is_whole {
            return None;
        }
        let Waiting { record, parts, lines, differs, .. } = self.waiting.remove(&leaf)?;
        let mut record = record?;
        let place = json!({ "unmapped": { "record_integrity": record["unmapped"]["record_integrity"] } });
        if !differs {
            record["raw_data"] = parts.into_values().collect::<String>().into();
        }
        if let Some(unmapped) = record["unmapped"].as_object_mut() {
            unmapped.remove("raw_data_parts");
        }
        self.finished.insert(leaf, Finished { lines, place });
        Some(record)
    }

    /// Records of which parts are missing.
    pub(super) fn into_rest(self) -> impl Iterator<Item = Value> {
        self.waiting.into_values().filter_map(|waiting| waiting.record)
    }
}

#[cfg(test)]
mod tests {
    use audit_log::{
        Salt,
        integrity::{Personal, leaf_of, leaf_of_copy},
        record::Splitter,
    };

    use super::*;

    /// A record, as its receiver would have it whole, and the lines that it got: the record, and two parts.
    fn parted() -> (Value, [Value; 3]) {
        let stored = br#"{"class_uid":6003,"raw_data":"one and two","time":1}"#;
        let personal = Personal::Salted(Salt([7; 32]));
        let leaf = leaf_of(&mut Splitter::default(), stored, &personal).expect("a record");
        let (log, previous) = ("weir.activity.v1/0".to_owned(), Some(Hash([1; 32])));
        let place = Place { log, index: 4, leaf, previous, personal, checkpoint: None };
        let whole: Value = serde_json::from_slice(&place.attest(stored).expect("a record")).expect("JSON");
        let mut head = whole.clone();
        head.as_object_mut().map(|members| members.remove("raw_data"));
        head["unmapped"]["raw_data_parts"] = 2.into();
        let part = |number: u64, text: &str| {
            let part = json!({ "number": number, "of": 2, "record": leaf.to_string() });
            json!({ "class_uid": 0, "raw_data": text, "unmapped": { "raw_data_part": part } })
        };
        (whole, [head, part(1, "one "), part(2, "and two")])
    }

    /// What comes of lines.
    fn records<'a>(lines: impl IntoIterator<Item = &'a Value>) -> Vec<Value> {
        let mut parted = Parted::default();
        let taken: Vec<Value> = lines
            .into_iter()
            .filter_map(|line| parted.take(Cow::Borrowed(line)))
            .map(Cow::into_owned)
            .collect();
        taken.into_iter().chain(parted.into_rest()).collect()
    }

    fn is_whole(record: &Value) -> bool {
        let place = Place::stated(record).expect("a place");
        leaf_of_copy(&mut Splitter::default(), record, &place.personal) == Ok(place.leaf)
    }

    /// Every order of some lines, by their numbers.
    fn orders(numbers: &[usize]) -> Vec<Vec<usize>> {
        if numbers.is_empty() {
            return vec![Vec::new()];
        }
        let first = |at: usize| {
            let mut rest = numbers.to_vec();
            let first = rest.remove(at);
            orders(&rest).into_iter().map(move |order| [vec![first], order].concat()).collect::<Vec<_>>()
        };
        (0..numbers.len()).flat_map(first).collect()
    }

    #[test]
    fn lines_that_are_delivered_again_are_one_in_whatever_order() {
        let (whole, lines) = parted();
        for again in [vec![0, 0, 1, 2], vec![0, 1, 1, 2], vec![0, 0, 1, 1, 2, 2]] {
            for order in orders(&again) {
                let found = records(order.iter().map(|line| &lines[*line]));
                assert_eq!(found, std::slice::from_ref(&whole), "{order:?}");
            }
        }
        assert!(is_whole(&whole));
    }

    #[test]
    fn a_line_that_differs_from_the_one_before_it_is_found() {
        let (_, lines) = parted();
        for at in 0..lines.len() {
            let mut edited = lines[at].clone();
            edited["raw_data"] = "and three".into();
            let all = [lines.to_vec(), vec![edited]].concat();
            for order in orders(&[0, 1, 2, 3]) {
                let found = records(order.iter().map(|line| &all[*line]));
                assert!(found.iter().any(|record| !is_whole(record)), "{at}: {order:?}");
            }
        }
    }

    #[test]
    fn a_record_that_lacks_a_part_is_not_as_it_was_sent() {
        let (_, lines) = parted();
        let found = records(&lines[..2]);
        assert!(found.len() == 1 && !is_whole(&found[0]), "{found:?}");
        assert!(records(&lines[1..]).is_empty(), "parts alone state no place");
    }
}
