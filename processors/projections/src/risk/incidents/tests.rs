//! Incidents: opening, continuation, end, and the effect of decisions.

use proptest::prelude::*;
use schemas::changes::risk::{SignalLevel, hazard_micronats};

use super::{
    super::{assessment::Weight, exposure::KeyHazard},
    *,
};

const HOUR: i64 = 490_000;
const ADA: EntityName<'_> = EntityName { kind: "user", id: "ada" };

fn at(hour: i64) -> Timestamp {
    Timestamp::from_timestamp(hour * 3600, 0).expect("a time")
}

fn exposure(rule: &str, score: u8, hour: i64, tactic: &str) -> Exposure {
    Exposure {
        rule: Arc::new(SignalRule {
            id: rule.to_owned(),
            version: "1".to_owned(),
            title: rule.to_uppercase(),
            author: None,
            file: format!("{rule}.yml"),
            level: SignalLevel::High,
            tactics: vec![tactic.to_owned()],
            techniques: vec![],
        }),
        hour,
        hazards: vec![KeyHazard { key: String::new(), micronats: hazard_micronats(score) }],
        signals: 1,
        first_at: at(hour),
        last_at: at(hour),
        last_event_id: Uuid::nil(),
    }
}

fn found(exposures: Vec<Exposure>, triages: Vec<Triage>) -> Vec<Incident> {
    let facts = EntityFacts { exposures, weights: vec![], triages };
    incidents(&TenantId::new("acme").expect("valid"), ADA, &facts, i64::MIN)
}

fn decision(n: u128, incident: &Incident, decision: &str, hour: i64) -> Triage {
    Triage {
        incident_id: incident.id,
        decided_at: at(hour),
        event_id: Uuid::from_u128(n),
        decision: decision.to_owned(),
        rules: vec!["a".to_owned()],
        reason: None,
        actor: "grace".to_owned(),
    }
}

/// Opening and last hour of the incidents, after `HOUR`.
#[track_caller]
fn check(exposures: &[(&str, u8, i64, &str)], expected: &[(i64, i64)]) {
    let exposures =
        exposures.iter().map(|(rule, score, hour, tactic)| exposure(rule, *score, HOUR + hour, tactic));
    let found = found(exposures.collect(), vec![]);
    let hours: Vec<(i64, i64)> =
        found.iter().map(|incident| (incident.opened_hour - HOUR, incident.last_hour - HOUR)).collect();
    assert_eq!(hours, expected);
}

#[test]
fn hazard_of_a_day_opens_an_incident() {
    check(&[("a", 99, 0, "x")], &[(0, 0)]);
    check(&[("a", 73, 0, "x")], &[]);
    check(&[("a", 73, 0, "x"), ("b", 73, 23, "x")], &[(23, 23)]);
    check(&[("a", 73, 0, "x"), ("b", 73, 24, "x")], &[]);
    // Nine hits of one rule count three times: 1.9 nats.
    let noisy: Vec<_> = (0..9).map(|hour| ("a", 47, hour, "x")).collect();
    check(&noisy, &[]);
    check(&[("a", 99, 0, "x"), ("a", 99, 24, "x"), ("a", 99, 49, "x")], &[(0, 24), (49, 49)]);
}

#[test]
fn three_tactics_of_four_rules_within_a_week_open_one() {
    let four = [("a", 5, 0, "x"), ("b", 5, 50, "y"), ("c", 5, 100, "z"), ("d", 5, 167, "z")];
    check(&four, &[(167, 167)]);
    check(&four[..3], &[]);
    check(&[four[0], four[1], four[2], ("d", 5, 168, "z")], &[]);
    check(&[four[0], four[1], ("c", 5, 100, "y"), four[3]], &[(167, 167)]);
    check(&[four[0], four[1], ("c", 5, 100, "y"), ("d", 5, 101, "x")], &[]);
}

#[test]
fn informational_rules_open_none_by_their_tactics() {
    let four = [("a", "x"), ("b", "y"), ("c", "z"), ("d", "z")];
    let with = |informational: &[&str]| {
        let exposures = four.iter().map(|(rule, tactic)| {
            let mut exposure = exposure(rule, 5, HOUR, tactic);
            if informational.contains(rule) {
                Arc::make_mut(&mut exposure.rule).level = SignalLevel::Informational;
            }
            exposure
        });
        found(exposures.collect(), vec![]).len()
    };
    assert_eq!((with(&[]), with(&["a"]), with(&["d"])), (1, 0, 0));
}

#[test]
fn a_weight_counts_from_its_decision_on() {
    let weight = |hour| Weight {
        source: "criticality".to_owned(),
        decided_at: at(hour),
        event_id: Uuid::nil(),
        expires_at: None,
        factor_thousandths: 2000,
    };
    for (hour, incidents_found) in [(HOUR, 1), (HOUR + 1, 0)] {
        let facts = EntityFacts {
            exposures: vec![exposure("a", 73, HOUR, "x")],
            weights: vec![weight(hour)],
            triages: vec![],
        };
        let tenant = TenantId::new("acme").expect("valid");
        assert_eq!(incidents(&tenant, ADA, &facts, i64::MIN).len(), incidents_found);
    }
}

#[test]
fn an_incident_says_what_led_to_it() {
    let exposures = vec![
        exposure("0", 47, HOUR - 30, "old"),
        exposure("a", 73, HOUR - 3, "x"),
        exposure("b", 73, HOUR, "y"),
        exposure("b", 73, HOUR + 2, "y"),
    ];
    let [one] = found(exposures.clone(), vec![]).try_into().expect("one");
    assert_eq!((one.opened_hour, one.last_hour, one.since_hour), (HOUR, HOUR + 2, HOUR - 3));
    assert_eq!((one.signals, one.peak_micronats, one.cause.as_str()), (3, 3 * 1_309_333, "hazard"));
    assert_eq!(one.tactics, ["x", "y"]);
    let rules: Vec<_> = one.rules.iter().map(|rule| (rule.rule.id.as_str(), rule.signals)).collect();
    assert_eq!(rules, [("a", 1), ("b", 2)]);
    assert_eq!((one.status.name.as_str(), one.status.reopened), ("open", false));
    let [again] = found(exposures, vec![]).try_into().expect("one");
    assert_eq!(again.id, one.id);
}

#[test]
fn the_latest_decision_is_the_status_until_a_new_tactic_comes() {
    let mut exposures = vec![exposure("a", 99, HOUR, "x")];
    let one = found(exposures.clone(), vec![]).remove(0);
    let triages = || vec![decision(1, &one, "acknowledged", HOUR + 1), decision(2, &one, "closed", HOUR + 2)];
    let status = |exposures: &[Exposure]| found(exposures.to_vec(), triages()).remove(0).status;
    assert_eq!((status(&exposures).name.as_str(), status(&exposures).reopened), ("closed", false));
    exposures.push(exposure("a", 99, HOUR + 5, "x"));
    assert_eq!(status(&exposures).name, "closed", "more of the same");
    exposures.push(exposure("b", 99, HOUR + 5, "y"));
    assert_eq!((status(&exposures).name.as_str(), status(&exposures).reopened), ("open", true));
}

#[test]
fn a_rule_that_was_wrong_opens_no_more_incidents_by_what_it_said_before() {
    let exposures = vec![exposure("a", 99, HOUR, "x"), exposure("b", 21, HOUR + 3, "x")];
    let before = found(exposures.clone(), vec![]);
    assert_eq!(before[0].last_hour, HOUR + 3);
    let after = found(exposures, vec![decision(1, &before[0], "false_positive", HOUR + 1)]);
    let [one] = after.as_slice() else { panic!("it stays: {after:?}") };
    assert_eq!((one.last_hour, one.status.name.as_str()), (HOUR, "false_positive"));
    let again = vec![exposure("a", 99, HOUR, "x"), exposure("a", 99, HOUR + 40, "x")];
    assert_eq!(found(again, vec![decision(1, one, "false_positive", HOUR + 1)]).len(), 2, "a new hit counts");
}

proptest! {
    #[test]
    fn incidents_follow_from_the_set(
        mut parts in prop::collection::vec((0_usize..5, 1_u8..=99, 0_i64..400, 0_usize..4), 1..40),
    ) {
        parts.sort_unstable();
        let exposures = |parts: &[(usize, u8, i64, usize)]| -> Vec<Exposure> {
            parts
                .iter()
                .map(|(rule, score, hour, tactic)| {
                    exposure(["a", "b", "c", "d", "e"][*rule], *score, HOUR + hour, ["w", "x", "y", "z"][*tactic])
                })
                .collect()
        };
        let one = found(exposures(&parts), vec![]);
        let mut ids: Vec<Uuid> = one.iter().map(|incident| incident.id).collect();
        ids.dedup();
        prop_assert_eq!(ids.len(), one.len());
        for (incident, next) in one.iter().zip(one.iter().skip(1)) {
            prop_assert!(next.opened_hour - incident.last_hour > 24);
        }
        for incident in &one {
            prop_assert!(incident.since_hour <= incident.opened_hour && incident.opened_hour <= incident.last_hour);
            prop_assert_eq!(incident.rules.iter().map(|rule| rule.signals).sum::<i64>(), incident.signals);
        }
        parts.reverse();
        prop_assert_eq!(found(exposures(&parts), vec![]), one);

    }

    /// Recomputing only the affected incidents gives the same result as recomputing all.
    #[test]
    fn what_is_not_affected_stays(
        before in prop::collection::vec((0_usize..5, 1_u8..=99, 0_i64..1500, 0_usize..4), 0..60),
        added in prop::collection::vec((0_usize..5, 1_u8..=99, 0_i64..1500, 0_usize..4), 1..4),
    ) {
        let exposures = |parts: &[(usize, u8, i64, usize)]| -> Vec<Exposure> {
            let mut parts = parts.to_vec();
            parts.sort_unstable();
            parts
                .iter()
                .map(|(rule, score, hour, tactic)| {
                    exposure(["a", "b", "c", "d", "e"][*rule], *score, HOUR + hour, ["w", "x", "y", "z"][*tactic])
                })
                .collect()
        };
        let stored = found(exposures(&before), vec![]);
        let mut all = before;
        all.extend_from_slice(&added);
        let expected = found(exposures(&all), vec![]);

        let changed = HOUR + added.iter().map(|(_, _, hour, _)| *hour).min().expect("some");
        let from = first_affected_hour(&stored, changed);
        let mut read = exposures(&all);
        read.retain(|exposure| exposure.hour > from - EVIDENCE_HOURS);
        let facts = EntityFacts { exposures: read, weights: vec![], triages: vec![] };
        let mut brought: Vec<Incident> =
            stored.into_iter().filter(|incident| incident.opened_hour < from).collect();
        let tenant = TenantId::new("acme").expect("valid");
        brought.extend(incidents(&tenant, ADA, &facts, from));
        prop_assert_eq!(brought, expected);
    }
}
