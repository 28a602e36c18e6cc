//! The command beside a running stage, and events of one's own.

use std::process::{Command, Output};

use schemas::Topic;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::site::{Site, ended};

pub(super) const WAITING: &str =
    "SELECT coalesce(sum(parked - replayed - discarded), 0)::bigint FROM stage_position";
pub(super) const STANDS_PARKED: &str = "SELECT count(*) FROM parked_record WHERE status = 'parked'";

/// Tables that the stages derive from the topics.
const READ_MODELS: [&str; 8] = [
    "audit_entry",
    "audit_event",
    "risk_signal",
    "risk_exposure",
    "entity_risk",
    "incident",
    "change_fact",
    "change_review",
];

/// The account that runs the tests, as which operators' decisions are kept.
pub(super) fn account() -> String {
    let account = nix::unistd::User::from_uid(nix::unistd::getuid()).expect("the system answers");
    account.expect("the account has a name").name
}

impl Site {
    /// `weir dead-letter ..` beside this site's servers.
    pub(super) fn dead_letter(&self, args: &[&str]) -> Command {
        let mut command = self.command(&[&["dead-letter"], args].concat());
        // Not believed.
        command.env("USER", "ada");
        command
    }

    /// Runs it to the end.
    pub(super) async fn run_dead_letter(&self, args: &[&str]) -> Output {
        ended(self.dead_letter(args)).await
    }

    /// Its answer as JSON, and whether it ended well.
    pub(super) async fn decide(&self, args: &[&str]) -> (Value, bool) {
        let output = self.run_dead_letter(&[args, &["--output", "json"]].concat()).await;
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let said = String::from_utf8_lossy(&output.stderr);
        let answer =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error} in {text}{said}"));
        (answer, output.status.success())
    }

    /// A sign-in of somebody, as JSON in binary mode, on partition 0.
    pub(super) async fn send_event(&self, id: &str, actor: &str) {
        self.send_event_of("acme", id, actor).await;
    }

    /// The same in another tenant.
    pub(super) async fn send_event_of(&self, tenant: &str, id: &str, actor: &str) {
        let data = serde_json::json!({
            "action": "SignIn", "actor": { "id": actor }, "outcome": { "status": "Success" },
        });
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", id),
            ("ce_source", "/test"),
            ("ce_type", "io.weir.activity.signed_in.v1"),
            ("ce_time", "2026-01-05T08:00:00Z"),
            ("ce_tenantid", tenant),
            ("content-type", "application/json"),
        ];
        self.send_raw(Topic::Activity, Some(data.to_string().as_bytes()), &headers).await;
    }
}

/// Rows that the stages derived from the topics, without the place of each record and without operators'
/// decisions.
pub(super) async fn read_models(url: &str) -> Vec<(&'static str, Vec<String>)> {
    let mut connection = PgConnection::connect(url).await.expect("Postgres answers");
    let mut models = Vec::new();
    for table in READ_MODELS {
        let row = "(to_jsonb(t) - 'topic' - 'partition' - 'record_offset' - 'log_index')::text";
        // Operators' decisions are events too, of the tenants `ops` and `demo`; all else is acme's.
        let stages_only = "to_jsonb(t)->>'source' IS DISTINCT FROM '/weir/stage' AND t.tenant_id = 'acme'";
        let sql = format!("SELECT {row} FROM {table} AS t WHERE {stages_only} ORDER BY {row} COLLATE \"C\"");
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("rows");
        models.push((table, rows));
    }
    models
}

/// Runs statements as the database's owner.
pub(super) async fn execute(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url).await.expect("Postgres answers");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("done");
}
