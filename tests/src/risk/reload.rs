//! Rules change in a folder while the stage runs.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::Instant;

use super::stage::trail_stopped;
use crate::support::site::Site;

/// `weir run risk` as a process of its own, stopped at the end.
struct Stage(Child);

impl Stage {
    fn run(site: &Site, rules: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
        command
            .args(["run", "risk"])
            .env("WEIR_HOME", rules)
            .env("KAFKA_BOOTSTRAP_SERVERS", &site.endpoints.kafka)
            .env("DATABASE_URL", &site.endpoints.database_url)
            .env("WEIR_RULES__SIGMA", rules)
            .env("WEIR_RULES__OWN", "false")
            .env("WEIR_STAGE__ADMIN_LISTEN", "127.0.0.1:0")
            .env_remove("SCHEMA_REGISTRY_URL")
            .current_dir(rules)
            .stdin(Stdio::null());
        Self(command.spawn().expect("the stage starts"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0.id().try_into().expect("a process id"));
        kill(pid, Signal::SIGTERM).expect("the stage runs until the end of the test");
        let ended = self.0.wait().expect("it ends");
        assert!(ended.success() || std::thread::panicking(), "{ended}");
    }
}

pub(super) fn rule(name: &str, call: &str) -> String {
    format!(
        "title: Rule {name}\nid: {name}\nlogsource:\n  product: aws\n  service: cloudtrail\n\
         detection:\n  selection:\n    eventName: {call}\n  condition: selection\nlevel: high\n"
    )
}

/// Sends event after event until the count is reached.
async fn send_until(site: &Site, sent: &mut u32, sql: &'static str, expected: i64) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while site.count(sql).await != expected {
        assert!(Instant::now() < deadline, "{sql} is not {expected} after {sent} events");
        site.send(&[trail_stopped(*sent)]).await;
        *sent += 1;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_rules_are_in_force_without_a_restart() {
    const FIRST: &str = "SELECT count(DISTINCT rule_id) FROM risk_signal WHERE rule_id = 'first'";
    const ADDED: &str = "SELECT count(DISTINCT rule_key) FROM risk_signal WHERE rule_id = 'added'";
    const CORRELATED: &str =
        "SELECT count(DISTINCT rule_id) FROM risk_signal WHERE rule_id = 'again' AND entity LIKE '%user/ada'";
    let site = Site::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("first.yml"), rule("first", "StopLogging")).expect("written");
    let stage = Stage::run(&site, folder.path());
    let mut sent = 0;
    send_until(&site, &mut sent, FIRST, 1).await;
    assert_eq!(site.count(ADDED).await, 0);

    let added = folder.path().join("added.yml");
    fs::write(&added, rule("added", "StopLogging")).expect("written");
    fs::write(folder.path().join("broken.yml"), "title: [").expect("written");
    send_until(&site, &mut sent, ADDED, 1).await;

    fs::write(&added, rule("added", "StopL*")).expect("written");
    send_until(&site, &mut sent, ADDED, 2).await;

    // Three of them within an hour complete a correlation; its base rule alone says nothing.
    let correlation = "title: Again\nid: again\nlevel: high\ncorrelation:\n  type: event_count\n  rules: [counted]\n  \
                       group-by: [userIdentity.arn]\n  timespan: 1h\n  condition:\n    gte: 3\n---\n";
    fs::write(folder.path().join("again.yml"), correlation.to_owned() + &rule("counted", "StopLogging"))
        .expect("written");
    send_until(&site, &mut sent, CORRELATED, 1).await;
    assert_eq!(site.count("SELECT count(*) FROM risk_signal WHERE rule_id = 'counted'").await, 0);
    drop(stage);
}
