//! Amounts with as many digits as it takes: a sum never rounds.

use std::{
    cmp::Ordering,
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub},
    str::FromStr,
};

use num_bigint::{BigInt, Sign};
use rust_decimal::Decimal;

/// Most digits of an amount's text. A charge has at most 28 on each side of the point, and no sum of charges as many more.
const MAX_DIGITS: usize = 1_000;

/// The text is no decimal number, or one of more than 1,000 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no decimal number of at most {MAX_DIGITS} digits")]
pub struct NotAnAmount;

/// A decimal number of any length. Numbers are compared by value, and shown without zeros at the end.
#[derive(Debug, Clone, Default)]
pub struct Amount {
    units: BigInt,
    /// Digits after the point.
    scale: u32,
}

impl Amount {
    pub(super) const fn of_units(units: BigInt, scale: u32) -> Self {
        Self { units, scale }
    }

    /// Digits after the point.
    pub(super) const fn scale(&self) -> u32 {
        self.scale
    }

    /// The units at a scale that is at least its own.
    pub(super) fn units_at(&self, scale: u32) -> BigInt {
        &self.units * power_of_ten(scale.saturating_sub(self.scale))
    }

    /// The same without zeros at the end.
    pub(super) fn normalized(mut self) -> Self {
        let ten = BigInt::from(10_u8);
        while self.scale > 0 && (&self.units % &ten).sign() == Sign::NoSign {
            self.units /= &ten;
            self.scale -= 1;
        }
        self
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        Self { units: &self.units * &other.units, scale: self.scale + other.scale }
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.units.sign() == Sign::NoSign
    }

    pub(super) fn is_negative(&self) -> bool {
        self.units.sign() == Sign::Minus
    }
}

fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10_u8).pow(exponent)
}

impl From<Decimal> for Amount {
    fn from(decimal: Decimal) -> Self {
        Self { units: BigInt::from(decimal.mantissa()), scale: decimal.scale() }
    }
}

impl FromStr for Amount {
    type Err = NotAnAmount;

    /// Digits with an optional minus and point, as Postgres writes a number.
    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        let (whole, places) = text.split_once('.').unwrap_or((text, ""));
        let unsigned = whole.strip_prefix('-').unwrap_or(whole);
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if unsigned.is_empty()
            || !is_number(unsigned)
            || !is_number(places)
            || unsigned.len() + places.len() > MAX_DIGITS
        {
            return Err(NotAnAmount);
        }
        let units = format!("{whole}{places}").parse().map_err(|_| NotAnAmount)?;
        Ok(Self { units, scale: u32::try_from(places.len()).map_err(|_| NotAnAmount)? })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { units, scale } = self.clone().normalized();
        let places = usize::try_from(scale).unwrap_or(usize::MAX);
        let digits = format!("{:0>width$}", units.magnitude(), width = places.saturating_add(1));
        let (whole, places) = digits.split_at(digits.len().saturating_sub(places));
        let sign = if units.sign() == Sign::Minus { "-" } else { "" };
        let point = if places.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{places}")
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.units_at(scale).cmp(&other.units_at(scale))
    }
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Amount {}

impl AddAssign<&Amount> for Amount {
    fn add_assign(&mut self, other: &Self) {
        if self.scale < other.scale {
            self.units = self.units_at(other.scale);
            self.scale = other.scale;
        }
        self.units += other.units_at(self.scale);
    }
}

impl Add<&Amount> for Amount {
    type Output = Self;

    fn add(mut self, other: &Self) -> Self {
        self += other;
        self
    }
}

impl Neg for Amount {
    type Output = Self;

    fn neg(self) -> Self {
        Self { units: -self.units, scale: self.scale }
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + &-other
    }
}

impl<'a> Sum<&'a Amount> for Amount {
    fn sum<I: Iterator<Item = &'a Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |sum, amount| sum + amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().expect("an amount")
    }

    #[test]
    fn texts_are_read_and_written_to_the_last_digit() {
        for (text, shown) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("1.50", "1.5"),
            ("-0.05", "-0.05"),
            ("100", "100"),
            ("123.4500000000000017763568394002505", "123.4500000000000017763568394002505"),
            ("-79228162514264337593543950335.1", "-79228162514264337593543950335.1"),
        ] {
            assert_eq!(amount(text).to_string(), shown, "{text}");
        }
        let long = "9".repeat(MAX_DIGITS + 1);
        for text in ["", "-", ".5", "1e3", "+1", "1_0", "1.2.3", "NaN", long.as_str()] {
            assert_eq!(text.parse::<Amount>(), Err(NotAnAmount), "{text}");
        }
        assert_eq!(Amount::from(Decimal::new(-150, 2)), amount("-1.5"));
    }

    #[test]
    fn sums_and_comparisons_are_by_value() {
        assert_eq!(amount("1.50"), amount("1.5"));
        assert!(amount("-2") < amount("-1.99") && amount("0.1") > amount("0.0999999"));
        let sum = amount("123.45") + &amount("0.0000000000000017763568394003");
        assert_eq!(sum.to_string(), "123.4500000000000017763568394003");
        assert_eq!(sum.clone() - amount("123.45"), amount("0.0000000000000017763568394003"));
        assert!((sum.clone() - sum).is_zero());
        let all = [amount("1"), amount("-0.4"), amount("0.15")];
        assert_eq!(all.iter().sum::<Amount>(), amount("0.75"));
        assert_eq!(amount("-1.5").times(&amount("0.2")), amount("-0.3"));
    }
}
