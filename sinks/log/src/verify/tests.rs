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
    let root = root_of(&leaves(size), size).expect("as many");
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

#[test]
fn an_untouched_log_has_no_fault() {
    for size in [0, 1, 2, 63, 64, 65, 300] {
        let known = leaves(size);
        let mut check = Entries::new(LOG, &known);
        for (index, leaf) in (0..size).zip(&known).collect::<Vec<_>>().into_iter().rev() {
            check.observe(index, Observed { leaf: Some(*leaf), agrees: true });
        }
        assert_eq!((check.count(), check.finish()), (size, None));
        let entries: Vec<(u64, Hash)> = (0..size).map(|n| (n, leaf(n))).collect();
        let checked = copies(&entries, false).check(LOG, &[checkpoint(size)], (Repeats::Allowed, 0));
        assert_eq!(checked, (size, None));
    }
}

#[test]
fn repeated_deliveries_are_no_fault_in_a_copy_and_one_in_an_export() {
    let entries: Vec<(u64, Hash)> = (0..9).chain(3..5).map(|n| (n, leaf(n))).collect();
    let check = |repeats| named(copies(&entries, false).check(LOG, &[checkpoint(9)], (repeats, 0)).1);
    assert_eq!(check(Repeats::Allowed), None);
    assert_eq!(check(Repeats::Refused), Some((3, Kind::Doubled)));
}

#[test]
fn copies_that_begin_late_are_checked_from_there() {
    let entries: Vec<(u64, Hash)> = (5..9).map(|n| (n, leaf(n))).collect();
    let from = |from| named(copies(&entries, false).check(LOG, &[checkpoint(9)], (Repeats::Allowed, from)).1);
    assert_eq!(from(5), None);
    assert_eq!(from(0), Some((0, Kind::Missing)));
}

#[test]
fn a_forged_past_is_found_between_two_checkpoints() {
    let forged: Vec<Hash> = (0..90).map(|n| if n == 57 { Hash([1; 32]) } else { leaf(n) }).collect();
    let mut copies = Copies::default();
    for (index, own) in (0_u64..).zip(&forged) {
        let previous = index.checked_sub(1).map(|n| forged[usize::try_from(n).expect("small")]);
        copies.add(CopyEntry { index, leaf: Some(*own), stated: *own, previous });
    }
    let checked = copies.check(LOG, &[40, 57, 60, 90].map(checkpoint), (Repeats::Refused, 0));
    assert_eq!(named(checked.1), Some((57, Kind::Rewritten)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_tampering_is_named_against_known_leaves((size, tampering) in tampering()) {
        let known = leaves(size);
        let mut check = Entries::new(LOG, &known);
        for (index, leaf) in tampered(size, tampering) {
            check.observe(index, Observed { leaf: Some(leaf), agrees: true });
        }
        prop_assert_eq!(named(check.finish()), Some(tampering.expected()));
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
        let (_, fault) = copies.check(LOG, &[checkpoint(size)], (Repeats::Allowed, 0));
        prop_assert_eq!(named(fault), Some(tampering.expected()));
    }

    #[test]
    fn whatever_copies_say_a_check_ends(entries in prop::collection::vec((0_u64..12, 0_u64..14, 0_u64..14, 0_u64..14), 0..20)) {
        let mut copies = Copies::default();
        for (index, own, stated, previous) in entries {
            let previous = (previous != 13).then(|| leaf(previous));
            copies.add(CopyEntry { index, leaf: Some(leaf(own)), stated: leaf(stated), previous });
        }
        copies.check(LOG, &[checkpoint(5)], (Repeats::Allowed, 0));
    }
}
