import AxeBuilder from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { formatDecimal } from "@tollway/client";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accounts, apply, event, isoDay, lastMonth, send, Server, thisMonth, usageOf } from "./world";

// One server for all tests of this file, which run in order: the later ones close
// what the earlier ones have filled.
test.describe.configure({ mode: "serial" });

let server: Server;
const period = isoDay(lastMonth());
const exports = mkdtempSync(join(tmpdir(), "tollway-exports-"));

test.beforeAll(async () => {
  server = await Server.start("serve");
  await apply(server, false);
  const token = await send(server, [
    ...usageOf(lastMonth(), thisMonth(), false),
    event("w-1", "emma", "storage.hour", new Date(lastMonth().getTime() + 86_400_000), { gigabyte_hours: "1000000" }),
    event("w-2", "acme", "storage.hour", new Date(lastMonth().getTime() + 86_400_000), { gigabyte_hours: "2000000" }),
  ]);
  await server.clients.subtotals.get({ account: "emma", minPosition: { token } });
});

test.afterAll(async () => {
  rmSync(exports, { recursive: true, force: true });
  await server?.stop();
});

// Nothing that a page does may be against the policy, or fail unseen.
let complaints: string[] = [];
test.beforeEach(({ page }) => {
  complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error" || /Content Security Policy/.test(message.text())) {
      complaints.push(message.text());
    }
  });
  page.on("pageerror", (error) => complaints.push(error.message));
});
test.afterEach(() => expect(complaints).toEqual([]));

/** The account's total as the service gives it, as the page writes it. */
async function total(account: string, token = ""): Promise<string> {
  const answer = await server.clients.subtotals.get({ account, minPosition: { token } });
  return answer.totals.map((t) => `${formatDecimal(t.amount)}\u00a0${t.currency}`).join();
}

const figure = (page: Page) => page.getByTestId("account-total");

test("an account's subtotal moves as usage is sent, and equals the service's answer", async ({ page }) => {
  await page.goto(server.page("account/emma"));
  await expect(figure(page)).toHaveText(await total("emma"));
  await expect(page.locator("[data-status=live]")).toBeVisible();
  for (let n = 0; n < 3; n++) {
    const before = await figure(page).textContent();
    const at = new Date(lastMonth().getTime() + 20 * 86_400_000);
    const token = await send(server, [event(`live-${n}`, "emma", "traffic.out", at, { gigabytes: "12.5" })]);
    const after = await total("emma", token);
    expect(after).not.toBe(before);
    await expect(figure(page)).toHaveText(after);
  }
  // The preview is the same computation, and catches up.
  const preview = await server.clients.invoices.preview({ account: "emma", period });
  await expect(page.getByTestId("invoice-total")).toHaveText(`${formatDecimal(preview.invoices[0]!.total)} EUR`);
});

test("an alert stands on the account's page and on the overview as soon as it is fired", async ({ page }) => {
  await page.goto(server.page(`account/emma?period=${period}`));
  await expect(figure(page)).toHaveText(await total("emma"));
  const card = page.getByTestId("alerts");
  await expect(card.getByRole("row", { name: /traffic_budget/ })).toHaveCount(0);
  const at = new Date(lastMonth().getTime() + 21 * 86_400_000);
  const token = await send(server, [event("burst", "emma", "traffic.out", at, { gigabytes: "100000" })]);
  const { alerts } = await server.clients.alerts.list({ account: "emma", alert: "traffic_budget", minPosition: { token } });
  expect(alerts.length).toBe(1);
  for (const next of [server.page(), ""]) {
    const row = card.getByRole("row", { name: /traffic_budget/ });
    await expect(row).toContainText("100,000");
    await expect(row).toContainText(`came to ${formatDecimal(alerts[0]!.value)}`);
    await expect(row).toContainText("units of traffic");
    await expect(row).toContainText(period.slice(0, 7));
    if (next) {
      await page.goto(next);
    }
  }
  await expect(card.getByRole("link", { name: "emma" }).first()).toBeVisible();
});

test("the checklist of a period is what the server says that its close waits for", async ({ page }) => {
  await page.goto(server.page("periods"));
  const checklist = page.locator(`[data-period="${period}"]`).getByRole("list", { name: "Before the close" });
  await expect(async () => {
    const { periods } = await server.clients.periods.list({ period });
    expect(periods[0]!.waits.length).toBeGreaterThan(0);
    for (const wait of periods[0]!.waits) {
      await expect(checklist).toContainText(wait.detail, { timeout: 4000 });
    }
  }).toPass({ timeout: 120_000 });
});

test("the overview adds the accounts up, and a click leads to one", async ({ page }) => {
  await page.goto(server.page());
  const top = page.getByRole("region", { name: "Top accounts" });
  for (const account of ["acme", "hazel"]) {
    const row = top.getByRole("row").filter({ has: page.getByRole("link", { name: account, exact: true }) });
    await expect(row).toContainText((await total(account)).split("\u00a0")[0]!);
  }
  await top.getByRole("link", { name: "acme", exact: true }).click();
  await expect(page).toHaveURL(server.page("account/acme"));
  await expect(figure(page)).toHaveText(await total("acme"));
  await page.goBack();
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
});

test("a dead letter is read, replayed after its cause is mended, and another one discarded", async ({ page }) => {
  await page.goto(server.page("dead-letters"));
  await expect(page.getByRole("row", { name: /w-1/ })).toContainText("no_meter");
  await page.getByRole("button", { name: "w-1" }).click();
  await expect(page.getByLabel("Payload")).toContainText('"gigabyte_hours"');
  await page.getByRole("button", { name: "Close", exact: true }).click();

  const before = await total("emma");
  await apply(server, true);
  await page.getByRole("checkbox", { name: "Choose w-1" }).check();
  await page.getByRole("button", { name: "Replay 1 dead letter" }).click();
  await expect(page.getByRole("status").filter({ hasText: "1 event priced" })).toBeVisible();
  await expect(page.getByRole("row", { name: /w-1/ })).toHaveCount(0);
  expect(await total("emma")).not.toBe(before);

  await page.getByRole("checkbox", { name: "Choose w-2" }).check();
  await page.getByRole("button", { name: "Discard…" }).click();
  const confirm = page.getByRole("button", { name: "Discard for good" });
  await expect(confirm).toBeDisabled();
  await page.getByLabel("Why").fill("sent twice by a broken gateway");
  await confirm.click();
  await expect(page.getByRole("status").filter({ hasText: "1 event discarded" })).toBeVisible();
  await expect(page.getByText("Nothing waits here")).toBeVisible();
  await page.getByLabel("Status").selectOption("discarded");
  await page.getByRole("button", { name: "w-2" }).click();
  await expect(page.getByRole("dialog")).toContainText("sent twice by a broken gateway");
});

test("a period is closed, and its invoice opened, printed and exported", async ({ page }) => {
  await page.goto(server.page("periods"));
  const card = page.locator(`[data-period="${period}"]`);
  await expect(card.getByRole("list", { name: "Before the close" })).toContainText("No dead letter is open.");
  await card.getByRole("button", { name: "Close…" }).click();
  await page.getByLabel("Do not wait for the grace time").check();
  await page.getByRole("button", { name: `Close ${period}` }).click();
  await expect(page.getByRole("status").filter({ hasText: `${accounts.length} invoices issued` })).toBeVisible();
  await card.getByRole("link", { name: "Invoices" }).click();

  const id = `acme.${period}.EUR.0`;
  const { invoice, document } = await server.clients.invoices.get({ id, withDocument: true });
  await page.getByRole("link", { name: id }).click();
  await expect(page.getByTestId("invoice-total")).toHaveText(`${formatDecimal(invoice!.total)} EUR`);
  await expect(page.getByTestId("paper")).toContainText("Northwind Compute GmbH");
  await expect(page.getByTestId("paper")).toContainText("Acme Robotics Ltd");

  const pdf = await page.pdf({ format: "A4" });
  expect(pdf.subarray(0, 5).toString()).toBe("%PDF-");
  await page.emulateMedia({ media: "print" });
  await expect(page.getByRole("navigation")).toBeHidden();
  await expect(page.getByRole("button", { name: "Print" })).toBeHidden();
  await expect(page.getByTestId("paper")).toBeVisible();
  await page.emulateMedia({ media: "screen" });

  const saving = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download JSON" }).click();
  const saved = await saving;
  expect(saved.suggestedFilename()).toBe(`${id}.json`);
  expect(readFileSync(await saved.path()).equals(Buffer.from(document))).toBe(true);

  await page.goto(server.page(`invoices?period=${period}`));
  const exporting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export as JSON Lines" }).click();
  const lines = readFileSync(await (await exporting).path(), "utf8").trimEnd().split("\n");
  expect(lines.length).toBe(accounts.length);
  expect(lines).toContain(Buffer.from(document).toString().trimEnd());

  // What a browser does not make, the command line does.
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  for (const format of ["csv", "parquet", "focus", "html"]) {
    await page.getByLabel("Format").selectOption(format);
    await page.getByRole("button", { name: "Copy" }).click();
    await expect(page.getByRole("button", { name: "Copied" })).toBeVisible();
    const command = `tollway invoices export --period ${period} --format ${format} --out invoices-${period}-${format} --server ${server.url}`;
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(command);
    const out = join(exports, format);
    execFileSync(server.binary, command.split(" ").slice(1).map((word) => (word === `invoices-${period}-${format}` ? out : word)));
    expect(readFileSync(join(out, "manifest.json"), "utf8")).toContain(period);
  }
});

test("what corrects a closed period is told apart: before, now, the difference, and why", async ({ page }) => {
  const before = (await server.clients.invoices.get({ id: `acme.${period}.EUR.0` })).invoice!;
  const token = await send(server, [
    event("forgotten", "acme", "seat.day", new Date(lastMonth().getTime() + 86_400_000), { seats: "10" }),
    event("current", "acme", "seat.day", thisMonth(), { seats: "1" }),
  ]);
  const answer = await server.clients.invoices.preview({ account: "acme", period: isoDay(thisMonth()), minPosition: { token } });
  const line = answer.invoices[0]!.lines.find((l) => l.adjustment && l.tariff === "seats")!;
  await page.goto(server.page(`account/acme?period=${isoDay(thisMonth())}`));
  const adjustment = page.getByTestId("adjustment");
  await expect(adjustment).toContainText(before.id);
  const row = adjustment.getByRole("row", { name: /seats/ });
  await expect(row).toContainText(formatDecimal(line.adjustment!.oldAmount));
  await expect(row).toContainText(formatDecimal(line.adjustment!.newAmount));
  await expect(row).toContainText(formatDecimal(line.amount));
  await expect(adjustment).toContainText("/gateway/eu-1 forgotten came late");
  expect(line.amount).toBe("5.50");
});

const paths = ["", "accounts", "account/acme", "catalog", "catalog/api_standard", "periods", "invoices", `invoice/acme.${period}.EUR.0`, "deliveries", "dead-letters?status=all", "plugins", "partitions", "nowhere"];

for (const colorScheme of ["light", "dark"] as const) {
  test(`every page is accessible, ${colorScheme}`, async ({ browser }) => {
    test.setTimeout(300_000);
    const context = await browser.newContext({ colorScheme, viewport: { width: 1360, height: 860 } });
    const page = await context.newPage();
    for (const path of paths) {
      await page.goto(server.page(path));
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await expect(page.getByText("Loading", { exact: true })).toHaveCount(0);
      // The scheme changes colours alone.
      const axe = new AxeBuilder({ page });
      const { violations } = await (colorScheme === "light" ? axe : axe.withRules(["color-contrast"])).analyze();
      const serious = violations.filter((v) => v.impact === "serious" || v.impact === "critical");
      expect(serious.map((v) => `${path}: ${v.id} ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`)).toEqual([]);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(wide, `${path} is wider than the window`).toBeLessThanOrEqual(0);
    }
    await context.close();
  });
}

test("the keyboard reaches everything, and focus shows", async ({ page }) => {
  await page.goto(server.page());
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  const overview = page.getByRole("navigation").getByRole("link", { name: "Overview" });
  await expect(overview).toBeFocused();
  expect(await overview.evaluate((e) => getComputedStyle(e).outlineStyle)).toBe("solid");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Accounts" })).toBeVisible();
});

test("a theme that is chosen stays", async ({ page }) => {
  await page.goto(server.page());
  await page.getByLabel("Theme").selectOption("dark");
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  expect(await page.evaluate(() => getComputedStyle(document.body).colorScheme || getComputedStyle(document.documentElement).colorScheme)).toContain("dark");
});
