// What `export * from "@tollway/tariff/manifest"` finds: see bin/manifest.mjs.

export * from "./assembly/manifest";
