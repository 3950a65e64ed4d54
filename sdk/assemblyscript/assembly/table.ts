import { batch, Event, valueAt, valueLength, values } from "./slot";
import { Builder } from "./text";

/** A dimension that a configuration claimed. */
@final
export class Dimension {
  constructor(readonly index: u32) {}

  /** The event's value, "" when it has none. It makes a string; to choose by a value, use a Table. */
  of(e: Event): string {
    const id = e.valueId(this.index);
    return String.UTF8.decodeUnsafe(valueAt(id), valueLength(id));
  }

  /** Says whether the event's value is empty or absent. */
  isEmpty(e: Event): bool {
    return valueLength(e.valueId(this.index)) == 0;
  }
}

const key = new Builder();

/** FNV-1a. */
function hashOf(from: usize, length: i32): u32 {
  let h: u32 = 2166136261;
  for (let i = 0; i < length; i++) h = (h ^ load<u8>(from + i)) * 16777619;
  return h;
}

/** What a table says of a value that has not been asked for, and of one that has no item. */
const UNKNOWN: i32 = 0;
const MISSING: i32 = -1;

/**
 * Gives each value of a dimension an item, such as its price. An item is looked up once per value and batch; an event
 * costs an index.
 */
@final
export class Table<T> {
  private items: T[] = [];
  private keys: StaticArray<u8>[] = [];
  private places: StaticArray<i32> = new StaticArray<i32>(16); // a hash table of items, from 1

  // found[id] is what the table says of value id of the present batch.
  private found: StaticArray<i32> = new StaticArray<i32>(0);
  private foundBatch: u32 = 0;

  constructor(private dimension: Dimension) {}

  /** Where a key stands in places, or would. */
  private placeOf(from: usize, length: i32): i32 {
    const mask = this.places.length - 1;
    let i = <i32>hashOf(from, length) & mask;
    while (true) {
      const n = this.places[i];
      if (n == 0) return i;
      const k = this.keys[n - 1];
      if (k.length == length && memory.compare(changetype<usize>(k), from, length) == 0) return i;
      i = i + 1 & mask;
    }
  }

  /** Gives a value its item. It is for configure, not for pricing. */
  set(value: string, item: T): void {
    key.clear().str(value);
    const place = this.placeOf(key.at, key.length);
    const have = this.places[place];
    if (have != 0) {
      this.items[have - 1] = item;
      return;
    }
    const k = new StaticArray<u8>(key.length);
    memory.copy(changetype<usize>(k), key.at, key.length);
    this.keys.push(k);
    this.items.push(item);
    this.places[place] = this.items.length;
    if (2 * this.items.length > this.places.length) this.grow();
  }

  private grow(): void {
    this.places = new StaticArray<i32>(2 * this.places.length);
    for (let i = 0; i < this.keys.length; i++) {
      const k = this.keys[i];
      this.places[this.placeOf(changetype<usize>(k), k.length)] = i + 1;
    }
  }

  /** The index of the event's value among the items, -1 when it has none. */
  indexOf(e: Event): i32 {
    if (this.foundBatch != batch) this.forget();
    const id = e.valueId(this.dimension.index);
    let n = this.found[id];
    if (n == UNKNOWN) {
      n = this.places[this.placeOf(valueAt(id), valueLength(id))];
      if (n == UNKNOWN) n = MISSING;
      this.found[id] = n;
    }
    return n == MISSING ? -1 : n - 1;
  }

  /** Says whether the event's value has an item. */
  has(e: Event): bool {
    return this.indexOf(e) >= 0;
  }

  /** The item of the event's value, which must have one. */
  of(e: Event): T {
    return this.items[this.indexOf(e)];
  }

  /** Makes room for the values of a new batch. */
  private forget(): void {
    this.foundBatch = batch;
    if (<i32>values > this.found.length) this.found = new StaticArray<i32>(values);
    else memory.fill(changetype<usize>(this.found), 0, this.found.length << 2);
  }
}
