// A description of the parameters, learnt by calling a tariff's configure once with readers that note what is asked
// for. It names the known parameters to someone who wrote an unknown one, and becomes the JSON Schema of the manifest.

export const enum FieldKind {
  Decimal,
  Int,
  Bool,
  Text,
  Choice,
  Time,
  Rounding,
  Object,
  List,
  Map,
  Texts,
  DecimalMap,
}

/** What a value of a kind is, as problems put it. */
export function fieldName(kind: FieldKind): string {
  switch (kind) {
    case FieldKind.Decimal: return "a decimal number";
    case FieldKind.Int: return "a whole number";
    case FieldKind.Bool: return "true or false";
    case FieldKind.Text: case FieldKind.Choice: return "a string";
    case FieldKind.Time: return "an instant";
    case FieldKind.Rounding: return "an object with scale and mode";
    case FieldKind.Object: case FieldKind.Map: return "an object";
    case FieldKind.List: return "a list";
    case FieldKind.Texts: return "a list of strings";
    default: return "an object of decimal numbers";
  }
}

/** One parameter. */
export class Field {
  required: bool = false;
  least: i64 = 0;
  most: i64 = 0;
  choices: string[] = [];
  inner: Spec | null = null;

  constructor(readonly name: string, readonly about: string, readonly kind: FieldKind) {}

  /** What is learnt of the parameters inside. */
  within(): Spec {
    let inner = this.inner;
    if (!inner) this.inner = inner = new Spec();
    return inner;
  }
}

/** The parameters of one object, in the order in which they were first asked for. */
export class Spec {
  fields: Field[] = [];

  /** The field of that name, or null. */
  of(name: string): Field | null {
    for (let i = 0; i < this.fields.length; i++) {
      if (this.fields[i].name == name) return this.fields[i];
    }
    return null;
  }

  /** Notes a field. Asked for twice, the first stands, and is required if either is. */
  add(f: Field): void {
    const have = this.of(f.name);
    if (have) have.required = have.required || f.required;
    else this.fields.push(f);
  }

  names(): string {
    let list = "";
    for (let i = 0; i < this.fields.length; i++) {
      if (i > 0) list += ", ";
      list += this.fields[i].name;
    }
    return list;
  }
}

/** What stands inside a rounding. */
export function roundingSpec(): Spec {
  const s = new Spec();
  s.add(new Field("scale", "", FieldKind.Int));
  s.add(new Field("mode", "", FieldKind.Choice));
  return s;
}
