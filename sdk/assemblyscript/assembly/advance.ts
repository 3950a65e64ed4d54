import { Config } from "./config";
import { Decimal, ONE, Sum } from "./decimal";
import { Price } from "./price";
import { Rounding, WHOLE_UP } from "./rounding";
import { Slot } from "./slot";
import { Cell, IntCell, Line } from "./state";
import { Tier } from "./tiers";

/** What so many units cost, exact. */
export abstract class Cost {
  abstract of(units: Decimal): Sum;
}

/** One price for every unit. */
@final
export class PerUnitCost extends Cost {
  constructor(private price: Decimal) {
    super();
  }

  of(units: Decimal): Sum {
    return Sum.of(units, this.price);
  }
}

/** Whole packages of units, after free ones. */
@final
export class PackageCost extends Cost {
  constructor(private size: Decimal, private free: Decimal, private price: Decimal) {
    super();
  }

  of(units: Decimal): Sum {
    const paid = units - this.free;
    return paid.sign <= 0 ? Sum.zero() : Sum.of(paid.quo(this.size, WHOLE_UP), this.price);
  }
}

/** Units spread over tiers, with the flat fees of all that are entered. */
@final
export class GraduatedCost extends Cost {
  constructor(private tiers: Tier[]) {
    super();
  }

  of(units: Decimal): Sum {
    let sum = Sum.zero();
    for (let i = 0, last = this.tiers.length - 1; i <= last; i++) {
      const t = this.tiers[i];
      if (i > 0 && units <= this.tiers[i - 1].upTo) break;
      let part = i < last && units > t.upTo ? t.upTo : units;
      if (i > 0) part = part - this.tiers[i - 1].upTo;
      sum = sum.addProduct(part, t.unitPrice).addProduct(ONE, t.flatFee);
    }
    return sum;
  }
}

/** Units that all have the price of the tier in which their sum ends, with that tier's flat fee. */
@final
export class VolumeCost extends Cost {
  constructor(private tiers: Tier[]) {
    super();
  }

  of(units: Decimal): Sum {
    let i = 0;
    while (i < this.tiers.length - 1 && units > this.tiers[i].upTo) i++;
    const t = this.tiers[i];
    return Sum.of(units, t.unitPrice).addProduct(ONE, t.flatFee);
  }
}

/**
 * Bills usage when it arrives: an event costs by how much it raises the cost of the most units there ever were,
 * rounded. A fall is not refunded, and what rises again up to the old peak is free. Before the first event nothing is
 * due, so that event pays the flat fee of the first tier.
 */
@final
export class InAdvance extends Price {
  private line: Line;
  private peak: Cell;
  private begun: IntCell;

  /** Claims a line. */
  constructor(c: Config, line: string, description: string, private cost: Cost, private rounding: Rounding) {
    super();
    this.line = c.line(line, description);
    this.peak = c.state.decimal();
    this.begun = c.state.int();
  }

  add(s: Slot, q: Decimal): void {
    this.level(s, this.line.quantity(s) + q);
  }

  /** Sets the units, where something else than addition makes them. */
  level(s: Slot, units: Decimal): void {
    const before = this.peak.get(s);
    const after = units > before ? units : before;
    let charge = this.cost.of(after);
    if (this.begun.get(s) != 0) charge = charge - this.cost.of(before);
    const amount = this.line.amount(s) + charge.round(this.rounding);
    this.begun.set(s, 1);
    this.peak.set(s, after);
    this.line.set(s, units, amount);
  }
}
