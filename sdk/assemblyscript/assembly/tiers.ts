import { Config } from "./config";
import { Decimal, ONE, ZERO } from "./decimal";
import { fail, failed, OVERFLOW, rejectDetail, tell } from "./failure";
import { Params } from "./params";
import { extend, isPlain, multiply, Price, runHi, runLine, runLo } from "./price";
import { Rounding } from "./rounding";
import { replace, Slot } from "./slot";
import { Cell, Line } from "./state";

/** A range of units with a price. It begins above the end of the tier before it, and ends with upTo, included. */
@final
export class Tier {
  constructor(
    /** The last unit, unless it is the last tier, which is open. */
    readonly upTo: Decimal,
    /** The price of one unit. */
    readonly unitPrice: Decimal,
    /** Due once, when the tier is entered. The first tier always is. */
    readonly flatFee: Decimal,
  ) {}
}

/** The most tiers that one list may have. */
const TIERS_MAX: i32 = 256;

/**
 * Reads the parameter `tiers`, a list of {up_to, unit_price, flat_fee}. Tiers that are not in order, and a last tier
 * that is not open, are noted as problems.
 */
export function readTiers(p: Params): Tier[] {
  const list = p.list("tiers", "The price steps, from the lowest up.");
  const tiers: Tier[] = [];
  if (list.length > TIERS_MAX) {
    p.fail("tiers", "must be at most 256");
    return tiers;
  }
  let previous = ZERO;
  for (let i = 0; i < list.length; i++) {
    const entry = list[i], last = i == list.length - 1;
    const upTo = entry.decimalOr("up_to", "The last unit of the tier, itself included; null in the last tier.", ZERO);
    const closed = entry.given;
    const price = entry.decimal("unit_price", "The price of one unit.");
    const fee = entry.decimalOr("flat_fee", "Due once when the tier is entered; that of the first tier always.", ZERO);
    tiers.push(new Tier(upTo, price, fee));
    if (!last && !closed && !entry.present("up_to")) entry.fail("up_to", "only the last tier is open");
    else if (last && closed) entry.fail("up_to", "must be null: the last tier is open");
    else if (!last && closed && upTo <= previous) entry.fail("up_to", "must be greater than " + previous.toString());
    if (closed) previous = upTo;
  }
  return tiers;
}

/** A tier with its place. */
@final
class Step {
  open: bool = false; // upTo is infinite
  plain: bool = false; // see isPlain
  usage!: Line;
  flat: Line | null = null;

  constructor(readonly above: Decimal, readonly upTo: Decimal, readonly price: Decimal, readonly fee: Decimal) {}

  /** Describes the range. */
  span(first: bool): string {
    if (first) return this.open ? "" : ", up to " + this.upTo.toString();
    if (this.open) return ", over " + this.above.toString();
    return ", over " + this.above.toString() + " up to " + this.upTo.toString();
  }
}

/** A list of tiers with lines. */
@final
class Ladder {
  steps: Step[] = [];

  /** Claims the lines tier_1, tier_1_flat_fee, tier_2 and so on, each behind prefix. */
  constructor(c: Config, prefix: string, tiers: Tier[], readonly rounding: Rounding) {
    let above = ZERO;
    for (let i = 0; i < tiers.length; i++) {
      const t = tiers[i];
      const name = "Tier " + (i + 1).toString(), id = prefix + "tier_" + (i + 1).toString();
      const before = failed();
      const fee = t.flatFee.round(rounding);
      if (!before && failed()) {
        tell();
        c.params.fail("", "flat fee of tier " + (i + 1).toString() + ": " + rejectDetail.toString());
      }
      const st = new Step(above, t.upTo, t.unitPrice, fee);
      st.open = i == tiers.length - 1;
      st.plain = isPlain(t.unitPrice, rounding);
      st.usage = c.line(id, name + st.span(i == 0));
      if (!t.flatFee.isZero) st.flat = c.line(id + "_flat_fee", name + " flat fee");
      this.steps.push(st);
      above = t.upTo;
    }
  }

  /** The index of the step that so many units end in. What is below 0 ends in the first. */
  at(units: Decimal): i32 {
    const last = this.steps.length - 1;
    for (let i = 0; i < last; i++) {
      if (units <= unchecked(this.steps[i]).upTo) return i;
    }
    return last;
  }

  /** Writes the lines of one step. */
  bill(s: Slot, st: Step, units: Decimal, entered: bool): void {
    st.usage.set(s, units, multiply(units, st.price, this.rounding));
    const flat = st.flat;
    if (!flat) return;
    if (entered) flat.set(s, ONE, st.fee);
    else flat.set(s, ZERO, ZERO);
  }
}

/** Units are spread over tiers: each part has its tier's price. Flat fees of all entered tiers are due. */
@final
export class Graduated extends Price {
  private ladder: Ladder;
  private units: Cell;

  /**
   * Claims lines for each tier, tier_N for usage and tier_N_flat_fee where a tier has a fee, with prefix before them;
   * the amount on each line is rounded.
   */
  constructor(c: Config, prefix: string, tiers: Tier[], r: Rounding) {
    super();
    this.ladder = new Ladder(c, prefix, tiers, r);
    this.units = c.state.decimal();
  }

  /** Adds units. Only the tiers between the old and the new sum change. */
  add(s: Slot, q: Decimal): void {
    const cell = s.cellAt(this.units.index);
    const before = changetype<Decimal>(cell);
    const oldLo = before.lo, oldHi = before.hi;
    const lo = oldLo + q.lo;
    const hi = oldHi + q.hi + i64(lo < oldLo);
    if (((oldHi ^ hi) & (q.hi ^ hi)) < 0) {
      fail(OVERFLOW);
      return;
    }
    const ladder = this.ladder, steps = ladder.steps;
    let i = 0;
    for (const last = steps.length - 1; i < last; i++) {
      const upTo = unchecked(steps[i]).upTo;
      if (oldHi < upTo.hi || oldHi == upTo.hi && oldLo <= upTo.lo) break;
    }
    const st = unchecked(steps[i]);
    const above = st.above, upTo = st.upTo;
    const started = oldHi > 0 || oldHi == 0 && oldLo > 0;
    const stays = (above.hi < hi || above.hi == hi && above.lo < lo)
      && (st.open || hi < upTo.hi || hi == upTo.hi && lo <= upTo.lo);
    if (started && stays) { // the units begin and end in the same tier, as nearly all do
      replace(cell, lo, hi);
      extend(s.lineAt(st.usage.index), q, st.price, ladder.rounding, st.plain);
      return;
    }
    this.climb(s, before.copy(), Decimal.of(lo, hi));
  }

  runs(): bool {
    const steps = this.ladder.steps;
    for (let i = 0; i < steps.length; i++) {
      if (!steps[i].plain) return false;
    }
    return true;
  }

  run(s: Slot, row: usize, stride: usize, count: u32): u32 {
    const cell = s.cellAt(this.units.index);
    const units = changetype<Decimal>(cell);
    if (units.sign <= 0) return 0; // the first event may bring a flat fee
    const st = unchecked(this.ladder.steps[this.ladder.at(units)]);
    const topLo = st.open ? u64.MAX_VALUE : st.upTo.lo, topHi = st.open ? i64.MAX_VALUE : st.upTo.hi;
    const done = runLine(units.lo, <u64>units.hi, s.lineAt(st.usage.index), st.price, topLo, <u64>topHi, row, stride, count);
    if (done > 0) {
      store<u64>(cell, runLo);
      store<u64>(cell, runHi, 8);
    }
    return done;
  }

  /** Brings all tiers from the one of before to that of after up to date. */
  private climb(s: Slot, before: Decimal, after: Decimal): void {
    this.units.set(s, after);
    const a = this.ladder.at(before), b = this.ladder.at(after);
    for (let i = min(a, b), last = max(a, b); i <= last; i++) this.bill(s, i, after);
  }

  /** Makes the flat fee of the first tier due even without usage. */
  close(s: Slot): void {
    this.bill(s, 0, this.units.get(s));
  }

  /** Writes the lines of tier i when there are units in all. */
  private bill(s: Slot, i: i32, units: Decimal): void {
    const st = this.ladder.steps[i];
    if (i > 0 && units <= st.above) {
      this.ladder.bill(s, st, ZERO, false);
      return;
    }
    const top = !st.open && units > st.upTo ? st.upTo : units;
    this.ladder.bill(s, st, top - st.above, true);
  }
}

/**
 * All units have the price of the one tier that their sum ends in. Only that tier's flat fee is due.
 */
@final
export class Volume extends Price {
  private ladder: Ladder;
  private units: Cell;
  private fixed: i32 = -1; // the tier is given, not found

  /** Claims lines as Graduated does. */
  constructor(c: Config, prefix: string, tiers: Tier[], r: Rounding) {
    super();
    this.ladder = new Ladder(c, prefix, tiers, r);
    this.units = c.state.decimal();
  }

  /**
   * Lets the given number of units choose the tier, whatever the sum is: a subscription that was active for a part of
   * the period has fewer units than decide on its price.
   */
  fixTier(units: Decimal): void {
    this.fixed = this.ladder.at(units);
  }

  add(s: Slot, q: Decimal): void {
    const before = this.units.get(s);
    const after = before + q;
    this.units.set(s, after);
    const left = this.at(before), now = this.at(after);
    if (left != now) this.ladder.bill(s, this.ladder.steps[left], ZERO, false);
    this.ladder.bill(s, this.ladder.steps[now], after, true);
  }

  /** Makes the flat fee due even without usage. */
  close(s: Slot): void {
    const units = this.units.get(s);
    this.ladder.bill(s, this.ladder.steps[this.at(units)], units, true);
  }

  private at(units: Decimal): i32 {
    return this.fixed >= 0 ? this.fixed : this.ladder.at(units);
  }
}
