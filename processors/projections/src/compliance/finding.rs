//! Findings: intervals in which a policy fails for a resource.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use schemas::{
    EventId, TenantId, Timestamp,
    changes::compliance::{PolicySeverity, VerdictStatus},
};
use uuid::Uuid;

/// Time limit for closing a finding: 7 days for critical ones, 30, 90 and 120 days for the others.
pub const fn sla(severity: PolicySeverity) -> TimeDelta {
    TimeDelta::days(match severity {
        PolicySeverity::Critical => 7,
        PolicySeverity::High => 30,
        PolicySeverity::Medium => 90,
        PolicySeverity::Low => 120,
    })
}

/// The id of the finding on a resource and a policy; a reopened finding keeps its id.
pub fn finding_id(tenant: &TenantId, resource: &str, policy: &str) -> EventId {
    let content = format!("{}:{resource}{policy}", resource.len());
    EventId::derived(tenant, "weir.compliance.finding", content.as_bytes())
}

/// State of a resource from an instant on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    /// Start of the state.
    pub at: Timestamp,
    /// Event that reported it.
    pub event_id: Uuid,
    /// Id of the verdicts on it; `None` if the resource was deleted.
    pub verdicts: Option<Uuid>,
}

/// A policy's verdict, reduced to what findings need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The policy's id.
    pub policy_id: String,
    /// SHA-256 of its text.
    pub policy_hash: String,
    /// Status.
    pub status: VerdictStatus,
    /// Severity of a failure.
    pub severity: PolicySeverity,
    /// The reasons.
    pub reasons: Vec<String>,
}

/// Reason for closing a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The policy passes.
    Passed,
    /// The resource was deleted.
    Gone,
    /// The policy no longer applies to the resource.
    NotApplicable,
}

impl CloseReason {
    /// The reason's name in rows and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Gone => "resource_gone",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// One interval in which a finding was open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// The policy's id.
    pub policy_id: String,
    /// Hash of the policy that failed first.
    pub policy_hash: String,
    /// Severity of the policy.
    pub severity: PolicySeverity,
    /// Number of the episode, from 1; a further one means that the finding was reopened.
    pub number: i32,
    /// Time at which the policy began to fail.
    pub opened_at: Timestamp,
    /// Event that reported it.
    pub opened_by: Uuid,
    /// Reasons at that time.
    pub reasons: Vec<String>,
    /// Time, event and reason of closing, if closed.
    pub closed: Option<(Timestamp, Uuid, CloseReason)>,
}

impl Episode {
    /// Time by which the finding should be closed.
    pub fn due_at(&self) -> Timestamp {
        self.opened_at.checked_add_signed(sla(self.severity)).unwrap_or(Timestamp::MAX_UTC)
    }
}

/// The episodes of all findings of a resource, in the order of policies and time.
///
/// A verdict that is neither pass nor fail changes nothing: absence of evidence is never a pass.
pub fn episodes(states: &[State], answers: &BTreeMap<Uuid, Vec<Answer>>) -> Vec<Episode> {
    let mut states = states.to_vec();
    states.sort_unstable();
    let mut open: BTreeMap<&str, Episode> = BTreeMap::new();
    let mut found: Vec<Episode> = Vec::new();
    let mut numbers: BTreeMap<String, i32> = BTreeMap::new();
    let nothing = Vec::new();
    for (place, state) in states.iter().enumerate() {
        if states.get(place + 1).is_some_and(|next| next.at == state.at) {
            // Another observation of the same instant holds.
            continue;
        }
        let now = state.verdicts.map(|key| answers.get(&key).unwrap_or(&nothing));
        let by_policy: BTreeMap<&str, &Answer> =
            now.into_iter().flatten().map(|answer| (answer.policy_id.as_str(), answer)).collect();
        let ended = |policy: &str| match by_policy.get(policy).map(|answer| answer.status) {
            None if now.is_none() => Some(CloseReason::Gone),
            None => Some(CloseReason::NotApplicable),
            Some(VerdictStatus::Pass) => Some(CloseReason::Passed),
            Some(_) => None,
        };
        let over: Vec<_> = open.keys().filter_map(|policy| Some((*policy, ended(policy)?))).collect();
        for (policy, reason) in over {
            if let Some(episode) = open.remove(policy) {
                found.push(Episode { closed: Some((state.at, state.event_id, reason)), ..episode });
            }
        }
        for (policy, answer) in by_policy {
            if answer.status == VerdictStatus::Fail && !open.contains_key(policy) {
                let number = numbers.entry(policy.to_owned()).or_default();
                *number += 1;
                open.insert(policy, opened(state, answer, *number));
            }
        }
    }
    found.extend(open.into_values());
    found.sort_by(|a, b| (&a.policy_id, a.opened_at).cmp(&(&b.policy_id, b.opened_at)));
    found
}

fn opened(state: &State, answer: &Answer, number: i32) -> Episode {
    Episode {
        policy_id: answer.policy_id.clone(),
        policy_hash: answer.policy_hash.clone(),
        severity: answer.severity,
        number,
        opened_at: state.at,
        opened_by: state.event_id,
        reasons: answer.reasons.clone(),
        closed: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000 + second, 0).expect("a time")
    }

    fn key(n: u128) -> Uuid {
        Uuid::from_u128(n + 1)
    }

    /// Verdicts of one policy: pass, fail, not evaluated, error, and none.
    fn answers() -> BTreeMap<Uuid, Vec<Answer>> {
        let one = |status| Answer {
            policy_id: "p".into(),
            policy_hash: "h".into(),
            status,
            severity: PolicySeverity::High,
            reasons: Vec::new(),
        };
        let statuses = VerdictStatus::ALL.iter().map(|status| vec![one(*status)]);
        (0..).map(key).zip(statuses.chain([Vec::new()])).collect()
    }

    /// A state by a letter: pass, fail, unknown, error, no verdict, deleted.
    fn states(letters: &str) -> Vec<State> {
        let state = |(n, letter): (i64, char)| State {
            at: at(n),
            event_id: Uuid::from_u128(u128::try_from(n).expect("small") + 100),
            verdicts: "pfue-".find(letter).map(|place| key(place as u128)),
        };
        (0..).zip(letters.chars()).map(state).collect()
    }

    fn check(letters: &str, expected: &[(i64, Option<(i64, CloseReason)>)]) {
        let found = episodes(&states(letters), &answers());
        let told: Vec<_> = found
            .iter()
            .map(|one| {
                let second = |at: Timestamp| at.timestamp() - 1_700_000_000;
                (second(one.opened_at), one.closed.map(|(at, _, why)| (second(at), why)))
            })
            .collect();
        assert_eq!(told, expected, "{letters}");
        assert!(found.iter().zip(1..).all(|(one, number)| one.number == number));
    }

    #[test]
    fn findings_open_close_and_open_again() {
        check("ppp", &[]);
        check("ff", &[(0, None)]);
        check("pfp", &[(1, Some((2, CloseReason::Passed)))]);
        check("fuefp", &[(0, Some((4, CloseReason::Passed)))]);
        check("ueu", &[]);
        check("fxf", &[(0, Some((1, CloseReason::Gone))), (2, None)]);
        check("f-fp", &[(0, Some((1, CloseReason::NotApplicable))), (2, Some((3, CloseReason::Passed)))]);
    }

    #[test]
    fn of_one_instant_the_larger_event_holds() {
        let mut two = states("pf");
        two[1].at = two[0].at;
        assert_eq!(episodes(&two, &answers()).len(), 1);
        two[0].event_id = Uuid::from_u128(1_000);
        assert_eq!(episodes(&two, &answers()), []);
    }

    #[test]
    fn clocks_follow_the_severity() {
        let days: Vec<i64> = PolicySeverity::ALL.iter().map(|severity| sla(*severity).num_days()).collect();
        assert_eq!(days, [120, 90, 30, 7]);
    }

    proptest! {
        #[test]
        fn order_and_repetition_change_nothing(letters in "[pfuex-]{0,12}", turn in 0_usize..12) {
            let states = states(&letters);
            let mut other: Vec<State> = states.iter().rev().chain(&states).copied().collect();
            let turn = turn.min(other.len());
            other.rotate_left(turn);
            other.sort_unstable_by_key(|state| state.event_id.as_u128() % 5);
            other.dedup();
            let expected = episodes(&states, &answers());
            let mut doubled = other.clone();
            doubled.extend(&states);
            prop_assert_eq!(episodes(&doubled, &answers()), expected.clone());
            // Whoever looks at an instant sees an open episode exactly where the last decided verdict is a failure.
            for (n, letter) in letters.chars().enumerate() {
                let n = i64::try_from(n).expect("small");
                let is_open = expected.iter().any(|one| one.opened_at <= at(n) && one.closed.is_none_or(|(end, ..)| end > at(n)));
                match letter {
                    'f' => prop_assert!(is_open),
                    'p' | 'x' | '-' => prop_assert!(!is_open),
                    _ => {}
                }
            }
        }
    }
}
