import { expect, test } from "@playwright/test";
import { Server } from "./world";

const token = "0123456789abcdef0123456789abcdef";

test("a server with tokens: the page asks once, and keeps it until the tab is closed", async ({ page, browser }) => {
  const server = await Server.start("serve", token);
  try {
    await page.goto(server.page("invoices"));
    const field = page.getByLabel("Bearer token");
    await field.fill("not the right one");
    await page.getByRole("button", { name: "Continue" }).click();
    await expect(page.getByRole("alert")).toContainText("does not accept");
    await field.fill(token);
    await page.getByRole("button", { name: "Continue" }).click();
    await expect(page.getByText("No invoice yet")).toBeVisible();
    await page.reload();
    await expect(page.getByText("No invoice yet")).toBeVisible();

    // A server without usage names the command that would change it.
    await page.goto(server.page());
    await expect(page.getByText("tollway usage send")).toBeVisible();

    const other = await browser.newPage();
    await other.goto(server.page());
    await expect(other.getByLabel("Bearer token")).toBeVisible();
    await other.close();
  } finally {
    await server.stop();
  }
});

test("a server that goes away: what is known stays, with a word about it", async ({ page }) => {
  const server = await Server.start("demo");
  try {
    await page.goto(server.page());
    await expect(page.getByRole("link", { name: "emma", exact: true })).toBeVisible();
    const figure = page.getByTestId("grand-total");
    const before = await figure.textContent();
    await expect(figure).not.toHaveText(before ?? ""); // a demo goes on by itself
  } finally {
    await server.stop();
  }
  await expect(page.locator("[data-status=retrying]")).toBeVisible();
  await expect(page.getByRole("alert")).toContainText("cannot be reached");
  await expect(page.getByRole("link", { name: "emma", exact: true })).toBeVisible();
});
