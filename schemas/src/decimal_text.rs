//! Decimals as text, without an allocation: charges have half a dozen each.

use std::fmt::Write as _;

use rust_decimal::Decimal;

/// Longest text: a sign, 29 digits, a point, and a zero before it.
const LONGEST: usize = 32;

/// A decimal as [`Decimal`] prints it.
#[derive(Debug, Clone, Copy)]
pub struct DecimalText {
    bytes: [u8; LONGEST],
    begin: usize,
}

impl DecimalText {
    /// With all of its decimal places.
    pub fn exact(decimal: Decimal) -> Self {
        match u64::try_from(decimal.mantissa().unsigned_abs()) {
            Ok(digits) if digits > 0 => Self::of_digits(digits, decimal.scale(), decimal.is_sign_negative()),
            _ => Self::printed(decimal),
        }
    }

    /// Without zeros at the end of its decimal places.
    pub fn normal(decimal: Decimal) -> Self {
        let Ok(mut digits) = u64::try_from(decimal.mantissa().unsigned_abs()) else {
            return Self::printed(decimal.normalize());
        };
        let mut scale = decimal.scale();
        while scale > 0 && digits.is_multiple_of(10) && digits > 0 {
            (digits, scale) = (digits / 10, scale - 1);
        }
        if digits == 0 {
            return Self::printed(Decimal::ZERO);
        }
        Self::of_digits(digits, scale, decimal.is_sign_negative())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.begin..]).expect("it is ASCII")
    }

    fn of_digits(mut digits: u64, scale: u32, is_negative: bool) -> Self {
        let mut text = Self { bytes: [0; LONGEST], begin: LONGEST };
        let mut places = 0;
        while digits > 0 || places <= scale {
            if places == scale && scale > 0 {
                text.put(b'.');
            }
            // The last digit first.
            text.put(b'0' + (digits % 10).to_le_bytes()[0]);
            (digits, places) = (digits / 10, places + 1);
        }
        if is_negative {
            text.put(b'-');
        }
        text
    }

    /// The library takes a number of 96 bits apart digit by digit.
    fn printed(decimal: Decimal) -> Self {
        let mut front = Front { bytes: [0; LONGEST], end: 0 };
        write!(front, "{decimal}").expect("no decimal is longer");
        let Front { mut bytes, end } = front;
        bytes.rotate_right(LONGEST - end);
        Self { bytes, begin: LONGEST - end }
    }

    fn put(&mut self, byte: u8) {
        self.begin -= 1;
        self.bytes[self.begin] = byte;
    }
}

/// Text that grows from the front.
struct Front {
    bytes: [u8; LONGEST],
    end: usize,
}

impl std::fmt::Write for Front {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.end..self.end + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.end += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(decimal: Decimal) {
        assert_eq!(DecimalText::exact(decimal).as_str(), decimal.to_string());
        assert_eq!(DecimalText::normal(decimal).as_str(), decimal.normalize().to_string());
    }

    #[test]
    fn decimals_are_written_as_the_library_prints_them() {
        for text in [
            "0",
            "0.00",
            "-0.0",
            "7",
            "-7",
            "100",
            "0.7",
            "-0.07",
            "1.50",
            "-0.050",
            "0.1234567890",
            "18446744073709551615",
            "18446744073709551616",
            "-1844674407370955161.5",
            "-79228162514264337593543950335",
            "0.0000000000000000000000000001",
            "-7.9228162514264337593543950335",
        ] {
            check(Decimal::from_str_exact(text).expect("a decimal"));
        }
    }

    proptest! {
        #[test]
        fn any_decimal_is(digits: i64, scale in 0_u32..=28) {
            check(Decimal::new(digits, scale));
        }
    }
}
