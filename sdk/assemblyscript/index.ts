// What `import { ... } from "@tollway/tariff"` finds: the compiler looks for it here.

export * from "./assembly/index";
