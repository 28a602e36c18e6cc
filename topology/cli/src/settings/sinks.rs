//! Settings of the sinks that records are forwarded to.

use std::path::PathBuf;

use anyhow::Context;
use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use siem::settings::{Sink, SinkSettings, checked};

use super::refusal::without_values;

/// `[siem]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Siem {
    /// A file of further `[[sink]]` tables, in TOML or JSON, for processes that run in another folder.
    pub(crate) sinks_file: Option<PathBuf>,
}

/// JSON, whose errors of kinds and names come from the same place as TOML's.
struct Json;

impl Format for Json {
    type Error = serde_json::Error;

    const NAME: &'static str = "JSON";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        serde_json::from_str(text)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sink: Vec<SinkSettings>,
}

/// The sinks as they are written in the settings and in the file that these name.
fn written(named: &[SinkSettings], siem: &Siem) -> anyhow::Result<Vec<SinkSettings>> {
    let mut sinks = named.to_vec();
    if let Some(file) = &siem.sinks_file {
        let read = || format!("the file of sinks, {}, cannot be used", file.display());
        let text = std::fs::read_to_string(file).with_context(read)?;
        let settings = if text.trim_start().starts_with('{') {
            Figment::from(Json::string(&text))
        } else {
            Figment::from(Toml::string(&text))
        };
        let File { sink } = settings.extract().map_err(without_values).with_context(read)?;
        sinks.extend(sink);
    }
    Ok(sinks)
}

/// The sinks, checked.
pub(crate) fn sinks(named: &[SinkSettings], siem: &Siem) -> anyhow::Result<Vec<Sink>> {
    // Splunk counts acknowledgements by a channel of each client's own.
    let channel = uuid::Uuid::new_v4().to_string();
    let origin = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    checked(&written(named, siem)?, &channel, origin.trim())
        .context("the settings of the sinks cannot be used")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_read_from_a_file_in_either_form() {
        let written_in = |text: &str| {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), text).expect("written");
            written(&[], &Siem { sinks_file: Some(file.path().to_owned()) })
        };
        let text = "[[sink]]\nname = \"a\"\nkind = \"file\"\nendpoint = \"copy.ndjson\"\n[[sink]]\nname = \"s\"\n\
                    kind = \"splunk_hec\"\nendpoint = \"https://s:8088\"\nsecret_file = \"token\"\n";
        let sinks = written_in(text).expect("two sinks");
        let json = serde_json::json!({ "sink": sinks }).to_string();
        let names = |sinks: &[SinkSettings]| sinks.iter().map(|sink| sink.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&written_in(&json).expect("the same, as JSON")), ["a", "s"]);
        let error = format!("{:#}", written_in("[[sink]]\nnam = 1\n").expect_err("no such setting"));
        assert!(error.contains("nam"), "{error}");
        for text in ["[[sink]]\nsecret = 7777777\n", "{\"sink\": [{\"secret\": 7777777}]}"] {
            let error = format!("{:#}", written_in(text).expect_err("no text"));
            assert!(error.contains("secret") && !error.contains("7777777"), "{error}");
        }
    }
}
