//! A local Kafka and PostgreSQL (and, where asked for, a schema registry) for `weir up` and the tests.
//!
//! Servers that the environment names are used as they are; for the others, the real servers that
//! `compose/local/pom.xml` pins are fetched once and started on loopback. They run detached: a stack is
//! shared by every process that asks for the same home, outlives all of them, and is stopped by
//! [`Stack::down`].
//!
//! On disk, under the stack's home:
//!
//! ```text
//! stack.lock   held while servers are started or stopped, so that concurrent starters agree
//! stack.json   which servers run: process, start time, ports, folders
//! kafka/       data, server.properties, logs (one per start, the last few kept)
//! postgres/    data, logs (elsewhere when root starts it under a closed folder: see `postgres`)
//! registry/    logs (its content lives in memory)
//! private/     the same two files of each private stack: `down` stops those too
//! ```

mod config;
mod control;
mod error;
mod fetch;
mod folder;
mod java;
mod kafka;
pub(crate) mod lock;
mod ports;
mod postgres;
pub mod process;
mod registry;
mod run_as;
mod state;

pub use config::{Broker, Named, Registry, StackConfig};
pub use control::{Data, ServerState, ServerStatus, Tethered};
pub use error::StackError;
pub use folder::create_home;
pub use lock::Lock;

use fetch::{Part, Sources};
use state::{Server, State};
use std::sync::Mutex;
use std::time::Duration;

/// Time limit for the answer of a server that another process started.
const JOIN_WITHIN: Duration = Duration::from_mins(1);

/// Endpoints of the servers that the pipeline needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Kafka bootstrap servers, `host:port[,host:port]`.
    pub kafka: String,
    /// The database of the pipeline. On a local stack its name is `weir`, and it may not exist yet: the
    /// migration creates it, connecting to [`maintenance_url`](Self::maintenance_url) first.
    pub database_url: String,
    /// A database that exists, of a role that may create others; where the environment names a database,
    /// that one, which may not exist yet.
    pub maintenance_url: String,
    /// The Confluent-compatible API of the schema registry, where one is named or was asked for.
    pub registry: Option<String>,
}

/// A stack at one home. Cheap to make: nothing is touched before the first call.
#[derive(Clone, Debug)]
pub struct Stack {
    config: StackConfig,
}

impl Stack {
    /// The stack that `config` describes.
    pub fn new(config: StackConfig) -> Self {
        Self { config }
    }

    /// Configuration of this stack.
    pub fn config(&self) -> &StackConfig {
        &self.config
    }

    /// Returns when everything answers: what runs is joined, what died is started again on its data and, where they
    /// are still free, its ports. Any number of processes may call this at once.
    ///
    /// # Errors
    /// [`StackError`]: each variant says what is missing and what to do about it.
    pub async fn up(&self) -> Result<Endpoints, StackError> {
        let stack = self.clone();
        control::blocking(move || stack.up_now()).await
    }

    fn up_now(&self) -> Result<Endpoints, StackError> {
        let config = &self.config;
        if let Some(endpoints) = config.all_named() {
            return Ok(endpoints);
        }
        let _lock = self.lock()?;
        let state = State::load(&config.state_file())?;
        let mut wanted = Vec::new();
        for part in config.parts() {
            if !Self::join(part, state.get(part))? {
                wanted.push(part);
            }
        }
        if !wanted.is_empty() {
            self.start_all(&wanted, state)?;
        }
        self.endpoints(&State::load(&config.state_file())?)
    }

    /// Starts the wanted servers side by side; each is recorded before it is waited for.
    fn start_all(&self, wanted: &[Part], state: State) -> Result<(), StackError> {
        let sources = fetch::provide(&self.config, wanted)?;
        if wanted.contains(&Part::Kafka) {
            kafka::check_folders(&self.config.home, &sources.kafka)?;
        }
        let state = Mutex::new(state);
        std::thread::scope(|scope| {
            let starts: Vec<_> =
                wanted.iter().map(|part| scope.spawn(|| self.start(*part, &sources, &state))).collect();
            // Every thread is waited for before the first error is reported: none may outlive the lock.
            let outcomes: Vec<_> = starts.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            outcomes
                .into_iter()
                .try_for_each(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    fn start(&self, part: Part, sources: &Sources, state: &Mutex<State>) -> Result<(), StackError> {
        let record = |server: Server| {
            let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            state.set(part, server);
            state.save(&self.config.state_file())
        };
        let previous = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(part).cloned();
        ports::until_free(previous.as_ref(), |previous| match part {
            Part::Kafka => kafka::start(&self.config, sources, previous, &record),
            Part::Postgres => postgres::start(&self.config, sources, previous, &record),
            Part::Registry => registry::start(&self.config, sources, previous, &record),
        })
    }

    /// Whether the server runs. One that runs and does not answer yet, because its starter died meanwhile, is waited for.
    fn join(part: Part, server: Option<&Server>) -> Result<bool, StackError> {
        let Some(server) = server else { return Ok(false) };
        let answers = || Self::answers(part, Some(server));
        if process::holds_within(JOIN_WITHIN, || !server.is_alive() || answers()) {
            return Ok(server.is_alive());
        }
        Err(StackError::Silent { server: part.name(), log: server.log.clone() })
    }

    fn answers(part: Part, server: Option<&Server>) -> bool {
        let Some(server) = server.filter(|server| server.is_alive()) else { return false };
        match part {
            Part::Kafka => kafka::answers(server),
            Part::Postgres => postgres::answers(server),
            Part::Registry => registry::answers(server),
        }
    }

    fn endpoints(&self, state: &State) -> Result<Endpoints, StackError> {
        let named = &self.config.named;
        let port = |part: Part| {
            state.get(part).map(|server| server.port).ok_or(StackError::Vanished { server: part.name() })
        };
        let password = state.get(Part::Postgres).and_then(postgres::password);
        let user = password.map_or_else(|| "postgres".to_owned(), |password| format!("postgres:{password}"));
        let local = |database: &str| {
            port(Part::Postgres).map(|port| format!("postgres://{user}@127.0.0.1:{port}/{database}"))
        };
        Ok(Endpoints {
            kafka: match &named.kafka {
                Some(kafka) => kafka.clone(),
                None => format!("127.0.0.1:{}", port(Part::Kafka)?),
            },
            database_url: named.database_url.clone().map_or_else(|| local("weir"), Ok)?,
            maintenance_url: named.database_url.clone().map_or_else(|| local("postgres"), Ok)?,
            registry: match (&named.registry, self.config.registry) {
                (Some(url), _) => Some(url.clone()),
                (None, Registry::Local) => Some(registry::url(port(Part::Registry)?)),
                (None, Registry::OnlyIfNamed) => None,
            },
        })
    }
}
