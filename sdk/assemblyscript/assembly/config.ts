import { faultWith } from "./failure";
import { appendKey, appendPath, Kind, kindName, Node } from "./json";
import { Params } from "./params";
import { Spec } from "./spec";
import { Cells, Line } from "./state";
import { Dimension } from "./table";
import { Builder, validName } from "./text";

const LINES_MAX: u32 = 1024;
const DIMENSIONS_MAX: i32 = 16;

/** Bounds the text of a refusal; the rest is counted. */
const PROBLEMS_SHOWN: i32 = 20;

// What a configuration says of itself, and what is wrong with its parameters: one at a time is made.
const lineList = new Builder();
const problems = new Builder();
const scratch = new Builder();

/**
 * What a tariff gets once per set of parameters: it reads the parameters and claims what it needs, above all its
 * lines. Claims last as long as the configuration; they are made in configure only.
 */
@final
export class Config {
  /** The parameters as the catalog gives them for this account. */
  params!: Params;
  /** The ISO 4217 code of the currency of all amounts. */
  currency: string = "";
  /** Numbers of a slot that begin at 0 with each billing period. */
  state!: Cells;
  /** Numbers of a slot that begin with what the period before ended with. */
  carry!: Cells;

  // The rest is the SDK's.
  cells: u32 = 0;
  carried: u32[] = [];
  lines: u32 = 0;
  dimensions: string[] = [];
  closed: bool = false;
  root: Node | null = null;
  private ids: string[] = [];
  private problemCount: i32 = 0;

  /** The configuration of the parameters at root, or one that only learns what is asked for. */
  static make(root: Node | null, spec: Spec | null): Config {
    const c = new Config();
    if (!spec) {
      lineList.clear();
      problems.clear();
    }
    c.state = new Cells(c, false);
    c.carry = new Cells(c, true);
    c.root = root;
    c.params = new Params(c, root, spec);
    if (root) root.opened = true;
    return c;
  }

  /**
   * Claims a line item. The id is its name in subtotals and exports, [a-z][a-z0-9_]{0,62} and unique within the tariff;
   * the description is what an invoice prints. Lines appear in the order in which they are claimed.
   */
  line(id: string, description: string): Line {
    this.claim("line");
    if (!validName(id)) faultWith("line " + id + " is not of the form [a-z][a-z0-9_]{0,62}");
    if (this.ids.includes(id)) faultWith("line " + id + " is claimed twice");
    if (this.lines == LINES_MAX) faultWith("more than 1024 lines");
    this.ids.push(id);
    if (this.lines > 0) lineList.byte(44);
    lineList.str('{"id":').jsonStr(id).str(',"description":');
    scratch.clear().str(description).cut(200);
    lineList.json(scratch.at, scratch.length).byte(125);
    return new Line(this.lines++);
  }

  /**
   * Claims a dimension of the meter: events then bring its value. Claiming one twice gives the same. A name that no
   * meter can have is a problem of the parameters that name it, so check with validName what a parameter brings.
   */
  dimension(name: string): Dimension {
    this.claim("dimension");
    let index = this.dimensions.indexOf(name);
    if (index < 0) {
      index = this.dimensions.length;
      if (index == DIMENSIONS_MAX) faultWith("more than 16 dimensions");
      this.dimensions.push(name);
    }
    return new Dimension(index);
  }

  /** Stops a tariff that asks for lines or state while it prices. */
  claim(what: string): void {
    if (this.closed) faultWith(what + " is claimed after configure");
  }

  /** Begins the note of a problem, with where it is; the text is to follow. Null when enough are noted. */
  problemAt(n: Node | null, member: string): Builder | null {
    if (++this.problemCount > PROBLEMS_SHOWN) return null;
    if (problems.length > 0) problems.str("; ");
    problems.str("params");
    appendPath(problems, n, this.root);
    if (member.length > 0) {
      scratch.clear().str(member);
      appendKey(problems, scratch.at, scratch.length);
    }
    return problems.str(": ");
  }

  get hasProblems(): bool {
    return this.problemCount > 0;
  }

  /** Writes the refusal of the parameters. */
  writeRefusal(out: Builder): void {
    if (this.problemCount > PROBLEMS_SHOWN) {
      problems.str("; and ").num(this.problemCount - PROBLEMS_SHOWN).str(" more");
    }
    problems.cut(4096);
    out.str('{"error":').json(problems.at, problems.length).byte(125);
  }

  /** Gives a child of a list or map as parameters. */
  entry(child: Node): Params {
    child.used = true;
    if (child.kind != Kind.Object) {
      const text = this.problemAt(child, "");
      if (text) text.str("must be an object, not ").str(kindName(child.kind));
      return new Params(this, null, null);
    }
    return this.open(child);
  }

  /** Gives an object as parameters: from now on a member that nothing asks for is unknown. */
  open(object: Node): Params {
    object.opened = true;
    return new Params(this, object, null);
  }

  /** Writes what the engine is to know of the configuration. */
  writeReply(out: Builder): void {
    out.str('{"lines":[').add(lineList).str('],"state_size":').num(this.cells * 16);
    out.str(',"state_max":').num(this.cells * 16);
    if (this.carried.length > 0) out.str(',"carry_size":').num(this.carried.length * 16);
    out.str(',"dimensions":[');
    for (let i = 0; i < this.dimensions.length; i++) {
      if (i > 0) out.byte(44);
      out.jsonStr(this.dimensions[i]);
    }
    out.str("]}");
  }

  /**
   * Notes every parameter that nothing asked for, of all that were read since root. One that is known, but was not
   * asked for this time, has no effect beside the others; after another problem that means nothing.
   */
  refuseUnknown(whole: Node, known: Spec): void {
    const sound = this.problemCount == 0;
    for (let n: Node | null = whole; n; n = n.made) {
      const parent = n.parent;
      if (n.used || !parent || !parent.opened) continue;
      const beside = this.specOf(parent, known);
      if (!beside || !beside.of(n.keyString)) {
        const text = this.problemAt(n, "");
        const names = beside ? beside.names() : "";
        if (text) text.str("unknown parameter; known here: ").str(names.length > 0 ? names : "none");
      } else if (sound) {
        const text = this.problemAt(n, "");
        if (text) text.str("has no effect with the other parameters");
      }
    }
  }

  /** Says whether there is a parameter that nothing asked for. */
  hasUnknown(whole: Node): bool {
    for (let n: Node | null = whole; n; n = n.made) {
      const parent = n.parent;
      if (!n.used && parent && parent.opened) return true;
    }
    return false;
  }

  /** What is known of an opened object's members, null when nothing is. */
  private specOf(object: Node, known: Spec): Spec | null {
    if (object === this.root) return known;
    let holder = object; // the value that the parameter's name stands before
    const parent = object.parent;
    if (!parent) return null;
    if (!parent.opened) holder = parent; // an element of a list or map
    const above = holder.parent;
    if (!above) return null;
    const spec = this.specOf(above, known);
    if (!spec) return null;
    const field = spec.of(holder.keyString);
    return field ? field.inner : null;
  }
}
