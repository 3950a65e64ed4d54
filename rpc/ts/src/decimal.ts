// Exact decimals as the services write them: texts such as "-12.50", never an
// exponent. JavaScript's numbers cannot hold them: 0.1 + 0.2 is 0.30000000000000004.

/** A decimal number: units / 10^scale. */
interface Decimal {
  units: bigint;
  scale: number;
}

function parse(text: string): Decimal {
  const match = /^([+-]?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (!match) {
    throw new RangeError(`"${text}" is not a decimal number`);
  }
  const fraction = match[3] ?? "";
  const units = BigInt(`${match[2]}${fraction}`);
  return { units: match[1] === "-" ? -units : units, scale: fraction.length };
}

/** The units of d at a scale that is not smaller than its own. */
function at(d: Decimal, scale: number): bigint {
  return d.units * 10n ** BigInt(scale - d.scale);
}

function print(d: Decimal): string {
  const digits = (d.units < 0n ? -d.units : d.units).toString().padStart(d.scale + 1, "0");
  const whole = digits.slice(0, digits.length - d.scale);
  const sign = d.units < 0n ? "-" : "";
  return d.scale === 0 ? sign + whole : `${sign}${whole}.${digits.slice(-d.scale)}`;
}

/** The exact sum, with as many decimal places as the longest has. "0" for none. */
export function sumDecimals(texts: Iterable<string>): string {
  const all = [...texts].map(parse);
  const scale = all.reduce((most, d) => Math.max(most, d.scale), 0);
  return print({ units: all.reduce((sum, d) => sum + at(d, scale), 0n), scale });
}

/** a − b, exact. */
export function subtractDecimals(a: string, b: string): string {
  const [x, y] = [parse(a), parse(b)];
  const scale = Math.max(x.scale, y.scale);
  return print({ units: at(x, scale) - at(y, scale), scale });
}

/** Less than 0 when a < b, 0 when they are equal ("1.0" is "1"), else more. */
export function compareDecimals(a: string, b: string): number {
  const [x, y] = [parse(a), parse(b)];
  const scale = Math.max(x.scale, y.scale);
  const [m, n] = [at(x, scale), at(y, scale)];
  return m < n ? -1 : m > n ? 1 : 0;
}

/**
 * part / whole in hundredths of a percent, cut off: 0 to 10,000, or 0 when the
 * whole is 0. For the widths of bars.
 */
export function shareOf(part: string, whole: string): number {
  const [x, y] = [parse(part), parse(whole)];
  const scale = Math.max(x.scale, y.scale);
  const [m, n] = [at(x, scale), at(y, scale)];
  if (n === 0n) {
    return 0;
  }
  const share = Number((m * 10_000n) / n);
  return Math.min(10_000, Math.max(0, share));
}

/** "1234567.50" as "1,234,567.50", with a proper minus. No digit is lost. */
export function formatDecimal(text: string): string {
  const whole = print(parse(text));
  const [integer = "", fraction] = whole.replace("-", "").split(".");
  const grouped = integer.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${whole.startsWith("-") ? "\u2212" : ""}${grouped}${fraction === undefined ? "" : `.${fraction}`}`;
}

/** As a JavaScript number, for drawing only: digits may be lost. */
export function decimalForDrawing(text: string): number {
  return Number(text);
}
