use crate::wide::{against_half, count, divide_unit, divide_words, high, times, Rest, Sum, POWERS, UNIT};

/// What can go wrong with a number, and with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The result lies outside the range. As an event's error: the reason `overflow`.
    Overflow,
    /// The divisor is 0, or a count is not above 0. The reason `division_by_zero`.
    DivisionByZero,
    /// Mode none, and the result has more than 18 decimal places. The reason `inexact`.
    Inexact,
    /// A scale that is not -20 to 18.
    InvalidRounding,
    /// A text that is not a number.
    Syntax,
    /// A text with a digit other than 0 behind the 18th decimal place.
    TooPrecise,
    /// What [`crate::reject`] made: the event is rejected with its reason and detail.
    Rejected,
}

impl Error {
    /// What is wrong, for people.
    pub fn text(self) -> &'static str {
        match self {
            Error::Overflow => "overflow: beyond ±170141183460469231731.687303715884105727",
            Error::DivisionByZero => "division by zero",
            Error::Inexact => "inexact: the result has more than 18 decimal places and no rounding is named",
            Error::InvalidRounding => "invalid rounding: scale must be -20 to 18, mode one of none, half_up, half_even, floor, ceiling",
            Error::Syntax => "invalid syntax",
            Error::TooPrecise => "more than 18 decimal places",
            Error::Rejected => "rejected",
        }
    }
}

/// The result of an operation, and of an event.
pub type Result<T> = core::result::Result<T, Error>;

/// Where a number goes that lies between two representable ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Keep every digit; a result that has too many is [`Error::Inexact`].
    None,
    /// To the nearest; a tie goes away from zero.
    HalfUp,
    /// To the nearest; a tie goes to the even neighbour.
    HalfEven,
    /// Towards minus infinity.
    Floor,
    /// Towards plus infinity.
    Ceiling,
}

impl Mode {
    /// The names of the modes, as parameters have them, in the order of [`Mode::of`].
    pub const NAMES: [&'static str; 5] = ["none", "half_up", "half_even", "floor", "ceiling"];

    /// The mode at a place of [`Mode::NAMES`]; none for any other.
    pub fn of(index: usize) -> Mode {
        [Mode::None, Mode::HalfUp, Mode::HalfEven, Mode::Floor, Mode::Ceiling].get(index).copied().unwrap_or(Mode::None)
    }

    /// 1 where rounding moves the kept digits one away from zero, else 0: a bit for each answer, since a branch costs
    /// more. From the lowest up, each mode has four bits for what is dropped, of even and odd numbers, above and below
    /// zero. Nothing dropped is a 0 everywhere, so it does not matter where mode none looks.
    #[inline]
    pub(crate) fn grows(self, negative: bool, odd: bool, dropped: Rest) -> u64 {
        const CEILING: u64 = 0x00ee;
        const FLOOR: u64 = 0xee00;
        const HALF_EVEN: u64 = 0xc8c8;
        const HALF_UP: u64 = 0xcccc;
        let answers = CEILING << 48 | FLOOR << 32 | HALF_EVEN << 16 | HALF_UP;
        let place = dropped as u64 | (odd as u64) << 2 | (negative as u64) << 3;
        answers >> ((self as u64).wrapping_sub(Mode::HalfUp as u64) * 16 & 63) >> place & 1
    }
}

/// A rounding: how many decimal places are kept, -20 to 18, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounding {
    /// Decimal places kept: 2 keeps cents, -2 whole hundreds. It means nothing in mode none.
    pub scale: i32,
    /// Which way.
    pub mode: Mode,
}

/// The rounding of results that no parameter rounds: to the 18 decimal places there are, ties away from zero.
pub const EXACT: Rounding = Rounding { scale: 18, mode: Mode::HalfUp };

impl Rounding {
    pub(crate) fn check(self) -> Result<()> {
        if self.scale < -20 || self.scale > 18 {
            return Err(Error::InvalidRounding);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn places(self) -> i32 {
        if self.mode == Mode::None {
            18
        } else {
            self.scale
        }
    }
}

/// A number: 128 bits, counted in units of 10^-18. It reaches from about -1.7e20 to 1.7e20 and never loses a digit
/// inside that range. Quantities and amounts are such numbers. Products and quotients are rounded once, from the exact
/// result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Decimal(pub(crate) i128);

impl Decimal {
    /// 0.
    pub const ZERO: Decimal = Decimal(0);
    /// 1.
    pub const ONE: Decimal = Decimal(UNIT as i128);
    /// The largest number.
    pub const MAX: Decimal = Decimal(i128::MAX);
    /// The smallest number; it has no opposite.
    pub const MIN: Decimal = Decimal(i128::MIN);

    /// The decimal of a whole number.
    pub const fn from_int(n: i64) -> Decimal {
        Decimal(n as i128 * UNIT as i128)
    }

    /// The decimal of so many units of 10^-18.
    pub const fn from_units(units: i128) -> Decimal {
        Decimal(units)
    }

    /// How many units of 10^-18 it is.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// Whether it is 0.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is below 0.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is above 0.
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The sum.
    #[inline]
    #[allow(clippy::should_implement_trait)] // those cannot fail
    pub fn add(self, other: Decimal) -> Result<Decimal> {
        self.0.checked_add(other.0).map(Decimal).ok_or(Error::Overflow)
    }

    /// The difference.
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn sub(self, other: Decimal) -> Result<Decimal> {
        self.0.checked_sub(other.0).map(Decimal).ok_or(Error::Overflow)
    }

    /// The opposite.
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn neg(self) -> Result<Decimal> {
        self.0.checked_neg().map(Decimal).ok_or(Error::Overflow)
    }

    /// The number without its sign.
    pub fn abs(self) -> Result<Decimal> {
        self.0.checked_abs().map(Decimal).ok_or(Error::Overflow)
    }

    /// The product, rounded. Fuel is taken for the longest way through a function, so what lies beyond 64 bits is in
    /// functions of its own, here and below.
    #[allow(clippy::should_implement_trait)]
    #[inline(never)]
    pub fn mul(self, other: Decimal, r: Rounding) -> Result<Decimal> {
        r.check()?;
        let (a, b) = (self.0.unsigned_abs(), other.0.unsigned_abs());
        let (a0, b0) = (a as u64, b as u64);
        let hi = high(a0, b0);
        if (a | b) >> 64 != 0 || hi >= UNIT || r.mode == Mode::None || r.scale < 0 {
            return self.mul_wide(other, r);
        }
        let (quotient, remainder) = divide_unit(hi, a0.wrapping_mul(b0));
        Ok(finish_word(quotient, Rest::Nothing.behind(remainder, UNIT), (self.0 < 0) != (other.0 < 0), r))
    }

    #[inline(never)]
    fn mul_wide(self, other: Decimal, r: Rounding) -> Result<Decimal> {
        let negative = (self.0 < 0) != (other.0 < 0);
        let p = times(self.0.unsigned_abs(), other.0.unsigned_abs());
        if p.0[3] == 0 && p.0[2] < UNIT {
            // The quotient by the surplus scale has two words.
            let (hi, lo, remainder) = divide_words(p.0[2], p.0[1], p.0[0], 18);
            return finish_words(hi, lo, Rest::Nothing.behind(remainder, UNIT), negative, r);
        }
        finish(p, 36, Rest::Nothing, negative, r)
    }

    /// The quotient, rounded.
    #[inline(never)]
    pub fn quo(self, other: Decimal, r: Rounding) -> Result<Decimal> {
        r.check()?;
        if other.is_zero() {
            return Err(Error::DivisionByZero);
        }
        if r.mode == Mode::None || r.scale < 0 {
            return self.quo_wide(other, r);
        }
        let digits = POWERS[r.scale as usize].value;
        let (n, d) = match ratio(self.0.unsigned_abs(), other.0.unsigned_abs()) {
            Some(words) if high(words.0, digits) == 0 => words,
            _ => return self.quo_wide(other, r),
        };
        let n = n.wrapping_mul(digits);
        let negative = (self.0 < 0) != (other.0 < 0);
        // Dividing by hand what is not 0 leaves no trap for the compiler to write.
        let q = n.checked_div(d).unwrap_or(0);
        let dropped = Rest::of_word(n.wrapping_sub(q.wrapping_mul(d)), d);
        // One more is not beyond a word: d is above 1 where something is dropped.
        let q = q.wrapping_add(r.mode.grows(negative, q & 1 == 1, dropped));
        let last = POWERS[18 - r.scale as usize].value;
        let m = ((high(q, last) as u128) << 64 | q.wrapping_mul(last) as u128) as i128;
        Ok(Decimal(if negative { -m } else { m }))
    }

    #[inline(never)]
    fn quo_wide(self, other: Decimal, r: Rounding) -> Result<Decimal> {
        // The scales cancel; as many digits are put on as the result keeps, so the rest of this division is the rest of
        // the result.
        let places = r.places().max(0);
        let x = times(self.0.unsigned_abs(), POWERS[places as usize].value as u128);
        let (quotient, dropped) = x.divide(other.0.unsigned_abs());
        finish(quotient, places, dropped, (self.0 < 0) != (other.0 < 0), r)
    }

    /// The number rounded. Mode none leaves it as it is.
    #[inline(never)]
    pub fn round(self, r: Rounding) -> Result<Decimal> {
        r.check()?;
        if r.places() == 18 {
            return Ok(self);
        }
        let m = self.0.unsigned_abs();
        if m >> 64 != 0 || r.scale < 0 {
            return finish_words((m >> 64) as u64, m as u64, Rest::Nothing, self.0 < 0, r);
        }
        Ok(finish_word(m as u64, Rest::Nothing, self.0 < 0, r))
    }

    /// self * other / n, rounded once. n is a count, such as the days of a period.
    pub fn mul_quo(self, other: Decimal, n: i64, r: Rounding) -> Result<Decimal> {
        Sum::of(self, other).quo(n, r)
    }
}

/// Two words n and d with n / d = a / b: where both are small, or both whole.
#[inline]
fn ratio(a: u128, b: u128) -> Option<(u64, u64)> {
    if (a | b) >> 64 == 0 {
        return Some((a as u64, b as u64));
    }
    Some((count(a)?, count(b)?))
}

/// A magnitude with a sign.
#[inline]
pub(crate) fn signed(negative: bool, magnitude: u128) -> Result<Decimal> {
    if magnitude >> 127 != 0 && (!negative || magnitude > 1 << 127) {
        return Err(Error::Overflow);
    }
    let n = magnitude as i128;
    Ok(Decimal(if negative { n.wrapping_neg() } else { n }))
}

/// Rounds an exact magnitude with so many decimal places, behind which is what dropped says.
#[inline(never)]
pub(crate) fn finish(mut m: Sum, mut places: i32, mut dropped: Rest, negative: bool, r: Rounding) -> Result<Decimal> {
    let scale = r.places();
    while places > scale {
        let step = (places - scale).min(18) as usize;
        let remainder = m.divide_power(step);
        dropped = dropped.behind(remainder, POWERS[step].value);
        places -= step as i32;
    }
    if dropped != Rest::Nothing {
        if r.mode == Mode::None {
            return Err(Error::Inexact);
        }
        if r.mode.grows(negative, m.0[0] & 1 == 1, dropped) != 0 {
            m = m.next();
        }
    }
    if m.0[3] | m.0[2] != 0 {
        return Err(Error::Overflow);
    }
    let kept = (m.0[1] as u128) << 64 | m.0[0] as u128;
    let magnitude = if scale == 18 { Some(kept) } else { times_power(kept, (18 - scale) as usize) };
    signed(negative, magnitude.ok_or(Error::Overflow)?)
}

/// The same for a magnitude of one word with 18 decimal places, of which 0 to 18 are kept.
#[inline]
fn finish_word(mut m: u64, mut dropped: Rest, negative: bool, r: Rounding) -> Decimal {
    let (mut last, mut kept) = (1, m); // what one more is worth, and how many of it there are
    if r.scale != 18 {
        last = POWERS[(18 - r.scale) as usize].value;
        kept = m.checked_div(last).unwrap_or(0);
        let whole = kept.wrapping_mul(last);
        dropped = dropped.behind(m.wrapping_sub(whole), last);
        m = whole;
    }
    let more = last & r.mode.grows(negative, kept & 1 == 1, dropped).wrapping_neg();
    let d = m as i128 + more as i128;
    Decimal(if negative { -d } else { d })
}

/// The same for a magnitude of two words.
#[inline(never)]
fn finish_words(mut hi: u64, mut lo: u64, mut dropped: Rest, negative: bool, r: Rounding) -> Result<Decimal> {
    let n = 18 - r.places();
    if n > 18 || hi >= 1 << 62 || r.mode == Mode::None {
        return finish(Sum([lo, hi, 0, 0]), 18, dropped, negative, r);
    }
    let power = POWERS[n as usize].value; // rounding adds less than 10^18, so nothing below reaches 2^127
    if n > 0 {
        let (q1, q0, remainder) = divide_words(0, hi, lo, n as usize);
        hi = q1;
        lo = q0;
        dropped = dropped.behind(remainder, power);
    }
    let (sum, carry) = lo.overflowing_add(r.mode.grows(negative, lo & 1 == 1, dropped));
    lo = sum;
    hi += carry as u64;
    let hi = hi.wrapping_mul(power).wrapping_add(high(lo, power));
    let d = ((hi as u128) << 64 | lo.wrapping_mul(power) as u128) as i128;
    Ok(Decimal(if negative { -d } else { d }))
}

/// x * 10^n, or nothing when that does not fit 128 bits.
pub(crate) fn times_power(mut x: u128, mut n: usize) -> Option<u128> {
    while n > 0 {
        let step = n.min(19);
        let p = times(x, POWERS[step].value as u128);
        if p.0[2] | p.0[3] != 0 {
            return None;
        }
        x = (p.0[1] as u128) << 64 | p.0[0] as u128;
        n -= step;
    }
    Some(x)
}

pub(crate) fn rest_of(remainder: u128, divisor: u128) -> Rest {
    against_half(remainder, divisor)
}
