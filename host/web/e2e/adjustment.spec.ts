import { expect, test } from "@playwright/test";
import { formatDecimal } from "@tollway/client";
import { apply, event, isoDay, lastMonth, send, Server } from "./world";

// Two months are closed, and in between something comes late for the first: the second
// month's invoice, once issued, adjusts it.
// A server starts, and a machine may be busy.
test.setTimeout(300_000);

test("an issued invoice tells what it adjusts: before, now, the difference, and why", async ({ page }) => {
  const second = lastMonth();
  const first = new Date(Date.UTC(second.getUTCFullYear(), second.getUTCMonth() - 1, 1));
  const day = (month: Date) => new Date(month.getTime() + 86_400_000);
  const server = await Server.start("serve");
  const priced = async (events: ReturnType<typeof event>[]) => {
    const token = await send(server, events);
    await server.clients.subtotals.get({ account: "acme", minPosition: { token } });
  };
  try {
    await apply(server, false);
    await priced([event("first", "acme", "seat.day", day(first), { seats: "1" }), event("second", "acme", "seat.day", day(second), { seats: "1" })]);
    await server.clients.periods.close({ period: isoDay(first), skipGrace: true });
    await priced([event("forgotten", "acme", "seat.day", day(first), { seats: "10" })]);
    await server.clients.periods.close({ period: isoDay(second), skipGrace: true });

    const id = `acme.${isoDay(second)}.EUR.0`;
    const invoice = (await server.clients.invoices.get({ id })).invoice!;
    const line = invoice.lines.find((l) => l.adjustment && l.tariff === "seats")!;
    expect(line.adjustment!.invoice).toBe(`acme.${isoDay(first)}.EUR.0`);
    await page.goto(server.page(`invoice/${id}`));
    const adjustment = page.getByTestId("adjustment");
    await expect(adjustment).toContainText(line.adjustment!.invoice);
    const row = adjustment.getByRole("row", { name: /seats/ });
    for (const amount of [line.adjustment!.oldAmount, line.adjustment!.newAmount, line.amount]) {
      await expect(row).toContainText(formatDecimal(amount));
    }
    await expect(adjustment).toContainText("/gateway/eu-1 forgotten came late");
    await expect(page.getByTestId("invoice-total")).toHaveText(`${formatDecimal(invoice.total)} EUR`);
    await page.emulateMedia({ media: "print" });
    await expect(adjustment).toBeVisible();

    // The invoice that is adjusted stays as it was.
    await page.emulateMedia({ media: "screen" });
    await page.goto(server.page(`invoice/${line.adjustment!.invoice}`));
    await expect(page.getByTestId("paper")).toBeVisible();
    await expect(page.getByTestId("adjustment")).toHaveCount(0);
  } finally {
    await server.stop();
  }
});
