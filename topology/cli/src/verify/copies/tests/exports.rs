//! Exports, whose lines are verified one by one.

use super::*;

/// The line of an export that a record stands in.
fn exported(record: &Value) -> Value {
    json!({
        "event_id": record["metadata"]["uid"],
        "occurred_at": record["metadata"]["original_time"],
        "tenant": "acme",
        "kind": ActivityKind::ALL[0].name(),
        "actor_kind": "user",
        "actor": "ada",
        "actor_name": null,
        "actor_ip": null,
        "action": "Read",
        "resource_type": null,
        "resource": null,
        "project": null,
        "outcome": "success",
        "outcome_code": null,
        "source": "/test",
        "correlation_id": null,
        "class_uid": 6003,
        "activity_id": 1,
        "severity_id": 1,
        "position": { "topic": "weir.activity.v1", "partition": 0, "offset": 7 },
        "record": record,
    })
}

/// The pointers of all values below one that hold no others.
fn scalars(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| scalars(value, &format!("{at}/{name}"))).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, value)| scalars(value, &format!("{at}/{n}"))).collect()
        }
        _ => vec![at.to_owned()],
    }
}

#[test]
fn every_value_of_an_export_is_verified() {
    let own = sent(LOG, 30, None, tenth(LOG, key(1)));
    // Newest first, and some of them alone.
    let lines: Vec<Value> = [29, 21, 20, 7, 3].map(|index: usize| exported(&own.records[index])).to_vec();
    let report = of(Source::Export).report(&lines);
    assert_eq!((report.ok, report.logs, report.entries, report.unlogged), (true, 1, 5, 0));
    assert_eq!((report.single, report.unanchored), (some(LOG, 5, 3), some(LOG, 5, 3)));

    let mut edits = 0;
    for pointer in scalars(&lines[3], "") {
        let mut edited = lines.clone();
        let value = edited[3].pointer_mut(&pointer).expect("it is there");
        *value = match value.as_i64() {
            Some(number) => (number + 1).into(),
            None => format!("{}x", value.as_str().unwrap_or_default()).into(),
        };
        // In no record stands the offset. A note that no key signed tells nothing.
        if pointer == "/position/offset" || pointer.ends_with("/record_integrity/checkpoint") {
            continue;
        }
        let report = of(Source::Export).report(&edited);
        let fault = report.first_fault.unwrap_or_else(|| panic!("{pointer} was edited"));
        let index = if pointer.ends_with("/record_integrity/index") { 8 } else { 7 };
        assert_eq!((fault.index, fault.kind), (index, Kind::Edited), "{pointer}");
        edits += 1;
    }
    assert!(edits > 40, "{edits} values");
    assert_eq!(of(Source::Export).fault(lines.iter().chain([&lines[4]])), Some((3, Kind::Doubled)));
}

#[test]
fn an_export_is_held_against_leaves_that_others_keep() {
    let own = sent(LOG, 30, None, tenth(LOG, key(1)));
    // Everything was stated anew, so that the file alone shows nothing.
    let forged = sent(LOG, 30, Some(7), tenth(LOG, key(1)));
    let lines = |of: &Sent| [29, 21, 20, 7, 3].map(|index: usize| exported(&of.records[index])).to_vec();
    let mut honest = lines(&own);
    let mut forged = lines(&forged);
    forged[3]["actor"] = "eve".into();
    assert_eq!(of(Source::Export).fault(&forged), None, "no checkpoint could be compared");
    let leaves = BTreeMap::from([(LOG.to_owned(), own.leaves.clone())]);
    let kept = || Kept { leaves: leaves.clone(), notes: Vec::new() };
    let asked = Asked { kept: kept(), ..of(Source::Export) };
    let report = asked.report(&honest);
    assert_eq!((report.ok, report.unanchored.len(), report.uncovered), (true, 0, some(LOG, 3, 20)));
    let notes = vec![note(LOG, &own.leaves, &key(1))];
    let asked = Asked { kept: kept(), notes: notes.clone(), ..of(Source::Export) };
    assert_eq!(asked.fault(&honest), None);
    let without_notes: Vec<Value> = forged
        .iter()
        .map(|line| {
            let mut line = line.clone();
            line["record"] = without_note(&line["record"]);
            line
        })
        .collect();
    assert_eq!(asked.fault(&without_notes), Some((7, Kind::Edited)));
    let refused = Asked { notes, ..of(Source::Export) }.refusal(&honest);
    assert!(refused.contains("holds 5 of the entries") && refused.contains("--kept"), "{refused}");

    // A line without a record, or one of an entry that states no place although the log begins with its topic.
    let mut bare = honest[0].clone();
    bare.as_object_mut().map(|members| members.remove("record"));
    let refused = of(Source::Export).refusal([&honest[1], &bare]);
    assert!(refused.contains("line 2 of") && refused.contains("--records"), "{refused}");
    honest[2]["record"]["unmapped"] = json!({});
    assert_eq!(of(Source::Export).fault(&honest), Some((30, Kind::Inserted)));
}

#[test]
fn entries_from_before_the_log_are_counted() {
    let late = |leaves: &[Hash]| {
        let root = root_of(leaves, leaves.len() as u64)?;
        let checkpoint = Checkpoint {
            origin: format!("audit.example.com/{LOG}"),
            size: leaves.len() as u64,
            root,
            extensions: Vec::new(),
        };
        checkpoint.beginning_at(8).sign(&[key(1)]).ok().filter(|_| !leaves.is_empty())
    };
    let own = sent(LOG, 4, None, late);
    let mut lines: Vec<Value> = own.records.iter().map(exported).collect();
    lines[0]["record"]["unmapped"] = json!({});
    let report = of(Source::Export).report(&lines);
    assert_eq!((report.ok, report.entries, report.unlogged), (true, 3, 1));
    lines[0]["position"]["offset"] = 8.into();
    assert_eq!(of(Source::Export).fault(&lines), Some((4, Kind::Inserted)));
}
