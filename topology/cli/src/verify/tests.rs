//! Folders that others keep, and the sentences of a report.

use std::fs;

use audit_log::{
    Hash, checkpoint::Checkpoint, keys::PrivateKey, tile::Tile, tree::OpenLog, verify::SomeEntries,
};
use tempfile::TempDir;

use super::*;

const LOG: &str = "weir.activity.v1/0";

fn key(name: &str, seed: u8) -> PrivateKey {
    PrivateKey::new(name, &[seed; 32]).expect("a name")
}

fn trust() -> Trust {
    Trust { keys: vec![key("audit.example.com", 1).public(Purpose::Log)], witnesses: Vec::new() }
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| Hash::of(&n.to_be_bytes())).collect()
}

/// The note of a checkpoint of these leaves.
fn note(deployment: &str, leaves: &[Hash]) -> String {
    let mut log = OpenLog::default();
    for leaf in leaves {
        drop(log.push(*leaf));
    }
    let (origin, root) = (format!("{deployment}/{LOG}"), log.frontier().root());
    let checkpoint = Checkpoint { origin, size: log.size(), root, extensions: Vec::new() };
    checkpoint.sign(&[key(deployment, 1)]).expect("signed")
}

/// A folder as `weir audit tiles` writes it.
fn mirrored(leaves: &[Hash], note: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = TileFolder::of(dir.path(), LOG);
    for (index, hashes) in (0_u64..).zip(leaves.chunks(256)) {
        let tile = Tile::of(0, index, leaves.len() as u64).expect("a tile");
        let path = folder.tile(tile);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, Hash::concat(hashes)).expect("written");
    }
    fs::write(folder.checkpoint(), note).expect("written");
    dir
}

#[test]
fn a_folder_is_held_against_checkpoints_from_elsewhere() {
    let own = leaves(600);
    let mut forged = own.clone();
    forged.swap(300, 301);
    let check = |held: &[Hash], notes: &[String], expected: Option<(u64, Kind)>| {
        let dir = mirrored(held, &note("audit.example.com", &held[..held.len().min(590)]));
        let report = tiles::verify(dir.path(), &trust(), notes).expect("readable");
        let fault = report.first_fault.map(|Fault { index, kind, .. }| (index, kind));
        assert_eq!((fault, report.ok), (expected, expected.is_none()));
        report.rewritten
    };
    let notes = [100, 500].map(|size| note("audit.example.com", &own[..size]));
    check(&own, &[], None);
    check(&own, &notes, None);
    check(&forged, &[], None);
    let range = SomeEntries { log: LOG.into(), entries: 400, first: 100 };
    assert_eq!(check(&forged, &notes, Some((100, Kind::Rewritten))), [range]);
    check(&own[..450], &notes, Some((450, Kind::Cut)));
    let foreign = note("other.example.com", &own);
    assert!(tiles::verify(mirrored(&own, &notes[1]).path(), &trust(), &[foreign]).is_err());
}

#[test]
fn a_log_without_a_checkpoint_is_told() {
    let dir = mirrored(&leaves(300), &note("audit.example.com", &leaves(300)));
    fs::remove_file(TileFolder::of(dir.path(), LOG).checkpoint()).expect("removed");
    let report = tiles::verify(dir.path(), &trust(), &[]).expect("readable");
    assert_eq!(report.first_fault.map(|fault| fault.kind), Some(Kind::Checkpoint));
}

#[test]
fn leaves_and_checkpoints_that_others_keep_are_read() {
    let own = leaves(600);
    let signed = note("audit.example.com", &own[..500]);
    let dir = mirrored(&own, &signed);
    let found = kept::kept(dir.path(), &trust().keys).expect("kept");
    assert_eq!(
        (found.leaves[LOG].as_slice(), found.notes.as_slice()),
        (own.as_slice(), [signed.clone()].as_slice())
    );

    // A witness's folder, which holds other deployments' checkpoints as well.
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("aa.checkpoint"), note("other.example.com", &own)).expect("written");
    assert!(kept::kept(dir.path(), &trust().keys).is_err(), "nothing of this deployment");
    fs::write(dir.path().join("bb.checkpoint"), &signed).expect("written");
    fs::write(dir.path().join("cc.new"), "cut off").expect("written");
    let found = kept::kept(dir.path(), &trust().keys).expect("kept");
    assert_eq!((found.leaves.len(), found.notes), (0, vec![signed.clone()]));
    fs::write(dir.path().join("dd.checkpoint"), "damaged").expect("written");
    assert!(kept::kept(dir.path(), &trust().keys).is_err());
}

#[test]
fn a_folder_that_holds_nothing_or_contradicts_itself_is_no_evidence() {
    let empty = tempfile::tempdir().expect("a folder");
    let said = kept::kept(empty.path(), &trust().keys).expect_err("nothing").to_string();
    assert!(said.contains(empty.path().to_str().expect("text")), "{said}");
    assert!(tiles::verify(empty.path(), &trust(), &[]).is_err());
    let own = leaves(300);
    for signed in [note("audit.example.com", &leaves(301)), note("audit.example.com", &own[1..])] {
        let dir = mirrored(&own, &signed);
        let said = kept::kept(dir.path(), &trust().keys).expect_err("other leaves").to_string();
        assert!(said.contains("weir verify --tiles"), "{said}");
    }
}

/// A command that was killed, or a disk that was full, leaves a short file.
#[test]
fn short_tiles_are_an_error_for_who_verifies_and_none_for_who_writes_on() {
    let own = leaves(300);
    let dir = mirrored(&own, &note("audit.example.com", &own));
    let folder = TileFolder::of(dir.path(), LOG);
    let open = folder.tile(Tile::of(0, 1, 300).expect("a tile"));
    fs::write(open.with_file_name("20"), Hash::concat(&own[256..276])).expect("written");
    assert_eq!(folder.leaves().expect("whole"), own);
    fs::write(&open, b"short").expect("written");
    assert!(folder.leaves().is_err());
    assert_eq!(folder.whole_leaves(), own[..276], "the widest part that is whole");
    fs::write(folder.tile(Tile::of(0, 0, 300).expect("a tile")), b"short").expect("written");
    assert!(folder.whole_leaves().is_empty());
}

#[test]
fn a_checkpoint_is_never_ignored() {
    let is_taken = |args: &[&str]| {
        let command = VerifyArgs::augment_args(clap::Command::new("verify"));
        command.try_get_matches_from([&["verify"][..], args].concat()).is_ok()
    };
    let sources: [&[&str]; 5] =
        [&[], &["--tiles", "d"], &["--siem", "f"], &["--export", "f"], &["--kept", "d"]];
    for source in sources {
        assert!(is_taken(&[source, &["--checkpoint", "note"]].concat()), "{source:?}");
    }
    assert!(!is_taken(&["--proof", "f", "--checkpoint", "note"]));
    assert!(!is_taken(&["--tiles", "d", "--kept", "d"]));
}

#[test]
fn a_report_says_what_nothing_vouches_for() {
    let some = |entries, first| vec![SomeEntries { log: LOG.into(), entries, first }];
    let whole = Report { logs: 1, entries: 10, ok: true, ..Report::default() };
    assert_eq!(
        (notes_of(&whole).len(), result_of(&whole).as_str()),
        (0, "10 entries of 1 logs: all as they were")
    );
    let told = Report { unlogged: 3, erased: some(2, 5), uncovered: some(4, 6), ..whole.clone() };
    let notes = notes_of(&told).join("\n");
    for part in [
        "2 entries of weir.activity.v1/0 lost",
        "3 rows",
        "the last 4 entries of weir.activity.v1/0, from entry 6",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let fault = |index, kind| Some(Fault { log: LOG.into(), index, kind });
    let edited = Report { first_fault: fault(7, Kind::Edited), ..whole.clone() };
    assert!(result_of(&edited).ends_with("entry 7 of weir.activity.v1/0 is not as it was: edited"));
    let rewritten = Report { first_fault: fault(4, Kind::Rewritten), rewritten: some(5, 4), ..whole };
    assert!(
        result_of(&rewritten).contains("entries 4 to 8 of weir.activity.v1/0"),
        "{}",
        result_of(&rewritten)
    );
}
