// The module at work: what the engine calls, as ABI.md describes it.

import { Config } from "./config";
import { clearFailure, failed, faultWith, isFault, rejectDetail, rejectReason, tell } from "./failure";
import { emptyObject, jsonProblem, Kind, Node, readJSON } from "./json";
import { describe, Offer, Plugin, registered, Tariff } from "./plugin";
import { forEvent, forGood, keepAll } from "./pool";
import { Price } from "./price";
import { accept, arena, beginBatch, dims, Event, rollBack, setArena, Slot } from "./slot";
import { Builder, cutTo, validName } from "./text";

const HEADER_SIZE: u32 = 128;
const MAGIC: u32 = 0x314c5754;
const SLOT_FLAG_FINAL: u32 = 2;
const ALIGN_MASK: u32 = 15;
const ARENA_MIN: u32 = 128 << 10;
const ARENA_MAX: u32 = 32 << 20;
const TEXT_MAX: i32 = 4096;
const REJECT_SIZE: u32 = 192;
const REJECT_TEXT: usize = 8;
const REJECT_TEXT_MAX: i32 = 184;

const RC_OK: i32 = 0;
const RC_FAULT: i32 = 1;
const RC_REJECTS_FULL: i32 = 3;

// @ts-ignore: decorator
@external("tollway_v1", "begin")
declare function begin(index: u32): void;

// @ts-ignore: decorator
@external("tollway_v1", "begin_many")
declare function beginMany(index: u32, count: u32): void;

/** A tariff with its parameters. */
@final
class Configuration {
  /** The price of every event, where that is all there is to it and it has runs. */
  readonly all: Price | null;

  constructor(
    readonly tariff: Tariff,
    readonly lines: u32,
    readonly stateSize: u32,
    readonly dims: u32,
    readonly carried: StaticArray<u32>,
  ) {
    const all = tariff.all;
    this.all = all && all.runs() ? all : null;
  }

  get carrySize(): u32 {
    return this.carried.length * 16;
  }
}

const configurations: Configuration[] = [];
const out = new Builder();

let arenaSize: u32 = 0;
let eventOff: u32 = 0;
let eventStride: u32 = 0;
let events: u32 = 0;
let slotOff: u32 = 0;
let slotStride: u32 = 0;
let slots: u32 = 0;
let rejects: u32 = 0;

/** Makes the arena. 0 refuses a size that the contract does not know. */
export function makeArena(size: u32): usize {
  if (!registered || arena != 0 || size < ARENA_MIN || size > ARENA_MAX) return 0;
  setArena(heap.alloc(size));
  arenaSize = size;
  return arena;
}

/** Writes why a call is refused as a whole. */
function fault(): i32 {
  if (arena == 0) return RC_FAULT;
  out.cut(min(TEXT_MAX, <i32>(arenaSize - HEADER_SIZE)));
  memory.copy(arena + HEADER_SIZE, out.at, out.length);
  store<u32>(arena, out.length, 80);
  return RC_FAULT;
}

function faultOf(text: string): i32 {
  out.clear().str(text);
  return fault();
}

// Configuring.

/** Answers the request in the arena. */
export function configure(handle: u32, length: u32): i32 {
  const module = registered;
  if (!module || arena == 0) return RC_FAULT;
  if (length > arenaSize - HEADER_SIZE) return faultOf("configure: request is longer than the arena");
  if (handle > <u32>configurations.length) return faultOf("configure: handle is not the next one");
  clearFailure();
  forGood();
  const rc = configureWith(module, handle, readJSON(arena + HEADER_SIZE, length));
  keepAll();
  return rc;
}

function configureWith(module: Plugin, handle: u32, request: Node): i32 {
  if (jsonProblem.length > 0) return faultOf("configure: request: " + jsonProblem);
  const offer = requested(module, request);
  if (!offer) return reply();
  let params = request.member("params");
  if (!params || params.kind == Kind.Null) params = emptyObject();
  const c = Config.make(params, null);
  const currency = request.member("currency");
  if (currency && currency.kind == Kind.String) c.currency = currency.string;
  const tariff = offer.make();
  tariff.configure(c);
  c.closed = true;
  if (c.hasUnknown(request)) c.refuseUnknown(request, describe(offer));
  if (failed() && !c.hasProblems) {
    tell();
    out.clear().str("configure: ").add(rejectDetail);
    return fault();
  }
  clearFailure();
  out.clear();
  if (c.hasProblems) {
    c.writeRefusal(out);
    return reply();
  }
  const made = new Configuration(tariff, c.lines, c.cells * 16, c.dimensions.length, StaticArray.fromArray(c.carried));
  if (handle == <u32>configurations.length) configurations.push(made);
  else configurations[handle] = made;
  c.writeReply(out);
  return reply();
}

/** The tariff or rule that a request names, or null, and why, in out. */
function requested(module: Plugin, request: Node): Offer | null {
  if (request.kind != Kind.Object) return refuse("request must be an object");
  const name = request.member("tariff");
  const offer = name && name.kind == Kind.String ? module.find(name.string) : null;
  if (offer) {
    const own = offer.isRule ? "rule" : "tariff";
    const kind = request.member("kind");
    if (!kind || kind.kind != Kind.String || kind.textLength == 0 || kind.is(own)) return offer;
    note.clear().jsonStr(offer.name).str(" is of kind ").str(own).str(", not ").quoted(kind.text, kind.textLength);
    return refuse(note.toString());
  }
  note.clear().str("tariff ");
  if (name && name.kind == Kind.String) note.quoted(name.text, name.textLength);
  else note.str('""');
  note.str(" is not in module ").str(module.name).str("; it has ");
  module.writeNames(note);
  return refuse(note.toString());
}

const note = new Builder();

function refuse(text: string): Offer | null {
  out.clear().str('{"error":').jsonStr(text).byte(125);
  return null;
}

/** Writes the answer to a request. */
function reply(): i32 {
  if (<u32>out.length > arenaSize - HEADER_SIZE) return faultOf("configure: the reply is longer than the arena");
  memory.copy(arena + HEADER_SIZE, out.at, out.length);
  store<u32>(arena, out.length, 76);
  return RC_OK;
}

// Pricing.

/** Says whether so many rows lie inside the arena. */
function inside(off: u32, count: u32, stride: u32): bool {
  return <u64>off + <u64>count * <u64>stride <= <u64>load<u32>(arena, 68);
}

/** Reads the header and says what is wrong with it, "" when nothing is. */
function readHeader(): string {
  if (load<u32>(arena) != MAGIC) return "batch: arena does not start with TWL1";
  if (load<u16>(arena, 4) != 1 || load<u32>(arena, 8) < HEADER_SIZE) return "batch: arena is of another major version";
  if (load<u32>(arena, 68) > arenaSize) return "batch: arena is shorter than it says";
  events = load<u32>(arena, 12);
  slots = load<u32>(arena, 16);
  eventOff = load<u32>(arena, 20);
  eventStride = load<u32>(arena, 24);
  slotOff = load<u32>(arena, 28);
  slotStride = load<u32>(arena, 32);
  beginBatch();
  if (dims > 16 || eventStride < 48 + 4 * dims || slotStride < offsetof<Slot>() || load<u32>(arena, 60) < REJECT_SIZE) {
    return "batch: rows are narrower than this version's";
  }
  if (!inside(eventOff, events, eventStride) || !inside(slotOff, slots, slotStride) ||
    !inside(load<u32>(arena, 40), load<u32>(arena, 44), 8) || !inside(load<u32>(arena, 48), load<u32>(arena, 52), 1) ||
    !inside(load<u32>(arena, 56), load<u32>(arena, 64), load<u32>(arena, 60))) {
    return "batch: a region ends outside the arena";
  }
  if (((eventOff | eventStride | slotOff | slotStride) & ALIGN_MASK) != 0) return "batch: rows are not aligned";
  return "";
}

// @ts-ignore: decorator
@inline
function slotAt(index: u32): Slot {
  return changetype<Slot>(arena + slotOff + index * slotStride);
}

/** Prices the batch in the arena. */
export function price(): i32 {
  const problem = readHeader();
  if (problem.length > 0) return faultOf(problem);
  rejects = 0;
  accept();
  clearFailure();
  const finals = load<u32>(arena, 88) > 0 ? openFinals() : 0;
  if (finals < 0) return RC_FAULT;
  const rc = priceEvents();
  if (rc != RC_OK) return rc;
  if (finals > 0) {
    for (let i: u32 = 0; i < slots; i++) {
      if (!isFinal(i)) continue;
      const rc = close(i);
      if (rc != RC_OK) return rc;
    }
  }
  store<u32>(arena, rejects, 72);
  return RC_OK;
}

// @ts-ignore: decorator
@inline
function isFinal(index: u32): bool {
  return (slotAt(index).flags & SLOT_FLAG_FINAL) != 0;
}

/**
 * Looks at the final slots before the first event, since whatever is done later is paid from the fuel of a unit. It
 * returns how many there are, -1 for a fault.
 */
function openFinals(): i32 {
  let count = 0;
  for (let i: u32 = 0; i < slots; i++) {
    if (!isFinal(i)) continue;
    if (!open(i)) return -1;
    count++;
  }
  return count;
}

/** How many events are announced at once at first. */
const AHEAD_MIN: u32 = 4;

function priceEvents(): i32 {
  const unitsMax = load<u32>(arena, 84);
  let begun: u32 = 0, ahead = AHEAD_MIN;
  let slot: u32 = u32.MAX_VALUE; // the slot of the event before
  let s = changetype<Slot>(0);
  let c = changetype<Configuration>(0);
  let row = arena + eventOff;
  for (let i: u32 = 0; i < events; i++, row += eventStride) {
    if (i >= begun) { // units that trap together are begun again one by one, so this is a matter of speed alone
      const n = min(min(unitsMax, events - i), ahead);
      if (n > 1) beginMany(i, n);
      else begin(i);
      begun = i + max(n, 1);
      ahead = min(2 * ahead, <u32>256);
    }
    const e = changetype<Event>(row);
    if (e.slot != slot) {
      slot = e.slot;
      if (slot >= slots) return faultOf("an event names a slot that the batch does not have");
      s = slotAt(slot);
      if (s.handle >= <u32>configurations.length) return faultOf("a slot names a configuration that is unknown");
      c = unchecked(configurations[s.handle]);
    }
    if (misfits(s, c) && !open(slot)) return RC_FAULT;
    const all = c.all;
    if (all) {
      const done = all.run(s, row, eventStride, begun - i);
      if (done > 0) {
        s.stateLen = c.stateSize;
        i += done - 1;
        row += (done - 1) * eventStride;
        continue;
      }
    }
    forEvent();
    c.tariff.event(s, e);
    if (failed()) {
      if (!reject(i)) return RC_REJECTS_FULL;
    } else {
      accept();
      s.stateLen = c.stateSize;
    }
  }
  return RC_OK;
}

/** Says, in few steps, whether a slot row needs a closer look. */
// @ts-ignore: decorator
@inline
function misfits(s: Slot, c: Configuration): bool {
  const limit = <u64>load<u32>(arena, 68);
  return ((s.stateLen ^ c.stateSize) | (s.lines ^ c.lines) | (c.dims ^ dims)) != 0 ||
    <u64>s.lineOff + (c.lines << 5) > limit || <u64>s.stateOff + c.stateSize > limit || s.stateCap < c.stateSize ||
    ((s.lineOff | s.stateOff) & ALIGN_MASK) != 0;
}

/** Holds a slot row against its configuration and the arena, and gives a slot without a state its first. */
function open(index: u32): bool {
  const s = slotAt(index);
  const problem = problemOf(s);
  if (problem.length > 0) {
    out.clear().str("slot ").num(index).str(": ").str(problem);
    fault();
    return false;
  }
  const c = configurations[s.handle];
  if (s.stateLen > 0 || c.stateSize == 0) return true;
  // The length stays 0 until an event is accepted: a slot of rejected events only is as it was.
  memory.fill(arena + s.stateOff, 0, c.stateSize);
  if (s.carryInLen == 0) return true;
  for (let i = 0; i < c.carried.length; i++) {
    memory.copy(s.cellAt(c.carried[i]), arena + s.carryInOff + 16 * i, 16);
  }
  return true;
}

/** Says why a slot row does not fit, "" when it does. */
function problemOf(s: Slot): string {
  if (s.handle >= <u32>configurations.length) return "its configuration is unknown";
  const c = configurations[s.handle];
  if (s.lines != c.lines) return "it has not the lines of its tariff";
  if (c.dims != dims) return "the events have not the dimensions of its tariff";
  if (c.stateSize > s.stateCap || s.stateLen != 0 && s.stateLen != c.stateSize) return "its state is not of its tariff";
  if (s.carryInLen != 0 && s.carryInLen != c.carrySize) return "what is carried into it is not of its tariff";
  if ((s.flags & SLOT_FLAG_FINAL) != 0 && s.carryOutCap < c.carrySize) return "there is no room for what it carries";
  if (((s.lineOff | s.stateOff | s.carryInOff | s.carryOutOff) & ALIGN_MASK) != 0 ||
    !inside(s.lineOff, c.lines, 32) || !inside(s.stateOff, s.stateCap, 1) ||
    !inside(s.carryInOff, s.carryInLen, 1) || !inside(s.carryOutOff, s.carryOutCap, 1)) {
    return "lines, state or carry lie outside the arena or are not aligned";
  }
  return "";
}

/** Undoes the event at hand and notes why. It says false when the table of rejects is full. */
function reject(event: u32): bool {
  rollBack();
  if (rejects >= load<u32>(arena, 64)) return false;
  tell();
  if (isFault()) {
    rejectReason.clear().str("tariff_panic");
  } else if (!validName(rejectReason.toString())) {
    out.clear().str("reason ").add(rejectReason).str(" is not of the form [a-z][a-z0-9_]{0,62}: ").add(rejectDetail);
    rejectDetail.clear().add(out);
    rejectReason.clear().str("tariff_error");
  }
  clearFailure();
  const row = arena + load<u32>(arena, 56) + rejects * load<u32>(arena, 60);
  const reason = rejectReason.length;
  const detail = cutTo(rejectDetail.at, rejectDetail.length, REJECT_TEXT_MAX - reason);
  store<u32>(row, event);
  store<u16>(row, reason, 4);
  store<u16>(row, detail, 6);
  memory.copy(row + REJECT_TEXT, rejectReason.at, reason);
  memory.copy(row + REJECT_TEXT + reason, rejectDetail.at, detail);
  memory.fill(row + REJECT_TEXT + reason + detail, 0, REJECT_TEXT_MAX - reason - detail);
  rejects++;
  return true;
}

/** Finishes a final slot. */
function close(index: u32): i32 {
  begin(events + index);
  forEvent();
  const s = slotAt(index);
  const c = configurations[s.handle];
  c.tariff.close(s);
  if (failed()) {
    tell();
    out.clear().str("finish of slot ").num(index).str(isFault() ? ": panic: " : ": ").add(rejectDetail);
    return fault();
  }
  for (let i = 0; i < c.carried.length; i++) {
    memory.copy(arena + s.carryOutOff + 16 * i, s.cellAt(c.carried[i]), 16);
  }
  s.carryOutLen = c.carrySize;
  accept();
  s.stateLen = c.stateSize;
  return RC_OK;
}
