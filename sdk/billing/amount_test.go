package billing_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

// number is what Amount and Quantity have in common.
type number[T any] interface {
	D() billing.Decimal
	Add(T) (T, error)
	Sub(T) (T, error)
	Neg() (T, error)
	Cmp(T) int
	Sign() int
	IsZero() bool
	String() string
	Fixed(int) string
	AppendText([]byte) ([]byte, error)
	MarshalText() ([]byte, error)
}

func TestAmountAndQuantityAreDecimals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, e := decimals().Draw(t, "d"), decimals().Draw(t, "e")
		checkNumber(t, billing.Amount(d), billing.Amount(e), billing.ParseAmount)
		checkNumber(t, billing.Quantity(d), billing.Quantity(e), billing.ParseQuantity)
		r := roundings().Draw(t, "rounding")
		want, wantErr := d.Round(r)
		got, err := billing.Amount(d).Round(r)
		same(t, got.D(), err, want, wantErr)
	})
}

// checkNumber holds every method of x and y against the Decimal's.
func checkNumber[T number[T]](t *rapid.T, x, y T, parse func(string) (T, error)) {
	d, e := x.D(), y.D()
	want, wantErr := d.Add(e)
	got, err := x.Add(y)
	same(t, got.D(), err, want, wantErr)
	want, wantErr = d.Sub(e)
	got, err = x.Sub(y)
	same(t, got.D(), err, want, wantErr)
	want, wantErr = d.Neg()
	got, err = x.Neg()
	same(t, got.D(), err, want, wantErr)
	if x.Cmp(y) != d.Cmp(e) || x.Sign() != d.Sign() || x.IsZero() != d.IsZero() {
		t.Fatalf("%v against %v: %d %d %t", x, y, x.Cmp(y), x.Sign(), x.IsZero())
	}
	text, err := x.MarshalText()
	appended, appendErr := x.AppendText([]byte("x"))
	if err != nil || appendErr != nil || string(text) != d.String() || string(appended) != "x"+d.String() ||
		x.String() != d.String() || x.Fixed(2) != d.Fixed(2) {
		t.Fatalf("%v prints as %s, %s, %s, %s", d, text, appended, x.String(), x.Fixed(2))
	}
	if again, err := parse(x.String()); err != nil || again.D() != d {
		t.Fatalf("%v was read as %v, %v", x, again, err)
	}
}

func TestParseAmountRefusesWhatParseDecimalRefuses(t *testing.T) {
	if _, err := billing.ParseAmount("12,35"); !errors.Is(err, billing.ErrSyntax) {
		t.Error(err)
	}
	if _, err := billing.ParseQuantity("1e30"); !errors.Is(err, billing.ErrOverflow) {
		t.Error(err)
	}
}
