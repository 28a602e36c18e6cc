//! Any event that a publisher could mean.

use std::collections::BTreeMap;

use proptest::{collection, option, prelude::*, sample::select};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::*;
use crate::TraceContext;

/// Any text that Postgres can store.
fn text() -> BoxedStrategy<String> {
    prop_oneof![4 => "[a-zA-Z0-9:/ ._-]{0,20}", 1 => "[^\0]{0,12}"].boxed()
}

fn maybe() -> BoxedStrategy<Option<String>> {
    option::of(text()).boxed()
}

fn texts() -> BoxedStrategy<BTreeMap<String, String>> {
    collection::btree_map(text(), text(), 0..4).boxed()
}

fn decimal() -> BoxedStrategy<Decimal> {
    (any::<i64>(), 0_u32..=18).prop_map(|(digits, scale)| Decimal::new(digits, scale)).boxed()
}

/// Years 1 to 9999, to the microsecond.
fn instant() -> BoxedStrategy<Timestamp> {
    (-62_135_596_800_000_000_i64..=253_402_300_799_999_999)
        .prop_map(|micros| Timestamp::from_timestamp_micros(micros).expect("in range"))
        .boxed()
}

fn actor() -> BoxedStrategy<Actor> {
    let kind = select(vec![
        ActorKind::User,
        ActorKind::ServiceAccount,
        ActorKind::Role,
        ActorKind::System,
        ActorKind::Unknown,
    ]);
    let texts = (maybe(), maybe(), maybe(), maybe(), maybe());
    let roles = collection::vec(text(), 0..4);
    (kind, text(), texts, option::of(any::<bool>()), roles)
        .prop_map(|(kind, id, (name, account, ip, user_agent, session), mfa, roles)| Actor {
            kind,
            id,
            name,
            account,
            ip,
            user_agent,
            mfa,
            roles,
            session,
        })
        .boxed()
}

fn resource() -> BoxedStrategy<Resource> {
    let texts = ((maybe(), maybe(), maybe(), maybe()), (maybe(), maybe(), maybe()));
    (text(), texts, self::texts())
        .prop_map(|(id, ((cloud, account, region, kind), (name, project, environment)), tags)| Resource {
            cloud,
            account,
            region,
            kind,
            id,
            name,
            project,
            environment,
            tags,
        })
        .boxed()
}

fn outcome() -> BoxedStrategy<Outcome> {
    let status = select(vec![OutcomeStatus::Success, OutcomeStatus::Failure, OutcomeStatus::Unknown]);
    (status, maybe(), maybe()).prop_map(|(status, code, message)| Outcome { status, code, message }).boxed()
}

fn activity() -> BoxedStrategy<Activity> {
    let kind = select(ActivityKind::ALL);
    let resources = collection::vec(resource(), 0..4);
    (kind, text(), maybe(), actor(), resources, outcome(), option::of(any::<bool>()), maybe())
        .prop_map(|(kind, action, service, actor, resources, outcome, read_only, request_id)| Activity {
            kind,
            action,
            service,
            actor,
            resources,
            outcome,
            read_only,
            request_id,
        })
        .boxed()
}

fn infrastructure() -> BoxedStrategy<Infrastructure> {
    let quantity = option::of(decimal().prop_map(|d| d.to_string()));
    let rest = (quantity, maybe(), maybe());
    (select(InfrastructureKind::ALL), resource(), option::of(actor()), outcome(), maybe(), rest)
        .prop_map(|(kind, resource, actor, outcome, change_id, (quantity, unit, configuration))| {
            Infrastructure { kind, resource, actor, outcome, change_id, quantity, unit, configuration }
        })
        .boxed()
}

fn delivery() -> BoxedStrategy<Delivery> {
    let texts = (maybe(), maybe(), maybe(), maybe(), maybe());
    let duration = option::of(any::<i64>());
    (select(DeliveryKind::ALL), text(), texts, option::of(actor()), outcome(), duration)
        .prop_map(
            |(kind, project, (environment, run_id, name, version, status), actor, outcome, duration_ms)| {
                Delivery {
                    kind,
                    project,
                    environment,
                    run_id,
                    name,
                    version,
                    status,
                    actor,
                    outcome,
                    duration_ms,
                }
            },
        )
        .boxed()
}

fn usage() -> BoxedStrategy<Usage> {
    let who = (select(UsageKind::ALL), text(), maybe(), text(), text(), maybe());
    let what = (maybe(), maybe(), text(), maybe(), instant(), instant(), "[A-Z]{3}");
    let costs = (decimal(), option::of(decimal()), option::of(decimal()), option::of(decimal()));
    let rest = (option::of(decimal()), maybe(), texts(), texts(), maybe());
    (who, what, costs, rest)
        .prop_map(|(who, what, costs, rest)| Usage {
            kind: who.0,
            billing_account_id: who.1,
            sub_account_id: who.2,
            provider_name: who.3,
            service_name: who.4,
            service_category: who.5,
            region_id: what.0,
            resource_id: what.1,
            charge_category: what.2,
            charge_description: what.3,
            charge_period_start: what.4,
            charge_period_end: what.5,
            billing_currency: what.6,
            billed_cost: costs.0,
            effective_cost: costs.1,
            list_cost: costs.2,
            contracted_cost: costs.3,
            consumed_quantity: rest.0,
            consumed_unit: rest.1,
            tags: rest.2,
            other_columns: rest.3,
            corrects: rest.4,
        })
        .boxed()
}

fn monitoring() -> BoxedStrategy<Monitoring> {
    let number = || option::of(decimal().prop_map(|d| d.to_string()));
    let texts = (maybe(), maybe(), maybe(), maybe());
    (select(MonitoringKind::ALL), resource(), text(), texts, number(), number())
        .prop_map(|(kind, subject, name, (severity, status, unit, message), value, threshold)| Monitoring {
            kind,
            subject,
            name,
            severity,
            status,
            value,
            threshold,
            unit,
            message,
        })
        .boxed()
}

fn governance() -> BoxedStrategy<Governance> {
    let rest = (maybe(), maybe(), option::of(instant()), texts());
    (select(GovernanceKind::ALL), text(), text(), actor(), rest)
        .prop_map(|(kind, subject_kind, subject_id, actor, (decision, reason, expires_at, attributes))| {
            Governance { kind, subject_kind, subject_id, actor, decision, reason, expires_at, attributes }
        })
        .boxed()
}

pub(super) fn event() -> BoxedStrategy<Event> {
    prop_oneof![
        activity().prop_map(Event::Activity),
        infrastructure().prop_map(Event::Infrastructure),
        delivery().prop_map(Event::Delivery),
        usage().prop_map(Event::Usage),
        monitoring().prop_map(Event::Monitoring),
        governance().prop_map(Event::Governance),
    ]
    .boxed()
}

fn trace() -> BoxedStrategy<TraceContext> {
    ("[0-9a-f]{31}1", "[0-9a-f]{15}1", "0[01]", option::of("[a-z]{1,8}=[a-z0-9]{1,8}"))
        .prop_map(|(trace, span, flags, tracestate)| TraceContext {
            traceparent: format!("00-{trace}-{span}-{flags}"),
            tracestate,
        })
        .boxed()
}

/// Any envelope whose time may be published: 2000 to 9999.
pub(in crate::codec) fn envelope() -> BoxedStrategy<Envelope> {
    let id = (1..=u128::MAX).prop_map(|id| EventId::new(Uuid::from_u128(id)).expect("not nil"));
    let tenant = "[a-z0-9][A-Za-z0-9._-]{0,20}".prop_map(|name| TenantId::new(&name).expect("valid"));
    let source = "[a-z/:.0-9]{1,40}".prop_map(|uri| Source::new(uri).expect("valid"));
    let subject = || option::of("[^\0]{1,20}");
    let time = (946_684_800_000_000_i64..=253_402_300_799_999_999)
        .prop_map(|micros| Timestamp::from_timestamp_micros(micros).expect("in range"));
    let native =
        ("[a-z.]{1,20}", text()).prop_map(|(format, record)| Native { format, record: record.into() });
    let ids = (subject(), subject(), subject());
    let id = (id, subject(), any::<bool>());
    (id, tenant, source, time, ids, option::of(trace()), event(), option::of(native))
        .prop_map(
            |(
                (id, original_id, time_assumed),
                tenant,
                source,
                occurred_at,
                (subject, correlation_id, causation_id),
                trace,
                event,
                native,
            )| {
                Envelope {
                    id,
                    tenant,
                    source,
                    subject,
                    occurred_at,
                    skewed: false,
                    time_assumed,
                    original_id,
                    correlation_id,
                    causation_id,
                    trace,
                    event,
                    native,
                }
            },
        )
        .boxed()
}
