package billing_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

var (
	minDecimal = billing.Decimal{Hi: -1 << 63}
	maxDecimal = billing.Decimal{Hi: 1<<63 - 1, Lo: 1<<64 - 1}
	smallest   = billing.Decimal{Lo: 1}
)

// same fails t unless an operation returned what the oracle says.
func same(t interface {
	Helper()
	Fatalf(string, ...any)
}, got billing.Decimal, gotErr error, want billing.Decimal, wantErr error,
) {
	t.Helper()
	if !errors.Is(gotErr, wantErr) || got != want {
		t.Fatalf("got %v, %v; want %v, %v", got, gotErr, want, wantErr)
	}
}

// fits is what an operation with the exact stored result n returns.
func fits(n *big.Int) (billing.Decimal, error) {
	d, ok := fromBig(n)
	if !ok {
		return billing.Decimal{}, billing.ErrOverflow
	}
	return d, nil
}

func TestArithmeticAgreesWithBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, e := decimals().Draw(t, "d"), decimals().Draw(t, "e")
		r := roundings().Draw(t, "rounding")
		checkArithmetic(t, d, e, r)
	})
}

// checkArithmetic compares every operation on d and e with the oracle.
func checkArithmetic(t interface {
	Helper()
	Fatalf(string, ...any)
}, d, e billing.Decimal, r billing.Rounding,
) {
	t.Helper()
	bd, be := toBig(d), toBig(e)

	got, err := d.Add(e)
	want, wantErr := fits(new(big.Int).Add(bd, be))
	same(t, got, err, want, wantErr)

	got, err = d.Sub(e)
	want, wantErr = fits(new(big.Int).Sub(bd, be))
	same(t, got, err, want, wantErr)

	got, err = d.Neg()
	want, wantErr = fits(new(big.Int).Neg(bd))
	same(t, got, err, want, wantErr)

	got, err = d.Abs()
	want, wantErr = fits(new(big.Int).Abs(bd))
	same(t, got, err, want, wantErr)

	got, err = d.Mul(e, r)
	want, wantErr = roundBig(new(big.Rat).Mul(rat(d), rat(e)), r)
	same(t, got, err, want, wantErr)

	got, err = d.Round(r)
	want, wantErr = roundBig(rat(d), r)
	same(t, got, err, want, wantErr)

	if !e.IsZero() {
		got, err = d.Quo(e, r)
		want, wantErr = roundBig(new(big.Rat).Quo(rat(d), rat(e)), r)
		same(t, got, err, want, wantErr)
	}
	if d.Cmp(e) != bd.Cmp(be) || d.Sign() != bd.Sign() || d.IsZero() != (bd.Sign() == 0) {
		t.Fatalf("Cmp(%v, %v) = %d, Sign %d, IsZero %t", d, e, d.Cmp(e), d.Sign(), d.IsZero())
	}
}

func FuzzArithmetic(f *testing.F) {
	f.Add(int64(0), uint64(1), int64(0), uint64(3), 2, uint8(1))
	f.Add(int64(-1<<63), uint64(0), int64(-1), uint64(1<<64-1), 18, uint8(0))
	f.Add(int64(1<<63-1), uint64(1<<64-1), int64(1<<62), uint64(5), -20, uint8(4))
	f.Add(int64(1), uint64(0), int64(1), uint64(1), 0, uint8(2))
	f.Fuzz(func(t *testing.T, dhi int64, dlo uint64, ehi int64, elo uint64, scale int, mode uint8) {
		r := billing.Rounding{Scale: scale%20 - 1, Mode: billing.RoundingMode(mode % 5)}
		if r.Validate() != nil {
			t.Skip()
		}
		checkArithmetic(t, billing.Decimal{Hi: dhi, Lo: dlo}, billing.Decimal{Hi: ehi, Lo: elo}, r)
	})
}

func TestRoundingModesAtTies(t *testing.T) {
	for _, test := range []struct {
		scale                                int
		text                                 string
		halfUp, halfEven, floor, ceilingText string
	}{
		{0, "2.5", "3", "2", "2", "3"},
		{0, "-2.5", "-3", "-2", "-3", "-2"},
		{0, "3.5", "4", "4", "3", "4"},
		{0, "-3.5", "-4", "-4", "-4", "-3"},
		{0, "0.5", "1", "0", "0", "1"},
		{0, "-0.5", "-1", "0", "-1", "0"},
		{0, "2.499999999999999999", "2", "2", "2", "3"},
		{0, "2.500000000000000001", "3", "3", "2", "3"},
		{0, "-2.500000000000000001", "-3", "-3", "-3", "-2"},
		{2, "1.005", "1.01", "1", "1", "1.01"},
		{2, "1.015", "1.02", "1.02", "1.01", "1.02"},
		{2, "-1.005", "-1.01", "-1", "-1.01", "-1"},
		{2, "1.01", "1.01", "1.01", "1.01", "1.01"},
		{17, "0.000000000000000005", "0.00000000000000001", "0", "0", "0.00000000000000001"},
		{18, "0.000000000000000005", "0.000000000000000005", "0.000000000000000005", "0.000000000000000005", "0.000000000000000005"},
		{-1, "25", "30", "20", "20", "30"},
		{-1, "-25", "-30", "-20", "-30", "-20"},
		{-2, "150", "200", "200", "100", "200"},
		{-2, "250.000000000000000001", "300", "300", "200", "300"},
		{-2, "49.999999999999999999", "0", "0", "0", "100"},
		{-20, "50000000000000000000", "100000000000000000000", "0", "0", "100000000000000000000"},
		{-20, "49999999999999999999.999999999999999999", "0", "0", "0", "100000000000000000000"},
	} {
		for mode, want := range map[billing.RoundingMode]string{
			billing.RoundHalfUp: test.halfUp, billing.RoundHalfEven: test.halfEven,
			billing.RoundFloor: test.floor, billing.RoundCeiling: test.ceilingText, billing.RoundNone: test.text,
		} {
			got, err := billing.MustDecimal(test.text).Round(billing.Rounding{Scale: test.scale, Mode: mode})
			if err != nil || got.String() != want {
				t.Errorf("%s to %d %v = %v, %v; want %s", test.text, test.scale, mode, got, err, want)
			}
		}
	}
}

func TestProductAndQuotientRoundOnce(t *testing.T) {
	halfUp := billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}
	// Rounding at 18 places first would make 0.005 of this, and 0.01 of that.
	d, err := billing.MustDecimal("0.004999999999999999").Mul(billing.MustDecimal("1.000000000000000199"), halfUp)
	if err != nil || d.String() != "0" {
		t.Errorf("product %v, %v; want 0", d, err)
	}
	third, err := billing.MustDecimal("1").Quo(billing.MustDecimal("3"), billing.Rounding{Scale: 18, Mode: billing.RoundHalfUp})
	if err != nil || third.String() != "0.333333333333333333" {
		t.Errorf("a third is %v, %v", third, err)
	}
	if _, err := billing.MustDecimal("1").Quo(billing.MustDecimal("3"), billing.Rounding{}); !errors.Is(err, billing.ErrInexact) {
		t.Errorf("1/3 unrounded: %v", err)
	}
	if _, err := smallest.Mul(billing.MustDecimal("0.5"), billing.Rounding{}); !errors.Is(err, billing.ErrInexact) {
		t.Errorf("half of the smallest, unrounded: %v", err)
	}
	if _, err := smallest.Quo(billing.Decimal{}, halfUp); !errors.Is(err, billing.ErrDivideByZero) {
		t.Errorf("division by zero: %v", err)
	}
}

func TestOverflowAtBothEnds(t *testing.T) {
	up := billing.Rounding{Scale: 0, Mode: billing.RoundCeiling}
	down := billing.Rounding{Scale: 0, Mode: billing.RoundFloor}
	for name, operation := range map[string]func() (billing.Decimal, error){
		"max + 1":      func() (billing.Decimal, error) { return maxDecimal.Add(smallest) },
		"min - 1":      func() (billing.Decimal, error) { return minDecimal.Sub(smallest) },
		"min + min":    func() (billing.Decimal, error) { return minDecimal.Add(minDecimal) },
		"0 - min":      func() (billing.Decimal, error) { return billing.Decimal{}.Sub(minDecimal) },
		"-min":         minDecimal.Neg,
		"|min|":        minDecimal.Abs,
		"max * max":    func() (billing.Decimal, error) { return maxDecimal.Mul(maxDecimal, down) },
		"min * -1":     func() (billing.Decimal, error) { return minDecimal.Mul(billing.DecimalFromInt(-1), billing.Rounding{}) },
		"min / -1":     func() (billing.Decimal, error) { return minDecimal.Quo(billing.DecimalFromInt(-1), billing.Rounding{}) },
		"max / least":  func() (billing.Decimal, error) { return maxDecimal.Quo(smallest, down) },
		"ceiling(max)": func() (billing.Decimal, error) { return maxDecimal.Round(up) },
		"floor(min)":   func() (billing.Decimal, error) { return minDecimal.Round(down) },
	} {
		if got, err := operation(); !errors.Is(err, billing.ErrOverflow) || !got.IsZero() {
			t.Errorf("%s = %v, %v; want an overflow", name, got, err)
		}
	}
	if got, err := minDecimal.Mul(billing.DecimalFromInt(1), billing.Rounding{}); err != nil || got != minDecimal {
		t.Errorf("min * 1 = %v, %v", got, err)
	}
	if got, err := minDecimal.Quo(billing.DecimalFromInt(1), billing.Rounding{}); err != nil || got != minDecimal {
		t.Errorf("min / 1 = %v, %v", got, err)
	}
}

func TestInvalidRoundingIsRefused(t *testing.T) {
	one := billing.DecimalFromInt(1)
	for _, r := range []billing.Rounding{{Scale: 19, Mode: billing.RoundFloor}, {Scale: -21}, {Mode: 5}} {
		for _, operation := range []func() (billing.Decimal, error){
			func() (billing.Decimal, error) { return one.Mul(one, r) },
			func() (billing.Decimal, error) { return one.Quo(one, r) },
			func() (billing.Decimal, error) { return one.Round(r) },
		} {
			if _, err := operation(); !errors.Is(err, billing.ErrRounding) {
				t.Errorf("%+v: %v", r, err)
			}
		}
	}
}

func TestDecimalFromInt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		want := new(big.Int).Mul(big.NewInt(n), powerOfTen(billing.Scale))
		if got := toBig(billing.DecimalFromInt(n)); got.Cmp(want) != 0 {
			t.Fatalf("DecimalFromInt(%d) = %v", n, got)
		}
	})
}

func TestLittleEndianRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := decimals().Draw(t, "d")
		var b [16]byte
		d.PutLE(b[:])
		// Two's complement, least significant byte first.
		want := new(big.Int).Mod(toBig(d), new(big.Int).Lsh(big.NewInt(1), 128)).FillBytes(make([]byte, 16))
		for i := range want {
			if b[i] != want[15-i] {
				t.Fatalf("PutLE(%v) = %x", d, b)
			}
		}
		if billing.DecimalLE(b[:]) != d {
			t.Fatalf("DecimalLE(%x) = %v, want %v", b, billing.DecimalLE(b[:]), d)
		}
	})
}

func TestJSONCarriesStrings(t *testing.T) {
	type bill struct {
		Amount   billing.Amount   `json:"amount"`
		Quantity billing.Quantity `json:"quantity"`
		Rounding billing.Rounding `json:"rounding"`
		Absent   billing.Decimal  `json:"absent,omitzero"`
	}
	text := []byte(`{"amount":"-0.5","quantity":"1000","rounding":{"scale":2,"mode":"half_up"}}`)
	var b bill
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(b)
	if err != nil || !bytes.Equal(again, text) {
		t.Errorf("%s became %s, %v", text, again, err)
	}
	for _, wrong := range []string{`{"amount":""}`, `{"quantity":"1,5"}`, `{"amount":1.5}`, `{"rounding":{"mode":"up"}}`} {
		if err := json.Unmarshal([]byte(wrong), &b); err == nil {
			t.Errorf("%s was read", wrong)
		}
	}
	if _, err := json.Marshal(billing.Rounding{Mode: 9}); !errors.Is(err, billing.ErrRounding) {
		t.Errorf("an unknown mode was written: %v", err)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	d, e := billing.MustDecimal("123456.789"), billing.MustDecimal("0.002")
	halfUp := billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}
	var sink billing.Decimal
	var buffer [64]byte
	allocations := testing.AllocsPerRun(100, func() {
		product, err := d.Mul(e, halfUp)
		if err != nil {
			t.Fatal(err)
		}
		quotient, err := d.Quo(e, halfUp)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := product.Add(quotient)
		if err != nil {
			t.Fatal(err)
		}
		if sink, err = sum.Sub(d); err != nil || sink.Cmp(sum) == 0 {
			t.Fatal(sink, err)
		}
		if _, err := sink.AppendText(buffer[:0]); err != nil {
			t.Fatal(err)
		}
		parsed, err := billing.ParseDecimal("123456.789")
		if err != nil || parsed != d {
			t.Fatal(parsed, err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
