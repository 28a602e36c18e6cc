use serde_json::json;

use super::*;
use crate::risk::sigma::{RuleProblem, SigmaEngine};

const BASE: &str = "title: Refused\nid: 7c1f6f0e-8a44-4a0e-9f55-6f1f5c6a2b11\nname: refused\n\
                    logsource: {product: aws, service: cloudtrail}\n\
                    detection: {s: {errorCode: AccessDenied}, condition: s}\nlevel: low\n";

const NOW: Moment = Moment { occurred_at: Timestamp::UNIX_EPOCH, event_id: Uuid::from_u128(7) };

fn load(correlation: &str) -> (SigmaEngine, Vec<RuleProblem>) {
    let text = format!("title: Probing\nid: probing\nlevel: high\ncorrelation:\n{correlation}");
    SigmaEngine::load([("base.yml", BASE), ("probing.yml", &text)])
}

#[track_caller]
fn check_unusable(correlation: &str, reason: &str) {
    let (engine, problems) = load(correlation);
    assert_eq!((engine.correlations().len(), problems.len()), (0, 1), "{problems:?}");
    assert!(problems[0].reason.contains(reason), "{}", problems[0]);
    assert!(engine.rules().all(|(_, rule)| rule.generates), "nobody wants its hits");
}

#[test]
fn a_hit_has_a_part_in_the_group_of_its_values() {
    let counted = "  type: value_count\n  rules: [refused]\n  group-by: [who, region]\n  timespan: 5m\n  \
                   aliases: {who: {refused: userIdentity.arn}}\n  condition: {gt: 3, field: eventName}\n";
    let (engine, problems) = load(counted);
    assert_eq!(problems, []);
    let record = json!({"errorCode": "AccessDenied", "userIdentity": {"arn": "ada"}, "region": ["b", "a"],
                        "eventName": "ListKeys"});
    let hits = engine.evaluate_record("aws.cloudtrail", &Json::from(&record));
    assert!(!hits[0].rule.generates, "it counts and says nothing by itself");
    let parts = engine.parts(&hits[0], &Json::from(&record), NOW);
    assert_eq!((parts.len(), parts[0].group.as_str()), (1, r#"["ada","b,a"]"#));
    assert_eq!((parts[0].value.as_str(), parts[0].reference), ("ListKeys", "refused"));
    let terms = &parts[0].correlation.terms;
    assert_eq!(terms.condition, CorrelationCondition::ValueCount(4));
    assert_eq!(terms.timespan_seconds, 300);
    let nobody = json!({"errorCode": "AccessDenied", "region": "b", "eventName": "ListKeys"});
    let hits = engine.evaluate_record("aws.cloudtrail", &Json::from(&nobody));
    assert_eq!(
        engine.parts(&hits[0], &Json::from(&nobody), NOW),
        [],
        "without a value for each field it has no group"
    );

    let (engine, _) = load(&format!("{counted}generate: true\n"));
    assert!(engine.rules().all(|(_, rule)| rule.generates));
}

#[test]
fn types_and_modifiers_of_our_own() {
    let record = json!({
        "errorCode": "AccessDenied", "who": "ada", "address": "203.0.113.24:443", "userAgent": "Boto3/1.34.2",
        "lat": 52.52, "lon": "13.4",
    });
    let decided = |correlation: &str, record: &Value| {
        let (engine, problems) = load(correlation);
        assert_eq!(problems, [], "{correlation}");
        let hits = engine.evaluate_record("aws.cloudtrail", &Json::from(record));
        let parts = engine.parts(&hits[0], &Json::from(record), NOW);
        parts.first().map(|part| (part.value.clone(), part.correlation.condition()))
    };
    let of = |kind: &str, span: &str, condition: &str| {
        format!(
            "  type: {kind}\n  rules: [refused]\n  group-by: [who]\n  timespan: {span}\n  condition: {condition}\n"
        )
    };
    let network = of("value_count", "1h", "{gte: 2, field: address|network}");
    assert_eq!(decided(&network, &record).expect("a part").0, "203.0.0.0/16");
    let mut private = record.clone();
    private["address"] = "10.0.0.1".into();
    assert_eq!(decided(&network, &private), None, "of no network");
    let (engine, _) = load(&network);
    let hits = engine.evaluate_record("aws.cloudtrail", &Json::from(&record));
    let matched = engine.parts(&hits[0], &Json::from(&record), NOW)[0].matched(&Json::from(&record));
    let told: Vec<_> = matched.iter().map(|field| (field.field.as_str(), field.value.as_str())).collect();
    assert!(told.contains(&("address", Some("203.0.113.24:443"))), "{told:?}");
    assert!(told.contains(&("address|network", Some("203.0.0.0/16"))), "{told:?}");

    let client = of("first_seen", "14d", "{field: userAgent|product, lte: 4}");
    let (value, condition) = decided(&client, &record).expect("a part");
    assert_eq!(value, "boto3");
    assert_eq!(
        condition,
        "the first event of refused with this userAgent|product, once who is known for 1209600 s and has at most 4 of \
         them"
    );
    let travel = of("impossible_travel", "12h", "{gt: 900, field: [lat, lon]}");
    assert_eq!(decided(&travel, &record).expect("a part").0, "105,27");
    let mut nowhere = record.clone();
    nowhere["lat"] = "north".into();
    assert_eq!(decided(&travel, &nowhere), None, "of no place");

    for (wrong, reason) in [
        (of("first_seen", "14d", "{field: userAgent}"), "`lte`"),
        (of("first_seen", "14d", "{field: userAgent, lte: 257}"), "1 to 256"),
        (of("first_seen", "14d", "{lte: 4}"), "`field`"),
        (of("first_seen", "14d", "{field: userAgent, lte: 4, gte: 2}"), "nothing else"),
        (of("impossible_travel", "1h", "{gt: 900, field: lat}"), "longitude"),
        (of("impossible_travel", "1h", "{gt: 0, field: [lat, lon]}"), "km/h"),
        (of("value_count", "1h", "{gte: 2, field: address|city}"), "\"city\""),
    ] {
        check_unusable(&wrong, reason);
    }
}

#[test]
fn a_tumbling_window_is_part_of_the_group() {
    let load_window = |kind: &str, condition: &str| {
        let (engine, problems) = load(&format!(
            "  type: {kind}\n  rules: [refused]\n  group-by: [who]\n  timespan: 15m\n  window: tumbling\n  \
             condition: {condition}\n"
        ));
        assert_eq!(problems, [], "{kind}");
        engine
    };
    let record = json!({"errorCode": "AccessDenied", "who": "ada", "eventName": "ListKeys"});
    let part = |engine: &SigmaEngine, second: i64| {
        let hits = engine.evaluate_record("aws.cloudtrail", &Json::from(&record));
        let at = Moment { occurred_at: Timestamp::from_timestamp(second, 0).expect("a time"), ..NOW };
        let parts = engine.parts(&hits[0], &Json::from(&record), at);
        (parts[0].group.clone(), parts[0].value.clone(), parts[0].correlation.condition())
    };
    let values = load_window("value_count", "{gte: 30, field: eventName}");
    let (group, value, condition) = part(&values, 1_799_999_999);
    assert_eq!(group, r#"["ada","30 in 2027-01-15T07:45:00Z/PT900S"]"#);
    assert_eq!(value, "ListKeys");
    assert_eq!(
        condition,
        "30 different values of eventName in events of refused within a tumbling window of 900 s, by who"
    );
    assert_eq!(part(&values, 1_800_000_000).0, r#"["ada","30 in 2027-01-15T08:00:00Z/PT900S"]"#);
    assert_eq!(part(&values, -1).0, r#"["ada","30 in 1969-12-31T23:45:00Z/PT900S"]"#);
    let events = load_window("event_count", "{gte: 30}");
    assert_eq!(part(&events, 1_799_999_999).1, NOW.event_id.to_string());

    let window = |kind: &str, window: &str, condition: &str| {
        format!(
            "  type: {kind}\n  rules: [refused]\n  timespan: 5m\n  window: {window}\n  condition: {condition}\n"
        )
    };
    check_unusable(&window("event_count", "tumbling", "{gte: 257}"), "at most 256");
    check_unusable(&window("temporal", "tumbling", "{gte: 1}"), "event_count and value_count");
    check_unusable(&window("event_count", "session", "{gte: 3}"), "sliding or tumbling");
}

#[test]
fn what_cannot_be_decided_is_reported() {
    let by_id = "  rules: [7c1f6f0e-8a44-4a0e-9f55-6f1f5c6a2b11]\n  timespan: 5m\n";
    let (engine, problems) = load(&format!("  type: event_count\n{by_id}  condition: {{gte: 2}}\n"));
    assert_eq!((engine.correlations().len(), problems), (1, vec![]));
    for operator in ["lt", "lte", "eq", "neq"] {
        let condition = format!("  type: event_count\n{by_id}  condition: {{{operator}: 2}}\n");
        check_unusable(&condition, "may still come in");
    }
    check_unusable(&format!("  type: value_count\n{by_id}  condition: {{gte: 2}}\n"), "needs `field`");
    check_unusable(
        &format!("  type: value_sum\n{by_id}  condition: {{gte: 2, field: a}}\n"),
        "value_sum is not decided",
    );
    let other = "  timespan: 5m\n  condition: {gte: 2}\n";
    check_unusable(&format!("  type: event_count\n  rules: [nothing]\n{other}"), "\"nothing\"");
    check_unusable(&format!("  type: event_count\n  rules: [probing]\n{other}"), "\"probing\"");
    check_unusable(&format!("  type: event_count\n  rules: []\n{other}"), "between 1 and 32");
    check_unusable(&format!("  type: event_count\n  rules: [refused, refused]\n{other}"), "to each once");
    check_unusable("  type: temporal\n  rules: [refused]\n  timespan: 1y\n", "between a second and 90 days");
    check_unusable(
        "  type: temporal\n  rules: [refused]\n  timespan: 5m\n  condition: refused and not refused\n",
        "`not` cannot be decided",
    );
}
