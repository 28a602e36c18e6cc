//! Faults of a SIEM's copy, found from the copy alone.

use std::collections::BTreeMap;

use audit_log::{
    integrity::{Place, leaf_of_copy},
    record::Splitter,
    verify::{Copies, CopyEntry, Evidence, Kind, Repeats},
};
use rand::Rng as _;
use schemas::TenantId;
use serde_json::Value;
use sinks::log_store::entry_proof;

use super::{FAULTS, KINDS, LOG, Logged, check_counts, dice};

/// The records as a SIEM was given them.
async fn copies(logged: &mut Logged) -> Vec<Value> {
    let tenant = TenantId::new("acme").expect("valid");
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT event_id FROM audit_entry ORDER BY log_index")
        .fetch_all(&mut logged.connection)
        .await
        .expect("rows");
    let mut copies = Vec::new();
    for id in ids {
        let proof =
            entry_proof(&mut logged.connection, &tenant, id).await.expect("readable").expect("an entry");
        copies.push(serde_json::from_slice(&proof.record).expect("JSON"));
    }
    copies
}

fn check_copies(logged: &Logged, copies: &[Value]) -> Option<(u64, Kind)> {
    let mut own = Copies::default();
    let mut splitter = Splitter::default();
    for record in copies {
        let Some(place) = Place::stated(record) else { continue };
        let leaf = leaf_of_copy(&mut splitter, record, &place.personal).ok();
        own.add(CopyEntry { index: place.index, leaf, stated: place.leaf, previous: place.previous });
    }
    let trusted = std::slice::from_ref(&logged.checkpoint);
    let evidence = Evidence { trusted, ..Evidence::default() };
    own.check(LOG, &evidence, Repeats::Allowed, 0).fault.map(|fault| (fault.index, fault.kind))
}

#[tokio::test]
async fn random_faults_of_a_siems_copy_are_named_from_the_copy_alone() {
    let mut logged = Logged::new().await;
    let copies = copies(&mut logged).await;
    assert_eq!(check_copies(&logged, &copies), None, "untouched");
    let (mut dice, seed) = dice(7);
    let mut kinds = BTreeMap::new();
    let edits =
        ["/actor/user/uid", "/metadata/original_time", "/time", "/raw_data", "/class_uid", "/metadata/uid"];
    for n in 0..FAULTS {
        let mut tampered = copies.clone();
        let at = dice.random_range(0..tampered.len() - 1);
        let renumber = |records: &mut [Value], by: i64| {
            for record in records {
                let place = &mut record["unmapped"]["record_integrity"]["index"];
                *place = (place.as_i64().expect("an index") + by).into();
            }
        };
        let expected = match dice.random_range(0..6) {
            0 => {
                // Not every record has every member.
                let there: Vec<_> =
                    edits.into_iter().filter(|edit| tampered[at].pointer(edit).is_some()).collect();
                let pointer = there[dice.random_range(0..there.len())];
                let value = tampered[at].pointer_mut(pointer).expect("it is there");
                *value = Value::from(if value.is_number() { "1" } else { "forged" });
                (at, Kind::Edited)
            }
            1 => {
                tampered.remove(at);
                (at, Kind::Missing)
            }
            2 => {
                tampered.remove(at);
                renumber(&mut tampered[at..], -1);
                (at, Kind::Missing)
            }
            3 => {
                let other = (at + dice.random_range(1..tampered.len())) % tampered.len();
                let (a, b) = (tampered[at].clone(), tampered[other].clone());
                let integrity = |record: &Value| record["unmapped"]["record_integrity"].clone();
                (tampered[at], tampered[other]) = (b.clone(), a.clone());
                // The contents are swapped, what they say of their places is not; but for the salts.
                for (place, from) in [(at, &a), (other, &b)] {
                    let salt = integrity(&tampered[place])["salt"].clone();
                    tampered[place]["unmapped"]["record_integrity"] = integrity(from);
                    tampered[place]["unmapped"]["record_integrity"]["salt"] = salt;
                }
                (at.min(other), Kind::Swapped)
            }
            4 => {
                let mut forged = tampered[at].clone();
                forged["time"] = 1.into();
                renumber(&mut tampered[at..], 1);
                tampered.insert(at, forged);
                (at, Kind::Inserted)
            }
            _ => {
                tampered.truncate(at + 1);
                (at + 1, Kind::Cut)
            }
        };
        let found = check_copies(&logged, &tampered);
        assert_eq!(found, Some((expected.0 as u64, expected.1)), "seed {seed}, fault {n}");
        *kinds.entry(expected.1).or_default() += 1;
    }
    check_counts("SIEM's copy", seed, &kinds, &KINDS);
}
