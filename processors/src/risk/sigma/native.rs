//! A native record as rules see it.

use std::borrow::Cow;

use rsigma_eval::{Event, EventValue, JsonEvent};
use serde_json::Value;

/// A JSON record. Where a rule compares an object, it compares the object's JSON text.
pub(super) struct NativeRecord<'a>(JsonEvent<'a>);

impl<'a> NativeRecord<'a> {
    pub(super) fn new(record: &'a Value) -> Self {
        Self(JsonEvent::borrow(record))
    }
}

impl Event for NativeRecord<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        self.0.get_field(path).map(objects_as_text)
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        self.0.any_string_value(pred)
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        self.0.all_string_values()
    }

    fn visit_string_values(&self, visit: &mut dyn FnMut(&str)) {
        self.0.visit_string_values(visit);
    }

    fn to_json(&self) -> Value {
        self.0.to_json()
    }

    fn field_keys(&self) -> Vec<Cow<'_, str>> {
        self.0.field_keys()
    }

    fn top_level_keys(&self) -> Option<Vec<Cow<'_, str>>> {
        self.0.top_level_keys()
    }

    fn visit_top_level_keys(&self, visit: &mut dyn FnMut(&str)) -> bool {
        self.0.visit_top_level_keys(visit)
    }
}

fn objects_as_text(value: EventValue<'_>) -> EventValue<'_> {
    match value {
        object @ EventValue::Map(_) => EventValue::Str(Cow::Owned(object.to_json().to_string())),
        EventValue::Array(items) => EventValue::Array(items.into_iter().map(objects_as_text).collect()),
        plain => plain,
    }
}
