//! Encoding of instants and decimals: as text in JSON, compactly in Avro.
//!
//! | | JSON | Avro |
//! |---|---|---|
//! | instant | RFC 3339 with a zone, kept to the microsecond in UTC | `timestamp-micros` |
//! | decimal | text or number, kept digit for digit | `string` |

use std::{fmt, str::FromStr};

use chrono::{DateTime, SubsecRound, Utc};
use rust_decimal::Decimal;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use serde_json::value::RawValue;

use crate::{DecimalText, Timestamp, rfc3339};

/// Digits after the point that money and quantities may have.
const MAX_DECIMAL_SCALE: u32 = 28;

/// Reads RFC 3339 with a zone and returns UTC, cut to the microsecond.
///
/// Rejects instants that UTC or Postgres cannot represent: year 0, leap seconds (`:60`), five-digit years.
pub(crate) fn parse_instant(text: &str) -> Result<Timestamp, &'static str> {
    let instant = DateTime::parse_from_rfc3339(text).map_err(|_| "is not RFC 3339 with a zone")?;
    if text.starts_with("0000") {
        return Err("has no year 0");
    }
    if text.get(17..19) == Some("60") {
        return Err("has a leap second");
    }
    Ok(instant.with_timezone(&Utc).trunc_subsecs(6))
}

/// Reads a decimal without losing a digit; an exponent is understood.
pub(crate) fn parse_decimal(text: &str) -> Result<Decimal, &'static str> {
    let plain = |b: u8| b.is_ascii_digit() || b"+-.eE".contains(&b);
    if !text.bytes().all(plain) {
        return Err("is not a decimal number");
    }
    let scientific = text.contains(['e', 'E']);
    let parsed = if scientific { Decimal::from_scientific(text) } else { Decimal::from_str_exact(text) };
    let decimal = parsed.map_err(|_| "is not a decimal number of at most 28 digits")?;
    if decimal.scale() > MAX_DECIMAL_SCALE {
        return Err("has more than 28 digits after the point");
    }
    Ok(decimal)
}

struct Instant(Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&rfc3339(self.0))
        } else {
            serializer.serialize_i64(self.0.timestamp_micros())
        }
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            parse_instant(&text).map(Self).map_err(|why| D::Error::custom(format_args!("the time {why}")))
        } else {
            let micros = i64::deserialize(deserializer)?;
            let instant = DateTime::from_timestamp_micros(micros).filter(|t| (1..=9999).contains(&year(t)));
            instant.map(Self).ok_or_else(|| D::Error::custom("the time lies outside the years 1 to 9999"))
        }
    }
}

fn year(instant: &Timestamp) -> i32 {
    chrono::Datelike::year(instant)
}

/// A decimal as text, and read from a JSON number by its digits: it never passes through a float.
struct Exact(Decimal);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(DecimalText::exact(self.0).as_str())
    }
}

/// Parses a decimal where it stands.
struct DecimalVisitor;

impl Visitor<'_> for DecimalVisitor {
    type Value = Exact;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Exact, E> {
        parse_decimal(text).map(Exact).map_err(|why| E::custom(format_args!("the amount {why}")))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return deserializer.deserialize_str(DecimalVisitor);
        }
        let json = Box::<RawValue>::deserialize(deserializer)?;
        match json.get() {
            quoted if quoted.starts_with('"') => {
                let text: String = serde_json::from_str(quoted).map_err(D::Error::custom)?;
                DecimalVisitor.visit_str(&text)
            }
            number => DecimalVisitor.visit_str(number),
        }
    }
}

/// Declares a module for `#[serde(with = "..")]`, and one for the same type made optional.
macro_rules! with_modules {
    ($($module:ident, $optional:ident: $type:ty => $wrapper:ident;)+) => { $(
        pub(crate) mod $module {
            use super::{Deserialize, Deserializer, Serialize, Serializer};

            pub(crate) fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                super::$wrapper(*value).serialize(serializer)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                super::$wrapper::deserialize(deserializer).map(|wrapped| wrapped.0)
            }
        }

        pub(crate) mod $optional {
            use super::{Deserialize, Deserializer, Serialize, Serializer};

            #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
            pub(crate) fn serialize<S: Serializer>(
                value: &Option<$type>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                value.map(super::$wrapper).serialize(serializer)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<$type>, D::Error> {
                Option::<super::$wrapper>::deserialize(deserializer).map(|wrapped| wrapped.map(|w| w.0))
            }
        }
    )+ };
}

with_modules! {
    instant, optional_instant: crate::Timestamp => Instant;
    decimal, optional_decimal: rust_decimal::Decimal => Exact;
}

/// Whether the text is a decimal number, for fields that keep the source's own digits.
pub(crate) fn is_decimal_text(text: &str) -> bool {
    parse_decimal(text).is_ok() || f64::from_str(text).is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instant_text::rfc3339_micros;

    #[test]
    fn instants_need_a_zone_and_a_place_in_utc() {
        for (text, utc) in [
            ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59.000000Z"),
            ("2024-01-01T00:00:00.123456789+14:00", "2023-12-31T10:00:00.123456Z"),
            ("1969-12-31T23:59:59-00:00", "1969-12-31T23:59:59.000000Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(parse_instant(text).map(rfc3339_micros).as_deref(), Ok(utc), "{text}");
        }
        for text in [
            "2024-01-01T00:00:00",
            "2024-01-01",
            "0000-01-01T00:00:00Z",
            "294277-01-01T00:00:00Z",
            "+294277-01-01T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "2023-02-29T00:00:00Z",
            "1700000000",
            "",
        ] {
            assert!(parse_instant(text).is_err(), "{text}");
        }
    }

    #[test]
    fn decimals_keep_every_digit() {
        for text in ["20.52022672899", "-1", "0", "-9223372036854775808", "9223372036854775807", "1.50"] {
            assert_eq!(parse_decimal(text).map(|d| d.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(parse_decimal("1.5e3").map(|d| d.normalize().to_string()).as_deref(), Ok("1500"));
        for text in ["1e-29", "1e400", "US$", "1_000", "", "NaN", "0x10", "1,5", &"9".repeat(30)] {
            assert!(parse_decimal(text).is_err(), "{text}");
        }
    }
}
