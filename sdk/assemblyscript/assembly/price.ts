import { Config } from "./config";
import { Decimal, ONE, ZERO } from "./decimal";
import { fail, OVERFLOW } from "./failure";
import { isExact } from "./params";
import { Rounding, WHOLE_UP } from "./rounding";
import { Event, replace, Slot } from "./slot";
import { Line } from "./state";
import { countOf, high, notCount, RECIPROCAL, WHOLE } from "./wide";

/** Describes the parameter `rounding` of the tariffs that have one. */
export const ABOUT_ROUNDING: string =
  "Rounding of each amount; without it amounts keep 18 decimal places.";

/** Something that prices units. A tariff has one or more, and hands its events and closes to them. */
export abstract class Price {
  /** Prices the event's quantity. */
  event(s: Slot, e: Event): void {
    this.add(s, e.quantity);
  }

  /** Adds units to a slot. */
  abstract add(s: Slot, q: Decimal): void;

  /** Makes due what is due without usage. */
  close(s: Slot): void {}

  /** Says whether run is worth a call. */
  runs(): bool {
    return false;
  }

  /**
   * Prices the first of so many events, whose rows begin at row and follow each other, as event does: those that are of
   * one slot and plain. It returns how many. It is the SDK's own.
   */
  run(s: Slot, row: usize, stride: usize, count: u32): u32 {
    return 0;
  }
}

/** What runLine has made of the units that it was given. */
export let runLo: u64 = 0;
export let runHi: u64 = 0;

/**
 * Adds events that are whole numbers of units to a number of units and to a line, at a plain price, as long as the units
 * stay within top: for many events of a slot at once, which it keeps out of memory. What could be a branch is computed as
 * a bit, and one test says whether the event is one of them.
 */
export function runLine(
  unitsLo: u64, unitsHi: u64, line: usize, price: Decimal, topLo: u64, topHi: u64, row: usize, stride: usize, count: u32,
): u32 {
  let partLo = load<u64>(line), partHi = load<u64>(line, 8);
  let sumLo = load<u64>(line, 16), sumHi = load<u64>(line, 24);
  if ((unitsHi | partHi | sumHi) >> 63 != 0) return 0;
  const priceLo = price.lo, priceHi = <u64>price.hi;
  const slot = changetype<Event>(row).slot;
  let done: u32 = 0;
  for (; done < count; done++, row += stride) {
    const e = changetype<Event>(row);
    const addLo = e.quantity.lo, addHi = <u64>e.quantity.hi;
    const n = high((addHi << 32 | addLo >> 32) + 1, RECIPROCAL) >> 27; // as countOf does
    const moreLo = n * priceLo;
    const aLo = unitsLo + addLo, aHi = unitsHi + addHi + u64(aLo < addLo);
    const pLo = partLo + addLo, pHi = partHi + addHi + u64(pLo < addLo);
    const sLo = sumLo + moreLo, sHi = sumHi + n * priceHi + high(n, priceLo) + u64(sLo < moreLo);
    const odd = addHi >> 31 | (n * WHOLE ^ addLo) | (aHi | pHi | sHi) >> 63 | u64(e.slot ^ slot);
    const above = u64(topHi < aHi) | u64(topHi == aHi) & u64(topLo < aLo);
    if ((odd | above) != 0) break;
    unitsLo = aLo;
    unitsHi = aHi;
    partLo = pLo;
    partHi = pHi;
    sumLo = sLo;
    sumHi = sHi;
  }
  store<u64>(line, partLo);
  store<u64>(line, partHi, 8);
  store<u64>(line, sumLo, 16);
  store<u64>(line, sumHi, 24);
  runLo = unitsLo;
  runHi = unitsHi;
  return done;
}

/**
 * Says whether whole numbers of units at a price need no rounding and do not leave the range: the amount is then a
 * product of words.
 */
export function isPlain(price: Decimal, r: Rounding): bool {
  return isExact(r) && <u64>price.hi < 1 << 26;
}

/** What q units cost at a price per unit, rounded once from the exact product. */
export function multiply(q: Decimal, price: Decimal, r: Rounding): Decimal {
  const n = countOf(q.lo, <u64>q.hi);
  if (notCount == 0 && isPlain(price, r)) {
    return Decimal.of(n * price.lo, <i64>(n * <u64>price.hi + high(n, price.lo)));
  }
  return q.mul(price, r);
}

/**
 * Adds q units to a line whose amount is the rounded price of all its units. plain is isPlain of price and rounding.
 *
 * Small whole numbers of units, which nearly all are, are added at their price: that is a whole number of the last
 * decimal place, and rounding to that place commutes with adding one of those unless the sum changes its sign. It does
 * not where the amount is not below 0.
 */
// @ts-ignore: decorator
@inline
export function extend(line: usize, q: Decimal, price: Decimal, r: Rounding, plain: bool): void {
  const qlo = q.lo, qhi = q.hi;
  const oldLo = load<u64>(line), oldHi = load<i64>(line, 8);
  const lo = oldLo + qlo;
  const hi = oldHi + qhi + i64(lo < oldLo);
  if (((oldHi ^ hi) & (qhi ^ hi)) < 0) {
    fail(OVERFLOW);
    return;
  }
  const n = countOf(qlo, <u64>qhi);
  const wasLo = load<u64>(line, 16), wasHi = load<i64>(line, 24);
  if (plain && notCount == 0 && wasHi >= 0) {
    const delta = n * price.lo;
    const sumLo = wasLo + delta;
    const sumHi = <u64>wasHi + n * <u64>price.hi + high(n, price.lo) + u64(sumLo < delta);
    if (<i64>sumHi >= 0) {
      replace(line, lo, hi);
      replace(line + 16, sumLo, <i64>sumHi);
      return;
    }
  }
  const units = Decimal.of(lo, hi);
  const amount = multiply(units, price, r);
  replace(line, lo, hi);
  replace(line + 16, amount.lo, amount.hi);
}

/** Every unit has the same price, on one line. */
@final
export class PerUnit extends Price {
  private line: Line;
  private plain: bool;

  /** Claims a line. */
  constructor(c: Config, line: string, description: string, private price: Decimal, private rounding: Rounding) {
    super();
    this.line = c.line(line, description);
    this.plain = isPlain(price, rounding);
  }

  add(s: Slot, q: Decimal): void {
    extend(s.lineAt(this.line.index), q, this.price, this.rounding, this.plain);
  }

  runs(): bool {
    return this.plain;
  }

  run(s: Slot, row: usize, stride: usize, count: u32): u32 {
    return runLine(0, 0, s.lineAt(this.line.index), this.price, u64.MAX_VALUE, i64.MAX_VALUE, row, stride, count);
  }
}

/** Whole packages of units have a price: the first unit of a package costs all of it. */
@final
export class Package extends Price {
  private line: Line;

  /**
   * Claims a line on which each package of size units costs price, after free units. The line's quantity is units, not
   * packages. size must be above 0.
   */
  constructor(
    c: Config, line: string, description: string, private size: Decimal, private free: Decimal, private price: Decimal,
    private rounding: Rounding,
  ) {
    super();
    this.line = c.line(line, description);
  }

  add(s: Slot, q: Decimal): void {
    const units = this.line.quantity(s) + q;
    const paid = units - this.free;
    this.line.set(s, units, paid.sign <= 0 ? ZERO : multiply(paid.quo(this.size, WHOLE_UP), this.price, this.rounding));
  }
}

/** An amount is due once per period, whatever the usage. */
@final
export class Flat extends Price {
  private line: Line;

  /** Claims a line. */
  constructor(c: Config, line: string, description: string, private amount: Decimal) {
    super();
    this.line = c.line(line, description);
  }

  /** Makes the amount due. Doing it again changes nothing. */
  charge(s: Slot): void {
    if (this.line.quantity(s).isZero) this.line.set(s, ONE, this.amount);
  }

  event(s: Slot, e: Event): void {
    this.charge(s);
  }

  add(s: Slot, q: Decimal): void {
    this.charge(s);
  }

  close(s: Slot): void {
    this.charge(s);
  }
}
