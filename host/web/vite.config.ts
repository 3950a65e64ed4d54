import { svelte } from "@sveltejs/vite-plugin-svelte";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// The server that `npm run dev` forwards calls to.
const server = process.env["TOLLWAY_SERVER"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "/ui/",
  plugins: [svelte()],
  resolve: {
    alias: { "@tollway/client": fileURLToPath(new URL("../../rpc/ts/src/index.ts", import.meta.url)) },
    // The client lives outside this folder; what it imports is taken from here.
    dedupe: ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-web"],
  },
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // the content security policy allows no data: addresses
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: { "/tollway.v1": server },
    fs: { allow: ["../.."] },
  },
});
