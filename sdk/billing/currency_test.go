package billing_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/bojanz/currency"

	"github.com/tollway/tollway/sdk/billing"
)

// TestCurrenciesAgreeWithCLDR holds the table against a list made independently, from the CLDR.
func TestCurrenciesAgreeWithCLDR(t *testing.T) {
	for _, code := range currency.GetCurrencyCodes() {
		c, err := billing.ParseCurrency(code)
		if err != nil {
			t.Error(err)
			continue
		}
		if digits, _ := currency.GetDigits(code); c.Digits() != int(digits) {
			t.Errorf("%s has %d digits, want %d", c, c.Digits(), digits)
		}
	}
}

// TestCurrenciesBeyondCLDR tries every three letters: what the list above does not have is named here, so that
// nothing slips into the table.
func TestCurrenciesBeyondCLDR(t *testing.T) {
	var extra []string
	for i := range 26 * 26 * 26 {
		code := string([]byte{byte('A' + i/26/26), byte('A' + i/26%26), byte('A' + i%26)})
		if _, err := billing.ParseCurrency(code); err == nil && !currency.IsValid(code) {
			extra = append(extra, code)
		}
	}
	// Added to ISO 4217 after the CLDR release: the Arab accounting dinar and the Caribbean guilder.
	if want := []string{"XAD", "XCG"}; !slices.Equal(extra, want) {
		t.Errorf("beyond the CLDR: %v, want %v", extra, want)
	}
}

func TestCurrencyDigits(t *testing.T) {
	for code, digits := range map[billing.Currency]int{
		"EUR": 2, "USD": 2, "JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3, "CLF": 4, "UYW": 4, "XAF": 0, "XCG": 2, "HUF": 2, "ISK": 0,
	} {
		if got := code.Digits(); got != digits {
			t.Errorf("%s has %d digits, want %d", code, got, digits)
		}
	}
	if got := billing.Currency("ABC").Digits(); got != 2 {
		t.Errorf("an unknown currency has %d digits", got)
	}
}

func TestUnknownCurrency(t *testing.T) {
	for _, code := range []string{"", "EU", "eur", "EURO", "XXX", "XAU", "XTS", "ABC", "EUR2"} {
		_, err := billing.ParseCurrency(code)
		var parse *billing.ParseError
		if !errors.Is(err, billing.ErrCurrency) || !errors.As(err, &parse) || parse.Text != code {
			t.Errorf("%q: %v", code, err)
		}
	}
}
