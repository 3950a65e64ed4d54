// The rows of a batch, laid over the engine's memory: reading a field is one load, and nothing is copied or decoded.

import { Decimal } from "./decimal";

/** The arena and what its header says, while a batch is priced. */
export let arena: usize = 0;
export let dims: u32 = 0;
export let values: u32 = 0;
export let valueOff: u32 = 0;
export let stringOff: u32 = 0;
export let stringLength: u32 = 0;

/** A count of batches, for what is kept per batch. */
export let batch: u32 = 0;

export function setArena(at: usize): void {
  arena = at;
}

/** Takes from the header what rows need. */
export function beginBatch(): void {
  batch++;
  dims = load<u32>(arena, 36);
  valueOff = load<u32>(arena, 40);
  values = load<u32>(arena, 44);
  stringOff = load<u32>(arena, 48);
  stringLength = load<u32>(arena, 52);
}

/**
 * What is priced together: one subscription, tariff version, billing period and group combination. It is valid during
 * the call that it is given to. Times are unix nanoseconds.
 */
@unmanaged
@final
export class Slot {
  /** The first instant of the billing period. */
  readonly periodStart: i64;
  /** The first instant after it. */
  readonly periodEnd: i64;
  /** When the subscription begins in this period and tariff version. */
  readonly activeFrom: i64;
  /** When it ends, itself excluded. */
  readonly activeUntil: i64;
  // The rest is the SDK's.
  handle: u32;
  flags: u32;
  lines: u32;
  lineOff: u32;
  stateOff: u32;
  stateLen: u32;
  stateCap: u32;
  stateNeed: u32;
  carryInOff: u32;
  carryInLen: u32;
  carryOutOff: u32;
  carryOutLen: u32;
  carryOutCap: u32;

  /** Where a line stands. That of another configuration stops the tariff. */
  @inline
  lineAt(index: u32): usize {
    if (index >= this.lines) throw new Error("line of another configuration");
    return arena + this.lineOff + index * 32;
  }

  /** Where a cell stands. That of another configuration stops the tariff. */
  @inline
  cellAt(index: u32): usize {
    if ((index + 1) * 16 > this.stateCap) throw new Error("cell of another configuration");
    return arena + this.stateOff + index * 16;
  }
}

/** One usage event. It is valid during the call that it is given to. */
@unmanaged
@final
export class Event {
  slot: u32;
  flags: u32;
  /** The event's own time, in unix nanoseconds. */
  readonly time: i64;
  private quantityLo: u64;
  private quantityHi: i64;
  private amountLo: u64;
  private amountHi: i64;

  /** How many units were used; a correction's are below 0. */
  @inline
  get quantity(): Decimal {
    return changetype<Decimal>(changetype<usize>(this) + offsetof<Event>("quantityLo"));
  }

  /** The money that the event itself carries, 0 when it carries none. */
  @inline
  get amount(): Decimal {
    return changetype<Decimal>(changetype<usize>(this) + offsetof<Event>("amountLo"));
  }

  /** Says whether the event carries money. */
  @inline
  get hasAmount(): bool {
    return (this.flags & 1) != 0;
  }

  /** The number that the value of a dimension has within the batch. */
  valueId(dimension: u32): u32 {
    if (dimension >= dims) throw new Error("dimension of another configuration");
    return load<u32>(changetype<usize>(this) + offsetof<Event>() + 4 * dimension);
  }
}

/** Where the text of a value stands. */
export function valueAt(id: u32): usize {
  if (id >= values) throw new Error("value that the batch does not have");
  return arena + stringOff + load<u32>(arena + valueOff + 8 * id);
}

/** How many bytes the text of a value has. */
export function valueLength(id: u32): i32 {
  const row = arena + valueOff + 8 * id;
  const length = load<u32>(row, 4);
  if (id >= values || <u64>load<u32>(row) + length > stringLength) throw new Error("value outside the batch");
  return <i32>length;
}

// What the unit of work at hand has overwritten, so that a rejection can put it back. Writes are noted rather than
// slots copied: a tariff may have hundreds of lines, of which an event touches one or two.

const NOTE: usize = 24; // an address, and the 16 bytes that stood there
let notes: usize = heap.alloc(64 * NOTE);
let notesEnd: usize = notes + 64 * NOTE;
let noted: usize = notes;

function moreNotes(): void {
  const size = noted - notes;
  const place = heap.alloc(2 * size);
  memory.copy(place, notes, size);
  notes = place;
  notesEnd = place + 2 * size;
  noted = place + size;
}

/** Notes the 16 bytes at a place, before they are overwritten. */
// @ts-ignore: decorator
@inline
export function note(place: usize): void {
  if (noted == notesEnd) moreNotes();
  const n = noted;
  store<usize>(n, place);
  store<u64>(n, load<u64>(place), 8);
  store<u64>(n, load<u64>(place, 8), 16);
  noted = n + NOTE;
}

/** Forgets what was noted: the unit of work stands. */
// @ts-ignore: decorator
@inline
export function accept(): void {
  noted = notes;
}

/** Undoes what was noted, last first. */
export function rollBack(): void {
  while (noted > notes) {
    noted -= NOTE;
    const place = load<usize>(noted);
    store<u64>(place, load<u64>(noted, 8));
    store<u64>(place, load<u64>(noted, 16), 8);
  }
}

/** Replaces the number at a place and notes what it was. */
// @ts-ignore: decorator
@inline
export function replace(place: usize, lo: u64, hi: i64): void {
  note(place);
  store<u64>(place, lo);
  store<i64>(place, hi, 8);
}
