//! Events of Weir's own types through the processor.

use std::collections::BTreeMap;

use schemas::{
    Envelope, EventId, Native, Source, TenantId, Timestamp,
    changes::risk::{MAX_RULE_ID_BYTES, RiskChange, RiskSignal, TriageDecision},
    events::{
        Activity, ActivityKind, Actor, ActorKind, Event, Governance, GovernanceKind, Outcome, Resource,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Risk, RuleSet, entities::MAX_TOUCHED, sigma::SigmaEngine};
use crate::Processor;

const RULE: &str = "
title: A key is made
id: 5d1f4a4e-7f0c-4b6e-9d5a-1b2c3d4e5f60
author: Ada
tags: [attack.persistence, attack.initial_access, attack.t1098.001, attack.g0016, cve.2024-1]
logsource: {product: aws, service: cloudtrail}
detection:
    selection: {eventName: CreateAccessKey}
    condition: selection
level: high
";

fn envelope(event: Event, native: Option<&str>) -> Envelope {
    Envelope {
        id: EventId::new(Uuid::from_u128(7)).expect("not nil"),
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
        native: native.map(|record| Native { format: "aws.cloudtrail".to_owned(), record: record.into() }),
    }
}

fn activity(actor: Actor, resources: Vec<Resource>) -> Event {
    Event::Activity(Activity {
        kind: ActivityKind::ApiCalled,
        action: "CreateAccessKey".to_owned(),
        service: None,
        actor,
        resources,
        outcome: Outcome::default(),
        read_only: None,
        request_id: None,
    })
}

fn ada() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: "ada".to_owned(),
        ip: Some("203.0.113.7".to_owned()),
        ..Actor::default()
    }
}

fn process(rule: &str, envelope: &Envelope) -> Vec<RiskChange> {
    let (engine, problems) = SigmaEngine::load([("made.yml", rule)]);
    assert_eq!(problems, []);
    let risk = Risk::new(RuleSet::new(engine));
    let changes = risk.process(envelope);
    assert_eq!(changes, risk.process(envelope), "the same envelope gives the same changes");
    changes
}

fn signals(rule: &str, event: Event, record: &Value) -> Vec<RiskSignal> {
    let changes = process(rule, &envelope(event, Some(&record.to_string())));
    let signal = |change| match change {
        RiskChange::Signal(signal) => *signal,
        other => panic!("only signals: {other:?}"),
    };
    changes.into_iter().map(signal).collect()
}

/// Entities and hazard of a rule with these further lines.
#[track_caller]
fn check(lines: &str, event: Event, record: Value, expected: &[(&str, i64)]) {
    let mut record = record;
    record["eventName"] = "CreateAccessKey".into();
    let found = signals(&format!("{RULE}{lines}"), event, &record);
    let found: Vec<(String, i64)> =
        found.iter().map(|signal| (signal.entity.to_string(), signal.hazard_micronats)).collect();
    let expected: Vec<(String, i64)> = expected.iter().map(|(e, h)| ((*e).to_owned(), *h)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_signal_says_what_fired_on_what_and_why() {
    let record = json!({"eventName": "CreateAccessKey", "x": 1});
    let found = signals(RULE, activity(ada(), vec![]), &record);
    let [user, address] = found.as_slice() else { panic!("user and address: {found:?}") };
    assert_eq!(user.entity.to_string(), "user ada");
    assert_eq!(address.entity.to_string(), "network_address 203.0.113.7");
    assert_eq!((user.score, user.hazard_micronats, user.dedupe_key.as_str()), (73, 1_309_333, ""));
    assert_eq!((user.rule.title.as_str(), user.rule.author.as_deref()), ("A key is made", Some("Ada")));
    assert_eq!(user.rule.tactics, ["initial-access", "persistence"]);
    assert_eq!(user.rule.techniques, ["T1098.001"]);
    assert_eq!(user.evidence.matched, r#"{"eventName":"CreateAccessKey"}"#);
    assert_eq!((user.evidence.actor.as_str(), user.evidence.action.as_str()), ("ada", "CreateAccessKey"));
}

#[test]
fn what_the_event_names_is_touched() {
    const WHOLE: i64 = 1_309_333;
    let actor = |kind, id: &str, roles: &[&str]| Actor {
        kind,
        id: id.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..Actor::default()
    };
    let none = json!({});
    let session = actor(ActorKind::Role, "session/1", &["arn:role"]);
    check("", activity(session, vec![]), none.clone(), &[("role arn:role", WHOLE)]);
    let person = actor(ActorKind::Role, "arn:assumed-role/dev/ada@example.com", &["arn:dev"]);
    check(
        "",
        activity(person, vec![]),
        none.clone(),
        &[("user ada@example.com", WHOLE), ("role arn:dev", WHOLE)],
    );
    let many = actor(ActorKind::Role, "session/1", &["a", "b"]);
    check("", activity(many, vec![]), none.clone(), &[("role session/1", WHOLE)]);
    let program = actor(ActorKind::ServiceAccount, "ci", &[]);
    check("", activity(program, vec![]), none.clone(), &[("service_account ci", WHOLE)]);
    let stranger = actor(ActorKind::Unknown, "444455556666", &[]);
    check("", activity(stranger, vec![]), none.clone(), &[("user 444455556666", WHOLE)]);
    let mut behind = ada();
    behind.ip = Some("ec2.amazonaws.com".to_owned());
    check("", activity(behind, vec![]), none.clone(), &[("user ada", WHOLE)]);
    let nobody = || actor(ActorKind::Unknown, "", &[]);
    let bucket =
        || Resource { id: "bucket".to_owned(), project: Some("apollo".to_owned()), ..Resource::default() };
    check("", activity(nobody(), vec![bucket()]), none.clone(), &[("project apollo", WHOLE)]);
    let plain = Resource { project: None, ..bucket() };
    check("", activity(nobody(), vec![plain]), none.clone(), &[("resource bucket", WHOLE)]);
    check("", activity(nobody(), vec![]), none, &[("resource /test", WHOLE)]);
}

#[test]
fn what_the_rule_names_is_touched_and_a_hosts_owner_by_half() {
    let nobody = || Actor::default();
    let host = Resource {
        id: "arn:aws:ec2:eu-1:1:instance/i-1".to_owned(),
        tags: BTreeMap::from([("Owner".to_owned(), "grace".to_owned())]),
        ..Resource::default()
    };
    let names_host = "entities: {host: requestParameters.instanceId}\n";
    let record = json!({"requestParameters": {"instanceId": "i-1"}});
    let touched = [("user grace", 654_666), ("host i-1", 1_309_333)];
    check(names_host, activity(nobody(), vec![host.clone()]), record.clone(), &touched);
    // Who acts on a host of their own is touched once, and wholly.
    let grace = Actor { kind: ActorKind::User, id: "grace".to_owned(), ..Actor::default() };
    let touched = [("user grace", 1_309_333), ("host i-1", 1_309_333)];
    check(names_host, activity(grace, vec![host]), record, &touched);
    let names_first = "entities:\n  user: [missing, 'arn:{a}/{b}', a]\n  resource: list\n";
    let record = json!({"a": "x", "b": "y", "list": ["1", "2"]});
    let touched = [("user arn:x/y", 1_309_333), ("resource 1", 1_309_333), ("resource 2", 1_309_333)];
    check(names_first, activity(nobody(), vec![]), record, &touched);
}

#[test]
fn confidence_and_impact_replace_the_level() {
    let user = |hazard| [("user ada", hazard)];
    let alone = || Actor { ip: None, ..ada() };
    let check = |lines: &str, expected: &[(&str, i64)]| {
        check(lines, activity(alone(), vec![]), json!({}), expected);
    };
    check("confidence: 60\nimpact: 80\n", &user(653_926));
    check("confidence: 100\nimpact: 100\n", &user(4_605_170));
    check("confidence: 0\nimpact: 80\n", &[]);
    for wrong in
        ["confidence: 60\n", "impact: 101\nconfidence: 1\n", "entities: {person: a}\n", "dedupe: '{'\n"]
    {
        let (engine, problems) = SigmaEngine::load([("made.yml", format!("{RULE}{wrong}"))]);
        assert_eq!((engine.rules().count(), problems.len()), (0, 1), "{wrong}");
        assert!(problems[0].line.is_some(), "{wrong} has a line");
    }
}

#[test]
fn a_rule_may_tell_its_hits_apart() {
    let rule = format!("{RULE}dedupe: [a, 'x{{b}}']\n");
    let record = json!({"eventName": "CreateAccessKey", "a": "1", "b": "2"});
    assert_eq!(signals(&rule, activity(ada(), vec![]), &record)[0].dedupe_key, "1|x2");
}

#[test]
fn a_record_that_cannot_be_read_is_told() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for record in ["", "{", "nonsense", &deep] {
        let changes = process(RULE, &envelope(activity(ada(), vec![]), Some(record)));
        let [RiskChange::Unusable(unusable)] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!(unusable.format, "aws.cloudtrail");
    }
    let mut foreign = envelope(activity(ada(), vec![]), Some("no JSON"));
    foreign.native.as_mut().expect("a record").format = "acme.log".to_owned();
    assert_eq!(process(RULE, &foreign), [], "no rule reads it");
}

#[test]
fn the_evidence_is_bounded_and_storable() {
    let rule = "
title: Anything
logsource: {product: aws, service: cloudtrail}
detection:
    selection: {'a|contains': 'x', 'b|contains': 'x'}
    condition: selection
level: low
";
    let record = json!({"a": "x".repeat(100_000), "b": "x\u{0}y"});
    let found = signals(rule, activity(ada(), vec![]), &record);
    let matched = &found[0].evidence.matched;
    assert!(matched.len() <= 4096 && !matched.contains("\\u0000"), "{}", matched.len());
    let fields: Value = serde_json::from_str(matched).expect("JSON");
    assert!(fields["a"].as_str().is_some_and(|text| text.len() > 1000));
    assert_eq!(fields["b"], "x\u{fffd}y");
    assert_eq!(found[0].rule.id, "made.yml", "a rule without an id is known by its file");
}

#[test]
fn an_event_touches_a_bounded_number_of_entities() {
    let project =
        |n: usize| Resource { project: Some(format!("p{n}")), id: format!("r{n}"), ..Resource::default() };
    let record = json!({"eventName": "CreateAccessKey"});
    let found = signals(RULE, activity(ada(), (0..10_000).map(project).collect()), &record);
    assert_eq!(found.len(), MAX_TOUCHED);
    assert!(found.iter().any(|signal| signal.entity.to_string() == "user ada"), "who acted comes first");
    let matched: Value = serde_json::from_str(&found[0].evidence.matched).expect("JSON");
    let left_out = 10_000 + usize::from(ada().ip.is_some()) + 1 - MAX_TOUCHED;
    assert_eq!(matched["(entities left out)"], left_out);

    // All rules that fire on an event share what it may touch.
    let other = RULE.replace("id: 5d1f4a4e", "id: 6d1f4a4e");
    let (engine, problems) = SigmaEngine::load([("made.yml", RULE), ("other.yml", &other)]);
    assert_eq!(problems, []);
    let event = envelope(activity(ada(), (0..100).map(project).collect()), Some(&record.to_string()));
    let found = super::signals(&engine, &event).expect("it can be read");
    let entities: std::collections::BTreeSet<_> = found.iter().map(|signal| &signal.entity).collect();
    assert_eq!((found.len(), entities.len()), (2 * MAX_TOUCHED, MAX_TOUCHED));
}

#[test]
fn rules_are_replaced_while_the_processor_runs() {
    let rules = RuleSet::own();
    let risk = Risk::new(rules.clone());
    let event = envelope(
        activity(ada(), vec![]),
        Some(r#"{"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging"}"#),
    );
    assert!(!risk.process(&event).is_empty(), "one of Weir's own rules fires");
    rules.replace(SigmaEngine::load([("made.yml", RULE)]).0);
    assert_eq!(risk.process(&event), []);
}

fn governance(kind: GovernanceKind, subject: (&str, &str), decision: &str, more: &[(&str, &str)]) -> Event {
    Event::Governance(Governance {
        kind,
        subject_kind: subject.0.to_owned(),
        subject_id: subject.1.to_owned(),
        actor: ada(),
        decision: Some(decision.to_owned()),
        reason: None,
        expires_at: None,
        attributes: more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    })
}

/// Source and factor of the weight of a decision; otherwise the reason why it cannot be used, or nothing.
fn weight(
    kind: GovernanceKind,
    subject: &str,
    decision: &str,
    more: &[(&str, &str)],
) -> Option<(String, i32)> {
    let event = governance(kind, (subject, "ada"), decision, more);
    match process(RULE, &envelope(event, None)).pop()? {
        RiskChange::Weight(weight) => Some((weight.weight_source, weight.factor_thousandths)),
        RiskChange::Unusable(unusable) => Some((unusable.reason, 0)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn decisions_about_weight_are_facts() {
    use GovernanceKind::{CriticalitySet, WatchlistChanged};
    let fact = |source: &str, factor| Some((source.to_owned(), factor));
    for (word, factor) in [("low", 500), ("medium", 1000), ("high", 1500), ("extreme", 2000)] {
        assert_eq!(weight(CriticalitySet, "user", word, &[]), fact("criticality", factor));
    }
    let on = [("watchlist", "leavers"), ("multiplier", "1.25")];
    assert_eq!(weight(WatchlistChanged, "user", "added", &on), fact("watchlist:leavers", 1250));
    assert_eq!(weight(WatchlistChanged, "user", "added", &on[..1]), fact("watchlist:leavers", 1500));
    assert_eq!(weight(WatchlistChanged, "user", "removed", &on), fact("watchlist:leavers", 1000));
    for (kind, subject, decision, more) in [
        (CriticalitySet, "user", "enormous", &[][..]),
        (CriticalitySet, "planet", "high", &[]),
        (CriticalitySet, "address", "high", &[]),
        (WatchlistChanged, "user", "added", &[]),
        (WatchlistChanged, "user", "painted", &on),
        (WatchlistChanged, "user", "added", &[("watchlist", "w"), ("multiplier", "10.1")]),
        (WatchlistChanged, "user", "added", &[("watchlist", "w"), ("multiplier", "NaN")]),
    ] {
        let (reason, factor) = weight(kind, subject, decision, more).expect("it is told");
        assert!(factor == 0 && !reason.is_empty(), "{subject} {decision} {more:?}: {reason}");
    }
    assert_eq!(weight(GovernanceKind::BudgetSet, "budget", "x", &[]), None);
}

#[test]
fn triage_of_an_incident_is_a_fact() {
    let id = "0192f0c1-2345-7abc-8def-0123456789ab";
    let more = [("entity_kind", "user"), ("entity", "ada"), ("rules", "b, a,b,")];
    let triage = |subject: (&str, &str), decision: &str, more: &[(&str, &str)]| {
        process(RULE, &envelope(governance(GovernanceKind::FindingTriaged, subject, decision, more), None))
            .pop()
    };
    let Some(RiskChange::Triage(fact)) = triage(("incident", id), "false_positive", &more) else {
        panic!("a triage")
    };
    assert_eq!(
        (fact.decision, fact.rules),
        (TriageDecision::FalsePositive, vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(fact.entity.to_string(), "user ada");
    let long = format!("{}/a, b.yml", "x".repeat(MAX_RULE_ID_BYTES - 9));
    assert_eq!(long.len(), MAX_RULE_ID_BYTES);
    let listed = json!([long, "[draft]"]).to_string();
    let more = [more[0], more[1], ("rules", listed.as_str())];
    let Some(RiskChange::Triage(fact)) = triage(("incident", id), "false_positive", &more) else {
        panic!("a triage")
    };
    assert_eq!(fact.rules, ["[draft]".to_owned(), long], "ids with commas are a list");
    for (subject, decision, more) in [
        (("incident", "incident-88"), "closed", &more[..]),
        (("incident", id), "forgotten", &more),
        (("incident", id), "closed", &more[..1]),
        (("incident", id), "false_positive", &more[..2]),
    ] {
        let change = triage(subject, decision, more);
        assert!(matches!(change, Some(RiskChange::Unusable(_))), "{subject:?} {decision}: {change:?}");
    }
    assert_eq!(triage(("finding", "x"), "closed", &[]), None, "another kind of finding");
}
