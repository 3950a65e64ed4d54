import { defineConfig } from "@playwright/test";

// The tests drive the real binary with a real browser: TOLLWAY names the binary,
// CHROMIUM the browser. One worker: each test file has a server of its own. With RERUN
// a test that fails is run once more, and listed as flaky where it passes then.
export default defineConfig({
  testDir: "e2e",
  outputDir: "../../.tmp/web-test",
  workers: 1,
  fullyParallel: false,
  timeout: 180_000,
  expect: { timeout: 60_000 },
  retries: process.env["RERUN"] ? 1 : 0,
  reporter: [["list"]],
  use: {
    viewport: { width: 1360, height: 860 },
    launchOptions: { executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox"] },
  },
});
