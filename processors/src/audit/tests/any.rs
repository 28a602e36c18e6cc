//! Arbitrary envelopes: every kind of every family, with hostile texts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use proptest::{collection, option, prelude::*, sample::select};
use rust_decimal::Decimal;
use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, TraceContext,
    events::{
        Activity, ActivityKind, Actor, ActorKind, Delivery, DeliveryKind, Governance, GovernanceKind,
        Infrastructure, InfrastructureKind, Monitoring, MonitoringKind, Outcome, OutcomeStatus, Resource,
        Usage, UsageKind,
    },
};

/// Control characters, quotes, separators that some readers break lines at, bidirectional marks, wide characters.
fn text() -> BoxedStrategy<String> {
    let odd = [
        "\0",
        "\u{1}",
        "\u{1b}[2J",
        "\n",
        "\r",
        "\t",
        "\"",
        "\\",
        "\u{2028}",
        "\u{202e}",
        "\u{feff}",
        "😀",
        "\u{7f}",
        "</script>",
    ];
    let piece = prop_oneof![3 => "[ -~]{0,12}", 1 => any::<String>(), 2 => select(odd.to_vec()).prop_map(str::to_owned)];
    collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat()).boxed()
}

fn maybe() -> BoxedStrategy<Option<String>> {
    option::of(text()).boxed()
}

fn map() -> BoxedStrategy<BTreeMap<String, String>> {
    collection::btree_map(text(), text(), 0..3).boxed()
}

fn instant() -> BoxedStrategy<DateTime<Utc>> {
    (0_i64..4_102_444_800_000_000)
        .prop_map(|micros| DateTime::from_timestamp_micros(micros).expect("before 2100"))
        .boxed()
}

fn decimal() -> BoxedStrategy<Decimal> {
    (any::<i64>(), 0_u32..18).prop_map(|(number, scale)| Decimal::new(number, scale)).boxed()
}

fn actor() -> BoxedStrategy<Actor> {
    let kinds =
        [ActorKind::User, ActorKind::ServiceAccount, ActorKind::Role, ActorKind::System, ActorKind::Unknown];
    let one = (select(kinds.to_vec()), text(), maybe(), maybe(), maybe());
    let two = (maybe(), option::of(any::<bool>()), collection::vec(text(), 0..3), maybe());
    (one, two)
        .prop_map(|((kind, id, name, account, ip), (user_agent, mfa, roles, session))| Actor {
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
    let types = [
        "AWS::S3::Bucket",
        "AWS::IAM::User",
        "AWS::DynamoDB::Table",
        "AWS::RDS::DBInstance",
        "pods",
        "🌀A",
        "",
    ];
    let kind = prop_oneof![maybe(), select(types.to_vec()).prop_map(|kind| Some(kind.to_owned()))];
    let cloud = prop_oneof![maybe(), Just(Some("aws".to_owned()))];
    ((cloud, maybe(), maybe(), kind), (text(), maybe(), maybe(), maybe(), map()))
        .prop_map(|((cloud, account, region, kind), (id, name, project, environment, tags))| Resource {
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

fn activity() -> BoxedStrategy<Event> {
    let action = prop_oneof![
        text(),
        select(vec!["CreateUser", "org.remove_member", "ConsoleLogin", "SwitchRole"]).prop_map(str::to_owned)
    ];
    let what = (select(ActivityKind::ALL.to_vec()), action, maybe(), maybe(), option::of(any::<bool>()));
    (what, actor(), collection::vec(resource(), 0..3), outcome())
        .prop_map(|((kind, action, service, request_id, read_only), actor, resources, outcome)| {
            Event::Activity(Activity {
                kind,
                action,
                service,
                actor,
                resources,
                outcome,
                read_only,
                request_id,
            })
        })
        .boxed()
}

fn infrastructure() -> BoxedStrategy<Event> {
    let what = (select(InfrastructureKind::ALL.to_vec()), maybe(), maybe(), maybe(), maybe());
    (what, resource(), option::of(actor()), outcome())
        .prop_map(|((kind, change_id, quantity, unit, configuration), resource, actor, outcome)| {
            Event::Infrastructure(Infrastructure {
                kind,
                resource,
                actor,
                outcome,
                change_id,
                quantity,
                unit,
                configuration,
            })
        })
        .boxed()
}

fn delivery() -> BoxedStrategy<Event> {
    let what = (select(DeliveryKind::ALL.to_vec()), text(), maybe(), maybe());
    (what, maybe(), maybe(), maybe(), option::of(actor()), outcome(), option::of(any::<i64>()))
        .prop_map(
            |((kind, project, environment, run_id), name, version, status, actor, outcome, duration_ms)| {
                Event::Delivery(Delivery {
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
                })
            },
        )
        .boxed()
}

fn usage() -> BoxedStrategy<Event> {
    let account = (select(UsageKind::ALL.to_vec()), text(), maybe(), text(), text(), maybe());
    let charge = (maybe(), maybe(), text(), maybe(), instant(), instant(), text());
    let amounts = (
        decimal(),
        option::of(decimal()),
        option::of(decimal()),
        option::of(decimal()),
        option::of(decimal()),
    );
    (account, charge, amounts, maybe(), map(), map(), maybe())
        .prop_map(|(account, charge, amounts, consumed_unit, tags, other_columns, corrects)| {
            Event::Usage(Usage {
                kind: account.0,
                billing_account_id: account.1,
                sub_account_id: account.2,
                provider_name: account.3,
                service_name: account.4,
                service_category: account.5,
                region_id: charge.0,
                resource_id: charge.1,
                charge_category: charge.2,
                charge_description: charge.3,
                charge_period_start: charge.4,
                charge_period_end: charge.5,
                billing_currency: charge.6,
                billed_cost: amounts.0,
                effective_cost: amounts.1,
                list_cost: amounts.2,
                contracted_cost: amounts.3,
                consumed_quantity: amounts.4,
                consumed_unit,
                tags,
                other_columns,
                corrects,
            })
        })
        .boxed()
}

fn monitoring() -> BoxedStrategy<Event> {
    let severity = prop_oneof![
        maybe(),
        select(vec!["info", "Warning", "CRITICAL"]).prop_map(|word| Some(word.to_owned()))
    ];
    let what = (select(MonitoringKind::ALL.to_vec()), text(), severity, maybe());
    (what, resource(), maybe(), maybe(), maybe(), maybe())
        .prop_map(|((kind, name, severity, status), subject, value, threshold, unit, message)| {
            Event::Monitoring(Monitoring {
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
        })
        .boxed()
}

fn governance() -> BoxedStrategy<Event> {
    let decision =
        prop_oneof![maybe(), select(vec!["closed", "false_positive"]).prop_map(|word| Some(word.to_owned()))];
    let what = (select(GovernanceKind::ALL.to_vec()), text(), text(), actor());
    (what, decision, maybe(), option::of(instant()), map())
        .prop_map(|((kind, subject_kind, subject_id, actor), decision, reason, expires_at, attributes)| {
            Event::Governance(Governance {
                kind,
                subject_kind,
                subject_id,
                actor,
                decision,
                reason,
                expires_at,
                attributes,
            })
        })
        .boxed()
}

fn native() -> BoxedStrategy<Native> {
    let formats = vec!["aws.cloudtrail", "kubernetes.audit", "somebody's own"];
    (select(formats), text())
        .prop_map(|(format, record)| Native { format: format.to_owned(), record: record.into() })
        .boxed()
}

/// An envelope around an event of any kind.
pub(super) fn envelope() -> BoxedStrategy<Envelope> {
    let event = prop_oneof![activity(), infrastructure(), delivery(), usage(), monitoring(), governance()];
    let trace =
        (text(), maybe()).prop_map(|(traceparent, tracestate)| TraceContext { traceparent, tracestate });
    let identity = (any::<[u8; 8]>(), "[a-z0-9][a-zA-Z0-9._-]{0,20}", "[!-~]{1,40}", instant());
    (identity, (maybe(), maybe(), maybe(), option::of(trace)), event, option::of(native()))
        .prop_map(
            |(
                (id, tenant, source, occurred_at),
                (subject, correlation_id, causation_id, trace),
                event,
                native,
            )| {
                let tenant = TenantId::new(&tenant).expect("the pattern is a tenant's");
                Envelope {
                    id: EventId::derived(&tenant, "any", &id),
                    tenant,
                    source: Source::new(source).expect("the pattern is a source's"),
                    subject,
                    occurred_at,
                    skewed: false,
                    time_assumed: false,
                    original_id: None,
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
