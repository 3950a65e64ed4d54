// A company with a price list, customers and usage, on a real server: what the tests
// and the pictures look at.

import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import {
  AdminService,
  AlertService,
  CatalogService,
  DeadLetterService,
  DeliveryService,
  InvoiceService,
  PeriodService,
  SubtotalService,
  UsageService,
} from "@tollway/client";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server as Listener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const binary = process.env["TOLLWAY"] ?? "../../.build/tollway";

/** A running server with a folder of its own. */
export class Server {
  readonly binary = binary;
  readonly clients;
  private constructor(
    readonly url: string,
    private readonly child: ChildProcess,
    private readonly folder: string,
    transport: Transport,
  ) {
    this.clients = {
      admin: createClient(AdminService, transport),
      alerts: createClient(AlertService, transport),
      catalog: createClient(CatalogService, transport),
      deadLetters: createClient(DeadLetterService, transport),
      deliveries: createClient(DeliveryService, transport),
      invoices: createClient(InvoiceService, transport),
      periods: createClient(PeriodService, transport),
      subtotals: createClient(SubtotalService, transport),
      usage: createClient(UsageService, transport),
    };
  }

  /**
   * Starts `tollway serve`, or `tollway demo`; with a token if one is given, and with
   * webhooks that get its invoices, by name.
   */
  static async start(command: "serve" | "demo", token = "", webhooks: Record<string, string> = {}): Promise<Server> {
    const folder = mkdtempSync(join(tmpdir(), "tollway-web-"));
    const args = [command, "--data", join(folder, "data"), "--listen", "127.0.0.1:0"];
    const config: Record<string, unknown> = {};
    if (token) {
      writeFileSync(join(folder, "tokens"), `${token} tester\n`, { mode: 0o600 });
      config["token_file"] = join(folder, "tokens");
    }
    if (Object.keys(webhooks).length > 0) {
      const secret = join(folder, "secret");
      writeFileSync(secret, `whsec_${Buffer.alloc(32, 7).toString("base64")}\n`, { mode: 0o600 });
      config["deliveries"] = Object.entries(webhooks).map(([name, url]) => ({ name, webhook: { url, secret_file: secret } }));
    }
    if (Object.keys(config).length > 0) {
      writeFileSync(join(folder, "config.yaml"), JSON.stringify(config)); // which is YAML
      args.push("--config", join(folder, "config.yaml"));
    }
    const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    const url = await new Promise<string>((resolve, reject) => {
      const heard = (data: Buffer) => {
        said += data.toString();
        const dashboard = /(http:\/\/\S+)\/ui\//.exec(said);
        if (dashboard?.[1]) {
          resolve(dashboard[1]);
        }
      };
      child.stdout.on("data", heard);
      child.stderr.on("data", heard);
      child.on("exit", (code) => reject(new Error(`tollway ${command} ended with ${code}: ${said}`)));
      child.on("error", reject);
    });
    const transport = createConnectTransport({
      baseUrl: url,
      useBinaryFormat: true,
      interceptors: [
        (next) => (request) => {
          if (token) {
            request.header.set("Authorization", `Bearer ${token}`);
          }
          return next(request);
        },
      ],
    });
    return new Server(url, child, folder, transport);
  }

  /** The address of a page. */
  page(path = ""): string {
    return `${this.url}/ui/${path}`;
  }

  /** Ends it as an operator would, and waits. */
  async stop(): Promise<void> {
    if (this.child.exitCode === null) {
      const ended = new Promise((resolve) => this.child.once("exit", resolve));
      this.child.kill("SIGTERM");
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A receiver of invoices that does not want those of some accounts. */
export class Receiver {
  readonly taken = new Set<string>();
  private readonly listener: Listener;

  private constructor(readonly refused: Set<string>) {
    this.listener = createServer((request, response) => {
      const id = String(request.headers["webhook-id"]);
      request.resume().on("end", () => {
        if (this.refused.has(id.split(".")[0] ?? "")) {
          response.writeHead(422).end("no such customer");
        } else {
          this.taken.add(id);
          response.writeHead(204).end();
        }
      });
    });
  }

  static async start(...refused: string[]): Promise<Receiver> {
    const receiver = new Receiver(new Set(refused));
    await new Promise<void>((resolve) => receiver.listener.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.listener.address() as AddressInfo).port}/invoices`;
  }

  async stop(): Promise<void> {
    this.listener.closeAllConnections();
    await new Promise((resolve) => this.listener.close(resolve));
  }
}

/** The period that the tests close: the month before this one, so that it is over. */
export function lastMonth(now = new Date()): Date {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1));
}

/** The first day of this month. */
export function thisMonth(now = new Date()): Date {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1));
}

export const isoDay = (d: Date) => d.toISOString().slice(0, 10);

/** The price list; storage is left out until it is asked for, so that its usage waits in the dead letters. */
export function priceList(storage: boolean): string {
  return `
meters:
  - {name: api_calls, event_type: api.call, quantity: calls, dimensions: [region]}
  - {name: traffic, event_type: traffic.out, quantity: gigabytes}
  - {name: seats, event_type: seat.day, quantity: seats}
${storage ? "  - {name: storage, event_type: storage.hour, quantity: gigabyte_hours}" : ""}
tariffs:
  - name: api_standard
    meter: api_calls
    currency: EUR
    group_by: [region]
    versions:
      - effective_from: 2020-01-01T00:00:00Z
        plugin: graduated
        params: {tiers: [{up_to: "10000", unit_price: "0.0040"}, {up_to: "50000", unit_price: "0.0025"}, {up_to: "200000", unit_price: "0.0016"}, {up_to: null, unit_price: "0.0009"}]}
  - name: traffic_out
    meter: traffic
    currency: EUR
    versions:
      - effective_from: 2020-01-01T00:00:00Z
        plugin: graduated
        params: {tiers: [{up_to: "100", unit_price: "0"}, {up_to: "1000", unit_price: "0.09"}, {up_to: null, unit_price: "0.07"}]}
  - name: seats
    meter: seats
    currency: EUR
    versions:
      - {effective_from: 2020-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.55"}}
${storage ? `  - name: storage_hot
    meter: storage
    currency: EUR
    versions:
      - {effective_from: 2020-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.000032"}}` : ""}
accounts:
${accounts
  .map(
    (a) => `  - id: ${a.id}
    subscriptions: [${["api_standard", "traffic_out", "seats", ...(storage ? ["storage_hot"] : [])].map((t) => `{tariff: ${t}, from: 2020-01-01T00:00:00Z}`).join(", ")}]
    details: {name: ${a.name}, address: [${a.address.map((line) => `"${line}"`).join(", ")}], tax_id: ${a.tax}}`,
  )
  .join("\n")}
alerts:
  - {name: spend, measure: amount, currency: EUR, thresholds: ["250", "500"]}
  - {name: traffic_budget, measure: units, meter: traffic, accounts: [emma], thresholds: ["100000"]}
default_subscriptions: [api_standard, traffic_out, seats${storage ? ", storage_hot" : ""}]
billing:
  grace: 72h
  close: manual
  invoice_rules:
    - {name: volume_discount, plugin: discount, params: {percent: "5"}, currency: EUR, applies_to: [api_standard]}
    - {name: minimum, plugin: minimum_commitment, params: {amount: "25"}, currency: EUR}
  seller: {name: Northwind Compute GmbH, address: ["Hafenstrasse 12", "20457 Hamburg"], tax_id: DE811569869}
`;
}

export const accounts = [
  { id: "acme", name: "Acme Robotics Ltd", address: ["4 Foundry Lane", "Leeds LS1 4AP"], tax: "GB123456789", size: 40 },
  { id: "blue-heron", name: "Blue Heron Media", address: ["77 Quay Street", "Auckland 1010"], tax: "NZ88123456", size: 26 },
  { id: "cobalt", name: "Cobalt Analytics SA", address: ["Rue du Marché 9", "1204 Genève"], tax: "CHE-116.281.710", size: 31 },
  { id: "dunlin", name: "Dunlin Logistics BV", address: ["Maaskade 85", "3071 Rotterdam"], tax: "NL001234567B01", size: 12 },
  { id: "emma", name: "Emma Lindqvist AB", address: ["Storgatan 3", "411 24 Göteborg"], tax: "SE556677889901", size: 18 },
  { id: "fjord", name: "Fjord Sensors AS", address: ["Strandgaten 51", "5004 Bergen"], tax: "NO987654321", size: 9 },
  { id: "grebe", name: "Grebe Health Inc", address: ["210 Lake Avenue", "Madison WI 53703"], tax: "none", size: 22 },
  { id: "hazel", name: "Hazel Street Games", address: ["Karl-Marx-Allee 33", "10178 Berlin"], tax: "DE301002003", size: 5 },
];

interface Event {
  id: string;
  source: string;
  type: string;
  subject: string;
  time: { seconds: bigint };
  data: Record<string, string>;
}

export function event(id: string, account: string, type: string, at: Date, data: Record<string, string>): Event {
  return { id, source: "/gateway/eu-1", type, subject: account, time: { seconds: BigInt(Math.floor(at.getTime() / 1000)) }, data };
}

/** A month's usage, the same each time it is made. */
export function usageOf(month: Date, until: Date, storage: boolean): Event[] {
  const list: Event[] = [];
  let seed = 1 + month.getUTCMonth();
  const chance = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let day = new Date(month); day < until && day.getUTCMonth() === month.getUTCMonth(); day = new Date(day.getTime() + 86_400_000)) {
    const busy = day.getUTCDay() % 6 === 0 ? 0.45 : 1;
    for (const account of accounts) {
      for (let slot = 0; slot < 4; slot++) {
        const at = new Date(day.getTime() + (slot * 6 + chance() * 6) * 3_600_000);
        if (at >= until) {
          continue;
        }
        const id = `${isoDay(day)}-${slot}`;
        list.push(event(`a-${id}`, account.id, "api.call", at, { calls: String(Math.round(account.size * busy * (40 + chance() * 60))), region: slot % 2 ? "eu-central" : "us-east" }));
        list.push(event(`t-${id}`, account.id, "traffic.out", at, { gigabytes: (account.size * busy * chance() * 0.6).toFixed(3) }));
        if (storage) {
          list.push(event(`h-${id}`, account.id, "storage.hour", at, { gigabyte_hours: String(account.size * 120 * 6) }));
        }
      }
      list.push(event(`s-${isoDay(day)}`, account.id, "seat.day", new Date(day.getTime() + 3_600_000), { seats: String(1 + Math.floor(account.size / 6)) }));
    }
  }
  return list.filter((e) => e.time.seconds * 1000n < BigInt(until.getTime()));
}

/** Sends usage and returns the position behind it, to be waited for. */
export async function send(server: Server, events: Event[]): Promise<string> {
  let token = "";
  for (let i = 0; i < events.length; i += 5000) {
    const answer = await server.clients.usage.ingest({ events: events.slice(i, i + 5000) });
    const refused = answer.results.find((r) => r.result.case !== "accepted");
    if (refused) {
      throw new Error(`usage was refused: ${JSON.stringify(refused.result.value, (_, v: unknown) => (typeof v === "bigint" ? String(v) : v))}`);
    }
    token = answer.positionToken;
  }
  return token;
}

/** Applies the price list. */
export async function apply(server: Server, storage: boolean) {
  await server.clients.catalog.apply({ files: [{ name: "prices.yaml", text: priceList(storage) }], prune: true });
}
