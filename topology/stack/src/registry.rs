//! A Confluent-compatible schema registry (Apicurio). It keeps schemas in memory: a stopped one forgets them,
//! and producers register their schemas again.

use super::fetch::{Part, Sources};
use super::folder::claim;
use super::process::{Detached, ProcessId, holds_within, log_tail, next_log};
use super::state::Server;
use super::{StackConfig, StackError, java, ports};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAME: &str = "the schema registry";
const API: &str = "/apis/ccompat/v7";
const READY_WITHIN: Duration = Duration::from_secs(90);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Its API on this machine.
pub(super) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}{API}")
}

/// Starts the registry and waits until it answers.
pub(super) fn start(
    config: &StackConfig,
    sources: &Sources,
    previous: Option<&Server>,
    record: &dyn Fn(Server) -> Result<(), StackError>,
) -> Result<(), StackError> {
    let java = java::find()?;
    let jar = runner(&sources.registry)?;
    let folder = config.home.join(Part::Registry.folder());
    claim(NAME, &folder, Part::Registry.mark())?;
    let log = next_log(&folder.join("logs"))?;
    let port = ports::pick(&config.home, "registry", previous.map(|server| server.port))?;
    config.say(&format!("starting the schema registry on 127.0.0.1:{port}"));
    let args = vec![
        "-Xmx256m".to_owned(),
        "-Dquarkus.http.host=127.0.0.1".to_owned(),
        format!("-Dquarkus.http.port={port}"),
        "-jar".to_owned(),
        jar.display().to_string(),
    ];
    let process = Detached { program: &java, args, dir: &folder, log: &log, env: java::environment() };
    let process = process.spawn()?;
    let server = Server {
        process: Some(process.clone()),
        port,
        controller_port: None,
        folder,
        log: log.clone(),
        programs: sources.registry.clone(),
    };
    record(server.clone())?;
    if holds_within(READY_WITHIN, || !process.is_alive() || answers(&server)) && process.is_alive() {
        return Ok(());
    }
    let reason = if process.is_alive() { "it does not answer" } else { "it ended while starting" };
    stop(&server)?;
    Err(StackError::NotStarted { server: NAME, reason: reason.to_owned(), tail: log_tail(&log), log })
}

/// Whether it lists its subjects.
pub(super) fn answers(server: &Server) -> bool {
    lists_subjects(server.port).unwrap_or(false)
}

fn lists_subjects(port: u16) -> std::io::Result<bool> {
    const STATUS_LINE: u64 = 64;
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET {API}/subjects HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(STATUS_LINE).read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

/// Ends the registry.
pub(super) fn stop(server: &Server) -> Result<(), StackError> {
    let Some(process) = &server.process else { return Ok(()) };
    let refused = |reason: String| StackError::NotStopped { server: NAME, pid: process.pid, reason };
    process.signal(Signal::SIGTERM).map_err(|error| refused(error.to_string()))?;
    if process.ends_within(STOPPED_WITHIN) {
        return Ok(());
    }
    process.signal(Signal::SIGKILL).map_err(|error| refused(error.to_string()))?;
    ended(process).ok_or_else(|| refused("it is still there after SIGKILL".to_owned()))
}

fn ended(process: &ProcessId) -> Option<()> {
    process.ends_within(STOPPED_WITHIN).then_some(())
}

fn runner(dir: &Path) -> Result<PathBuf, StackError> {
    fs::read_dir(dir)
        .map_err(StackError::io("read", dir))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.to_string_lossy().ends_with("-runner.jar"))
        .ok_or_else(|| StackError::Unusable {
            what: NAME,
            path: dir.to_owned(),
            reason: "it holds no runner jar; delete this folder and start again".to_owned(),
        })
}
