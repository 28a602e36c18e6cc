//! Errors of the local stack, each with its remedy.

use std::path::{Path, PathBuf};

/// Error of starting, stopping or reading the local stack.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No Java, or one that Kafka 4 does not run on.
    #[error(
        "Kafka needs Java 17 or later; {found}\n  \
         Debian, Ubuntu: apt-get install openjdk-17-jre-headless maven\n  \
         Fedora:         dnf install java-21-openjdk-headless maven\n  \
         macOS:          brew install openjdk maven\n\
         or set JAVA_HOME to one that is installed, or KAFKA_BOOTSTRAP_SERVERS to a running Kafka"
    )]
    NoJava {
        /// Java that was found instead, as a clause.
        found: String,
    },
    /// The server is not in the cache and there is nothing to fetch it with.
    #[error(
        "{server} is not here yet and Maven, which fetches it, is not installed\n  \
         Debian, Ubuntu: apt-get install maven\n  \
         Fedora:         dnf install maven\n  \
         macOS:          brew install maven\n\
         or {instead}"
    )]
    NoMaven {
        /// Name of the server.
        server: &'static str,
        /// The other way to get it.
        instead: &'static str,
    },
    /// Maven ran and failed.
    #[error("fetching the servers through Maven failed; check the network and ~/.m2/settings.xml\n{output}")]
    Fetch {
        /// The last lines of Maven's output.
        output: String,
    },
    /// A fetched or installed server is not what it should be.
    #[error("{what} at {} cannot be used: {reason}", path.display())]
    Unusable {
        /// The unusable program, archive or folder, for people.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// The fault and its remedy.
        reason: String,
    },
    /// A data folder that is stale or half-written and may hold data: never deleted unasked.
    #[error(
        "the {server} data folder {} {reason}\n\
         If its content is not needed: weir down --purge. Otherwise move it away, or set WEIR_HOME to another folder",
        path.display()
    )]
    BrokenFolder {
        /// Server that the folder belongs to.
        server: &'static str,
        /// Path of the folder.
        path: PathBuf,
        /// Fault of the folder, as a clause.
        reason: String,
    },
    /// A new data folder could not be made.
    #[error("the data folder of {server} could not be made in {}\n{output}", path.display())]
    NotPrepared {
        /// Name of the server.
        server: &'static str,
        /// Path that its folder would have.
        path: PathBuf,
        /// The last lines of its program's output.
        output: String,
    },
    /// A server was started and did not become ready.
    #[error("{server} did not start: {reason}\nlog: {}\n{tail}", log.display())]
    NotStarted {
        /// Name of the server.
        server: &'static str,
        /// Description of the failure.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// A server runs, but does not answer.
    #[error("{server} runs, but does not answer; `weir down` stops it\nlog: {}", log.display())]
    Silent {
        /// Name of the server.
        server: &'static str,
        /// Its log.
        log: PathBuf,
    },
    /// A server did not stop.
    #[error("{server} (process {pid}) did not stop: {reason}")]
    NotStopped {
        /// Name of the server.
        server: &'static str,
        /// Its process id.
        pid: i32,
        /// Description of the failure.
        reason: String,
    },
    /// A server was asked for that this stack does not run.
    #[error("no {server} of this stack is running; start it with `weir up`")]
    Vanished {
        /// Name of the server.
        server: &'static str,
    },
    /// No loopback port in the stack's range.
    #[error("no free loopback port between {first} and {last}; stop something that listens there")]
    NoPort {
        /// First port tried.
        first: u16,
        /// Last port tried.
        last: u16,
    },
    /// `stack.json` is not in the format of this version.
    #[error(
        "{} is damaged or from another version ({reason}); \
         stop the servers it names by hand, then delete the file", path.display()
    )]
    State {
        /// The file.
        path: PathBuf,
        /// Description of the fault.
        reason: String,
    },
    /// Nowhere to keep the stack.
    #[error("no place for the local stack: set WEIR_HOME to a folder")]
    NoHome,
    /// A file that should hold a secret cannot be read.
    #[error("cannot read the file {}, which DATABASE_URL_FILE names", file.display())]
    SecretFile {
        /// Its path.
        file: PathBuf,
        /// Error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// Root must hand PostgreSQL to another user, and there is none.
    #[error(
        "PostgreSQL refuses to run as root and there is no user `postgres` or `nobody` to run it as; run weir as an ordinary user"
    )]
    NoUser,
    /// The program is ending.
    #[error("the start of the local stack was cancelled: the program is ending")]
    Cancelled,
    /// A file or folder could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted operation, as a verb.
        action: &'static str,
        /// File or folder of the operation.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl StackError {
    /// For `map_err`: the same system error, said with what was tried and where.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// The last lines of a log, for an error that a person reads.
pub(super) fn tail(text: &str) -> String {
    const LINES: usize = 15;
    const WIDTH: usize = 300;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..]
        .iter()
        .map(|line| format!("  | {}", line.chars().take(WIDTH).collect::<String>()))
        .collect::<Vec<_>>()
        .join("\n")
}
