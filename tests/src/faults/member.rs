//! A stage as a process that can be killed.

use std::process::{Child, Command, Stdio};

use crate::support::{SUBJECT_SECRET, service};
use ::stack::Endpoints;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process that runs stages; killed when dropped.
pub(crate) struct Member {
    child: Child,
}

impl Member {
    /// Starts a process that runs the audit stage. `instance`: static membership, by which a restarted process takes its
    /// partitions up at once instead of after the dead one's session has run out.
    pub(crate) fn start(endpoints: &Endpoints, instance: Option<&str>) -> Self {
        Self::running(&["audit"], endpoints, instance)
    }

    /// Starts a process that runs these stages.
    pub(crate) fn running(stages: &[&str], endpoints: &Endpoints, instance: Option<&str>) -> Self {
        let mut command = Command::new(service::weir());
        command
            .arg("run")
            .args(stages)
            .env("KAFKA_BOOTSTRAP_SERVERS", &endpoints.kafka)
            .env("DATABASE_URL", &endpoints.database_url)
            .env("WEIR_STAGE__ADMIN_LISTEN", "127.0.0.1:0")
            .env("WEIR_AUDIT__SUBJECT_SECRET", SUBJECT_SECRET)
            .env("RUST_LOG", std::env::var("WEIR_FAULT_LOG").unwrap_or_else(|_| "error".to_owned()))
            .env_remove("SCHEMA_REGISTRY_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(instance) = instance {
            command.env("WEIR_STAGE__GROUP_INSTANCE", instance);
        }
        Self { child: command.spawn().expect("the stage starts") }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it: no handler runs, nothing is flushed.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = tokio::task::block_in_place(|| self.child.wait()).expect("reaped");
        assert!(status.success(), "a stage that is told to stop ends well: {status}");
    }

    /// Stops it in the middle of whatever it does.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on as if no time had passed.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("told");
    }

    /// Fails the test if the process has ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        let ended = self.child.try_wait().expect("its state");
        assert!(ended.is_none(), "the stage ended by itself: {ended:?}");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
