//! Records in an earlier version of OCSF.
//!
//! Weir writes 1.8.0. For a receiver that knows 1.3.0 or 1.1.0, attributes that came later move to `unmapped.ocsf` under their paths,
//! and `unmapped.ocsf_lost` names them; classes and activities are the same in all three. The place in the log
//! stays, and so does the chain of leaves. The leaf itself is that of the record in 1.8.0: content is verified on a copy in 1.8.0.

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

/// Attributes of Weir's records that came with a version after 1.1.0, as the schema's change log dates them.
const LATER: [(&str, OcsfVersion); 9] = [
    ("/is_alert", OcsfVersion::V1_8),
    ("/metadata/log_format", OcsfVersion::V1_8),
    ("/metadata/original_event_uid", OcsfVersion::V1_8),
    ("/metadata/source", OcsfVersion::V1_8),
    ("/raw_data_hash", OcsfVersion::V1_8),
    ("/raw_data_size", OcsfVersion::V1_8),
    ("/risk_details", OcsfVersion::V1_3),
    ("/table", OcsfVersion::V1_3),
    ("/session/terminal", OcsfVersion::V1_3),
];

impl OcsfVersion {
    /// The version as records state it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_1 => "1.1.0",
            Self::V1_3 => "1.3.0",
            Self::V1_8 => "1.8.0",
        }
    }

    /// The message with its record in this version.
    pub fn of(self, message: Message) -> Message {
        if self == Self::V1_8 {
            return message;
        }
        let mut value = message.value();
        let mut lost = Map::new();
        for (path, since) in LATER {
            if since > self
                && let Some(moved) = take(&mut value, path)
            {
                lost.insert(path[1..].replace('/', "."), moved);
            }
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

/// Takes the member at a path out of its object.
fn take(value: &mut Value, path: &str) -> Option<Value> {
    let (parent, member) = path.rsplit_once('/')?;
    value.pointer_mut(parent)?.as_object_mut()?.remove(member)
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
}
