//! Events that become facts, and the content of the facts.

use schemas::{
    Envelope, Event, EventId, Native, Source, TenantId, Timestamp,
    changes::{
        ChangeFact,
        change_review::{ChangeFactKind, PlanReading, Route},
    },
    envelope::native_format,
    events::{
        Actor, Governance, GovernanceKind, Infrastructure, InfrastructureKind, Outcome, OutcomeStatus,
        Resource,
    },
};

use super::*;
use crate::{Processor, change_review::ChangeReview};

fn envelope(event: Event, native: Option<(&str, String)>) -> Envelope {
    Envelope {
        id: EventId::new(uuid::Uuid::from_u128(7)).expect("not nil"),
        tenant: TenantId::new("acme").expect("valid"),
        source: Source::new("/test").expect("valid"),
        subject: None,
        occurred_at: Timestamp::from_timestamp(1_800_000_000, 0).expect("a time"),
        skewed: false,
        time_assumed: false,
        original_id: None,
        correlation_id: None,
        causation_id: None,
        trace: None,
        event,
        native: native.map(|(format, record)| Native { format: format.into(), record: record.into() }),
    }
}

fn infrastructure(kind: InfrastructureKind, change_id: Option<&str>) -> Infrastructure {
    Infrastructure {
        kind,
        resource: Resource { id: "orders".into(), project: Some("shop".into()), ..Resource::default() },
        actor: Some(Actor { id: "ci".into(), ..Actor::default() }),
        outcome: Outcome { status: OutcomeStatus::Success, code: Some("done".into()), message: None },
        change_id: change_id.map(str::to_owned),
        quantity: None,
        unit: None,
        configuration: None,
    }
}

fn governance(kind: GovernanceKind, subject_kind: &str) -> Event {
    Event::Governance(Governance {
        kind,
        subject_kind: subject_kind.into(),
        subject_id: "CR-1".into(),
        actor: Actor { id: "ada".into(), name: Some("Ada".into()), ..Actor::default() },
        decision: Some("approved".into()),
        reason: Some("read it".into()),
        expires_at: None,
        attributes: [("project".to_owned(), "shop".to_owned())].into(),
    })
}

fn fact(event: Event, native: Option<(&str, String)>) -> Option<ChangeFact> {
    let mut facts = ChangeReview::default().process(&envelope(event, native));
    assert!(facts.len() <= 1);
    facts.pop()
}

#[test]
fn a_plan_becomes_a_scored_proposal() {
    let text = plan(&[delete("aws_db_instance.orders", json!({}))]).to_string();
    let native = |format: &'static str| Some((format, text.clone()));
    let mut event = infrastructure(InfrastructureKind::ChangeProposed, Some("CR-1"));
    let proposed =
        fact(Event::Infrastructure(event.clone()), native(native_format::TERRAFORM_PLAN)).expect("a fact");
    let proposal = proposed.proposal.as_deref().expect("assessed");
    assert_eq!((proposal.score, proposal.plan.deletes), (60, 1));
    assert_eq!((proposed.change_id.as_str(), proposed.project.as_deref()), ("CR-1", Some("shop")));

    // The envelope says what the plan does not.
    event.resource.environment = Some("Production".into());
    let proposed =
        fact(Event::Infrastructure(event.clone()), native(native_format::TERRAFORM_PLAN)).expect("a fact");
    assert_eq!(proposed.proposal.expect("assessed").route, Route::Block);

    let other = fact(Event::Infrastructure(event.clone()), native("pulumi.preview")).expect("a fact");
    assert_eq!(other.proposal.expect("assessed").plan.reading, PlanReading::Absent);
    let cut = Some((native_format::TERRAFORM_PLAN, text[..40].to_owned()));
    let cut = fact(Event::Infrastructure(event), cut).expect("a fact").proposal.expect("assessed");
    assert_eq!(cut.plan.reading, PlanReading::Unreadable);
    assert!(cut.route >= Route::Review);
}

#[test]
fn a_request_and_a_decision_name_their_second_party() {
    let second = |kind, attributes: &[(&str, &str)]| {
        let Event::Governance(mut event) = governance(kind, "change") else { unreachable!("a decision") };
        event.attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        fact(Event::Governance(event), None).expect("a fact").second_party
    };
    let both = [("on_behalf_of", "mara"), ("requested_through", "key00001")];
    assert_eq!(second(GovernanceKind::ApprovalDecided, &both).as_deref(), Some("mara"));
    assert_eq!(second(GovernanceKind::ApprovalRequested, &both).as_deref(), Some("key00001"));
    assert_eq!(second(GovernanceKind::ApprovalDecided, &[("on_behalf_of", " ")]), None);
    assert_eq!(second(GovernanceKind::ApprovalRequested, &[("on_behalf_of", "mara")]), None);
}

#[test]
fn only_a_decision_names_the_proposal_that_it_is_about() {
    let about = |kind, proposal: &str| {
        let Event::Governance(mut event) = governance(kind, "change") else { unreachable!("a decision") };
        event.attributes.insert("proposal".to_owned(), proposal.to_owned());
        fact(Event::Governance(event), None).expect("a fact").decided_proposal
    };
    assert_eq!(about(GovernanceKind::ApprovalDecided, "any text").as_deref(), Some("any text"));
    assert_eq!(about(GovernanceKind::ApprovalDecided, " "), None);
    assert_eq!(about(GovernanceKind::ApprovalRequested, "any text"), None);
}

#[test]
fn a_plan_of_ten_thousand_levels_is_reviewed() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let text = format!(r#"{{"format_version":"1.2","resource_changes":{deep}}}"#);
    let event = infrastructure(InfrastructureKind::ChangeProposed, None);
    let fact =
        fact(Event::Infrastructure(event), Some((native_format::TERRAFORM_PLAN, text))).expect("a fact");
    let proposal = fact.proposal.expect("assessed");
    assert_eq!((proposal.plan.reading, proposal.route), (PlanReading::Unreadable, Route::Review));
}

#[test]
fn a_proposal_without_a_change_is_one_of_its_own_and_progress_without_one_is_none() {
    let proposal = infrastructure(InfrastructureKind::ChangeProposed, None);
    let own = fact(Event::Infrastructure(proposal), None).expect("a fact");
    assert_eq!(own.change_id, own.event_id.to_string());
    for id in [None, Some("")] {
        assert_eq!(
            fact(Event::Infrastructure(infrastructure(InfrastructureKind::Provisioned, id)), None),
            None
        );
    }
    let part = infrastructure(InfrastructureKind::Provisioned, Some("CR-1"));
    let part = fact(Event::Infrastructure(part), None).expect("a fact");
    assert_eq!((part.kind, part.outcome), (ChangeFactKind::Provisioned, OutcomeStatus::Success));
    assert_eq!((part.proposal, part.outcome_code.as_deref()), (None, Some("done")));
    let long = fact(
        Event::Infrastructure(infrastructure(InfrastructureKind::Failed, Some(&"x".repeat(5_000)))),
        None,
    );
    assert_eq!(long.expect("a fact").change_id.len(), 512);
}

#[test]
fn requests_and_decisions_about_changes_are_facts_and_about_others_not() {
    let decided = fact(governance(GovernanceKind::ApprovalDecided, "change"), None).expect("a fact");
    assert_eq!(decided.kind, ChangeFactKind::ApprovalDecided);
    assert_eq!((decided.change_id.as_str(), decided.decision.as_deref()), ("CR-1", Some("approved")));
    let actor = decided.actor.expect("named");
    assert_eq!((actor.id.as_str(), actor.name.as_deref()), ("ada", Some("Ada")));
    assert_eq!(decided.project.as_deref(), Some("shop"));
    let asked = fact(governance(GovernanceKind::ApprovalRequested, "change"), None).expect("a fact");
    assert_eq!(asked.kind, ChangeFactKind::ApprovalRequested);
    assert_eq!(fact(governance(GovernanceKind::ApprovalDecided, "access"), None), None);
    assert_eq!(fact(governance(GovernanceKind::BudgetSet, "change"), None), None);
}
