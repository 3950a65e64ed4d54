// What the engine calls. A plugin hands these on: export * from "@tollway/tariff/exports";

import { configure, makeArena, price } from "./guest";

/** The minor version of the contract that the SDK speaks. */
export function tariff_abi_v1(): i32 {
  return 0;
}

export function tariff_arena(size: u32): usize {
  return makeArena(size);
}

export function tariff_configure(handle: u32, length: u32): i32 {
  return configure(handle, length);
}

export function tariff_price(arena: usize): i32 {
  return price();
}
