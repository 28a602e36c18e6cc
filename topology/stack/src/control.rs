//! Stopping, looking, and the single-server controls that fault tests need.

use super::fetch::Part;
use super::lock::Lock;
use super::state::{Server, State};
use super::{Endpoints, Stack, StackConfig, StackError, folder, kafka, postgres, registry, run_as};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Treatment of a stopped stack's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// The next start finds it.
    Keep,
    /// It is deleted; the fetched servers are not.
    Purge,
}

/// Whether one server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Its process is there and it answers.
    Answering {
        /// Its process id.
        pid: i32,
    },
    /// Its process is there, but it does not answer.
    Silent {
        /// Its process id.
        pid: i32,
    },
    /// It was started once and its process has ended.
    Stopped,
}

/// One server of the stack, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// Name of the server, for people.
    pub name: &'static str,
    /// Whether it runs.
    pub state: ServerState,
    /// Its loopback port.
    pub port: u16,
    /// The log of its last start.
    pub log: PathBuf,
}

impl Stack {
    /// Stops every server that this home has started, and those of the private stacks that tests left behind.
    /// True if there was one.
    ///
    /// # Errors
    /// [`StackError::NotStopped`] for a server that stays; the others are stopped all the same.
    pub async fn down(&self, data: Data) -> Result<bool, StackError> {
        let stack = self.clone();
        blocking(move || stack.down_now(data)).await
    }

    fn down_now(&self, data: Data) -> Result<bool, StackError> {
        let config = &self.config;
        let ours = self.lock().and_then(|_lock| {
            let any = stop_all(&config.state_file())?;
            if data == Data::Purge {
                purge_unrecorded(&config.home)?;
                purge(&config.state_file())?;
            }
            Ok(any)
        });
        // One that stays must not keep the others from being stopped.
        let wards = stop_wards(config, data);
        Ok(ours? | wards?)
    }

    /// The servers that this home has started so far.
    ///
    /// # Errors
    /// [`StackError::State`] where `stack.json` cannot be read.
    pub async fn status(&self) -> Result<Vec<ServerStatus>, StackError> {
        let stack = self.clone();
        blocking(move || {
            let state = State::load(&stack.config.state_file())?;
            let of = |part: Part| {
                let server = state.get(part)?;
                Some(ServerStatus {
                    name: part.name(),
                    state: Self::server_state(part, server),
                    port: server.port,
                    log: server.log.clone(),
                })
            };
            Ok(Part::ALL.into_iter().filter_map(of).collect())
        })
        .await
    }

    fn server_state(part: Part, server: &Server) -> ServerState {
        match server.process.as_ref().filter(|process| process.is_alive()) {
            None => ServerState::Stopped,
            Some(process) if Self::answers(part, Some(server)) => ServerState::Answering { pid: process.pid },
            Some(process) => ServerState::Silent { pid: process.pid },
        }
    }

    /// Endpoints of the servers, if all of them run; starts nothing.
    ///
    /// # Errors
    /// [`StackError::Vanished`] names the first that does not run.
    pub async fn joined(&self) -> Result<Endpoints, StackError> {
        let stack = self.clone();
        blocking(move || {
            if let Some(endpoints) = stack.config.all_named() {
                return Ok(endpoints);
            }
            let state = State::load(&stack.config.state_file())?;
            match stack.config.parts().into_iter().find(|part| !Self::answers(*part, state.get(*part))) {
                Some(part) => Err(StackError::Vanished { server: part.name() }),
                None => stack.endpoints(&state),
            }
        })
        .await
    }

    /// Stops PostgreSQL as a crash would (`pg_ctl -m immediate`); [`up`](Self::up) starts it again on the same port.
    ///
    /// # Errors
    /// [`StackError::Vanished`] if this stack runs none.
    pub async fn crash_postgres(&self) -> Result<(), StackError> {
        let stack = self.clone();
        blocking(move || {
            let _lock = stack.lock()?;
            postgres::stop(&stack.running(Part::Postgres)?, postgres::Stop::Immediate)
        })
        .await
    }

    /// Kills the broker (SIGKILL); [`up`](Self::up) starts it again on the same port.
    ///
    /// # Errors
    /// [`StackError::Vanished`] if this stack runs none.
    pub async fn kill_kafka(&self) -> Result<(), StackError> {
        let stack = self.clone();
        blocking(move || {
            let _lock = stack.lock()?;
            kafka::kill_now(&stack.running(Part::Kafka)?)
        })
        .await
    }

    /// The broker's process id, for tests that send it signals of their own.
    ///
    /// # Errors
    /// [`StackError::Vanished`] if this stack runs none.
    pub fn kafka_pid(&self) -> Result<i32, StackError> {
        self.running(Part::Kafka).map(|server| server.process.map_or(0, |process| process.pid))
    }

    fn running(&self, part: Part) -> Result<Server, StackError> {
        State::load(&self.config.state_file())?
            .get(part)
            .filter(|server| server.is_alive())
            .cloned()
            .ok_or(StackError::Vanished { server: part.name() })
    }

    /// A stack that is stopped and purged when this value is dropped, as tests want it.
    pub fn tethered(self) -> Tethered {
        Tethered { stack: self }
    }
}

/// See [`Stack::tethered`].
#[derive(Debug)]
pub struct Tethered {
    stack: Stack,
}

impl std::ops::Deref for Tethered {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl Drop for Tethered {
    fn drop(&mut self) {
        if let Err(error) = self.stack.down_now(Data::Purge) {
            tracing::error!(%error, "a private stack was not stopped; `weir down` tries again");
        }
        // Fails if anything else lies there, which stays.
        drop(fs::remove_dir(&self.stack.config.home));
    }
}

fn stop(part: Part, server: &Server) -> Result<(), StackError> {
    match part {
        Part::Kafka => kafka::stop(server),
        Part::Postgres => postgres::stop(server, postgres::Stop::Fast),
        Part::Registry => registry::stop(server),
    }
}

/// Stops what the file names. True if something ran.
fn stop_all(state_file: &Path) -> Result<bool, StackError> {
    let mut state = State::load(state_file)?;
    let mut any = false;
    let mut outcome = Ok(());
    for part in Part::ALL {
        let Some(server) = state.get(part).cloned() else { continue };
        any |= server.is_alive();
        match stop(part, &server) {
            Ok(()) => state.set(part, Server { process: None, ..server }),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    if any {
        state.save(state_file)?;
    }
    outcome.map(|()| any)
}

/// Deletes what the servers that the file names have written, then the file and, since its holder calls this, the lock.
/// The fetched servers stay.
fn purge(state_file: &Path) -> Result<(), StackError> {
    let state = State::load(state_file)?;
    for server in Part::ALL.into_iter().filter_map(|part| state.get(part)) {
        folder::remove(&server.folder)?;
    }
    for file in [state_file.to_owned(), state_file.with_extension("lock")] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StackError::io("delete", &file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Deletes leftovers of starts that failed before they were recorded.
fn purge_unrecorded(home: &Path) -> Result<(), StackError> {
    for part in Part::ALL {
        for place in run_as::places(home, part.folder()) {
            if place.join(part.mark()).exists() {
                folder::remove(&place)?;
            }
        }
    }
    Ok(())
}

/// Stops the private stacks that are recorded beside the shared one. True if one had a server running.
fn stop_wards(config: &StackConfig, data: Data) -> Result<bool, StackError> {
    let mut any = false;
    for entry in fs::read_dir(config.wards()).into_iter().flatten().flatten() {
        let state_file = entry.path();
        if state_file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let _lock = Lock::acquire(config, &state_file.with_extension("lock"))?;
        any |= stop_all(&state_file)?;
        if data == Data::Purge {
            purge(&state_file)?;
        }
    }
    Ok(any)
}

/// Runs what blocks on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StackError> + Send + 'static,
) -> Result<T, StackError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StackError::Cancelled),
        },
    }
}
