// What `export * from "@tollway/tariff/exports"` finds.

export * from "./assembly/exports";
