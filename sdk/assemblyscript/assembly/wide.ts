// Unsigned integers of 256 bits: the room in which products and quotients of decimals are exact until they are
// rounded, once. WebAssembly has words of 64 bits and functions with one result, so the number at work is the four
// words below, and what a function has to say beyond its result is in the variables behind them.

/** The number at work, w3 its most significant word. */
export let w3: u64 = 0;
export let w2: u64 = 0;
export let w1: u64 = 0;
export let w0: u64 = 0;

/** What is known of the digits that a division dropped. It is all that rounding needs. */
export let rest: i32 = 0;
export const REST_NONE: i32 = 0;
export const REST_LESS: i32 = 1; // less than half of the last digit that is kept
export const REST_HALF: i32 = 2;
export const REST_MORE: i32 = 3;

/** 1 as a decimal holds it. */
export const WHOLE: u64 = 1_000_000_000_000_000_000;

const LOW: u64 = 0xffff_ffff;

/** The upper half of x*y. */
// @ts-ignore: decorator
@inline
export function high(x: u64, y: u64): u64 {
  const x0 = x & LOW, x1 = x >> 32;
  const y0 = y & LOW, y1 = y >> 32;
  const middle = x1 * y0 + (x0 * y0 >> 32);
  return x1 * y1 + (middle >> 32) + ((middle & LOW) + x0 * y1 >> 32);
}

/** Sets the number at work. */
export function setWide(x3: u64, x2: u64, x1: u64, x0: u64): void {
  w3 = x3;
  w2 = x2;
  w1 = x1;
  w0 = x0;
  rest = REST_NONE;
}

/** Sets it to the product of two numbers of 128 bits. */
export function setProduct(ahi: u64, alo: u64, bhi: u64, blo: u64): void {
  rest = REST_NONE;
  w0 = alo * blo;
  let p1 = high(alo, blo);
  let p2: u64 = 0, p3: u64 = 0;
  if (ahi != 0) {
    const lo = ahi * blo;
    p1 += lo;
    p2 = high(ahi, blo) + u64(p1 < lo); // a product's upper half is at most 2^64-2
  }
  if (bhi != 0) {
    const lo = alo * bhi;
    p1 += lo;
    const carry = high(alo, bhi) + u64(p1 < lo);
    p2 += carry;
    p3 = u64(p2 < carry);
  }
  if (ahi != 0 && bhi != 0) {
    const lo = ahi * bhi;
    p2 += lo;
    p3 += high(ahi, bhi) + u64(p2 < lo);
  }
  w1 = p1;
  w2 = p2;
  w3 = p3;
}

/** Says whether the number at work is below 2^128. */
// @ts-ignore: decorator
@inline
export function fits128(): bool {
  return (w3 | w2) == 0;
}

/** Adds 1. Nobody ever holds the largest number. */
export function increment(): void {
  if (++w0 == 0 && ++w1 == 0 && ++w2 == 0) ++w3;
}

// Powers of ten, each ready to divide by: the value, the leading zero bits of it, the value shifted by those, and
// floor((2^128-1) / the shifted value) - 2^64.
const powers: usize = memory.data<u64>([
  1, 63, 0x8000000000000000, 0xffffffffffffffff,
  10, 60, 0xa000000000000000, 0x9999999999999999,
  100, 57, 0xc800000000000000, 0x47ae147ae147ae14,
  1000, 54, 0xfa00000000000000, 0x0624dd2f1a9fbe76,
  10000, 50, 0x9c40000000000000, 0xa36e2eb1c432ca57,
  100000, 47, 0xc350000000000000, 0x4f8b588e368f0846,
  1000000, 44, 0xf424000000000000, 0x0c6f7a0b5ed8d36b,
  10000000, 40, 0x9896800000000000, 0xad7f29abcaf48578,
  100000000, 37, 0xbebc200000000000, 0x5798ee2308c39df9,
  1000000000, 34, 0xee6b280000000000, 0x12e0be826d694b2e,
  10000000000, 30, 0x9502f90000000000, 0xb7cdfd9d7bdbab7d,
  100000000000, 27, 0xba43b74000000000, 0x5fd7fe17964955fd,
  1000000000000, 24, 0xe8d4a51000000000, 0x19799812dea11197,
  10000000000000, 20, 0x9184e72a00000000, 0xc25c268497681c26,
  100000000000000, 17, 0xb5e620f480000000, 0x6849b86a12b9b01e,
  1000000000000000, 14, 0xe35fa931a0000000, 0x203af9ee756159b2,
  10000000000000000, 10, 0x8e1bc9bf04000000, 0xcd2b297d889bc2b6,
  100000000000000000, 7, 0xb1a2bc2ec5000000, 0x70ef54646d496892,
  1000000000000000000, 4, 0xde0b6b3a76400000, 0x2725dd1d243aba0e,
  10000000000000000000, 0, 0x8ac7230489e80000, 0xd83c94fb6d2ac34a,
]);

/** The largest power of ten in one word is 10^19. */
export const POWER_MAX: i32 = 19;

/** 10^n, for n up to POWER_MAX. */
// @ts-ignore: decorator
@inline
export function power(n: i32): u64 {
  return load<u64>(powers + (<usize>n << 5));
}

/** The remainder of the divisions below. */
export let remainder: u64 = 0;

/**
 * Divides r x by 10^n, for r below 10^n shifted to the top bit, both shifted alike, and leaves the shifted remainder.
 * It multiplies by a reciprocal (Möller and Granlund, "Improved division by invariant integers", algorithm 4).
 */
// @ts-ignore: decorator
@inline
function digitOf(r: u64, x: u64, normal: u64, reciprocal: u64): u64 {
  const lo = reciprocal * r + x;
  let q = high(reciprocal, r) + r + 1 + u64(lo < x);
  r = x - q * normal;
  if (r > lo) {
    q--;
    r += normal;
  }
  if (r >= normal) { // rare
    q++;
    r -= normal;
  }
  remainder = r;
  return q;
}

/** The upper word of the quotient below. */
export let quotientHigh: u64 = 0;

/**
 * Returns the lower word of the quotient x2 x1 x0 / 10^n, for n from 1 to POWER_MAX and x2 below 10^n; the upper word
 * and the remainder are in quotientHigh and remainder.
 */
export function divideWords(x2: u64, x1: u64, x0: u64, n: i32): u64 {
  const p = powers + (<usize>n << 5);
  const up = load<u64>(p, 8), normal = load<u64>(p, 16), reciprocal = load<u64>(p, 24);
  const r = x2 << up | x1 >> 1 >> (63 - up);
  quotientHigh = digitOf(r, x1 << up | x0 >> 1 >> (63 - up), normal, reciprocal);
  const q0 = digitOf(remainder, x0 << up, normal, reciprocal);
  remainder >>= up;
  return q0;
}

/** Divides the number at work by 10^n, for n from 1 to POWER_MAX; what is dropped joins the rest. */
export function dropDigits(n: i32): void {
  remainder = 0;
  if ((w3 | w2) != 0) {
    const upper = divideWords(0, w3, w2, n);
    w3 = quotientHigh;
    w2 = upper;
  }
  const low = divideWords(remainder, w1, w0, n);
  w1 = quotientHigh;
  w0 = low;
  joinRest(remainder, power(n));
}

/** Sets the rest of a division of words. */
// @ts-ignore: decorator
@inline
export function setRest(left: u64, divisor: u64): void {
  const other = divisor - left; // doubling could overflow
  rest = left == 0 ? REST_NONE : left < other ? REST_LESS : left == other ? REST_HALF : REST_MORE;
}

/** Puts a dropped group of digits, a part of an even modulus, before what was dropped already. */
export function joinRest(part: u64, modulus: u64): void {
  const half = modulus >> 1;
  if (part > half || part == half && rest != REST_NONE) rest = REST_MORE;
  else if (part == half) rest = REST_HALF;
  else if (part != 0 || rest != REST_NONE) rest = REST_LESS;
}

/** Multiplies the lower 128 bits of the number at work by 10^n, for n up to 38; the upper ones show what is over. */
export function addDigits(n: i32): bool {
  while (n > 0) {
    const step = min(n, POWER_MAX);
    n -= step;
    const p = power(step);
    const middle = w1 * p;
    const over = high(w1, p);
    w1 = middle + high(w0, p);
    if ((over | u64(w1 < middle)) != 0) return false;
    w0 *= p;
  }
  return true;
}

/** Returns x1 x0 / divisor for x1 below divisor, and leaves the remainder (Knuth, volume 2, 4.3.1, algorithm D). */
function divide2by1(x1: u64, x0: u64, divisor: u64): u64 {
  const up = clz(divisor);
  divisor <<= up;
  const d1 = divisor >> 32, d0 = divisor & LOW;
  const top = x1 << up | x0 >> 1 >> (63 - up);
  const bottom = x0 << up;
  const q1 = halfDigit(top, bottom >> 32, d1, d0);
  const middle = (top << 32 | bottom >> 32) - q1 * divisor;
  const q0 = halfDigit(middle, bottom & LOW, d1, d0);
  remainder = (middle << 32 | bottom & LOW) - q0 * divisor >> up;
  return q1 << 32 | q0;
}

/** One digit in base 2^32 of a division by d1 d0. */
function halfDigit(top: u64, next: u64, d1: u64, d0: u64): u64 {
  let q = top / d1;
  let r = top - q * d1;
  while (q > LOW || q * d0 > (r << 32 | next)) {
    q--;
    r += d1;
    if (r > LOW) break;
  }
  return q;
}

/** Divides the number at work by a word other than 0. */
export function divide64(divisor: u64): void {
  const q3 = w3 / divisor;
  remainder = w3 - q3 * divisor;
  w3 = q3;
  w2 = divide2by1(remainder, w2, divisor);
  w1 = divide2by1(remainder, w1, divisor);
  w0 = divide2by1(remainder, w0, divisor);
  compareHalf(0, remainder, 0, divisor);
}

/** hi lo / 10^18 for hi below 10^18: the quotient has one word. The remainder is left. */
// @ts-ignore: decorator
@inline
export function divideWhole(hi: u64, lo: u64): u64 {
  const p = powers + (18 << 5); // its top four bits are free
  const quotient = digitOf(hi << 4 | lo >> 60, lo << 4, load<u64>(p, 16), load<u64>(p, 24));
  remainder >>= 4;
  return quotient;
}

/** Divides the number at work, below 2^190, by hi lo, other than 0. */
export function divide128(hi: u64, lo: u64): void {
  if (hi == 0) {
    divide64(lo);
    return;
  }
  const up = clz(hi), down = 63 - up;
  const d1 = hi << up | lo >> 1 >> down, d0 = lo << up;
  top1 = w3 << up | w2 >> 1 >> down;
  top0 = w2 << up | w1 >> 1 >> down;
  const q1 = longDigit(w1 << up | w0 >> 1 >> down, d1, d0);
  const q0 = longDigit(w0 << up, d1, d0);
  w3 = w2 = 0;
  w1 = q1;
  w0 = q0;
  compareHalf(top1, top0, d1, d0);
}

// The two digits above the next one, and then the remainder, of the division below.
let top1: u64 = 0;
let top0: u64 = 0;

/** One digit of that in base 2^64: the top digits are below d1 d0, whose top bit is set (the same algorithm D). */
function longDigit(next: u64, d1: u64, d0: u64): u64 {
  let digit: u64 = u64.MAX_VALUE, left = top0 + d1, over = left < d1;
  if (top1 < d1) {
    digit = divide2by1(top1, top0, d1);
    left = remainder;
    over = false;
  }
  let hi = high(digit, d0), lo = digit * d0;
  while (!over && (hi > left || hi == left && lo > next)) { // the guess is at most two too large
    digit--;
    hi -= u64(lo < d0);
    lo -= d0;
    left += d1;
    over = left < d1;
  }
  top0 = next - lo;
  top1 = left - hi - u64(next < lo);
  return digit;
}

/** Divides the number at work, of any size, by hi lo, other than 0. */
export function divideLong(hi: u64, lo: u64): void {
  if (hi == 0 || w3 >> 62 == 0) {
    divide128(hi, lo);
    return;
  }
  // Bit by bit: sums of that size are rare, and this cannot be wrong.
  let r1: u64 = 0, r0: u64 = 0;
  for (let i = 0; i < 256; i++) {
    const over = r1 >> 63;
    r1 = r1 << 1 | r0 >> 63;
    r0 = r0 << 1 | w3 >> 63;
    w3 = w3 << 1 | w2 >> 63;
    w2 = w2 << 1 | w1 >> 63;
    w1 = w1 << 1 | w0 >> 63;
    w0 <<= 1;
    if (over != 0 || r1 > hi || r1 == hi && r0 >= lo) {
      r1 = r1 - hi - u64(r0 < lo);
      r0 -= lo;
      w0 |= 1;
    }
  }
  compareHalf(r1, r0, hi, lo);
}

/** Sets the rest of a division with this remainder and divisor. */
function compareHalf(r1: u64, r0: u64, d1: u64, d0: u64): void {
  if ((r1 | r0) == 0) {
    rest = REST_NONE;
    return;
  }
  // The remainder against divisor - remainder: doubling could overflow.
  const c0 = d0 - r0, c1 = d1 - r1 - u64(d0 < r0);
  if (r1 == c1 && r0 == c0) rest = REST_HALF;
  else if (r1 < c1 || r1 == c1 && r0 < c0) rest = REST_LESS;
  else rest = REST_MORE;
}

/** The factor of countOf. */
export const RECIPROCAL: u64 = 10_633_823_966_279_326_984; // 2^(64+27+32) / 10^18, rounded up

/** What countOf says beside the count: 0 when the decimal is a whole number from 0 to some 3.9e10. */
export let notCount: u64 = 0;

/**
 * Returns a decimal as a whole number of units; unless it is one, notCount is other than 0.
 *
 * It divides the upper 64 of the lower 96 bits by 10^18/2^32, by a multiplication with the reciprocal, rounded up both
 * times: the quotient of a whole number is then exact. Of anything else it is off by less than 2^64, so the lower half
 * of the product tells.
 */
// @ts-ignore: decorator
@inline
export function countOf(lo: u64, hi: u64): u64 {
  const n = high((hi << 32 | lo >> 32) + 1, RECIPROCAL) >> 27;
  notCount = hi >> 31 | (n * WHOLE ^ lo);
  return n;
}
