//! Values of every text of every kind of event, longer than an index entry can be: each event is a row, and none is set
//! aside, so that nobody can publish what the read models cannot hold.

use std::{collections::BTreeSet, fs, path::Path};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use uuid::Uuid;

use super::door::{Answer, Door};
use crate::support::site::{Site, ended};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/examples");
/// Bytes of a value: more than a third of a page of an index, and more than a page.
const LENGTHS: [usize; 2] = [3_000, 12_000];
/// Bytes of one request at most.
const REQUEST: usize = 700_000;
const STAGES: [&str; 6] = ["audit", "risk", "change_review", "cost", "retention", "compliance"];
const PARKED: &str = "SELECT count(*) FROM parked_record";

/// The paths of all texts of a value.
fn texts(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| texts(item, &format!("{path}/{n}"), found));
        }
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            texts(member, &format!("{path}/{name}"), found);
        }),
        _ => {}
    }
}

/// The examples of all kinds of events, each as many times as it has texts and there are lengths.
fn events(dice: &mut StdRng) -> Vec<Value> {
    let mut events = Vec::new();
    for family in fs::read_dir(Path::new(EXAMPLES)).expect("examples") {
        for file in fs::read_dir(family.expect("a folder").path()).expect("examples") {
            let text = fs::read_to_string(file.expect("a file").path()).expect("text");
            let mut event: Value = serde_json::from_str(&text).expect("JSON");
            event.as_object_mut().expect("an object").remove("tenantid");
            let mut paths = Vec::new();
            texts(&event["data"], "/data", &mut paths);
            for (path, length) in paths.iter().flat_map(|path| LENGTHS.map(|length| (path, length))) {
                let mut event = event.clone();
                event["id"] = Uuid::from_u128(dice.random::<u128>() | 1).to_string().into();
                let random = (0..length).map(|_| char::from(dice.random_range(b'!'..=b'~')));
                *event.pointer_mut(path).expect("it is there") = random.collect::<String>().into();
                events.push(event);
            }
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_of_an_event_is_too_long_for_the_read_models() {
    let site = Site::new().await;
    let door = Door::open(&site).await;
    let stages = site.run_stages(&STAGES, 1);
    let (mut accepted, mut refused) = (BTreeSet::new(), 0);
    let mut batch: Vec<Value> = Vec::new();
    let mut bytes = 0;
    for event in events(&mut StdRng::seed_from_u64(7)).into_iter().map(Some).chain([None]) {
        let more = event.as_ref().map_or(0, |event| event.to_string().len());
        if event.is_none() || bytes + more > REQUEST {
            let answer = Answer::to(door.batch(&batch)).await;
            assert!([202, 403, 422].contains(&answer.status), "{}", answer.body);
            let ids = answer.body["accepted"].as_array().into_iter().flatten();
            accepted.extend(ids.map(|one| one["id"].as_str().expect("an id").to_owned()));
            refused += answer.body["rejected"].as_array().map_or(batch.len(), Vec::len);
            (batch, bytes) = (Vec::new(), 0);
        }
        batch.extend(event);
        bytes += more;
    }
    assert!(accepted.len() > 1_000 && accepted.len() > refused, "{} of {refused} more", accepted.len());
    let waited = ended(site.command(&["lag", "--wait", "--timeout", "2m"])).await;
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
    assert_eq!(site.count(PARKED).await, 0);
    let entries = "SELECT count(DISTINCT event_id) FROM audit_entry WHERE source NOT LIKE '/weir/%'";
    assert_eq!(site.count(entries).await, i64::try_from(accepted.len()).expect("few"));
    stages.stop().await;
    door.stop.cancel();
}
