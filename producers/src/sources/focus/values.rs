//! Parses values of cells: exact decimals, timestamps in the forms of the exports, tags.

use std::collections::BTreeMap;

use chrono::{Datelike as _, Months, NaiveDate};
use rust_decimal::Decimal;
use schemas::Timestamp;
use serde_json::Value;

use super::{charge::BadRow, columns::Cell};
use crate::sources::mapped::parse_time;

/// Maximum number of decimal places.
const MAX_SCALE: u32 = 28;
/// Doubles from here on have no decimal places: what is rounded away would not be noise.
const WHOLE: f64 = 9_007_199_254_740_992.0;
/// Most significant digits of a double's text.
const DOUBLE_DIGITS: usize = 17;

/// A decimal number, digit for digit; exponents are accepted. Ambiguous numbers such as `1,5` are rejected. Of a number that
/// its issuer holds as a double the noise beyond 28 decimal places is rounded, as in Parquet.
pub(super) fn decimal(cell: Cell<'_>) -> Result<Decimal, BadRow> {
    parse_rounded(cell.text).map_err(|why| BadRow::new(cell.column, why))
}

fn parse_decimal(text: &str) -> Result<Decimal, &'static str> {
    let plain = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(plain) {
        return Err(if text.contains(',') {
            "is not a decimal number: use a decimal point and no thousands separators"
        } else {
            "is not a decimal number"
        });
    }
    let scientific = text.contains(['e', 'E']);
    let parsed = if scientific { Decimal::from_scientific(text) } else { Decimal::from_str_exact(text) };
    parsed.map_err(|_| "is not a decimal number of at most 28 digits")
}

fn parse_rounded(text: &str) -> Result<Decimal, &'static str> {
    parse_decimal(text).or_else(|why| {
        let is_double = significant_digits(text) <= DOUBLE_DIGITS;
        let number = text.parse::<f64>().ok().filter(|number| is_double && number.abs() < WHOLE);
        number.and_then(|number| parse_decimal(&of_double(number)).ok()).ok_or(why)
    })
}

fn significant_digits(text: &str) -> usize {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').len()
}

/// The decimal of a binary floating-point number: its shortest digits, to 28 decimal places.
pub(super) fn of_double(number: f64) -> String {
    let text = format!("{number:?}");
    if !number.is_finite() || parse_decimal(&text).is_ok() {
        return text;
    }
    // What lies beyond is noise of the binary form; a number that is too large stays as it is and is refused by name.
    Decimal::from_f64_retain(number)
        .map_or(text, |decimal| decimal.round_dp(MAX_SCALE).normalize().to_string())
}

/// A timestamp: RFC 3339 and similar forms, a date, or a month; UTC without a zone.
pub(super) fn instant(cell: Cell<'_>) -> Result<Timestamp, BadRow> {
    parse_instant(cell.text)
        .ok_or_else(|| BadRow::new(cell.column, "is not a date or time from the year 2000 on"))
}

pub(super) fn parse_instant(text: &str) -> Option<Timestamp> {
    instant_to_the_second(text).or_else(|| date(text).and_then(midnight)).or_else(|| parse_time(text))
}

/// `2024-09-18T00:00:00Z`, the form of FOCUS: a bill has several in each row.
fn instant_to_the_second(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if marks.iter().any(|(place, mark)| bytes[*place] != *mark) {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0_u32, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
        })
    };
    let year = number(0, 4).and_then(|year| i32::try_from(year).ok()).filter(|year| *year >= 2000)?;
    let date = NaiveDate::from_ymd_opt(year, number(5, 7)?, number(8, 10)?)?;
    Some(date.and_hms_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?)?.and_utc())
}

fn midnight(date: NaiveDate) -> Option<Timestamp> {
    (2000..=9999)
        .contains(&date.year())
        .then(|| date.and_hms_opt(0, 0, 0).map(|time| time.and_utc()))
        .flatten()
}

/// A date without a time: `2024-09-18`, `20240918`, `09/18/2024` (month first, as Azure writes it), a month `202409`.
fn date(text: &str) -> Option<NaiveDate> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match (digits, text.len()) {
        (true, 8) => NaiveDate::parse_from_str(text, "%Y%m%d").ok(),
        (true, 6) => NaiveDate::parse_from_str(&format!("{text}01"), "%Y%m%d").ok(),
        (true, _) => None,
        _ => ["%Y-%m-%d", "%m/%d/%Y", "%Y/%m/%d"]
            .iter()
            .find_map(|format| NaiveDate::parse_from_str(text, format).ok()),
    }
}

/// The first instant of the next month.
pub(super) fn month_after(instant: Timestamp) -> Option<Timestamp> {
    instant.date_naive().with_day(1)?.checked_add_months(Months::new(1)).and_then(midnight)
}

/// Tags as exports write them: a JSON object, its members without braces, or a list of `{"key", "value"}`.
pub(super) fn tags(text: &str) -> Option<BTreeMap<String, String>> {
    if let Ok(tags) = serde_json::from_str(text) {
        return Some(tags);
    }
    let braced = || serde_json::from_str::<Value>(&format!("{{{text}}}")).ok();
    let value = serde_json::from_str::<Value>(text).ok().or_else(braced)?;
    match value {
        Value::Object(members) => {
            Some(members.into_iter().map(|(key, value)| (key, text_of(value))).collect())
        }
        Value::Array(pairs) => pairs.into_iter().map(pair).collect(),
        _ => None,
    }
}

fn pair(value: Value) -> Option<(String, String)> {
    let Value::Object(mut members) = value else { return None };
    let key = members.remove("key")?;
    Some((text_of(key), members.remove("value").map(text_of).unwrap_or_default()))
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The sum of the members `amount` of a JSON list, as Google writes it, by their digits.
pub(super) fn sum_of_amounts(cell: Cell<'_>) -> Result<Decimal, BadRow> {
    #[derive(serde::Deserialize)]
    struct Credit {
        amount: Box<serde_json::value::RawValue>,
    }
    let credits: Vec<Credit> = serde_json::from_str(cell.text)
        .map_err(|_| BadRow::new(cell.column, "is not a JSON list of credits"))?;
    credits.iter().try_fold(Decimal::ZERO, |sum, credit| {
        let amount = parse_rounded(credit.amount.get().trim_matches('"'));
        let amount = amount.map_err(|why| BadRow::new(cell.column, why))?;
        sum.checked_add(amount).ok_or_else(|| BadRow::new(cell.column, "adds up to too much"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_of_doubles_is_rounded_as_in_parquet() {
        for text in ["1.7763568394002505e-15", "-4.440892098500626e-16", "1e-40"] {
            let number: f64 = text.parse().expect("a number");
            assert!(parse_decimal(text).is_err(), "{text}");
            assert_eq!(parse_rounded(text), parse_decimal(&of_double(number)), "{text}");
            assert!(parse_rounded(text).is_ok(), "{text}");
        }
        assert_eq!(parse_rounded("0.00001605990"), parse_decimal("0.00001605990"));
        for text in
            ["NaN", "inf", "1,5", "", "1e40", "12345678901234567890123456789.5", "0.123456789012345678e-15"]
        {
            assert_eq!(parse_rounded(text), parse_decimal(text), "{text}");
            assert!(parse_rounded(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_without_seconds_are_read() {
        let expected = parse_instant("2024-09-01T05:30:00Z");
        assert!(expected.is_some());
        for text in [
            "2024-09-01T05:30Z",
            "2024-09-01 05:30Z",
            "2024-09-01 05:30 UTC",
            "2024-09-01T05:30",
            "2024-09-01 05:30",
            "2024-09-01T07:30+02:00",
            "2024-09-01 07:30 +0200",
            "2024-09-01 07:30+02:00",
        ] {
            assert_eq!(parse_instant(text), expected, "{text}");
        }
        for text in ["2024-09-01T24:00Z", "2024-09-01T05Z", "2024-02-30T05:30Z", "1999-12-31T23:59Z"] {
            assert_eq!(parse_instant(text), None, "{text}");
        }
    }

    #[test]
    fn the_form_of_focus_is_read_as_every_other_form() {
        for text in
            ["2024-09-18T00:00:00Z", "2000-01-01T23:59:59Z", "2024-02-29T12:30:01Z", "9999-12-31T23:59:59Z"]
        {
            assert_eq!(instant_to_the_second(text), parse_time(text), "{text}");
            assert!(instant_to_the_second(text).is_some(), "{text}");
        }
        for text in [
            "2023-02-29T00:00:00Z",
            "1999-12-31T23:59:59Z",
            "2024-09-18T24:00:00Z",
            "2024-09-18T00:00:60Z",
            "2024-09-18 00:00:00Z",
            "2024-09-18T00:00:00+",
            "2024-09-1 T00:00:00Z",
            "+024-09-18T00:00:00Z",
            "2024-09-18",
            "",
        ] {
            assert_eq!(instant_to_the_second(text), None, "{text}");
        }
    }
}
