package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/sdk/billing"
)

// ruled is a catalog with a price per call and these invoice rules, for the
// accounts given.
func ruled(rules, accounts string) string {
	return `
meters: [{name: calls, event_type: call, dimensions: [tax_percent]}, {name: texts, event_type: text}]
tariffs:
  - name: calls
    meter: calls
    currency: EUR
    group_by: [tax_percent]
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}]
  - name: texts
    meter: texts
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.333"}}]
  - name: dollars
    meter: texts
    currency: USD
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}]
billing:
  close: manual
  invoice_rules: [` + rules + `]
accounts: [` + accounts + `]
`
}

// lines lists an invoice's lines as "rule or tariff: amount".
func (r *running) lines(id string) []string {
	r.t.Helper()
	inv, _, err := r.Invoice(id)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, l := range inv.Lines {
		name := l.Tariff
		if l.Rule != "" {
			name = "rule " + l.Rule
			if !strings.HasPrefix(l.Module, "sha256:") {
				r.t.Errorf("line of %s names plugin %q", name, l.Module)
			}
		}
		out = append(out, name+": "+l.AmountText)
	}
	return out
}

const (
	minimum  = `{name: minimum, plugin: minimum_commitment, params: {amount: "25"}, currency: EUR}`
	tenOff   = `{name: ten_off, plugin: discount, params: {percent: "10"}, currency: EUR, applies_to: [calls]}`
	vat      = `{name: vat, plugin: invoice_totals, params: {tax_percent: "20"}, currency: EUR}`
	callsTax = `{name: calls_tax, plugin: invoice_totals, params: {tax_percent: "50"}, currency: EUR, applies_to: [calls]}`
)

// Rules run in their order, each over the lines that stand before it: those of the
// tariffs that it applies to and of the rules before that look at no others. They
// fall due without usage too, but not without a subscription, nor in another
// currency.
func TestInvoiceRules(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-11-10T00:00:00Z")
	r.apply(ruled(tenOff+","+minimum+","+callsTax+","+vat, `
  {id: emma, subscriptions: [{tariff: calls}, {tariff: texts}]},
  {id: idle, subscriptions: [{tariff: texts}]},
  {id: left, subscriptions: [{tariff: calls, until: 2026-09-01T00:00:00Z}]},
  {id: none, subscriptions: []},
  {id: own, invoice_rules: [`+vat+`], subscriptions: [{tariff: calls}]},
  {id: free, invoice_rules: [], subscriptions: [{tariff: calls}]},
  {id: usd, subscriptions: [{tariff: dollars}]}`))
	for n := range 10 {
		for _, account := range []string{"emma", "own", "free"} {
			r.send(call(fmt.Sprint(account, n), account, "2026-10-05T00:00:00Z"))
		}
	}
	text := call("t", "emma", "2026-10-05T00:00:00Z")
	text.Type = "text"
	dollar := call("d", "usd", "2026-10-05T00:00:00Z")
	dollar.Type = "text"
	r.send(text, dollar)
	preview, err := r.Preview(r.wait(), "emma", "2026-10")
	if err != nil {
		t.Fatal(err)
	}
	r.close("2026-10", "")
	wantBills(t, r.bills(host.InvoiceFilter{}),
		"emma.2026-10-01.EUR.0 35.40", "free.2026-10-01.EUR.0 10.00", "idle.2026-10-01.EUR.0 30.00", "own.2026-10-01.EUR.0 12.00", "usd.2026-10-01.USD.0 1.00")
	want(t, r.lines("emma.2026-10-01.EUR.0"),
		"calls: 10.00", "texts: 0.33", "rule ten_off: -1.00", "rule minimum: 15.67", "rule calls_tax: 4.50", "rule vat: 5.90")
	want(t, r.lines("idle.2026-10-01.EUR.0"), "rule minimum: 25.00", "rule vat: 5.00")
	want(t, r.lines("own.2026-10-01.EUR.0"), "calls: 10.00", "rule vat: 2.00")

	issued, _, err := r.Invoice("emma.2026-10-01.EUR.0")
	if err != nil || len(preview.Invoices) != 1 {
		t.Fatal(err, len(preview.Invoices))
	}
	before, err := preview.Invoices[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	after, err := issued.Encode()
	if err != nil || string(before) != string(after) {
		t.Errorf("previewed\n%s\nand issued\n%s\n%v", before, after, err)
	}
	r.restart()
	want(t, r.lines("idle.2026-10-01.EUR.0"), "rule minimum: 25.00", "rule vat: 5.00")
}

// Rules see each event once and each account's lines alone, however many partitions
// there are and however often events come.
func TestRulesOverManyPartitions(t *testing.T) {
	t.Parallel()
	const accounts = 24
	issued := map[int][]string{}
	for _, parts := range []int{1, 8} {
		r := startHost(t, parts, "2026-11-10T00:00:00Z")
		r.apply(ruled(tenOff+","+minimum+","+vat, "") + "default_subscriptions: [calls]\n")
		for range 2 { // the second time all are duplicates
			var events []billing.UsageEvent
			for a := range accounts {
				for n := range 10 + 2*a {
					events = append(events, call(fmt.Sprint(a, ".", n), fmt.Sprint("account-", a), "2026-10-05T00:00:00Z"))
				}
			}
			r.send(events...)
		}
		r.close("2026-10", "")
		issued[parts] = r.bills(host.InvoiceFilter{})
		slices.Sort(issued[parts])
	}
	if len(issued[1]) != accounts || !slices.Equal(issued[1], issued[8]) {
		t.Errorf("in one partition\n%q\nand in eight\n%q", issued[1], issued[8])
	}
	// 10 calls: 10 - 1, up to 25, and a fifth of it; 56 calls: 56 - 5.60, and a fifth of it.
	for _, bill := range []string{"account-0.2026-10-01.EUR.0 30.00", "account-23.2026-10-01.EUR.0 60.48"} {
		if !slices.Contains(issued[8], bill) {
			t.Errorf("%q is not among %q", bill, issued[8])
		}
	}
}

// A rule that fails keeps one account's invoice back and nobody else's. The host
// goes on, says so, and makes the invoice when a catalog mends the cause.
func TestFailingRuleParksOneAccount(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-12-10T00:00:00Z")
	accounts := `{id: emma, subscriptions: [{tariff: calls}]}, {id: noah, subscriptions: [{tariff: calls}]}`
	r.apply(ruled(minimum+","+vat, accounts))
	r.send(
		call("1", "emma", "2026-10-05T00:00:00Z", "tax_percent", "none of your business"),
		call("2", "noah", "2026-10-05T00:00:00Z"),
		call("3", "emma", "2026-11-05T00:00:00Z"))
	r.close("2026-10", "")
	wantParked := func(want ...string) {
		t.Helper()
		var got []string
		periods, _ := r.Periods()
		for _, p := range periods {
			for _, k := range p.Parked {
				if k.Rule != "vat" || !strings.Contains(k.Detail, "none of your business") || !strings.HasPrefix(k.Module, "sha256:") {
					t.Errorf("parked %+v", k)
				}
				got = append(got, fmt.Sprint(p.Period.ID(), " ", k.Account, " ", k.Reason))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("parked %q, want %q", got, want)
		}
	}
	const noah = "noah.2026-10-01.EUR.0 30.00"
	wantParked("2026-10-01 emma rule_fault")
	wantBills(t, r.bills(host.InvoiceFilter{}), noah)
	r.restart()
	wantParked("2026-10-01 emma rule_fault")
	r.send(call("4", "emma", "2026-10-06T00:00:00Z"), call("5", "emma", "2026-11-06T00:00:00Z"))
	want(t, r.reasons()) // October has no invoice yet, and takes it
	r.wantCounts(5, 0, 0)
	r.apply(ruled(minimum, accounts))
	wantParked()
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-10-01.EUR.0 25.00", noah)
	r.restart()
	wantParked()
	r.close("2026-11", "")
	wantBills(t, r.bills(host.InvoiceFilter{}),
		"emma.2026-10-01.EUR.0 25.00", noah, "emma.2026-11-01.EUR.0 25.00", "noah.2026-11-01.EUR.0 25.00")
}

// An amount that the rounding of its tariff makes too large parks its account.
func TestOverflowParks(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-11-10T00:00:00Z")
	r.apply(strings.Replace(grouped, "currency: EUR", "currency: EUR\n    rounding: {scale: -20, mode: ceiling}", 1))
	r.send(
		call("1", "emma", "2026-10-05T00:00:00Z", "q", "150000000000000000000"),
		call("2", "noah", "2026-10-05T00:00:00Z", "q", "1"))
	r.close("2026-10", "")
	r.restart()
	wantBills(t, r.bills(host.InvoiceFilter{}), "noah.2026-10-01.EUR.0 100000000000000000000")
	periods, _ := r.Periods()
	if len(periods) != 1 || len(periods[0].Parked) != 1 || periods[0].Parked[0].Reason != "overflow" || len(periods[0].Open) != 0 {
		t.Errorf("periods %+v", periods)
	}
	r.wantCounts(2, 0, 0)
}

// What a month that is parked leaves is missing in the next: that waits for it, and
// both come out right when the cause is mended.
func TestParkedMonthHoldsUpTheNext(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-04-10T00:00:00Z")
	broken := levels + `
accounts: [{id: emma, subscriptions: [{tariff: level}], invoice_rules: [{name: cap, plugin: minimum_commitment, params: {amount: "1", rounding: {scale: 0, mode: half_up}}, currency: EUR, rounding: {scale: 2, mode: half_up}}, {name: vat, plugin: allocation, params: {total: "170000000000000000000", scale: 2, weights: [{key: a, weight: "1"}]}, currency: EUR}, {name: more, plugin: allocation, params: {total: "170000000000000000000", scale: 2, weights: [{key: a, weight: "1"}]}, currency: EUR}]}]
`
	r.apply(broken)
	r.send(call("1", "emma", "2026-01-05T00:00:00Z", "q", "5"), call("2", "emma", "2026-02-05T00:00:00Z", "q", "2"), call("3", "noah", "2026-01-05T00:00:00Z", "q", "1"))
	r.close("2026-01", "")
	r.close("2026-02", "")
	r.restart()
	if got := r.bills(host.InvoiceFilter{Account: "emma"}); len(got) != 0 {
		t.Errorf("invoices %q", got)
	}
	var reasons []string
	periods, _ := r.Periods()
	for _, p := range periods {
		for _, k := range p.Parked {
			reasons = append(reasons, p.Period.ID()+" "+k.Reason)
		}
	}
	want(t, reasons, "2026-02-01 earlier_period", "2026-01-01 overflow")
	r.apply(levels + `
accounts: [{id: emma, subscriptions: [{tariff: level}], invoice_rules: []}]
`)
	r.send(call("4", "emma", "2026-03-05T00:00:00Z", "q", "1"))
	r.restart()
	r.close("2026-03", "")
	wantBills(t, r.bills(host.InvoiceFilter{Account: "emma"}), "emma.2026-01-01.EUR.0 5.00", "emma.2026-02-01.EUR.0 7.00", "emma.2026-03-01.EUR.0 8.00")
}
