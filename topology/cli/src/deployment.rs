//! The local deployment that `weir up` started: its processes, their addresses, and the API key it created.

mod servers;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

pub(super) use servers::Servers;

use crate::{
    auth::login::LOGIN_FILE,
    place::{SIGNING_KEY, SUBJECT_SECRET, WITNESS_KEY},
    settings::Origin,
};
use stack::{
    Lock, StackConfig,
    process::{Detached, ProcessId, log_tail, next_log},
};

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
    /// Whether the secrets belong to a database that the environment named, at any start: `down` does not delete it.
    #[serde(default)]
    pub(super) named_database: bool,
}

/// The secrets and keys without which the data in a database is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    /// Their database stays.
    Keep,
    /// Their database is deleted too.
    Delete,
}

impl Secrets {
    /// Treatment of the secrets when the local data is deleted: whatever a named database may need is kept.
    pub(super) fn on_purge(loaded: &anyhow::Result<Deployment>, names_database: bool) -> Self {
        let is_local = loaded.as_ref().is_ok_and(|deployment| !deployment.named_database);
        if is_local && !names_database { Self::Delete } else { Self::Keep }
    }
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
    /// The settings that it was started with.
    #[serde(default)]
    settings: Option<Origin>,
    /// The servers that it was started with, if it uses any.
    #[serde(default)]
    servers: Option<Servers>,
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
        let address = reachable(self.listen);
        match self.scheme {
            Scheme::Http => format!("http://{address}"),
            Scheme::Https if [LOCALHOST, LOCALHOST_V6].contains(&address.ip()) => {
                format!("https://localhost:{}", address.port())
            }
            Scheme::Https => format!("https://{address}"),
        }
    }

    /// URL of health and metrics, in clear text.
    pub(super) fn admin_url(&self) -> String {
        format!("http://{}", reachable(self.admin.unwrap_or(self.listen)))
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
    /// Waits until no other process starts or stops the deployment's processes; to be held from before [`load`](Self::load).
    pub(super) async fn lock(config: &StackConfig) -> anyhow::Result<Lock> {
        let config = config.clone();
        let file = config.home.join("deployment.lock");
        Ok(tokio::task::spawn_blocking(move || Lock::acquire(&config, &file)).await??)
    }

    /// Reads the deployment file in `home`; empty if nothing was started yet.
    pub(super) fn load(home: &Path) -> anyhow::Result<Self> {
        let file = file(home);
        match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} cannot be read; `weir down --purge` removes it and the local data, and keeps secrets and keys",
                    file.display()
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// Replaces the deployment file. It holds a key: only its owner may read it.
    pub(super) fn save(&self, home: &Path) -> anyhow::Result<()> {
        write_private(&file(home), &serde_json::to_string_pretty(self)?)
    }

    /// Forgets everything, but for secrets that are to be kept, and that they are.
    pub(super) fn delete(home: &Path, kept: Secrets) -> anyhow::Result<()> {
        let secrets: &[&str] = match kept {
            Secrets::Keep => &[],
            Secrets::Delete => &["pepper", SUBJECT_SECRET, SIGNING_KEY, WITNESS_KEY],
        };
        // 0.2 copied settings into the last two.
        let others = [LOGIN_FILE, "issuers.json", "sinks.json"];
        let paths = secrets.iter().copied().chain(others).map(|name| home.join(name));
        for path in paths.chain([file(home)]) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("deleting {}", path.display()));
                }
                _ => {}
            }
        }
        match fs::remove_dir_all(home.join(ISSUER)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context("deleting the issuer's keys");
            }
            _ => {}
        }
        match kept {
            Secrets::Keep => Self { named_database: true, ..Self::default() }.save(home),
            Secrets::Delete => Ok(()),
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

    /// The running processes that were started with other settings.
    pub(super) fn started_otherwise(&self, settings: &Origin) -> Vec<&str> {
        let differs = |process: &&Process| {
            process.settings.as_ref().is_some_and(|started| started.differs_from(settings))
        };
        let differing = self.processes.iter().filter(differs).filter(|process| process.is_alive());
        differing.map(|process| process.name.as_str()).collect()
    }

    /// The running processes that were started with other servers.
    pub(super) fn on_other_servers(&self, servers: &Servers) -> Vec<&str> {
        let differs = |process: &&Process| process.servers.as_ref().is_some_and(|started| started != servers);
        let differing = self.processes.iter().filter(differs).filter(|process| process.is_alive());
        differing.map(|process| process.name.as_str()).collect()
    }

    /// Drops the processes that have ended and are not wanted any more.
    pub(super) fn forget_ended(&mut self, wanted: &[&str]) {
        self.processes.retain(|process| wanted.contains(&process.name.as_str()) || process.is_alive());
    }

    /// Starts this program once more as a process of its own and writes it down. It runs in the current folder, so that it
    /// finds the same `weir.toml` and resolves relative paths as this process does.
    pub(super) fn start(&mut self, home: &Path, name: &str, start: Start) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("finding the program to start")?;
        let dir = current_folder()?;
        let log = next_log(&home.join("processes").join(name))?;
        let Start { args, env, listen, admin, scheme, settings, servers } = start;
        let id = Detached { program: &program, args, dir: &dir, log: &log, env }.spawn()?;
        self.processes.retain(|process| process.name != name);
        let name = name.to_owned();
        self.processes.push(Process { name, id, listen, admin, scheme, settings, servers, log });
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
    /// The settings that it reads, if it reads any.
    pub(super) settings: Option<Origin>,
    /// The servers that it uses, if it uses any.
    pub(super) servers: Option<Servers>,
}

impl Start {
    /// A process with one address, in clear text, that reads no settings.
    pub(super) fn plain(args: Vec<String>, env: Vec<(&'static str, String)>, listen: SocketAddr) -> Self {
        Self { args, env, listen, admin: None, scheme: Scheme::Http, settings: None, servers: None }
    }
}

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The address under which a process on this machine reaches one that listens: on every interface includes loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => LOCALHOST,
        IpAddr::V6(ip) if ip.is_unspecified() => LOCALHOST_V6,
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The folder that this process runs in.
pub(super) fn current_folder() -> anyhow::Result<PathBuf> {
    std::env::current_dir().context("the current folder cannot be found; go to one that exists")
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
