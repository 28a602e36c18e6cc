//! Histories of changes: possible and impossible transitions.

mod approvals;

use proptest::prelude::*;
use schemas::{
    Timestamp,
    changes::change_review::{ChangeFactKind, PlanReading, Route},
};
use uuid::Uuid;

use super::{
    facts::{Assessed, StoredFact},
    review::Review,
    states::{ApprovalState, Decision, ProvisioningState},
};
use ChangeFactKind::{
    ApprovalDecided, ApprovalRequested, Completed, ConfigurationObserved, Deleted, Failed, Proposed,
    Provisioned,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + second, 0).expect("a time")
}

fn fact(kind: ChangeFactKind, actor: &str) -> StoredFact {
    StoredFact {
        event_id: Uuid::nil(),
        kind,
        occurred_at: at(0),
        actor: (!actor.is_empty()).then(|| actor.to_owned()),
        actor_name: None,
        second_party: None,
        resource: None,
        project: None,
        environment: None,
        decision: None,
        decided_proposal: None,
        reason: None,
        expires_at: None,
        failed: false,
        outcome_code: None,
        assessed: None,
    }
}

/// A plan without a proposer, as Terraform writes it.
fn plan(score: i16) -> StoredFact {
    let route = Route::of(u8::try_from(score).expect("a score"));
    let assessed = Some(Assessed::new(route, score, PlanReading::Read));
    StoredFact { assessed, ..fact(Proposed, "") }
}

/// A plan whose publisher names a proposer.
fn planned_by(actor: &str, score: i16) -> StoredFact {
    StoredFact { actor: Some(actor.to_owned()), ..plan(score) }
}

fn asked(actor: &str) -> StoredFact {
    fact(ApprovalRequested, actor)
}

fn decided(actor: &str, word: &str) -> StoredFact {
    StoredFact { decision: Some(word.to_owned()), ..fact(ApprovalDecided, actor) }
}

fn approved(actor: &str) -> StoredFact {
    decided(actor, "approved")
}

/// The fact with a second party: the credential through which a person asked, or the person for whom one
/// decided.
fn with(second_party: &str, fact: StoredFact) -> StoredFact {
    StoredFact { second_party: Some(second_party.to_owned()), ..fact }
}

/// The facts, one a second, each an event of its own.
fn timed(facts: Vec<StoredFact>) -> Vec<StoredFact> {
    let mut facts = facts;
    for (second, fact) in (1..).zip(&mut facts) {
        fact.event_id = Uuid::from_u128(u128::try_from(second).expect("positive"));
        fact.occurred_at = at(second);
    }
    facts
}

/// Final approval, decision and provisioning, and the impossible transitions.
fn course(facts: Vec<StoredFact>) -> (String, Vec<String>) {
    let review = Review::of(&timed(facts));
    let decision = review.decision.map_or("-", |(decision, _)| decision.name());
    let end = format!("{} {decision} {}", review.approval.name(), review.provisioning.name());
    let impossible = review.impossible().filter_map(|step| step.impossible.clone()).collect();
    (end, impossible)
}

#[track_caller]
fn check(facts: Vec<StoredFact>, end: &str, impossible: &[&str]) {
    let (found_end, found) = course(facts);
    assert_eq!(
        (found_end.as_str(), found.iter().map(String::as_str).collect::<Vec<_>>().as_slice()),
        (end, impossible)
    );
}

#[test]
fn an_approval_runs_through_its_states() {
    check(vec![], "not_requested - not_requested", &[]);
    check(vec![asked("ada")], "requested - requested", &[]);
    check(vec![plan(40)], "risk_assessed - planned", &[]);
    check(vec![plan(40), asked("ada")], "human_review - planned", &[]);
    check(vec![asked("ada"), plan(40)], "human_review - planned", &[]);
    check(vec![plan(40), asked("ada"), approved("bob")], "decided approved approved", &[]);
    check(vec![plan(40), asked("ada"), decided("bob", "rejected")], "decided rejected planned", &[]);
    check(vec![plan(5)], "decided auto approved", &[]);
    check(vec![plan(95), asked("ada")], "decided blocked planned", &[]);
}

#[test]
fn two_different_people_must_approve_and_neither_asked() {
    let asking = || vec![plan(80), asked("ada")];
    let with = |more: Vec<StoredFact>| asking().into_iter().chain(more).collect::<Vec<_>>();
    check(with(vec![approved("bob")]), "human_review - planned", &[]);
    check(with(vec![approved("bob"), approved("eve")]), "decided approved approved", &[]);
    let twice = ["approved twice by the same person"];
    check(with(vec![approved("bob"), approved("Bob ")]), "human_review - planned", &twice);
    let own = ["approved by the requester"];
    check(with(vec![approved("ADA"), approved("bob")]), "human_review - planned", &own);
    check(with(vec![approved("bob"), decided("eve", "rejected")]), "decided rejected planned", &[]);
    let asks_too = ["requested by an approver"];
    check(with(vec![approved("bob"), asked("bob"), approved("eve")]), "decided approved approved", &asks_too);
    check(with(vec![asked("bob"), approved("bob")]), "human_review - planned", &own);
    // Who proposed cannot approve, even where somebody else asked.
    check(vec![planned_by("cid", 40), asked("ada"), approved("cid")], "human_review - planned", &own);
    // Taking one's own request back is nobody's danger.
    check(with(vec![decided("ada", "rejected")]), "decided rejected planned", &[]);
}

#[test]
fn decisions_that_cannot_be_are_kept_as_such() {
    let reviewed = || vec![plan(40), asked("ada")];
    let with = |more: Vec<StoredFact>| reviewed().into_iter().chain(more).collect::<Vec<_>>();
    check(
        vec![asked("ada"), approved("bob")],
        "requested - requested",
        &["decided before anything had been proposed"],
    );
    check(
        vec![plan(40), approved("bob")],
        "risk_assessed - planned",
        &["decided before anybody had asked for it"],
    );
    // Whom a proposal names has not asked: its publisher may name anybody.
    for word in ["approved", "rejected"] {
        check(
            vec![planned_by("carol", 40), decided("bob", word)],
            "risk_assessed - planned",
            &["decided before anybody had asked for it"],
        );
    }
    let late = ["decided after it had been decided"];
    check(with(vec![approved("bob"), approved("eve")]), "decided approved approved", &late);
    check(with(vec![decided("bob", "rejected"), approved("eve")]), "decided rejected planned", &late);
    check(with(vec![approved("bob"), decided("eve", "rejected")]), "decided approved approved", &late);
    check(
        vec![plan(95), asked("ada"), approved("bob")],
        "decided blocked planned",
        &["approved although its score blocks it"],
    );
    check(
        vec![plan(95), asked("ada"), decided("bob", "rejected")],
        "decided blocked planned",
        &["decided although its score blocks it already"],
    );
    check(
        vec![plan(5), approved("bob")],
        "decided auto approved",
        &["decided although its score lets it pass by itself"],
    );
    check(with(vec![approved("")]), "human_review - planned", &["the decider is not named"]);
    check(with(vec![asked("")]), "human_review - planned", &["the requester is not named"]);
    check(
        with(vec![decided("bob", "maybe\n")]),
        "human_review - planned",
        &["\"maybe\\n\" is neither approved nor rejected"],
    );
    check(
        with(vec![fact(ApprovalDecided, "bob")]),
        "human_review - planned",
        &["decided without a decision"],
    );
    check(
        with(vec![approved("bob"), asked("cid")]),
        "decided approved approved",
        &["asked for after it had been decided"],
    );
}

#[test]
fn a_request_that_has_ended_is_renewed_by_another() {
    let until = |second: i64| StoredFact { expires_at: Some(at(second)), ..asked("ada") };
    let late = ["decided after the request had ended"];
    check(vec![plan(40), until(2), approved("bob")], "human_review - planned", &late);
    check(vec![plan(40), until(2), decided("bob", "rejected")], "human_review - planned", &late);
    check(vec![plan(40), until(2), asked("ada"), approved("bob")], "decided approved approved", &[]);
    check(vec![plan(40), until(3), approved("bob")], "decided approved approved", &[]);
}

#[test]
fn another_plan_begins_another_round() {
    let first = || vec![plan(80), asked("ada"), approved("bob")];
    let with = |more: Vec<StoredFact>| first().into_iter().chain(more).collect::<Vec<_>>();
    check(with(vec![plan(80), approved("eve")]), "human_review - planned", &[]);
    check(with(vec![plan(80), approved("bob"), approved("eve")]), "decided approved approved", &[]);
    check(with(vec![approved("eve"), plan(80)]), "human_review - planned", &[]);
    check(with(vec![decided("eve", "rejected"), plan(10)]), "decided auto approved", &[]);
    check(vec![plan(95), plan(40), asked("ada"), approved("bob")], "decided approved approved", &[]);
    check(vec![plan(40), asked("ada"), approved("bob"), plan(40)], "human_review - planned", &[]);
    let applied = with(vec![approved("eve"), fact(Provisioned, ""), plan(5)]);
    check(applied, "decided approved applied", &["proposed after it had been applied"]);
    let again = with(vec![approved("eve"), fact(Failed, ""), plan(5), fact(Provisioned, "")]);
    check(again, "decided auto applied", &[]);
}

#[test]
fn provisioning_follows_its_approval() {
    let go = || vec![plan(5)];
    let with = |more: Vec<StoredFact>| go().into_iter().chain(more).collect::<Vec<_>>();
    let of = |kinds: &[ChangeFactKind]| kinds.iter().map(|kind| fact(*kind, "")).collect::<Vec<_>>();
    check(with(of(&[Provisioned])), "decided auto applied", &[]);
    check(with(of(&[Provisioned, ConfigurationObserved])), "decided auto monitored", &[]);
    let all =
        [Provisioned, Provisioned, ConfigurationObserved, Provisioned, Completed, ConfigurationObserved];
    check(with(of(&all)), "decided auto completed", &[]);
    check(with(of(&[Completed, Completed])), "decided auto completed", &[]);
    check(with(of(&[Provisioned, Failed, Provisioned])), "decided auto failed", &[]);
    check(with(of(&[Failed, Completed])), "decided auto failed", &["completed after it had failed"]);
    check(with(of(&[Completed, Failed])), "decided auto completed", &["failed after it had been completed"]);
    check(
        with(of(&[Completed, Deleted])),
        "decided auto completed",
        &["applied after it had been completed"],
    );
    check(
        with(of(&[ConfigurationObserved])),
        "decided auto approved",
        &["observed before it had been applied"],
    );
    let failed_part = StoredFact { failed: true, ..fact(Provisioned, "") };
    check(with(vec![failed_part]), "decided auto failed", &[]);
    let taken_back = || StoredFact { outcome_code: Some("rolled_back".to_owned()), ..fact(Failed, "") };
    check(with(vec![taken_back()]), "decided auto approved", &["taken back before it had been applied"]);
    let back = with(vec![fact(Provisioned, ""), fact(Failed, ""), taken_back(), fact(Deleted, "")]);
    check(back, "decided auto rolled_back", &[]);
    let ended = StoredFact { kind: Completed, ..taken_back() };
    check(with(vec![fact(Provisioned, ""), ended]), "decided auto rolled_back", &[]);
}

#[test]
fn what_is_applied_without_an_approval_is_kept_as_such() {
    let applied = || fact(Provisioned, "");
    check(vec![applied()], "not_requested - not_requested", &["applied before anything had been proposed"]);
    check(
        vec![fact(Failed, "")],
        "not_requested - not_requested",
        &["failed before anything had been proposed"],
    );
    check(vec![plan(40), applied()], "risk_assessed - planned", &["applied before it had been approved"]);
    check(
        vec![plan(95), fact(Completed, "")],
        "decided blocked planned",
        &["applied although it is blocked"],
    );
    let rejected = vec![plan(40), asked("ada"), decided("bob", "rejected"), applied()];
    check(rejected, "decided rejected planned", &["applied although it is rejected"]);
    let until = StoredFact { expires_at: Some(at(4)), ..approved("bob") };
    let late = vec![plan(40), asked("ada"), until.clone(), asked("x"), applied()];
    let ended = ["asked for after it had been decided", "applied after its approval had ended"];
    check(late, "decided approved approved", &ended);
    check(vec![plan(40), asked("ada"), until, applied()], "decided approved applied", &[]);
}

#[test]
fn nobody_approves_through_another_what_they_asked_for() {
    let own = "approved by the requester";
    let twice = "approved twice by the same person";
    // Asked through a service: neither the person nor the service approves.
    let through = || vec![plan(40), with("bot", asked("ada"))];
    let then = |mut facts: Vec<StoredFact>, next: StoredFact| {
        facts.push(next);
        facts
    };
    for refused in [approved("ada"), approved("bot"), with("ada", approved("other-bot")), approved(" ADA ")] {
        check(then(through(), refused), "human_review - planned", &[own]);
    }
    check(then(through(), approved("bob")), "decided approved approved", &[]);
    check(then(through(), with("bob", approved("other-bot"))), "decided approved approved", &[]);
    // Asked in person, approved through a service.
    check(vec![plan(40), asked("ada"), with("Ada", approved("bot"))], "human_review - planned", &[own]);
    // Two people are needed: neither a person who approves twice, once through a service, nor a service that claims two.
    let two = || vec![plan(75), with("bot", asked("ada")), approved("bob")];
    check(then(two(), with("bob", approved("other-bot"))), "human_review - planned", &[twice]);
    check(then(two(), approved("eve")), "decided approved approved", &[]);
    let claimed = vec![
        plan(75),
        asked("ada"),
        with("bob", approved("bot")),
        with("eve", approved("bot")),
        approved("bob"),
    ];
    check(claimed, "human_review - planned", &[twice, twice]);
    // Who has approved cannot be made the one who asks.
    let late = vec![plan(75), asked("ada"), approved("bob"), with("bob", asked("eve"))];
    check(late, "human_review - planned", &["requested by an approver"]);
}

#[test]
fn a_plan_that_could_not_be_read_is_not_planned() {
    let read = |reading: PlanReading| {
        let mut proposal = plan(40);
        proposal.assessed = proposal.assessed.map(|assessed| Assessed { reading, ..assessed });
        Review::of(&timed(vec![proposal])).provisioning
    };
    assert_eq!(read(PlanReading::Read), ProvisioningState::Planned);
    assert_eq!(read(PlanReading::Partly), ProvisioningState::Validated);
    assert_eq!(read(PlanReading::Unreadable), ProvisioningState::Requested);
    assert_eq!(read(PlanReading::Absent), ProvisioningState::Requested);
}

#[test]
fn the_standing_proposal_says_what_it_is_about() {
    let about = |project: &str, fact: StoredFact| StoredFact { project: Some(project.to_owned()), ..fact };
    let review = Review::of(&timed(vec![about("a", asked("ada")), plan(40)]));
    assert_eq!(review.project.as_deref(), Some("a"));
    let review =
        Review::of(&timed(vec![about("a", asked("ada")), about("b", plan(40)), about("c", plan(40))]));
    assert_eq!(review.project.as_deref(), Some("c"));
    assert_eq!(review.requested_by.as_deref(), Some("ada"));
    let proposed = vec![planned_by("carol", 40)];
    assert_eq!(Review::of(&timed(proposed.clone())).requested_by, None, "nobody asked");
    let asked_later = proposed.into_iter().chain([asked("ada")]).collect();
    assert_eq!(Review::of(&timed(asked_later)).requested_by.as_deref(), Some("ada"));
}

fn any_fact() -> impl Strategy<Value = StoredFact> {
    let actors = prop::sample::select(vec!["", "ada", "bob", "eve"]);
    let words = prop::sample::select(vec!["approved", "rejected", "maybe"]);
    let kinds = prop::sample::select(ChangeFactKind::ALL.to_vec());
    (kinds, actors, words, 0_i64..8, 0_i16..=100, any::<bool>()).prop_map(
        |(kind, actor, word, second, score, odd)| {
            let mut any = fact(kind, actor);
            any.occurred_at = at(second);
            match kind {
                Proposed => any.assessed = plan(score).assessed,
                ApprovalDecided => {
                    any.decision = Some(word.to_owned());
                    any.expires_at = odd.then(|| at(second + i64::from(score % 4)));
                }
                Failed if odd => any.outcome_code = Some("rolled_back".to_owned()),
                _ => {}
            }
            any
        },
    )
}

proptest! {
    #[test]
    fn any_order_of_the_facts_gives_one_review(
        facts in prop::collection::vec(any_fact(), 0..25), seed in any::<u64>(),
    ) {
        let mut facts = facts;
        for (n, fact) in facts.iter_mut().enumerate() {
            fact.event_id = Uuid::from_u128(n as u128 + 1);
        }
        let review = Review::of(&facts);
        let mut other = facts.clone();
        let len = other.len().max(1);
        for n in 0..other.len() {
            let place = usize::try_from(seed.wrapping_mul(n as u64 + 7) % len as u64).expect("small");
            other.swap(n, place);
        }
        prop_assert_eq!(&Review::of(&other), &review);

        // Whatever comes: nothing is lost, and people decide only as they may.
        prop_assert_eq!(review.timeline.len(), facts.len());
        if matches!(review.decision, Some((Decision::Approved, _))) {
            prop_assert!(u16::try_from(review.approvals).expect("positive") >= review.approvals_needed());
            prop_assert!(review.approvals_needed() > 0);
        }
        let gone_on = ProvisioningState::Approved..=ProvisioningState::Completed;
        if gone_on.contains(&review.provisioning) {
            prop_assert_eq!(review.approval, ApprovalState::Decided);
        }
    }
}

#[test]
fn a_hard_budget_blocks_whatever_the_score() {
    let assessed = Assessed::new(Route::Auto, 5, PlanReading::Read);
    assert_eq!(assessed.denied_by_budget(false), assessed);
    let denied = assessed.denied_by_budget(true);
    assert_eq!((denied.route, denied.score, denied.over_budget), (Route::Block, 5, true));
}
