import { describe, expect, it } from "vitest";
import { compareDecimals, formatDecimal, shareOf, subtractDecimals, sumDecimals } from "./decimal";

describe("decimals", () => {
  it("adds what numbers cannot", () => {
    expect(sumDecimals(["0.1", "0.2"])).toBe("0.3");
    expect(sumDecimals(["170141183460469231731.687303715884105727", "0.000000000000000001"])).toBe(
      "170141183460469231731.687303715884105728",
    );
    expect(sumDecimals([])).toBe("0");
    expect(sumDecimals(["1.50", "-1.5"])).toBe("0.00");
  });

  it("agrees with integers on random cents", () => {
    let seed = 7;
    const next = () => (seed = (seed * 48271) % 2147483647) - 1073741823;
    for (let round = 0; round < 500; round++) {
      const cents = [next(), next(), next()];
      const texts = cents.map((c) => `${c < 0 ? "-" : ""}${Math.trunc(Math.abs(c) / 100)}.${String(Math.abs(c) % 100).padStart(2, "0")}`);
      const sum = cents.reduce((a, b) => a + b, 0);
      const want = `${sum < 0 ? "-" : ""}${Math.trunc(Math.abs(sum) / 100)}.${String(Math.abs(sum) % 100).padStart(2, "0")}`;
      expect(sumDecimals(texts)).toBe(want);
      expect(subtractDecimals(want, texts[0]!)).toBe(sumDecimals(texts.slice(1)));
    }
  });

  it("compares by value", () => {
    expect(compareDecimals("1.0", "1")).toBe(0);
    expect(compareDecimals("-2", "1.99")).toBeLessThan(0);
    expect(compareDecimals("10", "9.999999999999999999")).toBeGreaterThan(0);
  });

  it("formats without losing a digit", () => {
    expect(formatDecimal("1234567.50")).toBe("1,234,567.50");
    expect(formatDecimal("-1000")).toBe("\u22121,000");
    expect(formatDecimal("999.000000000000000001")).toBe("999.000000000000000001");
    expect(formatDecimal("0.05")).toBe("0.05");
    expect(formatDecimal("-0.00")).toBe("0.00");
  });

  it("refuses what is no decimal", () => {
    for (const text of ["", "1e3", "1.", ".5", "NaN", "1,000", "0x10", " 1"]) {
      expect(() => formatDecimal(text)).toThrow(RangeError);
    }
  });

  it("shares", () => {
    expect(shareOf("1", "3")).toBe(3333);
    expect(shareOf("5", "0")).toBe(0);
    expect(shareOf("7", "5")).toBe(10_000);
    expect(shareOf("-1", "5")).toBe(0);
  });
});
