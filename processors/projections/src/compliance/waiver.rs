//! Waivers: requested by one party, granted by another, for a limited time.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use schemas::{
    Timestamp,
    changes::compliance::{MAX_WAIVER_DAYS, WaiverFact, WaiverStep, WaiverTerms},
    events::Party,
};
use uuid::Uuid;

/// A step without effect, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ineffective {
    /// Id of the event.
    pub event_id: Uuid,
    /// Time of the step.
    pub at: Timestamp,
    /// `requested`, `granted`, `rejected` or `revoked`.
    pub step: &'static str,
    /// The reason why it has no effect.
    pub why: String,
}

/// State of a waiver after its steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiver {
    /// Terms; `None` if no request can be read.
    pub terms: Option<WaiverTerms>,
    /// Requester, and time of the request.
    pub requested: Option<(String, Timestamp)>,
    /// Reason of the request.
    pub reason: Option<String>,
    /// Actor who granted it, with the time.
    pub granted: Option<(String, Timestamp)>,
    /// Actor who refused it, with the time.
    pub rejected: Option<(String, Timestamp)>,
    /// Actor who revoked it, with the time.
    pub revoked: Option<(String, Timestamp)>,
    /// Time at which it ends: by its terms or by revocation, whichever is first. `None` if it was not
    /// granted.
    pub ends_at: Option<Timestamp>,
    /// Steps without effect, in order.
    pub ineffective: Vec<Ineffective>,
}

/// The waiver that follows from its steps, which are applied in the order of time, then of event ids; the
/// first of two grants counts.
pub fn waiver(facts: &[WaiverFact]) -> Waiver {
    let mut facts: Vec<&WaiverFact> = facts.iter().collect();
    facts.sort_by_key(|fact| (fact.decided_at, fact.event_id));
    facts.dedup_by_key(|fact| fact.event_id);
    let mut waiver = Waiver::default();
    let mut requester = BTreeSet::new();
    for fact in facts {
        let who = || (fact.actor.clone(), fact.decided_at);
        let outcome = match &fact.step {
            WaiverStep::Requested(_) if waiver.requested.is_some() => {
                Err("there is a request of that id already".to_owned())
            }
            WaiverStep::Requested(Err(why)) => Err(why.clone()),
            WaiverStep::Requested(Ok(terms)) => match parties(fact) {
                None => Err("it does not name who asked for it".to_owned()),
                Some(parties) => {
                    waiver.terms = Some(terms.clone());
                    waiver.requested = Some(who());
                    waiver.reason.clone_from(&fact.reason);
                    requester = parties;
                    Ok(())
                }
            },
            WaiverStep::Granted { requested_by } => {
                let checked = may_be_granted(&waiver, &requester, fact, requested_by.as_deref());
                checked.map(|ends_at| {
                    waiver.granted = Some(who());
                    waiver.ends_at = Some(ends_at);
                })
            }
            WaiverStep::Rejected => match (&waiver.requested, &waiver.granted, &waiver.rejected) {
                (None, ..) => Err("it was not requested".to_owned()),
                (_, Some(_), _) => Err("it is granted; it can be revoked".to_owned()),
                (.., Some(_)) => Err("it is refused already".to_owned()),
                _ => {
                    waiver.rejected = Some(who());
                    Ok(())
                }
            },
            WaiverStep::Revoked => {
                if waiver.ends_at.is_some_and(|ends_at| ends_at > fact.decided_at) {
                    waiver.revoked = Some(who());
                    waiver.ends_at = Some(fact.decided_at);
                    Ok(())
                } else {
                    Err("it is not in force".to_owned())
                }
            }
        };
        if let Err(why) = outcome {
            let (event_id, at) = (*fact.event_id.as_uuid(), fact.decided_at);
            waiver.ineffective.push(Ineffective { event_id, at, step: fact.step.name(), why });
        }
    }
    waiver
}

/// The actor and the second party of a step. `None` if no actor is named.
fn parties(fact: &WaiverFact) -> Option<BTreeSet<Party>> {
    Party::all_of(&fact.actor, fact.second_party.as_deref())
}

/// The time at which the waiver would end, or the reason why the grant has no effect.
fn may_be_granted(
    waiver: &Waiver,
    requester: &BTreeSet<Party>,
    fact: &WaiverFact,
    requested_by: Option<&str>,
) -> Result<Timestamp, String> {
    let Some(terms) = &waiver.terms else {
        return Err("there is no readable request for it".into());
    };
    if waiver.granted.is_some() {
        return Err("it is granted already".into());
    }
    if waiver.rejected.is_some() {
        return Err("it was refused".into());
    }
    let approver = parties(fact).ok_or("it does not name who granted it")?;
    if !approver.is_disjoint(requester) {
        return Err("the requester cannot grant it".into());
    }
    let is_requester = |named| Party::new(named).is_some_and(|named| requester.contains(&named));
    if requested_by.is_some_and(|named| !is_requester(named)) {
        return Err("the grant names a different requester".into());
    }
    let latest = fact.decided_at.checked_add_signed(TimeDelta::days(MAX_WAIVER_DAYS));
    let ends_at = latest.map_or(terms.expires_at, |latest| latest.min(terms.expires_at));
    if ends_at <= fact.decided_at {
        return Err("its end has passed".into());
    }
    Ok(ends_at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::{EventId, TenantId};

    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000 + day * 86_400, 0).expect("a time")
    }

    fn terms(until: i64) -> WaiverStep {
        WaiverStep::Requested(Ok(WaiverTerms {
            owner: "olga".into(),
            policies: vec!["p".into()],
            resources: vec!["r".into()],
            expires_at: at(until),
        }))
    }

    fn step(n: u128, day: i64, actor: &str, step: WaiverStep) -> WaiverFact {
        WaiverFact {
            event_id: EventId::new(Uuid::from_u128(n)).expect("not nil"),
            tenant: TenantId::new("acme").expect("a plain name"),
            waiver: "w".into(),
            decided_at: at(day),
            step,
            actor: actor.into(),
            second_party: None,
            reason: Some("later".into()),
            content_sha256: [0; 32],
        }
    }

    const GRANT: WaiverStep = WaiverStep::Granted { requested_by: None };

    #[track_caller]
    fn check(steps: &[WaiverFact], ends: Option<i64>, why: &[&str]) {
        let waiver = waiver(steps);
        assert_eq!(waiver.ends_at, ends.map(at));
        let told: Vec<_> = waiver.ineffective.iter().map(|one| one.why.as_str()).collect();
        assert_eq!(told, why);
    }

    #[test]
    fn a_waiver_takes_two() {
        check(&[step(1, 0, "ada", terms(30)), step(2, 1, "bob", GRANT)], Some(30), &[]);
        check(
            &[step(1, 0, "ada", terms(30)), step(2, 1, "ada", GRANT)],
            None,
            &["the requester cannot grant it"],
        );
        for own in ["ADA", " ada "] {
            check(
                &[step(1, 0, "Ada", terms(30)), step(2, 1, own, GRANT)],
                None,
                &["the requester cannot grant it"],
            );
        }
        let named = WaiverStep::Granted { requested_by: Some("ADA ".into()) };
        check(&[step(1, 0, "ada", terms(30)), step(2, 1, "bob", named)], Some(30), &[]);
        let through = WaiverFact { second_party: Some("bot".into()), ..step(1, 0, "ada", terms(30)) };
        check(&[through.clone(), step(2, 1, "Bot", GRANT)], None, &["the requester cannot grant it"]);
        let for_ada = WaiverFact { second_party: Some("Ada".into()), ..step(2, 1, "other-bot", GRANT) };
        check(&[through, for_ada], None, &["the requester cannot grant it"]);
        let wrong = WaiverStep::Granted { requested_by: Some("eve".into()) };
        check(
            &[step(1, 0, "ada", terms(30)), step(2, 1, "bob", wrong)],
            None,
            &["the grant names a different requester"],
        );
        let none = "there is no readable request for it";
        check(&[step(2, 1, "bob", GRANT)], None, &[none]);
        check(
            &[step(1, 0, " ", terms(30)), step(2, 1, "bob", GRANT)],
            None,
            &["it does not name who asked for it", none],
        );
    }

    #[test]
    fn a_waiver_ends() {
        check(
            &[step(1, 0, "ada", terms(30)), step(2, 1, "bob", GRANT), step(3, 9, "ada", WaiverStep::Revoked)],
            Some(9),
            &[],
        );
        check(&[step(1, 0, "ada", terms(30)), step(2, 31, "bob", GRANT)], None, &["its end has passed"]);
        check(&[step(1, 0, "ada", terms(200)), step(2, 1, "bob", GRANT)], Some(91), &[]);
        check(
            &[
                step(1, 0, "ada", terms(30)),
                step(2, 1, "bob", WaiverStep::Rejected),
                step(3, 2, "bob", GRANT),
            ],
            None,
            &["it was refused"],
        );
    }

    proptest! {
        #[test]
        fn order_and_repetition_change_nothing(turn in 0_usize..7, twice in 0_usize..6) {
            let steps = vec![
                step(1, 0, "ada", terms(30)), step(2, 0, "ada", terms(40)), step(3, 1, "ada", GRANT),
                step(4, 2, "bob", GRANT), step(5, 2, "cy", GRANT), step(6, 9, "ada", WaiverStep::Revoked),
            ];
            let mut other = steps.clone();
            other.push(steps[twice].clone());
            other.rotate_left(turn);
            prop_assert_eq!(waiver(&other), waiver(&steps));
        }
    }
}
