import { Config } from "./config";
import { Price } from "./price";
import { Spec } from "./spec";
import { Event, Slot } from "./slot";
import { Builder, validName } from "./text";

/**
 * One way of pricing. The engine's module makes one for each set of parameters and keeps it; it keeps nothing of its
 * own between calls but what configure made, because the engine puts the module's memory back before every batch.
 * What must last is in cells and lines.
 */
export abstract class Tariff {
  /** Reads the parameters, and claims lines, cells and dimensions. Problems are noted through the parameters. */
  abstract configure(c: Config): void;

  /**
   * Brings the slot's cells and lines up to date with one event. It may depend on the slot, the event and the
   * parameters only. A call of reject, and a number out of range, undo what it did.
   */
  abstract event(s: Slot, e: Event): void;

  /**
   * The price that is all there is to an event, if event does nothing but price.event of it; configure sets it. Stretches
   * of such events are then priced in one loop, which comes to the same.
   */
  all: Price | null = null;

  /**
   * Is called once for a slot when the period ends, after its last event and also without any: fees fall due. There is
   * no event to reject; a failure stops the closing of the period until the tariff is mended.
   */
  close(s: Slot): void {}
}

/** A tariff that a catalog can name. */
@final
export class Offer {
  constructor(readonly name: string, readonly title: string, readonly make: () => Tariff, readonly isRule: bool) {}
}

/** The module: one or more tariffs in one file. */
@final
export class Plugin {
  offers: Offer[] = [];
  /** The budget of work for one event or one close; 0 = the engine's default. */
  fuelPerEvent: i64 = 0;
  /** The budget of work for the start, and for a configuration beside what its size brings; 0 = the engine's default. */
  fuelStart: i64 = 0;
  /** The most memory that an instance may have; 0 = the engine's default. */
  memoryMaxBytes: i64 = 0;

  constructor(readonly name: string, readonly version: string) {}

  /** Adds a tariff, with what a catalog calls it ([a-z][a-z0-9_]{0,62}) and a short sentence for people. */
  tariff(name: string, title: string, make: () => Tariff): Plugin {
    return this.offer(name, title, make, false);
  }

  /**
   * Adds an invoice rule, likewise. Its events are the line items of an invoice, with quantity and amount; the lines that
   * it claims join the invoice. It may ask for the dimensions line, tariff, meter, subscription and rule.
   */
  rule(name: string, title: string, make: () => Tariff): Plugin {
    return this.offer(name, title, make, true);
  }

  private offer(name: string, title: string, make: () => Tariff, isRule: bool): Plugin {
    if (!validName(name) || this.find(name)) throw new Error("tariff name " + name + " is malformed or there twice");
    this.offers.push(new Offer(name, title, make, isRule));
    return this;
  }

  /** The tariff of that name, or null. */
  find(name: string): Offer | null {
    for (let i = 0; i < this.offers.length; i++) {
      if (this.offers[i].name == name) return this.offers[i];
    }
    return null;
  }

  /** Lists the tariffs. */
  writeNames(out: Builder): void {
    for (let i = 0; i < this.offers.length; i++) {
      if (i > 0) out.str(", ");
      out.str(this.offers[i].name);
    }
  }
}

/** The plugin that the exports serve. */
export let registered: Plugin | null = null;

/**
 * Makes a plugin known:
 *
 *     plugin("acme", "1.0.0").tariff("night", "Cheaper at night", () => new Night());
 */
export function plugin(name: string, version: string): Plugin {
  if (!validName(name)) throw new Error("plugin name " + name + " is malformed");
  const p = new Plugin(name, version);
  registered = p;
  return p;
}

/** Calls a tariff's configure to learn its parameters. */
export function describe(offer: Offer): Spec {
  const spec = new Spec();
  offer.make().configure(Config.make(null, spec));
  return spec;
}
