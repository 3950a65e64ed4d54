import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// The example is served with the services behind it, as one origin: the server
// answers pages of other sites with a refusal.
export default defineConfig({
  server: {
    fs: { allow: [fileURLToPath(new URL(".", import.meta.url))] },
    proxy: { "/tollway.v1": process.env["TOLLWAY_SERVER"] ?? "http://127.0.0.1:8080" },
  },
});
