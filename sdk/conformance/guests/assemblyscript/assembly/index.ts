import {
  Config, Decimal, Dimension, Event, Line, parseMode, parseProblem, plugin, reject, Rounding, Slot, SumCell, SYNTAX,
  Tariff, TOO_PRECISE, ZERO,
} from "@tollway/tariff";

/** Does one operation on each event, as the shared file asks for it. */
class Conformance extends Tariff {
  private operation: string = "";
  private n: i64 = 0;
  private rounding!: Rounding;
  private text!: Dimension;
  private result!: Line;
  private sum!: SumCell;

  configure(c: Config): void {
    const p = c.params;
    this.operation = p.choice("operation", "What is done.",
      ["parse", "format", "compare", "neg", "abs", "add", "sub", "mul", "quo", "round", "mul_quo", "sum"]);
    this.n = p.intOr("n", "What a product or a sum is divided by.", i64.MIN_VALUE, i64.MAX_VALUE, 0);
    this.text = c.dimension("text");
    this.result = c.line("result", "Result");
    this.sum = c.state.sum();
    const scale = <i32>p.intOr("scale", "Decimal places.", -100, 100, 0);
    const mode = p.choiceOr("mode", "How results are rounded.", "none", ["none", "half_up", "half_even", "floor", "ceiling"]);
    this.rounding = new Rounding(scale, parseMode(mode));
  }

  event(s: Slot, e: Event): void {
    const operation = this.operation;
    const rounds = operation == "mul" || operation == "quo" || operation == "round" || operation == "mul_quo" || operation == "sum";
    if (rounds && !this.rounding.valid) {
      reject("invalid_rounding", "a scale is -20 to 18");
      return;
    }
    this.result.set(s, this.perform(s, e, e.quantity, e.amount), ZERO);
  }

  private perform(s: Slot, e: Event, a: Decimal, b: Decimal): Decimal {
    const operation = this.operation, r = this.rounding;
    if (operation == "parse") return this.parse(e);
    if (operation == "format") {
      reject("text", a.fixed(r.scale));
      return ZERO;
    }
    if (operation == "compare") return Decimal.from(a.compare(b));
    if (operation == "neg") return -a;
    if (operation == "abs") return a.abs();
    if (operation == "add") return a + b;
    if (operation == "sub") return a - b;
    if (operation == "mul") return a.mul(b, r);
    if (operation == "quo") return a.quo(b, r);
    if (operation == "round") return a.round(r);
    if (operation == "mul_quo") return a.mulQuo(b, this.n, r);
    const sum = this.sum.get(s).addProduct(a, b);
    this.sum.set(s, sum);
    return sum.quo(this.n, r);
  }

  private parse(e: Event): Decimal {
    const d = Decimal.read(this.text.of(e));
    if (parseProblem == SYNTAX) reject("syntax", parseProblem);
    else if (parseProblem == TOO_PRECISE) reject("too_precise", parseProblem);
    else if (parseProblem.length > 0) reject("overflow", parseProblem);
    return d;
  }
}

plugin("conformance", "1.0.0").tariff("conformance", "One operation on decimal numbers", () => new Conformance());

export * from "@tollway/tariff/exports";
