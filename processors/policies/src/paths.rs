//! Values at the paths that policies read, looked up once for a resource instead of once for each policy.
//!
//! The functions of `rego/lib.rego` walk a path name by name, which costs an interpreter many calls. The input of a
//! resource policy therefore brings `input.paths`: for each path that a policy names in a literal,
//! the values there and whether they are known only after the change. For other paths, and without the member, the
//! library walks by itself, so that policies mean the same in OPA.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::LazyLock,
};

use regorus::Value;

/// Maximum number of names in a path, as in `values_in` of the library.
const MAX_NAMES: usize = 6;
/// Maximum length of a path, in bytes.
const MAX_PATH: usize = 200;

/// The texts in a module that have the form of a path. One that is none costs a look-up, no more.
pub(crate) fn literals(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let quoted = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    quoted.filter(|text| is_path(text)).map(ToOwned::to_owned).collect()
}

/// The texts that are the first argument of a call: a library has too many others.
pub(crate) fn first_arguments(text: &str) -> BTreeSet<String> {
    let after = text.split("(\"").skip(1).filter_map(|rest| rest.split_once('"'));
    after.map(|(path, _)| path).filter(|path| is_path(path)).map(ToOwned::to_owned).collect()
}

fn is_path(text: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|symbol| symbol.is_ascii_alphanumeric() || "_-".contains(symbol))
    };
    text.len() <= MAX_PATH && text.split('.').count() <= MAX_NAMES && text.split('.').all(is_name)
}

/// Paths that policies of one resource type read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paths {
    /// Each path, and its names.
    names: Vec<(Value, Vec<Value>)>,
    /// `input.paths` of a resource that has a value at none of them.
    absent: BTreeMap<Value, Value>,
}

impl Paths {
    /// Adds paths.
    pub(crate) fn extend(&mut self, paths: &BTreeSet<String>) {
        for path in paths {
            let key = Value::from(path.as_str());
            if let Entry::Vacant(absent) = self.absent.entry(key.clone()) {
                absent.insert(found(Vec::new(), false));
                self.names.push((key, path.split('.').map(Value::from).collect()));
            }
        }
    }

    /// The input with the values at these paths, in `paths`.
    pub(crate) fn looked_up(&self, input: &Value) -> Value {
        let mut input = input.clone();
        if self.names.is_empty() || !matches!(input, Value::Object(_)) {
            return input;
        }
        let (config, unknown) = (&input["config"], &input["unknown"]);
        let knows_all = !matches!(unknown, Value::Object(members) if members.iter().next().is_some());
        let mut paths = self.absent.clone();
        for (path, names) in &self.names {
            let (values, is_unknown) = (values_at(config, names), !knows_all && is_unknown(unknown, names));
            if !values.is_empty() || is_unknown {
                paths.insert(path.clone(), found(values, is_unknown));
            }
        }
        if let Ok(members) = input.as_object_mut() {
            members.insert("paths".into(), paths.into());
        }
        input
    }
}

/// A member of `input.paths`.
fn found(values: Vec<Value>, is_unknown: bool) -> Value {
    static NAMES: LazyLock<[Value; 2]> = LazyLock::new(|| ["values", "unknown"].map(Value::from));
    let [of_values, of_unknown] = NAMES.clone();
    BTreeMap::from([(of_values, values.into()), (of_unknown, Value::Bool(is_unknown))]).into()
}

fn is_unknown(unknown: &Value, names: &[Value]) -> bool {
    let first = names.first().map_or(&Value::Undefined, |name| &unknown[name]);
    *first == Value::Bool(true) || values_at(unknown, names).contains(&Value::Bool(true))
}

/// The values at a path; lists on the way are walked through. As `values_in` of the library.
fn values_at(root: &Value, names: &[Value]) -> Vec<Value> {
    let mut nodes = vec![root];
    for name in names {
        let mut below = Vec::new();
        for node in nodes.into_iter().filter(|node| matches!(node, Value::Object(_))) {
            match &node[name] {
                Value::Undefined | Value::Null => {}
                Value::Array(elements) => below.extend(elements.iter()),
                one => below.push(one),
            }
        }
        nodes = below;
    }
    nodes.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{BuiltinErrors, Limits, RegoEngine};

    #[test]
    fn texts_in_the_form_of_a_path_are_found() {
        let text = "# \"no.path\"\ndeny contains \"a b\" if { lib.any_true(\"c.d\"); some p in {\"e\", \"f.g\"}; \"k..l\" }";
        assert_eq!(literals(text), ["c.d", "e", "f.g"].map(ToOwned::to_owned).into());
        assert_eq!(first_arguments(text), ["c.d".to_owned()].into());
        assert_eq!(literals("\"a.b.c.d.e.f\" \"a.b.c.d.e.f.g\" \"1.2\"").len(), 1);
    }

    /// A value made by chance, with names that recur.
    fn made(dice: &mut u64, depth: usize) -> serde_json::Value {
        let mut roll = |below: u64| {
            *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*dice >> 33) % below
        };
        match roll(if depth == 0 { 4 } else { 8 }) {
            0 => json!(null),
            1 => json!(true),
            2 => json!(roll(3)),
            3 => json!("x"),
            4 | 5 => (0..roll(4)).map(|_| made(dice, depth - 1)).collect(),
            _ => {
                let names = ["a", "b", "c"].map(|name| (name.to_owned(), made(dice, depth - 1)));
                serde_json::Value::Object(names.into_iter().collect())
            }
        }
    }

    #[test]
    fn the_library_walks_to_the_same_values() {
        let mut engine = RegoEngine::new(Limits::default(), BuiltinErrors::Undefined);
        let own = crate::own();
        let (file, text) = own.iter().find(|(file, _)| file.ends_with("lib.rego")).expect("the library");
        engine.add(file, text).expect("Rego");
        let read = "package read\nimport data.weir.lib\n\
            found[path] := [lib.values_in(input.config, path), unknown(path)] if some path in input.asked\n\
            unknown(path) if lib.is_unknown(path)\nunknown(path) := false if not lib.is_unknown(path)\n";
        engine.add("read.rego", read).expect("Rego");
        engine.seal().expect("sealed");
        let asked = ["a", "b.a", "a.b.c", "c.c.c.c", "a.a.a.a.a.a"];
        let mut paths = Paths::default();
        paths.extend(&asked.map(ToOwned::to_owned).into());
        let mut dice = 11;
        for _ in 0..300 {
            let document =
                json!({"config": made(&mut dice, 5), "unknown": made(&mut dice, 5), "asked": asked});
            let input = Value::from(document.clone());
            let walked = engine.rule("data.read.found", input.clone()).expect("a value");
            let looked_up = paths.looked_up(&input);
            for path in asked {
                let key = Value::from(path);
                let found = &looked_up["paths"][&key];
                assert_eq!(found["values"], walked[&key][0], "{path} of {document}");
                assert_eq!(found["unknown"], walked[&key][1], "{path} of {document}");
            }
        }
    }
}
