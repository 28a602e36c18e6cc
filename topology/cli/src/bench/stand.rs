//! Environment of a benchmark: servers of its own, and the stage as a process of its own.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use producers::kafka::{Producer, ProducerConfig, Purpose};
use schemas::codec::Framing;

use crate::{deployment::free_address, output::note, run::MEMORY, settings::Client, status};
use stack::{Endpoints, ServerState, Stack, StackConfig, Tethered};
use topology::{pipeline, runtime};

/// Secret of the subject keys; the benchmark's subjects are generated.
const SUBJECT_SECRET: &str = "the subjects of a benchmark are made up";
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Servers that nothing else uses; dropped with the environment.
pub(super) struct Stand {
    stack: Tethered,
    /// Folder of its data, or one beside it.
    pub(super) dir: PathBuf,
    pub(super) endpoints: Endpoints,
}

impl Stand {
    /// Starts the servers and makes the topics.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let shared = StackConfig::shared()?;
        let dir = shared.home.join(format!("bench-{}", std::process::id()));
        let stack = Stack::new(StackConfig::private(&dir)?.with_notice(note)).tethered();
        let endpoints = stack.up().await?;
        runtime::offline::admin::apply(&pipeline::declaration(), &endpoints.kafka, &BTreeMap::new()).await?;
        Ok(Self { stack, dir, endpoints })
    }

    /// A new database with Weir's tables.
    pub(super) async fn database(&self, name: &str) -> anyhow::Result<String> {
        let url = sinks::postgres::create_database(&self.endpoints.maintenance_url, name).await?;
        sinks::postgres::migrate(&url).await?;
        Ok(url)
    }

    /// A producer of many events.
    pub(super) fn producer(&self, purpose: Purpose) -> anyhow::Result<Producer> {
        let config = ProducerConfig {
            bootstrap: self.endpoints.kafka.clone(),
            purpose,
            client_id: "weir-bench".to_owned(),
            extra: BTreeMap::new(),
        };
        Ok(Producer::new(&config, Framing::SingleObject)?)
    }

    /// PostgreSQL's first process.
    pub(super) async fn postmaster(&self) -> anyhow::Result<i32> {
        for server in self.stack.status().await? {
            if let (true, ServerState::Answering { pid }) = (server.name.starts_with("Postgre"), server.state)
            {
                return Ok(pid);
            }
        }
        bail!("the stand's PostgreSQL does not answer")
    }

    /// Stages as a process of their own.
    pub(super) async fn stages(&self, stages: &[&str], database_url: &str) -> anyhow::Result<StageProcess> {
        self.process(Program::stages(stages.iter().copied()), database_url).await
    }

    /// A process of ours that serves its health; ready when this returns.
    pub(super) async fn process(&self, program: Program, database_url: &str) -> anyhow::Result<StageProcess> {
        let listen = free_address(([127, 0, 0, 1], 0).into())?;
        let child = Command::new(std::env::current_exe().context("finding the program to start")?)
            .arg("--quiet")
            .args(program.args)
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.endpoints.kafka)
            .env("DATABASE_URL", database_url)
            .env("WEIR_STAGE__ADMIN_LISTEN", listen.to_string())
            .env("WEIR_AUDIT__SUBJECT_SECRET", SUBJECT_SECRET)
            .env_remove("SCHEMA_REGISTRY_URL")
            .envs(MEMORY)
            .envs(program.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("starting the stage")?;
        let mut stage = StageProcess { child };
        let client = status::client(&Client::default())?;
        let ready = format!("http://{listen}/readyz");
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        while !status::answers(&client, &ready).await {
            if stage.child.try_wait()?.is_some() || tokio::time::Instant::now() >= deadline {
                bail!("the stage did not become ready; its log is above");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(stage)
    }
}

/// Arguments and environment of a process.
pub(super) struct Program {
    pub(super) args: Vec<String>,
    /// Beside what every process of a stand is told.
    pub(super) env: Vec<(&'static str, String)>,
}

impl Program {
    /// `weir run` with these stages.
    pub(super) fn stages<'a>(stages: impl IntoIterator<Item = &'a str>) -> Self {
        let args = std::iter::once("run").chain(stages).map(str::to_owned).collect();
        Self { args, env: Vec::new() }
    }
}

/// The stage under measurement; killed if it is dropped.
pub(super) struct StageProcess {
    child: Child,
}

impl StageProcess {
    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// Stops it gracefully.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).context("stopping the stage")?;
        tokio::task::spawn_blocking(move || self.child.wait()).await?.context("waiting for the stage")?;
        Ok(())
    }
}

impl Drop for StageProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
