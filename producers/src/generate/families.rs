//! Events of sources other than the cloud's audit log: delivery, infrastructure, charges, monitoring,
//! governance.

use chrono::{DurationRound as _, TimeDelta};
use rust_decimal::Decimal;
use schemas::{
    Envelope, Event, EventId, Source, Timestamp, TraceContext,
    events::{
        Actor, Delivery, DeliveryKind, Governance, GovernanceKind, Infrastructure, InfrastructureKind,
        Monitoring, MonitoringKind, Outcome, OutcomeStatus, Resource, Usage, UsageKind,
    },
};

use super::{
    dice::Dice,
    organisation::{Identity, Organisation, Project},
    plans,
};

/// A project's step within an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Happening {
    pub(super) at: Timestamp,
    /// Correlation id of the operation.
    pub(super) undertaking: EventId,
}

/// A step of a project's delivery.
pub(super) fn delivery(
    organisation: &Organisation,
    project: &Project,
    (kind, status): (DeliveryKind, &str),
    happening: Happening,
    dice: &mut Dice,
) -> Envelope {
    let service = project.services.first().copied().unwrap_or(project.id);
    let ended = duration_ms(kind, dice);
    let outcome = match status {
        "running" | "queued" => OutcomeStatus::Unknown,
        "succeeded" => OutcomeStatus::Success,
        _ => OutcomeStatus::Failure,
    };
    let run = happening.undertaking.to_string();
    let event = Delivery {
        kind,
        project: project.id.into(),
        environment: matches!(
            kind,
            DeliveryKind::DeploymentStarted
                | DeliveryKind::DeploymentFinished
                | DeliveryKind::DeploymentRolledBack
        )
        .then(|| "production".into()),
        run_id: Some(run[..8].into()),
        name: Some(service.into()),
        version: Some(run[24..].into()),
        status: Some(status.into()),
        actor: Some(dice.pick_early(&organisation.people).actor.clone()),
        outcome: Outcome { status: outcome, ..Outcome::default() },
        duration_ms: ended,
    };
    let mut envelope =
        envelope(organisation, project.source.clone(), Event::Delivery(event), happening, dice);
    envelope.trace = Some(trace(happening.undertaking, dice));
    envelope
}

fn duration_ms(kind: DeliveryKind, dice: &mut Dice) -> Option<i64> {
    let finished = kind.name().ends_with("Finished") || kind.name().ends_with("Failed");
    finished.then(|| 20_000 + i64::from(dice.below(400_000)))
}

/// One trace per operation; each event is a span of its own.
fn trace(undertaking: EventId, dice: &mut Dice) -> TraceContext {
    let mut traceparent = format!("00-{:032x}-", undertaking.as_uuid().as_u128());
    dice.hex(16, &mut traceparent);
    traceparent.push_str("-01");
    TraceContext { traceparent, tracestate: None }
}

/// A change or an observation of one machine or database.
pub(super) fn infrastructure(
    organisation: &Organisation,
    (project, kind): (&Project, InfrastructureKind),
    happening: Happening,
    dice: &mut Dice,
) -> Envelope {
    let account = &organisation.accounts[project.account];
    let instance = dice.pick(&account.instances);
    let size = [2, 4, 8, 16][dice.index(4)];
    let configuration = (kind == InfrastructureKind::ConfigurationObserved).then(|| {
        format!(
            r#"{{"instanceType":"m7g.{size}xlarge","ebsOptimized":true,"monitoring":"enabled","metadataTokens":"{}","publicAddress":{},"rootVolume":{{"encrypted":{},"sizeGiB":{}}},"securityGroups":["{}-production"]}}"#,
            if dice.per_mille(40) { "optional" } else { "required" },
            dice.per_mille(30),
            !dice.per_mille(25),
            size * 20,
            project.id,
        )
    });
    let failed = kind == InfrastructureKind::Failed;
    let event = Infrastructure {
        kind,
        resource: Resource {
            cloud: Some("aws".into()),
            account: Some(account.id.clone()),
            region: Some(account.region.into()),
            kind: Some("AWS::EC2::Instance".into()),
            id: format!("arn:aws:ec2:{}:{}:instance/{instance}", account.region, account.id),
            name: Some(instance.clone()),
            project: Some(project.id.into()),
            environment: Some("production".into()),
            tags: [
                ("service", project.services.first().copied().unwrap_or(project.id)),
                ("owner", project.id),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        },
        actor: organisation.pipelines.get(project.account).map(|pipeline| pipeline.actor.clone()),
        outcome: Outcome {
            status: if failed { OutcomeStatus::Failure } else { OutcomeStatus::Success },
            code: failed.then(|| "InsufficientInstanceCapacity".into()),
            message: failed.then(|| "no capacity of this type is left in the zone".into()),
        },
        // Autoscaling and looking around are nobody's change.
        change_id: (!matches!(kind, InfrastructureKind::Scaled | InfrastructureKind::ConfigurationObserved))
            .then(|| change_id(happening)),
        quantity: (kind == InfrastructureKind::Scaled).then(|| size.to_string()),
        unit: (kind == InfrastructureKind::Scaled).then(|| "instances".into()),
        configuration,
    };
    let mut envelope =
        envelope(organisation, account.source.clone(), Event::Infrastructure(event), happening, dice);
    if kind == InfrastructureKind::ChangeProposed {
        let service = project.services.first().copied().unwrap_or(project.id);
        envelope.native = Some(plans::plan(service, happening.undertaking));
    }
    envelope
}

/// Id of the change that an operation is, for infrastructure and governance events.
fn change_id(happening: Happening) -> String {
    happening.undertaking.to_string()[..8].into()
}

const CHARGED: [(&str, &str, &str, i64); 6] = [
    ("Amazon Elastic Compute Cloud", "Compute", "Hours", 9_600),
    ("Amazon Relational Database Service", "Databases", "Hours", 21_000),
    ("Amazon Simple Storage Service", "Storage", "GB-Hours", 2_300),
    ("AWS Lambda", "Compute", "GB-Seconds", 1_700),
    ("Amazon DynamoDB", "Databases", "Requests", 1_200),
    ("AWS Data Transfer", "Networking", "GB", 900),
];

/// One hour's charge for one service in one account; a spike multiplies it.
pub(super) fn charge(
    organisation: &Organisation,
    (project, spike): (&Project, u32),
    happening: Happening,
    dice: &mut Dice,
) -> Envelope {
    let account = &organisation.accounts[project.account];
    let &(service, category, unit, price) = if spike > 1 { &CHARGED[0] } else { dice.pick_early(&CHARGED) };
    let quantity = i64::from((1 + dice.below(24)) * spike);
    // Money at ten decimal places, as bills have it.
    let billed = Decimal::new(quantity * price * 10_000 + i64::from(dice.below(10_000)), 10);
    let end = happening.at.duration_trunc(TimeDelta::hours(1)).unwrap_or(happening.at);
    let event = Usage {
        kind: UsageKind::ChargeRecorded,
        billing_account_id: organisation.billing_account.clone(),
        sub_account_id: Some(account.id.clone()),
        provider_name: "AWS".into(),
        service_name: service.into(),
        service_category: Some(category.into()),
        region_id: Some(account.region.into()),
        resource_id: Some(dice.pick(&account.instances).clone()),
        charge_category: "Usage".into(),
        charge_description: Some(format!("{unit} of {service} in {}", account.region)),
        charge_period_start: end - TimeDelta::hours(1),
        charge_period_end: end,
        billing_currency: "USD".into(),
        billed_cost: billed,
        effective_cost: Some(billed * Decimal::new(87, 2)),
        list_cost: Some(billed * Decimal::new(112, 2)),
        contracted_cost: Some(billed),
        consumed_quantity: Some(quantity.into()),
        consumed_unit: Some(unit.into()),
        tags: [("project".to_owned(), project.id.to_owned())].into(),
        other_columns: [("PricingCategory".to_owned(), "Standard".to_owned())].into(),
        corrects: None,
    };
    envelope(organisation, source("https://billing.example.com"), Event::Usage(event), happening, dice)
}

/// An observation of one of a project's services.
pub(super) fn monitoring(
    organisation: &Organisation,
    (project, kind): (&Project, MonitoringKind),
    happening: Happening,
    dice: &mut Dice,
) -> Envelope {
    let service = project.services.first().copied().unwrap_or(project.id);
    let (name, unit, limit) = *dice.pick(&[
        ("error_rate", "percent", 5),
        ("latency_p95", "milliseconds", 250),
        ("cpu_utilisation", "percent", 80),
        ("queue_depth", "messages", 1_000),
    ]);
    let over = matches!(kind, MonitoringKind::AlertRaised | MonitoringKind::ThresholdCrossed);
    let percent = if over { 101 + dice.below(90) } else { 10 + dice.below(80) };
    let value = Decimal::new(limit * i64::from(percent), 2);
    let (severity, status) = match kind {
        MonitoringKind::AlertRaised => ("critical", "firing"),
        MonitoringKind::AlertResolved => ("info", "resolved"),
        MonitoringKind::ThresholdCrossed => ("warning", "breached"),
        MonitoringKind::HealthChecked => ("info", "healthy"),
        MonitoringKind::UtilisationMeasured => ("info", "measured"),
    };
    let account = &organisation.accounts[project.account];
    let event = Monitoring {
        kind,
        subject: Resource {
            account: Some(account.id.clone()),
            region: Some(account.region.into()),
            kind: Some("service".into()),
            id: format!("{}/{service}", project.id),
            name: Some(service.into()),
            project: Some(project.id.into()),
            environment: Some("production".into()),
            ..Resource::default()
        },
        name: name.into(),
        severity: Some(severity.into()),
        status: Some(status.into()),
        value: Some(value.normalize().to_string()),
        threshold: Some(limit.to_string()),
        unit: Some(unit.into()),
        message: over.then(|| format!("{name} of {service} is {value} {unit}, above {limit}")),
    };
    envelope(organisation, source("https://metrics.example.com"), Event::Monitoring(event), happening, dice)
}

/// A decision on a change, a budget or a finding.
pub(super) fn governance(
    organisation: &Organisation,
    (kind, project, decision): (GovernanceKind, &Project, Option<&str>),
    happening: Happening,
    dice: &mut Dice,
) -> Envelope {
    let person: &Identity = dice.pick(&organisation.people);
    let (subject_kind, reason) = match kind {
        GovernanceKind::BudgetSet => ("budget", "agreed for the quarter"),
        GovernanceKind::FindingTriaged => ("finding", "looked at with the team on call"),
        GovernanceKind::WaiverGranted => ("control", "replaced next sprint"),
        _ => ("change", "planned work on production"),
    };
    let amount = || (1 + dice.clone().below(20)) * 1_000;
    let event = Governance {
        kind,
        subject_kind: subject_kind.into(),
        subject_id: match subject_kind {
            "change" => change_id(happening),
            _ => format!("{}-{}", project.id, change_id(happening)),
        },
        actor: Actor { id: format!("{}@example.com", person.login), ..person.actor.clone() },
        decision: decision.map(str::to_owned),
        reason: Some(reason.into()),
        expires_at: (kind == GovernanceKind::WaiverGranted).then(|| happening.at + TimeDelta::days(30)),
        attributes: if kind == GovernanceKind::BudgetSet {
            [("amount".to_owned(), amount().to_string()), ("currency".to_owned(), "USD".to_owned())].into()
        } else {
            [("project".to_owned(), project.id.to_owned())].into()
        },
    };
    envelope(organisation, source("https://decisions.example.com"), Event::Governance(event), happening, dice)
}

fn source(uri: &'static str) -> Source {
    Source::new(uri).expect("a URI without spaces")
}

fn envelope(
    organisation: &Organisation,
    source: Source,
    event: Event,
    Happening { at, undertaking }: Happening,
    dice: &mut Dice,
) -> Envelope {
    Envelope {
        id: dice.id(),
        tenant: organisation.tenant.clone(),
        source,
        subject: Some(event.entity().to_owned()),
        occurred_at: at,
        skewed: false,
        time_assumed: false,
        original_id: None,
        correlation_id: Some(undertaking.to_string()),
        causation_id: None,
        trace: None,
        event,
        native: None,
    }
}
