//! A query API on a database of its own, and rows to put there.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use chrono::TimeDelta;
use edge::{Listen, Listener, trail::Trail};
use reqwest::StatusCode;
use schemas::{
    TenantId, Timestamp, Topic,
    access::{ApiKey, KeyRing, NewApiKey, Pepper, Role, Scope},
};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sinks::{
    compress::{CURRENT, Compressor},
    query_api::{AuditPage, Controls, CursorKey, QueryApi, QueryConfig, Rates, ShareLimits},
    read_models::{
        pipeline::{DeclaredStage, LogEnds},
        reader_pool,
    },
};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support;

/// Connections that the readers share.
pub(crate) const READERS: u32 = 4;

/// A query API of its own, on a database of its own.
pub(crate) struct Api {
    pub(crate) database: String,
    pub(crate) url: String,
    /// Router that answers at the URL.
    pub(crate) router: axum::Router,
    pub(crate) client: reqwest::Client,
    /// By tenant: `acme` and `other`; `operator`, acme's who may see how the stages work; and by the name of each role of
    /// `other`.
    pub(crate) tokens: BTreeMap<&'static str, String>,
    pub(crate) readers: PgPool,
    pub(crate) owner: PgConnection,
    pub(crate) log_ends: watch::Sender<Option<Arc<LogEnds>>>,
    /// Uses and refusals of its callers.
    pub(crate) trail: Arc<Trail>,
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other shares than by default.
    pub(crate) async fn start_with(change: impl FnOnce(&mut ShareLimits)) -> Self {
        let mut shares = ShareLimits { connections: READERS as usize, ..ShareLimits::default() };
        change(&mut shares);
        Self::over(support::database().await, shares).await
    }

    /// On a database that is there.
    pub(crate) async fn over(database: String, shares: ShareLimits) -> Self {
        let owner = PgConnection::connect(&database).await.expect("the database takes connections");
        let readers = reader_pool(&database, READERS).expect("an address");
        let pepper = Pepper::new("pepper");
        let (mut tokens, mut keys) = (BTreeMap::new(), Vec::new());
        let reading =
            || vec![Scope::Read, Scope::AuditRead, Scope::RiskRead, Scope::CostRead, Scope::ComplianceRead];
        let operating = reading().into_iter().chain([Scope::StageAdmin]).collect();
        let holders =
            [("acme", "acme", reading()), ("other", "other", reading()), ("operator", "acme", operating)];
        let roles = Role::ALL.map(|role| (role.name(), "other", role.scopes().to_vec()));
        for (seed, (name, tenant, scopes)) in (1..).zip(holders.into_iter().chain(roles)) {
            let made = NewApiKey::generate(&pepper, &[seed; 64]);
            tokens.insert(name, made.token.expose_secret().to_owned());
            keys.push(ApiKey {
                id: made.id,
                succeeds: None,
                tenant: TenantId::new(tenant).expect("valid"),
                name: "test".into(),
                scopes,
                secret_hmac: made.secret_hmac,
                created_at: Timestamp::UNIX_EPOCH,
                revoked_at: None,
                expires_at: None,
                last_used_at: None,
                sources: Vec::new(),
                networks: Vec::new(),
            });
        }
        let (log_ends, ends) = watch::channel(None);
        let tenants = edge::tenants::Tenants::default();
        let trail = Arc::clone(&tenants.trail);
        let config = QueryConfig {
            identities: Arc::default(),
            cursor_key: CursorKey::derived_from(&pepper),
            stages: vec![DeclaredStage { name: "audit".into(), topics: Topic::FAMILIES.to_vec() }],
            log_keys: Vec::new(),
            controls: Controls::default(),
            log_ends: ends,
            rates: Rates {
                per_key_per_minute: None,
                failed_logins_per_minute: NonZeroU32::MAX,
                ..Rates::default()
            },
            shares,
            tenants,
            trusted_proxies: Vec::new(),
            metrics: None,
        };
        let ring = watch::channel(Some(Arc::new(KeyRing::new(pepper, keys)))).1;
        let router = QueryApi::new(config, readers.clone(), ring).router();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(Listen::at("test", address)).await.expect("a free port");
        let url = format!("http://{}", listener.address());
        tokio::spawn(listener.serve(router.clone(), CancellationToken::new()));
        support::provide_cryptography();
        Self {
            database,
            url,
            router,
            client: reqwest::Client::new(),
            tokens,
            readers,
            owner,
            log_ends,
            trail,
        }
    }

    /// A request of the tenant's, not yet sent.
    pub(crate) fn request(&self, tenant: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.tokens[tenant])
    }

    pub(crate) async fn ask(&self, tenant: &str, path: &str) -> (StatusCode, String) {
        let answer = self.request(tenant, path).send().await.expect("the API answers");
        (answer.status(), answer.text().await.expect("a body"))
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, tenant: &str, path: &str) -> T {
        let (status, body) = self.ask(tenant, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).expect("the promised shape")
    }

    /// The slug of the problem with which the request is refused.
    pub(crate) async fn refused(&self, tenant: &str, path: &str) -> String {
        let (_, body) = self.ask(tenant, path).await;
        let problem: Value = serde_json::from_str(&body).expect("a problem");
        problem["type"].as_str().expect("a type").trim_start_matches("/problems/").to_owned()
    }

    /// The actions on a page of acme's.
    pub(crate) async fn actions(&self, query: &str) -> Vec<String> {
        let page: AuditPage = self.get("acme", &format!("/api/v1/audit?{query}")).await;
        page.items.into_iter().map(|item| item.action).collect()
    }

    pub(crate) async fn insert(&mut self, entry: &Entry) {
        let mut compressor = Compressor::new().expect("a compressor");
        let record = compressor
            .compress(|to| to.extend_from_slice(entry.record.to_string().as_bytes()))
            .expect("compresses")
            .to_vec();
        sqlx::query(
            "INSERT INTO audit_event (occurred_at, event_id, tenant_id, content) VALUES ($1, $2, $3, '')",
        )
        .bind(entry.occurred_at)
        .bind(entry.event_id)
        .bind(entry.tenant)
        .execute(&mut self.owner)
        .await
        .expect("inserted");
        sqlx::query(
            "INSERT INTO audit_entry (occurred_at, record_offset, event_id, partition, class_uid, activity_id,
                 severity_id, record_dictionary, topic, tenant_id, kind, actor_kind, actor, actor_name, action,
                 resource_type, resource, project, outcome, outcome_code, source, correlation_id, content_sha256,
                 record)
             VALUES ($1, $2, $3, 3, 6003, 1, 1, $4, 'weir.activity.v1', $5, $6, 'user', $7, $8, $9, 'bucket', $10,
                 $11, $12, $13, $14, $15, '', $16)",
        )
        .bind(entry.occurred_at)
        .bind(entry.offset)
        .bind(entry.event_id)
        .bind(CURRENT)
        .bind(entry.tenant)
        .bind(entry.kind)
        .bind(entry.actor)
        .bind(entry.actor_name)
        .bind(&entry.action)
        .bind(entry.resource)
        .bind(entry.project)
        .bind(entry.outcome)
        .bind(entry.outcome_code)
        .bind(entry.source)
        .bind(entry.correlation)
        .bind(record)
        .execute(&mut self.owner)
        .await
        .expect("inserted");
        let terms = [
            ("actor", Some(entry.actor)),
            ("actor_name", entry.actor_name),
            ("action", Some(&entry.action)),
            ("resource", entry.resource),
            ("project", entry.project),
            ("source", Some(entry.source)),
            ("outcome_code", entry.outcome_code),
            ("kind", Some(entry.kind)),
            ("outcome", Some(entry.outcome)),
        ];
        let (fields, terms): (Vec<_>, Vec<_>) =
            terms.into_iter().filter_map(|(field, term)| Some((field, term?))).unzip();
        sqlx::query(
            "SELECT audit_terms_learn(array_agg((($1, field, term, $4::date, 1)::audit_term_row)), 20000)
               FROM unnest($2::text[], $3::text[]) AS t(field, term)",
        )
        .bind(entry.tenant)
        .bind(fields)
        .bind(terms)
        .bind(entry.occurred_at.date_naive())
        .execute(&mut self.owner)
        .await
        .expect("learnt");
    }

    /// Lets a stage stand at a position of `weir.activity.v1`.
    pub(crate) async fn set_position(&mut self, stage: &str, partition: i32, position: i64) {
        sqlx::query(
            "INSERT INTO stage_position (stage, topic, partition, first_position, position, cluster_id, owner_epoch,
                 owner, claimed_at, applied)
             VALUES ($1, 'weir.activity.v1', $2, 0, $3, 'c', 1, 'o', now(), $3)
             ON CONFLICT (stage, topic, partition) DO UPDATE SET position = excluded.position",
        )
        .bind(stage)
        .bind(partition)
        .bind(position)
        .execute(&mut self.owner)
        .await
        .expect("set");
    }
}

/// A row of the audit log; the parts that tests tell apart.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) occurred_at: Timestamp,
    pub(crate) offset: i64,
    pub(crate) event_id: Uuid,
    pub(crate) tenant: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) actor: &'static str,
    pub(crate) actor_name: Option<&'static str>,
    pub(crate) action: String,
    pub(crate) resource: Option<&'static str>,
    pub(crate) project: Option<&'static str>,
    pub(crate) outcome: &'static str,
    pub(crate) outcome_code: Option<&'static str>,
    pub(crate) source: &'static str,
    pub(crate) correlation: Option<&'static str>,
    pub(crate) record: Value,
}

/// Instant so many seconds after the beginning of 2026.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("an instant") + TimeDelta::seconds(seconds)
}

/// An entry of acme's.
pub(crate) fn entry(seconds: i64, action: &str) -> Entry {
    Entry {
        occurred_at: at(seconds),
        offset: seconds,
        event_id: Uuid::new_v4(),
        tenant: "acme",
        kind: "ApiCalled",
        actor: "ada",
        actor_name: None,
        action: action.into(),
        resource: None,
        project: None,
        outcome: "success",
        outcome_code: None,
        source: "/test",
        correlation: None,
        record: json!({"class_uid": 6003, "note": action}),
    }
}
