//! The journal of an import: the files that are published and acknowledged, and how far long ones are, one JSON line
//! each.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use schemas::TenantId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Counts, ImportError, Start, StateOptions,
    walk::{FoundFile, path_text},
};
use crate::sources::{SourceFormat, focus::Delivery};

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// [`path_text`] of the file.
    path: String,
    bytes: u64,
    modified_ns: u64,
    /// Whether the file is not finished: the counts are those of its first records.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    partly: bool,
    #[serde(flatten)]
    counts: Counts,
}

/// Part of a file that an earlier, interrupted import published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    bytes: u64,
    modified_ns: u64,
    /// Whether it published only the first records.
    pub(super) partly: bool,
    /// Counts of its records.
    pub(super) counts: Counts,
}

impl Published {
    /// Whether the file is still the same.
    fn is_of(&self, file: &FoundFile) -> bool {
        (self.bytes, self.modified_ns) == (file.bytes, file.modified_ns)
    }
}

/// Identity of an import: format, tenant, paths and destination.
#[derive(Debug)]
pub(super) struct Whose<'a> {
    pub(super) format: SourceFormat,
    pub(super) tenant: &'a TenantId,
    pub(super) delivery: Delivery,
    pub(super) state: &'a StateOptions,
    pub(super) destination: &'a str,
}

/// The journal of one import; its file name identifies format, tenant, paths and destination.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

/// Files that an earlier, interrupted import published, whole or partly.
#[derive(Debug, Default)]
pub(super) struct Done(HashMap<String, Published>);

impl Done {
    /// The published part of a file, if the file is still the same.
    pub(super) fn of(&self, file: &FoundFile) -> Option<Published> {
        self.0.get(&path_text(&file.path)).copied().filter(|published| published.is_of(file))
    }
}

impl Journal {
    pub(super) fn open(
        state_dir: &Path,
        start: Start,
        whose: &Whose<'_>,
        paths: &[PathBuf],
    ) -> Result<(Self, Done), ImportError> {
        let path = state_dir.join(name_of(whose, paths));
        let opened = (|| {
            fs::create_dir_all(state_dir)?;
            let done = if start == Start::Resumed { read(&path)? } else { Done::default() };
            let mut options = File::options();
            options.create(true);
            match start {
                Start::Over => options.write(true).truncate(true),
                Start::Resumed => options.append(true),
            };
            let mut file = options.open(&path)?;
            if start == Start::Resumed {
                // A line that a crash cut short must not swallow the next.
                file.write_all(b"\n")?;
            }
            Ok((file, done))
        })();
        match opened {
            Ok((file, done)) => Ok((Self { path, file }, done)),
            Err(source) => Err(ImportError::Journal { path, source }),
        }
    }

    /// Records a file whose records are all acknowledged; or, partly, all of those that these counts count.
    pub(super) fn note(&mut self, file: &FoundFile, partly: bool, counts: Counts) -> Result<(), ImportError> {
        let path = path_text(&file.path);
        let FoundFile { bytes, modified_ns, .. } = *file;
        let written = serde_json::to_vec(&Line { path, bytes, modified_ns, partly, counts })
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                self.file.write_all(&line)
            });
        written.map_err(|source| ImportError::Journal { path: self.path.clone(), source })
    }

    /// Removes the journal of a finished import.
    pub(super) fn remove(self) -> Result<(), ImportError> {
        fs::remove_file(&self.path).map_err(|source| ImportError::Journal { path: self.path, source })
    }
}

fn name_of(whose: &Whose<'_>, paths: &[PathBuf]) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(whose.tenant.as_str().as_bytes());
    part(whose.destination.as_bytes());
    if whose.delivery != Delivery::default() {
        part(format!("{:?}", whose.delivery).as_bytes());
    }
    if *whose.state != StateOptions::default() {
        part(format!("{:?}", whose.state).as_bytes());
    }
    for path in paths {
        let full = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        part(full.as_os_str().as_encoded_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    format!("import-{}-{:016x}.jsonl", whose.format.name(), u64::from_be_bytes(first))
}

fn read(path: &Path) -> io::Result<Done> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Done::default()),
        Err(error) => return Err(error),
    };
    let mut done = HashMap::new();
    for line in BufReader::new(file).split(b'\n') {
        // A line that was cut short, perhaps within a character, names a file that is simply read again.
        if let Ok(Line { path, bytes, modified_ns, partly, counts }) = serde_json::from_slice(&line?) {
            done.insert(path, Published { bytes, modified_ns, partly, counts });
        }
    }
    Ok(Done(done))
}
