import { expect, test } from "@playwright/test";
import { mkdirSync } from "node:fs";
import { apply, event, isoDay, lastMonth, Receiver, send, Server, thisMonth, usageOf } from "./world";

// FULL names a folder for pictures of whole pages, to be looked at.
const full = process.env["FULL"];
const folder = "../../docs/screenshots";

// A company in the middle of its month: the month before is closed, some usage could
// not be priced, and more comes in while the pictures are taken.
test("pictures of every page", async ({ browser }) => {
  mkdirSync(folder, { recursive: true });
  const receiver = await Receiver.start("cobalt", "grebe");
  const server = await Server.start("serve", "", { ledger: receiver.url });
  let flowing = true;
  const flow = async () => {
    for (let n = 0; flowing; n++) {
      const at = new Date();
      await send(server, ["acme", "cobalt", "blue-heron", "grebe", "emma"].map((account, i) =>
        event(`now-${n}`, account, n % 3 ? "api.call" : "traffic.out", at, n % 3 ? { calls: String(6 + ((n * 37 + i * 211) % 90)), region: i % 2 ? "eu-central" : "us-east" } : { gigabytes: (0.02 + ((n * 13 + i * 7) % 40) / 200).toFixed(2) }),
      ));
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
  };
  try {
    await apply(server, true);
    const past = await send(server, usageOf(lastMonth(), thisMonth(), true));
    await server.clients.subtotals.get({ account: "emma", minPosition: { token: past } });
    await server.clients.periods.close({ period: isoDay(lastMonth()), skipGrace: true });
    const now = new Date();
    const strays = Array.from({ length: 9 }, (_, i) => [
      event(`gpu-${i}`, ["acme", "cobalt", "grebe"][i % 3]!, "gpu.hour", new Date(thisMonth().getTime() + i * 3_600_000), { hours: String(i + 1) }),
      event(`late-${i}`, ["emma", "dunlin"][i % 2]!, "api.call", new Date(thisMonth().getTime() - (i + 1) * 3_600_000), { calls: "120", region: "us-east" }),
    ]).flat();
    const token = await send(server, [...usageOf(thisMonth(), now, true), ...strays, event("bad-1", "hazel", "api.call", now, { calls: "many", region: "us-east" })]);
    await server.clients.subtotals.get({ account: "emma", minPosition: { token } });
    const streaming = flow();
    for (const colorScheme of ["light", "dark"] as const) {
      const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 800 } });
      const page = await context.newPage();
      const pages: [name: string, path: string, seconds: number][] = [
        ["overview", "", 45],
        ["account", "account/acme", 9],
        ["accounts", "accounts", 1],
        ["catalog", "catalog", 1],
        ["periods", "periods", 1],
        ["invoices", "invoices", 1],
        ["invoice", `invoice/acme.${isoDay(lastMonth())}.EUR.0`, 1],
        ["adjustment", `account/emma?period=${isoDay(thisMonth())}`, 1],
        ["deliveries", "deliveries", 1],
        ["dead-letters", "dead-letters", 1],
        ["plugins", "plugins", 1],
        ["partitions", "partitions", 9],
      ];
      for (const [name, path, seconds] of pages) {
        await page.goto(server.page(path));
        await expect(page.getByText("Loading", { exact: true })).toHaveCount(0);
        if (name === "adjustment") {
          await page.getByTestId("adjustment").scrollIntoViewIfNeeded();
        }
        await page.waitForTimeout((colorScheme === "light" ? seconds : Math.min(seconds, 5)) * 1000); // for the lines to grow
        await page.screenshot({ path: `${folder}/${name}${colorScheme === "dark" ? "-dark" : ""}.png` });
        if (full) {
          await page.screenshot({ path: `${full}/${name}${colorScheme === "dark" ? "-dark" : ""}.png`, fullPage: true });
        }
      }
      await context.close();
    }
    flowing = false;
    await streaming;
  } finally {
    flowing = false;
    await server.stop();
    await receiver.stop();
  }
});
