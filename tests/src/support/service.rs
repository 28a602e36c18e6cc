//! The command as a process, and the addresses on which it listens.

use std::{collections::BTreeMap, env, ffi::OsString, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// The command under test: the one that was built with the tests, or the one at the path that `WEIR_UNDER_TEST` holds, for
/// example a release.
pub(crate) fn weir() -> OsString {
    env::var_os("WEIR_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_weir-under-test").into())
}

/// A process that serves; killed when dropped.
pub(crate) struct Service {
    process: Child,
    addresses: BTreeMap<String, String>,
}

impl Service {
    /// Runs roles on ports of their own until the listeners of these names are told.
    pub(crate) async fn start(
        roles: &[&str],
        environment: &[(&str, &str)],
        listeners: &[&'static str],
    ) -> Self {
        let mut command = Command::new(weir());
        command.arg("run").args(roles);
        for listener in ["GATEWAY", "QUERY_API"] {
            for which in ["LISTEN", "ADMIN_LISTEN"] {
                command.env(format!("WEIR_{listener}__{which}"), "127.0.0.1:0");
            }
        }
        command
            .env("LOG_FORMAT", "json")
            .env("RUST_LOG", "info")
            .env_remove("SCHEMA_REGISTRY_URL")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().expect("it starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let mut addresses = BTreeMap::new();
        let told = async {
            while !listeners.iter().all(|listener| addresses.contains_key(*listener)) {
                let line = lines.next_line().await.expect("readable").expect("it goes on");
                let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
                if let (Some(listener), Some(address)) =
                    (event["listener"].as_str(), event["address"].as_str())
                {
                    addresses.insert(listener.to_owned(), format!("http://{address}"));
                }
            }
        };
        timeout(Duration::from_secs(30), told).await.expect("it listens");
        // Whoever does not read it would stop it in the end.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { process, addresses }
    }

    /// URL of a listener.
    pub(crate) fn url(&self, listener: &str) -> &str {
        &self.addresses[listener]
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id().expect("it runs")
    }
}
