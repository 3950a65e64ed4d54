package ingest

import (
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCanonicalNumber(t *testing.T) {
	for literal, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "-0.0e7": "0", "0e99999999999999999999": "0",
		"1": "1", "-1": "-1", "1000": "1000", "1e3": "1000", "1E+3": "1000", "10e-1": "1",
		"1.50": "1.5", "15e-1": "1.5", "0.15e1": "1.5", "-1.50": "-1.5", "150e-2": "1.5",
		"0.001": "0.001", "1e-3": "0.001", "123.456e1": "1234.56", "123.456e-5": "0.00123456",
		"1e300": "1e300", "12e300": "1.2e301", "1e-300": "1e-300", "-1.250e-300": "-1.25e-300",
		"1e63":                               "1" + strings.Repeat("0", 63),
		"1e64":                               "1e64",
		"1" + strings.Repeat("0", 64):        "1e64",
		"0." + strings.Repeat("0", 62) + "1": "0." + strings.Repeat("0", 62) + "1",
		"0." + strings.Repeat("0", 63) + "1": "1e-64",
		"123456789012345678901234567890.123456789012345678901234567890": "123456789012345678901234567890.12345678901234567890123456789",
	} {
		got, ok := appendNumber(nil, []byte(literal))
		if !ok || string(got) != want {
			t.Errorf("%s became %q (%v), want %q", literal, got, ok, want)
		}
	}
	for _, literal := range []string{"1e1000001", "1e-1000001", "1e99999999999999999999", "-2e-99999999999999999999"} {
		if got, ok := appendNumber(nil, []byte(literal)); ok {
			t.Errorf("%s became %q, want it refused", literal, got)
		}
	}
}

// literal draws a JSON number and a second one of the same value, written differently.
func drawLiterals(t *rapid.T) (one, other string) {
	digits := rapid.StringMatching(`0|[1-9][0-9]{0,30}`).Draw(t, "whole")
	fraction := rapid.StringMatching(`[0-9]{0,30}`).Draw(t, "fraction")
	exponent := rapid.IntRange(-90, 90).Draw(t, "exponent")
	sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
	one = sign + digits
	if fraction != "" {
		one += "." + fraction
	}
	one += "e" + strconv.Itoa(exponent)
	zeros := rapid.IntRange(0, 5).Draw(t, "zeros")
	other = sign + strings.TrimLeft(digits+fraction+strings.Repeat("0", zeros), "0")
	if other == sign {
		other += "0"
	}
	other += "E" + strconv.Itoa(exponent-len(fraction)-zeros)
	return one, other
}

func TestCanonicalNumberProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := drawLiterals(t)
		first, ok1 := appendNumber(nil, []byte(one))
		second, ok2 := appendNumber(nil, []byte(other))
		if !ok1 || !ok2 || string(first) != string(second) {
			t.Fatalf("%s became %q, %s became %q", one, first, other, second)
		}
		if again, _ := appendNumber(nil, first); string(again) != string(first) {
			t.Fatalf("canonical %q became %q", first, again)
		}
		want, _ := new(big.Rat).SetString(one)
		if got, ok := new(big.Rat).SetString(string(first)); !ok || got.Cmp(want) != 0 {
			t.Fatalf("%s became %q, which is another number", one, first)
		}
	})
}

func TestScaledProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unscaled := rapid.Int64().Draw(t, "unscaled")
		scale := rapid.Int64Range(-100, 100).Draw(t, "scale")
		text, ok := appendScaled(nil, unscaled, scale)
		literal := strconv.FormatInt(unscaled, 10) + "e" + strconv.FormatInt(-scale, 10)
		want, _ := appendNumber(nil, []byte(literal))
		if !ok || string(text) != string(want) {
			t.Fatalf("%s became %q, want %q", literal, text, want)
		}
		if u, s, ok := scaled(string(text)); ok {
			if back, _ := appendScaled(nil, u, s); string(back) != string(text) {
				t.Fatalf("%q was packed as %d scale %d, which is %q", text, u, s, back)
			}
		} else if len(text) <= 18 && !strings.Contains(string(text), "e") {
			t.Fatalf("%q is short and canonical, yet would travel as text", text)
		}
	})
	for _, text := range []string{
		"", "-", ".", "-0", "00", "01", "1.", ".5", "1.50", "0.0", "1e3", "+1", " 1", "1 ", "1.2.3",
		"--1", "1-", "1234567890123456789", "0x1", "١",
	} {
		if u, s, ok := scaled(text); ok {
			t.Errorf("%q would be packed as %d scale %d", text, u, s)
		}
	}
	for _, scale := range []int64{-1 << 63, 1<<63 - 1, exponentMax + 1, -exponentMax - 1} {
		if text, ok := appendScaled(nil, 7, scale); ok {
			t.Errorf("scale %d became %q", scale, text)
		}
	}
}

func FuzzScaled(f *testing.F) {
	for _, seed := range []string{"0", "-1.5", "1000", "0.000000000000000001", "999999999999999999", "1.50", "-0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		unscaled, scale, ok := scaled(text)
		if !ok {
			return
		}
		if back, ok := appendScaled(nil, unscaled, scale); !ok || string(back) != text {
			t.Fatalf("%q was packed as %d scale %d, which is %q", text, unscaled, scale, back)
		}
	})
}
