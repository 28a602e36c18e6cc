//! Processes that outlive their starter, and are recognised later.

use super::error::{StackError, tail};
use super::folder::{create_closed, create_private};
use super::run_as::RunAs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Polling interval of a condition that is awaited.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOGS_KEPT: usize = 5;

/// A process and when it started: a process id alone is given out again.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ProcessId {
    /// Its number on this machine.
    pub pid: i32,
    started: String,
}

impl ProcessId {
    /// The process that has this id now; none if there is none or it only waits to be reaped.
    pub fn of(pid: i32) -> Option<Self> {
        started(pid).map(|started| Self { pid, started })
    }

    /// Whether this very process still runs, and not another that has been given its number.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), nix::Error> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Err(nix::Error::ESRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the process has ended within `limit`.
    pub fn ends_within(&self, limit: Duration) -> bool {
        holds_within(limit, || !self.is_alive())
    }
}

/// Polls `condition` until it holds; false at the time limit.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK_EVERY);
    }
}

/// proc(5): field 22 of `stat` is the start time in ticks since boot, field 3 the state. The command in field 2 may hold
/// spaces and brackets, so counting starts behind its last bracket.
#[cfg(target_os = "linux")]
fn started(pid: i32) -> Option<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, start) = (fields.first()?, fields.get(19)?);
    if matches!(*state, "Z" | "X") {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{start}@{}", boot.trim()))
}

#[cfg(not(target_os = "linux"))]
fn started(pid: i32) -> Option<String> {
    let answer = Command::new("ps").args(["-o", "state=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    let (state, start) = line.split_once(' ')?;
    (!state.starts_with('Z')).then(|| start.trim().to_owned())
}

/// A program to run on its own: no terminal, its own process group, output to a file.
pub struct Detached<'a> {
    /// The program's file.
    pub program: &'a Path,
    /// Its arguments.
    pub args: Vec<String>,
    /// The folder that it runs in.
    pub dir: &'a Path,
    /// The file that takes its standard output and standard error.
    pub log: &'a Path,
    /// Added to the starter's environment.
    pub env: Vec<(&'static str, String)>,
}

impl Detached<'_> {
    /// Starts the process in a session of its own, so that it outlives the caller.
    pub fn spawn(&self) -> Result<ProcessId, StackError> {
        let out = create_private(self.log).map_err(StackError::io("create", self.log))?;
        let err = out.try_clone().map_err(StackError::io("open", self.log))?;
        let mut child = Command::new(self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // Ctrl-C at the starter's terminal goes to its group, and must not reach the server.
            .process_group(0)
            .spawn()
            .map_err(StackError::io("run", self.program))?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        let process = ProcessId::of(pid);
        // While the starter lives it is the parent: someone must reap the server when it ends.
        std::thread::spawn(move || child.wait());
        process.ok_or_else(|| StackError::NotStarted {
            server: "a server",
            reason: format!("{} ended at once", self.program.display()),
            log: self.log.to_owned(),
            tail: log_tail(self.log),
        })
    }
}

/// Runs a short program to its end; its output, whichever way it ended.
pub(super) fn run(command: &mut Command, user: Option<&RunAs>) -> Result<(bool, String), StackError> {
    if let Some(user) = user {
        // std drops the supplementary groups when root sets a user.
        command.uid(user.uid).gid(user.gid).env("HOME", "/").env("USER", &user.name);
    }
    let program = PathBuf::from(command.get_program());
    let output = command.stdin(Stdio::null()).output().map_err(StackError::io("run", &program))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), text))
}

/// A new log file's path in `dir`; older ones than the last few are deleted.
pub fn next_log(dir: &Path) -> Result<PathBuf, StackError> {
    create_closed(dir)?;
    let mut logs: Vec<PathBuf> = fs::read_dir(dir)
        .map_err(StackError::io("read", dir))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    for old in logs.iter().rev().skip(LOGS_KEPT - 1) {
        fs::remove_file(old).map_err(StackError::io("delete", old))?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(dir.join(format!("{:013}.log", now.as_millis())))
}

/// The end of a log file, for people.
pub fn log_tail(log: &Path) -> String {
    tail(&fs::read_to_string(log).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_and_gone_when_killed() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
        let process = ProcessId::of(i32::try_from(child.id()).expect("id")).expect("alive");
        assert!(process.is_alive());
        process.signal(Signal::SIGKILL).expect("killed");
        // Not reaped yet, but dead all the same.
        assert!(process.ends_within(Duration::from_secs(10)));
        child.wait().expect("reaped");
        assert!(!process.is_alive());
        process.signal(Signal::SIGKILL).expect("nothing to kill is no error");
    }

    #[test]
    fn only_the_last_logs_are_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        for n in 0..8 {
            fs::write(dir.path().join(format!("{n:013}.log")), "x").expect("written");
        }
        let next = next_log(dir.path()).expect("a name");
        fs::write(&next, "x").expect("written");
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), LOGS_KEPT);
        assert!(next.exists() && dir.path().join("0000000000007.log").exists());
    }
}
