// Instants are unix nanoseconds; days are days of UTC. There is no clock: all times come from the engine.

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/** The number of the day of UTC that an instant lies in, counted from 1970-01-01. */
export function dayOf(instant: i64): i64 {
  const day = instant / DAY;
  return instant % DAY < 0 ? day - 1 : day;
}

/** The number of days of UTC that a span touches; its end is excluded. It is 0 for a span without length. */
export function daysBetween(from: i64, to: i64): i64 {
  return to <= from ? 0 : dayOf(to - 1) + 1 - dayOf(from);
}

/** Days from 1970-01-01 to a date, by counting years from March, so that the leap day is the last. */
function daysTo(year: i64, month: i64, day: i64): i64 {
  const y = month > 2 ? year : year - 1;
  const monthFromMarch = (month + 9) % 12;
  return y * 365 + y / 4 - y / 100 + y / 400 + (monthFromMarch * 306 + 5) / 10 + day - 1 - 719_468;
}

function daysIn(year: i64, month: i64): i64 {
  if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/** A number of so many digits, -1 when there is none. */
function digits(from: usize, count: i32): i64 {
  let n: i64 = 0;
  for (let i = 0; i < count; i++) {
    const c = load<u8>(from + i);
    if (c < 48 || c > 57) return -1;
    n = n * 10 + (c - 48);
  }
  return n;
}

/**
 * Reads an instant as RFC 3339 writes it ("2026-01-01T00:00:00Z", with a fraction and an offset where there are some),
 * between the years 1700 and 2200. i64.MIN_VALUE says that it is none.
 */
export function parseTime(from: usize, length: i32): i64 {
  if (length < 20) return i64.MIN_VALUE;
  const year = digits(from, 4), month = digits(from + 5, 2), day = digits(from + 8, 2);
  const hour = digits(from + 11, 2), minute = digits(from + 14, 2), second = digits(from + 17, 2);
  const marks = load<u8>(from + 4) == 45 && load<u8>(from + 7) == 45 && load<u8>(from + 10) == 84
    && load<u8>(from + 13) == 58 && load<u8>(from + 16) == 58;
  if (!marks || year < 1700 || year > 2200 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)
    || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return i64.MIN_VALUE;
  let at = 19;
  let nanos: i64 = 0;
  if (load<u8>(from + at) == 46) {
    let worth = SECOND;
    const start = ++at;
    for (; at < length && load<u8>(from + at) >= 48 && load<u8>(from + at) <= 57; at++) {
      worth /= 10;
      nanos += worth * (load<u8>(from + at) - 48);
    }
    if (at == start) return i64.MIN_VALUE;
  }
  const offset = parseOffset(from + at, length - at);
  if (offset == i64.MIN_VALUE) return offset;
  const seconds = daysTo(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
  return seconds * SECOND + nanos;
}

/** Reads Z or +02:00 as seconds, i64.MIN_VALUE for anything else. */
function parseOffset(from: usize, length: i32): i64 {
  if (length == 1 && load<u8>(from) == 90) return 0;
  if (length != 6 || load<u8>(from + 3) != 58) return i64.MIN_VALUE;
  const sign = load<u8>(from);
  const hours = digits(from + 1, 2), minutes = digits(from + 4, 2);
  if (sign != 43 && sign != 45 || hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return i64.MIN_VALUE;
  const seconds = hours * 3600 + minutes * 60;
  return sign == 45 ? -seconds : seconds;
}
