//! A log that was rewritten or set back without any key, against what others keep.

use std::{collections::BTreeMap, slice};

use audit_log::{
    Hash,
    checkpoint::Checkpoint,
    keys::PrivateKey,
    verify::{Kind, SomeEntries},
};
use sinks::log_store::{self, Kept};

use super::{ENTRIES, LOG, Logged, named, rewritten_tiles, stored_checkpoint};

/// The newest checkpoint that the attacker leaves.
const LEFT: u64 = 100;
const AT: usize = 200;

/// Statements that bring a log in line with other leaves and leave of its checkpoints those up to [`LEFT`]: no key is needed.
fn set_back(logged: &Logged, leaves: &[Hash], rows: String) -> Vec<String> {
    let mut statements = rewritten_tiles(leaves);
    let cut = format!("DELETE FROM audit_checkpoint WHERE size > {LEFT}");
    statements.extend([stored_checkpoint(&logged.cosigned(LEFT)), cut, rows]);
    statements
}

/// Two entries behind the checkpoint that is left change places: each row still fits its leaf.
fn swapped(logged: &Logged) -> Vec<String> {
    let mut leaves = logged.leaves.clone();
    leaves.swap(AT, AT + 1);
    let (one, other) = (AT, AT + 1);
    let rows = format!(
        "UPDATE audit_entry SET log_index = {one} + {other} - log_index WHERE log_index IN ({one}, {other})"
    );
    set_back(logged, &leaves, rows)
}

fn cut(logged: &Logged) -> Vec<String> {
    set_back(logged, &logged.leaves[..AT], format!("DELETE FROM audit_entry WHERE log_index >= {AT}"))
}

fn leaves_of(logged: &Logged) -> BTreeMap<String, Vec<Hash>> {
    BTreeMap::from([(LOG.to_owned(), logged.leaves.clone())])
}

#[tokio::test]
async fn a_log_rewritten_behind_its_newest_checkpoint_is_found_by_what_others_keep() {
    let mut logged = Logged::new().await;
    let range = |to| vec![SomeEntries { log: LOG.into(), entries: to - LEFT, first: LEFT }];
    let statements = swapped(&logged);
    let report = logged.report_after(&statements, &Kept::default()).await;
    assert_eq!(
        (named(&report), report.uncovered),
        (None, range(ENTRIES)),
        "nobody vouches for what is behind"
    );

    // The log's own signature is enough for a note from elsewhere: a witness keeps it as it came.
    let own = logged.checkpoint.sign(slice::from_ref(&logged.key)).expect("signed");
    for note in [logged.cosigned(ENTRIES), logged.cosigned(250), own.clone()] {
        let kept = Kept { notes: vec![note], ..Kept::default() };
        let report = logged.report_after(&statements, &kept).await;
        assert_eq!(named(&report), Some((LEFT, Kind::Rewritten)));
        assert_eq!(report.rewritten.len(), 1);
        assert!(report.rewritten == range(ENTRIES) || report.rewritten == range(250), "{report:?}");
        assert_eq!(logged.after(&[], &kept).await, None, "untouched");
    }
    let kept = Kept { leaves: leaves_of(&logged), notes: vec![own.clone()] };
    assert_eq!(logged.after(&statements, &kept).await, Some((AT as u64, Kind::Swapped)));
    assert_eq!(logged.after(&[], &kept).await, None, "untouched");

    // The attacker has left a note that no witness has seen.
    let with_note = [statements, vec![stored_checkpoint(&own)]].concat();
    assert_eq!(logged.after(&with_note, &Kept::default()).await, Some((LEFT, Kind::Rewritten)));
}

#[tokio::test]
async fn a_log_that_was_set_back_is_found_by_what_others_keep() {
    let mut logged = Logged::new().await;
    let statements = cut(&logged);
    assert_eq!(logged.after(&statements, &Kept::default()).await, None);
    let note = logged.cosigned(ENTRIES);
    for kept in [
        Kept { notes: vec![note.clone()], ..Kept::default() },
        Kept { leaves: leaves_of(&logged), ..Kept::default() },
        Kept { leaves: leaves_of(&logged), notes: vec![note] },
    ] {
        assert_eq!(logged.after(&statements, &kept).await, Some((AT as u64, Kind::Cut)), "{:?}", kept.notes);
    }
    // No checkpoint is left at all: what others keep still names the entry.
    let without = [statements, vec!["DELETE FROM audit_checkpoint".to_owned()]].concat();
    assert_eq!(logged.after(&without, &Kept::default()).await, Some((0, Kind::Checkpoint)));
    let kept = Kept { leaves: leaves_of(&logged), ..Kept::default() };
    assert_eq!(logged.after(&without, &kept).await, Some((AT as u64, Kind::Cut)));
}

#[tokio::test]
async fn checkpoints_from_elsewhere_are_of_the_keys_and_of_logs_that_are_there() {
    let mut logged = Logged::new().await;
    let other =
        Checkpoint { origin: "audit.example.com/weir.activity.v1/7".into(), ..logged.checkpoint.clone() };
    let kept = |checkpoint: &Checkpoint, key: &PrivateKey| {
        let note = checkpoint.sign(slice::from_ref(key)).expect("signed");
        Kept { notes: vec![note], ..Kept::default() }
    };
    let missing = kept(&other, &logged.key);
    assert_eq!(logged.after(&[], &missing).await, Some((0, Kind::Cut)), "a log that is gone");
    for stranger in [("audit.example.com", 9), ("other.example.com", 1)] {
        let key = PrivateKey::new(stranger.0, &[stranger.1; 32]).expect("a name");
        let origin = format!("{}/{LOG}", stranger.0);
        let foreign = kept(&Checkpoint { origin, ..logged.checkpoint.clone() }, &key);
        let refused = log_store::verify(&logged.url, &logged.trust(), &foreign).await;
        assert!(refused.is_err(), "{stranger:?}");
    }
}
