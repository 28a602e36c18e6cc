//! `stack.json`: which servers run, so that any process can join or stop them.

use super::StackError;
use super::fetch::Part;
use super::folder::create_private;
use super::process::ProcessId;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Raised when a field changes its meaning: an older file is refused, not misread.
const VERSION: u32 = 1;

/// Every server that this home has started.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct State {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kafka: Option<Server>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    postgres: Option<Server>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registry: Option<Server>,
}

/// One server: as it runs, or as it last ran.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Server {
    /// None after it was stopped: its ports are kept for the next start.
    pub(super) process: Option<ProcessId>,
    /// Port that clients connect to, on 127.0.0.1.
    pub(super) port: u16,
    /// Kafka's second listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) controller_port: Option<u16>,
    /// Everything that `--purge` deletes.
    pub(super) folder: PathBuf,
    /// The log of this start.
    pub(super) log: PathBuf,
    /// Folder of its programs, to stop it with those that started it.
    pub(super) programs: PathBuf,
}

impl Server {
    pub(super) fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(ProcessId::is_alive)
    }
}

impl State {
    fn empty() -> Self {
        Self { version: VERSION, kafka: None, postgres: None, registry: None }
    }

    /// Reads the state file; empty if there is none yet.
    pub(super) fn load(path: &Path) -> Result<Self, StackError> {
        match fs::read_to_string(path) {
            Ok(text) => {
                Self::parse(&text).map_err(|reason| StackError::State { path: path.to_owned(), reason })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::empty()),
            Err(error) => Err(StackError::io("read", path)(error)),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let state: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if state.version == VERSION {
            Ok(state)
        } else {
            Err(format!("it has version {}, this program writes {VERSION}", state.version))
        }
    }

    /// Replaces the file whole: a reader never sees half of it.
    pub(super) fn save(&self, path: &Path) -> Result<(), StackError> {
        let draft = path.with_extension("new");
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| StackError::State { path: path.to_owned(), reason: error.to_string() })?;
        let written = create_private(&draft).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(StackError::io("write", &draft))?;
        fs::rename(&draft, path).map_err(StackError::io("replace", path))
    }

    pub(super) fn get(&self, part: Part) -> Option<&Server> {
        match part {
            Part::Kafka => self.kafka.as_ref(),
            Part::Postgres => self.postgres.as_ref(),
            Part::Registry => self.registry.as_ref(),
        }
    }

    pub(super) fn set(&mut self, part: Part, server: Server) {
        match part {
            Part::Kafka => self.kafka = Some(server),
            Part::Postgres => self.postgres = Some(server),
            Part::Registry => self.registry = Some(server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server {
            process: ProcessId::of(i32::try_from(std::process::id()).expect("a process id")),
            port: 21_000,
            controller_port: Some(21_001),
            folder: PathBuf::from("/home/kafka"),
            log: PathBuf::from("/home/kafka/logs/1.log"),
            programs: PathBuf::from("/servers/kafka"),
        }
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let home = tempfile::tempdir().expect("a folder");
        let file = home.path().join("stack.json");
        assert_eq!(State::load(&file).expect("nothing yet"), State::empty());
        let mut state = State::empty();
        state.set(Part::Kafka, server());
        state.save(&file).expect("saved");
        let loaded = State::load(&file).expect("loaded");
        assert_eq!(loaded, state);
        assert!(loaded.get(Part::Kafka).expect("kafka").is_alive());
        assert!(loaded.get(Part::Postgres).is_none());
    }

    #[test]
    fn a_reused_process_id_is_not_our_server() {
        let mut server = server();
        let text = serde_json::to_string(&server.process).expect("json");
        let earlier = text.replace("\"started\":\"", "\"started\":\"9");
        server.process = serde_json::from_str(&earlier).expect("an earlier process with our id");
        assert!(!server.is_alive());
    }

    #[test]
    fn a_damaged_or_foreign_file_is_refused_with_its_path() {
        let home = tempfile::tempdir().expect("a folder");
        for (text, reason) in [("{\"version\":1,", "EOF"), ("{\"version\":7}", "version 7"), ("", "EOF")] {
            let file = home.path().join("stack.json");
            fs::write(&file, text).expect("written");
            let error = State::load(&file).expect_err("refused").to_string();
            assert!(error.contains("stack.json") && error.contains(reason), "{error}");
        }
    }
}
