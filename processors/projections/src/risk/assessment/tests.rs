//! Properties of every assessment.

use proptest::prelude::*;
use schemas::changes::risk::{SignalLevel, SignalRule, hazard_micronats};
use uuid::Uuid;

use super::{super::exposure::KeyHazard, *};

const HOUR: i64 = 490_000;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_timestamp(hour * 3600, 0).expect("a time")
}

fn exposure(rule: &str, score: u8, hour: i64) -> Exposure {
    Exposure {
        rule: Arc::new(SignalRule {
            id: rule.to_owned(),
            version: "1".to_owned(),
            title: rule.to_uppercase(),
            author: None,
            file: format!("{rule}.yml"),
            level: SignalLevel::High,
            tactics: vec![],
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

fn weight(source: &str, factor_thousandths: i32, decided: i64) -> Weight {
    Weight {
        source: source.to_owned(),
        decided_at: at(decided),
        event_id: Uuid::from_u128(1),
        expires_at: None,
        factor_thousandths,
    }
}

/// Checks the score, in hundredths, at an hour of an entity with these exposures and weights.
#[track_caller]
fn check(exposures: &[Exposure], weights: &[Weight], hour: i64, score: u32) {
    let assessment = assess(exposures, weights, &[], View::STORED);
    assert_eq!(assessment.score(hour), Score(score));
}

#[test]
fn scores_are_those_of_the_formula() {
    for (signal, score) in [(5, 500), (21, 2100), (47, 4700), (73, 7300), (99, 9900)] {
        check(&[exposure("a", signal, HOUR)], &[], HOUR, score);
    }
    // 1 − 0.27² after one more; half the hazard a half-life later; never more than three times the largest.
    let highs = |count| -> Vec<Exposure> { (0..count).map(|_| exposure("a", 73, HOUR)).collect() };
    check(&highs(2), &[], HOUR, 9271);
    check(&highs(2), &[], HOUR + HALF_LIFE_HOURS, 7300);
    check(&highs(3), &[], HOUR, 9803);
    check(&highs(100), &[], HOUR, 9803);
    check(&[exposure("a", 73, HOUR), exposure("b", 73, HOUR - HALF_LIFE_HOURS)], &[], HOUR, 8597);
    check(&[], &[], HOUR, 0);
    // A clock that runs ahead gives no more than what it says.
    check(&[exposure("a", 73, HOUR + 1000)], &[], HOUR, 7300);
    check(&[exposure("a", 99, HOUR - MAX_AGE_HOURS), exposure("b", 21, HOUR)], &[], HOUR, 2100);
}

#[test]
fn weights_multiply_and_the_latest_of_each_source_counts() {
    let high = [exposure("a", 73, HOUR)];
    check(&high, &[weight("criticality", 2000, 1)], HOUR, 9271);
    check(&high, &[weight("criticality", 2000, 1), weight("criticality", 500, 2)], HOUR, 4804);
    check(&high, &[weight("criticality", 2000, 2), weight("watchlist:w", 500, 1)], HOUR, 7300);
    check(&[exposure("a", 99, HOUR)], &[weight("criticality", 500, 1)], HOUR, 9000);
    let mut ending = weight("watchlist:w", 2000, 1);
    ending.expires_at = Some(at(HOUR + 2));
    let score = |view| assess(&high, std::slice::from_ref(&ending), &[], view).score(HOUR);
    assert_eq!(score(View::as_of(at(HOUR + 1))), Score(9271));
    assert_eq!(score(View::as_of(at(HOUR + 2))), Score(7300));
    assert_eq!(score(View::STORED), Score(9271));
    assert_eq!(assess(&high, &[ending], &[], View::STORED).factor.until, Some(at(HOUR + 2)));
}

#[test]
fn the_past_is_as_it_was() {
    let exposures = [exposure("a", 73, HOUR - 10), exposure("b", 99, HOUR)];
    let weights = [weight("criticality", 2000, HOUR - 5)];
    let wrong = [Dismissal { rule_id: "a".to_owned(), decided_at: at(HOUR - 2) }];
    let score = |hour| assess(&exposures, &weights, &wrong, View::as_of(at(hour))).score(hour).0;
    assert_eq!(score(HOUR - 11), 0);
    assert_eq!(score(HOUR - 10), 7300);
    assert!(score(HOUR - 5) > 9200, "the weight counts from its decision on");
    assert_eq!(score(HOUR - 2), 0, "dismissed");
    assert!(score(HOUR) > 9900);
}

#[test]
fn levels_begin_at_their_scores() {
    for (score, level) in [
        (0, RiskLevel::Unknown),
        (1999, RiskLevel::Unknown),
        (2000, RiskLevel::Low),
        (4000, RiskLevel::Moderate),
        (6999, RiskLevel::Moderate),
        (7000, RiskLevel::High),
        (9000, RiskLevel::Critical),
        (10_000, RiskLevel::Critical),
    ] {
        assert_eq!(Score(score).level(), level, "{score}");
    }
}

fn any_exposures() -> impl Strategy<Value = Vec<Exposure>> {
    let one = (0_usize..6, 1_u8..=99, -9000_i64..=0)
        .prop_map(|(rule, score, age)| exposure(["a", "b", "c", "d", "e", "f"][rule], score, HOUR + age));
    prop::collection::vec(one, 1..60).prop_map(|mut exposures| {
        exposures
            .sort_by(|a, b| (&a.rule.id, a.hour, a.micronats()).cmp(&(&b.rule.id, b.hour, b.micronats())));
        exposures
    })
}

proptest! {
    #[test]
    fn contributions_sum_to_a_score_between_0_and_100(
        exposures in any_exposures(), factor in 100_i32..=10_000, later in 0_i64..3000,
    ) {
        let assessment = assess(&exposures, &[weight("criticality", factor, 1)], &[], View::STORED);
        let score = assessment.score(HOUR + later);
        prop_assert!(score.0 <= 10_000);
        let shares = assessment.shares(score);
        prop_assert_eq!(shares.iter().map(|share| share.0).sum::<u32>(), score.0);
        prop_assert_eq!(shares.len(), assessment.contributions.len());
        prop_assert!(later == 0 || score <= assessment.score(HOUR), "risk only fades by itself");
    }

    #[test]
    fn the_order_within_a_rule_changes_no_digit(exposures in any_exposures()) {
        let mut turned = exposures.clone();
        turned.reverse();
        let (one, other) = (assess(&exposures, &[], &[], View::STORED), assess(&turned, &[], &[], View::STORED));
        prop_assert_eq!(one.sort_key().to_bits(), other.sort_key().to_bits());
        prop_assert_eq!(one.hazard_micronats(), other.hazard_micronats());
        let hazards = |a: &Assessment| a.contributions.iter().map(|c| (c.rule.id.clone(), c.hazard)).collect::<Vec<_>>();
        prop_assert_eq!(hazards(&one), hazards(&other));
    }

    #[test]
    fn more_signals_never_lower_the_score(exposures in any_exposures(), score in 1_u8..=99) {
        let before = assess(&exposures, &[], &[], View::STORED).score(HOUR);
        let mut more = exposures;
        more.push(exposure("z", score, HOUR));
        prop_assert!(assess(&more, &[], &[], View::STORED).score(HOUR) >= before);
    }

    #[test]
    fn a_critical_signal_is_never_low(exposures in any_exposures(), factor in 500_i32..=10_000) {
        let mut with_critical = exposures;
        with_critical.push(exposure("z", 99, HOUR));
        let assessment = assess(&with_critical, &[weight("criticality", factor, 1)], &[], View::STORED);
        prop_assert!(assessment.score(HOUR).0 >= 9000);
        prop_assert_eq!(assessment.score(HOUR).level(), RiskLevel::Critical);
    }

    #[test]
    fn the_order_of_entities_is_that_of_their_scores(
        one in any_exposures(), other in any_exposures(), later in 0_i64..3000,
    ) {
        let (one, other) = (assess(&one, &[], &[], View::STORED), assess(&other, &[], &[], View::STORED));
        if one.sort_key() >= other.sort_key() {
            prop_assert!(one.score(HOUR + later) >= other.score(HOUR + later));
        }
    }

    #[test]
    fn a_score_is_reached_from_its_sort_key_on(score in 1_u32..9990, hour in 0_i64..1_000_000) {
        let key = Score(score).sort_key_at(hour);
        prop_assert!(Score::at(key + 1e-9, hour) >= Score(score));
        prop_assert!(Score::at(key - 1e-3, hour) <= Score(score));
    }
}
