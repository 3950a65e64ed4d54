use crate::decimal::{signed, times_power, Decimal, Error, Result};
use core::fmt;

/// Longest text of a number: a sign, 21 digits, a point, 18 digits.
pub const TEXT_MAX: usize = 41;

/// How many digits a text begins with.
fn digits(b: &[u8]) -> usize {
    b.iter().take_while(|c| c.is_ascii_digit()).count()
}

/// Reads an exponent behind its e; what is larger than any text can need is cut.
fn parse_exponent(b: &[u8]) -> Result<i64> {
    let signs = matches!(b.first(), Some(b'-' | b'+')) as usize;
    if b.len() == signs || digits(&b[signs..]) != b.len() - signs {
        return Err(Error::Syntax);
    }
    let n = b[signs..].iter().fold(0i64, |n, c| (n * 10 + (c - b'0') as i64).min(1 << 40));
    Ok(if b[0] == b'-' { -n } else { n })
}

impl Decimal {
    /// Reads "12", "-0.5", "1.25e-3"; nothing else, above all no plus sign, space or bare point. The value is exact, or
    /// the error is syntax, too precise or overflow.
    pub fn parse(text: &str) -> Result<Decimal> {
        let negative = text.starts_with('-');
        let b = &text.as_bytes()[negative as usize..];
        let point = digits(b);
        let mut end = point;
        if point == 0 {
            return Err(Error::Syntax);
        }
        if b.get(end) == Some(&b'.') {
            let fraction = digits(&b[end + 1..]);
            if fraction == 0 {
                return Err(Error::Syntax);
            }
            end += 1 + fraction;
        }
        let mut exponent = match b.get(end) {
            None => 0,
            Some(b'e' | b'E') => parse_exponent(&b[end + 1..])?,
            Some(_) => return Err(Error::Syntax),
        };
        exponent -= end.saturating_sub(point + 1) as i64;
        // Zeros at both ends do not count.
        let mut start = 0;
        while end > start && matches!(b[end - 1], b'0' | b'.') {
            end -= 1;
            exponent += (end != point) as i64;
        }
        while start < end && matches!(b[start], b'0' | b'.') {
            start += 1;
        }
        let count = (end - start - (start < point && point < end) as usize) as i64;
        let shift = exponent + 18;
        if count == 0 {
            return Ok(Decimal::ZERO);
        }
        if shift < 0 {
            return Err(Error::TooPrecise);
        }
        if count + shift > 39 {
            return Err(Error::Overflow); // 2^127 has 39 digits
        }
        let mut n: u128 = 0;
        for c in b[start..end].iter().filter(|c| **c != b'.') {
            n = times_power(n, 1).and_then(|n| n.checked_add((c - b'0') as u128)).ok_or(Error::Overflow)?;
        }
        signed(negative, times_power(n, shift as usize).ok_or(Error::Overflow)?)
    }

    /// Writes the text with at least scale decimal places, 0 to 18 (0: the shortest), and returns it. Places that count
    /// are never dropped.
    pub fn format(self, scale: usize, buffer: &mut [u8; TEXT_MAX]) -> &str {
        let mut magnitude = self.0.unsigned_abs();
        let mut reversed = [b'0'; 40];
        let mut n = 0; // from the least significant on
        while n < 19 || magnitude != 0 {
            reversed[n] = b'0' + (magnitude % 10) as u8;
            magnitude /= 10;
            n += 1;
        }
        let zeros = reversed[..18].iter().take_while(|c| **c == b'0').count().min(18usize.saturating_sub(scale));
        let mut at = 0;
        let mut put = |c| {
            buffer[at] = c;
            at += 1;
        };
        if self.0 < 0 {
            put(b'-');
        }
        while n > zeros {
            if n == 18 {
                put(b'.');
            }
            n -= 1;
            put(reversed[n]);
        }
        core::str::from_utf8(&buffer[..at]).unwrap_or("")
    }
}

/// The shortest text; with a precision, as in `{:.2}`, at least so many decimal places.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.format(f.precision().unwrap_or(0), &mut [0; TEXT_MAX]))
    }
}
