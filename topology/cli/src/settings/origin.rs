//! The settings that a process was started with, to tell when it has to be started again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sinks::postgres::Login;

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
        let hash_of = |path: &PathBuf| {
            let content = std::fs::read(folder.join(path)).ok()?;
            Some(hex(&Sha256::digest(content)))
        };
        let contents: Vec<Option<String>> = read_once(settings)?.iter().map(hash_of).collect();
        Ok(Self {
            folder: folder.to_owned(),
            is_set: serde_json::to_value(settings)? != serde_json::to_value(Settings::default())?,
            hash: hex(&Sha256::digest(serde_json::to_vec(&(fixed, contents))?)),
        })
    }

    /// Whether a process that was started with these settings has others than `now`.
    pub(crate) fn differs_from(&self, now: &Self) -> bool {
        self.hash != now.hash || (self.folder != now.folder && (self.is_set || now.is_set))
    }
}

/// Files whose content a process reads when it starts; others it watches, or reads for each use.
fn read_once(settings: &Settings) -> anyhow::Result<Vec<PathBuf>> {
    let Settings { api_keys, audit, prices, client, siem, gateway, database, .. } = settings;
    let named = [
        &api_keys.pepper_file,
        &api_keys.previous_pepper_file,
        &audit.subject_secret_file,
        &audit.signing_key_file,
        &prices.file,
        &client.ca_certificate,
        &siem.sinks_file,
        &gateway.github_webhook_secrets_file,
    ];
    let passwords = Login::ALL.into_iter().filter_map(|login| database.password(login).1);
    let mut files: Vec<PathBuf> = named.into_iter().flatten().chain(passwords).cloned().collect();
    files.extend(settings.sinks()?.into_iter().filter_map(|sink| sink.ca_certificate));
    Ok(files)
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
    fn settings_differ_by_files_that_a_process_reads_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let check = |differs: bool, setting: &str| {
            let with = |content: &str| {
                std::fs::write(&file, content).expect("written");
                let path = folder.path().to_str().expect("UTF-8");
                origin(path, &setting.replace("FILE", file.to_str().expect("UTF-8")))
            };
            // Every kind of file may hold these: a comment of TOML.
            let (started, same, now) = (with("# a"), with("# a"), with("# b"));
            assert!(!started.differs_from(&same), "{setting}");
            assert_eq!(started.differs_from(&now), differs, "{setting}");
        };
        for setting in [
            "api_keys.pepper_file = \"FILE\"",
            "api_keys.previous_pepper_file = \"file\"",
            "audit.subject_secret_file = \"FILE\"",
            "audit.signing_key_file = \"FILE\"",
            "prices.file = \"file\"",
            "client.ca_certificate = \"FILE\"",
            "gateway.github_webhook_secrets_file = \"FILE\"",
            "database.stages_password_file = \"FILE\"",
            "[[sink]]\nname = \"a\"\nkind = \"splunk_hec\"\nendpoint = \"https://a:8088\"\nsecret = \"s\"\n\
             ca_certificate = \"FILE\"",
        ] {
            check(true, setting);
        }
        for setting in
            ["gateway.tls.key = \"FILE\"", "identity.issuers_file = \"FILE\"", "rules.sigma = \"FILE\""]
        {
            check(false, setting);
        }
    }

    #[test]
    fn a_changed_file_of_sinks_is_another_setting() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sinks.toml");
        let to = |endpoint: &str| {
            let sink = format!("[[sink]]\nname = \"a\"\nkind = \"file\"\nendpoint = \"{endpoint}\"\n");
            std::fs::write(&file, sink).expect("written");
            let path = folder.path().to_str().expect("UTF-8");
            origin(path, &format!("siem.sinks_file = \"{}\"", file.display()))
        };
        assert!(to("a.ndjson").differs_from(&to("b.ndjson")));
    }

    #[test]
    fn no_secret_is_kept() {
        let kept =
            serde_json::to_string(&origin("/a", "[audit]\nsigning_key = \"hunter2\"\n")).expect("JSON");
        assert!(!kept.contains("hunter2"), "{kept}");
    }
}
