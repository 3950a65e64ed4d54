/** Says whether the text read last is no whole number of 64 bits. */
export let wholeProblem: bool = false;

/** Reads a whole number: digits, and a minus sign where there is one. wholeProblem then says whether it was one. */
export function parseWhole(from: usize, length: i32): i64 {
  const minus = length > 0 && load<u8>(from) == 45;
  const limit = <u64>i64.MAX_VALUE + u64(minus);
  let n: u64 = 0;
  wholeProblem = length <= i32(minus);
  for (let i = i32(minus); i < length; i++) {
    const digit = <u64>load<u8>(from + i) - 48;
    wholeProblem = wholeProblem || digit > 9 || n > (limit - digit) / 10;
    n = n * 10 + digit;
  }
  return minus ? 0 - <i64>n : <i64>n;
}
