//! Tags of charges in AWS' Cost and Usage Report (CUR), which puts a prefix before the keys that users chose: its `user_team` is
//! the tag `team` of the resource.
//!
//! Sources: AWS' column dictionaries of CUR 2.0 (`resource_tags`) and of legacy CUR (`resourceTags/user:team`; in Parquet
//! `resource_tags_user_team`).

use std::collections::BTreeMap;

/// Beginnings of columns that every row of a report has, 2.0 and legacy.
const LINE_ITEM: [&str; 2] = ["line_item_", "lineItem/"];
/// Prefixes of the keys of users within the column of tags.
const OF_USERS: [&str; 2] = ["user_", "user:"];
/// Prefixes of legacy columns with one tag each, the longest first.
const OF_COLUMNS: [&str; 3] = ["resourceTags/user:", "resource_tags_user_", "resourceTags/"];

/// Adds the tags of a report's row under their own keys. Keys that are there already keep their values, and tags under a key with
/// its prefix stay.
pub(super) fn add_plain(tags: &mut BTreeMap<String, String>, columns: &BTreeMap<String, String>) {
    if !columns.keys().any(|name| LINE_ITEM.iter().any(|start| name.starts_with(start))) {
        return;
    }
    let of_tags = tags.iter().filter_map(|(key, value)| Some((without(&OF_USERS, key)?, value)));
    let of_columns = columns.iter().filter_map(|(name, value)| Some((without(&OF_COLUMNS, name)?, value)));
    let found: Vec<(String, String)> =
        of_tags.chain(of_columns).map(|(key, value)| (key.to_owned(), value.clone())).collect();
    for (key, value) in found {
        tags.entry(key).or_insert(value);
    }
}

/// The key without the first of the prefixes that it has; `None` without any, or where nothing is left.
fn without<'a>(prefixes: &[&str], key: &'a str) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| key.strip_prefix(prefix)).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn map(pairs: Pairs<'_>) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn check(tags: Pairs<'_>, columns: Pairs<'_>, expected: Pairs<'_>) {
        let mut found = map(tags);
        add_plain(&mut found, &map(columns));
        assert_eq!(found, map(expected), "{tags:?} {columns:?}");
    }

    #[test]
    fn tags_of_a_report_have_their_own_keys() {
        let report = ("line_item_line_item_type", "Usage");
        check(&[("user_team", "core")], &[report], &[("team", "core"), ("user_team", "core")]);
        check(&[("user:team", "core")], &[report], &[("team", "core"), ("user:team", "core")]);
        check(
            &[("team", "own"), ("user_team", "other")],
            &[report],
            &[("team", "own"), ("user_team", "other")],
        );
        check(&[("user_", "x"), ("users", "y")], &[report], &[("user_", "x"), ("users", "y")]);
    }

    #[test]
    fn columns_of_legacy_reports_are_tags() {
        let columns = [("lineItem/LineItemType", "Usage"), ("resourceTags/user:team", "core")];
        check(&[], &columns, &[("team", "core")]);
        let columns = [("lineItem/LineItemType", "Usage"), ("resourceTags/aws:createdBy", "ada")];
        check(&[], &columns, &[("aws:createdBy", "ada")]);
        let columns = [("line_item_line_item_type", "Usage"), ("resource_tags_user_team", "core")];
        check(&[], &columns, &[("team", "core")]);
    }

    #[test]
    fn tags_of_other_bills_stay_as_they_are() {
        check(&[("user_team", "core")], &[("x_Team", "core")], &[("user_team", "core")]);
        check(&[], &[("resourceTags/user:team", "core")], &[]);
    }
}
