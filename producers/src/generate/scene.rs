//! Context of one call: account, service and resources; fills them into templates.

use std::fmt::Write as _;

use chrono::TimeDelta;
use schemas::Timestamp;

use super::{
    dice::Dice,
    organisation::{Account, Identity},
};

const UPPER: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Values of a template's placeholders. A resource's name is drawn once, so that it is the same everywhere.
pub(super) struct Scene<'o> {
    pub(super) account: &'o Account,
    pub(super) identity: &'o Identity,
    pub(super) at: Timestamp,
    service: &'o str,
    thing: usize,
    instance: &'o str,
    hex: String,
}

impl<'o> Scene<'o> {
    pub(super) fn new(account: &'o Account, identity: &'o Identity, at: Timestamp, dice: &mut Dice) -> Self {
        let thing = dice.index(account.buckets.len());
        let service = account.tables[thing].trim_end_matches("-state");
        let mut hex = String::with_capacity(32);
        dice.hex(32, &mut hex);
        Self { account, identity, at, service, thing, instance: dice.pick(&account.instances).as_str(), hex }
    }

    /// Appends a template with its placeholders filled in.
    pub(super) fn fill(&self, template: &str, dice: &mut Dice, out: &mut String) {
        let mut rest = template;
        while let Some((plain, after)) = rest.split_once('<') {
            out.push_str(plain);
            let (name, after) = after.split_once('>').expect("a template closes its names");
            self.value(name, dice, out);
            rest = after;
        }
        out.push_str(rest);
    }

    fn value(&self, name: &str, dice: &mut Dice, out: &mut String) {
        let account = self.account;
        match name {
            "account" => out.push_str(&account.id),
            "region" => out.push_str(account.region),
            "service" => out.push_str(self.service),
            "person" => out.push_str(&self.identity.login),
            "bucket" => out.push_str(&account.buckets[self.thing]),
            "secret" => out.push_str(&account.secrets[self.thing]),
            "database" => out.push_str(&account.databases[self.thing]),
            "table" => out.push_str(&account.tables[self.thing]),
            "key" => out.push_str(&account.keys[self.thing % account.keys.len()]),
            "instance" => out.push_str(self.instance),
            "hex8" => out.push_str(&self.hex[..8]),
            "hex16" => out.push_str(&self.hex[8..24]),
            "hex17" => out.push_str(&self.hex[8..25]),
            "hex32" => out.push_str(&self.hex),
            "upper16" => dice.letters(16, UPPER, out),
            "upper17" => dice.letters(17, UPPER, out),
            "uuid" => dice.uuid(out),
            "token76" => dice.base64(76, out),
            "token356" => dice.base64(356, out),
            "object" => {
                push_date(self.at, '/', out);
                for part in ["/", self.service, "/part-", &self.hex[..16], ".parquet"] {
                    out.push_str(part);
                }
            }
            "n" => write!(out, "{}", 1 + self.thing * 17).expect("writing to a string does not fail"),
            "day" => push_date(self.at, '/', out),
            "later" => push_time(self.at + TimeDelta::hours(1), out),
            "hidden" => out.push_str("HIDDEN_DUE_TO_SECURITY_REASONS"),
            unknown => panic!("no template has a name {unknown:?}"),
        }
    }
}

/// Appends `2026-03-04T05:06:07Z`, without a format string.
pub(super) fn push_time(at: Timestamp, out: &mut String) {
    use chrono::Timelike as _;
    push_date(at, '-', out);
    for (before, part) in [('T', at.hour()), (':', at.minute()), (':', at.second())] {
        out.push(before);
        push_two(part, out);
    }
    out.push('Z');
}

fn push_date(at: Timestamp, between: char, out: &mut String) {
    use chrono::Datelike as _;
    let year = at.year().unsigned_abs();
    push_two(year / 100, out);
    push_two(year, out);
    for part in [at.month(), at.day()] {
        out.push(between);
        push_two(part, out);
    }
}

fn push_two(part: u32, out: &mut String) {
    for digit in [part / 10 % 10, part % 10] {
        out.push(char::from(b"0123456789"[digit as usize]));
    }
}
