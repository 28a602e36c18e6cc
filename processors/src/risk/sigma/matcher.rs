//! Tests on the values of a record.

use std::{cmp::Ordering, net::IpAddr};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};
use ipnet::IpNet;
use regex::Regex;

use super::{
    fields::FieldId,
    json::Json,
    modifier::{Comparison, TimePart},
    record::{Found, Leaf, Record},
    text::Glob,
};

/// One test of a field's values, or of any value of the record.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Glob(Glob),
    Number(Comparison, Number),
    Regex(Regex),
    Cidr(IpNet),
    /// The field is absent, or null.
    Null,
    Bool(bool),
    /// The field exists, with any value.
    Exists(bool),
    /// Comparison with the value of another field.
    Reference {
        field: FieldId,
        reach: Reach,
        cased: bool,
    },
    Time(TimePart, Comparison, Number),
}

/// Part of a value that another field's value must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Whole,
    StartsWith,
    EndsWith,
    Contains,
}

impl Test {
    /// Whether the test passes for the field. A list passes if one of its elements does.
    pub(super) fn holds(&self, found: &Found<'_>, record: &Record<'_>) -> bool {
        match self {
            Self::Null => {
                found.places.is_empty() || found.leaves.iter().any(|leaf| matches!(leaf.value, Json::Null))
            }
            Self::Exists(wanted) => found.places.is_empty() != *wanted,
            Self::Reference { field, reach, cased } => {
                let others = &record.field(*field).leaves;
                let same = |leaf: &Leaf<'_>| others.iter().any(|other| refers(leaf, other, *reach, *cased));
                found.leaves.iter().any(same)
            }
            other => found.leaves.iter().any(|leaf| other.holds_of(leaf)),
        }
    }

    /// Whether the test passes for one value.
    pub(super) fn holds_of(&self, leaf: &Leaf<'_>) -> bool {
        match self {
            Self::Glob(glob) => glob.holds(leaf),
            Self::Number(comparison, wanted) => {
                Number::in_record(leaf.value).is_some_and(|number| number.compares(*comparison, wanted))
            }
            Self::Regex(regex) => leaf.text().is_some_and(|text| {
                // `$` is also the place before a line end that ends the text.
                regex.is_match(text) || text.strip_suffix('\n').is_some_and(|text| regex.is_match(text))
            }),
            Self::Cidr(net) => {
                let address = leaf.value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
                address.is_some_and(|address| net.contains(&address) || net.contains(&address.to_canonical()))
            }
            Self::Bool(wanted) => match leaf.value {
                Json::Bool(flag) => flag == wanted,
                Json::Text(text) => text.eq_ignore_ascii_case(if *wanted { "true" } else { "false" }),
                _ => false,
            },
            Self::Time(part, comparison, wanted) => {
                part_of(leaf.value, *part).is_some_and(|number| number.compares(*comparison, wanted))
            }
            Self::Null => matches!(leaf.value, Json::Null),
            Self::Exists(_) | Self::Reference { .. } => false,
        }
    }

    /// Whether a negation is meaningful: a reference to an absent field matches nothing.
    pub(super) fn can_differ(&self, record: &Record<'_>) -> bool {
        match self {
            Self::Reference { field, .. } => {
                record.field(*field).leaves.iter().any(|leaf| leaf.text().is_some())
            }
            _ => true,
        }
    }

    /// Relative cost of the test.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::Glob(glob) => glob.cost(),
            Self::Number(..) | Self::Null | Self::Bool(_) | Self::Exists(_) => 1,
            Self::Reference { .. } | Self::Cidr(_) | Self::Time(..) => 3,
            Self::Regex(_) => 4,
        }
    }
}

fn refers(leaf: &Leaf<'_>, other: &Leaf<'_>, reach: Reach, cased: bool) -> bool {
    let texts = if cased { (leaf.text(), other.text()) } else { (leaf.folded(), other.folded()) };
    let (Some(text), Some(wanted)) = texts else { return false };
    match reach {
        Reach::Whole => text == wanted,
        Reach::StartsWith => text.starts_with(wanted),
        Reach::EndsWith => text.ends_with(wanted),
        Reach::Contains => text.contains(wanted),
    }
}

/// A number; integers are compared exactly, however large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Whole(i128),
    Broken(f64),
}

impl Number {
    pub(super) fn of(number: &serde_json::Number) -> Self {
        match number.as_i128() {
            Some(whole) => Self::Whole(whole),
            None => Self::Broken(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    /// The number that a value, or its text, denotes.
    fn in_record(value: &Json<'_>) -> Option<Self> {
        match value {
            Json::Number(number) => Some(Self::of(number)),
            Json::Text(text) => {
                let digits = text.bytes().any(|byte| byte.is_ascii_digit());
                let whole = text.parse().ok().map(Self::Whole);
                let number =
                    whole.or_else(|| text.parse().ok().filter(|n: &f64| n.is_finite()).map(Self::Broken));
                number.filter(|_| digits)
            }
            _ => None,
        }
    }

    fn compares(&self, comparison: Comparison, other: &Self) -> bool {
        let order = match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => Some(one.cmp(other)),
            (one, other) => one.as_f64().partial_cmp(&other.as_f64()),
        };
        order.is_some_and(|order| match comparison {
            Comparison::Less => order == Ordering::Less,
            Comparison::LessOrEqual => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            Comparison::GreaterOrEqual => order != Ordering::Less,
            Comparison::Equal => order == Ordering::Equal,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a whole number beside a broken one is compared as one")]
    fn as_f64(&self) -> f64 {
        match self {
            Self::Whole(n) => *n as f64,
            Self::Broken(n) => *n,
        }
    }
}

/// A part of a time as written, in its own zone; of numbers of seconds (or finer units) since 1970, in
/// UTC.
fn part_of(value: &Json<'_>, part: TimePart) -> Option<Number> {
    let (date, time) = match value {
        Json::Text(text) => written(text)?,
        Json::Number(number) => {
            let time = since_1970(number.as_i64()?)?;
            (time.date(), Some(time))
        }
        _ => return None,
    };
    let number = match part {
        TimePart::Minute => time?.minute(),
        TimePart::Hour => time?.hour(),
        TimePart::Day => date.day(),
        TimePart::Week => date.iso_week().week(),
        TimePart::Month => date.month(),
        TimePart::Year => return Some(Number::Whole(date.year().into())),
    };
    Some(Number::Whole(number.into()))
}

/// Parses `2026-03-01`, optionally with a time after a `T` or a space; everything after the minutes is
/// ignored.
fn written(text: &str) -> Option<(NaiveDate, Option<NaiveDateTime>)> {
    let date = NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok()?;
    let Some(rest) = text.get(10..).filter(|rest| !rest.is_empty()) else { return Some((date, None)) };
    let clock = rest.strip_prefix(['T', 't', ' '])?.get(..5)?;
    let (hour, minute) = clock.split_once(':')?;
    Some((date, Some(date.and_hms_opt(hour.parse().ok()?, minute.parse().ok()?, 0)?)))
}

/// A time in seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by magnitude.
fn since_1970(number: i64) -> Option<NaiveDateTime> {
    let per_second = match number.unsigned_abs() {
        0..100_000_000_000 => 1,
        100_000_000_000..100_000_000_000_000 => 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        _ => 1_000_000_000,
    };
    DateTime::from_timestamp(number.div_euclid(per_second), 0).map(|time| time.naive_utc())
}
