//! Personal attributes of an OCSF record: names, e-mail addresses and ids of people, addresses of networks
//! and hosts, user agents, texts that may quote any of them, and the native record.
//!
//! The table is part of the log's format: a leaf that was made with one table cannot be made again with another.

use std::sync::LazyLock;

/// The paths of what is personal, each segment a member's name. The native record, `raw_data`, is personal besides.
pub const PERSONAL: [&str; 37] = [
    "actor.session.uid",
    "actor.user.display_name",
    "actor.user.email_addr",
    "actor.user.full_name",
    "actor.user.name",
    "actor.user.uid",
    "actor.user.uid_alt",
    "api.response.error_message",
    "comment",
    "device.hostname",
    "device.ip",
    "device.name",
    "dst_endpoint.domain",
    "dst_endpoint.hostname",
    "dst_endpoint.ip",
    "dst_endpoint.name",
    "entity.name",
    "entity.uid",
    "http_request.user_agent",
    "message",
    "session.uid",
    "src_endpoint.domain",
    "src_endpoint.hostname",
    "src_endpoint.ip",
    "src_endpoint.name",
    "src_endpoint.uid",
    "status_detail",
    "unmapped.actor_ip",
    "unmapped.attributes",
    "unmapped.subject",
    "unmapped.user_agent",
    "user.display_name",
    "user.email_addr",
    "user.full_name",
    "user.name",
    "user.uid",
    "user.uid_alt",
];

/// Treatment of a member when a record is split into its public and its personal part.
#[derive(Debug)]
pub(crate) enum Rule {
    /// The member is personal.
    Personal,
    /// It is the native record, or the marker of a native record that is stored beside the record.
    Native,
    /// The hash of the native record.
    NativeHash,
    /// A member that the log itself has added.
    Integrity,
    /// The member has special members of its own.
    Inside(Rules),
}

/// The special members of an object, by name.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    named: Vec<(&'static str, Rule)>,
    /// Lengths of the names, a bit for each; the names are shorter than 32.
    lengths: u32,
    /// First letters of the names, a bit for each.
    letters: u32,
}

impl Rules {
    /// Treatment of a member; `None` if it stays in the public part unchanged.
    pub(crate) fn of(&self, key: &[u8]) -> Option<&Rule> {
        let first = key.first()?;
        // Most members are no special ones: two bits tell so.
        if key.len() >= 32 || self.lengths & 1 << key.len() == 0 || self.letters & letter(*first) == 0 {
            return None;
        }
        self.named.iter().find(|(name, _)| name.as_bytes() == key).map(|(_, rule)| rule)
    }

    /// Whether the log adds a member of its own to the object.
    pub(crate) fn has_integrity(&self) -> bool {
        self.named.iter().any(|(_, rule)| matches!(rule, Rule::Integrity))
    }

    fn add(&mut self, path: &'static str, rule: Rule) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let Some(rest) = rest else { return self.push(name, rule) };
        let place = self.named.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.push(name, Rule::Inside(Self::default()));
            self.named.len() - 1
        });
        match &mut self.named[place].1 {
            Rule::Inside(inside) => inside.add(rest, rule),
            _ => unreachable!("no path of the table is the beginning of another"),
        }
    }

    fn push(&mut self, name: &'static str, rule: Rule) {
        assert!((1..32).contains(&name.len()), "{name} has a bit for its length");
        self.lengths |= 1 << name.len();
        self.letters |= letter(name.as_bytes()[0]);
        self.named.push((name, rule));
    }
}

/// The bit of a letter.
const fn letter(byte: u8) -> u32 {
    1 << (byte & 31)
}

/// The rules for a whole record.
pub(crate) static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut rules = Rules::default();
    for path in PERSONAL {
        rules.add(path, Rule::Personal);
    }
    rules.add("raw_data", Rule::Native);
    rules.add("raw_data_hash", Rule::NativeHash);
    rules.add("unmapped.record_integrity", Rule::Integrity);
    rules
});

#[cfg(test)]
mod tests {
    use super::*;

    /// Thereby the personal part, made while walking over a sorted record, is sorted too.
    #[test]
    fn the_table_is_sorted_by_segments_and_as_text() {
        assert!(PERSONAL.is_sorted() && PERSONAL.iter().all(|path| path.is_ascii()));
        let segments: Vec<Vec<&str>> = PERSONAL.iter().map(|path| path.split('.').collect()).collect();
        assert!(segments.is_sorted());
        for (path, next) in PERSONAL.iter().zip(&PERSONAL[1..]) {
            assert!(!next.starts_with(&format!("{path}.")), "{path} is the beginning of {next}");
        }
    }
}
