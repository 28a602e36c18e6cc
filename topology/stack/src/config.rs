//! Folders of a stack, and the servers that the environment already names.

use super::fetch::Part;
use super::run_as::short_hash;
use super::{Endpoints, StackError};
use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Hears what a start is doing, one line at a time: fetching takes seconds, and people like to know.
type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// One stack: its home, and what it may use instead of starting a server.
#[derive(Clone)]
pub struct StackConfig {
    /// Folder of the stack's data, logs and state.
    pub home: PathBuf,
    /// Folder of fetched servers, for every stack of this user: `WEIR_SERVERS`, else in the shared home.
    pub servers: PathBuf,
    /// Servers that exist already and are not started.
    pub named: Named,
    /// Whether a schema registry is wanted.
    pub registry: Registry,
    /// PostgreSQL binaries to use instead of the pinned ones: the folder that holds `initdb`.
    pub postgres_bin: Option<PathBuf>,
    /// An unpacked Kafka, used where the pinned one cannot be fetched.
    pub kafka_home: Option<PathBuf>,
    /// Settings of the broker beyond the stack's own.
    pub(super) broker: Broker,
    /// The stack whose `down` stops this one too; none for the shared stack itself.
    pub(super) guardian: Option<PathBuf>,
    notice: Notice,
}

/// Servers that are already there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// `KAFKA_BOOTSTRAP_SERVERS`
    pub kafka: Option<String>,
    /// `DATABASE_URL`
    pub database_url: Option<String>,
    /// `SCHEMA_REGISTRY_URL`
    pub registry: Option<String>,
}

/// Settings of a broker beyond the stack's own, for example authentication.
#[derive(Clone, Default)]
pub struct Broker {
    /// Lines of `server.properties` behind the stack's own, which they override. `{port}` and `{controller}`
    /// stand for the ports of the two listeners.
    pub properties: BTreeMap<String, String>,
    /// Settings of librdkafka by which a client of the broker may ask for metadata.
    pub client: BTreeMap<String, String>,
}

/// Whether the stack runs a schema registry of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// Use one if the environment names it, start none.
    OnlyIfNamed,
    /// Start one unless the environment names it.
    Local,
}

impl StackConfig {
    /// The stack that `weir up` and the tests share: at `WEIR_HOME`, else beside the build in the target folder that
    /// this program runs from, else in the user's state folder.
    ///
    /// # Errors [`StackError::NoHome`] where none of the three is known.
    pub fn shared() -> Result<Self, StackError> {
        let home = shared_home()?;
        let named = Named {
            kafka: variable("KAFKA_BOOTSTRAP_SERVERS"),
            database_url: database_url()?,
            registry: variable("SCHEMA_REGISTRY_URL"),
        };
        Ok(Self { named, ..Self::at(home) })
    }

    /// A stack of one's own under `dir`, for tests that stop and kill servers. It uses nothing that the environment
    /// names, shares the fetched servers, and is stopped by the shared stack's `down` too.
    ///
    /// # Errors
    /// [`StackError::NoHome`] as for [`shared`](Self::shared).
    pub fn private(dir: &Path) -> Result<Self, StackError> {
        let shared = shared_home()?;
        let home = std::path::absolute(dir).map_err(StackError::io("resolve", dir))?;
        Ok(Self {
            servers: Self::at(shared.clone()).servers,
            named: Named::default(),
            guardian: Some(shared),
            ..Self::at(home)
        })
    }

    fn at(home: PathBuf) -> Self {
        Self {
            servers: variable("WEIR_SERVERS").map_or_else(|| home.join("servers"), PathBuf::from),
            home,
            named: Named::default(),
            registry: Registry::OnlyIfNamed,
            postgres_bin: variable("WEIR_POSTGRES_BIN").map(PathBuf::from),
            kafka_home: variable("KAFKA_HOME").map(PathBuf::from),
            broker: Broker::default(),
            guardian: None,
            notice: Arc::new(|line| tracing::info!("{line}")),
        }
    }

    /// The same stack with a schema registry of its own.
    #[must_use]
    pub fn with_registry(mut self) -> Self {
        self.registry = Registry::Local;
        self
    }

    /// The same stack with its progress reported to `notice` instead of the log.
    #[must_use]
    pub fn with_notice(mut self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.notice = Arc::new(notice);
        self
    }

    /// The same stack without a broker of its own: `bootstrap_servers` is used.
    #[must_use]
    pub fn with_kafka(mut self, bootstrap_servers: String) -> Self {
        self.named.kafka = Some(bootstrap_servers);
        self
    }

    /// The same stack with other settings of its broker.
    #[must_use]
    pub fn with_broker(mut self, broker: Broker) -> Self {
        self.broker = broker;
        self
    }

    /// Folder of the jars of the local Kafka, with which its own commands run. Fetches them if they are
    /// missing.
    ///
    /// # Errors
    /// [`StackError::NoJava`] and what fetching meets.
    pub fn kafka_jars(&self) -> Result<PathBuf, StackError> {
        Ok(super::fetch::provide(self, &[Part::Kafka])?.kafka)
    }

    pub(super) fn say(&self, line: &str) {
        (self.notice)(line);
    }

    /// State file of the running servers. A private stack's file is kept by its guardian, not in its own
    /// home: if a test is killed, its folder is gone, and its servers must still be found.
    pub(super) fn state_file(&self) -> PathBuf {
        match &self.guardian {
            None => self.home.join("stack.json"),
            Some(guardian) => {
                let name = short_hash(self.home.as_os_str().as_encoded_bytes());
                guardian.join("private").join(name).with_extension("json")
            }
        }
    }

    /// The folder with the state of the stacks that this one is the guardian of.
    pub(super) fn wards(&self) -> PathBuf {
        self.home.join("private")
    }

    /// The servers that this stack runs itself.
    pub(super) fn parts(&self) -> Vec<Part> {
        let registry = self.named.registry.is_none() && self.registry == Registry::Local;
        [
            (Part::Kafka, self.named.kafka.is_none()),
            (Part::Postgres, self.named.database_url.is_none()),
            (Part::Registry, registry),
        ]
        .into_iter()
        .filter_map(|(part, ours)| ours.then_some(part))
        .collect()
    }

    /// Whether this stack runs servers of its own, and the environment names none of Kafka and PostgreSQL.
    pub fn is_local(&self) -> bool {
        self.named.kafka.is_none() && self.named.database_url.is_none()
    }

    /// The endpoints, where there is nothing to start.
    pub(super) fn all_named(&self) -> Option<Endpoints> {
        if !self.parts().is_empty() {
            return None;
        }
        let database_url = self.named.database_url.clone()?;
        Some(Endpoints {
            kafka: self.named.kafka.clone()?,
            maintenance_url: database_url.clone(),
            database_url,
            registry: self.named.registry.clone(),
        })
    }
}

impl fmt::Debug for StackConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `named` stays out: a database URL may hold a password.
        f.debug_struct("StackConfig")
            .field("home", &self.home)
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

fn shared_home() -> Result<PathBuf, StackError> {
    if let Some(home) = variable("WEIR_HOME") {
        return std::path::absolute(&home).map_err(StackError::io("resolve", Path::new(&home)));
    }
    env::current_exe()
        .ok()
        .as_deref()
        .and_then(target_folder)
        .map(|target| target.join("weir"))
        .or_else(|| variable("XDG_STATE_HOME").map(|state| Path::new(&state).join("weir")))
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/state/weir")))
        .ok_or(StackError::NoHome)
}

/// Cargo's target folder above `program`; cargo marks it with one of these files.
fn target_folder(program: &Path) -> Option<&Path> {
    program
        .ancestors()
        .skip(1)
        .find(|dir| dir.join(".rustc_info.json").is_file() || dir.join("CACHEDIR.TAG").is_file())
}

/// Value of `DATABASE_URL`, or content of the file that `DATABASE_URL_FILE` names.
fn database_url() -> Result<Option<String>, StackError> {
    if let Some(url) = variable("DATABASE_URL") {
        return Ok(Some(url));
    }
    let Some(file) = variable("DATABASE_URL_FILE").map(PathBuf::from) else { return Ok(None) };
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(source) => Err(StackError::SecretFile { file, source }),
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_not_started() {
        let config = StackConfig::at(PathBuf::from("/nowhere"));
        assert_eq!(config.parts(), [Part::Kafka, Part::Postgres]);
        assert_eq!(config.clone().with_registry().parts(), [Part::Kafka, Part::Postgres, Part::Registry]);

        let config = config.with_kafka("broker:9092".to_owned());
        assert_eq!(config.parts(), [Part::Postgres]);
        assert_eq!(config.all_named(), None);

        let mut config = config;
        config.named.database_url = Some("postgres://db/weir".to_owned());
        let endpoints = config.all_named().expect("both are named");
        assert_eq!(endpoints.kafka, "broker:9092");
        assert_eq!(endpoints.maintenance_url, "postgres://db/weir");
        assert_eq!(config.with_registry().all_named(), None, "a registry is still to be started");
    }

    #[test]
    fn the_shared_home_is_beside_the_build() {
        let target = tempfile::tempdir().expect("a folder");
        std::fs::write(target.path().join(".rustc_info.json"), "{}").expect("a marker");
        let program = target.path().join("debug/deps/tests-0123");
        assert_eq!(target_folder(&program), Some(target.path()));
        assert_eq!(target_folder(Path::new("/usr/bin/weir")), None);
    }

    #[test]
    fn a_password_is_not_shown() {
        let mut config = StackConfig::at(PathBuf::from("/nowhere"));
        config.named.database_url = Some("postgres://weir:hunter2@db/weir".to_owned());
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
