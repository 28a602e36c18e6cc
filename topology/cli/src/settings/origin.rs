//! The settings that a process was started with, to tell when it has to be started again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Settings;
use crate::output::hex;

/// The settings that a process was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Folder whose `weir.toml` it reads, and to which its relative paths are relative.
    folder: PathBuf,
    /// Whether anything is set.
    is_set: bool,
    /// Hash of what is read once, when the process starts.
    hash: String,
}

impl Origin {
    /// The settings as they are read in the folder.
    pub(crate) fn of(settings: &Settings, folder: &Path) -> anyhow::Result<Self> {
        // A process reads its issuers again while it runs.
        let fixed = Settings { issuer: Vec::new(), ..settings.clone() };
        Ok(Self {
            folder: folder.to_owned(),
            is_set: serde_json::to_value(settings)? != serde_json::to_value(Settings::default())?,
            hash: hex(&Sha256::digest(serde_json::to_vec(&fixed)?)),
        })
    }

    /// Whether a process that was started with these settings has others than `now`.
    pub(crate) fn differs_from(&self, now: &Self) -> bool {
        self.hash != now.hash || (self.folder != now.folder && (self.is_set || now.is_set))
    }
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format as _, Serialized, Toml},
    };

    use super::*;

    fn origin(folder: &str, text: &str) -> Origin {
        let settings: Settings = Figment::from(Serialized::defaults(Settings::default()))
            .merge(Toml::string(text))
            .extract()
            .expect("settings");
        Origin::of(&settings, Path::new(folder)).expect("a hash")
    }

    #[test]
    fn settings_differ_by_what_a_process_reads_once() {
        const RULES: &str = "[rules]\nsigma = \"rules\"\n";
        const ISSUER: &str = "[[issuer]]\nissuer = \"https://id.example.com\"\naudiences = [\"weir\"]\n";
        let check = |differs: bool, (folder, text): (&str, &str), (later, then): (&str, &str)| {
            let (started, now) = (origin(folder, text), origin(later, then));
            assert_eq!(started.differs_from(&now), differs, "{folder} {text:?}, {later} {then:?}");
        };
        check(false, ("/a", RULES), ("/a", RULES));
        check(false, ("/a", ""), ("/b", ""));
        check(false, ("/a", RULES), ("/a", &format!("{RULES}{ISSUER}")));
        check(true, ("/a", RULES), ("/a", ""));
        check(true, ("/a", RULES), ("/b", RULES));
        check(true, ("/a", ISSUER), ("/b", ""));
        check(true, ("/a", ""), ("/a", "[prices]\nfile = \"prices.csv\"\n"));
    }

    #[test]
    fn no_secret_is_kept() {
        let kept =
            serde_json::to_string(&origin("/a", "[audit]\nsigning_key = \"hunter2\"\n")).expect("JSON");
        assert!(!kept.contains("hunter2"), "{kept}");
    }
}
