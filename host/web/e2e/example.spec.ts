import { expect, test } from "@playwright/test";
import { formatDecimal } from "@tollway/client";
import { readFileSync } from "node:fs";
import { createServer } from "vite";
import { apply, event, lastMonth, send, Server } from "./world";

const client = "../../rpc/ts";

test("the example of the TypeScript client follows an account, in at most 60 lines", async ({ page }) => {
  const lines = ["index.html", "main.ts"].map((name) => readFileSync(`${client}/example/${name}`, "utf8").trimEnd().split("\n").length);
  expect(lines.reduce((a, b) => a + b)).toBeLessThanOrEqual(60);

  const server = await Server.start("serve");
  process.env["TOLLWAY_SERVER"] = server.url;
  const site = await createServer({ root: `${client}/example`, configFile: `${client}/vite.config.ts`, logLevel: "error", server: { host: "127.0.0.1", port: 0, strictPort: false } });
  try {
    await apply(server, true);
    const at = new Date(lastMonth().getTime() + 86_400_000);
    await send(server, [event("1", "emma", "seat.day", at, { seats: "3" }), event("2", "acme", "seat.day", at, { seats: "8" })]);
    await site.listen();
    await page.goto(site.resolvedUrls!.local[0]!);
    const figure = page.getByRole("status");
    const total = async (account: string, token = "") => {
      const { totals } = await server.clients.subtotals.get({ account, minPosition: { token } });
      return `live: ${totals.map((t) => `${formatDecimal(t.amount)} ${t.currency}`).join(", ")}`;
    };
    await expect(figure).toHaveText("live: 1.65 EUR");
    const token = await send(server, [event("3", "emma", "seat.day", at, { seats: "4" })]);
    await expect(figure).toHaveText(await total("emma", token));
    await expect(page.getByRole("row", { name: /seats/ })).toContainText("3.85");

    await page.getByLabel("Account").fill("acme");
    await page.getByRole("button", { name: "Watch" }).click();
    await expect(figure).toHaveText(await total("acme"));
  } finally {
    await site.close();
    await server.stop();
  }
});
