// What a plugin says of itself. It is compiled beside the plugin, to be asked while it is built, and is no part of the
// module that the engine loads.

import { describe, Offer, registered } from "./plugin";
import { Field, FieldKind, Spec } from "./spec";
import { Builder } from "./text";

const out = new Builder();

/** What decimal numbers look like. */
const DECIMAL_PATTERN: string = "^-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$";

/** Writes the manifest as JSON and returns where it is. */
export function tollway_manifest(): usize {
  const p = registered;
  if (!p) return 0;
  out.clear().str('{"abi":"1.0","name":').jsonStr(p.name).str(',"version":').jsonStr(p.version);
  out.str(',"sdk":"tollway-assemblyscript/1.0"');
  if (p.fuelPerEvent > 0) out.str(',"fuel_per_event":').num(p.fuelPerEvent);
  if (p.fuelStart > 0) out.str(',"fuel_start":').num(p.fuelStart);
  if (p.memoryMaxBytes > 0) out.str(',"memory_max_bytes":').num(p.memoryMaxBytes);
  out.str(',"tariffs":[');
  for (let i = 0; i < p.offers.length; i++) {
    if (i > 0) out.byte(44);
    writeOffer(p.offers[i]);
  }
  out.str("]}");
  return out.at;
}

/** The length of what tollway_manifest wrote. */
export function tollway_manifest_length(): i32 {
  return out.length;
}

function writeOffer(offer: Offer): void {
  const spec = describe(offer);
  out.byte(123);
  if (offer.isRule) out.str('"kind":"rule",');
  out.str('"name":').jsonStr(offer.name).str(',"title":').jsonStr(offer.title).str(',"params_schema":');
  out.str('{"$schema":"https://json-schema.org/draft/2020-12/schema","title":').jsonStr(offer.title).byte(44);
  writeObject(spec, '"object"');
  out.str("}}");
}

/** Writes the members of the schema of an object. */
function writeObject(spec: Spec | null, type: string): void {
  out.str('"type":').str(type).str(',"additionalProperties":false,"properties":{');
  const fields: Field[] = spec ? spec.fields : [];
  let required = 0;
  for (let i = 0; i < fields.length; i++) {
    if (i > 0) out.byte(44);
    out.jsonStr(fields[i].name).str(":{");
    writeField(fields[i]);
    out.byte(125);
    if (fields[i].required) required++;
  }
  out.byte(125);
  if (required == 0) return;
  out.str(',"required":[');
  for (let i = 0, n = 0; i < fields.length; i++) {
    if (!fields[i].required) continue;
    if (n++ > 0) out.byte(44);
    out.jsonStr(fields[i].name);
  }
  out.byte(93);
}

/** A type, which may also be null when the parameter is optional. */
function typeOf(f: Field, type: string): string {
  return f.required ? '"' + type + '"' : '["' + type + '","null"]';
}

/** Writes the members of the schema of one parameter. */
function writeField(f: Field): void {
  const title = f.name.replaceAll("_", " ");
  out.str('"title":').jsonStr(title.charAt(0).toUpperCase() + title.substring(1)).byte(44);
  if (f.about.length > 0) out.str('"description":').jsonStr(f.about).byte(44);
  switch (f.kind) {
    case FieldKind.Decimal:
      out.str(f.required ? '"type":["string","number"]' : '"type":["string","number","null"]');
      out.str(',"pattern":').jsonStr(DECIMAL_PATTERN);
      return;
    case FieldKind.Int:
      out.str('"type":').str(typeOf(f, "integer")).str(',"minimum":').int(f.least).str(',"maximum":').int(f.most);
      return;
    case FieldKind.Bool:
      out.str('"type":').str(typeOf(f, "boolean"));
      return;
    case FieldKind.Text:
      out.str('"type":').str(typeOf(f, "string")).str(',"minLength":1');
      return;
    case FieldKind.Choice:
      writeChoice(f);
      return;
    case FieldKind.Time:
      out.str('"type":').str(typeOf(f, "string")).str(',"format":"date-time"');
      return;
    case FieldKind.Rounding:
      writeRounding(f);
      return;
    case FieldKind.List:
      out.str('"type":').str(typeOf(f, "array")).str(f.required ? ',"minItems":1,"items":{' : ',"items":{');
      writeObject(f.inner, '"object"');
      out.byte(125);
      return;
    case FieldKind.Map:
      out.str('"type":').str(typeOf(f, "object")).str(',"additionalProperties":{');
      writeObject(f.inner, '"object"');
      out.byte(125);
      return;
    case FieldKind.Texts:
      out.str('"type":').str(typeOf(f, "array")).str(',"items":{"type":"string"}');
      return;
    case FieldKind.DecimalMap:
      out.str('"type":').str(typeOf(f, "object"));
      out.str(',"additionalProperties":{"type":["string","number"],"pattern":').jsonStr(DECIMAL_PATTERN).byte(125);
      return;
    default:
      writeObject(f.inner, typeOf(f, "object"));
  }
}

function writeChoice(f: Field): void {
  out.str('"type":').str(typeOf(f, "string")).str(',"enum":[');
  for (let i = 0; i < f.choices.length; i++) {
    if (i > 0) out.byte(44);
    out.jsonStr(f.choices[i]);
  }
  out.str(f.required ? "]" : ",null]");
}

function writeRounding(f: Field): void {
  out.str('"type":').str(typeOf(f, "object")).str(',"additionalProperties":false,"required":["mode"],"properties":{');
  out.str('"scale":{"type":"integer","minimum":-20,"maximum":18,"title":"Scale","description":');
  out.jsonStr("Decimal places kept; negative rounds to tens, hundreds. Needed unless the mode is none.").str("},");
  out.str('"mode":{"type":"string","enum":["none","half_up","half_even","floor","ceiling"],"title":"Mode","description":');
  out.jsonStr("half_up takes ties away from zero.").str("}}");
}
