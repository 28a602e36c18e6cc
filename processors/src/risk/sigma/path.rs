//! Field names as paths into a record.

use super::json::Json;

/// Maximum number of steps of one name, which bounds the cost of a lookup.
const MAX_STEPS: usize = 32;

/// A field name: steps separated by dots, each with list indices.
///
/// A record may contain a name as one key, dots included: the whole name is tried first. If a step is
/// missing, longer keys are tried (`annotations.authorization.k8s.io/decision`). A list on the path stands
/// for each of its elements; `[0]` is one of them, and `[-1]` the last. `\.`, `\[` and `\]` are plain
/// characters of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// The whole name as one key.
    whole: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// Keys that begin with this step: this step alone, this and the next, and so on.
    keys: Vec<String>,
    /// List indices, from the outermost; negative ones count from the end.
    places: Vec<i64>,
}

impl Path {
    /// Parses a name. The error gives the reason.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let parts = split(name)?;
        if parts.len() > MAX_STEPS {
            return Err(format!("the field {name:?} has more than {MAX_STEPS} steps"));
        }
        let steps = (0..parts.len()).map(|first| {
            // A key that spans several steps has no place in a list before its last.
            let mut keys = vec![parts[first].key.clone()];
            for next in first + 1..parts.len() {
                if !parts[next - 1].places.is_empty() {
                    break;
                }
                keys.push(format!("{}.{}", keys[keys.len() - 1], parts[next].key));
            }
            Step { keys, places: parts[first].places.clone() }
        });
        let steps = steps.collect();
        Ok(Self { whole: parts.iter().map(Part::written).collect::<Vec<_>>().join("."), steps })
    }

    /// The top-level key on the way to the field; with dots if it has no
    /// other.
    pub(super) fn first_key(&self) -> &str {
        self.steps.first().map_or("", |step| &step.keys[0])
    }

    /// All values at the path; empty if the record lacks the field.
    pub(super) fn find<'v>(&self, record: &'v Json<'v>) -> Vec<&'v Json<'v>> {
        if let Some(value) = record.get(&self.whole) {
            return vec![value];
        }
        let mut found = Vec::new();
        self.descend(record, 0, &mut found);
        found
    }

    fn descend<'v>(&self, value: &'v Json<'v>, at: usize, found: &mut Vec<&'v Json<'v>>) {
        let Some(step) = self.steps.get(at) else {
            found.push(value);
            return;
        };
        match value {
            Json::List(items) => items.iter().for_each(|item| self.descend(item, at, found)),
            Json::Object(members) => {
                let before = found.len();
                for (further, key) in step.keys.iter().enumerate() {
                    let last = at + further;
                    let value = members.get(key).and_then(|value| in_lists(value, &self.steps[last].places));
                    if let Some(value) = value {
                        self.descend(value, last + 1, found);
                    }
                    if found.len() > before {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
}

fn in_lists<'v>(value: &'v Json<'v>, places: &[i64]) -> Option<&'v Json<'v>> {
    places.iter().try_fold(value, |value, place| {
        let Json::List(items) = value else { return None };
        let from_end = || items.len().checked_sub(usize::try_from(place.unsigned_abs()).ok()?);
        items.get(if *place < 0 { from_end()? } else { usize::try_from(*place).ok()? })
    })
}

#[derive(Debug, Default)]
struct Part {
    key: String,
    places: Vec<i64>,
}

impl Part {
    fn written(&self) -> String {
        self.places.iter().fold(self.key.clone(), |name, place| format!("{name}[{place}]"))
    }
}

fn split(name: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut part) = (Vec::new(), Part::default());
    let mut rest = name;
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        match next {
            '\\' if rest.starts_with(['.', '[', ']', '\\']) => {
                part.key.push_str(&rest[..1]);
                rest = &rest[1..];
            }
            '.' => parts.push(std::mem::take(&mut part)),
            '[' => {
                let place =
                    rest.split_once(']').and_then(|(place, after)| Some((place.parse().ok()?, after)));
                let (place, after) = place.ok_or_else(|| {
                    format!(
                        "the field {name:?} has brackets that hold no whole number: `[0]` is the first of a \
                         list, `\\[` a plain bracket"
                    )
                })?;
                if !(after.is_empty() || after.starts_with(['.', '['])) {
                    return Err(format!("the field {name:?} goes on behind a bracket without a dot"));
                }
                part.places.push(place);
                rest = after;
            }
            _ if part.places.is_empty() => part.key.push(next),
            _ => return Err(format!("the field {name:?} goes on behind a bracket without a dot")),
        }
    }
    parts.push(part);
    if parts.iter().any(|part| part.key.is_empty()) {
        return Err(format!("the field {name:?} has an empty step"));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &Value) {
        let record = json!({
            "a": {"b": 1, "x.y": {"z": 2}}, "a.c": 3, "a.b.d": 4, "l": [{"m": 5}, {"m": [6, 7]}, {}],
            "deep": [[10, 11], [12]], "brackets": {"[0]": 8, "e.f": 9},
            "k8s": {"io/x.y.z": 13, "io/x": {"q": 14}},
        });
        let path = Path::parse(name).expect(name);
        let record = Json::from(&record);
        let found: Vec<Value> = path.find(&record).into_iter().map(Json::to_value).collect();
        assert_eq!(json!(found), *expected, "{name}");
    }

    #[test]
    fn names_lead_through_dots_lists_and_long_keys() {
        check("a.b", &json!([1]));
        check("a.c", &json!([3]));
        check("a.b.d", &json!([4]));
        check("a.x.y.z", &json!([2]));
        check("a.x\\.y.z", &json!([2]));
        check("a.x", &json!([]));
        check("k8s.io/x.y.z", &json!([13]));
        check("k8s.io/x.q", &json!([14]));
        check("l.m", &json!([5, [6, 7]]));
        check("l[0].m", &json!([5]));
        check("l[-2].m[1]", &json!([7]));
        check("l[3].m", &json!([]));
        check("deep[0][1]", &json!([11]));
        check("deep[-1]", &json!([[12]]));
        check("a[0]", &json!([]));
        check("brackets.\\[0\\]", &json!([8]));
        check("brackets.e\\.f", &json!([9]));
    }

    #[test]
    fn malformed_names_are_refused() {
        for wrong in ["", "a..b", ".a", "a.", "a[any]", "a[", "a[]", "[0]", "a[0]b"] {
            assert!(Path::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Path::parse(&vec!["a"; 33].join(".")).is_err());
    }
}
