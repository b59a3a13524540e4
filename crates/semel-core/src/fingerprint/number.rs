//! JSON numbers as exact decimals: compared by value, never as floats, never expanded.
//!
//! A number is ± digits × 10^exponent with neither leading nor trailing zeros in the digits, which
//! makes the form unique; `1`, `1.0` and `10e-1` share it. Digits and exponent are of any length.

/// Ends digits and exponents; no digit or sign is equal to it.
pub(super) const END: u8 = 0xff;

/// Written before a number: they say what follows it.
const ZERO: u8 = b'0';
const PLUS: u8 = b'p';
const PLUS_EXPONENT: u8 = b'P';
const MINUS: u8 = b'm';
const MINUS_EXPONENT: u8 = b'M';
const SPELLED: u8 = b'x';

/// With at most so many digits an exponent is read as an `i128`, which then has room for any
/// document's length. A longer one is greater than every document, and its sign never turns.
const SHORT_DIGITS: usize = 36;

/// A number as it stands in the document.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number<'a> {
    text: &'a [u8],
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent_negative: bool,
    exponent: &'a [u8],
}

impl<'a> Number<'a> {
    /// Reads a number (RFC 8259 §6) at the beginning of `text`, as far as it goes.
    pub(super) fn scan(text: &'a [u8]) -> Option<Self> {
        let mut number = Self::default();
        let mut rest = text;
        if let Some(behind) = rest.strip_prefix(b"-") {
            (number.negative, rest) = (true, behind);
        }
        (number.integer, rest) = digits(rest)?;
        if number.integer.len() > 1 && number.integer.first() == Some(&b'0') {
            return None;
        }
        if let Some(behind) = rest.strip_prefix(b".") {
            (number.fraction, rest) = digits(behind)?;
        }
        if let Some((b'e' | b'E', behind)) = rest.split_first() {
            rest = behind;
            if let Some((sign @ (b'+' | b'-'), behind)) = rest.split_first() {
                (number.exponent_negative, rest) = (*sign == b'-', behind);
            }
            (number.exponent, rest) = digits(rest)?;
        }
        number.text = text.get(..text.len() - rest.len())?;
        Some(number)
    }

    /// How many bytes it takes.
    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }

    /// Writes it so that two numbers are written alike only when spelled alike.
    pub(super) fn write_spelling(&self, out: &mut Vec<u8>) {
        out.push(SPELLED);
        out.extend_from_slice(self.text);
        out.push(END);
    }

    /// Writes it so that two numbers are written alike when, and only when, they are equal.
    pub(super) fn write_value(&self, out: &mut Vec<u8>) {
        let tag = out.len();
        out.push(ZERO);
        let start = out.len();
        let integer = trim_zeros(self.integer);
        out.extend_from_slice(integer);
        let fraction = if integer.is_empty() { trim_zeros(self.fraction) } else { self.fraction };
        out.extend_from_slice(fraction);
        let written = out.len() - start;
        let zeros = out.iter().skip(start).rev().take_while(|digit| **digit == b'0').count();
        out.truncate(out.len() - zeros);
        if written == zeros {
            return; // every zero is the same zero, whatever its sign and exponent
        }
        out.push(END);
        // A `usize` is at most 64 bits wide, so the casts keep the value.
        let shift = zeros as i128 - self.fraction.len() as i128;
        let with_exponent = self.write_exponent(shift, out);
        if let Some(place) = out.get_mut(tag) {
            *place = match (self.negative, with_exponent) {
                (false, false) => PLUS,
                (false, true) => PLUS_EXPONENT,
                (true, false) => MINUS,
                (true, true) => MINUS_EXPONENT,
            };
        }
    }

    /// Writes the exponent plus `shift` in decimal, unless the sum is zero: then false.
    fn write_exponent(&self, shift: i128, out: &mut Vec<u8>) -> bool {
        let digits = trim_zeros(self.exponent);
        if digits.len() <= SHORT_DIGITS {
            let size = digits.iter().fold(0_i128, |n, digit| n * 10 + i128::from(digit - b'0'));
            let sum = shift + if self.exponent_negative { -size } else { size };
            if sum != 0 {
                write_decimal(sum, out);
            }
            return sum != 0;
        }
        if self.exponent_negative {
            out.push(b'-');
        }
        let start = out.len();
        out.push(b'0'); // room for a carry
        out.extend_from_slice(digits);
        let grow = if self.exponent_negative { -shift } else { shift };
        if let Some(digits) = out.get_mut(start..) {
            add(digits, grow);
        }
        // The carry's place is empty but for 9…9; a borrow can at most clear one place more.
        let zeros = out.iter().skip(start).take_while(|digit| **digit == b'0').count();
        out.drain(start..start + zeros);
        out.push(END);
        true
    }
}

/// Adds to decimal digits, least significant last, a number that they have room for.
fn add(digits: &mut [u8], number: i128) {
    let mut carry = number;
    for digit in digits.iter_mut().rev() {
        if carry == 0 {
            return;
        }
        let sum = carry + i128::from(*digit - b'0');
        // The remainder is below ten, so the cast keeps it.
        *digit = b'0' + sum.rem_euclid(10) as u8;
        carry = sum.div_euclid(10);
    }
    assert!(carry == 0, "an exponent of over {SHORT_DIGITS} digits outgrows any document's length");
}

fn write_decimal(number: i128, out: &mut Vec<u8>) {
    let mut places = [0_u8; 40];
    let mut used = 0;
    let mut left = number.unsigned_abs();
    for place in places.iter_mut().rev() {
        // Below ten, so the cast keeps it.
        *place = b'0' + (left % 10) as u8;
        left /= 10;
        used += 1;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend(places.iter().skip(places.len() - used));
    out.push(END);
}

/// At least one digit, and what stands behind the last.
fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let run = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if run == 0 {
        return None;
    }
    text.split_at_checked(run)
}

fn trim_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> Vec<u8> {
        let number = Number::scan(text.as_bytes()).unwrap();
        assert_eq!(number.len(), text.len(), "{text}");
        let mut out = Vec::new();
        number.write_value(&mut out);
        out
    }

    #[test]
    fn spellings_of_one_number_are_equal() {
        let big = "9".repeat(40);
        let carried = format!("1{}", "0".repeat(40));
        let (border, over) = ("9".repeat(SHORT_DIGITS), format!("1{}", "0".repeat(SHORT_DIGITS)));
        for group in [
            vec!["1", "1.0", "10e-1", "1E0", "0.1e+1", "1e-0", "0.001e3", "1000e-3"],
            vec!["0", "-0", "0.0", "-0.000", "0e5", "0E-999999999999999999999999999999999999999"],
            vec!["1e999999999", "10e999999998", "0.1e1000000000"],
            vec!["-12.5", "-125e-1", "-0.0125E3"],
            vec![&format!("10e{border}"), &format!("1e{over}")],
            vec![&format!("0.1e-{border}"), &format!("1e-{over}")],
            vec![&format!("0.1e{over}"), &format!("1e{border}"), &format!("10e{}8", &border[1..])],
            vec![
                &format!("10e{big}"),
                &format!("1e{carried}"),
                &format!("0.1e1{}1", "0".repeat(39)),
            ],
            vec![&format!("1e-{big}"), &format!("0.1e-{}8", "9".repeat(39))],
            vec![&format!("0.1e-{big}"), &format!("1e-{carried}")],
        ] {
            for text in &group {
                assert_eq!(value(text), value(group[0]), "{text}");
            }
        }
    }

    #[test]
    fn different_numbers_are_different() {
        let long = "9".repeat(50);
        let texts = [
            "0",
            "1",
            "-1",
            "10",
            "0.1",
            "1e1000",
            "1e-1000",
            "-1e1000",
            "11e1000",
            "100000000000000000001",
            "100000000000000000000",
            "9007199254740993",
            "9007199254740992",
            "1e999999999",
            "1e999999998",
            &format!("1e{long}"),
            &format!("1e-{long}"),
            &format!("10e{long}"),
        ];
        for (n, one) in texts.iter().enumerate() {
            for other in &texts[n + 1..] {
                assert_ne!(value(one), value(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn malformed_numbers_are_refused() {
        for text in ["", "-", "01", "-01", ".1", "1.", "1.e1", "1e", "1e+", "+1", "00", "NaN"] {
            assert!(Number::scan(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        /// The form is that of the number: shifting the point and the exponent changes nothing.
        #[test]
        fn shifting_the_point_changes_nothing(
            digits in "[1-9][0-9]{0,30}", exponent in any::<i64>(), shift in 0_usize..60, neg: bool,
        ) {
            let sign = if neg { "-" } else { "" };
            let plain = format!("{sign}{digits}e{exponent}");
            let longer = i128::from(exponent) - shift as i128;
            let padded = format!("{sign}{digits}{}e{longer}", "0".repeat(shift));
            prop_assert_eq!(value(&plain), value(&padded));
            let longer = i128::from(exponent) + (shift + digits.len()) as i128;
            let pointed = format!("{sign}0.{}{digits}e{longer}", "0".repeat(shift));
            prop_assert_eq!(value(&plain), value(&pointed));
        }

        /// Long and short exponents are written alike: 36 digits is no border.
        #[test]
        fn long_exponents_are_exact(tail in 0_u64.., zeros in 0_usize..40, neg: bool) {
            let sign = if neg { "-" } else { "" };
            let exponent: i128 = 10_i128.pow(36) + i128::from(tail);
            let signed = if neg { -exponent } else { exponent };
            let moved = signed - zeros as i128;
            let plain = format!("7e{sign}{exponent}");
            let padded = format!("7{}e{moved}", "0".repeat(zeros));
            prop_assert_eq!(value(&plain), value(&padded));
        }
    }
}
