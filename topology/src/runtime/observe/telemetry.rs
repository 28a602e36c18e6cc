//! Telemetry of a process: logs on stderr, metrics for Prometheus, traces over OTLP where configured.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::runtime::{
    Tracing,
    observe::log_lines::{Colours, LogLines, quoted_fields},
    observe::traces,
};

/// Boundaries of durations, in seconds, as OpenTelemetry's conventions have them.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Below a millisecond too: the goal for an event's age at commit is a few of them.
const AGE_SECONDS: [f64; 16] =
    [0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0];
const BYTES: [f64; 7] = [1e3, 1e4, 5e4, 1e5, 5e5, 1e6, 5e6];
const RECORDS: [f64; 12] =
    [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0];

/// Kind of process that logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// A process that runs until it is stopped; its log is collected.
    Service,
    /// A command that a person or a script waits for.
    Command,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl LogFormat {
    /// `LOG_FORMAT=json|pretty`; without it, pretty on a terminal and for commands, JSON for services
    /// elsewhere.
    pub fn from_env(speaker: Speaker) -> Self {
        match std::env::var("LOG_FORMAT").as_deref() {
            Ok("json") => Self::Json,
            Ok("pretty") => Self::Pretty,
            _ if speaker == Speaker::Command || std::io::stderr().is_terminal() => Self::Pretty,
            _ => Self::Json,
        }
    }
}

/// Error of setting up telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Metrics are set up already, or wrongly.
    #[error("metrics cannot be recorded")]
    Metrics(#[from] BuildError),
    /// The OTLP exporter does not start.
    #[error("traces cannot be exported; check the OTEL_EXPORTER_OTLP_* variables")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Somebody else has set up logging.
    #[error("logging is set up already")]
    Logs(#[from] tracing_subscriber::util::TryInitError),
}

/// Logs, metrics and traces of this process. Keep it until the process ends: it flushes traces.
#[derive(Debug)]
pub struct Telemetry {
    metrics: PrometheusHandle,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sets all of it up, by `RUST_LOG`, `LOG_FORMAT` and `OTEL_*`. Once in a process; needs a tokio runtime.
    ///
    /// `quiet`: what is logged without `RUST_LOG`, for example `info` for services and `warn` for commands.
    pub fn install(format: LogFormat, default_filter: &str) -> Result<Self, TelemetryError> {
        let traces = traces::exporter_from_env()?;
        let filter = || EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
        let coloured = format == LogFormat::Pretty && std::io::stderr().is_terminal();
        let colours = if coloured { Colours::On } else { Colours::Off };
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(coloured)
            .with_writer(LogLines::new(std::io::stderr, colours));
        let lines = match format {
            LogFormat::Json => lines.json().flatten_event(true).with_filter(filter()).boxed(),
            LogFormat::Pretty => {
                lines.with_target(false).fmt_fields(quoted_fields()).with_filter(filter()).boxed()
            }
        };
        let spans = traces.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("weir"))
                .with_filter(EnvFilter::new("info"))
        });
        tracing_subscriber::registry().with(lines).with(spans).try_init()?;
        let metrics = recorder()?.install_recorder()?;
        describe();
        let upkeep = metrics.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self { metrics, traces })
    }

    /// Whether batches are traced: spans are exported.
    pub fn tracing(&self) -> Tracing {
        if self.traces.is_some() { Tracing::Batches } else { Tracing::Off }
    }

    /// The handle that renders all metrics as text for Prometheus.
    pub fn metrics(&self) -> PrometheusHandle {
        self.metrics.clone()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let Some(traces) = self.traces.take() else { return };
        if let Err(error) = traces.shutdown() {
            tracing::warn!(%error, "the last traces were not exported");
        }
    }
}

/// Renders all metrics, those of the process itself included: the answer to `GET /metrics`.
pub fn render(metrics: &PrometheusHandle) -> String {
    metrics_process::Collector::default().collect();
    metrics.render()
}

fn recorder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets_for_metric(Matcher::Full("weir_event_age_seconds".into()), &AGE_SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("weir_batch_records".into()), &RECORDS)?
        .set_buckets_for_metric(Matcher::Full("siem_batch_size_bytes".into()), &BYTES)
}

fn describe() {
    describe_stages();
    describe_services();
    describe_read_models();
    describe_audit_log();
    describe_compliance();
    describe_sinks();
    metrics_process::Collector::default().describe();
}

fn describe_stages() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("messaging_client_consumed_messages_total", "Records polled from Kafka.");
    describe_histogram!(
        "messaging_process_duration_seconds",
        "Time of decoding and processing, per poll of records."
    );
    describe_counter!("weir_records_total", "Settled records, by outcome.");
    describe_counter!("weir_duplicates_total", "Records whose event was stored already.");
    describe_counter!("weir_dead_letters_total", "Records parked, by topic and reason.");
    describe_counter!("weir_decode_failures_total", "Records that could not be decoded, by reason.");
    describe_histogram!("weir_batch_records", "Records per transaction.");
    describe_histogram!(
        "weir_transaction_duration_seconds",
        "Time from the start of a delivery to its commit."
    );
    describe_histogram!("weir_event_age_seconds", "Time from a record's Kafka timestamp to its commit.");
    describe_gauge!(
        "weir_projection_lag_seconds",
        "Age of the oldest record of the last batch at its commit."
    );
    describe_counter!("weir_delivery_retries_total", "Failed deliveries, which are retried.");
    describe_counter!("weir_fenced_total", "Batches dropped because another owner has advanced a position.");
    describe_gauge!("weir_misconfigured", "1 while the sink is misconfigured and only probed.");
    describe_gauge!("weir_halted_partitions", "Halted partitions, by reason.");
    describe_counter!(
        "weir_parked_over_limit_total",
        "Parked records of a tenant beyond its limit in a partition; 20 tenants are named."
    );
    describe_gauge!(
        "weir_held_back_partitions",
        "Partitions held back by a transaction that has been open for a minute."
    );
    describe_counter!("weir_continuity_unverified_total", "Claims whose last record had expired.");
    describe_counter!("weir_rebalances_total", "Rebalances: partitions assigned or revoked.");
    describe_gauge!("weir_polled_timestamp_seconds", "Time of the poll thread's last activity.");
    describe_gauge!("weir_assigned_partitions", "Partitions assigned to this process.");
    describe_gauge!("kafka_consumergroup_lag", "Records between a stage's position and the end of the log.");
    describe_counter!("weir_issuer_fetches_total", "Requests for an issuer's keys, by outcome.");
    describe_counter!("messaging_client_sent_messages_total", "Records acknowledged by Kafka or failed.");
    describe_gauge!(
        "weir_producer_queue_records",
        "Records in the producer's queue that Kafka has not acknowledged."
    );
    describe_gauge!(
        "weir_producer_queue_bytes",
        "Bytes in the producer's queue that Kafka has not acknowledged."
    );
    describe_counter!(
        "weir_source_records_total",
        "Records of other systems, by format and outcome. A request that is refused as a whole counts as one."
    );
}

/// The HTTP listeners.
fn describe_services() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "weir_connections_refused_total",
        "Connections closed because of the connection limit."
    );
    describe_counter!("weir_rate_limited_total", "Requests answered 429, by the limit that was exceeded.");
    describe_counter!(
        "weir_over_share_total",
        "Requests rejected because of a tenant's limit, by limit; the most refused tenants are named."
    );
    describe_counter!(
        "weir_access_denials_total",
        "Requests refused for their credential, its rights or its rate, by reason."
    );
    describe_counter!(
        "weir_answers_abandoned_total",
        "Responses cut off because their clients read too slowly."
    );
    describe_gauge!("weir_api_keys_age_seconds", "Time since the table of API keys was last read.");
    describe_counter!(
        "weir_issuer_reloads_total",
        "Reloads of changed issuers or of their rules, by outcome."
    );
    describe_counter!("weir_tls_handshakes_failed_total", "TLS handshakes that failed or took too long.");
    describe_counter!("weir_tls_certificate_reloads_total", "Reloads of a changed certificate, by outcome.");
    describe_gauge!("weir_tls_certificate_expires_timestamp_seconds", "Expiry of the certificate in use.");
    describe_histogram!(
        "http_server_request_duration_seconds",
        "Time from a request's head to the response's head."
    );
    describe_histogram!(
        "weir_policy_decision_duration_seconds",
        "Time from the head of a decision request to its response."
    );
}

/// Sinks and their receivers.
fn describe_sinks() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "siem_events_forwarded_total",
        "Records, and parts of records, that a sink's receiver accepted."
    );
    describe_counter!("siem_events_failed_total", "Records in failed requests, which are retried.");
    describe_counter!(
        "siem_events_parked_total",
        "Records that a sink's receiver rejected, parked with its response."
    );
    describe_histogram!("siem_batch_size_bytes", "Size of a request to a receiver, before compression.");
    describe_histogram!("siem_forward_duration_seconds", "Time from a request to the receiver's response.");
    describe_gauge!(
        "siem_oldest_undelivered_seconds",
        "Age of the oldest record that a sink has not delivered."
    );
    describe_gauge!(
        "siem_paused",
        "1 while a sink is paused: by an operator, or because of the receiver's response."
    );
    describe_gauge!(
        "siem_breaker_open",
        "1 while a sink only probes its receiver, after five failures in a row."
    );
}

/// Observations and findings of compliance.
fn describe_compliance() {
    use metrics::describe_counter;
    describe_counter!("weir_compliance_observations_total", "Observed resources, by kind of event.");
    describe_counter!(
        "weir_compliance_findings_total",
        "Published findings, by transition (opened, reopened, closed) and severity."
    );
}

/// Logs, outbox, rules, and the rest that one read model has of its own.
fn describe_read_models() {
    use metrics::{describe_counter, describe_gauge};
    describe_gauge!("weir_outbox_oldest_seconds", "Age of the oldest outbox record, by topic.");
    describe_gauge!("weir_outbox_set_aside", "Outbox records that their topic rejects.");
    describe_counter!("weir_outbox_sent_total", "Records relayed from the outbox.");
    describe_gauge!("weir_rules_loaded", "Detection rules in force.");
    describe_gauge!("weir_rule_set_info", "1 for the hash of the rules in force, 0 for previous ones.");
    describe_gauge!("weir_rule_problems", "Invalid rules and rule files.");
    describe_counter!("weir_rule_reloads_total", "Reloads of changed rule files, by outcome.");
    describe_gauge!("weir_policies_loaded", "Compliance policies in force.");
    describe_gauge!("weir_policy_set_info", "1 for the hash of the policies in force, 0 for previous ones.");
    describe_gauge!("weir_policy_problems", "Invalid policies and policy files.");
    describe_counter!(
        "weir_policy_decisions_total",
        "Policy decisions, by mode, decision and whether cached."
    );
    describe_counter!(
        "weir_policy_decisions_unlogged_total",
        "Decisions in advise mode whose event Kafka did not accept."
    );
    describe_gauge!("weir_policy_cached_decisions", "Cached decisions.");
    describe_gauge!(
        "weir_policy_waivers_left_out",
        "Granted waivers that decisions do not honour, because there are too many."
    );
    describe_counter!("weir_policy_reloads_total", "Reloads of changed policy files, by outcome.");
    describe_counter!("weir_risk_unusable_events_total", "Records that detection rules could not read.");
    describe_counter!(
        "weir_change_proposals_total",
        "Proposed changes, by review route and completeness of the plan's reading."
    );
    describe_counter!(
        "weir_budget_crossings_total",
        "Thresholds of budgets that were reached, by percentage."
    );
    describe_counter!(
        "weir_budget_verdicts_total",
        "Budgets that plans would exceed, by enforcement and by who asked: `change_review` or `decision`."
    );
    describe_counter!("weir_cost_charges_total", "Charges added to the cost ledger.");
    describe_counter!(
        "weir_cost_lifecycle_events_total",
        "Lifecycle events of resources that accrue cost by the second."
    );
    describe_counter!("weir_cost_utilisation_total", "Measurements of utilisation that were stored.");
    describe_counter!(
        "weir_cost_allocations_total",
        "Cost allocations: `balanced`, or `unbalanced` (rejected) if they differ from the database's sum."
    );
    describe_counter!(
        "weir_cost_findings_total",
        "Findings about forecasts, anomalies and first spends, by CloudEvents type"
    );
    describe_counter!(
        "weir_cost_scopes_replaced_total",
        "Billing periods recomputed because a delivery replaced them."
    );
}

/// The audit log: its checkpoints, its topic, and what is erased and removed of it.
fn describe_audit_log() {
    use metrics::{describe_counter, describe_gauge};
    describe_gauge!(
        "weir_audit_misplaced_rows",
        "Audit entries in a default partition, to be moved to the right one."
    );
    describe_gauge!("weir_audit_log_refused", "Logs whose checkpoint cannot be signed, by reason.");
    describe_counter!("weir_audit_checkpoints_total", "Checkpoints of the audit log that were signed.");
    describe_gauge!(
        "weir_audit_topic_behind_entries",
        "Entries of a log that the audit topic does not hold yet."
    );
    describe_counter!("weir_audit_topic_failures_total", "Failed writes to the audit topic.");
    describe_counter!("weir_audit_topic_records_total", "Entries written to the audit topic.");
    describe_gauge!(
        "weir_audit_uncosigned_age_seconds",
        "Time since the signing of the oldest checkpoint since which a log has lacked a witness's cosignature."
    );
    describe_counter!(
        "weir_siem_backfill_records_total",
        "Entries out of PostgreSQL written for a sink's backfill."
    );
    describe_counter!(
        "weir_audit_erased_subject_entries_total",
        "Audit entries written without their personal part, because their actor was erased before."
    );
    describe_counter!("weir_retention_rows_total", "Expired rows removed, by table.");
    describe_counter!("weir_retention_partitions_total", "Partitions of the audit log that were dropped.");
    describe_gauge!(
        "weir_retention_completed_timestamp_seconds",
        "Time of the last completed removal of expired rows; before the first one, the process's start."
    );
    describe_gauge!(
        "weir_retention_overdue_groups",
        "Groups of audit entries (month, tenant, class, log) whose removal is overdue by two days."
    );
    describe_gauge!("weir_erasures_waiting", "Pending erasure requests.");
    describe_counter!("weir_erasures_total", "Subjects that were erased.");
    describe_counter!("weir_erased_entries_total", "Audit entries whose personal part was erased.");
    describe_counter!(
        "weir_witness_refusals_total",
        "Checkpoints that the witness refused since they have another past than it has seen, by status."
    );
}

#[cfg(test)]
mod tests {
    use metrics::{counter, histogram, with_local_recorder};

    use super::*;

    #[test]
    fn names_and_buckets_are_those_that_dashboards_ask_for() {
        let recorder = recorder().expect("valid buckets").build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, || {
            counter!("weir_records_total", "stage" => "audit", "outcome" => "applied").increment(3);
            histogram!("weir_event_age_seconds", "stage" => "audit").record(0.002);
            histogram!("weir_transaction_duration_seconds", "stage" => "audit").record(0.02);
        });
        let text = handle.render();
        for line in [
            r#"weir_records_total{stage="audit",outcome="applied"} 3"#,
            r#"weir_event_age_seconds_bucket{stage="audit",le="0.002"} 1"#,
            r#"weir_transaction_duration_seconds_bucket{stage="audit",le="0.01"} 0"#,
            r#"weir_transaction_duration_seconds_bucket{stage="audit",le="0.025"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
