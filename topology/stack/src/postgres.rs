//! One PostgreSQL server. It refuses to run as root: then it runs as `postgres` or `nobody`, and where that user cannot
//! reach the stack's home (below a 0700 folder such as root's own), its programs and data are kept in /var/tmp.

use super::fetch::{OLDEST_POSTGRES, Part, Sources, postgres_version};
use super::folder::{DataFolder, Found, claim, create_closed, create_private};
use super::process::{ProcessId, holds_within, log_tail, next_log, run};
use super::run_as::{RunAs, reachable};
use super::state::Server;
use super::{StackConfig, StackError, ports};
use nix::unistd::chown;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const NAME: &str = "PostgreSQL";
/// The file of the superuser's password, beside the data.
const PASSWORD: &str = "password";
/// A start takes a tenth of a second; after a crash up to `max_wal_size` is replayed first.
const READY_WITHIN_S: &str = "180";
const STOPPED_WITHIN_S: &str = "30";
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Settings of the server beyond its defaults. Durable as in production, so that tests of crashes are valid.
const SETTINGS: [&str; 11] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=256MB",
    "max_wal_size=4GB",
    "checkpoint_timeout=15min",
    "fsync=on",
    "synchronous_commit=on",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// Modes of stopping the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Sessions are cut, everything is written.
    Fast,
    /// As a crash would: the next start recovers from the write-ahead log.
    Immediate,
}

/// Starts the server on its data, or on a new cluster, and waits until it takes connections.
pub(super) fn start(
    config: &StackConfig,
    sources: &Sources,
    previous: Option<&Server>,
    record: &dyn Fn(Server) -> Result<(), StackError>,
) -> Result<(), StackError> {
    let site = Site::new(config, sources.postgres.clone())?;
    if site.data.clear_draft()? {
        config.say(
            "PostgreSQL's data folder was left half-written by an interrupted start; it is created again",
        );
    }
    if site.data.inspect(|version| judge(version, site.version))? == Found::Absent {
        site.init()?;
    }
    if let Some(server) = site.orphan()? {
        return record(server);
    }
    let port = ports::pick(&config.home, "postgres", previous.map(|server| server.port))?;
    config.say(&format!("starting PostgreSQL {} on 127.0.0.1:{port}", site.version));
    let log = next_log(&site.folder.join("logs"))?;
    let mut server = Server {
        process: None,
        port,
        controller_port: None,
        folder: site.place.clone(),
        log: log.clone(),
        programs: site.programs.clone(),
    };
    let started = site.launch(port, &log)?;
    server.process = note_in(&site.data.path).and_then(|note| ProcessId::of(note.pid));
    record(server.clone())?;
    if started && answers(&server) {
        return Ok(());
    }
    Err(StackError::NotStarted {
        server: NAME,
        reason: if started { "it does not answer" } else { "pg_ctl gave up on it" }.to_owned(),
        tail: log_tail(&log),
        log,
    })
}

/// Whether the server takes connections: it says so in its own file, and greets as PostgreSQL does.
pub(super) fn answers(server: &Server) -> bool {
    let ready = || note_in(&data_of(server)).is_some_and(|note| note.ready);
    holds_within(ANSWER_WITHIN, ready) && greets(server.port).unwrap_or(false)
}

/// The protocol's SSLRequest: eight bytes that any PostgreSQL answers with one letter before a user is named.
fn greets(port: u16) -> std::io::Result<bool> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(&SSL_REQUEST)?;
    let mut letter = [0];
    stream.read_exact(&mut letter)?;
    Ok(matches!(&letter, b"S" | b"N"))
}

/// Ends the server; nothing to do where it does not run.
pub(super) fn stop(server: &Server, how: Stop) -> Result<(), StackError> {
    let Some(process) = server.process.as_ref().filter(|process| process.is_alive()) else { return Ok(()) };
    let mode = match how {
        Stop::Fast => "fast",
        Stop::Immediate => "immediate",
    };
    let mut command = Command::new(server.programs.join("pg_ctl"));
    command.args(["stop", "--wait", "--timeout", STOPPED_WITHIN_S, "--mode", mode, "--pgdata"]);
    command.arg(data_of(server)).current_dir("/");
    let (stopped, said) = run(&mut command, RunAs::for_postgres()?.as_ref())?;
    if stopped || !process.is_alive() {
        return Ok(());
    }
    Err(StackError::NotStopped { server: NAME, pid: process.pid, reason: said.trim().to_owned() })
}

/// The superuser's password; none where the cluster was made without one.
pub(super) fn password(server: &Server) -> Option<String> {
    let text = fs::read_to_string(data_of(server).with_file_name(PASSWORD)).ok()?;
    Some(text.trim().to_owned())
}

fn data_of(server: &Server) -> PathBuf {
    server.folder.join(Part::Postgres.mark()).join("data")
}

/// The server's own note, `postmaster.pid`: line 1 the process, line 4 the port, line 8 its state. It is written piece by
/// piece.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    pid: i32,
    port: Option<u16>,
    ready: bool,
}

fn note_in(data: &Path) -> Option<Note> {
    read_note(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
}

fn read_note(note: &str) -> Option<Note> {
    let lines: Vec<&str> = note.lines().map(str::trim).collect();
    Some(Note {
        pid: lines.first()?.parse().ok()?,
        port: lines.get(3).and_then(|port| port.parse().ok()),
        ready: lines.get(7) == Some(&"ready"),
    })
}

fn judge(found: &str, programs: u32) -> Option<String> {
    match found.trim().parse::<u32>() {
        Ok(version) if version == programs => None,
        Ok(version) => Some(format!("was made by PostgreSQL {version}, the programs are of {programs}")),
        Err(_) => Some("is not whole: PG_VERSION names no version".to_owned()),
    }
}

/// The server's files, and who runs it.
struct Site {
    place: PathBuf,
    folder: PathBuf,
    data: DataFolder,
    programs: PathBuf,
    version: u32,
    user: Option<RunAs>,
}

impl Site {
    fn new(config: &StackConfig, programs: PathBuf) -> Result<Self, StackError> {
        let unusable = |reason: String| StackError::Unusable {
            what: "PostgreSQL's programs",
            path: programs.clone(),
            reason,
        };
        let version = postgres_version(&programs).ok_or_else(|| {
            unusable("initdb, pg_ctl and postgres are not all there and running".to_owned())
        })?;
        if version < OLDEST_POSTGRES {
            return Err(unusable(format!("it is version {version}; Weir needs {OLDEST_POSTGRES} or later")));
        }
        let user = RunAs::for_postgres()?;
        let place = match &user {
            Some(_) => reachable(&config.home, "postgres")?,
            None => config.home.join("postgres"),
        };
        claim(NAME, &place, Part::Postgres.mark())?;
        let folder = place.join(Part::Postgres.mark());
        // What belongs to the user that runs the server is inside a folder which only the stack's user may replace.
        match &user {
            Some(user) => user.own_folder(&folder)?,
            None => create_closed(&folder)?,
        }
        if let Some(user) = user.as_ref().filter(|_| !place.starts_with(&config.home)) {
            config.say(&format!(
                "{} is closed to the user {}, who runs PostgreSQL: its data is in {}",
                config.home.display(),
                user.name,
                place.display()
            ));
        }
        let data = DataFolder { server: NAME, path: folder.join("data"), mark: "PG_VERSION" };
        Ok(Self { place, folder, data, programs, version, user })
    }

    /// A server that runs on this data and is not recorded, because its starter died too early.
    fn orphan(&self) -> Result<Option<Server>, StackError> {
        let Some(Note { pid, port: Some(port), .. }) = note_in(&self.data.path) else { return Ok(None) };
        let server = Server {
            process: ProcessId::of(pid),
            port,
            controller_port: None,
            folder: self.place.clone(),
            log: next_log(&self.folder.join("logs"))?,
            programs: self.programs.clone(),
        };
        // A note may outlive its server: the process id may be another's by now.
        Ok((server.is_alive() && answers(&server)).then_some(server))
    }

    fn init(&self) -> Result<(), StackError> {
        let mut command = Command::new(self.programs.join("initdb"));
        command.args([
            "--username",
            "postgres",
            "--auth",
            "scram-sha-256",
            "--no-sync",
            "--encoding",
            "UTF8",
        ]);
        command.arg("--pwfile").arg(self.keep_password()?);
        command.args(["--locale", LOCALE, "--pgdata"]).arg(self.data.draft()).current_dir(&self.folder);
        match run(&mut command, self.user.as_ref())? {
            (true, _) => self.data.adopt_draft(),
            (false, said) => Err(StackError::NotPrepared {
                server: NAME,
                path: self.data.path.clone(),
                output: super::error::tail(&said),
            }),
        }
    }

    /// The file of the superuser's password, made where it is missing. The server's user reads it once, to
    /// set it.
    fn keep_password(&self) -> Result<PathBuf, StackError> {
        let file = self.folder.join(PASSWORD);
        if !file.exists() {
            let password = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
            let written = create_private(&file).and_then(|mut file| file.write_all(password.as_bytes()));
            written.map_err(StackError::io("write", &file))?;
        }
        if let Some(user) = &self.user {
            chown(&file, Some(user.uid.into()), Some(user.gid.into()))
                .map_err(|error| StackError::io("hand over", &file)(error.into()))?;
        }
        Ok(file)
    }

    /// False where `pg_ctl` saw the start fail.
    fn launch(&self, port: u16, log: &Path) -> Result<bool, StackError> {
        let mut options = format!("-p {port}");
        for setting in SETTINGS {
            options.push_str(" -c ");
            options.push_str(setting);
        }
        if let Some(user) = &self.user {
            user.own_folder(&self.folder.join("logs"))?;
        }
        let mut command = Command::new(self.programs.join("pg_ctl"));
        command
            .args(["start", "--wait", "--timeout", READY_WITHIN_S, "--options", &options, "--log"])
            .arg(log);
        command.arg("--pgdata").arg(&self.data.path).current_dir(&self.folder);
        run(&mut command, self.user.as_ref()).map(|(started, _)| started)
    }
}

/// Byte order everywhere, and UTF-8.
const LOCALE: &str = if cfg!(target_os = "macos") { "C" } else { "C.UTF-8" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_note_tells_its_process_and_whether_it_is_ready() {
        let note = "13941\n/data\n1795266094\n21543\n\n127.0.0.1\n   852376         4\nready   \n";
        let ready = Note { pid: 13_941, port: Some(21_543), ready: true };
        assert_eq!(read_note(note), Some(ready));
        let starting = Note { pid: 13_941, port: Some(21_543), ready: false };
        assert_eq!(read_note(&note.replace("ready   ", "starting")), Some(starting));
        assert_eq!(read_note("13941\n/data\n"), Some(Note { pid: 13_941, port: None, ready: false }));
        assert_eq!(read_note(""), None);
    }

    #[test]
    fn another_versions_data_is_not_opened() {
        assert_eq!(judge("18\n", 18), None);
        assert!(judge("15\n", 18).expect("said").contains("made by PostgreSQL 15, the programs are of 18"));
        assert!(judge("", 18).expect("said").contains("not whole"));
    }

    #[test]
    fn it_is_durable_and_on_loopback_only() {
        for setting in ["listen_addresses=127.0.0.1", "fsync=on", "synchronous_commit=on"] {
            assert!(SETTINGS.contains(&setting), "{setting}");
        }
        // They pass through a shell.
        assert!(SETTINGS.iter().all(|s| s.chars().all(|c| c.is_ascii_alphanumeric() || "_=.".contains(c))));
    }
}
