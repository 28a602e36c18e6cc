//! The evidence packet: one tar archive whose every byte is accounted for.
//!
//! `manifest.json` comes first and names every other file with its length and SHA-256; `manifest.sha256` comes last and
//! pins the manifest. Each `.ndjson` file has a list of its lines' digests beside it, by which a changed line
//! is named. An archive is read only if packing its files again gives the same bytes: nothing hides in
//! headers and padding. `docs/compliance.md` describes the files.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::output::hex;

/// The format's name and version.
pub(crate) const FORMAT: &str = "weir-evidence/1";
/// Largest packet that is written and read, in bytes.
pub(crate) const MAX_PACKET_BYTES: u64 = 4 << 30;

pub(crate) const MANIFEST: &str = "manifest.json";
const MANIFEST_DIGEST: &str = "manifest.sha256";
/// Posture, controls and the number of resources.
pub(crate) const POSTURE: &str = "posture.json";
/// One verdict a line, as `GET /api/v1/compliance/verdicts` answers it.
pub(crate) const VERDICTS: &str = "verdicts.ndjson";
/// One waiver a line, as `GET /api/v1/compliance/waivers` answers it.
pub(crate) const WAIVERS: &str = "waivers.ndjson";
/// One entry of the audit log a line, with its proof of inclusion.
pub(crate) const ENTRIES: &str = "entries.ndjson";
/// One signed checkpoint a line: the log and the note.
pub(crate) const CHECKPOINTS: &str = "checkpoints.ndjson";
/// One file of the policy set a line: its name and text.
pub(crate) const POLICIES: &str = "policies.ndjson";
/// The public keys of the log.
pub(crate) const KEYS: &str = "log-keys.txt";
/// The report for people.
pub(crate) const REPORT: &str = "report.html";

/// The content of a packet, and the files that hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: String,
    pub(crate) framework: String,
    pub(crate) as_of: String,
    pub(crate) project: Option<String>,
    /// Tenant of the resources; absent where there is no verdict.
    pub(crate) tenant: Option<String>,
    pub(crate) made_at: String,
    pub(crate) made_by: String,
    pub(crate) verdicts: u64,
    pub(crate) entries: u64,
    /// Events of verdicts and waivers that the audit log had no proof for.
    pub(crate) unproven: Vec<Uuid>,
    /// Versions of policies that gave a verdict and are no longer in force: `id@hash`. Their verdicts cannot
    /// be judged anew.
    pub(crate) policies_without_text: Vec<String>,
    pub(crate) files: Vec<FileDigest>,
}

/// One file of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileDigest {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// The signed checkpoint of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogCheckpoint {
    pub(crate) log: String,
    pub(crate) note: String,
}

/// One file of a policy set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyText {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A place in a packet that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// The file, and where it can be told the line.
    pub(crate) place: String,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, place: place.into(), detail: detail.into() }
    }
}

/// Fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    /// The archive itself: a header, padding, the end.
    Archive,
    /// The manifest, or what it says of the packet.
    Manifest,
    /// A file has other bytes than the manifest says.
    Digest,
    /// A file that cannot be read as what it is.
    Content,
    /// A checkpoint is not signed by a key of the log.
    Checkpoint,
    /// An entry is not the one that its log has.
    Entry,
    /// A verdict does not follow from its entry.
    Verdict,
    /// A waiver does not follow from its entries, or does not cover the verdict.
    Waiver,
    /// An event without a proof.
    Unproven,
}

/// The files of a packet, by name.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    pub(crate) fn add(&mut self, name: &str, bytes: Vec<u8>) {
        self.0.insert(name.to_owned(), bytes);
    }

    /// Adds a file of lines, and the digests of its lines.
    pub(crate) fn add_lines<T: Serialize>(&mut self, name: &str, lines: &[T]) -> serde_json::Result<()> {
        let (mut bytes, mut digests) = (Vec::new(), String::new());
        for line in lines {
            let line = serde_json::to_vec(line)?;
            digests.push_str(&digest(&line));
            digests.push('\n');
            bytes.extend(line);
            bytes.push(b'\n');
        }
        self.add(name, bytes);
        self.add(&digests_of(name), digests.into_bytes());
        Ok(())
    }

    /// A file's bytes; empty where there is none.
    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Lines of a file with their places, from 1.
    pub(crate) fn lines<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, Fault> {
        let lines = self.bytes(name).split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .enumerate()
            .map(|(place, line)| {
                serde_json::from_slice(line).map_err(|error| {
                    Fault::new(FaultKind::Content, format!("{name}:{}", place + 1), error.to_string())
                })
            })
            .collect()
    }
}

/// Packs the files: the bytes of the packet, and the digest of its manifest.
pub(crate) fn pack(files: &Files, manifest: Manifest) -> anyhow::Result<(Vec<u8>, String)> {
    let digests = files.0.iter().map(|(path, bytes)| FileDigest {
        path: path.clone(),
        bytes: bytes.len() as u64,
        sha256: digest(bytes),
    });
    let manifest = Manifest { files: digests.collect(), ..manifest };
    let manifest = serde_json::to_vec(&manifest)?;
    let pinned = digest(&manifest);
    let of_manifest = format!("{pinned}\n");
    let mut all: Vec<(&str, &[u8])> = vec![(MANIFEST, &manifest)];
    all.extend(files.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    all.push((MANIFEST_DIGEST, of_manifest.as_bytes()));
    Ok((archive(all)?, pinned))
}

/// The archive of files in their order: modes, owners and times are always the same.
fn archive<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, path, bytes)?;
    }
    archive.into_inner()
}

/// Whether the bytes begin as those of a packet do, be one of them another.
pub(crate) fn is_packet(bytes: &[u8]) -> bool {
    let begins = format!("{{\"format\":\"{FORMAT}\"");
    bytes.starts_with(MANIFEST.as_bytes())
        || bytes.get(512..).is_some_and(|content| content.starts_with(begins.as_bytes()))
}

/// A packet as it was read: its files, its manifest, and the digest of the manifest.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) files: Files,
    pub(crate) manifest: Manifest,
    pub(crate) manifest_sha256: String,
}

/// Reads a packet, and names every byte that is not as it was written.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Packet, Vec<Fault>> {
    let mut found = members(bytes).map_err(|fault| vec![fault])?;
    let order: Vec<(&str, &[u8])> =
        found.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let again =
        archive(order).map_err(|error| vec![Fault::new(FaultKind::Archive, "archive", error.to_string())])?;
    let differs = again.iter().zip(bytes).position(|(again, given)| again != given);
    let differs = differs.or((again.len() != bytes.len()).then_some(again.len().min(bytes.len())));
    let mut faults: Vec<Fault> = differs
        .map(|at| {
            Fault::new(
                FaultKind::Archive,
                format!("byte {at}"),
                format!("a header or padding near {} differs", near(&found, at)),
            )
        })
        .into_iter()
        .collect();
    let last = found.pop().filter(|(name, _)| name == MANIFEST_DIGEST);
    let first =
        if found.is_empty() { None } else { Some(found.remove(0)) }.filter(|(name, _)| name == MANIFEST);
    let (Some((_, manifest)), Some((_, pinned))) = (first, last) else {
        let detail = format!("the archive does not begin with {MANIFEST} and end with {MANIFEST_DIGEST}");
        faults.push(Fault::new(FaultKind::Archive, "archive", detail));
        return Err(faults);
    };
    let manifest_sha256 = digest(&manifest);
    if format!("{manifest_sha256}\n").as_bytes() != pinned {
        let detail = format!("it has not the digest that {MANIFEST_DIGEST} says, or that file was changed");
        faults.push(Fault::new(FaultKind::Manifest, MANIFEST, detail));
    }
    let manifest: Manifest = match serde_json::from_slice(&manifest) {
        Ok(manifest) => manifest,
        Err(error) => {
            faults.push(Fault::new(FaultKind::Manifest, MANIFEST, error.to_string()));
            return Err(faults);
        }
    };
    if manifest.format != FORMAT {
        faults.push(Fault::new(
            FaultKind::Manifest,
            MANIFEST,
            format!("the format is {:?}, not {FORMAT:?}", manifest.format),
        ));
    }
    let files = Files(found.into_iter().collect());
    faults.extend(changed(&files, &manifest));
    if faults.is_empty() { Ok(Packet { files, manifest, manifest_sha256 }) } else { Err(faults) }
}

fn members(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let mut archive = tar::Archive::new(bytes);
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    let fault = |found: &[(String, Vec<u8>)], error: &io::Error| {
        let after = found.last().map_or("the beginning", |(name, _)| name.as_str());
        Fault::new(FaultKind::Archive, format!("archive, after {after}"), error.to_string())
    };
    for entry in archive.entries().map_err(|error| fault(&[], &error))? {
        let mut entry = entry.map_err(|error| fault(&found, &error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| fault(&found, &error))?;
        found.push((name, content));
    }
    Ok(found)
}

/// The file in whose block of the archive a byte lies.
fn near(found: &[(String, Vec<u8>)], at: usize) -> &str {
    let mut end = 0;
    for (name, bytes) in found {
        end += 512 + bytes.len().next_multiple_of(512);
        if at < end {
            return name;
        }
    }
    "the end of the archive"
}

/// Files that are not as the manifest says.
fn changed(files: &Files, manifest: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    for one in &manifest.files {
        match files.0.get(&one.path) {
            None => faults.push(Fault::new(FaultKind::Digest, &one.path, "the file is missing")),
            Some(bytes) if digest(bytes) != one.sha256 || bytes.len() as u64 != one.bytes => {
                faults.extend(changed_lines(files, &one.path, bytes));
            }
            Some(_) => {}
        }
    }
    let named = |name: &String| manifest.files.iter().any(|one| one.path == *name);
    let unexpected = files.0.keys().filter(|name| !named(name));
    faults.extend(
        unexpected.map(|name| Fault::new(FaultKind::Digest, name, "the manifest names no such file")),
    );
    faults
}

/// The lines of a file that have another digest than they had; the file itself where they cannot be told.
fn changed_lines(files: &Files, name: &str, bytes: &[u8]) -> Vec<Fault> {
    let whole = || vec![Fault::new(FaultKind::Digest, name, "it has other bytes than the manifest says")];
    let Ok(digests) = std::str::from_utf8(files.bytes(&digests_of(name))) else { return whole() };
    let lines: Vec<&[u8]> = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n').collect();
    if digests.lines().count() != lines.len() {
        return whole();
    }
    let differs = lines.iter().zip(digests.lines()).enumerate();
    let faults: Vec<Fault> = differs
        .filter(|(_, (line, known))| digest(line) != **known)
        .map(|(place, _)| {
            let detail = "the line has other bytes than when the packet was made";
            Fault::new(FaultKind::Digest, format!("{name}:{}", place + 1), detail)
        })
        .collect();
    if faults.is_empty() { whole() } else { faults }
}

fn digests_of(name: &str) -> String {
    format!("{name}.sha256")
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
