// What went wrong with the unit of work at hand. AssemblyScript has no exceptions that could be caught, so an
// operation that fails says so here and returns 0; the SDK looks once, when the author's code has returned, and
// rejects the event. The first failure stands: whatever came after it was computed from its 0.

import { Builder } from "./text";

export const OVERFLOW: i32 = 1;
export const DIVIDE: i32 = 2;
export const INEXACT: i32 = 3;
export const ROUNDING: i32 = 4;
const REJECTED: i32 = 5;
const FAULT: i32 = 6;

let code: i32 = 0;

/** The texts of a rejection or a fault. */
export const rejectReason = new Builder();
export const rejectDetail = new Builder();

// @ts-ignore: decorator
@inline
export function failed(): bool {
  return code != 0;
}

/** Says whether the module itself is wrong, not an event. */
export function isFault(): bool {
  return code == FAULT;
}

// @ts-ignore: decorator
@inline
export function clearFailure(): void {
  code = 0;
}

export function fail(what: i32): void {
  if (!code) code = what;
}

export function rejectWith(reason: string, detail: string): void {
  if (code) return;
  code = REJECTED;
  rejectReason.clear().str(reason);
  rejectDetail.clear().str(detail);
}

/** Stops a tariff that uses the SDK in a way that cannot be: nothing of the call counts. */
export function faultWith(text: string): void {
  if (code == FAULT) return;
  code = FAULT;
  rejectDetail.clear().str(text);
}

/** Puts the failure into words. */
export function tell(): void {
  if (code >= REJECTED) return;
  rejectReason.clear();
  rejectDetail.clear();
  if (code == OVERFLOW) {
    rejectReason.str("overflow");
    rejectDetail.str("overflow: beyond ±170141183460469231731.687303715884105727");
  } else if (code == DIVIDE) {
    rejectReason.str("division_by_zero");
    rejectDetail.str("division by zero");
  } else if (code == INEXACT) {
    rejectReason.str("inexact");
    rejectDetail.str("inexact: the result has more than 18 decimal places and no rounding is named");
  } else {
    rejectReason.str("tariff_error");
    rejectDetail.str(
      "invalid rounding: scale must be -20 to 18, mode one of none, half_up, half_even, floor, ceiling",
    );
  }
}
