use crate::decimal::{finish, rest_of, Decimal, Error, Mode, Result, Rounding};

/// The stored integer that stands for 1.
pub(crate) const UNIT: u64 = 1_000_000_000_000_000_000;

/// What is known of the digits that a division dropped: all that rounding needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rest {
    Nothing,
    Less,
    Half,
    More,
}

impl Rest {
    /// The rest of dropping the digits `remainder` out of `modulus`, which is even, before those of which self is the
    /// rest.
    #[inline]
    pub(crate) fn behind(self, remainder: u64, modulus: u64) -> Rest {
        let half = modulus / 2;
        if remainder > half || remainder == half && self != Rest::Nothing {
            Rest::More
        } else if remainder == half {
            Rest::Half
        } else if remainder != 0 || self != Rest::Nothing {
            Rest::Less
        } else {
            Rest::Nothing
        }
    }
}

impl Rest {
    /// The rest of a division of words with this remainder and divisor.
    #[inline]
    pub(crate) fn of_word(remainder: u64, divisor: u64) -> Rest {
        let other = divisor.wrapping_sub(remainder); // doubling could overflow
        if remainder == 0 {
            Rest::Nothing
        } else if remainder < other {
            Rest::Less
        } else if remainder == other {
            Rest::Half
        } else {
            Rest::More
        }
    }
}

/// The rest of a division with this remainder and divisor.
pub(crate) fn against_half(remainder: u128, divisor: u128) -> Rest {
    let other = divisor - remainder; // doubling could overflow
    if remainder == 0 {
        Rest::Nothing
    } else if remainder == other {
        Rest::Half
    } else if remainder < other {
        Rest::Less
    } else {
        Rest::More
    }
}

/// An exact sum of products, in 256 bits and units of 10^-36, to be rounded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sum(pub(crate) [u64; 4]); // the least significant word first

impl Sum {
    /// 0.
    pub const ZERO: Sum = Sum([0; 4]);

    /// The product of two numbers, exact.
    pub fn of(a: Decimal, b: Decimal) -> Sum {
        let p = times(a.0.unsigned_abs(), b.0.unsigned_abs());
        if (a.0 < 0) != (b.0 < 0) {
            p.opposite()
        } else {
            p
        }
    }

    /// The sum of two.
    #[allow(clippy::should_implement_trait)] // that cannot fail
    pub fn add(self, other: Sum) -> Result<Sum> {
        let mut sum = [0; 4];
        let mut carry = false;
        for (i, word) in sum.iter_mut().enumerate() {
            let (t, first) = self.0[i].overflowing_add(other.0[i]);
            let (t, second) = t.overflowing_add(carry as u64);
            *word = t;
            carry = first || second;
        }
        // Two numbers of one sign cannot have a sum of the other.
        if ((self.0[3] ^ sum[3]) & (other.0[3] ^ sum[3])) >> 63 != 0 {
            return Err(Error::Overflow);
        }
        Ok(Sum(sum))
    }

    /// The difference of two.
    #[allow(clippy::should_implement_trait)]
    pub fn sub(self, other: Sum) -> Result<Sum> {
        if other.0 == [0, 0, 0, 1 << 63] {
            return Err(Error::Overflow);
        }
        self.add(other.opposite())
    }

    /// The sum divided by a count, rounded once.
    pub fn quo(self, n: i64, r: Rounding) -> Result<Decimal> {
        r.check()?;
        if n <= 0 {
            return Err(Error::DivisionByZero);
        }
        let negative = self.0[3] >> 63 != 0;
        let magnitude = if negative { self.opposite() } else { self };
        let (quotient, dropped) = if n == 1 { (magnitude, Rest::Nothing) } else { magnitude.divide_word(n as u64) };
        finish(quotient, 36, dropped, negative, r)
    }

    /// The sum as a number, rounded.
    pub fn round(self, r: Rounding) -> Result<Decimal> {
        self.quo(1, r)
    }

    /// Two's complement negation; the smallest sum is its own result.
    fn opposite(self) -> Sum {
        Sum([!self.0[0], !self.0[1], !self.0[2], !self.0[3]]).next()
    }

    /// One more.
    pub(crate) fn next(mut self) -> Sum {
        for word in self.0.iter_mut() {
            *word = word.wrapping_add(1);
            if *word != 0 {
                break;
            }
        }
        self
    }

    /// Divides by 10^n, for n from 1 to 19, and returns the remainder.
    pub(crate) fn divide_power(&mut self, n: usize) -> u64 {
        let (w3, w2, r) = if self.0[3] | self.0[2] == 0 { (0, 0, 0) } else { divide_words(0, self.0[3], self.0[2], n) };
        let (w1, w0, r) = divide_words(r, self.0[1], self.0[0], n);
        self.0 = [w0, w1, w2, w3];
        r
    }

    /// The magnitude divided by a word.
    fn divide_word(self, d: u64) -> (Sum, Rest) {
        let mut q = Sum::ZERO;
        let mut r = 0;
        for i in (0..4).rev() {
            let (digit, left) = divide64(r, self.0[i], d);
            q.0[i] = digit;
            r = left;
        }
        (q, rest_of(r as u128, d as u128))
    }

    /// The magnitude, below 2^190, divided by a number of two words: algorithm D as below, in base 2^64.
    #[inline(never)]
    pub(crate) fn divide(self, d: u128) -> (Sum, Rest) {
        if d >> 64 == 0 {
            return self.divide_word(d as u64);
        }
        let up = d.leading_zeros() & 63;
        let d = d << up;
        let digit = |n: usize| if n == 0 { self.0[0] << up } else { self.0[n] << up | self.0[n - 1] >> 1 >> (63 - up) };
        let r = (digit(3) as u128) << 64 | digit(2) as u128;
        let (q1, r) = divide_long_digit(r, digit(1), d);
        let (q0, r) = divide_long_digit(r, digit(0), d);
        (Sum([q0, q1, 0, 0]), rest_of(r, d))
    }
}

/// One digit of that: r and the next digit, divided by d, for r below d. It returns the remainder as well.
fn divide_long_digit(r: u128, next: u64, d: u128) -> (u64, u128) {
    let (r1, r0, d1, d0) = ((r >> 64) as u64, r as u64, (d >> 64) as u64, d as u64);
    let (mut digit, mut rest, mut over) = if r1 < d1 {
        let (digit, rest) = divide64(r1, r0, d1);
        (digit, rest, false)
    } else {
        let (rest, over) = r0.overflowing_add(d1);
        (u64::MAX, rest, over)
    };
    let mut product = (high(digit, d0) as u128) << 64 | digit.wrapping_mul(d0) as u128;
    while !over && product > ((rest as u128) << 64 | next as u128) {
        digit = digit.wrapping_sub(1);
        product -= d0 as u128;
        (rest, over) = rest.overflowing_add(d1);
    }
    (digit, ((rest as u128) << 64 | next as u128).wrapping_sub(product))
}

/// 2^(64+27+32) / 10^18, rounded up.
pub(crate) const RECIPROCAL: u64 = 10_633_823_966_279_326_984;

/// Units as a whole number, from 0 to some 3.9e10. This divides the upper 64 of their lower 96 bits by 10^18/2^32, by a
/// multiplication with the reciprocal, rounded up both times: the quotient of a whole number is then exact. Of anything
/// else it is off by less than 2^64, so the lower half of the product says whether it is one.
#[inline]
pub(crate) fn count(units: u128) -> Option<u64> {
    let (hi, lo) = ((units >> 64) as u64, units as u64);
    let n = high((hi << 32 | lo >> 32).wrapping_add(1), RECIPROCAL) >> 27;
    if hi >> 31 | (n.wrapping_mul(UNIT) ^ lo) == 0 {
        return Some(n);
    }
    None
}

/// hi:lo / 10^18 for hi below 10^18, and the remainder: [`divide_words`] where the quotient has one digit.
#[inline]
pub(crate) fn divide_unit(hi: u64, lo: u64) -> (u64, u64) {
    let p = &POWERS[18]; // its top four bits are free
    let (quotient, remainder) = reciprocal_digit(hi << 4 | lo >> 60, lo << 4, p);
    (quotient, remainder >> 4)
}

/// The upper half of a product. Written out, because WebAssembly has no instruction for it, and the compiler's own is
/// called.
#[inline]
pub(crate) fn high(x: u64, y: u64) -> u64 {
    let (x0, x1, y0, y1) = (x & 0xffff_ffff, x >> 32, y & 0xffff_ffff, y >> 32);
    let middle = x1 * y0 + (x0 * y0 >> 32);
    x1 * y1 + (middle >> 32) + (((middle & 0xffff_ffff) + x0 * y1) >> 32)
}

/// The product of two numbers of 128 bits.
#[inline]
pub(crate) fn times(a: u128, b: u128) -> Sum {
    let (a1, a0, b1, b0) = ((a >> 64) as u64, a as u64, (b >> 64) as u64, b as u64);
    let mut p = [a0.wrapping_mul(b0), high(a0, b0), 0, 0];
    if a1 != 0 {
        let (w1, carry) = p[1].overflowing_add(a1.wrapping_mul(b0));
        p[1] = w1;
        p[2] = high(a1, b0) + carry as u64; // a product's high word is at most 2^64-2
    }
    if b1 != 0 {
        let (w1, carry) = p[1].overflowing_add(a0.wrapping_mul(b1));
        let (w2, first) = p[2].overflowing_add(high(a0, b1));
        let (w2, second) = w2.overflowing_add(carry as u64);
        let (w2, third) = w2.overflowing_add(a1.wrapping_mul(b1));
        p[1] = w1;
        p[2] = w2;
        p[3] = high(a1, b1) + first as u64 + second as u64 + third as u64;
    }
    Sum(p)
}

/// hi:lo / y, for hi below y (Knuth, The Art of Computer Programming, volume 2, 4.3.1, algorithm D, in base 2^32).
fn divide64(hi: u64, lo: u64, y: u64) -> (u64, u64) {
    let s = y.leading_zeros();
    let y = y << s;
    let (y1, y0) = (y >> 32, y & 0xffff_ffff);
    let top = hi << s | lo >> 1 >> (63 - s);
    let low = lo << s;
    let (q1, left) = divide_digit(top, low >> 32, y1, y0, y);
    let (q0, left) = divide_digit(left, low & 0xffff_ffff, y1, y0, y);
    ((q1 << 32).wrapping_add(q0), left >> s)
}

/// One digit of that: the guess from the leading digits is at most two too large.
#[inline]
fn divide_digit(u: u64, next: u64, y1: u64, y0: u64, y: u64) -> (u64, u64) {
    let mut q = u / y1;
    let mut r = u - q * y1;
    while q >> 32 != 0 || q * y0 > (r << 32 | next) {
        q -= 1;
        r += y1;
        if r >> 32 != 0 {
            break;
        }
    }
    (q, (u << 32).wrapping_add(next).wrapping_sub(q.wrapping_mul(y)))
}

/// x2:x1:x0 / 10^n for n from 1 to 19 and x2 below 10^n: the two digits of the quotient, and the remainder.
#[inline]
pub(crate) fn divide_words(x2: u64, x1: u64, x0: u64, n: usize) -> (u64, u64, u64) {
    let p = &POWERS[n];
    let up = p.shift & 63;
    let r = x2 << up | x1 >> 1 >> (63 - up);
    let (q1, r) = reciprocal_digit(r, x1 << up | x0 >> 1 >> (63 - up), p);
    let (q0, r) = reciprocal_digit(r, x0 << up, p);
    (q1, q0, r >> up)
}

/// One digit of a quotient by the reciprocal (Möller and Granlund, "Improved division by invariant integers",
/// algorithm 4). r is below the divisor.
#[inline]
fn reciprocal_digit(r: u64, x: u64, p: &Power) -> (u64, u64) {
    let lo = p.reciprocal.wrapping_mul(r);
    let (lo, carry) = lo.overflowing_add(x);
    let mut q = high(p.reciprocal, r).wrapping_add(r).wrapping_add(1 + carry as u64);
    let mut left = x.wrapping_sub(q.wrapping_mul(p.normal));
    if left > lo {
        q = q.wrapping_sub(1);
        left = left.wrapping_add(p.normal);
    }
    if left >= p.normal {
        q = q.wrapping_add(1);
        left -= p.normal;
    }
    (q, left)
}

/// A power of ten, ready to divide by.
pub(crate) struct Power {
    pub(crate) value: u64,
    shift: u32,      // leading zero bits of value
    normal: u64,     // value << shift: its top bit is set
    reciprocal: u64, // floor((2^128-1) / normal) - 2^64
}

/// POWERS[n] is 10^n; 10^19 is the largest in one word.
pub(crate) static POWERS: [Power; 20] = powers();

const fn powers() -> [Power; 20] {
    const NONE: Power = Power { value: 1, shift: 0, normal: 0, reciprocal: 0 };
    let mut list = [NONE; 20];
    let mut value: u64 = 1;
    let mut n = 0;
    while n < 20 {
        let shift = value.leading_zeros();
        let normal = value << shift;
        list[n] = Power { value, shift, normal, reciprocal: (u128::MAX / normal as u128) as u64 };
        value = value.wrapping_mul(10);
        n += 1;
    }
    list
}

/// Whether rounding by r leaves a product of whole units and a price as it is.
#[inline]
pub(crate) fn keeps_all(r: Rounding) -> bool {
    r.scale == 18 && r.mode == Mode::HalfUp
}
