import { defineConfig } from "@playwright/test";
import base from "./playwright.config";

// `make screenshots`: the pictures of docs/screenshots, with the tests' browser.
export default defineConfig(base, {
  testDir: "e2e",
  testMatch: /screenshots\.ts$/,
  timeout: 300_000,
});
