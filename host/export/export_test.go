package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// golden compares text with a file, or rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got, -rewrite accepts):\n%s", name, diff)
	}
}

func amount(s string) billing.Amount     { return billing.Amount(billing.MustDecimal(s)) }
func quantity(s string) billing.Quantity { return billing.Quantity(billing.MustDecimal(s)) }

var (
	january = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cents   = billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}
)

// berlin is October 2026 in Berlin, in which the clocks change.
func berlin(t testing.TB) billing.Period {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	p, err := billing.Calendar{Zone: zone, AnchorDay: 1}.Parse("2026-10")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func head(t testing.TB) Head {
	return Head{
		Account: "emma/1.a", Period: berlin(t), Currency: "EUR",
		AccountDetails: json.RawMessage(`{"name":"Emma <& GmbH"}`), Seller: json.RawMessage(`{"name":"Example Ltd"}`),
	}
}

// slots are those of the golden invoice, in no order.
func slots() []Slot {
	return []Slot{
		{
			Tariff: "calls", Meter: "calls", Subscription: "main", Version: january.AddDate(0, 3, 0), Group: Group{{Key: "region", Text: "us"}},
			Currency: "EUR", Rounding: cents, Module: "sha256:aa", Events: 3,
			Lines: []SlotLine{{ID: "tier_1", Description: "up to 10", Quantity: quantity("10.50"), Amount: amount("1.005")}, {ID: "tier_2", Description: "from 10"}},
		},
		{
			Tariff: "calls", Meter: "calls", Subscription: "main", Version: january.AddDate(0, 3, 0), Group: Group{{Key: "region", Text: "\"eu\""}},
			Currency: "EUR", Rounding: cents, Module: "sha256:aa", Events: 3,
			Lines: []SlotLine{{ID: "tier_1", Description: "up to 10"}, {ID: "tier_2", Description: "from 10"}},
		},
		{
			Tariff: "calls", Meter: "calls", Subscription: "main", Version: january, Currency: "EUR", Rounding: cents, Module: "sha256:aa",
			Lines: []SlotLine{{ID: "tier_1", Description: "nothing was used"}, {ID: "fee", Description: "monthly fee", Amount: amount("-5")}},
		},
		{
			Tariff: "base", Meter: "calls", Subscription: "base", Version: january, Currency: "EUR", Module: "sha256:bb",
			Rounding: billing.Rounding{Scale: -1, Mode: billing.RoundFloor}, Events: 1,
			Lines: []SlotLine{{ID: "fee", Description: "=1+1", Quantity: quantity("1"), Amount: amount("29.9")}},
		},
	}
}

func TestNewInvoice(t *testing.T) {
	inv, err := NewInvoice(head(t), slots())
	if err != nil {
		t.Fatal(err)
	}
	b, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/invoice.json", string(b)+"\n")
	if inv.TotalText != "16.01" || inv.Total.Cmp(amount("16.01")) != 0 || inv.ID != "emma=2F1=2Ea.2026-10-01.EUR.0" {
		t.Errorf("total %s, id %s", inv.TotalText, inv.ID)
	}

	again, err := DecodeInvoice(b)
	if err != nil {
		t.Fatal(err)
	}
	bytesAgain, err := again.Encode()
	if err != nil || !bytes.Equal(b, bytesAgain) {
		t.Errorf("decoded and encoded: %s, %v", bytesAgain, err)
	}
	if again.Total != inv.Total || again.Lines[3].Amount != inv.Lines[3].Amount || !again.Period.Equal(inv.Period) || again.Period.ID() != "2026-10-01" {
		t.Errorf("decoded %+v", again)
	}

	var jsonl, table bytes.Buffer
	if err := WriteJSONL(&jsonl, []Invoice{inv, again}); err != nil || jsonl.String() != string(b)+"\n"+string(b)+"\n" {
		t.Errorf("JSON Lines: %v\n%s", err, jsonl.String())
	}
	if err := WriteCSV(&table, []Invoice{inv}); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/invoice.csv", table.String())
}

// TestAdjustedCSV holds the rows of an invoice that adjusts two earlier ones: each
// with what was, what is, and the events behind it.
func TestAdjustedCSV(t *testing.T) {
	d, err := NewDraft(head(t), slots())
	if err != nil {
		t.Fatal(err)
	}
	october := berlin(t)
	for i, c := range []Correction{
		{Events: []Cause{{Kind: "late", Source: "/shop", ID: "=4", Position: 7, Index: 1}, {Kind: "void", Source: "/ops", ID: "\"5\"", Position: 9}}, More: 2},
		{Events: []Cause{{Kind: "amend", Source: "/shop", ID: "6", Position: 11}}},
	} {
		c.Period = billing.Period{Start: october.Start.AddDate(0, -1-i, 0), End: october.Start.AddDate(0, -i, 0)}
		err := d.Adjust(c, []Line{{
			Tariff: "calls", Meter: "calls", Subscription: "main", Version: january, ID: "tier_1", Description: "Late calls", Module: "sha256:aa",
			Quantity: quantity("-1"), Amount: amount("-0.50"), AmountText: "-0.50", Unrounded: amount("-0.5"),
			Adjustment: &Adjustment{Invoice: "emma.2026-09-01.EUR.0", Period: c.Period, OldQuantity: quantity("3"), NewQuantity: quantity("2"), OldAmount: amount("3"), NewAmount: amount("2.5")},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var table bytes.Buffer
	if err := WriteCSV(&table, []Invoice{d.Invoice()}); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/adjusted.csv", table.String())
}

// TestUnrounded keeps every digit of a tariff that asks for it, and of a total
// with such a line in it.
func TestUnrounded(t *testing.T) {
	all := []Slot{
		{Tariff: "a", Version: january, Currency: "EUR", Lines: []SlotLine{{ID: "x", Quantity: quantity("1"), Amount: amount("0.100000000000000001")}}},
		{Tariff: "b", Version: january, Currency: "EUR", Lines: []SlotLine{{ID: "x", Quantity: quantity("1"), Amount: amount("0.1")}}},
		{Tariff: "c", Version: january, Currency: "EUR", Rounding: cents, Lines: []SlotLine{{ID: "x", Quantity: quantity("1"), Amount: amount("0.5")}}},
	}
	inv, err := NewInvoice(head(t), all)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{inv.Lines[0].AmountText, inv.Lines[1].AmountText, inv.Lines[2].AmountText, inv.TotalText}
	if diff := cmp.Diff([]string{"0.100000000000000001", "0.1", "0.50", "0.700000000000000001"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestNewInvoiceRefuses(t *testing.T) {
	slot := func(currency billing.Currency, value string) Slot {
		return Slot{Tariff: "a", Subscription: "s" + value, Version: january, Currency: currency, Rounding: cents, Lines: []SlotLine{{ID: "x", Amount: amount(value)}}}
	}
	const most = "170141183460469231731.68"
	for name, test := range map[string]struct {
		slots []Slot
		want  error
	}{
		"currency":              {[]Slot{slot("EUR", "1"), slot("USD", "2")}, ErrCurrency},
		"twice":                 {[]Slot{slot("EUR", "1"), slot("EUR", "1")}, ErrSlotTwice},
		"overflow of the total": {[]Slot{slot("EUR", most), slot("EUR", "0.02")}, billing.ErrOverflow},
		"overflow of a line":    {[]Slot{slot("EUR", "170141183460469231731.687")}, billing.ErrOverflow},
	} {
		if _, err := NewInvoice(head(t), test.slots); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestInvoiceProperties: the order of slots changes nothing, the lines sum up
// to the total as they are written, and no line differs from what its tariff
// made by more than the rounding.
func TestInvoiceProperties(t *testing.T) {
	h := head(t)
	text := rapid.SampledFrom([]string{"a", "b", "ü", ""})
	number := rapid.Custom(func(t *rapid.T) billing.Decimal {
		d := billing.DecimalFromInt(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "n"))
		d, err := d.Quo(billing.DecimalFromInt(rapid.SampledFrom([]int64{1, 8, 1000, 7}).Draw(t, "by")), billing.Rounding{Scale: 18, Mode: billing.RoundFloor})
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
	slot := rapid.Custom(func(t *rapid.T) Slot {
		s := Slot{
			Tariff: text.Draw(t, "tariff"), Subscription: text.Draw(t, "subscription"), Version: january.AddDate(0, rapid.IntRange(0, 2).Draw(t, "version"), 0),
			Group: Group{{Key: "g", Text: text.Draw(t, "group")}}, Currency: "EUR", Events: rapid.Uint64Range(0, 1).Draw(t, "events"),
			Rounding: billing.Rounding{Scale: rapid.IntRange(0, 6).Draw(t, "scale"), Mode: billing.RoundingMode(rapid.IntRange(1, 4).Draw(t, "mode"))},
		}
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			s.Lines = append(s.Lines, SlotLine{ID: text.Draw(t, "line"), Quantity: billing.Quantity(number.Draw(t, "quantity")), Amount: billing.Amount(number.Draw(t, "amount"))})
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfDistinct(slot, func(s Slot) string {
			return strings.Join([]string{s.Tariff, s.Subscription, s.Version.String(), s.Group[0].Text}, "|")
		}).Draw(t, "slots")
		inv, err := NewInvoice(h, all)
		if err != nil {
			t.Fatal(err)
		}
		first, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		sum := billing.Amount{}
		for _, l := range inv.Lines {
			written, err := billing.ParseAmount(l.AmountText)
			if err == nil {
				sum, err = sum.Add(written)
			}
			if err != nil || written != l.Amount {
				t.Fatalf("line %+v: %v", l, err)
			}
		}
		if total, err := billing.ParseAmount(inv.TotalText); err != nil || sum != total {
			t.Fatalf("lines sum up to %s, the total says %s", sum, inv.TotalText)
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		inv, err = NewInvoice(h, all)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := inv.Encode(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("another order, other bytes: %v\n%s\n%s", err, first, second)
		}
		decoded, err := DecodeInvoice(first)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := decoded.Encode(); err != nil || !bytes.Equal(first, third) {
			t.Fatalf("decoded, other bytes: %v\n%s\n%s", err, first, third)
		}
	})
}

func TestDecodeInvoiceRefuses(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `[]`, `{"id":"x","total":"1","period":{"id":"2026-10-02","start":"2026-10-01T00:00:00Z","end":"2026-11-01T00:00:00Z"}}`,
		`{"id":"x","total":"one","period":{"id":"2026-10-01","start":"2026-10-01T00:00:00Z","end":"2026-11-01T00:00:00Z"}}`,
		`{"id":"x","total":"1","period":{"id":"2026-10-01","start":"2026-10-01T00:00:00Z","end":"2026-11-01T00:00:00Z"},"lines":[{"amount":""}]}`,
		`{"id":"x","total":"1","period":{"id":"2026-10-01","start":"2026-10-01T00:00:00Z","end":"2026-11-01T00:00:00Z"},"lines":[{"amount":"1","group":[]}]}`,
	} {
		if _, err := DecodeInvoice([]byte(text)); !errors.Is(err, errDocument) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestCSVFormulas puts an apostrophe in front of what a spreadsheet would run,
// and never in front of a number.
func TestCSVFormulas(t *testing.T) {
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\tx": "'\tx", "\rx": "'\rx", "\nx": "'\nx",
		"＝1+1": "'＝1+1", "＋1": "'＋1", "－1": "'－1", "＠x": "'＠x",
		"  =1": "'  =1", "\u00a0=1": "'\u00a0=1", "\ufeff=1": "'\ufeff=1",
		"a=1": "a=1", "": "", " ": " ", "'=1": "''=1", "'": "''", "d'or": "d'or", "1-1": "1-1", "\xff=": "\xff=",
	} {
		if got := SafeText(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}

	h := head(t)
	h.Account = "=cmd|' /C calc'!A0"
	inv, err := NewInvoice(h, []Slot{{
		Tariff: "+t", Meter: "@m", Subscription: "-s", Version: january, Group: Group{{Key: "=k", Text: "=v"}}, Currency: "EUR", Rounding: cents, Module: "=m",
		Lines: []SlotLine{{ID: "\tid", Description: "=HYPERLINK(\"http://x\",\"y\")\n=2", Quantity: quantity("-3"), Amount: amount("-1.5")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteCSV(&out, []Invoice{inv}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	numeric := map[string]string{"quantity": "-3", "amount": "-1.50", "unrounded": "-1.5"}
	for i, name := range CSVColumns() {
		got := rows[1][i]
		if want, isNumber := numeric[name]; isNumber {
			if got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
			continue
		}
		if got != "" && strings.ContainsAny(got[:1], "=+-@\t") {
			t.Errorf("%s begins a formula: %q", name, got)
		}
	}

	inv.Lines[0].AmountText = "=1"
	if err := WriteCSV(&out, []Invoice{inv}); !errors.Is(err, billing.ErrSyntax) {
		t.Errorf("a number that is none: %v", err)
	}
}

func TestReport(t *testing.T) {
	inv, err := NewInvoice(head(t), slots())
	if err != nil {
		t.Fatal(err)
	}
	other := inv
	other.Account, other.ID, other.Lines = "ava", "ava.2026-10-01.EUR.0", nil
	letter := DeadLetter{Source: "s", ID: "1", Reason: "no_meter", Detail: "no meter selects events of type <x>"}
	report := Report{
		Invoices:    []Invoice{inv, other},
		DeadLetters: []DeadLetter{{Source: "s", ID: "2", Reason: "no_price"}, letter, letter},
		Counts:      Counts{Read: 10, Priced: 7, Duplicates: 0, DeadLettered: 3},
	}
	var first, second bytes.Buffer
	if err := report.WriteJSON(&first); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.json", first.String())
	if !json.Valid(first.Bytes()) {
		t.Error("not JSON")
	}
	report.Invoices = []Invoice{other, inv}
	report.DeadLetters = []DeadLetter{letter, report.DeadLetters[0]}
	if err := report.WriteJSON(&second); err != nil || first.String() != second.String() {
		t.Errorf("another order, other bytes: %v", err)
	}

	var empty bytes.Buffer
	if err := (Report{}).WriteJSON(&empty); err != nil {
		t.Fatal(err)
	}
	want := `{"invoices":[],"dead_letters":[],"counts":{"read":0,"priced":0,"duplicates":0,"dead_lettered":0}}` + "\n"
	if empty.String() != want {
		t.Error(empty.String())
	}
}

// failing is a writer that is full after some bytes.
type failing struct{ left int }

var errFull = errors.New("full")

func (f *failing) Write(b []byte) (int, error) {
	if f.left < len(b) {
		return 0, errFull
	}
	f.left -= len(b)
	return len(b), nil
}

func TestWriterErrors(t *testing.T) {
	inv, err := NewInvoice(head(t), slots())
	if err != nil {
		t.Fatal(err)
	}
	many := make([]Invoice, 50)
	for i := range many {
		many[i] = inv
	}
	for name, write := range map[string]func(w *failing) error{
		"JSON Lines": func(w *failing) error { return WriteJSONL(w, many) },
		"CSV":        func(w *failing) error { return WriteCSV(w, many) },
		"report":     func(w *failing) error { return Report{Invoices: many}.WriteJSON(w) },
	} {
		for _, left := range []int{0, 5_000} {
			if err := write(&failing{left: left}); !errors.Is(err, errFull) {
				t.Errorf("%s, full after %d bytes: %v", name, left, err)
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	inv, err := NewInvoice(head(b), slots())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := inv.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
