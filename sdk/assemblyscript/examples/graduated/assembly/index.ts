import {
  ABOUT_ROUNDING, Config, Event, Graduated, GraduatedCost, InAdvance, NetUnits, plugin, Price, readTiers, Slot, Tariff,
} from "@tollway/tariff";

/** Spreads units over tiers: each part has its tier's price, and the flat fees of all entered tiers are due. */
class GraduatedTariff extends Tariff {
  private price!: Price;

  configure(c: Config): void {
    const billing = c.params.choiceOr("billing",
      "When usage is billed: one bill in arrears, progressive bills on the way, or each event in advance, when it arrives.",
      "arrears", ["arrears", "progressive", "in_advance"]);
    const rounding = c.params.rounding("rounding", ABOUT_ROUNDING);
    const net = NetUnits.read(c);
    const tiers = readTiers(c.params);
    this.price = net.before(billing == "in_advance"
      ? new InAdvance(c, "usage", "Usage", new GraduatedCost(tiers), rounding) as Price
      : new Graduated(c, "", tiers, rounding) as Price);
    this.all = this.price;
  }

  event(s: Slot, e: Event): void {
    this.price.event(s, e);
  }

  close(s: Slot): void {
    this.price.close(s);
  }
}

plugin("graduated", "1.0.0")
  .tariff("graduated", "Each tier's units at that tier's price", () => new GraduatedTariff());

export * from "@tollway/tariff/exports";
