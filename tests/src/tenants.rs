//! Limits of single tenants: set by a command, held to by a running gateway, told in the audit log.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use topology::runtime;

use crate::{
    intake::door::{Answer, Door},
    support::site::{Site, ended},
};

/// A request of one command.
const CRITICALITY: &str = "/api/v1/risk/entities/user/mara/criticality";

impl Door {
    /// The status of one request of the tenant's.
    async fn status(&self, token: &str) -> u16 {
        let body = json!({"criticality": "low", "reason": "a test"}).to_string();
        Answer::to(self.post_as(token, CRITICALITY, body)).await.status
    }

    /// Sends requests of the tenant's until one is answered so.
    async fn await_status(&self, token: &str, expected: u16) {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            let status = self.status(token).await;
            if status == expected {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{status} and never {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Site {
    /// Output of a command, which must succeed.
    async fn told(&self, args: &[&str]) -> String {
        let output = ended(self.command(args)).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    async fn shown(&self, tenant: &str) -> Value {
        let text = self.told(&["tenant", "show", tenant, "--output", "json"]).await;
        serde_json::from_str(&text).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_set_holds_without_a_restart_for_its_tenant_alone() {
    let (site, stop) = (Site::new().await, CancellationToken::new());
    let (tenants, following) = runtime::tenants::follow(&site.endpoints.database_url, stop.clone());
    let door = Door::open_with(&site, |config| config.tenants = tenants).await;
    let stage = site.run_stages(&["audit"], 1);
    assert_eq!(door.status(&door.neighbour).await, 202);

    let reason = ["--reason", "floods\nus"];
    let limit = ["tenant", "limit", "other", "--requests-per-minute"];
    site.told(&[&limit[..], &["1"], &reason].concat()).await;
    door.await_status(&door.neighbour, 429).await;
    for _ in 0..20 {
        assert_eq!(
            Answer::to(door.post(CRITICALITY, r#"{"criticality":"low","reason":"x"}"#)).await.status,
            202
        );
    }
    site.told(&[&limit[..], &["default"], &reason].concat()).await;
    door.await_status(&door.neighbour, 202).await;
    site.told(&["tenant", "limit", "other", "--connections", "2", "--kib-per-minute", "9", "--reason", "x"])
        .await;

    // What was used and refused is written down, at the latest when the services stop.
    door.stop.cancel();
    stop.cancel();
    following.await.expect("no panic");
    let (acme, other) = (site.shown("acme").await, site.shown("other").await);
    assert_eq!(acme["last_hour"]["requests"], 20);
    assert_eq!((&acme["last_hour"]["events"], &acme["last_hour"]["refused"]), (&json!(20), &json!({})));
    let refused = other["last_hour"]["refused"]["requests"].as_u64().expect("refused");
    assert!(refused >= 1, "{other}");
    let limits: Vec<&Value> =
        other["limits"].as_array().expect("limits").iter().filter(|limit| !limit["set"].is_null()).collect();
    assert_eq!(
        limits.iter().map(|limit| &limit["name"]).collect::<Vec<_>>(),
        ["kib_per_minute", "connections"]
    );
    let listed: Vec<Value> =
        serde_json::from_str(&site.told(&["tenant", "list", "--output", "json"]).await).expect("JSON");
    let of_other = listed.iter().find(|tenant| tenant["tenant"] == "other").expect("listed");
    assert_eq!(of_other["own_limits"], json!({"connections": 2, "kib_per_minute": 9}));
    assert_eq!(of_other["last_hour"], other["last_hour"]);
    for table in [["tenant", "list"].to_vec(), ["tenant", "show", "other"].to_vec()] {
        assert!(site.told(&table).await.contains("kib_per_minute"), "{table:?}");
    }

    // Every change stands in the tenant's own audit log, in Weir's name.
    let entries = "SELECT count(*) FROM audit_entry WHERE tenant_id = 'other' AND source = '/weir/tenants'";
    site.await_count(entries, 4).await;
    assert_eq!(site.count("SELECT count(*) FROM parked_record").await, 0);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_cannot_be_told_is_not_set() {
    let site = Site::new().await;
    for (args, said) in [
        (["tenant", "limit", "acme", "--connections", "0", "--reason", "x"].to_vec(), "whole number"),
        (["tenant", "limit", "acme", "--connections", "1", "--reason", " "].to_vec(), "reason"),
        (["tenant", "limit", "acme", "--reason", "x"].to_vec(), "required"),
        (["tenant", "limit", "a b", "--connections", "1", "--reason", "x"].to_vec(), "a b"),
        (["tenant", "show", "nobody"].to_vec(), "nobody has no key"),
    ] {
        let output = ended(site.command(&args)).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(said), "{args:?}: {text}");
    }
    // Without Kafka nobody would know of it.
    let mut command = site.command(&["tenant", "limit", "acme", "--connections", "1", "--reason", "x"]);
    command.env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1");
    assert!(!ended(command).await.status.success());
    assert_eq!(site.count("SELECT count(*) FROM tenant_limit").await, 0);
}

/// Keys are made under it.
const PEPPER: (&str, &str) = ("WEIR_API_KEYS__PEPPER", "thirty-two bytes of pepper, and more");

/// With servers of somebody's own there is no tenant by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_asks_for_the_tenant_that_it_acts_for() {
    let site = Site::new().await;
    for args in [
        "key create --scope events:write",
        "generate --events 1",
        "import cloudtrail .",
        "stage resume audit --topic weir.activity.v1 --partition 0",
        "stage accept-gap audit --topic weir.activity.v1 --partition 0 --to 1 --reason x",
        "dead-letter discard --all --reason x",
        "dead-letter replay --all",
    ] {
        let words: Vec<&str> = args.split(' ').collect();
        let mut command = site.command(&words);
        command.env_remove("WEIR_TENANT").env(PEPPER.0, PEPPER.1);
        let output = ended(command).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("--tenant"), "{args}: {said}");
    }
    let keys = "SELECT count(*) FROM api_key";
    assert_eq!(site.count(keys).await, 0);
    let mut command = site.command(&["key", "create", "--scope", "events:write"]);
    command.env(PEPPER.0, PEPPER.1);
    assert!(ended(command).await.status.success());
    assert_eq!(
        site.count("SELECT count(*) FROM api_key WHERE tenant_id = 'demo'").await,
        1,
        "of WEIR_TENANT"
    );
}
