import AxeBuilder from "@axe-core/playwright";
import { expect, test } from "@playwright/test";
import { accounts, apply, isoDay, lastMonth, Receiver, send, Server, thisMonth, usageOf } from "./world";

test("an invoice that is not taken stands on the page with its reason, is tried again, and passed over", async ({ page }) => {
  const period = isoDay(lastMonth());
  const receiver = await Receiver.start("acme", "emma");
  const server = await Server.start("serve", "", { ledger: receiver.url });
  try {
    await page.goto(server.page("deliveries"));
    const sink = page.locator("[data-sink=ledger]");
    await expect(sink).toContainText(receiver.url);

    await apply(server, true);
    const token = await send(server, usageOf(lastMonth(), thisMonth(), true));
    await server.clients.subtotals.get({ account: "emma", minPosition: { token } });
    await server.clients.periods.close({ period, skipGrace: true });

    const row = (account: string) => sink.getByRole("row", { name: new RegExp(`^${account}\\.`) });
    for (const account of ["acme", "emma"]) {
      await expect(row(account)).toContainText("422");
      await expect(row(account)).toContainText("refused");
    }
    await expect(sink.locator("dl")).toContainText(`delivered${accounts.length - 2}`);
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => v.id)).toEqual([]);

    receiver.refused.delete("acme");
    await page.getByRole("button", { name: `Retry acme.${period}.EUR.0` }).click();
    await expect(row("acme")).toHaveCount(0);
    expect(receiver.taken).toContain(`acme.${period}.EUR.0`);

    await page.getByRole("button", { name: `Skip emma.${period}.EUR.0` }).click();
    const confirm = page.getByRole("button", { name: "Pass over for good" });
    await expect(confirm).toBeDisabled();
    await page.getByLabel("Why").fill("booked by hand");
    await confirm.click();
    await expect(row("emma")).toHaveCount(0);
    await expect(sink.locator("dl")).toContainText("passed over1");
    const { sinks } = await server.clients.deliveries.list({});
    expect([sinks[0]!.skipped, sinks[0]!.held.length]).toEqual([1n, 0]);
  } finally {
    await server.stop();
    await receiver.stop();
  }
});

test("without sinks the page names what sets one up", async ({ page }) => {
  const server = await Server.start("serve");
  try {
    await page.goto(server.page("deliveries"));
    await expect(page.getByText("docs/delivery.md")).toBeVisible();
    await server.clients.catalog.apply({ files: [{ name: "none.yaml", text: "meters: [{name: m, event_type: m, quantity: n}]" }] });
    await page.goto(server.page("account/nobody"));
    await expect(page.getByTestId("alerts")).toContainText("docs/alerts.md");
  } finally {
    await server.stop();
  }
});
