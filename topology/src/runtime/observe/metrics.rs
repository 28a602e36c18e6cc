//! Telemetry of a stage: metrics, and spans linked to the traces that its records come from.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry::{Context, propagation::TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use schemas::{ParkReason, TenantId};
use sinks::{
    Batch, DeliveryError, HaltKind, HaltReason, RawRecord, RecordChanges, Settled, Settlement, TopicPartition,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::runtime::deliver::worker::total;

/// Links that one batch's span carries at most.
const MAX_LINKS: usize = 128;
/// Tenants that a metric names in one process.
const MAX_TENANTS: usize = 20;
/// All tenants beyond these.
const OTHER_TENANTS: &str = "others";

/// Whether batches are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tracing {
    /// No spans on the hot path.
    #[default]
    Off,
    /// A span for each batch, linked to the traces of its records.
    Batches,
}

/// The instruments of one stage.
pub(crate) struct StageMetrics {
    stage: &'static str,
    group: String,
    tracing: Tracing,
    consumed: Counter,
    process_seconds: Histogram,
    applied: Counter,
    duplicate: Counter,
    ignored: Counter,
    parked: Counter,
    batch_records: Histogram,
    transaction_seconds: Histogram,
    age_seconds: Histogram,
    lag_seconds: Gauge,
    retries: Counter,
    fenced: Counter,
    misconfigured: Gauge,
    unverified: Counter,
    held_back: Gauge,
    rebalances: Counter,
    polled_at: Gauge,
    assigned: Gauge,
    halted: Mutex<BTreeMap<TopicPartition, HaltKind>>,
    over_limit: Mutex<BTreeMap<TenantId, Counter>>,
}

impl std::fmt::Debug for StageMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StageMetrics").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl StageMetrics {
    pub(crate) fn new(stage: &'static str, group: &str, tracing: Tracing) -> Self {
        let records = |outcome| counter!("weir_records_total", "stage" => stage, "outcome" => outcome);
        let group = group.to_owned();
        Self {
            stage,
            tracing,
            consumed: counter!("messaging_client_consumed_messages_total",
                "messaging_system" => "kafka", "messaging_consumer_group_name" => group.clone()),
            process_seconds: histogram!("messaging_process_duration_seconds", "stage" => stage),
            applied: records("applied"),
            duplicate: records("duplicate"),
            ignored: records("ignored"),
            parked: records("parked"),
            batch_records: histogram!("weir_batch_records", "stage" => stage),
            transaction_seconds: histogram!("weir_transaction_duration_seconds", "stage" => stage),
            age_seconds: histogram!("weir_event_age_seconds", "stage" => stage),
            lag_seconds: gauge!("weir_projection_lag_seconds", "stage" => stage),
            retries: counter!("weir_delivery_retries_total", "stage" => stage),
            fenced: counter!("weir_fenced_total", "stage" => stage),
            misconfigured: gauge!("weir_misconfigured", "stage" => stage),
            unverified: counter!("weir_continuity_unverified_total", "stage" => stage),
            held_back: gauge!("weir_held_back_partitions", "stage" => stage),
            rebalances: counter!("weir_rebalances_total", "stage" => stage),
            polled_at: gauge!("weir_polled_timestamp_seconds", "stage" => stage),
            assigned: gauge!("weir_assigned_partitions", "stage" => stage),
            halted: Mutex::default(),
            over_limit: Mutex::default(),
            group,
        }
    }

    /// A burst of records was decided upon.
    pub(crate) fn gathered(&self, records: usize, took: Duration) {
        self.consumed.increment(records as u64);
        self.process_seconds.record(took);
    }

    /// A batch was committed.
    pub(crate) fn settled<C>(&self, batch: &Batch<C>, settled: &Settled, took: Duration) {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let sum = total(settled);
        self.applied.increment(count(sum.applied));
        self.duplicate.increment(count(sum.duplicate));
        self.ignored.increment(count(sum.ignored));
        self.parked.increment(count(sum.parked));
        if sum.duplicate > 0 {
            counter!("weir_duplicates_total", "stage" => self.stage).increment(count(sum.duplicate));
        }
        #[expect(clippy::cast_precision_loss, reason = "a batch holds at most thousands of records")]
        self.batch_records.record(batch.records.len() as f64);
        self.transaction_seconds.record(took);
        self.misconfigured.set(0.0);
        self.ages(batch);
        let dead_letter = |record: &RecordChanges<C>, reason: ParkReason| {
            let topic = batch.ranges[record.range].partition.topic.name();
            counter!("weir_dead_letters_total", "topic" => topic, "reason" => reason.name()).increment(1);
        };
        for record in &batch.records {
            if let Settlement::Park { reason, .. } = &record.settlement {
                dead_letter(record, *reason);
            }
        }
        for conflict in &settled.conflicts {
            dead_letter(&batch.records[*conflict], ParkReason::DuplicateIdConflict);
        }
    }

    /// Records the age of each record at its commit, by its Kafka timestamp.
    fn ages<C>(&self, batch: &Batch<C>) {
        let now = now_ms();
        let mut oldest = 0.0_f64;
        for record in batch.records.iter().filter(|record| record.raw.timestamp_ms >= 0) {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds between two instants of our time")]
            let age = (now - record.raw.timestamp_ms).max(0) as f64 / 1e3;
            self.age_seconds.record(age);
            oldest = oldest.max(age);
        }
        self.lag_seconds.set(oldest);
    }

    pub(crate) fn delivery_failed(&self, error: &DeliveryError) {
        match error {
            DeliveryError::Fenced => self.fenced.increment(1),
            DeliveryError::Pending { .. } | DeliveryError::Paused { .. } | DeliveryError::Refused(_) => {}
            _ => self.retries.increment(1),
        }
    }

    pub(crate) fn misconfigured(&self, is: bool) {
        self.misconfigured.set(f64::from(u8::from(is)));
    }

    pub(crate) fn unverified(&self) {
        self.unverified.increment(1);
    }

    /// Sets the number of partitions that producers' transactions hold back.
    pub(crate) fn held_back(&self, partitions: usize) {
        #[expect(clippy::cast_precision_loss, reason = "partitions are few")]
        self.held_back.set(partitions as f64);
    }

    pub(crate) fn rebalanced(&self) {
        self.rebalances.increment(1);
    }

    /// Reports that the poll thread is alive, and the number of its partitions.
    pub(crate) fn polled(&self, assigned: usize) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit f64 exactly")]
        self.polled_at.set(now_ms() as f64 / 1e3);
        #[expect(clippy::cast_precision_loss, reason = "partitions are few")]
        self.assigned.set(assigned as f64);
    }

    pub(crate) fn lag(&self, at: TopicPartition, lag: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        gauge!("kafka_consumergroup_lag", "consumergroup" => self.group.clone(), "topic" => at.topic.name(),
            "partition" => at.partition.to_string())
        .set(lag as f64);
    }

    /// Keeps `weir_halted_partitions{stage,reason}` at the number of partitions halted for each reason.
    pub(crate) fn halted(&self, at: TopicPartition, reason: Option<&HaltReason>) {
        let mut halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match reason {
            Some(reason) => halted.insert(at, reason.kind),
            None => halted.remove(&at),
        };
        for kind in before.into_iter().chain(reason.map(|reason| reason.kind)) {
            let count = halted.values().filter(|other| **other == kind).count();
            #[expect(clippy::cast_precision_loss, reason = "partitions are few")]
            gauge!("weir_halted_partitions", "stage" => self.stage, "reason" => kind.name())
                .set(count as f64);
        }
    }

    /// A record was parked of a tenant that is over its parking limit. The first tenants are counted by name,
    /// all others together: invented tenants make no time series.
    pub(crate) fn parked_over_limit(&self, tenant: &TenantId) {
        let mut counters = self.over_limit.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant = if counters.len() < MAX_TENANTS || counters.contains_key(tenant) {
            tenant.clone()
        } else {
            TenantId::new(OTHER_TENANTS).expect("a valid name")
        };
        let (stage, name) = (self.stage, tenant.to_string());
        let counter = || counter!("weir_parked_over_limit_total", "stage" => stage, "tenant" => name);
        counters.entry(tenant).or_insert_with(counter).increment(1);
    }

    /// The span of a delivery, linked to the traces that the batch's records were created in.
    pub(crate) fn delivery_span<C>(&self, batch: &Batch<C>) -> Span {
        if self.tracing == Tracing::Off {
            return Span::none();
        }
        let topic = batch.ranges.first().map_or("", |range| range.partition.topic.name());
        let span = tracing::info_span!(
            "process",
            otel.name = format!("process {topic}"),
            otel.kind = "consumer",
            stage = self.stage,
            messaging.system = "kafka",
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = topic,
            messaging.consumer.group.name = self.group,
            messaging.batch.message_count = batch.records.len(),
        );
        let mut contexts = batch.records.iter().filter_map(|record| creation_context(&record.raw)).peekable();
        if let [only] = batch.records.as_slice()
            && let Some(parent) = creation_context(&only.raw)
        {
            // The parent is best effort: without a subscriber that exports, there is nothing to set.
            drop(span.set_parent(Context::new().with_remote_span_context(parent)));
        } else if contexts.peek().is_some() {
            contexts.take(MAX_LINKS).for_each(|context| span.add_link(context));
        }
        span
    }
}

/// The trace context of a record: of its last hop, else of its creation.
fn creation_context(raw: &RawRecord) -> Option<SpanContext> {
    let header = |wanted: &str| {
        let found = raw.headers.iter().find(|(name, _)| *name == wanted);
        found.and_then(|(_, value)| std::str::from_utf8(value?).ok())
    };
    let carrier = |parent: &str, state: &str| {
        let mut fields = std::collections::HashMap::new();
        fields.insert("traceparent".to_owned(), header(parent)?.to_owned());
        fields.extend(header(state).map(|value| ("tracestate".to_owned(), value.to_owned())));
        Some(fields)
    };
    let fields =
        carrier("traceparent", "tracestate").or_else(|| carrier("ce_traceparent", "ce_tracestate"))?;
    let context = TraceContextPropagator::new().extract(&fields);
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const CREATION: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01";

    fn check(headers: &[(&str, &str)], expected: Option<&str>) {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), Some(v.as_bytes().to_vec()))).collect();
        let found = creation_context(&RawRecord { headers, ..RawRecord::default() });
        assert_eq!(found.map(|context| context.trace_id().to_string()).as_deref(), expected);
    }

    #[test]
    fn the_last_hop_comes_before_the_creation_and_nonsense_is_no_context() {
        let (hop, creation) = (Some(&HOP[3..35]), Some(&CREATION[3..35]));
        check(&[("traceparent", HOP), ("ce_traceparent", CREATION)], hop);
        check(&[("ce_traceparent", CREATION)], creation);
        check(&[("traceparent", "00-zz"), ("tracestate", "a=b")], None);
        check(&[("content-type", "application/avro")], None);
    }
}
