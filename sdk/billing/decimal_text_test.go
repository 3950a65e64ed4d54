package billing_test

import (
	"errors"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

var numberSyntax = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// parseOracle is ParseDecimal by way of math/big. Exponents beyond four digits are left to the table tests.
func parseOracle(s string) (billing.Decimal, error) {
	if !numberSyntax.MatchString(s) {
		return billing.Decimal{}, billing.ErrSyntax
	}
	x, ok := new(big.Rat).SetString(s)
	if !ok {
		return billing.Decimal{}, billing.ErrSyntax
	}
	stored := x.Mul(x, new(big.Rat).SetInt(powerOfTen(billing.Scale)))
	if !stored.IsInt() {
		return billing.Decimal{}, billing.ErrTooPrecise
	}
	return fits(stored.Num())
}

func checkParse(t interface {
	Helper()
	Fatalf(string, ...any)
}, s string,
) {
	t.Helper()
	want, wantErr := parseOracle(s)
	got, err := billing.ParseDecimal(s)
	if !errors.Is(err, wantErr) || got != want {
		t.Fatalf("ParseDecimal(%q) = %v, %v; want %v, %v", s, got, err, want, wantErr)
	}
	var parse *billing.ParseError
	if err != nil && (!errors.As(err, &parse) || parse.Text != s) {
		t.Fatalf("ParseDecimal(%q): %v does not carry the text", s, err)
	}
}

func TestParseAgreesWithBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkParse(t, rapid.StringMatching(`-?[0-9]{1,24}(\.[0-9]{1,22})?([eE][-+]?[0-9]{1,2})?`).Draw(t, "number"))
	})
	rapid.Check(t, func(t *rapid.T) {
		checkParse(t, rapid.StringMatching(`[-+.0-9eE ]{0,8}`).Draw(t, "text"))
	})
}

func FuzzParseDecimal(f *testing.F) {
	for _, seed := range []string{
		"0", "-0.5", "1e18", "1.50", "170141183460469231731.687303715884105727", "-170141183460469231731.687303715884105728",
		"170141183460469231731.687303715884105728", "0.0000000000000000001", "1e-18", ".5", "5.", "+1", "1e", "--1", "1_0", "٣",
	} {
		f.Add(seed)
	}
	longExponent := regexp.MustCompile(`[eE][-+]?[0-9]{5,}$`)
	f.Fuzz(func(t *testing.T, s string) {
		if longExponent.MatchString(s) {
			t.Skip("math/big would compute it")
		}
		checkParse(t, s)
	})
}

func TestParseEdges(t *testing.T) {
	long := strings.Repeat("0", 100_000)
	for _, test := range []struct {
		text, want string
		err        error
	}{
		{"0", "0", nil},
		{"-0", "0", nil},
		{"-0.000", "0", nil},
		{"007.100", "7.1", nil},
		{"1e3", "1000", nil},
		{"1.5E+2", "150", nil},
		{"10e-19", "0.000000000000000001", nil},
		{"1e-19", "", billing.ErrTooPrecise},
		{"0e99999999999999999999", "0", nil},
		{"0e-99999999999999999999", "0", nil},
		{"1e99999999999999999999", "", billing.ErrOverflow},
		{"1e-99999999999999999999", "", billing.ErrTooPrecise},
		{"0." + long + "1e100001", "1", nil},
		{"1" + long + "e-100000", "1", nil},
		{long + "1." + long, "1", nil},
		{"170141183460469231731.687303715884105727", "170141183460469231731.687303715884105727", nil},
		{"170141183460469231731.687303715884105728", "", billing.ErrOverflow},
		{"-170141183460469231731.687303715884105728", "-170141183460469231731.687303715884105728", nil},
		{"-170141183460469231731.687303715884105729", "", billing.ErrOverflow},
		{"340282366920938463463.374607431768211456", "", billing.ErrOverflow},
		{"999999999999999999999.999999999999999999", "", billing.ErrOverflow},
		{"", "", billing.ErrSyntax},
		{"-", "", billing.ErrSyntax},
		{"+1", "", billing.ErrSyntax},
		{".5", "", billing.ErrSyntax},
		{"5.", "", billing.ErrSyntax},
		{"1.e5", "", billing.ErrSyntax},
		{"1e", "", billing.ErrSyntax},
		{"1e+", "", billing.ErrSyntax},
		{"1 ", "", billing.ErrSyntax},
		{" 1", "", billing.ErrSyntax},
		{"1,5", "", billing.ErrSyntax},
		{"1.2.3", "", billing.ErrSyntax},
		{"0x10", "", billing.ErrSyntax},
		{"NaN", "", billing.ErrSyntax},
		{"Inf", "", billing.ErrSyntax},
		{"1_000", "", billing.ErrSyntax},
	} {
		got, err := billing.ParseDecimal(test.text)
		if !errors.Is(err, test.err) || err == nil && got.String() != test.want {
			t.Errorf("ParseDecimal(%.40q) = %v, %v; want %s, %v", test.text, got, err, test.want, test.err)
		}
	}
}

func TestParseErrorNamesTheText(t *testing.T) {
	_, err := billing.ParseDecimal("1,5")
	if want := `decimal "1,5": invalid syntax`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = billing.ParseDecimal(strings.Repeat("x", 1000))
	if err == nil || len(err.Error()) > 120 {
		t.Errorf("long text is not cut: %v", err)
	}
	if !strings.Contains(billing.ErrOverflow.Error(), maxDecimal.String()) {
		t.Errorf("%v does not name the range's end %v", billing.ErrOverflow, maxDecimal)
	}
}

func TestTextRoundTrip(t *testing.T) {
	shortest := regexp.MustCompile(`^(-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?)$`)
	rapid.Check(t, func(t *rapid.T) {
		d := decimals().Draw(t, "d")
		text := d.String()
		if !shortest.MatchString(text) || text == "-0" {
			t.Fatalf("%q is not the shortest text", text)
		}
		want := strings.TrimSuffix(strings.TrimRight(rat(d).FloatString(billing.Scale), "0"), ".")
		if text != want {
			t.Fatalf("String() = %q, want %q", text, want)
		}
		if again, err := billing.ParseDecimal(text); err != nil || again != d {
			t.Fatalf("%q was read as %v, %v", text, again, err)
		}
	})
}

func TestFixed(t *testing.T) {
	for _, test := range []struct {
		text  string
		scale int
		want  string
	}{
		{"1.5", 2, "1.50"},
		{"1.005", 2, "1.005"},
		{"0", 2, "0.00"},
		{"-3", 0, "-3"},
		{"100", -2, "100"},
		{"1", 20, "1.00000000000000000000"},
		{"-0.000000000000000001", 2, "-0.000000000000000001"},
		{"-170141183460469231731.687303715884105728", 2, "-170141183460469231731.687303715884105728"},
	} {
		if got := billing.MustDecimal(test.text).Fixed(test.scale); got != test.want {
			t.Errorf("%s at %d = %s, want %s", test.text, test.scale, got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d, scale := decimals().Draw(t, "d"), rapid.IntRange(-3, 25).Draw(t, "scale")
		text := d.Fixed(scale)
		if again, err := billing.ParseDecimal(text); err != nil || again != d {
			t.Fatalf("%q was read as %v, %v", text, again, err)
		}
		_, fraction, _ := strings.Cut(text, ".")
		if len(fraction) < scale {
			t.Fatalf("%v.Fixed(%d) = %q", d, scale, text)
		}
	})
}

func TestMustDecimalPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	billing.MustDecimal("one")
}
