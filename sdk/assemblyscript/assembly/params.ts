import { Config } from "./config";
import { Decimal, parseDecimal, parseProblem, ZERO } from "./decimal";
import { Kind, kindName, Node } from "./json";
import { EXACT, NONE, parseMode, Rounding, SCALE_MAX, SCALE_MIN } from "./rounding";
import { Field, FieldKind, fieldName, roundingSpec, Spec } from "./spec";
import { Dimension } from "./table";
import { parseWhole, wholeProblem } from "./whole";
import { parseTime } from "./time";
import { validName } from "./text";

/** One member of a map of parameters. */
export class Entry {
  constructor(readonly key: string, readonly params: Params) {}
}

/** One member of a map of numbers. */
export class NamedDecimal {
  constructor(readonly key: string, readonly value: Decimal) {}
}

/**
 * Reads one object of parameters. A reader is named for the type it gives, takes the parameter's name and one sentence
 * about it, and gives a usable value in any case: what is missing, malformed or unknown is noted with its path, and
 * after the tariff's configure the engine gets all problems at once. So a configure needs no error handling.
 *
 * The same calls make the JSON Schema of the manifest, so that it cannot differ from what is read. They should
 * therefore be made whatever the values are: read first, decide afterwards.
 *
 * Numbers are decimal strings ("0.002"); JSON numbers are taken too, by their text, never through binary floating
 * point. An optional parameter may be absent or null; `given` says whether the one read last was there.
 */
@final
export class Params {
  /** Says whether the parameter read last was there and as it should be. */
  given: bool = false;

  constructor(private config: Config, private node: Node | null, private spec: Spec | null) {}

  /** Says whether these parameters are there; an object that is optional may not be. */
  get there(): bool {
    return this.node != null || this.spec != null;
  }

  /** Finds the value of a parameter, null when it is absent, null or of another kind than those given. */
  private find(f: Field, required: bool, kind: Kind, orKind: Kind): Node | null {
    this.given = false;
    f.required = required;
    const spec = this.spec;
    if (spec) {
      spec.add(f);
      return null;
    }
    const object = this.node;
    if (!object) return null;
    const n = object.member(f.name);
    if (!n) {
      if (required) this.fail(f.name, "is missing");
      return null;
    }
    n.used = true;
    if (n.kind == Kind.Null && !required) return null;
    if (n.kind == kind || n.kind == orKind) {
      this.given = true;
      return n;
    }
    this.fail(f.name, "must be " + fieldName(f.kind) + ", not " + kindName(n.kind));
    return null;
  }

  /**
   * Notes a problem with the named parameter of this object, "" for the object itself. The path stands before the
   * message, which should say what would be right: "must be greater than 1000".
   */
  fail(name: string, message: string): void {
    this.given = false;
    if (!this.node || this.spec) return;
    const text = this.config.problemAt(this.node, name);
    if (text) text.str(message);
  }

  private failQuoting(name: string, message: string, n: Node): void {
    this.given = false;
    const text = this.config.problemAt(this.node, name);
    if (text) text.str(message).quoted(n.text, n.textLength);
  }

  /** Says whether a parameter is there and not null, without reading it. */
  present(name: string): bool {
    const object = this.node;
    if (!object) return false;
    const n = object.member(name);
    return n != null && n.kind != Kind.Null;
  }

  private number(name: string, about: string, required: bool, absent: Decimal): Decimal {
    const n = this.find(new Field(name, about, FieldKind.Decimal), required, Kind.String, Kind.Number);
    return n ? this.numberAt(n, absent) : absent;
  }

  private numberAt(n: Node, absent: Decimal): Decimal {
    const d = parseDecimal(n.text, n.textLength);
    if (parseProblem.length == 0) return d;
    this.given = false;
    const text = this.config.problemAt(n, "");
    if (text) {
      text.str("decimal ");
      if (n.textLength > 64) text.quoted(n.text, 64).str("…");
      else text.quoted(n.text, n.textLength);
      text.str(": ").str(parseProblem);
    }
    return absent;
  }

  /** Reads a number: money in the tariff's currency, units, or a factor. */
  decimal(name: string, about: string): Decimal {
    return this.number(name, about, true, ZERO);
  }

  /** Reads a number that may be absent. */
  decimalOr(name: string, about: string, absent: Decimal): Decimal {
    return this.number(name, about, false, absent);
  }

  private whole(name: string, about: string, least: i64, most: i64, required: bool, absent: i64): i64 {
    const f = new Field(name, about, FieldKind.Int);
    f.least = least;
    f.most = most;
    const n = this.find(f, required, Kind.Number, Kind.Number);
    if (!n) return absent;
    const value = parseWhole(n.text, n.textLength);
    if (!wholeProblem && value >= least && value <= most) return value;
    this.fail(name, "must be a whole number from " + least.toString() + " to " + most.toString());
    return least;
  }

  /** Reads a whole number of at least least and at most most. */
  int(name: string, about: string, least: i64, most: i64): i64 {
    return this.whole(name, about, least, most, true, least);
  }

  /** Reads such a number that may be absent. */
  intOr(name: string, about: string, least: i64, most: i64, absent: i64): i64 {
    return this.whole(name, about, least, most, false, absent);
  }

  /** Reads true or false that may be absent. */
  boolOr(name: string, about: string, absent: bool): bool {
    const n = this.find(new Field(name, about, FieldKind.Bool), false, Kind.Bool, Kind.Bool);
    return n ? n.is("true") : absent;
  }

  private words(name: string, about: string, required: bool, absent: string): string {
    const n = this.find(new Field(name, about, FieldKind.Text), required, Kind.String, Kind.String);
    if (!n) return absent;
    if (n.textLength == 0) this.fail(name, "must not be empty");
    return n.string;
  }

  /** Reads a string that is not empty. */
  text(name: string, about: string): string {
    return this.words(name, about, true, "");
  }

  /** Reads a string that may be absent; given, it is not empty. */
  textOr(name: string, about: string, absent: string): string {
    return this.words(name, about, false, absent);
  }

  /** Reads the name of a dimension of the meter that may be absent, and claims it. Null without. */
  dimensionOr(name: string, about: string): Dimension | null {
    const dimension = this.textOr(name, about, "");
    if (dimension.length == 0) return null;
    if (!validName(dimension)) {
      this.fail(name, "must be a dimension of the meter");
      return null;
    }
    return this.config.dimension(dimension);
  }

  private oneOf(name: string, about: string, required: bool, absent: string, choices: string[]): string {
    const f = new Field(name, about, FieldKind.Choice);
    f.choices = choices;
    const n = this.find(f, required, Kind.String, Kind.String);
    if (!n) return absent;
    let list = "";
    for (let i = 0; i < choices.length; i++) {
      if (n.is(choices[i])) return choices[i];
      list += (i > 0 ? ", " : "") + choices[i];
    }
    this.failQuoting(name, (choices.length == 1 ? "must be " : "must be one of ") + list + ", not ", n);
    return absent;
  }

  /** Reads one of several words. */
  choice(name: string, about: string, choices: string[]): string {
    return this.oneOf(name, about, true, "", choices);
  }

  /** Reads one of several words that may be absent; absent need not be among them. */
  choiceOr(name: string, about: string, absent: string, choices: string[]): string {
    return this.oneOf(name, about, false, absent, choices);
  }

  /** Reads an instant (RFC 3339) that may be absent, as unix nanoseconds. */
  timeOr(name: string, about: string, absent: i64): i64 {
    const n = this.find(new Field(name, about, FieldKind.Time), false, Kind.String, Kind.String);
    if (!n) return absent;
    const t = parseTime(n.text, n.textLength);
    if (t != i64.MIN_VALUE) return t;
    this.failQuoting(name, "must be an instant such as 2026-01-01T00:00:00Z, not ", n);
    return absent;
  }

  /** Reads {"scale": 2, "mode": "half_up"}. Absent, null and mode none give EXACT. */
  rounding(name: string, about: string): Rounding {
    const f = new Field(name, about, FieldKind.Rounding);
    f.inner = roundingSpec();
    const n = this.find(f, false, Kind.Object, Kind.Object);
    if (!n) return EXACT;
    const r = this.config.open(n);
    const mode = r.choice("mode", "", ["none", "half_up", "half_even", "floor", "ceiling"]);
    if (mode == "none" || mode.length == 0) {
      r.intOr("scale", "", SCALE_MIN, SCALE_MAX, 0);
      return EXACT;
    }
    return new Rounding(<i32>r.int("scale", "", SCALE_MIN, SCALE_MAX), parseMode(mode));
  }

  /** Gives the parameters inside the named one while the schema is made. */
  private described(spec: Spec, name: string): Params {
    const f = spec.of(name);
    return new Params(this.config, null, f ? f.within() : null);
  }

  private inner(name: string, about: string, required: bool): Params {
    const n = this.find(new Field(name, about, FieldKind.Object), required, Kind.Object, Kind.Object);
    const spec = this.spec;
    if (spec) return this.described(spec, name);
    return n ? this.config.open(n) : new Params(this.config, null, null);
  }

  /** Reads parameters of their own. */
  object(name: string, about: string): Params {
    return this.inner(name, about, true);
  }

  /** Reads parameters of their own that may be absent; `there` of the result says whether they are. */
  objectOr(name: string, about: string): Params {
    return this.inner(name, about, false);
  }

  private entries(name: string, about: string, required: bool): Params[] {
    const n = this.find(new Field(name, about, FieldKind.List), required, Kind.List, Kind.List);
    const spec = this.spec;
    if (spec) return [this.described(spec, name)];
    const list: Params[] = [];
    if (!n) return list;
    let c = n.first;
    while (c) {
      list.push(this.config.entry(c));
      c = c.next;
    }
    if (required && list.length == 0) this.fail(name, "must not be empty");
    return list;
  }

  /** Reads a list of objects that has at least one. */
  list(name: string, about: string): Params[] {
    return this.entries(name, about, true);
  }

  /** Reads a list of objects that may be absent or empty. */
  listOr(name: string, about: string): Params[] {
    return this.entries(name, about, false);
  }

  /**
   * Reads an object whose keys are the catalog's own and whose values are all objects of one kind, such as prices by
   * SKU. It may be empty.
   */
  map(name: string, about: string): Entry[] {
    const n = this.find(new Field(name, about, FieldKind.Map), true, Kind.Object, Kind.Object);
    const spec = this.spec;
    if (spec) return [new Entry("", this.described(spec, name))];
    const list: Entry[] = [];
    if (!n) return list;
    let c = n.first;
    while (c) {
      list.push(new Entry(c.keyString, this.config.entry(c)));
      c = c.next;
    }
    return list;
  }

  /** Reads a list of strings that may be absent or empty. */
  textsOr(name: string, about: string): string[] {
    const n = this.find(new Field(name, about, FieldKind.Texts), false, Kind.List, Kind.List);
    const list: string[] = [];
    if (!n) return list;
    let c = n.first;
    while (c) {
      c.used = true;
      if (c.kind == Kind.String) {
        list.push(c.string);
      } else {
        const text = this.config.problemAt(c, "");
        if (text) text.str("must be a string, not ").str(kindName(c.kind));
      }
      c = c.next;
    }
    return list;
  }

  /** Reads an object whose keys are the catalog's own and whose values are numbers. It may be empty. */
  decimalMap(name: string, about: string): NamedDecimal[] {
    const n = this.find(new Field(name, about, FieldKind.DecimalMap), true, Kind.Object, Kind.Object);
    const list: NamedDecimal[] = [];
    if (!n) return list;
    let c = n.first;
    while (c) {
      c.used = true;
      if (c.kind == Kind.String || c.kind == Kind.Number) {
        list.push(new NamedDecimal(c.keyString, this.numberAt(c, ZERO)));
      } else {
        const text = this.config.problemAt(c, "");
        if (text) text.str("must be a decimal number, not ").str(kindName(c.kind));
      }
      c = c.next;
    }
    return list;
  }
}

/** Says whether a rounding keeps as many places as there are, ties away from zero. */
export function isExact(r: Rounding): bool {
  return r.mode != NONE && r.scale == EXACT.scale && r.mode == EXACT.mode;
}
