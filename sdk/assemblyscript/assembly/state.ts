import { Config } from "./config";
import { Decimal, Sum } from "./decimal";
import { faultWith } from "./failure";
import { replace, Slot } from "./slot";

/** The most bytes of state that a slot has. */
const STATE_MAX: u32 = 4096;

/**
 * Claims numbers that a slot keeps from one event to the next. A cell is claimed in configure, and read and written
 * with the slot in hand.
 */
@final
export class Cells {
  constructor(private config: Config, private carried: bool) {}

  private claim(): u32 {
    const c = this.config;
    c.claim("state");
    if ((c.cells + 1) * 16 > STATE_MAX) faultWith("more than 256 cells of state");
    if (this.carried) c.carried.push(c.cells);
    return c.cells++;
  }

  /** Claims a number: units, or money. */
  decimal(): Cell {
    return new Cell(this.claim());
  }

  /** Claims an exact sum of products. */
  sum(): SumCell {
    const low = this.claim();
    return new SumCell(low, this.claim());
  }

  /** Claims a whole number, such as a count or an instant. */
  int(): IntCell {
    return new IntCell(this.claim());
  }
}

/** A number that a slot keeps. */
@final
export class Cell {
  constructor(readonly index: u32) {}

  /** What the slot keeps. */
  get(s: Slot): Decimal {
    return changetype<Decimal>(s.cellAt(this.index)).copy();
  }

  /** Replaces what the slot keeps. */
  set(s: Slot, v: Decimal): void {
    replace(s.cellAt(this.index), v.lo, v.hi);
  }

  /** Adds to what the slot keeps and returns the sum. */
  add(s: Slot, v: Decimal): Decimal {
    const sum = changetype<Decimal>(s.cellAt(this.index)) + v;
    this.set(s, sum);
    return sum;
  }
}

/** A whole number that a slot keeps. */
@final
export class IntCell {
  constructor(readonly index: u32) {}

  /** What the slot keeps. */
  get(s: Slot): i64 {
    return load<i64>(s.cellAt(this.index));
  }

  /** Replaces what the slot keeps. */
  set(s: Slot, v: i64): void {
    replace(s.cellAt(this.index), v, 0);
  }
}

/** An exact sum of products that a slot keeps. */
@final
export class SumCell {
  constructor(private low: u32, private high: u32) {}

  /** What the slot keeps. */
  get(s: Slot): Sum {
    return Sum.of2(changetype<Decimal>(s.cellAt(this.low)), changetype<Decimal>(s.cellAt(this.high)));
  }

  /** Replaces what the slot keeps. */
  set(s: Slot, v: Sum): void {
    replace(s.cellAt(this.low), v.w0, <i64>v.w1);
    replace(s.cellAt(this.high), v.w2, <i64>v.w3);
  }
}

/**
 * A line item that a configuration claimed. Its quantity and amount are complete: what the slot's period comes to so
 * far, not what one event adds.
 */
@final
export class Line {
  constructor(readonly index: u32) {}

  /** The units of the line item so far. */
  quantity(s: Slot): Decimal {
    return changetype<Decimal>(s.lineAt(this.index)).copy();
  }

  /** The money of the line item so far. */
  amount(s: Slot): Decimal {
    return changetype<Decimal>(s.lineAt(this.index) + 16).copy();
  }

  /** Replaces the line item. */
  set(s: Slot, quantity: Decimal, amount: Decimal): void {
    const place = s.lineAt(this.index);
    replace(place, quantity.lo, quantity.hi);
    replace(place + 16, amount.lo, amount.hi);
  }

  /** Adds to the line item. */
  add(s: Slot, quantity: Decimal, amount: Decimal): void {
    const place = s.lineAt(this.index);
    this.set(s, changetype<Decimal>(place) + quantity, changetype<Decimal>(place + 16) + amount);
  }
}
