// @tollway/tariff: tariffs for Tollway. See README.md.

export { Config } from "./config";
export { Decimal, ONE, parseProblem, Sum, SYNTAX, TOO_LARGE, TOO_PRECISE, ZERO } from "./decimal";
export { reject } from "./reject";
export { Entry, NamedDecimal, Params } from "./params";
export { Plugin, plugin, Tariff } from "./plugin";
export { CEILING, EXACT, FLOOR, HALF_EVEN, HALF_UP, NONE, parseMode, Rounding, UNROUNDED, WHOLE_UP } from "./rounding";
export { Event, Slot } from "./slot";
export { Cell, Cells, IntCell, Line, SumCell } from "./state";
export { Dimension, Table } from "./table";
export { validName } from "./text";
export { dayOf, daysBetween } from "./time";
export { Cost, GraduatedCost, InAdvance, PackageCost, PerUnitCost, VolumeCost } from "./advance";
export { ABOUT_ROUNDING, Flat, multiply, Package, PerUnit, Price } from "./price";
export { Graduated, readTiers, Tier, Volume } from "./tiers";
export { Conversion, NetUnits } from "./units";
