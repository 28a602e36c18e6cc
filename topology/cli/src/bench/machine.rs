//! CPU time and memory of processes, from /proc, and the latency of the disk.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    path::Path,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;

/// Interval between probes of the disk: a small part of the load that a database puts on it.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// Bytes of each write: a page of PostgreSQL's log.
const PAGE: [u8; 8192] = [0x57; 8192];

/// USER_HZ: fixed at 100 on every Linux that userspace sees.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of one process since its start.
pub(super) fn cpu_of(pid: i32) -> anyhow::Result<Duration> {
    let ticks = fields(pid)?;
    Ok(TICK * u32::try_from(ticks.own).unwrap_or(u32::MAX))
}

/// CPU time of a process, its living children, and the children it has buried.
pub(super) fn cpu_with_children(pid: i32) -> anyhow::Result<Duration> {
    let parent = fields(pid)?;
    let mut ticks = parent.own + parent.buried;
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let Some(child) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse().ok()) else {
            continue;
        };
        // A process may end between the listing and the look.
        if let Ok(child) = fields(child)
            && child.parent == pid
        {
            ticks += child.own;
        }
    }
    Ok(TICK * u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// The largest resident memory of a process so far, in bytes.
pub(super) fn peak_memory(pid: i32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading a process's memory")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map(|kib| kib * 1_024)
        .context("the system does not tell a process's peak memory (VmHWM)")
}

/// The load of the last minute, to judge a run by.
pub(super) fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Tries a folder's disk for as long as something else is measured: no commit is quicker than its disk.
pub(super) struct DiskProbe {
    stop: Sender<()>,
    thread: JoinHandle<io::Result<Vec<Duration>>>,
}

impl DiskProbe {
    pub(super) fn start(folder: &Path) -> io::Result<Self> {
        let path = folder.join("disk-probe");
        let file = File::create(&path)?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let took = syncs(file, || stopped.recv_timeout(TRY_EVERY) == Err(RecvTimeoutError::Timeout));
            fs::remove_file(path)?;
            took
        });
        Ok(Self { stop, thread })
    }

    /// Durations of the syncs.
    pub(super) fn end(self) -> io::Result<Vec<Duration>> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the disk's probe panicked")))
    }
}

fn syncs(mut file: File, mut goes_on: impl FnMut() -> bool) -> io::Result<Vec<Duration>> {
    let mut took = Vec::new();
    while goes_on() {
        file.rewind()?;
        file.write_all(&PAGE)?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(began.elapsed());
    }
    Ok(took)
}

struct Ticks {
    parent: i32,
    own: u64,
    buried: u64,
}

/// proc(5): behind the command's closing bracket stand state, parent, …, utime, stime, cutime, cstime.
fn fields(pid: i32) -> anyhow::Result<Ticks> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("reading a process's CPU time")?;
    let behind = stat.rsplit_once(')').context("an unusual /proc/*/stat")?.1;
    let numbers: Vec<i64> = behind.split_whitespace().skip(1).map(|n| n.parse().unwrap_or(0)).collect();
    let sum = |range: std::ops::Range<usize>| {
        numbers
            .get(range)
            .map(|part| part.iter().sum::<i64>())
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0)
    };
    let parent = numbers.first().copied().and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
    Ok(Ticks { parent, own: sum(10..12), buried: sum(12..14) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_tried_until_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let probe = DiskProbe::start(folder.path()).expect("started");
        probe.end().expect("ended");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0, "nothing is left");
        let mut left = 0..3;
        let file = tempfile::tempfile().expect("a file");
        let took = syncs(file, || left.next().is_some()).expect("synced");
        assert_eq!(took.len(), 3);
    }

    #[test]
    fn this_process_has_used_memory() {
        let pid = i32::try_from(std::process::id()).expect("a process id");
        assert!(peak_memory(pid).expect("told") > 1_000_000);
        let own = cpu_of(pid).expect("told");
        assert!(cpu_with_children(pid).expect("told") >= own, "asked later, and with more");
        assert!(cpu_of(i32::MAX).is_err());
    }
}
