//! The gateway and a stage killed at random while decisions are asked for: whoever was answered in mode `block` finds the
//! decision in the audit log, once.
//!
//! `WEIR_FAULT_DECISIONS` and `WEIR_FAULT_KILLS` make a run longer or shorter.

use std::{
    collections::HashSet,
    net::TcpListener,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::Rng as _;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{dice, ledger, member::Member, setting};
use crate::support::{
    self,
    site::{Site, ended},
};

const CLIENTS: u64 = 4;
const PEPPER: &str = "the pepper of one test, long enough";
/// By then the gateway answers again after a kill.
const BACK_WITHIN: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_decision_is_answered_and_lost_when_the_gateway_and_stages_are_killed() {
    let mut dice = dice("no_decision_is_answered_and_lost_when_the_gateway_and_stages_are_killed");
    let (decisions, kills) = (setting("WEIR_FAULT_DECISIONS", 2_000), setting("WEIR_FAULT_KILLS", 50) / 5);
    let site = Site::new().await;
    support::provide_cryptography();
    let token = key(&site).await;
    let address = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a free port");
    let mut gateway = Gateway::start(&site, &address.to_string());
    let mut stage = Some(Member::start(&site.endpoints, Some("a")));
    let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let url = format!("http://{address}/api/v1/policy/evaluate?mode=block");
            let client = Client { number, url, token: token.clone(), answered: Arc::clone(&answered) };
            tokio::spawn(client.ask_until(stop.clone()))
        })
        .collect();
    for kill in 1..=kills {
        // However slow the machine is: every kill meets clients at work.
        await_answers(&answered, decisions * kill / (kills + 1)).await;
        sleep(Duration::from_millis(dice.random_range(0..300))).await;
        if dice.random_bool(0.6) {
            gateway.kill();
            gateway = Gateway::start(&site, &address.to_string());
        } else if let Some(member) = stage.take() {
            member.kill();
            stage = Some(Member::start(&site.endpoints, Some("a")));
        }
    }
    await_answers(&answered, decisions).await;
    stop.cancel();
    let (mut told, mut asked_again) = (Vec::new(), 0);
    for client in clients {
        let one = client.await.expect("no client is told anything else");
        told.extend(one.0);
        asked_again += one.1;
    }
    let ids: HashSet<Uuid> = told.iter().copied().collect();
    assert_eq!(ids.len(), told.len(), "every answer is a decision of its own");
    assert!(kills == 0 || asked_again > 0, "a kill was felt");
    let stored = await_stored(&site, &ids).await;
    assert_eq!(stored.iter().collect::<HashSet<_>>().len(), stored.len(), "a decision is stored once");
    gateway.kill();
}

/// Waits until so many decisions were answered.
async fn await_answers(answered: &AtomicU64, wanted: u64) {
    let (mut seen, mut since) = (answered.load(Relaxed), tokio::time::Instant::now());
    while seen < wanted {
        sleep(Duration::from_millis(20)).await;
        let now = answered.load(Relaxed);
        if now > seen {
            (seen, since) = (now, tokio::time::Instant::now());
        }
        assert!(since.elapsed() < BACK_WITHIN, "nothing is answered for {BACK_WITHIN:?}: {seen} of {wanted}");
    }
}

/// The decisions in the audit log, once all of these are there.
async fn await_stored(site: &Site, ids: &HashSet<Uuid>) -> Vec<Uuid> {
    let deadline = tokio::time::Instant::now() + BACK_WITHIN;
    loop {
        let mut connection = ledger::connect(&site.endpoints).await;
        let stored: Vec<Uuid> =
            sqlx::query_scalar("SELECT event_id FROM audit_entry WHERE action = 'EvaluatePolicy'")
                .fetch_all(&mut connection)
                .await
                .expect("the audit log");
        let lost = ids.difference(&stored.iter().copied().collect()).count();
        if lost == 0 {
            return stored;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{lost} of {} answered decisions are lost",
            ids.len()
        );
        sleep(Duration::from_millis(200)).await;
    }
}

async fn key(site: &Site) -> String {
    let args = ["key", "create", "--tenant", "acme", "--scope", "policy:evaluate", "--output", "json"];
    let mut command = site.command(&args);
    command.env("WEIR_API_KEYS__PEPPER", PEPPER);
    let made = ended(command).await;
    let told: Value = serde_json::from_slice(&made.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&made.stderr)));
    told["token"].as_str().expect("a token").to_owned()
}

/// A gateway as a process of its own; killed when dropped.
struct Gateway(Child);

impl Gateway {
    fn start(site: &Site, address: &str) -> Self {
        let mut command = site.command(&["run", "gateway"]);
        command
            .env("WEIR_API_KEYS__PEPPER", PEPPER)
            .env("WEIR_GATEWAY__LISTEN", address)
            .env("WEIR_GATEWAY__ADMIN_LISTEN", "127.0.0.1:0")
            .env("WEIR_GATEWAY__REQUESTS_PER_MINUTE", "0")
            .env("WEIR_GATEWAY__TENANT_PER_MINUTE__REQUESTS", "0")
            .env("WEIR_GATEWAY__TENANT_PER_MINUTE__EVENTS", "0")
            .env("RUST_LOG", std::env::var("WEIR_FAULT_LOG").unwrap_or_else(|_| "error".to_owned()))
            .env_remove("SCHEMA_REGISTRY_URL")
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        Self(command.spawn().expect("the gateway starts"))
    }

    /// Kills it: no handler runs, nothing is flushed.
    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("reaped");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks for one decision after another.
struct Client {
    number: u64,
    url: String,
    token: String,
    answered: Arc<AtomicU64>,
}

impl Client {
    /// Ids of the answered decisions, and how often a question had no answer.
    async fn ask_until(self, stop: CancellationToken) -> (Vec<Uuid>, u64) {
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client");
        let (mut told, mut unanswered, mut number) = (Vec::new(), 0, 0_u64);
        while !stop.is_cancelled() {
            // Every fourth document is new, the others are decided from the cache.
            if let Some(id) = self.ask(&http, number / 4).await {
                told.push(id);
                number += 1;
                self.answered.fetch_add(1, Relaxed);
            } else {
                unanswered += 1;
                sleep(Duration::from_millis(50)).await;
            }
        }
        (told, unanswered)
    }

    /// The decision's id; `None`: the gateway is away, or has no decision.
    async fn ask(&self, http: &reqwest::Client, number: u64) -> Option<Uuid> {
        let plan = json!({"format_version": "1.2", "resource_changes": [{
            "address": "aws_kms_key.a", "mode": "managed", "type": "aws_kms_key", "name": "a",
            "change": {"actions": ["create"], "before": null, "after_unknown": {},
                       "after": {"description": format!("{} {number}", self.number), "enable_key_rotation": true}},
        }]});
        let request =
            http.post(&self.url).bearer_auth(&self.token).header("content-type", "application/json");
        let answer = request.body(plan.to_string()).send().await.ok()?;
        let status = answer.status().as_u16();
        // An answer that is cut off is none.
        let body: Value = answer.json().await.ok()?;
        assert!([200, 503].contains(&status), "{status}: {body}");
        (status == 200).then(|| body["decision_id"].as_str().and_then(|id| id.parse().ok()).expect("an id"))
    }
}
