#!/usr/bin/env node
// Prints the manifest of the plugin in the current folder: it compiles assembly/index.ts together with what asks it for
// its parameters, and asks. `tollway plugin build` runs it; run it by hand to look at the manifest.

import { readFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const entry = "tollway-manifest.ts"; // is not on disk
const source = 'import "./assembly/index";\nexport * from "@tollway/tariff/manifest";\n';

const compiler = path.resolve("node_modules/assemblyscript/dist/asc.js");
const { default: asc } = await import(pathToFileURL(compiler).href);

let wasm = null;
const { error, stderr } = await asc.main(
  [entry, "-o", "manifest.wasm", "--runtime", "stub", "--use", "abort=", "--exportStart", "_initialize"],
  {
    readFile: async (name, base) => {
      if (name === entry) return source;
      try {
        return await readFile(path.resolve(base, name), "utf8");
      } catch {
        return null; // the compiler tries several names
      }
    },
    writeFile: async (name, contents) => {
      wasm = contents;
    },
    listFiles: async () => [],
  },
);
if (error) {
  process.stderr.write(stderr.toString());
  process.exit(1);
}

// A tariff prices nothing here, so what it would call does nothing.
const { instance } = await WebAssembly.instantiate(wasm, { tollway_v1: { begin() {}, begin_many() {} } });
const { memory, _initialize, tollway_manifest, tollway_manifest_length } = instance.exports;
_initialize();
const at = tollway_manifest();
if (at === 0) {
  process.stderr.write("assembly/index.ts makes no plugin: call plugin(name, version) in it\n");
  process.exit(1);
}
const text = new TextDecoder().decode(new Uint8Array(memory.buffer, at, tollway_manifest_length()));
process.stdout.write(JSON.stringify(JSON.parse(text)) + "\n");
