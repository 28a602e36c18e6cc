//! Records in an earlier version of OCSF.
//!
//! Weir writes 1.8.0. For a receiver that knows 1.3.0 or 1.1.0, attributes that came later move to `unmapped.ocsf` under their paths,
//! and `unmapped.ocsf_lost` names them; values of an enumeration that came later become 99 (Other), whose caption stays beside
//! it. Classes are the same in all three. The place in the log stays, and so does the chain of leaves. The leaf itself
//! is that of the record in 1.8.0: content is verified on a copy in 1.8.0.
//!
//! Source of every date: the change log of the schema (`CHANGELOG.md` of github.com/ocsf/ocsf-schema), by the number of the
//! pull request that it names.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::message::Message;

/// A version of OCSF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OcsfVersion {
    /// 1.1.0
    #[serde(rename = "1.1.0")]
    V1_1,
    /// 1.3.0
    #[serde(rename = "1.3.0")]
    V1_3,
    /// 1.8.0, as records are written.
    #[default]
    #[serde(rename = "1.8.0")]
    V1_8,
}

/// An attribute of Weir's records that came with a version after 1.1.0.
struct Later {
    /// The only class in which it came later.
    class: Option<i64>,
    /// Its place; `*` is every item of a list.
    path: &'static str,
    /// The minor version of 1.x that brought it.
    since: u8,
}

const fn later(path: &'static str, since: u8) -> Later {
    Later { class: None, path, since }
}

const fn later_in(class: i64, path: &'static str, since: u8) -> Later {
    Later { class: Some(class), path, since }
}

const LATER: [Later; 16] = [
    later("/actor/app_name", 2),                     // 979
    later_in(2003, "/resources", 3),                 // 1150
    later_in(2003, "/compliance/status_details", 4), // 1219
    later_in(2004, "/risk_details", 2),              // 1032
    later_in(3004, "/entity/type_id", 3),            // 1094
    later_in(3004, "/http_request", 2),              // 976
    later_in(3004, "/src_endpoint", 2),              // 976
    later("/is_alert", 4),                           // 1178
    later("/metadata/log_format", 7),                // 1483
    later("/metadata/original_event_uid", 7),        // 1483
    later("/metadata/source", 7),                    // 1483
    later("/raw_data_hash", 6),                      // 1420
    later("/raw_data_size", 5),                      // 1347
    later("/resources/*/provider", 8),               // 1566
    later("/resources/*/tags", 4),                   // 1207
    later("/table", 3),
];

/// Values of an enumeration that came with a version after 1.1.0.
struct LaterValues {
    class: Option<i64>,
    path: &'static str,
    values: std::ops::RangeInclusive<i64>,
    since: u8,
}

const LATER_VALUES: [LaterValues; 5] = [
    // Account Switch: 1460.
    LaterValues { class: Some(3002), path: "/activity_id", values: 7..=7, since: 6 },
    // Enroll and all that follow: 1095.
    LaterValues { class: Some(3004), path: "/activity_id", values: 5..=13, since: 3 },
    // Restart, Enable, Disable, Update: 1064.
    LaterValues { class: Some(6002), path: "/activity_id", values: 5..=8, since: 3 },
    // Service: 1428.
    LaterValues { class: None, path: "/actor/user/type_id", values: 4..=4, since: 6 },
    LaterValues { class: None, path: "/user/type_id", values: 4..=4, since: 6 },
];

/// `Other`, in every enumeration of OCSF.
const OTHER: i64 = 99;

impl OcsfVersion {
    /// The version as records state it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_1 => "1.1.0",
            Self::V1_3 => "1.3.0",
            Self::V1_8 => "1.8.0",
        }
    }

    const fn minor(self) -> u8 {
        match self {
            Self::V1_1 => 1,
            Self::V1_3 => 3,
            Self::V1_8 => 8,
        }
    }

    /// The message with its record in this version.
    pub fn of(self, message: Message) -> Message {
        if self == Self::V1_8 {
            return message;
        }
        let mut value = message.value();
        let mut lost = Map::new();
        let class = message.class_uid;
        let is_of = |only: Option<i64>| only.is_none_or(|only| only == class);
        for Later { class: only, path, since } in &LATER {
            if *since > self.minor() && is_of(*only) {
                take(&mut value, path, &mut lost);
            }
        }
        for LaterValues { class: only, path, values, since } in &LATER_VALUES {
            if let Some(number) = value.pointer_mut(path)
                && *since > self.minor()
                && is_of(*only)
                && number.as_i64().is_some_and(|number| values.contains(&number))
            {
                lost.insert(dotted(path), std::mem::replace(number, OTHER.into()));
            }
        }
        if lost.contains_key("activity_id")
            && let Some(type_uid) = value.pointer_mut("/type_uid")
        {
            *type_uid = (class * 100 + OTHER).into();
        }
        if let Some(version) = value.pointer_mut("/metadata/version") {
            *version = self.name().into();
        }
        if let (false, Some(record)) = (lost.is_empty(), value.as_object_mut()) {
            let unmapped = record.entry("unmapped").or_insert_with(|| Map::new().into());
            if let Some(unmapped) = unmapped.as_object_mut() {
                unmapped.insert("ocsf_lost".into(), lost.keys().cloned().collect::<Vec<_>>().into());
                unmapped.insert("ocsf".into(), lost.into());
            }
        }
        Message { json: value.to_string().into_bytes().into(), ..message }
    }
}

/// Takes the members at a path out of their objects. Those of a list's items are a list themselves, null where an item has none: a
/// name of its own for each position would be a field of its own for each at a receiver.
fn take(value: &mut Value, path: &str, lost: &mut Map<String, Value>) {
    let Some((items_at, member)) = path.split_once("/*/") else {
        let taken = path
            .rsplit_once('/')
            .and_then(|(parent, member)| value.pointer_mut(parent)?.as_object_mut()?.remove(member));
        lost.extend(taken.map(|taken| (dotted(path), taken)));
        return;
    };
    let items = value.pointer_mut(items_at).and_then(Value::as_array_mut).into_iter().flatten();
    let taken: Vec<Option<Value>> =
        items.map(|item| item.as_object_mut().and_then(|item| item.remove(member))).collect();
    if taken.iter().any(Option::is_some) {
        let taken: Vec<Value> = taken.into_iter().map(Option::unwrap_or_default).collect();
        lost.insert(format!("{}.{member}", dotted(items_at)), taken.into());
    }
}

/// A path as OCSF writes it.
fn dotted(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::record;

    #[test]
    fn what_came_later_moves_aside_and_is_named() {
        let mut message = record("{}");
        let mut value = message.value();
        value["metadata"]["source"] = "aws".into();
        value["table"] = serde_json::json!({ "name": "users" });
        message.json = value.to_string().into_bytes().into();
        assert_eq!(OcsfVersion::V1_8.of(message.clone()), message);
        let at = |version: OcsfVersion| version.of(message.clone()).value();
        let (old, older) = (at(OcsfVersion::V1_3), at(OcsfVersion::V1_1));
        assert_eq!(
            (&old["metadata"]["version"], &older["metadata"]["version"]),
            (&"1.3.0".into(), &"1.1.0".into())
        );
        assert!(
            old["metadata"].get("source").is_none()
                && old.get("table").is_some()
                && older.get("table").is_none()
        );
        assert_eq!(old["unmapped"]["ocsf_lost"], serde_json::json!(["metadata.source"]));
        assert_eq!(older["unmapped"]["ocsf"]["table"]["name"], "users");
        assert_eq!(old["unmapped"]["record_integrity"], value["unmapped"]["record_integrity"]);
        assert_eq!(OcsfVersion::V1_3.of(message.clone()).id, message.id);
    }

    /// A record of a class in an earlier version, and what it lost.
    fn in_version(version: OcsfVersion, class: i64, change: impl FnOnce(&mut Value)) -> (Value, Value) {
        let mut message = record("{}");
        let mut value = message.value();
        value["class_uid"] = class.into();
        change(&mut value);
        message.class_uid = class;
        message.json = value.to_string().into_bytes().into();
        let value = version.of(message).value();
        let lost = value["unmapped"]["ocsf"].clone();
        (value, lost)
    }

    #[test]
    fn values_that_came_later_are_other() {
        for (version, class, activity, expected) in [
            (OcsfVersion::V1_1, 3004, 12, 99),
            (OcsfVersion::V1_3, 3004, 12, 12),
            (OcsfVersion::V1_1, 3004, 3, 3),
            (OcsfVersion::V1_1, 6002, 8, 99),
            (OcsfVersion::V1_3, 6002, 8, 8),
            (OcsfVersion::V1_3, 3002, 7, 99),
            (OcsfVersion::V1_1, 6003, 7, 7),
        ] {
            let (value, lost) = in_version(version, class, |value| {
                value["activity_id"] = activity.into();
                value["type_uid"] = (class * 100 + activity).into();
            });
            let shown = (value["activity_id"].as_i64(), value["type_uid"].as_i64());
            assert_eq!(
                shown,
                (Some(expected), Some(class * 100 + expected)),
                "{version:?} {class} {activity}"
            );
            let kept = (expected != activity).then_some(activity);
            assert_eq!(lost["activity_id"].as_i64(), kept, "{version:?} {class} {activity}");
        }
        let service = |value: &mut Value| value["actor"]["user"]["type_id"] = 4.into();
        let (value, lost) = in_version(OcsfVersion::V1_3, 6003, service);
        assert_eq!(
            (&value["actor"]["user"]["type_id"], &lost["actor.user.type_id"]),
            (&99.into(), &4.into())
        );
    }

    #[test]
    fn each_item_of_a_list_loses_its_own() {
        let resources = serde_json::json!([{ "uid": "a", "provider": "aws", "tags": [] }, { "uid": "b", "provider": "gcp" }]);
        let set = |value: &mut Value| value["resources"] = resources.clone();
        let (value, lost) = in_version(OcsfVersion::V1_3, 6003, set);
        assert_eq!(value["resources"], serde_json::json!([{ "uid": "a" }, { "uid": "b" }]));
        assert_eq!(lost["resources.provider"], serde_json::json!(["aws", "gcp"]));
        assert_eq!(lost["resources.tags"], serde_json::json!([[], null]), "the second has none");
        let many: Vec<Value> = (0..500).map(|n| serde_json::json!({ "uid": n, "provider": "aws" })).collect();
        let (_, lost) = in_version(OcsfVersion::V1_3, 6003, |value| value["resources"] = many.into());
        let names: Vec<&String> = lost.as_object().expect("an object").keys().collect();
        assert_eq!(names, ["resources.provider"], "as many names for 500 items as for one");
        let (value, lost) = in_version(OcsfVersion::V1_1, 2003, set);
        assert!(
            value.get("resources").is_none() && lost["resources"].is_array(),
            "a finding of compliance had one"
        );
        let (value, _) = in_version(OcsfVersion::V1_1, 3004, |_| {});
        assert!(value.get("src_endpoint").is_none());
        let (value, _) = in_version(OcsfVersion::V1_1, 6003, |_| {});
        assert!(value.get("src_endpoint").is_some());
    }
}
