import type { Period } from "@tollway/client";
import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";

const zone = "UTC";
const dateTime = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, timeStyle: "medium" });
const dayOnly = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" });

/** "2026-10-05 14:03:21" in UTC. */
export function time(t: Timestamp | undefined): string {
  return t ? dateTime.format(timestampDate(t)) : "\u2013";
}

/** A text of the server's with its instants, "2026-10-05T14:03:21Z", as the pages write them. */
export function readable(text: string): string {
  return text.replace(/(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)Z/g, "$1 $2 UTC");
}

/** "14:03:21" in UTC. */
export function timeOfDay(t: Timestamp | undefined): string {
  return t ? clock.format(timestampDate(t)) : "\u2013";
}

/** "2026-10-05" in UTC. */
export function day(t: Timestamp | undefined): string {
  return t ? dayOnly.format(timestampDate(t)) : "\u2013";
}

/** A month's period by its month, others by their first day. */
export function periodName(period: Period | undefined): string {
  if (!period) {
    return "\u2013";
  }
  return period.id.endsWith("-01") ? period.id.slice(0, 7) : period.id;
}

/** "12,345". */
export function count(n: bigint | number): string {
  return n.toLocaleString("en-US");
}

/** "1 event", "2 events". */
export function plural(n: bigint | number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n == 1 ? one : many}`;
}

/** "2.8 MB". */
export function bytes(n: bigint): string {
  const size = Number(n);
  return size < 1000 ? `${size} B` : size < 1e6 ? `${(size / 1e3).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

/** "region=eu, tier=gold". */
export function groupName(group: Record<string, string>): string {
  return Object.entries(group)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(", ");
}

/** The beginning of a digest, enough to tell plugins apart. */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, "").slice(0, 12);
}
