import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import {
  type SubtotalServiceWatchResponse,
  SubtotalService,
  SubtotalServiceWatchResponseSchema,
  WatchEvent,
} from "../gen/tollway/v1/subtotal_service_pb";
import { backoff, type Live, watchSubtotals } from "./live";

const quick = { backoffMin: 1, backoffMax: 5, silenceMax: 60_000 };
let stop = () => {};
afterEach(() => stop());

type Row = [id: string, account: string, month: number, amount: string];

function message(event: WatchEvent, ...rows: Row[]): SubtotalServiceWatchResponse {
  return resumable("", event, ...rows);
}

function resumable(resumeToken: string, event: WatchEvent, ...rows: Row[]): SubtotalServiceWatchResponse {
  return create(SubtotalServiceWatchResponseSchema, {
    event,
    resumeToken,
    subtotals: rows.map(([id, account, month, amount]) => ({
      id,
      account,
      amount,
      period: { id: `2026-${String(month).padStart(2, "0")}-01`, start: { seconds: BigInt(Date.UTC(2026, month - 1, 1) / 1000) } },
    })),
  });
}

/** Serves each connection with the next script and then, if the script ends, ends it. */
function serve(...scripts: ((signal: AbortSignal) => AsyncGenerator<SubtotalServiceWatchResponse>)[]) {
  let connections = 0;
  const tokens: string[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(SubtotalService, {
      watch: (request, context) => {
        tokens.push(request.resumeToken);
        return scripts[Math.min(connections++, scripts.length - 1)]!(context.signal);
      },
    });
  });
  return { client: createClient(SubtotalService, transport), connections: () => connections, tokens };
}

const forever = (signal: AbortSignal) => new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));

/** Watches until a state satisfies want, and returns all states up to it. */
function until(client: ReturnType<typeof serve>["client"], want: (live: Live) => boolean, options = quick, request = {}): Promise<Live[]> {
  const seen: Live[] = [];
  return new Promise((resolve) => {
    stop = watchSubtotals(
      client,
      request,
      (live) => {
        seen.push(live);
        if (want(live)) {
          resolve(seen);
        }
      },
      options,
    );
  });
}

const amounts = (live: Live) => Object.fromEntries([...live.subtotals.values()].map((s) => [s.id, s.amount]));

describe("watchSubtotals", () => {
  it("shows no half of a snapshot, then merges changes", async () => {
    const { client } = serve(async function* (signal) {
      yield message(WatchEvent.SNAPSHOT_PART, ["a", "emma", 10, "1.00"]);
      yield message(WatchEvent.SNAPSHOT, ["b", "liam", 10, "2.00"]);
      yield message(WatchEvent.CHANGED, ["a", "emma", 10, "1.50"]);
      await forever(signal);
    });
    const seen = await until(client, (live) => amounts(live)["a"] === "1.50");
    expect(seen.map((live) => [live.status, amounts(live)])).toEqual([
      ["connecting", {}],
      ["live", { a: "1.00", b: "2.00" }],
      ["live", { a: "1.50", b: "2.00" }],
    ]);
  });

  it("keeps what is known while it reconnects, then takes the new snapshot in its place", async () => {
    const { client, connections } = serve(
      async function* () {
        yield message(WatchEvent.SNAPSHOT, ["a", "emma", 10, "1.00"], ["gone", "emma", 10, "9.00"]);
        throw new ConnectError("broken", Code.Unavailable);
      },
      async function* () {
        throw new ConnectError("still away", Code.Unavailable);
      },
      async function* (signal) {
        yield message(WatchEvent.SNAPSHOT, ["a", "emma", 10, "3.00"]);
        await forever(signal);
      },
    );
    const seen = await until(client, (live) => amounts(live)["a"] === "3.00");
    const retrying = seen.filter((live) => live.status === "retrying");
    expect(retrying.map((live) => live.attempts)).toEqual([1, 2]);
    expect(amounts(retrying[1]!)).toEqual({ a: "1.00", gone: "9.00" });
    expect(seen.at(-1)).toMatchObject({ status: "live", attempts: 0, error: undefined });
    expect(amounts(seen.at(-1)!)).toEqual({ a: "3.00" });
    expect(connections()).toBe(3);
  });

  it("resumes where it was, and never from half a snapshot", async () => {
    const { client, tokens } = serve(
      async function* () {
        yield resumable("one", WatchEvent.SNAPSHOT, ["a", "emma", 10, "1.00"], ["b", "emma", 10, "2.00"]);
        yield resumable("two", WatchEvent.CHANGED, ["a", "emma", 10, "1.10"]);
        yield message(WatchEvent.CHANGED, ["b", "emma", 10, "2.10"]); // a part: its token stays good
        throw new ConnectError("broken", Code.Unavailable);
      },
      async function* () {
        yield message(WatchEvent.SNAPSHOT_PART, ["half", "emma", 10, "0"]);
        throw new ConnectError("broken", Code.Unavailable);
      },
      async function* (signal) {
        yield resumable("three", WatchEvent.CHANGED, ["b", "emma", 10, "2.20"]);
        await forever(signal);
      },
    );
    const seen = await until(client, (live) => amounts(live)["b"] === "2.20");
    expect(amounts(seen.at(-1)!)).toEqual({ a: "1.10", b: "2.20" });
    expect(tokens).toEqual(["", "two", "two"]);
  });

  it("does not try again what will not be better", async () => {
    const { client, connections } = serve(async function* () {
      throw new ConnectError("no token", Code.Unauthenticated);
    });
    const seen = await until(client, (live) => live.status === "failed");
    expect(seen.at(-1)?.error?.code).toBe(Code.Unauthenticated);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(connections()).toBe(1);
  });

  it("takes silence for a broken connection", async () => {
    const { client } = serve(async function* (signal) {
      yield message(WatchEvent.SNAPSHOT, ["a", "emma", 10, "1.00"]);
      await forever(signal);
    });
    const seen = await until(client, (live) => live.status === "retrying", { ...quick, silenceMax: 20 });
    expect(seen.at(-1)?.error?.rawMessage).toBe("the server is silent");
  });

  it("moves on with an account to its next period, unless one was asked for", async () => {
    const script = async function* (signal: AbortSignal) {
      yield message(WatchEvent.SNAPSHOT, ["a10", "emma", 10, "1.00"], ["b10", "liam", 10, "2.00"]);
      yield message(WatchEvent.CHANGED, ["a11", "emma", 11, "0.10"]);
      yield message(WatchEvent.CHANGED, ["a10", "emma", 10, "1.01"], ["end", "zoe", 11, "0"]);
      await forever(signal);
    };
    const done = (live: Live) => live.subtotals.has("end");
    const newest = (await until(serve(script).client, done)).at(-1)!;
    expect(amounts(newest)).toEqual({ a11: "0.10", b10: "2.00", end: "0" });
    stop();
    const asked = (await until(serve(script).client, done, quick, { period: "2026-10" })).at(-1)!;
    expect(amounts(asked)).toEqual({ a10: "1.01", a11: "0.10", b10: "2.00", end: "0" });
  });

  it("is quiet after its end", async () => {
    const { client } = serve(async function* (signal) {
      for (let n = 0; !signal.aborted; n++) {
        yield message(WatchEvent.CHANGED, ["a", "emma", 10, String(n)]);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
    const seen = await until(client, (live) => live.status === "live");
    stop();
    const before = seen.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(seen.length).toBe(before);
  });
});

describe("backoff", () => {
  it("grows to its limit and is spread", () => {
    const limits = { backoffMin: 100, backoffMax: 10_000, silenceMax: 0 };
    expect(backoff(0, limits, () => 1)).toBe(100);
    expect(backoff(3, limits, () => 1)).toBe(800);
    expect(backoff(1000, limits, () => 1)).toBe(10_000);
    expect(backoff(1000, limits, () => 0)).toBe(100);
  });
});
