//! Errors of settings without the values, any of which may be a secret.

use figment::error::{Actual, Kind};

/// The errors, each without the value that it is about and the line of the file that holds it.
pub(super) fn without_values(error: figment::Error) -> anyhow::Error {
    let told = error.into_iter().map(|mut error| {
        error.kind = match error.kind {
            Kind::InvalidType(found, expected) => Kind::InvalidType(kind_of(found), expected),
            Kind::InvalidValue(found, expected) => Kind::InvalidValue(kind_of(found), expected),
            Kind::Unsupported(found) => Kind::Unsupported(kind_of(found)),
            Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => {
                Kind::Message("a number is out of range".to_owned())
            }
            Kind::Message(text) => Kind::Message(without_lines(&text)),
            kind => kind,
        };
        error.to_string()
    });
    anyhow::Error::msg(told.collect::<Vec<_>>().join("\n"))
}

/// The kind of a value, in place of the value.
fn kind_of(found: Actual) -> Actual {
    let kind = match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "a text",
        other => return other,
    };
    Actual::Other(kind.to_owned())
}

/// What a parser says, but for the line of the file that it shows between bars.
fn without_lines(text: &str) -> String {
    let is_said =
        |line: &&str| !line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    text.lines().filter(is_said).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format as _, Serialized, Toml},
    };

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn an_error_about_a_secret_names_its_key_or_its_line_and_not_the_secret() {
        for (text, told) in [
            ("[api_keys]\npepper = 77777777\n", "api_keys.pepper"),
            ("[api_keys]\npepper = [\"hunter2\"]\n", "api_keys.pepper"),
            ("[database]\nstages_password = 7.7777777\n", "database.stages_password"),
            ("[gateway]\ngithub_webhook_secrets = \"hunter2\"\n", "gateway.github_webhook_secrets"),
            ("[audit]\nsigning_key = \"hunter2\n", "line 2"),
            ("[audit]\nsigning_key = hunter2\n", "line 2"),
            ("[[sink]]\nname = \"a\"\nkind = \"webhook\"\nsecret = 77777777\n", "secret"),
        ] {
            let settings = Figment::from(Serialized::defaults(Settings::default())).merge(Toml::string(text));
            let error = without_values(settings.extract::<Settings>().expect_err(text)).to_string();
            assert!(error.contains(told), "{text}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("7777777"), "{error}");
        }
    }
}
