import { rejectWith } from "./failure";

/**
 * Says that the tariff does not price the event at hand. The event becomes a dead letter; its slot stays as it was.
 * The reason is for machines, [a-z][a-z0-9_]{0,62}; the detail is for people, best at most 120 bytes. The call
 * returns, so return behind it. Of two reasons the first stands.
 */
export function reject(reason: string, detail: string): void {
  rejectWith(reason, detail);
}
