package paper

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/sdk/billing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func amount(s string) billing.Amount     { return billing.Amount(billing.MustDecimal(s)) }
func quantity(s string) billing.Quantity { return billing.Quantity(billing.MustDecimal(s)) }

// invoice has two tariffs, tiers, groups, a price list of the middle of the month,
// rules, and texts that try to be markup.
func invoice(t *testing.T) export.Invoice {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, berlin)
	cents := billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}
	january, middle := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC)
	module := "sha256:f8bf43770aa137513029aa60f1995044aada7a8cd57b6ccbad501078deea1370"
	slot := func(version time.Time, region string, lines ...export.SlotLine) export.Slot {
		return export.Slot{
			Tariff: "api_standard", Meter: "api_calls", Subscription: "main", Version: version, Currency: "EUR", Events: 1,
			Group: export.Group{{Key: "region", Text: region}, {Key: "tier", Text: "gold"}}, Rounding: cents, Module: module, Lines: lines,
		}
	}
	draft, err := export.NewDraft(export.Head{
		Account: "emma", Period: billing.Period{Start: start, End: start.AddDate(0, 1, 0)}, Currency: "EUR",
		Seller:         json.RawMessage(`{"address":{"city":"Hamburg","country":"Germany","line1":"Speicherstadt 7","postal_code":"20457"},"email":"billing@example.com","iban":"DE02120300000000202051","name":"Example Cloud GmbH","tax_id":"DE123456789"}`),
		AccountDetails: json.RawMessage(`{"address":"Rue de la Loi 16\n1000 Bruxelles\nBelgium","name":"Emma & Söhne <b>SA</b>","tax_id":"BE0123456789"}`),
	}, []export.Slot{
		slot(january, "eu-central", export.SlotLine{ID: "tier_1", Description: "First 1,000,000 calls", Quantity: quantity("1000000"), Amount: amount("0")},
			export.SlotLine{ID: "tier_2", Description: "Up to 10,000,000 calls", Quantity: quantity("9000000"), Amount: amount("18000")},
			export.SlotLine{ID: "tier_3", Description: "Above 10,000,000 calls", Quantity: quantity("1234567.5"), Amount: amount("1234.5675")},
			export.SlotLine{ID: "flat_fee", Description: "Monthly fee", Amount: amount("49")}),
		slot(middle, "us-east", export.SlotLine{ID: "tier_1", Description: "First 1,000,000 calls", Quantity: quantity("250000"), Amount: amount("0.5")}),
		{
			Tariff: "storage", Meter: "gigabyte_hours", Subscription: "storage", Version: january, Currency: "EUR", Events: 1, Rounding: cents, Module: module,
			Lines: []export.SlotLine{{ID: "usage", Description: "Storage, <script>alert(1)</script>", Quantity: quantity("731.000000000000000001"), Amount: amount("14.62")}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []export.Rule{
		{Name: "loyalty", Lines: []export.SlotLine{{ID: "discount", Description: "Loyalty discount, 5 %", Amount: amount("-964.93")}}},
		{Name: "vat", Lines: []export.SlotLine{{ID: "tax", Description: "VAT, 21 %", Amount: amount("3849.98")}}},
	} {
		r.Rounding, r.Module = cents, "sha256:99f7acbc689ce08be5ed24a1e5bd5e6dbce80ee3949fb4190d8c64fbfce279c4"
		if err := draft.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	september := billing.Period{Start: start.AddDate(0, -1, 0), End: start}
	err = draft.Adjust(export.Correction{Period: september}, []export.Line{{
		Tariff: "api_standard", Meter: "api_calls", Subscription: "main", Version: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ID: "tier_1", Description: "First 1,000,000 calls",
		Quantity: quantity("-2"), Amount: amount("-0.50"), AmountText: "-0.50", Unrounded: amount("-0.5"), Module: "sha256:aa",
		Adjustment: &export.Adjustment{
			Invoice: "emma.2026-09-01.EUR.0", Period: september, OldQuantity: quantity("12"), NewQuantity: quantity("10"), OldAmount: amount("3"), NewAmount: amount("2.5"),
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return draft.Invoice()
}

// TestGolden holds the page, for a look at it in a browser.
func TestGolden(t *testing.T) {
	pages, err := New()
	if err != nil {
		t.Fatal(err)
	}
	inv := invoice(t)
	var page, list bytes.Buffer
	if err := pages.Invoice(&page, &inv); err != nil {
		t.Fatal(err)
	}
	index, err := pages.NewIndex(&list, "2026-10")
	if err == nil {
		err = index.Add(&inv)
	}
	if err == nil {
		err = index.Close([]export.Total{{Currency: "EUR", Invoices: 1, Lines: 9, Amount: inv.TotalText}})
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"testdata/invoice.html": page.String(), "testdata/index.html": list.String()} {
		if *rewrite {
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got, -rewrite accepts):\n%s", name, diff)
		}
	}
}

// TestNothingFromOutside: no text of an invoice becomes markup, and nothing is
// loaded from anywhere.
func TestNothingFromOutside(t *testing.T) {
	pages, err := New()
	if err != nil {
		t.Fatal(err)
	}
	inv := invoice(t)
	var b bytes.Buffer
	if err := pages.Invoice(&b, &inv); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<b>SA", "http:", "https:", "src=", "url(", "@import", "ZgotmplZ"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, want := range []string{"default-src &#39;none&#39;", `<data id="total" value="22183.24">`} {
		if !strings.Contains(b.String(), want) && !strings.Contains(b.String(), strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "-0.5": "−0.5", "999": "999", "1000": "1\u202f000", "-1234567.891": "−1\u202f234\u202f567.891", "12.00": "12.00",
		"170141183460469231731.687303715884105727": "170\u202f141\u202f183\u202f460\u202f469\u202f231\u202f731.687303715884105727",
	} {
		if got := newNumber(text); got.Text != want || got.Value != text {
			t.Errorf("%s: %+v, want %s", text, got, want)
		}
	}
}

func TestParty(t *testing.T) {
	for details, want := range map[string]party{
		``:           {Role: "r", Shown: "acct"},
		`{}`:         {Role: "r", Shown: "acct"},
		`{"name":7}`: {Role: "r", Shown: "acct", More: []string{"Name: 7"}},
		`{"name":"N","address":["a",{"b":"c"},null,1],"vat_id":"X","open":true,"list":["p","q"]}`: {
			Role: "r", Name: "N", Shown: "N", Address: []string{"a", "B c", "1"}, More: []string{"Account: acct", "List: p, q", "Open: yes", "VAT ID: X"},
		},
		`{"address":{"zip":"1","city":"C","street":"S","house_number":2,"country":"L","floor":"3","state":"T"}}`: {
			Role: "r", Shown: "acct", Address: []string{"S 2", "1 C", "T", "3", "L"},
		},
	} {
		got, err := newParty("r", json.RawMessage(details), "acct")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", details, diff)
		}
	}
	if _, err := newParty("r", json.RawMessage(`[]`), ""); err == nil {
		t.Error("details that are no object are taken")
	}
}
