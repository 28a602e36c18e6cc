//! `WEIR_SECTION__KEY`: settings of the environment.

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Env, Serialized},
    value::{Dict, Map, Value},
};
use serde_json::Value as Json;

use super::Settings;

/// Settings of the environment, by their keys. A text is taken as it is: the digits of a password are no number.
pub(super) struct Environment(Vec<(String, String)>);

impl Environment {
    /// Reads the variables.
    pub(super) fn read() -> Self {
        // The section is what stands before the double underscore; WEIR_HOME and its like have none.
        let variables = Env::prefixed("WEIR_").filter(|key| key.as_str().contains("__")).split("__");
        Self(variables.iter().map(|(key, text)| (key.as_str().to_owned(), text)).collect())
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named("the environment").interpolater(|_: &Profile, keys: &[&str]| {
            format!("WEIR_{}", keys.join("__").to_ascii_uppercase())
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let defaults = serde_json::to_value(Settings::default())
            .map_err(|error| figment::Error::from(error.to_string()))?;
        let set = self.0.iter().fold(Figment::new(), |settings, (key, text)| {
            settings.merge(Serialized::default(key, value(text, default_of(&defaults, key))))
        });
        // Made anew: an error names the variable of a value that has no other origin.
        Serialized::defaults(set.extract::<Dict>()?).data()
    }
}

fn default_of<'a>(defaults: &'a Json, key: &str) -> Option<&'a Json> {
    key.split('.').try_fold(defaults, |section, name| section.get(name))
}

/// The value of a setting that has this default, or of one that a table of any names has.
fn value(text: &str, default: Option<&Json>) -> Value {
    let Ok(read) = text.parse::<Value>();
    let is_text = match default {
        Some(Json::Bool(_) | Json::Number(_) | Json::Object(_)) => false,
        // A text, or a list of them.
        Some(Json::Array(_)) | None => !matches!(read, Value::Array(..)),
        Some(Json::Null | Json::String(_)) => true,
    };
    if is_text && !matches!(read, Value::String(..)) { Value::from(text) } else { read }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::settings::{reference::keys, refusal::without_values};

    fn settings(key: &str, text: &str) -> anyhow::Result<Json> {
        let environment = Environment(vec![(key.to_owned(), text.to_owned())]);
        let settings = Figment::from(Serialized::defaults(Settings::default())).merge(environment);
        Ok(serde_json::to_value(settings.extract::<Settings>().map_err(without_values)?)?)
    }

    #[test]
    fn a_text_is_what_the_environment_has() {
        let defaults = serde_json::to_value(Settings::default()).expect("JSON");
        let mut all = BTreeSet::new();
        keys("", &defaults, &mut all);
        all.retain(|key| default_of(&defaults, key) == Some(&Json::Null));
        assert!(all.len() > 20, "{all:?}");
        for key in &all {
            for text in
                ["0123", "1234567890123456", "-7", "1.50", "1e5", "true", "[a]", "{a=1}", "a,b", "text"]
            {
                let settings = settings(key, text).unwrap_or_else(|error| panic!("{key}={text}: {error:#}"));
                assert_eq!(default_of(&settings, key), Some(&Json::from(text)), "{key}");
            }
        }
    }

    #[test]
    fn lists_numbers_and_switches_are_what_they_are() {
        for (key, text, read) in [
            ("rules.sigma", "2024", Json::from("2024")),
            ("rules.sigma", "[\"a\", \"b\"]", serde_json::json!(["a", "b"])),
            ("gateway.trusted_proxies", "10.0.0.0/8", Json::from("10.0.0.0/8")),
            ("rules.placeholders.admins", "007", Json::from("007")),
            ("gateway.github_webhook_secrets.acme", "0123456789012345", Json::from("0123456789012345")),
            ("gateway.requests_per_minute", "12", Json::from(12)),
            ("rules.own", "false", Json::from(false)),
        ] {
            let settings = settings(key, text).unwrap_or_else(|error| panic!("{key}={text}: {error:#}"));
            assert_eq!(default_of(&settings, key), Some(&read), "{key}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_names_its_variable_and_is_not_shown() {
        for (key, text, variable) in [
            ("gateway.github_webhook_secrets", "hunter2", "WEIR_GATEWAY__GITHUB_WEBHOOK_SECRETS"),
            ("gateway.github_webhook_secrets", "7777777", "WEIR_GATEWAY__GITHUB_WEBHOOK_SECRETS"),
            ("gateway.requests_per_minute", "hunter2", "WEIR_GATEWAY__REQUESTS_PER_MINUTE"),
        ] {
            let error = format!("{:#}", settings(key, text).expect_err(key));
            assert!(error.contains(variable) && !error.contains(text), "{error}");
        }
    }
}
