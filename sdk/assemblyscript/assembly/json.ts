// A strict reader of JSON. It takes what RFC 8259 calls JSON, and refuses text that is not UTF-8, halves of surrogate
// pairs, a key twice in one object, and nesting beyond DEPTH_MAX. Nodes point into the text; both last until the next
// text is read, and take no memory that stays.

import { Builder, isUTF8, same } from "./text";

export const enum Kind {
  Null,
  Bool,
  Number,
  String,
  List,
  Object,
}

/** How problems call a value of a kind. */
export function kindName(kind: Kind): string {
  switch (kind) {
    case Kind.Null: return "null";
    case Kind.Bool: return "true or false";
    case Kind.Number: return "a number";
    case Kind.String: return "a string";
    case Kind.List: return "a list";
    default: return "an object";
  }
}

/** Bounds the nesting of objects and lists, and so the recursion of the reader. */
const DEPTH_MAX: i32 = 32;

/** One value. Members of an object and elements of a list are chained. */
@unmanaged
@final
export class Node {
  kind: Kind;
  used: bool; // a reader of parameters asked for it
  opened: bool; // an object whose members are parameters
  key: usize; // in an object
  keyLength: i32;
  text: usize; // of a string its content, of a number or literal what was written
  textLength: i32;
  index: i32; // in a list; the number of children for what holds them
  parent: Node | null;
  first: Node | null;
  next: Node | null;
  made: Node | null; // the node made after this one

  /** The member of an object by its key, or null. */
  member(key: string): Node | null {
    let n = this.first;
    while (n) {
      if (same(n.key, n.keyLength, key)) return n;
      n = n.next;
    }
    return null;
  }

  get string(): string {
    return String.UTF8.decodeUnsafe(this.text, this.textLength);
  }

  get keyString(): string {
    return String.UTF8.decodeUnsafe(this.key, this.keyLength);
  }

  is(text: string): bool {
    return same(this.text, this.textLength, text);
  }
}

// Nodes stand in chunks, which are used again for the next text.
const NODES: usize = 256;
const chunks: usize[] = [];
let chunk: i32 = 0;
let inChunk: usize = 0;
let last: Node | null = null;

function newNode(): Node {
  if (inChunk == NODES) {
    chunk++;
    inChunk = 0;
  }
  if (chunk == chunks.length) chunks.push(heap.alloc(NODES * offsetof<Node>()));
  const place = chunks[chunk] + inChunk++ * offsetof<Node>();
  memory.fill(place, 0, offsetof<Node>());
  const n = changetype<Node>(place);
  const before = last;
  if (before) before.made = n;
  last = n;
  return n;
}

/** An object without members that belongs to no text: parameters that are not there. */
export function emptyObject(): Node {
  const n = newNode();
  n.kind = Kind.Object;
  return n;
}

const source = new Builder();
let at: i32 = 0;

/** What is wrong with the text that was read, and at which byte; "" when nothing is. */
export let jsonProblem: string = "";

function wrong(what: string): void {
  if (jsonProblem.length == 0) jsonProblem = "at byte " + at.toString() + ": " + what;
}

/** Reads a text, which is copied. The node means nothing when there is a problem. */
export function readJSON(from: usize, length: i32): Node {
  source.clear().bytes(from, length).byte(0); // no valid text has a 0, so the reader need not look at the length
  chunk = 0;
  inChunk = 0;
  last = null;
  at = 0;
  jsonProblem = "";
  const whole = newNode();
  if (!isUTF8(from, length)) {
    wrong("not UTF-8");
    return whole;
  }
  value(whole, 0);
  space();
  if (at < length) wrong("text behind the value");
  return whole;
}

// @ts-ignore: decorator
@inline
function peek(): u8 {
  return load<u8>(source.at + at);
}

function space(): void {
  for (let c = peek(); c == 32 || c == 9 || c == 10 || c == 13; c = peek()) at++;
}

function took(c: u8): bool {
  if (peek() != c) return false;
  at++;
  return true;
}

function value(n: Node, depth: i32): void {
  space();
  const start = at, c = peek();
  if (at >= source.length - 1) {
    wrong("a value is missing");
  } else if (c == 123 || c == 91) {
    if (depth == DEPTH_MAX) {
      wrong("nested too deep");
      return;
    }
    at++;
    if (c == 123) object(n, depth + 1);
    else list(n, depth + 1);
  } else if (c == 34) {
    n.kind = Kind.String;
    n.text = source.at + at + 1;
    n.textLength = str();
  } else if (c == 45 || c >= 48 && c <= 57) {
    number();
    n.kind = Kind.Number;
    n.text = source.at + start;
    n.textLength = at - start;
  } else if (!literal(n, "null", Kind.Null) && !literal(n, "true", Kind.Bool) && !literal(n, "false", Kind.Bool)) {
    wrong("not a value");
  }
}

function literal(n: Node, word: string, kind: Kind): bool {
  if (at + word.length > source.length || !same(source.at + at, word.length, word)) return false;
  n.kind = kind;
  n.text = source.at + at;
  n.textLength = word.length;
  at += word.length;
  return true;
}

/** Makes a child the last one of a parent. */
function link(parent: Node, before: Node | null, child: Node): void {
  child.parent = parent;
  child.index = parent.index++;
  if (before) before.next = child;
  else parent.first = child;
}

function list(n: Node, depth: i32): void {
  n.kind = Kind.List;
  space();
  if (took(93)) return;
  let before: Node | null = null;
  while (jsonProblem.length == 0) {
    const child = newNode();
    value(child, depth);
    link(n, before, child);
    before = child;
    space();
    if (took(93)) return;
    if (!took(44)) wrong("a comma or ] is missing");
  }
}

function object(n: Node, depth: i32): void {
  n.kind = Kind.Object;
  space();
  if (took(125)) return;
  let before: Node | null = null;
  while (jsonProblem.length == 0) {
    space();
    if (peek() != 34) {
      wrong("a key is missing");
      return;
    }
    const child = newNode();
    child.key = source.at + at + 1;
    child.keyLength = str();
    space();
    if (!took(58)) wrong("a colon is missing");
    if (jsonProblem.length > 0) return;
    value(child, depth);
    link(n, before, child);
    before = child;
    space();
    if (took(125)) {
      unique(n);
      return;
    }
    if (!took(44)) wrong("a comma or } is missing");
  }
}

/** Refuses an object that has a key twice: which of the two is meant, nobody can say. */
function unique(n: Node): void {
  const few = 8; // below this comparing all pairs is faster than a set
  const seen: Set<string> | null = n.index > few ? new Set<string>() : null;
  let a = n.first;
  while (a) {
    let twice = false;
    if (seen) {
      twice = seen.has(a.keyString);
      seen.add(a.keyString);
    } else {
      let b = a.next;
      while (b) {
        twice = twice || a.keyLength == b.keyLength && memory.compare(a.key, b.key, a.keyLength) == 0;
        b = b.next;
      }
    }
    if (twice) {
      quoted.clear().str("key ").quoted(a.key, a.keyLength).str(" is there twice");
      wrong(quoted.toString());
      return;
    }
    a = a.next;
  }
}

const quoted = new Builder();

function digits(): bool {
  const start = at;
  while (peek() >= 48 && peek() <= 57) at++;
  return at > start;
}

function number(): void {
  took(45);
  if (!took(48) && !digits() || took(46) && !digits()) {
    wrong("a digit is missing");
    return;
  }
  if (took(101) || took(69)) {
    if (!took(43)) took(45);
    if (!digits()) wrong("a digit is missing");
  }
}

/** Reads a string and returns the length of its content, which it writes over the text: escapes only shorten it. */
function str(): i32 {
  at++;
  const start = source.at + at;
  let to = start;
  while (jsonProblem.length == 0) {
    const c = peek();
    if (at >= source.length - 1) {
      wrong("a string does not end");
    } else if (c == 34) {
      at++;
      return <i32>(to - start);
    } else if (c < 32) {
      wrong("control character in a string");
    } else if (c != 92) {
      store<u8>(to++, c);
      at++;
    } else {
      at++;
      to = put(to, escape());
    }
  }
  return 0;
}

/** Writes a rune over the escape that said it. */
function put(to: usize, rune: u32): usize {
  quoted.clear().rune(rune);
  memory.copy(to, quoted.at, quoted.length);
  return to + quoted.length;
}

/** Reads what follows a backslash. */
function escape(): u32 {
  const c = peek();
  if (at >= source.length - 1) {
    wrong("a string does not end");
    return 0;
  }
  at++;
  switch (c) {
    case 34: case 92: case 47: return c;
    case 98: return 8;
    case 102: return 12;
    case 110: return 10;
    case 114: return 13;
    case 116: return 9;
    case 117: return unicode();
  }
  wrong("unknown escape");
  return 0;
}

/** Reads the four digits of \u, and a second \u when the first is half of a pair. */
function unicode(): u32 {
  const char = hex4();
  if (char < 0xd800 || char > 0xdfff) return char;
  if (char >= 0xdc00 || !took(92) || !took(117)) {
    wrong("half of a surrogate pair");
    return 0;
  }
  const low = hex4();
  if (low < 0xdc00 || low > 0xdfff) {
    wrong("half of a surrogate pair");
    return 0;
  }
  return 0x10000 + (char - 0xd800 << 10) + (low - 0xdc00);
}

function hex4(): u32 {
  let n: u32 = 0;
  for (let i = 0; i < 4; i++) {
    const c = peek(), letter = c | 32;
    if (c >= 48 && c <= 57) n = n << 4 | (c - 48);
    else if (letter >= 97 && letter <= 102) n = n << 4 | (letter - 87);
    else {
      wrong("four hexadecimal digits are missing");
      return 0;
    }
    at++;
  }
  return n;
}

/** Appends where a node stands, from the node that is left out: tiers[1].up_to, each part behind a dot. */
export function appendPath(out: Builder, n: Node | null, from: Node | null): void {
  if (!n || n === from) return;
  const parent = n.parent;
  appendPath(out, parent, from);
  if (parent && parent.kind == Kind.List) out.byte(91).num(n.index).byte(93);
  else appendKey(out, n.key, n.keyLength);
}

/** Appends a key to a path: .key, or ["key"] when it is no plain word. */
export function appendKey(out: Builder, from: usize, length: i32): void {
  let plain = length > 0;
  for (let i = 0; i < length; i++) {
    const c = load<u8>(from + i), letter = c | 32;
    plain = plain && (letter >= 97 && letter <= 122 || c >= 48 && c <= 57 || c == 95);
  }
  if (plain) out.byte(46).bytes(from, length);
  else out.byte(91).quoted(from, length).byte(93);
}
