//! The files of policy sets and of documents.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use policies::{Fault, MAX_DOCUMENT_BYTES};
use producers::sources::decoded_text;

use crate::{folder, output::note, settings::Settings};

/// Longest file of a policy set, in bytes.
const MAX_POLICY_BYTES: u64 = 4 << 20;
/// Most faults that are named where they are not what was asked for.
const MAX_NAMED: usize = 5;

/// The texts of policy sets, by name.
pub(crate) struct Files {
    texts: BTreeMap<String, String>,
    unreadable: Vec<String>,
}

impl Files {
    /// The files of folders; without any, Weir's own policies and the folders of the settings.
    pub(super) fn of(folders: &[PathBuf], with_own: bool) -> anyhow::Result<Self> {
        let settings = Settings::load()?.policies;
        let files = if folders.is_empty() {
            Self::read(&settings.folders(), settings.own || with_own)?
        } else {
            Self::read(folders, with_own)?
        };
        if files.texts.is_empty() && files.unreadable.is_empty() {
            bail!("there is no policy: no file ends with .rego, .yaml, .yml or .json");
        }
        Ok(files)
    }

    /// The files of folders, and Weir's own policies.
    pub(super) fn read(folders: &[PathBuf], with_own: bool) -> anyhow::Result<Self> {
        let mut files = Self { texts: BTreeMap::new(), unreadable: Vec::new() };
        if with_own {
            let own = policies::own().into_iter();
            files.texts.extend(own.map(|(name, text)| (format!("weir/{name}"), text.to_owned())));
        }
        for folder in folders {
            files.add(folder, folders.len() > 1)?;
        }
        Ok(files)
    }

    fn add(&mut self, path: &Path, is_one_of_many: bool) -> anyhow::Result<()> {
        let metadata = fs::metadata(path)
            .with_context(|| format!("{} cannot be read; name a folder of policies", path.display()))?;
        let found = if metadata.is_dir() { policy_files(path)? } else { vec![path.to_owned()] };
        for file in found {
            let below = file.strip_prefix(path).ok().filter(|below| !below.as_os_str().is_empty());
            let name = match below {
                Some(below) if is_one_of_many => path.join(below),
                Some(below) => below.to_owned(),
                None => PathBuf::from(file.file_name().unwrap_or(file.as_os_str())),
            };
            let name = name.to_string_lossy().into_owned();
            match read(&file, MAX_POLICY_BYTES).and_then(decoded) {
                Ok(text) => drop(self.texts.insert(name, text)),
                Err(reason) => self.unreadable.push(format!("{name}: {reason}")),
            }
        }
        Ok(())
    }

    /// Names and texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The text of one file.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Files that could not be read, with the reason.
    pub(super) fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Says on stderr what is left out, where the command is about something else.
    pub(super) fn warn_about(&self, faults: &[Fault]) {
        let all: Vec<_> =
            self.unreadable.iter().cloned().chain(faults.iter().map(ToString::to_string)).collect();
        for fault in all.iter().take(MAX_NAMED) {
            note(&format!("left out: {fault}"));
        }
        if all.len() > MAX_NAMED {
            note(&format!("and {} more; `weir policy check` names them all", all.len() - MAX_NAMED));
        }
    }
}

/// The files of a policy set below a folder.
pub(super) fn policy_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    files_below(folder, &["rego", "yaml", "yml", "json"])
}

/// The files below a folder with one of the extensions, in any case.
pub(crate) fn files_below(folder: &Path, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    folder::files_below(folder, |found| extensions.iter().any(|one| found.eq_ignore_ascii_case(one)))
}

/// A document's text; `-` is standard input. `terraform show -json` on Windows is written as UTF-16.
pub(crate) fn document(path: &Path) -> Result<String, String> {
    let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("standard input cannot be read: {error}"))?;
        bytes
    } else {
        read(path, most)?
    };
    if bytes.starts_with(b"PK\x03\x04") {
        let advice = "it is a plan in Terraform's own form; run `terraform show -json PLANFILE` with it";
        return Err(advice.to_owned());
    }
    let text = decoded_text(&bytes).ok_or("it is neither UTF-8 nor UTF-16")?;
    if text.trim_start().starts_with("{{") {
        return Err("it is a template; render it first, for example with `helm template`".to_owned());
    }
    Ok(text)
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if metadata.len() > most {
        return Err(format!("it has {} bytes, more than {most}", metadata.len()));
    }
    fs::read(path).map_err(unreadable)
}

fn decoded(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
