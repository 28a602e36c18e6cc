//! Every route, role and tenant with the application's own check switched off: what a tenant is answered then is what one
//! without any data is answered.
//!
//! Every statement names the tenant twice: as a parameter of its own, and for row-level security as a setting of the
//! transaction. Here the database puts another tenant into the setting, whatever the application asks for. A row
//! that is answered nevertheless is one that row-level security alone would have let through.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use schemas::{EventId, Native, TenantId, access::Role};
use serde_json::{Value, json};
use sinks::query_api::{ShareLimits, description};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use topology::topology::{Stage, Topology, topic_spec};
use uuid::Uuid;

use super::fixture::Api;
use crate::{
    faults::member::Member,
    intake::door::{Answer, Door},
    support::{self, site::Site},
};

/// Events of each tenant.
const EVENTS: usize = 3_000;

/// Every route, and a statement for a path of it that holds something of the tenant `other`.
const ROUTES: [(&str, &str); 47] = [
    ("/.well-known/weir-log-keys", "VALUES ('/.well-known/weir-log-keys')"),
    ("/api/v1/audit", "VALUES ('/api/v1/audit?limit=1000&include=record')"),
    ("/api/v1/audit/export", "VALUES ('/api/v1/audit/export?format=ndjson')"),
    (
        "/api/v1/audit/histogram",
        "VALUES ('/api/v1/audit/histogram?from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z')",
    ),
    ("/api/v1/audit/logs", "VALUES ('/api/v1/audit/logs')"),
    (
        "/api/v1/audit/logs/{topic}/{partition}/checkpoint",
        "SELECT '/api/v1/audit/logs/' || log || '/checkpoint' FROM audit_log WHERE size > 0 ORDER BY \
         log LIMIT 1",
    ),
    (
        "/api/v1/audit/logs/{topic}/{partition}/consistency",
        "SELECT '/api/v1/audit/logs/' || log || '/consistency?from=1&to=2' FROM audit_log WHERE size \
         > 2 ORDER BY log LIMIT 1",
    ),
    (
        "/api/v1/audit/proofs",
        "SELECT '/api/v1/audit/proofs?events=' || event_id FROM audit_entry WHERE tenant_id = 'other' \
         LIMIT 1",
    ),
    ("/api/v1/audit/searches", "VALUES ('/api/v1/audit/searches')"),
    ("/api/v1/audit/searches/{name}", "VALUES ('/api/v1/audit/searches/mine')"),
    ("/api/v1/audit/terms", "VALUES ('/api/v1/audit/terms?field=actor&limit=100')"),
    (
        "/api/v1/audit/{id}",
        "SELECT '/api/v1/audit/' || event_id FROM audit_entry WHERE tenant_id = 'other' LIMIT 1",
    ),
    (
        "/api/v1/audit/{id}/proof",
        "SELECT '/api/v1/audit/' || event_id || '/proof' FROM audit_entry WHERE tenant_id = 'other' \
         LIMIT 1",
    ),
    ("/api/v1/changes", "VALUES ('/api/v1/changes?limit=1000')"),
    (
        "/api/v1/changes/{id}",
        "SELECT '/api/v1/changes/' || change_id FROM change_review WHERE tenant_id = 'other' LIMIT 1",
    ),
    (
        "/api/v1/compliance/controls/{id}",
        "SELECT '/api/v1/compliance/controls/' || replace(c.id, '/', '%2F') FROM compliance_policy, \
         jsonb_each(controls) AS f, jsonb_array_elements_text(f.value) AS c(id) WHERE tenant_id = \
         'other' LIMIT 1",
    ),
    ("/api/v1/compliance/findings", "VALUES ('/api/v1/compliance/findings?limit=1000')"),
    ("/api/v1/compliance/posture", "VALUES ('/api/v1/compliance/posture')"),
    (
        "/api/v1/compliance/resources/{id}",
        "SELECT '/api/v1/compliance/resources/' || replace(resource, '/', '%2F') FROM \
         compliance_resource WHERE tenant_id = 'other' LIMIT 1",
    ),
    ("/api/v1/compliance/scorecards", "VALUES ('/api/v1/compliance/scorecards')"),
    ("/api/v1/compliance/verdicts", "VALUES ('/api/v1/compliance/verdicts?limit=1000')"),
    ("/api/v1/compliance/waivers", "VALUES ('/api/v1/compliance/waivers')"),
    ("/api/v1/cost/allocation", "VALUES ('/api/v1/cost/allocation')"),
    ("/api/v1/cost/anomalies", "VALUES ('/api/v1/cost/anomalies')"),
    ("/api/v1/cost/breakdown", "VALUES ('/api/v1/cost/breakdown?by=service')"),
    ("/api/v1/cost/budgets", "VALUES ('/api/v1/cost/budgets')"),
    ("/api/v1/cost/charges", "VALUES ('/api/v1/cost/charges?limit=1000')"),
    ("/api/v1/cost/export", "VALUES ('/api/v1/cost/export')"),
    ("/api/v1/cost/forecast", "VALUES ('/api/v1/cost/forecast')"),
    ("/api/v1/cost/recommendations", "VALUES ('/api/v1/cost/recommendations')"),
    ("/api/v1/cost/reconciliation", "VALUES ('/api/v1/cost/reconciliation')"),
    (
        "/api/v1/cost/resources/{id}",
        "SELECT '/api/v1/cost/resources/' || replace(resource, '/', '%2F') FROM cost_series JOIN \
         cost_daily USING (tenant_id, series_key) WHERE tenant_id = 'other' AND resource ~ \
         '^[a-zA-Z0-9:/_.-]+$' LIMIT 1",
    ),
    ("/api/v1/cost/summary", "VALUES ('/api/v1/cost/summary')"),
    ("/api/v1/cost/timeseries", "VALUES ('/api/v1/cost/timeseries')"),
    ("/api/v1/cost/workloads", "VALUES ('/api/v1/cost/workloads')"),
    ("/api/v1/erasures", "VALUES ('/api/v1/erasures')"),
    ("/api/v1/holds", "VALUES ('/api/v1/holds')"),
    ("/api/v1/parked", "VALUES ('/api/v1/parked')"),
    ("/api/v1/pipeline", "VALUES ('/api/v1/pipeline')"),
    (
        "/api/v1/pipeline/completeness",
        "SELECT '/api/v1/pipeline/completeness?from=' || (current_date - 3) || 'T00:00:00Z&to=' \
          || (current_date + 2) || 'T00:00:00Z'",
    ),
    ("/api/v1/risk/entities", "VALUES ('/api/v1/risk/entities?limit=1000')"),
    (
        "/api/v1/risk/entities/{kind}/{id}",
        "SELECT '/api/v1/risk/entities/' || entity_kind || '/' || replace(entity, '/', '%2F') FROM \
         entity_risk WHERE tenant_id = 'other' LIMIT 1",
    ),
    (
        "/api/v1/risk/entities/{kind}/{id}/signals",
        "SELECT '/api/v1/risk/entities/' || entity_kind || '/' || replace(entity, '/', '%2F') || \
         '/signals' FROM entity_risk WHERE tenant_id = 'other' LIMIT 1",
    ),
    ("/api/v1/risk/incidents", "VALUES ('/api/v1/risk/incidents')"),
    (
        "/api/v1/risk/incidents/{id}",
        "SELECT '/api/v1/risk/incidents/' || id FROM incident WHERE tenant_id = 'other' LIMIT 1",
    ),
    ("/api/v1/risk/unusable", "VALUES ('/api/v1/risk/unusable')"),
    ("/api/v1/subjects/{subject}", "VALUES ('/api/v1/subjects/nora')"),
];

/// Routes whose answer is the same for every tenant: logs are of a partition, which all tenants share.
const OF_NO_TENANT: [&str; 5] = [
    "/.well-known/weir-log-keys",
    "/api/v1/audit/logs",
    "/api/v1/audit/logs/{topic}/{partition}/checkpoint",
    "/api/v1/audit/logs/{topic}/{partition}/consistency",
    "/api/v1/pipeline",
];

/// Routes for which nothing is published here; they are walked all the same.
const WITHOUT_DATA: [&str; 4] = [
    "/api/v1/cost/anomalies",
    "/api/v1/cost/recommendations",
    "/api/v1/cost/workloads",
    "/api/v1/pipeline/completeness",
];

/// A record on which a critical rule fires.
const ROOT_KEY: &str = r#"{"eventVersion": "1.08", "eventSource": "iam.amazonaws.com", "eventName": "CreateAccessKey",
    "userIdentity": {"type": "Root", "arn": "arn:aws:iam::111122223333:root", "accountId": "111122223333"},
    "sourceIPAddress": "198.51.100.7", "awsRegion": "us-east-1", "recipientAccountId": "111122223333",
    "eventTime": "2026-01-05T08:00:00Z", "requestParameters": null,
    "responseElements": {"accessKey": {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "status": "Active"}}}"#;

/// Longest wait for something to ask for, and the pause between two looks.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Partitions that a stage has claimed.
const CLAIMED: &str = "SELECT count(*) FROM stage_position";
/// Stages that have not settled what the audit stage has.
const BEHIND: &str =
    "SELECT count(*) FROM stage_position AS a JOIN stage_position AS s USING (topic, partition)
                       WHERE a.stage = 'audit' AND s.position < a.position";
const SETTLED: &str = "SELECT COALESCE(sum(applied + duplicate + ignored + parked), 0)::bigint FROM stage_position WHERE stage = 'audit'";

/// From now on whoever names a tenant to this database gets another one.
const NAMES_ANOTHER: &str = "
CREATE SCHEMA shadow;
GRANT USAGE ON SCHEMA shadow TO PUBLIC;
CREATE FUNCTION shadow.set_config(name text, value text, local boolean) RETURNS text LANGUAGE sql VOLATILE AS
  $$ SELECT pg_catalog.set_config(name, CASE name WHEN 'app.tenant_id' THEN 'nobody' ELSE value END, local) $$;
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET search_path = shadow, pg_catalog, public', current_database());
END $$";

/// Publishes something of every kind for the tenant `other`; the number of records.
async fn publish(site: &Site, door: &Door) -> i64 {
    site.publish(1, "other", EVENTS).await;
    site.publish(2, "acme", EVENTS).await;
    let post = async |path: &str, body: Value| {
        Answer::to(door.post_as(&door.neighbour, path, body.to_string())).await.taken();
    };
    post("/api/v1/holds", json!({"scope": "person", "subject": "nora", "name": "4711", "reason": "a case"}))
        .await;
    post("/api/v1/erasures", json!({"subject": "mallory", "reason": "asked for"})).await;
    let rules = json!([{"when": {"account": "nobody"}, "to": {"team": "ghosts"}}]);
    post("/api/v1/cost/allocation", json!({"action": "set", "rules": rules, "reason": "agreed"})).await;
    let budget = json!({"action": "set", "amount": "100", "currency": "USD", "reason": "agreed"});
    post("/api/v1/cost/budgets/everything", budget).await;
    let waiver = json!({
        "owner": "ada", "policies": ["aws.s3.bucket.encrypted"], "resources": ["bucket"], "reason": "it moves soon",
        "expires_at": chrono::Utc::now() + chrono::TimeDelta::days(30),
    });
    post("/api/v1/compliance/waivers/w-1/requests", waiver).await;
    let search =
        door.put_as(&door.neighbour, "/api/v1/audit/searches/mine", r#"{"filter": {"actor": "root"}}"#);
    Answer::to(search).await.taken();
    let mut envelope = site.some_event();
    envelope.tenant = TenantId::new("other").expect("valid");
    // A second content for one id is parked; a record that no rule can read is told; a key of the root user is an incident.
    let own = [(1, "{}"), (1, r#"{"eventName": "Other"}"#), (2, "nonsense"), (3, ROOT_KEY)];
    for (id, text) in own {
        envelope.id = EventId::new(Uuid::from_u128(id)).expect("not nil");
        envelope.native =
            Some(Native { format: "aws.cloudtrail".to_owned(), record: text.to_owned().into() });
        site.send(std::slice::from_ref(&envelope)).await;
    }
    i64::try_from(2 * EVENTS).expect("small") + 6 + 4
}

/// An answer without the times at which it was given.
fn told(status: StatusCode, body: String) -> (u16, Value) {
    fn without_times(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for name in ["position", "positions", "as_of", "known_at", "now", "computed_at"] {
                    members.remove(name);
                }
                members.values_mut().for_each(without_times);
            }
            Value::Array(items) => items.iter_mut().for_each(without_times),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(&body).unwrap_or(Value::String(body));
    without_times(&mut value);
    (status.as_u16(), value)
}

/// Answers on every route.
async fn answers(
    api: &Api,
    paths: &BTreeMap<&'static str, String>,
    who: &str,
) -> BTreeMap<&'static str, (u16, Value)> {
    let ask = |(route, path): (&&'static str, &String)| {
        let (route, path) = (*route, path.clone());
        async move {
            let began = Instant::now();
            loop {
                let (status, body) = api.ask(who, &path).await;
                // A busy machine may not answer a question within its time.
                if status != 503 || began.elapsed() > PATIENCE {
                    return (route, told(status, body));
                }
            }
        }
    };
    futures_util::stream::iter(paths.iter().map(ask).collect::<Vec<_>>()).buffered(2).collect().await
}

/// Partitions that the stages read, each stage's for itself.
fn partitions_to_claim(topology: &Topology) -> i64 {
    let topics = topology.stages().iter().flat_map(Stage::topics);
    topics.map(|topic| i64::from(topic_spec(*topic).partitions)).sum()
}

/// The path that a route is asked by, once there is something to ask for.
async fn path_of(owner: &mut PgConnection, route: &str, sql: &'static str) -> String {
    let began = Instant::now();
    loop {
        let path = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_optional(&mut *owner).await;
        if let Some(path) = path.expect(route) {
            return path;
        }
        assert!(began.elapsed() < PATIENCE, "nothing for {route}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_answers_a_foreign_row_by_row_level_security_alone() {
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let topology = topology::pipeline::declaration();
    let member = Member::running(&topology.stage_names(), &site.endpoints, None);
    let records = publish(&site, &door).await;
    // A stage that has not claimed a partition yet is not seen to be behind.
    site.await_count(CLAIMED, partitions_to_claim(&topology)).await;
    site.await_count(SETTLED, records).await;
    site.await_count(BEHIND, 0).await;
    let mut owner = PgConnection::connect(&site.endpoints.database_url).await.expect("connected");
    let mut paths = BTreeMap::new();
    for (route, path) in ROUTES {
        paths.insert(route, path_of(&mut owner, route, path).await);
    }
    member.stop();
    door.stop.cancel();

    let described: Vec<String> = description().paths.paths.into_keys().collect();
    let walked =
        |route: &&String| !ROUTES.iter().any(|(walked, _)| walked == route) && route.starts_with("/api");
    let missing: Vec<_> = described.iter().filter(walked).collect();
    assert!(missing.is_empty(), "routes to walk: {missing:?}");

    let everything = || ShareLimits { connections: 4, ..ShareLimits::default() };
    let empty = answers(&Api::over(support::database().await, everything()).await, &paths, "other").await;
    let own =
        answers(&Api::over(site.endpoints.database_url.clone(), everything()).await, &paths, "other").await;
    let of_tenants = |route: &&str| !OF_NO_TENANT.contains(route);
    let wrong: Vec<_> = own.iter().filter(|(route, answer)| answer.0 != 200 && of_tenants(route)).collect();
    assert!(wrong.is_empty(), "these answer nothing: {wrong:#?}");
    let hides = |route: &&str| of_tenants(route) && !WITHOUT_DATA.contains(route);
    let alike: Vec<_> =
        own.iter().filter(|(route, answer)| **answer == empty[**route] && hides(route)).collect();
    assert!(alike.is_empty(), "these have nothing to hide: {alike:#?}");
    owner.execute(NAMES_ANOTHER).await.expect("the owner may");
    let api = Api::over(site.endpoints.database_url.clone(), everything()).await;
    for who in Role::ALL.map(Role::name).into_iter().chain(["other", "acme"]) {
        let shown = answers(&api, &paths, who).await;
        let mut refused = 0;
        for (route, answer) in shown {
            if answer.0 == 403 {
                refused += 1;
            } else if of_tenants(&route) {
                assert_eq!(answer, empty[route], "{who} is shown what row-level security hides: {route}");
            }
        }
        assert!(refused < ROUTES.len() / 2, "{who} may ask for nothing: {refused}");
    }
}
