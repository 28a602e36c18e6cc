//! `docs/configuration.md`, held against the settings.

use std::collections::BTreeSet;

use serde_json::Value;
use siem::settings::SinkSettings;

use super::Settings;

const PAGE: &str = include_str!("../../../../docs/configuration.md");
const EXAMPLE: &str = include_str!("../../../../examples/weir.toml");

/// The names of all settings with their sections, as `weir.toml` has them.
pub(super) fn keys(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                keys(&key, value, into);
            }
        }
        _ => {
            into.insert(prefix.to_owned());
        }
    }
}

#[test]
fn the_page_of_settings_lists_every_setting_and_no_other() {
    let defaults = serde_json::to_value(Settings::default()).expect("JSON");
    let mut settings = BTreeSet::new();
    keys("", &defaults, &mut settings);
    let documented: BTreeSet<String> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.chars().any(char::is_lowercase))
        .collect();
    let missing: Vec<_> = settings.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/configuration.md lacks {missing:?}; the defaults are {defaults}");
    let invented: Vec<_> = documented.difference(&settings).collect();
    assert!(invented.is_empty(), "docs/configuration.md lists {invented:?}, which are no settings");
}

#[test]
fn every_secret_may_be_in_a_file() {
    let mut settings = BTreeSet::new();
    keys("", &serde_json::to_value(Settings::default()).expect("JSON"), &mut settings);
    keys("sink", &serde_json::to_value(SinkSettings::default()).expect("JSON"), &mut settings);
    let is_secret = |key: &&String| {
        ["pepper", "password", "secret", "secrets", "signing_key", "token"]
            .iter()
            .any(|end| key.ends_with(end))
    };
    let secrets: Vec<&String> = settings.iter().filter(is_secret).collect();
    assert!(secrets.len() >= 9, "{secrets:?}");
    for secret in secrets {
        assert!(settings.contains(&format!("{secret}_file")), "{secret} cannot be in a file");
    }
}

#[test]
fn the_example_can_be_used() {
    let settings: Settings =
        figment::Figment::from(<figment::providers::Toml as figment::providers::Format>::string(EXAMPLE))
            .extract()
            .expect("examples/weir.toml has known settings of the right types");
    assert_eq!(settings.gateway.requests_per_minute, 5_000);
}
