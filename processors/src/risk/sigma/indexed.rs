//! Index of the rules of one format, so that few of them are evaluated on a record.
//!
//! A rule that requires a field to have one of some values is evaluated only on records that have it. The
//! index fields are chosen by selectivity: the first over all rules, the next over those that the first does
//! not index, and so on. The remaining rules are evaluated on every record.

use std::collections::HashMap;

use super::{
    detection::Detection,
    fields::FieldId,
    record::Record,
    required::{Required, best_field, required},
};

/// Maximum number of index fields.
const MAX_FIELDS: usize = 8;

/// Detections with their index.
#[derive(Default)]
pub(super) struct Indexed {
    detections: Vec<Detection>,
    /// Indices of the rules that are evaluated on every record.
    always: Vec<usize>,
    /// Index fields, with indices of rules by value.
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

    /// The indices of the rules that fire, in order.
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

    /// The same, with every rule evaluated and without the index.
    pub(super) fn firing_each(&self, record: &Record<'_>) -> Vec<usize> {
        (0..self.detections.len()).filter(|place| self.detections[*place].holds(record)).collect()
    }

    pub(super) fn detection(&self, place: usize) -> &Detection {
        &self.detections[place]
    }
}
