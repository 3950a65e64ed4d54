import { Config } from "./config";
import { Decimal, ZERO } from "./decimal";
import { Params } from "./params";
import { Price } from "./price";
import { EXACT, parseMode, Rounding, SCALE_MAX, SCALE_MIN } from "./rounding";
import { Slot } from "./slot";
import { Cell } from "./state";

/** Turns metered units into billed ones. */
@final
export class Conversion {
  private constructor(private multiply: bool, private factor: Decimal, private rounding: Rounding) {}

  /** Reads {operation, factor, rounding, precision}. */
  static read(p: Params): Conversion {
    const operation = p.choice("operation", "How the factor applies.", ["multiply", "divide"]);
    const factor = p.decimal("factor", "What metered units are multiplied with or divided by.");
    if (factor.sign <= 0) p.fail("factor", "must be greater than 0");
    const mode = p.choiceOr("rounding", "How converted units are rounded; none keeps 18 decimal places.", "none",
      ["none", "ceiling", "floor", "half_up", "half_even"]);
    const precision = <i32>p.intOr("precision", "The decimal places that rounding keeps; 0 without.", SCALE_MIN, SCALE_MAX, 0);
    const rounding = mode == "none" ? EXACT : new Rounding(precision, parseMode(mode));
    return new Conversion(operation == "multiply", factor, rounding);
  }

  /** The billed units. */
  convert(q: Decimal): Decimal {
    return this.multiply ? q.mul(this.factor, this.rounding) : q.quo(this.factor, this.rounding);
  }
}

/**
 * Prices what is left of metered units after their conversion and the free ones. Both apply to the sum of the period:
 * its rounded conversion is priced, so that roundings of single events do not add up.
 *
 *     const net = NetUnits.read(c);
 *     this.price = net.before(new PerUnit(...));
 */
@final
export class NetUnits extends Price {
  private inner: Price | null = null;
  private metered: Cell | null = null;
  private billed: Cell | null = null;

  private constructor(private config: Config, private conversion: Conversion | null, private free: Decimal) {
    super();
  }

  /** Reads the parameters `unit_conversion` and `discounts.usage`. */
  static read(c: Config): NetUnits {
    const conversion = c.params.objectOr("unit_conversion", "Turns metered units into billed ones, before anything else.");
    const discounts = c.params.objectOr("discounts", "What is taken off before prices.");
    const turn: Conversion | null = conversion.there ? Conversion.read(conversion) : null;
    let free = ZERO;
    if (discounts.there) free = discounts.decimalOr("usage", "Units that are free in each period, after conversion.", ZERO);
    if (free.sign < 0) discounts.fail("usage", "must not be below 0");
    return new NetUnits(c, turn, free);
  }

  /** Puts the conversion and the free units before a price, to be called once. Without either it is the price itself. */
  before(inner: Price): Price {
    if (!this.conversion && this.free.isZero) return inner;
    this.inner = inner;
    this.metered = this.config.state.decimal();
    this.billed = this.config.state.decimal();
    return this;
  }

  add(s: Slot, q: Decimal): void {
    let units = this.metered!.add(s, q);
    const conversion = this.conversion;
    if (conversion) units = conversion.convert(units);
    if (units.sign > 0) {
      units = units - this.free;
      if (units.sign < 0) units = ZERO;
    }
    const step = units - this.billed!.get(s);
    this.billed!.set(s, units);
    this.inner!.add(s, step);
  }

  close(s: Slot): void {
    this.inner!.close(s);
  }
}
