//! The rules of one format, so arranged that a record asks few of them.
//!
//! A rule that needs a field to have one of some values is asked only about records that have it. The fields
//! are those that tell rules apart best: first of all rules, then of those that the first leaves over, and so
//! on. What is left at the end is asked about every record.

use std::collections::HashMap;

use super::{
    detection::Detection,
    fields::FieldId,
    record::Record,
    required::{Required, best_field, required},
};

/// Most fields that are looked up in a record.
const MAX_FIELDS: usize = 8;

/// Detections and where each is found.
#[derive(Default)]
pub(super) struct Indexed {
    detections: Vec<Detection>,
    /// Places of the rules that every record asks.
    always: Vec<usize>,
    /// Fields, and by their value the places of rules.
    by_field: Vec<(FieldId, HashMap<String, Vec<usize>>)>,
}

impl Indexed {
    pub(super) fn new(detections: Vec<Detection>) -> Self {
        let mut left: Vec<(usize, Required)> = detections.iter().map(required).enumerate().collect();
        let mut by_field = Vec::new();
        while by_field.len() < MAX_FIELDS
            && let Some(field) = best_field(&left.iter().map(|(_, required)| required).collect::<Vec<_>>())
        {
            let mut by_value: HashMap<String, Vec<usize>> = HashMap::new();
            left.retain_mut(|(place, required)| match required.remove(&field) {
                Some(values) => {
                    for value in values {
                        by_value.entry(value).or_default().push(*place);
                    }
                    false
                }
                None => true,
            });
            by_field.push((field, by_value));
        }
        let always = left.into_iter().map(|(place, _)| place).collect();
        Self { detections, always, by_field }
    }

    /// The places of the rules that fire, in order.
    pub(super) fn firing(&self, record: &Record<'_>) -> Vec<usize> {
        let mut asked = self.always.clone();
        for (field, by_value) in &self.by_field {
            let texts = record.field(*field).leaves.iter().filter_map(|leaf| leaf.folded());
            asked.extend(texts.filter_map(|text| by_value.get(text)).flatten());
        }
        asked.sort_unstable();
        asked.dedup();
        asked.retain(|place| self.detections[*place].holds(record));
        asked
    }

    /// The places of the rules that fire, each asked by itself.
    pub(super) fn firing_each(&self, record: &Record<'_>) -> Vec<usize> {
        (0..self.detections.len()).filter(|place| self.detections[*place].holds(record)).collect()
    }

    pub(super) fn detection(&self, place: usize) -> &Detection {
        &self.detections[place]
    }
}
