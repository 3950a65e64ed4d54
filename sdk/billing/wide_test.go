package billing

import (
	"math/big"
	"math/bits"
	"testing"
)

// TestPowersTable computes every entry of the table of powers again.
func TestPowersTable(t *testing.T) {
	value := big.NewInt(1)
	ones := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
	for n, p := range powers {
		shift := uint(64 - value.BitLen())
		normal := new(big.Int).Lsh(value, shift)
		reciprocal := new(big.Int).Div(ones, normal)
		reciprocal.Sub(reciprocal, new(big.Int).Lsh(big.NewInt(1), 64))
		if p.value != value.Uint64() || p.shift != shift || p.normal != normal.Uint64() || p.reciprocal != reciprocal.Uint64() {
			t.Errorf("powers[%d] = %+v; want %v, %d, %v, %#x", n, p, value, shift, normal, reciprocal)
		}
		value.Mul(value, big.NewInt(10))
	}
}

func (x wide) big() *big.Int {
	n := new(big.Int)
	for _, word := range []uint64{x.w3, x.w2, x.w1, x.w0} {
		n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(word))
	}
	return n
}

// FuzzWide checks the 256-bit steps on their own, at sizes that decimals do not reach.
func FuzzWide(f *testing.F) {
	top := uint64(1<<64 - 1)
	f.Add(top, top, top, top, uint8(18))
	f.Add(uint64(0), uint64(0), uint64(1), uint64(0), uint8(1))
	f.Add(uint64(1), uint64(0), uint64(0), uint64(0), uint8(19))
	f.Add(uint64(1<<61), top, uint64(1<<63), top, uint8(0))
	f.Fuzz(func(t *testing.T, a, b, c, d uint64, n uint8) {
		x := wide{a, b, c, d}
		step := int(n)%powerMax + 1
		quotient, remainder := x.divPowerOfTen(step)
		wantQ, wantR := new(big.Int).DivMod(x.big(), new(big.Int).SetUint64(powers[step].value), new(big.Int))
		if quotient.big().Cmp(wantQ) != 0 || remainder != wantR.Uint64() {
			t.Fatalf("%v / 10^%d = %v rest %d, want %v rest %v", x.big(), step, quotient.big(), remainder, wantQ, wantR)
		}
		hi, lo := mul64Portable(a, b)
		if wantHi, wantLo := bits.Mul64(a, b); hi != wantHi || lo != wantLo {
			t.Fatalf("%x * %x = %x %x, want %x %x", a, b, hi, lo, wantHi, wantLo)
		}
		if got := mul128(a, b, c, d).big(); got.Cmp(new(big.Int).Mul(wide{0, 0, a, b}.big(), wide{0, 0, c, d}.big())) != 0 {
			t.Fatalf("%x %x * %x %x = %x", a, b, c, d, got)
		}
		if c|d != 0 {
			checkDivide128(t, wide{0, a >> 2, b, a ^ b}, c, d)
			checkDivide128(t, wide{0, a >> 2, b, a ^ b}, c|1<<63, d)
			checkDivide128(t, wide{0, 0, a, b}, c, d)
			checkDivide128(t, wide{0, c >> 2, d, a}, c, d) // a digit of 2^64-1, where the guess is special
		}
	})
}

func checkDivide128(t *testing.T, x wide, hi, lo uint64) {
	t.Helper()
	divisor := wide{0, 0, hi, lo}.big()
	wantQ, wantR := new(big.Int).DivMod(x.big(), divisor, new(big.Int))
	quotient, dropped := x.divide128(hi, lo)
	want := restNone
	if wantR.Sign() != 0 {
		want = [...]rest{restLess, restHalf, restMore}[wantR.Lsh(wantR, 1).Cmp(divisor)+1]
	}
	if quotient.big().Cmp(wantQ) != 0 || dropped != want {
		t.Fatalf("%v / %v = %v rest %d; want %v rest %d", x.big(), divisor, quotient.big(), dropped, wantQ, want)
	}
}
