//! The local deployment that `weir up` started: its processes, their addresses, and the API key it created.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    auth::login::LOGIN_FILE,
    place::{SIGNING_KEY, SUBJECT_SECRET, WITNESS_KEY},
};
use stack::process::{Detached, ProcessId, log_tail, next_log};

/// The longest that a process may take to stop before it is killed: its own limit and a little.
const STOP_WITHIN: Duration = Duration::from_secs(28);

/// `deployment.json` beside the stack's state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Deployment {
    /// The processes, in the order of starting.
    #[serde(default)]
    pub(super) processes: Vec<Process>,
    /// The registry's URL, where one was asked for.
    #[serde(default)]
    pub(super) registry: Option<String>,
    /// The key that `up` made; shown by `status`.
    #[serde(default)]
    pub(super) token: Option<String>,
}

/// One process of the pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Process {
    /// The stage's name, `gateway`, `query-api` or `demo`.
    pub(super) name: String,
    id: ProcessId,
    /// Address that it serves on.
    pub(super) listen: SocketAddr,
    /// Address of its readiness, if it is another one.
    #[serde(default)]
    admin: Option<SocketAddr>,
    #[serde(default)]
    scheme: Scheme,
    /// The log of this start.
    pub(super) log: PathBuf,
}

/// Scheme of a process's URL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scheme {
    #[default]
    Http,
    Https,
}

impl Process {
    /// URL for requests. A certificate names the host rather than its address.
    pub(super) fn url(&self) -> String {
        match self.scheme {
            Scheme::Http => format!("http://{}", self.listen),
            Scheme::Https if self.listen.ip() == Ipv4Addr::LOCALHOST => {
                format!("https://localhost:{}", self.listen.port())
            }
            Scheme::Https => format!("https://{}", self.listen),
        }
    }

    /// URL of health and metrics, in clear text.
    pub(super) fn admin_url(&self) -> String {
        format!("http://{}", self.admin.unwrap_or(self.listen))
    }

    /// Whether one of its addresses is this one.
    pub(super) fn holds(&self, address: SocketAddr) -> bool {
        self.listen == address || self.admin == Some(address)
    }

    pub(super) fn pid(&self) -> i32 {
        self.id.pid
    }

    pub(super) fn is_alive(&self) -> bool {
        self.id.is_alive()
    }

    /// The end of its log, for people.
    pub(super) fn log_tail(&self) -> String {
        log_tail(&self.log)
    }
}

impl Deployment {
    /// Reads the deployment file in `home`; empty if nothing was started yet.
    pub(super) fn load(home: &Path) -> anyhow::Result<Self> {
        let file = file(home);
        match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!("{} cannot be read; `weir down --purge` removes it", file.display())
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// Replaces the deployment file. It holds a key: only its owner may read it.
    pub(super) fn save(&self, home: &Path) -> anyhow::Result<()> {
        write_private(&file(home), &serde_json::to_string_pretty(self)?)
    }

    /// Forgets everything.
    pub(super) fn delete(home: &Path) -> anyhow::Result<()> {
        let secrets =
            ["pepper", SUBJECT_SECRET, SIGNING_KEY, WITNESS_KEY, LOGIN_FILE].map(|name| home.join(name));
        for path in secrets.into_iter().chain([file(home)]) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("deleting {}", path.display()));
                }
                _ => {}
            }
        }
        match fs::remove_dir_all(home.join(ISSUER)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("deleting the issuer's keys")
            }
            _ => Ok(()),
        }
    }

    /// The running process of that name.
    pub(super) fn running(&self, name: &str) -> Option<&Process> {
        self.processes.iter().find(|process| process.name == name && process.is_alive())
    }

    /// URL of the gateway.
    pub(super) fn gateway_url(&self) -> Option<String> {
        self.running(GATEWAY).map(Process::url)
    }

    /// URL of the query API.
    pub(super) fn query_api_url(&self) -> Option<String> {
        self.running(QUERY_API).map(Process::url)
    }

    /// URL of each running process's metrics, by name. The player of demo events and the issuer have none.
    pub(super) fn metrics_urls(&self) -> BTreeMap<String, String> {
        let told = self
            .processes
            .iter()
            .filter(|process| process.name != DEMO && process.name != ISSUER && process.is_alive());
        told.map(|process| (process.name.clone(), format!("{}/metrics", process.admin_url()))).collect()
    }

    /// Starts this program once more as a process of its own and writes it down.
    pub(super) fn start(&mut self, home: &Path, name: &str, start: Start) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("finding the program to start")?;
        let log = next_log(&home.join("processes").join(name))?;
        let id =
            Detached { program: &program, args: start.args, dir: home, log: &log, env: start.env }.spawn()?;
        self.processes.retain(|process| process.name != name);
        let Start { listen, admin, scheme, .. } = start;
        self.processes.push(Process { name: name.to_owned(), id, listen, admin, scheme, log });
        self.save(home)
    }

    /// Stops every process: all are signalled at once, and each is killed after its time limit.
    pub(super) fn stop(&mut self, home: &Path) -> anyhow::Result<usize> {
        let alive: Vec<Process> = self.processes.iter().filter(|p| p.is_alive()).cloned().collect();
        for process in &alive {
            process.id.signal(Signal::SIGTERM).with_context(|| format!("stopping {}", process.name))?;
        }
        for process in &alive {
            if !process.id.ends_within(STOP_WITHIN) {
                tracing::warn!(name = process.name, "did not stop in time, killed");
                process.id.signal(Signal::SIGKILL).with_context(|| format!("killing {}", process.name))?;
                process.id.ends_within(STOP_WITHIN);
            }
        }
        self.processes.clear();
        self.save(home)?;
        Ok(alive.len())
    }
}

/// The gateway's name among the processes.
pub(super) const GATEWAY: &str = "gateway";
/// The query API's name among the processes.
pub(super) const QUERY_API: &str = "query-api";
/// The process of all sinks.
pub(super) const SINKS: &str = "sinks";
/// The scripted issuer.
pub(super) const ISSUER: &str = "issuer";
/// The player of demo events.
pub(super) const DEMO: &str = "demo";

/// Command line, environment and addresses of a process to start.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(&'static str, String)>,
    pub(super) listen: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    pub(super) scheme: Scheme,
}

/// The preferred loopback address if it is free, else one with a free port.
pub(super) fn free_address(preferred: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(preferred)
        .or_else(|_| TcpListener::bind((preferred.ip(), 0)))
        .with_context(|| format!("no free port on {}", preferred.ip()))?;
    Ok(listener.local_addr()?)
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let written = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&draft, path));
    written.with_context(|| format!("writing {}", path.display()))
}

fn file(home: &Path) -> PathBuf {
    home.join("deployment.json")
}
