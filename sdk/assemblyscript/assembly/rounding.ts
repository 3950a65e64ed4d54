// Where a number goes that lies between two that can be kept.

/** The rounding modes. */
export const NONE: i32 = 0; // keep every digit; a result that has too many is a failure
export const HALF_UP: i32 = 1; // to the nearest; a tie goes away from zero: 2.5 to 3, -2.5 to -3
export const HALF_EVEN: i32 = 2; // to the nearest; a tie goes to the even neighbour: 2.5 to 2, 3.5 to 4
export const FLOOR: i32 = 3; // towards minus infinity: 2.7 to 2, -2.1 to -3
export const CEILING: i32 = 4; // towards plus infinity: 2.1 to 3, -2.7 to -2

/** The scales that a rounding may name. Below the least nothing but 0 would be left. */
export const SCALE_MIN: i32 = -20;
export const SCALE_MAX: i32 = 18;

/** A rounding, named completely: how many decimal places stay (-2 keeps whole hundreds), and which way. */
@unmanaged
@final
export class Rounding {
  constructor(readonly scale: i32, readonly mode: i32) {}

  /** Says whether the mode is known and the scale lies within the bounds. */
  @inline
  get valid(): bool {
    return <u32>this.mode <= <u32>CEILING && this.scale >= SCALE_MIN && this.scale <= SCALE_MAX;
  }

  /** The number of decimal places that a result keeps. */
  @inline
  get places(): i32 {
    return this.mode == NONE ? SCALE_MAX : this.scale;
  }
}

/**
 * The rounding of results that no parameter rounds: a product that needs more than the 18 decimal places of the
 * engine's numbers is rounded to them, ties away from zero.
 */
export const EXACT = new Rounding(18, HALF_UP);

/** Up to whole numbers. */
export const WHOLE_UP = new Rounding(0, CEILING);

/** No rounding at all. */
export const UNROUNDED = new Rounding(0, NONE);

/** The mode of a name, -1 for none: none, half_up, half_even, floor, ceiling. */
export function parseMode(name: string): i32 {
  if (name == "none") return NONE;
  if (name == "half_up") return HALF_UP;
  if (name == "half_even") return HALF_EVEN;
  if (name == "floor") return FLOOR;
  if (name == "ceiling") return CEILING;
  return -1;
}
