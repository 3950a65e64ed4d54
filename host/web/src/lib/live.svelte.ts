import { untrack } from "svelte";
import { type Live, watchSubtotals } from "@tollway/client";
import { noteRefusal, subtotals } from "./api.svelte";

/** Live subtotals as state; to be called while a component is made. */
export function liveSubtotals(request: () => { account?: string; period?: string }): { readonly value: Live | undefined } {
  let value = $state.raw<Live>();
  $effect(() =>
    watchSubtotals(subtotals, request(), (live) => {
      value = live;
      if (live.error) {
        noteRefusal(live.error);
      }
    }),
  );
  return {
    get value() {
      return value;
    },
  };
}

/** The last samples of a number that changes, for a spark line. Numbers for drawing only. */
export class Samples {
  private readonly of = new Map<string, number[]>();
  private readonly most: number;
  private changes = $state(0); // so that who draws a line hears of it

  constructor(most = 60) {
    this.most = most;
  }

  add(key: string, value: number) {
    const list = this.of.get(key) ?? [];
    this.of.set(key, [...list.slice(1 - this.most), value]);
    untrack(() => this.changes++);
  }

  get(key: string): number[] {
    return this.changes >= 0 ? (this.of.get(key) ?? []) : [];
  }
}
