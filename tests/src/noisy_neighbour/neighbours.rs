//! Two tenants in front of one gateway, and the stages behind it.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use reqwest::{Client, RequestBuilder};
use schemas::{
    TenantId,
    access::{Pepper, Scope},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sinks::api_keys::{self, KeyRequest};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::{
    faults::member::Member,
    intake::door::Answer,
    support::{provide_cryptography, service::Service, site::Site},
};

const PEPPER: &str = "thirty-two bytes of pepper, and more";
/// Pause between two looks for a record.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Longest wait for a record.
const PATIENCE: Duration = Duration::from_mins(2);
const VISIBLE: &str = "SELECT EXISTS (SELECT FROM audit_entry WHERE tenant_id = 'other' AND event_id = $1)
                          AND EXISTS (SELECT FROM risk_signal WHERE tenant_id = 'other' AND event_id = $1)";
/// The offset up to which each of the stages has settled, all together.
const SETTLED: &str = "SELECT COALESCE(sum(position), 0)::bigint FROM stage_position";
const HALTED: &str = "SELECT count(*) FROM stage_position WHERE halted IS NOT NULL";

/// Both tenants' way in, and the stages behind it.
pub(super) struct Neighbours {
    pub(super) site: Site,
    _home: tempfile::TempDir,
    gateway: Service,
    pub(super) stages: Member,
    http: Client,
    /// Key of the attacker.
    pub(super) loud: String,
    /// Key of another tenant that joins in.
    louder: String,
    /// Key of the neighbour.
    quiet: String,
    /// Records that the neighbour has published.
    published: AtomicU32,
    /// Attacks that went before: each has ids of its own.
    pub(super) round: u32,
}

/// Times of the neighbour's records: until the answer, and until each was both a row and a signal.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) answers: Vec<Duration>,
    pub(super) visible: Vec<Duration>,
}

/// A call that both audit and risk have something to say about.
pub(super) fn deleted_trail(number: u32) -> Value {
    json!({
        "eventVersion": "1.08", "eventID": id_of(number).to_string(),
        "eventTime": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "eventSource": "cloudtrail.amazonaws.com", "eventName": "DeleteTrail", "awsRegion": "eu-central-1",
        "sourceIPAddress": "192.0.2.7", "userAgent": "aws-cli/2.15", "recipientAccountId": "111122223333",
        "eventType": "AwsApiCall", "requestParameters": {"name": "main"}, "responseElements": null,
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/nora", "userName": "nora"},
    })
}

fn id_of(number: u32) -> Uuid {
    Uuid::from_u128(0x5d3f_1f0e_0000_4000_8000_0000_0000_0000 | u128::from(number))
}

impl Neighbours {
    pub(super) async fn open() -> Self {
        let (site, home) = (Site::new().await, tempfile::tempdir().expect("a folder"));
        let mut owner = PgConnection::connect(&site.endpoints.database_url).await.expect("Postgres answers");
        let (loud, quiet) = (made_key(&mut owner, "acme").await, made_key(&mut owner, "other").await);
        let louder = made_key(&mut owner, "accomplice").await;
        let environment = [
            ("DATABASE_URL", site.endpoints.database_url.as_str()),
            ("KAFKA_BOOTSTRAP_SERVERS", site.endpoints.kafka.as_str()),
            ("WEIR_API_KEYS__PEPPER", PEPPER),
            ("WEIR_GATEWAY__REQUESTS_PER_MINUTE", "0"),
            // No deployment of this machine's is looked for.
            ("WEIR_HOME", home.path().to_str().expect("text")),
        ];
        let gateway = Service::start(&["gateway"], &environment, &["gateway"]).await;
        let stages = Member::running(&["audit", "risk", "change_review"], &site.endpoints, None);
        provide_cryptography();
        let http = Client::new();
        Self {
            site,
            _home: home,
            gateway,
            stages,
            http,
            loud,
            louder,
            quiet,
            published: AtomicU32::new(0),
            round: 0,
        }
    }

    /// `host:port` of the gateway.
    pub(super) fn address(&self) -> &str {
        self.gateway.url("gateway").trim_start_matches("http://")
    }

    fn post(&self, token: &str, path: &str, content_type: &str, body: String) -> RequestBuilder {
        let url = format!("{}{path}", self.gateway.url("gateway"));
        self.http.post(url).bearer_auth(token).header("content-type", content_type).body(body)
    }

    /// Sends what the attacker sends; what the gateway refuses of it is refused to the attacker alone.
    pub(super) async fn attack(&self, path: &str, content_type: &str, body: String) {
        self.attack_as(&self.loud, path, content_type, body).await;
    }

    async fn attack_as(&self, token: &str, path: &str, content_type: &str, body: String) {
        let answer = Answer::to(self.post(token, path, content_type, body)).await;
        assert!(
            [202, 403, 413, 422, 429, 503].contains(&answer.status),
            "{}: {}",
            answer.status,
            answer.body
        );
    }

    pub(super) async fn attack_with(&self, events: &[Value]) {
        self.attack("/api/v1/events", "application/cloudevents-batch+json", Value::from(events).to_string())
            .await;
    }

    /// Sends the events of two tenants at once.
    pub(super) async fn attack_in_pairs(&self, events: &[Value]) {
        let body = Value::from(events).to_string();
        let (path, batch) = ("/api/v1/events", "application/cloudevents-batch+json");
        tokio::join!(
            self.attack_as(&self.loud, path, batch, body.clone()),
            self.attack_as(&self.louder, path, batch, body.clone())
        );
    }

    /// Publishes as the neighbour, one record after another, each until it is a row and a signal.
    pub(super) async fn look(&self, looks: u32) -> Seen {
        let mut seen = Seen::default();
        let mut reader =
            PgConnection::connect(&self.site.endpoints.database_url).await.expect("Postgres answers");
        for _ in 0..looks {
            let number = self.published.fetch_add(1, Relaxed) + 1;
            let body = json!({"Records": [deleted_trail(number)]}).to_string();
            let began = Instant::now();
            let request = self.post(&self.quiet, "/api/v1/sources/cloudtrail", "application/json", body);
            let answer = Answer::to(request).await.taken();
            assert_eq!(answer["counts"]["accepted"], 1, "{answer}");
            seen.answers.push(began.elapsed());
            let is_visible = || sqlx::query_scalar::<_, bool>(VISIBLE).bind(id_of(number));
            while !is_visible().fetch_one(&mut reader).await.expect("an answer") {
                assert!(began.elapsed() < PATIENCE, "record {number} of the neighbour is not visible");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            seen.visible.push(began.elapsed());
        }
        seen
    }

    /// Waits until the stages have settled what they were given: nothing moves for a second.
    pub(super) async fn settled(&self) {
        let (mut before, mut since) = (-1, Instant::now());
        while since.elapsed() < Duration::from_secs(1) {
            let now = self.site.count(SETTLED).await;
            if now != before {
                (before, since) = (now, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Partitions that are halted.
    pub(super) async fn halted(&self) -> i64 {
        self.site.count(HALTED).await
    }

    /// Resident bytes of the stages' process, and of the gateway's.
    pub(super) fn memory(&self) -> [u64; 2] {
        [self.stages.id(), self.gateway.id()].map(|id| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
        })
    }
}

/// A key of the tenant that may do everything.
async fn made_key(connection: &mut PgConnection, tenant: &str) -> String {
    let request = KeyRequest {
        tenant: TenantId::new(tenant).expect("valid"),
        name: "everything".into(),
        scopes: Scope::ALL.to_vec(),
        expires_at: None,
        sources: Vec::new(),
        networks: Vec::new(),
    };
    let made = api_keys::create(connection, &Pepper::new(PEPPER), &request).await.expect("made");
    made.token.expose_secret().to_owned()
}
