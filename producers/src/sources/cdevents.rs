//! Maps `CDEvents` (any version of the specification, alone or as the data of a CloudEvent) to delivery
//! events.
//!
//! The subject and the predicate are part of an event's type: `dev.cdevents.pipelinerun.finished.0.3.0`.
//! Events about runs, services, environments and repositories become steps of a delivery; those about
//! changes, artifacts, tickets and approvals become activities.

use schemas::{
    Event, EventId, TenantId,
    envelope::native_format,
    events::{
        Activity, ActivityKind, Actor, ActorKind, Delivery, DeliveryKind, Monitoring, MonitoringKind,
        Outcome, OutcomeStatus, Resource,
    },
};

use super::{
    Around, Received, SourceRow,
    fields::Fields,
    mapped::{Draft, Mapped, NotARecord},
};

pub(super) const ROW: SourceRow = SourceRow {
    format: FORMAT,
    slug: "cdevents",
    record: "a CDEvent",
    takes: "CDEvents: one, an array or one a line, also as the data of CloudEvents",
    lists: &["records"],
    received: Received::WithKey,
    marks: &["context.type", "context.chainId", "context.specversion"],
    map,
};

const FORMAT: &str = native_format::CDEVENTS;

/// Maps one event.
pub fn map(tenant: &TenantId, text: &str, around: &Around) -> Result<Mapped, NotARecord> {
    let record = Fields::parse(text).map_err(NotARecord::NotAnObject)?;
    let context = record.inner("context");
    let told = |name: &str| context.as_ref().and_then(|context| context.plain_text(name));
    let source = told("source");
    let subject = Subject::of(&record, told("type").as_deref().unwrap_or_default());
    let id = told("id").map(|id| {
        let from = source.as_deref().unwrap_or_default();
        EventId::derived(tenant, FORMAT, format!("{} {from} {id}", from.len()).as_bytes())
    });
    let event = subject.event();
    let draft = Draft {
        format: FORMAT,
        source: source.unwrap_or_else(|| FORMAT.into()),
        id,
        occurred_at: context.as_ref().and_then(|context| context.instant("timestamp")).or(around.time),
        correlation_id: told("chainId"),
        subject: Some(subject.id.clone()).filter(|id| !id.is_empty()),
        fields_empty: subject.id.is_empty() || record.left_empty(),
        event,
    };
    Ok(draft.finish(tenant, text))
}

/// Subject of an event.
struct Subject<'a> {
    /// `pipelinerun`
    thing: String,
    /// `finished`
    predicate: String,
    id: String,
    source: Option<String>,
    content: Option<Fields<'a>>,
}

impl<'a> Subject<'a> {
    fn of(record: &Fields<'a>, kind: &str) -> Self {
        let mut words = kind.strip_prefix("dev.cdevents.").unwrap_or_default().split('.');
        let mut next = || words.next().unwrap_or_default().to_ascii_lowercase();
        let (thing, predicate) = (next(), next());
        let subject = record.inner("subject");
        let told = |name: &str| subject.as_ref().and_then(|subject| subject.plain_text(name));
        Self {
            thing,
            predicate,
            id: told("id").unwrap_or_default(),
            source: told("source"),
            content: subject.as_ref().and_then(|subject| subject.inner("content")),
        }
    }

    fn text(&self, names: &[&str]) -> Option<String> {
        self.content.as_ref()?.first_text(names)
    }

    /// `id` of a related thing in the content.
    fn reference(&self, name: &str) -> Option<String> {
        self.content.as_ref()?.inner(name)?.plain_text("id")
    }

    fn event(&self) -> Event {
        match (self.delivery_kind(), self.thing.as_str()) {
            (Some(kind), _) => Event::Delivery(self.delivery(kind)),
            (None, "incident") => Event::Monitoring(self.incident()),
            (None, _) => Event::Activity(self.activity()),
        }
    }

    fn delivery_kind(&self) -> Option<DeliveryKind> {
        Some(match (self.thing.as_str(), self.predicate.as_str()) {
            ("pipelinerun", "started") => DeliveryKind::PipelineStarted,
            ("pipelinerun", "finished") => DeliveryKind::PipelineFinished,
            ("taskrun" | "build" | "testcaserun" | "testsuiterun" | "pipelinerun", "queued") => {
                DeliveryKind::JobQueued
            }
            ("taskrun" | "build" | "testcaserun" | "testsuiterun", "started") => DeliveryKind::JobStarted,
            ("taskrun" | "build" | "testcaserun" | "testsuiterun", "finished" | "skipped") => {
                match self.outcome().status {
                    OutcomeStatus::Failure => DeliveryKind::JobFailed,
                    _ => DeliveryKind::JobFinished,
                }
            }
            ("service", "deployed" | "upgraded" | "published" | "removed") => {
                DeliveryKind::DeploymentFinished
            }
            ("service", "rolledback") => DeliveryKind::DeploymentRolledBack,
            ("environment", "created") => DeliveryKind::EnvironmentCreated,
            ("repository", "created") => DeliveryKind::ProjectCreated,
            ("repository", "modified") => DeliveryKind::ProjectUpdated,
            ("repository", "deleted") => DeliveryKind::ProjectDeleted,
            _ => return None,
        })
    }

    fn delivery(&self, kind: DeliveryKind) -> Delivery {
        let is_environment = self.thing == "environment";
        let environment = self.reference("environment").or_else(|| is_environment.then(|| self.id.clone()));
        let project = self
            .reference("repository")
            .or_else(|| self.reference("pipelineRun"))
            .or_else(|| self.text(&["pipelineName"]))
            .or_else(|| self.source.clone())
            .unwrap_or_else(|| self.id.clone());
        let is_project = self.thing == "repository" || self.thing == "service";
        let named = ["pipelineName", "taskName", "name"];
        let test = || {
            let case = self.content.as_ref()?;
            case.inner("testCase").or_else(|| case.inner("testSuite"))?.plain_text("name")
        };
        Delivery {
            kind,
            project: if is_project { self.id.clone() } else { project },
            environment,
            run_id: Some(self.id.clone()).filter(|_| !is_project),
            name: self.text(&named).or_else(test),
            version: self.text(&["artifactId"]),
            status: Some(self.text(&["outcome"]).unwrap_or_else(|| self.predicate.clone())),
            actor: self.actor(),
            outcome: self.outcome(),
            duration_ms: None,
        }
    }

    fn incident(&self) -> Monitoring {
        let environment = self.reference("environment");
        Monitoring {
            kind: match self.predicate.as_str() {
                "resolved" => MonitoringKind::AlertResolved,
                _ => MonitoringKind::AlertRaised,
            },
            subject: Resource {
                kind: Some("service".into()),
                id: self
                    .reference("service")
                    .or_else(|| environment.clone())
                    .unwrap_or_else(|| self.id.clone()),
                environment,
                ..Resource::default()
            },
            name: self.id.clone(),
            severity: None,
            status: Some(self.predicate.clone()),
            value: None,
            threshold: None,
            unit: None,
            message: self.text(&["description"]),
        }
    }

    fn activity(&self) -> Activity {
        let known = !self.thing.is_empty() && !self.predicate.is_empty();
        let repository = self.reference("repository");
        Activity {
            kind: ActivityKind::ApiCalled,
            action: if known { format!("{}.{}", self.thing, self.predicate) } else { "unknown".into() },
            service: Some("cdevents".into()),
            actor: self.actor().unwrap_or_default(),
            resources: vec![Resource {
                kind: Some(self.thing.clone()).filter(|thing| !thing.is_empty()),
                id: self.id.clone(),
                name: self.text(&["name", "summary"]),
                project: repository,
                ..Resource::default()
            }],
            outcome: Outcome {
                status: if known { OutcomeStatus::Success } else { OutcomeStatus::Unknown },
                ..Outcome::default()
            },
            read_only: None,
            request_id: None,
        }
    }

    fn actor(&self) -> Option<Actor> {
        let id = self.text(&["user", "responder", "requestor", "creator", "updatedBy", "owner"])?;
        let id = id.strip_prefix("urn:user:").map_or_else(|| id.clone(), str::to_owned);
        Some(Actor { kind: ActorKind::User, id, ..Actor::default() })
    }

    fn outcome(&self) -> Outcome {
        const DONE: [&str; 7] =
            ["deployed", "upgraded", "published", "removed", "rolledback", "created", "deleted"];
        let word = self.text(&["outcome"]);
        let status = match word.as_deref() {
            Some("success" | "pass") => OutcomeStatus::Success,
            Some("failure" | "fail" | "error" | "cancel" | "cancelled") => OutcomeStatus::Failure,
            None if DONE.contains(&self.predicate.as_str()) => OutcomeStatus::Success,
            Some(_) | None => OutcomeStatus::Unknown,
        };
        let failed = status == OutcomeStatus::Failure;
        Outcome {
            status,
            code: word.filter(|_| failed),
            message: self.text(&["errors", "reason"]).filter(|_| failed),
        }
    }
}
