package focus

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"slices"
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

// invoice has a line of each kind.
func invoice(t *testing.T, seller string) export.Invoice {
	t.Helper()
	berlin := time.FixedZone("", 7200)
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, berlin)
	cents := billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}
	head := export.Head{
		Account: "+49 1", Period: billing.Period{Start: start, End: time.Date(2026, 11, 1, 0, 0, 0, 0, time.FixedZone("", 3600))}, Currency: "EUR",
		AccountDetails: json.RawMessage(`{"name":"Emma GmbH"}`),
	}
	if seller != "" {
		head.Seller = json.RawMessage(`{"name":"` + seller + `"}`)
	}
	draft, err := export.NewDraft(head, []export.Slot{{
		Tariff: "api", Meter: "calls", Subscription: "main", Version: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Currency: "EUR",
		Group: export.Group{{Key: "region", Text: "eu"}}, Rounding: cents, Module: "sha256:aa", Events: 2, Lines: []export.SlotLine{
			{ID: "tier_1", Description: "First, \"1000\"", Quantity: quantity("12.5"), Amount: amount("1.005")},
			{ID: "flat_fee", Description: "=Fee", Amount: amount("9.99")},
			{ID: "voucher", Description: "Voucher", Amount: amount("-1")},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []export.Rule{
		{Name: "min25", Lines: []export.SlotLine{{ID: "minimum_commitment", Description: "Minimum commitment", Amount: amount("15")}}},
		{Name: "loyalty", Lines: []export.SlotLine{{ID: "discount", Description: "-5 %", Amount: amount("-1.25")}}},
		{Name: "vat", Lines: []export.SlotLine{{ID: "tax", Description: "VAT 20 %", Amount: amount("4.75")}}},
	} {
		r.Rounding, r.Module = cents, "sha256:bb"
		if err := draft.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	september := billing.Period{Start: start.AddDate(0, -1, 0), End: start}
	err = draft.Adjust(export.Correction{
		Period: september, Events: []export.Cause{{Kind: "late", Source: "/shop", ID: "=1", Position: 7, Index: 2}, {Kind: "void", Source: "/ops", ID: "2", Position: 9}}, More: 3,
	}, []export.Line{{
		Tariff: "api", Meter: "calls", Subscription: "main", Version: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ID: "tier_1", Description: "First, late",
		Quantity: quantity("-2"), Amount: amount("-0.50"), AmountText: "-0.50", Unrounded: amount("-0.5"), Module: "sha256:aa",
		Adjustment: &export.Adjustment{
			Invoice: "=2B49=201.2026-09-01.EUR.0", Period: september, OldQuantity: quantity("12"), NewQuantity: quantity("10"), OldAmount: amount("3"), NewAmount: amount("2.5"),
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return draft.Invoice()
}

// TestGolden holds the file, and that it breaks no rule.
func TestGolden(t *testing.T) {
	inv := invoice(t, "Example Ltd")
	var b bytes.Buffer
	w := NewWriter(&b, "")
	if err := errors.Join(w.Write(&inv), w.Close()); err != nil {
		t.Fatal(err)
	}
	metadata, err := Metadata()
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"testdata/focus.csv": b.String(), "testdata/focus_metadata.json": string(metadata)} {
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
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	checker, err := NewChecker(rows[0])
	if err != nil {
		t.Fatal(err)
	}
	var categories []string
	plainRows, err := Rows(&inv, "")
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows[1:] {
		Plain(row)
		if err := checker.Check(row); err != nil {
			t.Errorf("row %d: %v", i, err)
		}
		if !slices.Equal(row, plainRows[i]) {
			t.Errorf("row %d is read as %q, want %q", i, row, plainRows[i])
		}
		categories = append(categories, row[slices.Index(rows[0], "ChargeCategory")])
	}
	if want := []string{usage, purchase, credit, adjustment, credit, tax, usage}; !slices.Equal(categories, want) {
		t.Errorf("the categories are %q, want %q", categories, want)
	}
}

// TestBilledCostIsTheTotal: what is billed adds up to the invoice.
func TestBilledCostIsTheTotal(t *testing.T) {
	inv := invoice(t, "Example Ltd")
	rows, err := Rows(&inv, "")
	if err != nil {
		t.Fatal(err)
	}
	var total billing.Amount
	for _, row := range rows {
		billed, err := billing.ParseAmount(row[slices.Index(Columns(), "BilledCost")])
		if err == nil {
			total, err = total.Add(billed)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != inv.Total {
		t.Errorf("the rows come to %s, the invoice to %s", total, inv.Total)
	}
}

func TestProvider(t *testing.T) {
	inv := invoice(t, "")
	if _, err := Rows(&inv, ""); !errors.Is(err, ErrProvider) {
		t.Errorf("without a seller: %v", err)
	}
	at := slices.Index(Columns(), "ProviderName")
	if rows, err := Rows(&inv, "Fallback"); err != nil || rows[0][at] != "Fallback" {
		t.Errorf("%v, %v", rows, err)
	}
	inv = invoice(t, "Example Ltd")
	if rows, err := Rows(&inv, "Fallback"); err != nil || rows[0][at] != "Example Ltd" {
		t.Errorf("%v, %v", rows, err)
	}
	inv.Seller = json.RawMessage(`{"name":[1]}`)
	if _, err := Rows(&inv, ""); !errors.Is(err, ErrProvider) {
		t.Errorf("a name that is no text: %v", err)
	}
}

// TestCheckFinds breaks each rule once.
func TestCheckFinds(t *testing.T) {
	inv := invoice(t, "Example Ltd")
	rows, err := Rows(&inv, "")
	if err != nil {
		t.Fatal(err)
	}
	checker, err := NewChecker(Columns())
	if err != nil {
		t.Fatal(err)
	}
	const usageRow, feeRow, taxRow = 0, 1, 5
	for _, c := range []struct {
		row          int
		column, cell string
		want         string
	}{
		{usageRow, "BilledCost", "1,5", `BilledCost is "1,5"`},
		{usageRow, "BilledCost", "1.0.0", `BilledCost is "1.0.0"`},
		{usageRow, "BilledCost", "", "BilledCost is empty"},
		{usageRow, "BillingCurrency", "eur", `BillingCurrency is "eur"`},
		{usageRow, "BillingPeriodStart", "2026-10-01T00:00:00+02:00", "BillingPeriodStart is"},
		{usageRow, "ChargePeriodStart", "2026-10-01", "ChargePeriodStart is"},
		{usageRow, "ChargePeriodEnd", "2026-09-01T00:00:00Z", "ChargePeriod ends at"},
		{usageRow, "ChargeCategory", "Fee", `not one of Usage, Purchase`},
		{usageRow, "ChargeClass", "Late", "not one of Correction"},
		{usageRow, "ServiceCategory", "Telephony", "ServiceCategory is"},
		{usageRow, "ProviderName", "", "ProviderName is empty"},
		{usageRow, "PricingQuantity", "", "PricingQuantity is empty, and the charge is Usage"},
		{usageRow, "PricingUnit", "", "only one of PricingQuantity and PricingUnit"},
		{usageRow, "ConsumedQuantity", "", "ConsumedQuantity is empty, and the charge is Usage"},
		{usageRow, "ConsumedUnit", "", "only one of ConsumedQuantity and ConsumedUnit"},
		{usageRow, "SkuPriceId", "", "SkuPriceId is empty"},
		{usageRow, "RegionName", "", "only one of RegionId and RegionName"},
		{usageRow, "Tags", "region=eu", "Tags is"},
		{feeRow, "ChargeFrequency", usageBased, "ChargeFrequency is Usage-Based for a Purchase"},
		{feeRow, "ConsumedQuantity", "1", "ConsumedQuantity is not empty, and the charge is no Usage"},
		{taxRow, "PricingQuantity", "1", "PricingQuantity is not empty, and the charge is Tax"},
		{taxRow, "SkuId", "vat", "SkuId is not empty, and the charge is Tax"},
	} {
		row := slices.Clone(rows[c.row])
		row[slices.Index(Columns(), c.column)] = c.cell
		if err := checker.Check(row); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q", c.column, c.cell, err, c.want)
		}
	}
	if err := checker.Check(rows[0][1:]); err == nil {
		t.Error("a row that is too short is taken")
	}
	for _, c := range []struct {
		columns []string
		want    string
	}{
		{Columns()[1:], "mandatory column BilledCost is missing"},
		{append(Columns(), "Price"), `column "Price" is none of FOCUS 1.2`},
		{append(Columns(), "x_"), `column "x_" is none`},
		{append(Columns(), "Tags"), "column Tags stands there twice"},
	} {
		if _, err := NewChecker(c.columns); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	mandatory := 0
	for _, r := range rules() {
		if r.mandatory {
			mandatory++
		}
	}
	if mandatory != 21 {
		t.Errorf("%d columns are mandatory; version 1.2 has 21", mandatory)
	}
}
