//! Random faults, and whether the right entry is named.

use proptest::prelude::*;

use super::*;

const LOG: &str = "weir.activity.v1/0";

fn leaf(n: u64) -> Hash {
    Hash::of(&n.to_be_bytes())
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(leaf).collect()
}

/// Ways to tamper with a log.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tampering {
    Edit(u64),
    Remove(u64),
    RemoveAndRenumber(u64),
    Swap(u64, u64),
    Insert(u64),
    Double(u64),
    Cut(u64),
}

impl Tampering {
    fn expected(self) -> (u64, Kind) {
        match self {
            Self::Edit(at) => (at, Kind::Edited),
            Self::Remove(at) | Self::RemoveAndRenumber(at) => (at, Kind::Missing),
            Self::Swap(a, b) => (a.min(b), Kind::Swapped),
            Self::Insert(at) => (at, Kind::Inserted),
            Self::Double(at) => (at, Kind::Doubled),
            Self::Cut(at) => (at, Kind::Cut),
        }
    }
}

/// A log of that many entries, and what is done to one of them but the last.
fn tampering() -> impl Strategy<Value = (u64, Tampering)> {
    (3_u64..400).prop_flat_map(|size| {
        let at = 0..size - 1;
        let one = prop_oneof![
            at.clone().prop_map(Tampering::Edit),
            at.clone().prop_map(Tampering::Remove),
            at.clone().prop_map(Tampering::RemoveAndRenumber),
            (at.clone(), at.clone())
                .prop_filter("two entries", |(a, b)| a != b)
                .prop_map(|(a, b)| Tampering::Swap(a, b)),
            at.clone().prop_map(Tampering::Insert),
            at.clone().prop_map(Tampering::Double),
            (1..size).prop_map(Tampering::Cut),
        ];
        (Just(size), one)
    })
}

/// The entries afterwards, as (index, leaf).
fn tampered(size: u64, tampering: Tampering) -> Vec<(u64, Hash)> {
    let mut entries: Vec<(u64, Hash)> = (0..size).map(|n| (n, leaf(n))).collect();
    let place = |n: u64| usize::try_from(n).expect("small");
    let foreign = Hash([0xee; 32]);
    match tampering {
        Tampering::Edit(at) => entries[place(at)].1 = foreign,
        Tampering::Remove(at) => drop(entries.remove(place(at))),
        Tampering::RemoveAndRenumber(at) => {
            entries.remove(place(at));
            entries[place(at)..].iter_mut().for_each(|entry| entry.0 -= 1);
        }
        Tampering::Swap(a, b) => {
            entries[place(a)].1 = leaf(b);
            entries[place(b)].1 = leaf(a);
        }
        Tampering::Insert(at) => {
            entries[place(at)..].iter_mut().for_each(|entry| entry.0 += 1);
            entries.insert(place(at), (at, foreign));
        }
        Tampering::Double(at) => entries.push((at, foreign)),
        Tampering::Cut(at) => entries.truncate(place(at)),
    }
    entries
}

fn checkpoint(size: u64) -> Checkpoint {
    checkpoint_of(&leaves(size), size)
}

fn checkpoint_of(leaves: &[Hash], size: u64) -> Checkpoint {
    let root = root_of(leaves, size).expect("as many");
    Checkpoint { origin: format!("weir/{LOG}"), size, root, extensions: Vec::new() }
}

fn named(fault: Option<Fault>) -> Option<(u64, Kind)> {
    fault.map(|fault| (fault.index, fault.kind))
}

/// Copies as a SIEM holds them, made consistent again after tampering as far as that works without a key.
fn copies(entries: &[(u64, Hash)], restate: bool) -> Copies {
    let mut copies = Copies::default();
    for (index, computed) in entries {
        let (stated, previous) = if restate { (*computed, None) } else { (leaf(*index), None) };
        let previous: Option<Hash> = previous.or_else(|| index.checked_sub(1).map(leaf));
        copies.add(CopyEntry { index: *index, leaf: Some(*computed), stated, previous });
    }
    copies
}

/// A check of copies from the log's beginning on, under checkpoints that are trusted.
fn check(copies: Copies, trusted: &[Checkpoint], repeats: Repeats) -> Checked {
    copies.check(LOG, &Evidence { trusted, ..Evidence::default() }, repeats, 0)
}

/// Copies of these leaves from an index on, consistent in themselves.
fn consistent(leaves: &[Hash], from: u64) -> Copies {
    let mut copies = Copies::default();
    let mut previous = None;
    for (index, own) in (0_u64..).zip(leaves) {
        if index >= from {
            copies.add(CopyEntry { index, leaf: Some(*own), stated: *own, previous });
        }
        previous = Some(*own);
    }
    copies
}

/// The leaves of a log whose entry at an index was forged, and everything behind it made consistent again.
fn forged(count: u64, at: u64) -> Vec<Hash> {
    (0..count).map(|n| if n == at { Hash([1; 32]) } else { leaf(n) }).collect()
}

fn entries_of_log(entries: u64, first: u64) -> SomeEntries {
    SomeEntries { log: LOG.to_owned(), entries, first }
}

#[test]
fn an_untouched_log_has_no_fault() {
    for size in [1, 2, 63, 64, 65, 300] {
        let known = leaves(size);
        let mut entries = Entries::new(LOG, &known);
        for (index, leaf) in (0..size).zip(&known).collect::<Vec<_>>().into_iter().rev() {
            entries.observe(index, Observed { leaf: Some(*leaf), agrees: true });
        }
        assert_eq!((entries.count(), entries.finish()), (size, None));
        let entries: Vec<(u64, Hash)> = (0..size).map(|n| (n, leaf(n))).collect();
        let checked = check(copies(&entries, false), &[checkpoint(size)], Repeats::Allowed);
        assert_eq!(checked, Checked { entries: size, ..Checked::default() });
    }
}

#[test]
fn repeated_deliveries_are_no_fault_in_a_copy_and_one_in_an_export() {
    let entries: Vec<(u64, Hash)> = (0..9).chain(3..5).map(|n| (n, leaf(n))).collect();
    let trusted = [checkpoint(9)];
    let evidence = Evidence { trusted: &trusted, ..Evidence::default() };
    for (repeats, expected) in [(Repeats::Allowed, None), (Repeats::Refused, Some((3, Kind::Doubled)))] {
        assert_eq!(named(check(copies(&entries, false), &trusted, repeats).fault), expected);
        assert_eq!(named(copies(&entries, false).check_each(LOG, &evidence, repeats).fault), expected);
    }
}

#[test]
fn copies_that_no_trusted_checkpoint_covers_do_not_pass() {
    let whole = || consistent(&forged(9, 4), 0);
    let of = |evidence: &Evidence<'_>| whole().check(LOG, evidence, Repeats::Allowed, 0);
    let (right, forged) = ([checkpoint(9)], [checkpoint_of(&forged(9, 4), 9)]);
    assert_eq!(named(of(&Evidence::default()).fault), Some((0, Kind::Checkpoint)));
    // The log's own key is in the attacker's hands, and a witness is demanded.
    let signed = Evidence { signed: &forged, ..Evidence::default() };
    assert_eq!(named(of(&signed).fault), Some((0, Kind::Checkpoint)));
    let contradicted = Evidence { signed: &right, ..Evidence::default() };
    assert_eq!(named(of(&contradicted).fault), Some((0, Kind::Rewritten)));
    // What the chain itself shows is said first.
    let entries: Vec<(u64, Hash)> = (0..9).filter(|n| *n != 4).map(|n| (n, leaf(n))).collect();
    assert_eq!(named(check(copies(&entries, false), &[], Repeats::Allowed).fault), Some((4, Kind::Missing)));
}

#[test]
fn a_later_checkpoint_hides_no_cosigned_one() {
    let forged = forged(100, 30);
    let later = [checkpoint_of(&forged, 100), checkpoint_of(&forged, 70)];
    for trusted in [vec![checkpoint(50)], vec![checkpoint(20), checkpoint(50)]] {
        let evidence = Evidence { trusted: &trusted, signed: &later, kept: &[] };
        let checked = consistent(&forged, 0).check(LOG, &evidence, Repeats::Allowed, 0);
        let first = if trusted.len() == 2 { 20 } else { 0 };
        assert_eq!(named(checked.fault), Some((first, Kind::Rewritten)));
        assert_eq!(checked.rewritten, Some(entries_of_log(50 - first, first)));
        // Without witnesses all of them are trusted.
        let all = [trusted, later.to_vec()].concat();
        let checked = check(consistent(&forged, 0), &all, Repeats::Allowed);
        assert_eq!(named(checked.fault), Some((first, Kind::Rewritten)));
    }
    // Whoever keeps the leaves names the entry.
    let (trusted, kept) = ([checkpoint(50)], leaves(60));
    let evidence = Evidence { trusted: &trusted, signed: &later, kept: &kept };
    let checked = consistent(&forged, 0).check(LOG, &evidence, Repeats::Allowed, 0);
    assert_eq!(named(checked.fault), Some((30, Kind::Edited)));
}

#[test]
fn what_no_trusted_checkpoint_covers_is_told() {
    let (trusted, signed) = ([checkpoint(40)], [checkpoint(90)]);
    let evidence = Evidence { trusted: &trusted, signed: &signed, kept: &[] };
    let checked = consistent(&leaves(100), 0).check(LOG, &evidence, Repeats::Allowed, 0);
    assert_eq!(
        checked,
        Checked { entries: 100, uncovered: Some(entries_of_log(60, 40)), ..Checked::default() }
    );
    // An entry behind the trusted checkpoint is named with the help of the other.
    let mut edited = Copies::default();
    for (index, own) in (0..).zip(forged(100, 60)) {
        let previous = u64::checked_sub(index, 1).map(leaf);
        edited.add(CopyEntry { index, leaf: Some(own), stated: own, previous });
    }
    let checked = edited.check(LOG, &evidence, Repeats::Allowed, 0);
    assert_eq!(named(checked.fault), Some((60, Kind::Edited)));
}

#[test]
fn copies_that_begin_late_are_checked_from_there() {
    let late = |from: u64, evidence: &Evidence<'_>| {
        consistent(&leaves(9), 3).check(LOG, evidence, Repeats::Allowed, from)
    };
    let trusted = [checkpoint(8)];
    let alone = Evidence { trusted: &trusted, ..Evidence::default() };
    assert_eq!(named(late(0, &alone).fault), Some((0, Kind::Missing)));
    // Nothing is said of the entries before, and none of these is counted.
    let expected = Checked { entries: 4, unanchored: Some(entries_of_log(4, 5)), ..Checked::default() };
    assert_eq!(late(5, &alone), expected);
    assert_eq!(late(5, &Evidence::default()), expected);
    // The leaves before are known: the checkpoint holds, or it does not.
    let kept = leaves(5);
    let with_kept = Evidence { kept: &kept, ..alone };
    let expected = Checked { entries: 4, uncovered: Some(entries_of_log(1, 8)), ..Checked::default() };
    assert_eq!(late(5, &with_kept), expected);
    let unsigned = Evidence { kept: &kept, ..Evidence::default() };
    assert_eq!(named(late(5, &unsigned).fault), Some((0, Kind::Checkpoint)));
    let kept = forged(5, 2);
    let other_past = Evidence { kept: &kept, ..alone };
    assert_eq!(named(late(5, &other_past).fault), Some((0, Kind::Rewritten)));
    let rewritten = consistent(&forged(9, 6), 5).check(LOG, &with_kept, Repeats::Allowed, 5);
    assert_eq!(named(rewritten.fault), Some((0, Kind::Rewritten)));
}

#[test]
fn some_entries_are_checked_one_by_one() {
    let trusted = [checkpoint(80)];
    let alone = Evidence { trusted: &trusted, ..Evidence::default() };
    let of = |entries: &[(u64, Hash)], evidence: &Evidence<'_>| {
        copies(entries, false).check_each(LOG, evidence, Repeats::Refused)
    };
    let held: Vec<(u64, Hash)> = [90, 7, 8, 9, 30, 31].map(|n| (n, leaf(n))).to_vec();
    let checked = of(&held, &alone);
    assert_eq!(checked, Checked { entries: 6, unanchored: Some(entries_of_log(6, 7)), ..Checked::default() });
    for at in 0..held.len() {
        let mut edited = held.clone();
        edited[at].1 = Hash([1; 32]);
        assert_eq!(named(of(&edited, &alone).fault), Some((held[at].0, Kind::Edited)));
    }
    // The leaves of the others are known.
    let kept = leaves(100);
    let with_kept = Evidence { kept: &kept, ..alone };
    let checked = of(&held, &with_kept);
    assert_eq!(checked, Checked { entries: 6, uncovered: Some(entries_of_log(1, 90)), ..Checked::default() });
    let unsigned = Evidence { kept: &kept, ..Evidence::default() };
    assert_eq!(named(of(&held, &unsigned).fault), Some((0, Kind::Checkpoint)));
    let other = forged(100, 50);
    let other_past = Evidence { kept: &other, ..alone };
    assert_eq!(named(of(&held, &other_past).fault), Some((0, Kind::Rewritten)));
    // All is stated anew: the neighbour and the kept leaves tell.
    let restated = |at: u64| {
        let mut copies = Copies::default();
        for n in [7, 8, 30] {
            let own = if n == at { Hash([1; 32]) } else { leaf(n) };
            copies.add(CopyEntry { index: n, leaf: Some(own), stated: own, previous: Some(leaf(n - 1)) });
        }
        copies
    };
    let of = |at, evidence| named(restated(at).check_each(LOG, &evidence, Repeats::Refused).fault);
    assert_eq!(of(7, alone), Some((7, Kind::Edited)));
    assert_eq!((of(30, alone), of(30, with_kept)), (None, Some((30, Kind::Edited))));
}

#[test]
fn the_first_entries_are_held_against_checkpoints() {
    let of = |leaves: &[Hash], sizes: &[u64]| {
        let trusted: Vec<Checkpoint> = sizes.iter().map(|size| checkpoint(*size)).collect();
        let evidence = Evidence { trusted: &trusted, ..Evidence::default() };
        consistent(leaves, 0).check_each(LOG, &evidence, Repeats::Refused)
    };
    assert_eq!(
        of(&leaves(20), &[15, 40]),
        Checked { entries: 20, uncovered: Some(entries_of_log(5, 15)), ..Checked::default() }
    );
    assert_eq!(named(of(&forged(20, 4), &[3, 15]).fault), Some((3, Kind::Rewritten)));
    // The log has more entries, which may be other people's.
    assert_eq!(
        of(&leaves(20), &[40]),
        Checked { entries: 20, unanchored: Some(entries_of_log(20, 0)), ..Checked::default() }
    );
}

#[test]
fn a_forged_past_is_found_between_two_checkpoints() {
    let copies = consistent(&forged(90, 57), 0);
    let checked = check(copies, &[40, 57, 60, 90].map(checkpoint), Repeats::Refused);
    assert_eq!(named(checked.fault), Some((57, Kind::Rewritten)));
    assert_eq!(checked.rewritten, Some(entries_of_log(3, 57)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_tampering_is_named_against_known_leaves((size, tampering) in tampering()) {
        let known = leaves(size);
        let mut entries = Entries::new(LOG, &known);
        for (index, leaf) in tampered(size, tampering) {
            entries.observe(index, Observed { leaf: Some(leaf), agrees: true });
        }
        prop_assert_eq!(named(entries.finish()), Some(tampering.expected()));
    }

    #[test]
    fn every_tampering_is_named_in_a_copy((size, tampering) in tampering(), restate in any::<bool>()) {
        let entries = tampered(size, tampering);
        // Renumbered entries take their own words along, but for the numbers.
        let mut copies = Copies::default();
        for (index, computed) in &entries {
            let own = (0..size).find(|n| leaf(*n) == *computed);
            let words = match tampering {
                Tampering::Swap(..) => Some(*index),
                _ => own.or(Some(*index)),
            };
            let words = words.expect("set");
            let is_foreign = own.is_none();
            let stated = if is_foreign && restate { *computed } else { leaf(words) };
            let previous = words.checked_sub(1).map(leaf);
            copies.add(CopyEntry { index: *index, leaf: Some(*computed), stated, previous });
        }
        let checked = check(copies, &[checkpoint(size)], Repeats::Allowed);
        prop_assert_eq!(named(checked.fault), Some(tampering.expected()));
    }

    #[test]
    fn whatever_copies_say_a_check_ends(
        entries in prop::collection::vec((0_u64..12, 0_u64..14, 0_u64..14, 0_u64..14), 0..20),
        from in 0_u64..9,
        kept_leaves in 0_u8..7,
    ) {
        let copies = || {
            let mut copies = Copies::default();
            for (index, own, stated, previous) in &entries {
                let previous = (*previous != 13).then(|| leaf(*previous));
                // The highest index that a number can be stands among them.
                let index = if *index == 11 { u64::MAX } else { *index };
                copies.add(CopyEntry { index, leaf: Some(leaf(*own)), stated: leaf(*stated), previous });
            }
            copies
        };
        let (trusted, kept) = ([checkpoint(5)], leaves(7));
        let evidence = Evidence { trusted: &trusted, signed: &[], kept: &kept[..usize::from(kept_leaves)] };
        copies().check(LOG, &evidence, Repeats::Allowed, from);
        copies().check_each(LOG, &evidence, Repeats::Allowed);
    }
}
