//! Steps of waivers, and terms that cannot be read.

use std::collections::BTreeMap;

use schemas::{
    changes::compliance::{WaiverFact, WaiverStep},
    events::{ActorKind, Governance, GovernanceKind},
};

use super::*;

fn governance(kind: GovernanceKind, attributes: &[(&str, &str)], expires: Option<&str>) -> Governance {
    Governance {
        kind,
        subject_kind: "waiver".into(),
        subject_id: "w-1".into(),
        actor: Actor { kind: ActorKind::User, id: "ada".into(), ..Actor::default() },
        decision: None,
        reason: Some("moved next month".into()),
        expires_at: expires.map(at),
        attributes: attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn fact(event: Governance) -> Option<WaiverFact> {
    let mut changes = Compliance::default().process(&envelope(Event::Governance(event), None));
    match changes.pop() {
        Some(ComplianceChange::Waiver(fact)) => Some(*fact),
        None => None,
        other => panic!("no waiver: {other:?}"),
    }
}

const TERMS: [(&str, &str); 3] =
    [("owner", "olga"), ("policies", r#"["b","a","b"]"#), ("resources", r#"["r"]"#)];

#[test]
fn a_request_carries_its_terms() {
    let asked = governance(GovernanceKind::ApprovalRequested, &TERMS, Some("2026-04-01T00:00:00Z"));
    let fact = fact(asked).expect("a fact");
    let WaiverStep::Requested(Ok(terms)) = fact.step else { panic!("terms: {:?}", fact.step) };
    assert_eq!(
        (terms.owner.as_str(), terms.policies, terms.resources),
        ("olga", vec!["a".into(), "b".into()], vec!["r".into()])
    );
    assert_eq!((fact.waiver.as_str(), fact.actor.as_str()), ("w-1", "ada"));
}

#[test]
fn terms_that_cannot_be_read_say_why() {
    let check = |change: &[(&str, &str)], expires: Option<&str>, expected: &str| {
        let mut attributes = TERMS.to_vec();
        attributes.retain(|(name, _)| !change.iter().any(|(other, _)| other == name));
        attributes.extend(change);
        let fact = fact(governance(GovernanceKind::ApprovalRequested, &attributes, expires)).expect("a fact");
        let WaiverStep::Requested(Err(why)) = fact.step else { panic!("{expected}: {:?}", fact.step) };
        assert!(why.contains(expected), "{why}");
    };
    let good = Some("2026-04-01T00:00:00Z");
    check(&[], None, "no end");
    check(&[], Some("2026-02-01T00:00:00Z"), "past");
    check(&[], Some("2026-07-01T00:00:00Z"), "90 days");
    check(&[("owner", " ")], good, "owner");
    check(&[("resources", r#"["*"]"#)], good, "pattern");
    check(&[("resources", "everything")], good, "JSON list");
    check(&[("policies", "[]")], good, "1 to 50");
    check(&[("policies", r#"[" "]"#)], good, "blank");
}

#[test]
fn other_steps_and_other_subjects() {
    let step = |kind, decision: Option<&str>| {
        let mut event = governance(kind, &[("requested_by", "eve"), ("on_behalf_of", "mara")], None);
        event.decision = decision.map(ToOwned::to_owned);
        fact(event).map(|fact| (fact.step, fact.second_party))
    };
    let granted = WaiverStep::Granted { requested_by: Some("eve".into()) };
    let mara = Some("mara".to_owned());
    assert_eq!(step(GovernanceKind::WaiverGranted, None), Some((granted.clone(), mara.clone())));
    assert_eq!(step(GovernanceKind::ApprovalDecided, Some("approved")), Some((granted, mara.clone())));
    assert_eq!(
        step(GovernanceKind::ApprovalDecided, Some("rejected")),
        Some((WaiverStep::Rejected, mara.clone()))
    );
    assert_eq!(step(GovernanceKind::WaiverRevoked, None), Some((WaiverStep::Revoked, mara)));
    assert_eq!(step(GovernanceKind::BudgetSet, None), None);
    let mut change = governance(GovernanceKind::ApprovalRequested, &TERMS, None);
    change.subject_kind = "change".into();
    assert_eq!(fact(change), None);
}
