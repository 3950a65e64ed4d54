// Live subtotals: a watch that survives broken connections.

import { Code, ConnectError, type Client } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Money } from "../gen/tollway/v1/money_pb";
import type { AsOf } from "../gen/tollway/v1/position_pb";
import {
  type Subtotal,
  SubtotalService,
  type SubtotalServiceWatchRequestSchema,
  type SubtotalServiceWatchResponse,
  WatchEvent,
} from "../gen/tollway/v1/subtotal_service_pb";

/** What is known of the watched subtotals. A new object comes with each change. */
export interface Live {
  /**
   * connecting: nothing is known yet. live: what is known is current. retrying: the
   * connection broke; what is known stands as of then. failed: it will not come back
   * by itself, see error.
   */
  status: "connecting" | "live" | "retrying" | "failed";
  /** By id. With no period in the request, only those of each account's newest one. */
  subtotals: ReadonlyMap<string, Subtotal>;
  /** When one account is watched: its total for each currency. */
  totals: readonly Money[];
  /** How far it has seen. */
  asOf: AsOf | undefined;
  /** Why it is retrying or has failed. */
  error: ConnectError | undefined;
  /** Connections tried since the last one that worked. */
  attempts: number;
}

/** How a watch behaves; the defaults suit a page. All times are milliseconds. */
export interface LiveOptions {
  /** The first wait after a broken connection; each later one may be twice as long. */
  backoffMin?: number;
  /** The longest wait. */
  backoffMax?: number;
  /** How long silence may last; the server sends a sign of life every 15 s. */
  silenceMax?: number;
}

const defaults: Required<LiveOptions> = { backoffMin: 250, backoffMax: 15_000, silenceMax: 45_000 };

/** Errors that another try does not mend. */
const lasting = new Set([Code.InvalidArgument, Code.Unauthenticated, Code.PermissionDenied, Code.Unimplemented, Code.NotFound]);

/**
 * watchSubtotals calls onChange with what is known, first at once, then after each
 * message, until the function that it returns is called.
 */
export function watchSubtotals(
  client: Pick<Client<typeof SubtotalService>, "watch">,
  request: MessageInitShape<typeof SubtotalServiceWatchRequestSchema>,
  onChange: (live: Live) => void,
  options: LiveOptions = {},
): () => void {
  const limits = { ...defaults, ...options };
  const end = new AbortController();
  let live: Live = { status: "connecting", subtotals: new Map(), totals: [], asOf: undefined, error: undefined, attempts: 0 };
  const change = (part: Partial<Live>) => {
    live = { ...live, ...part };
    if (!end.signal.aborted) {
      onChange(live);
    }
  };

  const run = async () => {
    change({});
    const memory = new Memory(!request.period);
    while (!end.signal.aborted) {
      const error = await follow(client, request, limits.silenceMax, end.signal, memory, (known) =>
        change({ subtotals: new Map(known.subtotals), totals: known.totals, asOf: known.asOf, status: "live", error: undefined, attempts: 0 }),
      );
      if (end.signal.aborted) {
        return;
      }
      if (lasting.has(error.code)) {
        change({ status: "failed", error });
        return;
      }
      change({ status: "retrying", error, attempts: live.attempts + 1 });
      await pause(backoff(live.attempts, limits), end.signal);
    }
  };
  void run();
  return () => end.abort();
}

/** A random wait, so that the clients of a server that was away do not all come at once. */
export function backoff(attempts: number, limits: Required<LiveOptions>, random: () => number = Math.random): number {
  const longest = Math.min(limits.backoffMax, limits.backoffMin * 2 ** Math.min(attempts, 30));
  return limits.backoffMin + random() * (longest - limits.backoffMin);
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Follows one connection until it breaks and returns why. */
async function follow(
  client: Pick<Client<typeof SubtotalService>, "watch">,
  request: MessageInitShape<typeof SubtotalServiceWatchRequestSchema>,
  silenceMax: number,
  signal: AbortSignal,
  memory: Memory,
  changed: (known: Known) => void,
): Promise<ConnectError> {
  const connection = new AbortController();
  const stop = () => connection.abort();
  signal.addEventListener("abort", stop);
  let silence = setTimeout(stop, silenceMax);
  memory.connect();
  try {
    for await (const message of client.watch({ ...request, resumeToken: memory.resumeToken }, { signal: connection.signal })) {
      clearTimeout(silence);
      silence = setTimeout(stop, silenceMax);
      if (memory.take(message)) {
        changed(memory.known);
      }
    }
    return new ConnectError("the server ended the watch", Code.Unavailable);
  } catch (error) {
    const cause = ConnectError.from(error);
    return connection.signal.aborted && !signal.aborted ? new ConnectError("the server is silent", Code.Unavailable) : cause;
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", stop);
    connection.abort();
  }
}

/** What the messages have come to, over all connections. */
class Memory {
  known: Known;
  /** Where the next connection may go on. */
  resumeToken = "";
  private snapshot: Known | undefined; // on its way: what is known stands until it is complete

  constructor(private readonly newestOnly: boolean) {
    this.known = new Known(newestOnly);
  }

  /** Begins a connection; half a snapshot of the one before is nothing. */
  connect() {
    this.snapshot = undefined;
  }

  /** Takes a message in; false while a snapshot is not complete. */
  take(message: SubtotalServiceWatchResponse): boolean {
    const part = message.event === WatchEvent.SNAPSHOT_PART;
    if (part || message.event === WatchEvent.SNAPSHOT) {
      this.snapshot ??= new Known(this.newestOnly);
      this.snapshot.take(message);
      if (part) {
        return false;
      }
      this.known = this.snapshot;
      this.snapshot = undefined;
    } else {
      this.known.take(message);
    }
    this.resumeToken = message.resumeToken || this.resumeToken;
    return true;
  }
}

/** Subtotals and how far they have seen. */
class Known {
  readonly subtotals = new Map<string, Subtotal>();
  totals: Money[] = [];
  asOf: AsOf | undefined;
  private readonly newest = new Map<string, bigint>(); // start of each account's newest period

  constructor(private readonly newestOnly: boolean) {}

  take(message: SubtotalServiceWatchResponse) {
    for (const subtotal of message.subtotals) {
      this.merge(subtotal);
    }
    if (message.totals.length > 0) {
      this.totals = message.totals;
    }
    this.asOf = message.asOf ?? this.asOf;
  }

  private merge(subtotal: Subtotal) {
    const start = subtotal.period?.start?.seconds ?? 0n;
    const newest = this.newest.get(subtotal.account);
    if (this.newestOnly && newest !== undefined && start !== newest) {
      if (start < newest) {
        return; // a late correction of a period that is no longer shown
      }
      for (const [id, old] of this.subtotals) {
        if (old.account === subtotal.account) {
          this.subtotals.delete(id);
        }
      }
    }
    this.newest.set(subtotal.account, newest === undefined || start > newest ? start : newest);
    this.subtotals.set(subtotal.id, subtotal);
  }
}
