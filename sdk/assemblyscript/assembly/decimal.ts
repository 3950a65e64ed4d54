import { DIVIDE, fail, INEXACT, OVERFLOW, ROUNDING } from "./failure";
import { take } from "./pool";
import { HALF_UP, NONE, Rounding } from "./rounding";
import { Builder } from "./text";
import {
  addDigits, countOf, divide128, divide64, divideLong, divideWhole, divideWords, dropDigits, fits128, high, increment,
  joinRest, notCount, power, POWER_MAX, quotientHigh, remainder, rest, REST_NONE, setProduct, setRest, setWide, w0, w1,
  w2, w3, WHOLE,
} from "./wide";

/** The number of decimal places that every decimal carries. */
export const SCALE: i32 = 18;

/**
 * An exact decimal number: a signed integer of 128 bits, two's complement, in units of 10^-18. It reaches from about
 * -1.7e20 to 1.7e20 and never loses a digit inside that range.
 *
 * A decimal is a value: no operation changes one, each makes a new one. One that is made while parameters are read
 * stays; one that is made while an event is priced is forgotten when the next event begins, so keep it in a cell or a
 * line and not in a field. A result outside the range is 0 and rejects the event with the reason overflow; nothing
 * needs to be checked for that.
 */
@unmanaged
@final
export class Decimal {
  /** The lower and the upper 64 bits. */
  readonly lo: u64;
  readonly hi: i64;

  /** A decimal of its two halves. */
  @inline
  static of(lo: u64, hi: i64): Decimal {
    const place = take(16);
    store<u64>(place, lo);
    store<i64>(place, hi, 8);
    return changetype<Decimal>(place);
  }

  /** A whole number. */
  static from(n: i64): Decimal {
    const magnitude: u64 = n < 0 ? 0 - <u64>n : <u64>n;
    setProduct(0, magnitude, 0, WHOLE);
    return signed(n < 0, w1, w0);
  }

  /**
   * The number that a text says, where it may say none: `parseProblem` is then what is wrong with it, "" otherwise. It
   * rejects nothing by itself.
   */
  static read(text: string): Decimal {
    written.clear().str(text);
    return parseDecimal(written.at, written.length);
  }

  /**
   * The number that a text says ("12", "-0.5", "1.25e-3"), as in `const price = Decimal.parse("0.002")`. What is no
   * number is a fault of the module.
   */
  static parse(text: string): Decimal {
    return parseConstant(text);
  }

  /** A copy that is no longer what the place behind this one comes to hold: a line, a cell or an event. */
  copy(): Decimal {
    return Decimal.of(this.lo, this.hi);
  }

  get isZero(): bool {
    return (this.lo | <u64>this.hi) == 0;
  }

  /** -1, 0 or 1. */
  get sign(): i32 {
    return this.hi < 0 ? -1 : this.isZero ? 0 : 1;
  }

  /** -1 when this is less than other, 0 when they are equal, 1 when it is greater. */
  compare(other: Decimal): i32 {
    return this == other ? 0 : this < other ? -1 : 1;
  }

  @operator("==")
  static equal(a: Decimal, b: Decimal): bool {
    return ((a.lo ^ b.lo) | <u64>(a.hi ^ b.hi)) == 0;
  }

  @operator("!=")
  static unequal(a: Decimal, b: Decimal): bool {
    return ((a.lo ^ b.lo) | <u64>(a.hi ^ b.hi)) != 0;
  }

  @operator("<")
  static less(a: Decimal, b: Decimal): bool {
    return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo;
  }

  @operator(">")
  static greater(a: Decimal, b: Decimal): bool {
    return Decimal.less(b, a);
  }

  @operator("<=")
  static lessOrEqual(a: Decimal, b: Decimal): bool {
    return !Decimal.less(b, a);
  }

  @operator(">=")
  static greaterOrEqual(a: Decimal, b: Decimal): bool {
    return !Decimal.less(a, b);
  }

  @operator("+")
  static sum(a: Decimal, b: Decimal): Decimal {
    const lo = a.lo + b.lo;
    const hi = a.hi + b.hi + i64(lo < a.lo);
    // Two numbers of one sign cannot have a sum of the other.
    if (((a.hi ^ hi) & (b.hi ^ hi)) < 0) return failedWith(OVERFLOW);
    return Decimal.of(lo, hi);
  }

  @operator("-")
  static difference(a: Decimal, b: Decimal): Decimal {
    const lo = a.lo - b.lo;
    const hi = a.hi - b.hi - i64(a.lo < b.lo);
    if (((a.hi ^ b.hi) & (a.hi ^ hi)) < 0) return failedWith(OVERFLOW);
    return Decimal.of(lo, hi);
  }

  @operator.prefix("-")
  static negative(a: Decimal): Decimal {
    if (a.hi == i64.MIN_VALUE && a.lo == 0) return failedWith(OVERFLOW);
    return Decimal.of(0 - a.lo, ~a.hi + i64(a.lo == 0));
  }

  /** This without its sign. */
  abs(): Decimal {
    return this.hi < 0 ? -this : this;
  }

  /** The upper word of this without its sign. Both words together reach 2^127. */
  @inline
  get magnitudeHi(): u64 {
    const sign = this.hi >> 63; // all ones below 0
    return <u64>(this.hi ^ sign) + u64(sign != 0 && this.lo == 0);
  }

  /** The lower word of this without its sign. */
  @inline
  get magnitudeLo(): u64 {
    const sign = <u64>(this.hi >> 63);
    return (this.lo ^ sign) - sign;
  }

  /**
   * this * other, rounded once from the exact product. Fuel is taken for the longest way through a function, so what
   * lies beyond 64 bits is in functions of its own, here and below.
   */
  mul(other: Decimal, r: Rounding): Decimal {
    if (!r.valid) return failedWith(ROUNDING);
    const alo = this.magnitudeLo, blo = other.magnitudeLo;
    const hi = high(alo, blo), scale = r.places;
    if ((this.magnitudeHi | other.magnitudeHi) != 0 || hi >= WHOLE || scale < 0) return mulWide(this, other, r);
    const quotient = divideWhole(hi, alo * blo);
    setRest(remainder, WHOLE);
    return finishWord(quotient, scale, (this.hi ^ other.hi) < 0, r);
  }

  /** this / other, rounded once from the exact quotient. Division by 0 rejects the event. */
  quo(other: Decimal, r: Rounding): Decimal {
    if (!r.valid) return failedWith(ROUNDING);
    if (other.isZero) return failedWith(DIVIDE);
    const scale = r.places, ahi = this.magnitudeHi, bhi = other.magnitudeHi;
    let n = this.magnitudeLo, d = other.magnitudeLo;
    if ((ahi | bhi) != 0) { // two whole numbers, where they are, are small as well
      n = countOf(n, ahi);
      const odd = notCount;
      d = countOf(d, bhi);
      if ((odd | notCount) != 0) return quoWide(this, other, r);
    }
    if (scale < 0) return quoWide(this, other, r);
    const digits = power(scale);
    if (high(n, digits) != 0) return quoWide(this, other, r);
    n *= digits;
    let q = n / d;
    setRest(n - q * d, d);
    const negative = (this.hi ^ other.hi) < 0;
    if (rest != REST_NONE) {
      if (r.mode == NONE) return failedWith(INEXACT);
      q += grows(r.mode, negative, q & 1); // not beyond a word: d is above 1
    }
    const last = power(SCALE - scale);
    return signed(negative, high(q, last), q * last);
  }

  /** this * other / n, rounded once from the exact quotient. n is a count, such as the days of a period. */
  mulQuo(other: Decimal, n: i64, r: Rounding): Decimal {
    return Sum.of(this, other).quo(n, r);
  }

  /** This, rounded. Without a mode it stays as it is. */
  round(r: Rounding): Decimal {
    if (!r.valid) return failedWith(ROUNDING);
    const scale = r.places;
    if (scale == SCALE) return this;
    if (this.magnitudeHi != 0 || scale < 0) return roundWide(this, r);
    setRest(0, WHOLE);
    return finishWord(this.magnitudeLo, scale, this.hi < 0, r);
  }

  /** The shortest text: no exponent, no zeros behind the last decimal place that counts ("-0.5", "100"). */
  toString(): string {
    written.clear();
    this.write(written, 0);
    return written.toString();
  }

  /** The text with at least so many decimal places: 1.5 at 2 is "1.50". It never drops a digit. */
  fixed(places: i32): string {
    written.clear();
    this.write(written, places);
    return written.toString();
  }

  /** Appends the text to a builder, which makes no garbage. */
  write(out: Builder, places: i32): void {
    if (this.hi < 0) out.byte(45);
    setWide(0, 0, this.magnitudeHi, this.magnitudeLo);
    const whole = divideWords(0, w1, w0, SCALE);
    const upper = quotientHigh, fraction = remainder;
    if (upper != 0) {
      const lower = divideWords(0, upper, whole, POWER_MAX);
      const padded = remainder;
      out.num(lower).padded(padded, POWER_MAX);
    } else {
      out.num(whole);
    }
    let shown = 0;
    if (fraction != 0) {
      out.byte(46).padded(fraction, SCALE);
      shown = SCALE;
      while (load<u8>(out.at + out.length - 1) == 48) {
        out.length--;
        shown--;
      }
    } else if (places > 0) {
      out.byte(46);
    }
    for (; shown < places; shown++) out.byte(48);
  }
}

const written = new Builder();

const zeroPlace: usize = heap.alloc(16);
memory.fill(zeroPlace, 0, 16);

/** 0. */
export const ZERO: Decimal = changetype<Decimal>(zeroPlace);

const onePlace: usize = heap.alloc(16);
store<u64>(onePlace, WHOLE);
store<u64>(onePlace, 0, 8);

/** 1. */
export const ONE: Decimal = changetype<Decimal>(onePlace);

function failedWith(what: i32): Decimal {
  fail(what);
  return ZERO;
}

/** The decimal of a sign and a magnitude. */
function signed(negative: bool, hi: u64, lo: u64): Decimal {
  const top: u64 = 1 << 63;
  if (hi >= top && (!negative || hi > top || lo != 0)) return failedWith(OVERFLOW);
  if (!negative) return Decimal.of(lo, <i64>hi);
  return Decimal.of(0 - lo, <i64>(~hi + u64(lo == 0)));
}

/** mul where the product or a factor takes more than a word. */
function mulWide(a: Decimal, b: Decimal, r: Rounding): Decimal {
  const negative = (a.hi ^ b.hi) < 0;
  setProduct(a.magnitudeHi, a.magnitudeLo, b.magnitudeHi, b.magnitudeLo);
  if (w3 != 0 || w2 >= WHOLE) return finish(2 * SCALE, negative, r);
  const lo = divideWords(w2, w1, w0, SCALE); // the quotient by the surplus scale has two words
  const hi = quotientHigh;
  if (remainder == 0 && r.places == SCALE) return signed(negative, hi, lo);
  const dropped = remainder;
  setWide(0, 0, hi, lo);
  joinRest(dropped, WHOLE);
  return finish(SCALE, negative, r);
}

/** quo where a divisor or a quotient takes more than a word. */
function quoWide(a: Decimal, b: Decimal, r: Rounding): Decimal {
  // The scales cancel; as many digits are put on as the result is to keep, so that the rest of this one division is
  // the rest of the result.
  const places = max(r.places, 0);
  setProduct(a.magnitudeHi, a.magnitudeLo, 0, power(places));
  divide128(b.magnitudeHi, b.magnitudeLo);
  return finish(places, (a.hi ^ b.hi) < 0, r);
}

function roundWide(d: Decimal, r: Rounding): Decimal {
  setWide(0, 0, d.magnitudeHi, d.magnitudeLo);
  return finish(SCALE, d.hi < 0, r);
}

// Whether rounding moves the digits that are kept one away from zero: a bit for each answer, since a branch costs more.
// From the lowest up, each mode has four bits for what is dropped, of even and odd numbers, above and below zero.
const GROWS_HALF_UP: u64 = 0xcccc;
const GROWS_HALF_EVEN: u64 = 0xc8c8;
const GROWS_FLOOR: u64 = 0xee00;
const GROWS_CEILING: u64 = 0x00ee;
const GROWS: u64 = GROWS_CEILING << 48 | GROWS_FLOOR << 32 | GROWS_HALF_EVEN << 16 | GROWS_HALF_UP;

/** 1 where rounding moves the digits that are kept one away from zero, else 0. Of mode none the caller refuses a rest. */
// @ts-ignore: decorator
@inline
function grows(mode: i32, negative: bool, odd: u64): u64 {
  return GROWS >> (<u64>(mode - HALF_UP) << 4 & 63) >> (<u64>rest | odd << 2 | u64(negative) << 3) & 1;
}

/** Rounds a magnitude of one word with 18 decimal places, of which scale are kept, 0 at least, and the rest. */
function finishWord(m: u64, scale: i32, negative: bool, r: Rounding): Decimal {
  let last: u64 = 1, kept = m; // what one more is worth, and how many of it there are
  if (scale != SCALE) {
    last = power(SCALE - scale);
    kept = m / last;
    const whole = kept * last;
    joinRest(m - whole, last);
    m = whole;
  }
  if (rest == REST_NONE) return signed(negative, 0, m);
  if (r.mode == NONE) return failedWith(INEXACT);
  const more = last * grows(r.mode, negative, kept & 1);
  const lo = m + more;
  return signed(negative, u64(lo < more), lo);
}

/** Makes a decimal of the number at work, a magnitude with so many decimal places, and what was dropped behind it. */
function finish(places: i32, negative: bool, r: Rounding): Decimal {
  const scale = r.places;
  while (places > scale) {
    const step = min(places - scale, SCALE);
    dropDigits(step);
    places -= step;
  }
  if (rest != REST_NONE) {
    if (r.mode == NONE) return failedWith(INEXACT);
    if (grows(r.mode, negative, w0 & 1) != 0) increment();
  }
  if (!fits128()) return failedWith(OVERFLOW);
  if (scale != SCALE && !addDigits(SCALE - scale)) return failedWith(OVERFLOW);
  return signed(negative, w1, w0);
}

/**
 * An exact sum of products of decimals: a signed integer of 256 bits in units of 10^-36. Where a price is made of
 * several products and is to be rounded once, add them up in a sum and round that. A sum is a value as a decimal is.
 */
@unmanaged
@final
export class Sum {
  readonly w0: u64;
  readonly w1: u64;
  readonly w2: u64;
  readonly w3: u64;

  private static words(w3: u64, w2: u64, w1: u64, w0: u64): Sum {
    const place = take(32);
    store<u64>(place, w0);
    store<u64>(place, w1, 8);
    store<u64>(place, w2, 16);
    store<u64>(place, w3, 24);
    return changetype<Sum>(place);
  }

  /** 0. */
  static zero(): Sum {
    return Sum.words(0, 0, 0, 0);
  }

  /** A sum of its two halves, as a slot keeps it. */
  static of2(low: Decimal, high: Decimal): Sum {
    return Sum.words(<u64>high.hi, high.lo, <u64>low.hi, low.lo);
  }

  /** The product of two decimals, exact. */
  static of(a: Decimal, b: Decimal): Sum {
    setProduct(a.magnitudeHi, a.magnitudeLo, b.magnitudeHi, b.magnitudeLo);
    const product = Sum.words(w3, w2, w1, w0);
    return (a.hi ^ b.hi) < 0 ? product.negated() : product;
  }

  private negated(): Sum {
    setWide(~this.w3, ~this.w2, ~this.w1, ~this.w0);
    increment();
    return Sum.words(w3, w2, w1, w0);
  }

  @operator("+")
  static plus(a: Sum, b: Sum): Sum {
    const s0 = a.w0 + b.w0;
    let carry = u64(s0 < a.w0);
    const t1 = a.w1 + b.w1, s1 = t1 + carry;
    carry = u64(t1 < a.w1) | u64(s1 < t1);
    const t2 = a.w2 + b.w2, s2 = t2 + carry;
    carry = u64(t2 < a.w2) | u64(s2 < t2);
    const s3 = a.w3 + b.w3 + carry;
    if (<i64>((a.w3 ^ s3) & (b.w3 ^ s3)) < 0) fail(OVERFLOW);
    return Sum.words(s3, s2, s1, s0);
  }

  @operator("-")
  static minus(a: Sum, b: Sum): Sum {
    if (b.w3 == 1 << 63 && (b.w2 | b.w1 | b.w0) == 0) fail(OVERFLOW);
    return a + b.negated();
  }

  /** this + a * b. */
  addProduct(a: Decimal, b: Decimal): Sum {
    return this + Sum.of(a, b);
  }

  /** -1, 0 or 1. */
  get sign(): i32 {
    if (<i64>this.w3 < 0) return -1;
    return (this.w3 | this.w2 | this.w1 | this.w0) == 0 ? 0 : 1;
  }

  /** This, rounded to a decimal. */
  round(r: Rounding): Decimal {
    return this.quo(1, r);
  }

  /** this / n, rounded once from the exact quotient. n is a count above 0. */
  quo(n: i64, r: Rounding): Decimal {
    if (!r.valid) return failedWith(ROUNDING);
    if (n <= 0) return failedWith(DIVIDE);
    const negative = this.setMagnitude();
    if (n != 1) divide64(<u64>n);
    return finish(2 * SCALE, negative, r);
  }

  /** this / d, rounded once from the exact quotient. */
  quoDecimal(d: Decimal, r: Rounding): Decimal {
    if (!r.valid) return failedWith(ROUNDING);
    if (d.isZero) return failedWith(DIVIDE);
    const negative = this.setMagnitude();
    divideLong(d.magnitudeHi, d.magnitudeLo);
    return finish(SCALE, negative != (d.hi < 0), r); // of 36 and 18 places, 18 are left
  }

  /** Makes this without its sign the number at work, and returns whether it is below 0. */
  private setMagnitude(): bool {
    const negative = this.sign < 0;
    const m = negative ? this.negated() : this;
    setWide(m.w3, m.w2, m.w1, m.w0);
    return negative;
  }
}

// Reading numbers.

/** What can be wrong with a text. */
export const SYNTAX: string = "invalid syntax";
export const TOO_PRECISE: string = "more than 18 decimal places";
export const TOO_LARGE: string = "overflow: beyond ±170141183460469231731.687303715884105727";

/** What is wrong with the text read last: one of the above, "" when it is a decimal. */
export let parseProblem: string = "";

function parseConstant(text: string): Decimal {
  written.clear().str(text);
  const d = parseDecimal(written.at, written.length);
  if (parseProblem.length > 0) throw new Error("decimal " + text + ": " + parseProblem);
  return d;
}

function isDigit(c: u8): bool {
  return <u8>(c - 48) <= 9;
}

/** Where the digits that begin at i end. */
function digitsEnd(from: usize, length: i32, i: i32): i32 {
  while (i < length && isDigit(load<u8>(from + i))) i++;
  return i;
}

/** Bounds the exponent that is computed. Text long enough to need a larger one does not exist. */
const EXPONENT_MAX: i64 = 1 << 40;

/** The exponent behind the digits, from its letter on. It sets parseProblem for what is none. */
function parseExponent(from: usize, length: i32): i64 {
  let i = 1;
  const letter = load<u8>(from) | 32;
  const minus = length > 1 && load<u8>(from + 1) == 45;
  if (length > 1 && (minus || load<u8>(from + 1) == 43)) i++;
  if (letter != 101 || i == length || digitsEnd(from, length, i) != length) {
    parseProblem = SYNTAX;
    return 0;
  }
  let e: i64 = 0;
  for (; i < length; i++) e = min(e * 10 + <i64>(load<u8>(from + i) - 48), EXPONENT_MAX);
  return minus ? -e : e;
}

/**
 * Reads a decimal number: an optional minus sign, digits, optionally a point and more digits, optionally an exponent.
 * Nothing else is read. parseProblem then says whether it was one.
 */
export function parseDecimal(from: usize, length: i32): Decimal {
  parseProblem = "";
  const negative = length > 0 && load<u8>(from) == 45;
  if (negative) {
    from++;
    length--;
  }
  const point = digitsEnd(from, length, 0);
  let end = point, exponent: i64 = 0;
  if (point > 0 && point < length && load<u8>(from + point) == 46) {
    end = digitsEnd(from, length, point + 1);
    exponent = -<i64>(end - point - 1);
  }
  if (point == 0 || end == point + 1) {
    parseProblem = SYNTAX;
    return ZERO;
  }
  if (end < length) exponent += parseExponent(from + end, length - end);
  if (parseProblem.length > 0) return ZERO;
  return parseDigits(from, end, exponent, negative);
}

/** The number of digits, with at most one point among them, times a power of ten. */
function parseDigits(from: usize, end: i32, exponent: i64, negative: bool): Decimal {
  let start = 0, point = start;
  while (point < end && load<u8>(from + point) != 46) point++;
  const fraction = point < end;
  while (end > start && (load<u8>(from + end - 1) == 48 || load<u8>(from + end - 1) == 46)) {
    end--;
    if (!(fraction && end == point)) exponent++;
  }
  while (start < end && (load<u8>(from + start) == 48 || load<u8>(from + start) == 46)) start++;
  const count = end - start - i32(fraction && start < point && point < end);
  if (count == 0) return ZERO;
  const shift = exponent + SCALE; // what the digits are multiplied by, as a power of ten
  if (shift < 0) {
    parseProblem = TOO_PRECISE;
    return ZERO;
  }
  if (<i64>count + shift > 39) return tooLarge(); // 2^127 has 39 digits
  setWide(0, 0, 0, 0);
  for (let i = start; i < end; i++) {
    const c = load<u8>(from + i);
    if (c == 46) continue;
    if (!addDigits(1)) return tooLarge();
    const lo = w0 + (c - 48);
    const hi = w1 + u64(lo < w0);
    if (hi < w1) return tooLarge();
    setWide(0, 0, hi, lo);
  }
  if (!addDigits(<i32>shift)) return tooLarge();
  const top: u64 = 1 << 63;
  if (w1 >= top && (!negative || w1 > top || w0 != 0)) return tooLarge();
  return signed(negative, w1, w0);
}

function tooLarge(): Decimal {
  parseProblem = TOO_LARGE;
  return ZERO;
}
