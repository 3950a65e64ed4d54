// Text as the engine has it: UTF-8. Strings of AssemblyScript are UTF-16, and each new one is memory that never comes
// back, so the SDK puts its own texts together here.

/** A text that grows. It is made once and used again and again. */
@final
export class Builder {
  at: usize = 0;
  length: i32 = 0;
  private capacity: i32 = 0;

  clear(): Builder {
    this.length = 0;
    return this;
  }

  private room(more: i32): usize {
    const need = this.length + more;
    if (need > this.capacity) {
      const capacity = max(need, max(256, 2 * this.capacity));
      const place = heap.alloc(capacity);
      if (this.length) memory.copy(place, this.at, this.length);
      this.at = place;
      this.capacity = capacity;
    }
    return this.at + this.length;
  }

  byte(c: u8): Builder {
    store<u8>(this.room(1), c);
    this.length++;
    return this;
  }

  bytes(from: usize, length: i32): Builder {
    memory.copy(this.room(length), from, length);
    this.length += length;
    return this;
  }

  add(other: Builder): Builder {
    return this.bytes(other.at, other.length);
  }

  str(s: string): Builder {
    const place = this.room(3 * s.length);
    const written = String.UTF8.encodeUnsafe(
      changetype<usize>(s), s.length, place, false, String.UTF8.ErrorMode.REPLACE,
    );
    this.length += <i32>written;
    return this;
  }

  /** A number without a sign. */
  num(n: u64): Builder {
    if (n >= 10) this.num(n / 10);
    return this.byte(<u8>(48 + n % 10));
  }

  /** A number without a sign, with zeros in front up to a width. */
  padded(n: u64, width: i32): Builder {
    if (width > 1) this.padded(n / 10, width - 1);
    return this.byte(<u8>(48 + n % 10));
  }

  int(n: i64): Builder {
    if (n >= 0) return this.num(n);
    return this.byte(45).num(0 - <u64>n);
  }

  /** A rune as UTF-8. */
  rune(c: u32): Builder {
    if (c < 0x80) return this.byte(<u8>c);
    if (c < 0x800) return this.byte(<u8>(0xc0 | c >> 6)).byte(<u8>(0x80 | c & 63));
    if (c < 0x10000) {
      return this.byte(<u8>(0xe0 | c >> 12)).byte(<u8>(0x80 | c >> 6 & 63)).byte(<u8>(0x80 | c & 63));
    }
    return this.byte(<u8>(0xf0 | c >> 18)).byte(<u8>(0x80 | c >> 12 & 63))
      .byte(<u8>(0x80 | c >> 6 & 63)).byte(<u8>(0x80 | c & 63));
  }

  /** Text in quotes, as people read it. */
  quoted(from: usize, length: i32): Builder {
    this.byte(34);
    for (let i = 0; i < length; i++) {
      const c = load<u8>(from + i);
      if (c == 34 || c == 92) this.byte(92).byte(c);
      else if (c == 10) this.str("\\n");
      else if (c == 13) this.str("\\r");
      else if (c == 9) this.str("\\t");
      else if (c < 32 || c == 127) this.str("\\x").byte(hexDigit(c >> 4)).byte(hexDigit(c & 15));
      else this.byte(c);
    }
    return this.byte(34);
  }

  /** Text as a JSON string. */
  json(from: usize, length: i32): Builder {
    this.byte(34);
    for (let i = 0; i < length; i++) {
      const c = load<u8>(from + i);
      if (c == 34 || c == 92) this.byte(92).byte(c);
      else if (c < 32) this.str("\\u00").byte(hexDigit(c >> 4)).byte(hexDigit(c & 15));
      else this.byte(c);
    }
    return this.byte(34);
  }

  /** A string as a JSON string. */
  jsonStr(s: string): Builder {
    const from = encoded.clear().str(s);
    return this.json(from.at, from.length);
  }

  /** Drops what is behind the limit, and no half of a character is left. */
  cut(limit: i32): Builder {
    this.length = cutTo(this.at, this.length, limit);
    return this;
  }

  toString(): string {
    return String.UTF8.decodeUnsafe(this.at, this.length);
  }
}

const encoded = new Builder();

function hexDigit(n: u8): u8 {
  return n < 10 ? 48 + n : 87 + n;
}

/** How many bytes of valid UTF-8 to keep so that at most limit are left and no character is torn. */
export function cutTo(from: usize, length: i32, limit: i32): i32 {
  if (length <= limit) return length;
  while (limit > 0 && (load<u8>(from + limit) & 0xc0) == 0x80) limit--;
  return limit;
}

/** Says whether bytes are the UTF-8 of a string. */
export function same(from: usize, length: i32, s: string): bool {
  if (length == s.length) { // nearly always plain ASCII
    let i = 0;
    while (i < length && load<u8>(from + i) == load<u16>(changetype<usize>(s) + 2 * i) && load<u8>(from + i) < 128) i++;
    if (i == length) return true;
  }
  const other = encoded.clear().str(s);
  return other.length == length && memory.compare(from, other.at, length) == 0;
}

/** Says whether s has the form [a-z][a-z0-9_]{0,62}, that of reasons, lines, tariffs and dimensions. */
export function validName(s: string): bool {
  if (s.length == 0 || s.length > 63) return false;
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    const letter = c >= 97 && c <= 122;
    if (!letter && (i == 0 || (c < 48 || c > 57) && c != 95)) return false;
  }
  return true;
}

/** Says whether bytes are UTF-8: no bytes out of place, no overlong forms, no halves of pairs. */
export function isUTF8(from: usize, length: i32): bool {
  let i = 0;
  while (i < length) {
    const c = load<u8>(from + i++);
    if (c < 0x80) continue;
    let more = 0;
    let least: u32 = 0;
    let rune: u32 = 0;
    if (c >= 0xc2 && c < 0xe0) { more = 1; least = 0x80; rune = c & 31; }
    else if (c >= 0xe0 && c < 0xf0) { more = 2; least = 0x800; rune = c & 15; }
    else if (c >= 0xf0 && c < 0xf5) { more = 3; least = 0x10000; rune = c & 7; }
    else return false;
    for (; more > 0; more--) {
      if (i == length) return false;
      const d = load<u8>(from + i++);
      if ((d & 0xc0) != 0x80) return false;
      rune = rune << 6 | (d & 63);
    }
    if (rune < least || rune > 0x10ffff || rune >= 0xd800 && rune < 0xe000) return false;
  }
  return true;
}
