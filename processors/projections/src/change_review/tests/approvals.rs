//! Approvals of one plan among several, and approvals that end.

use super::*;

/// The decision, about the proposal that is the nth of the facts.
fn about(nth: u128, fact: StoredFact) -> StoredFact {
    StoredFact { decided_proposal: Some(Uuid::from_u128(nth).to_string()), ..fact }
}

#[test]
fn a_decision_counts_only_for_the_plan_that_it_names() {
    let another = ["approved another plan"];
    let replaced = || vec![plan(40), asked("ada"), plan(65)];
    let with = |next: StoredFact| replaced().into_iter().chain([next]).collect::<Vec<_>>();
    check(with(about(1, approved("bob"))), "human_review - planned", &another);
    check(with(about(3, approved("bob"))), "decided approved approved", &[]);
    check(with(approved("bob")), "decided approved approved", &[]);
    check(with(about(1, decided("bob", "rejected"))), "human_review - planned", &["rejected another plan"]);
    let spelled = StoredFact {
        decided_proposal: Some(format!(" {} ", Uuid::from_u128(3).braced()).to_uppercase()),
        ..approved("bob")
    };
    check(with(spelled), "decided approved approved", &[]);
    for no_id in ["", "the first one"] {
        let of_none = StoredFact { decided_proposal: Some(no_id.to_owned()), ..approved("bob") };
        check(with(of_none), "human_review - planned", &another);
    }
    // Who approved another plan may still approve this one.
    let then = vec![plan(40), asked("ada"), plan(65), about(1, approved("bob")), about(3, approved("bob"))];
    check(then, "decided approved approved", &another);
    let blocked = vec![plan(40), asked("ada"), plan(95), about(1, approved("bob"))];
    check(blocked, "decided blocked planned", &another);
}

#[test]
fn approvals_count_together_only_while_all_are_in_force() {
    let until = |second: i64, actor: &str| StoredFact { expires_at: Some(at(second)), ..approved(actor) };
    let two = |first: StoredFact, second: StoredFact| vec![plan(80), asked("ada"), first, second];
    check(two(until(4, "bob"), approved("eve")), "decided approved approved", &[]);
    let ended = vec![plan(80), asked("ada"), until(4, "bob"), asked("ada"), approved("eve")];
    check(ended.clone(), "human_review - planned", &[]);
    assert_eq!(Review::of(&timed(ended.clone())).approvals, 1);
    let again = ended.into_iter().chain([approved("bob")]).collect();
    check(again, "decided approved approved", &[]);
    // An approval whose end has passed before it is given is none.
    check(
        two(until(2, "bob"), approved("eve")),
        "human_review - planned",
        &["approved until a time that has passed"],
    );
}

#[test]
fn an_approval_that_has_ended_is_renewed() {
    let until = |second: i64| StoredFact { expires_at: Some(at(second)), ..approved("bob") };
    let ended = || vec![plan(40), asked("ada"), until(4), asked("ada")];
    let then = |next: Vec<StoredFact>| ended().into_iter().chain(next).collect::<Vec<_>>();
    let late = ["asked for after it had been decided"];
    check(ended(), "decided approved approved", &late);
    check(then(vec![asked("ada")]), "human_review - planned", &late);
    check(then(vec![decided("eve", "rejected")]), "decided rejected planned", &late);
    check(then(vec![approved("bob")]), "decided approved approved", &late);
    let renewed = then(vec![asked("ada"), approved("bob"), fact(Provisioned, "")]);
    check(renewed, "decided approved applied", &late);
    // The approval was used in time: it has not ended for that.
    let applied =
        vec![plan(40), asked("ada"), until(4), fact(Provisioned, ""), asked("ada"), approved("eve")];
    let decided = ["asked for after it had been decided", "decided after it had been decided"];
    check(applied, "decided approved applied", &decided);
    // What failed in part may be approved anew.
    let failed = vec![plan(40), asked("ada"), until(4), fact(Failed, ""), asked("ada"), approved("eve")];
    check(failed, "decided approved failed", &[]);
}

#[test]
fn the_first_approval_that_ends_ends_the_decision() {
    let until = |second: i64, actor: &str| StoredFact { expires_at: Some(at(second)), ..approved(actor) };
    let of = |facts: Vec<StoredFact>| Review::of(&timed(facts)).approved_until;
    assert_eq!(of(vec![plan(40), asked("ada"), approved("bob")]), None);
    assert_eq!(of(vec![plan(40), asked("ada"), until(9, "bob")]), Some(at(9)));
    let two = vec![plan(80), asked("ada"), until(9, "bob"), until(8, "eve")];
    assert_eq!(of(two.clone()), Some(at(8)));
    assert_eq!(of(two[..3].to_vec()), None, "one approval of two decides nothing");
}
