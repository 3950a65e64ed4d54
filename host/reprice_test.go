package host_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
)

// retried is tried with other prices since before there was usage: another price per
// seat, other tiers, another highest value since the middle of January, and a fee.
var retried = strings.NewReplacer(
	`recurring: true, unit_price: "1"`, `recurring: true, unit_price: "1.5"`,
	`{up_to: "20", unit_price: "1", flat_fee: "0"}`, `{up_to: "10", unit_price: "1.1", flat_fee: "2"}, {up_to: "20", unit_price: "0.7", flat_fee: "0"}`,
	`params: {type: max, unit_price: "0.5"}}`, `params: {type: max, unit_price: "0.5"}}, {effective_from: 2026-01-15T00:00:00Z, plugin: aggregation, params: {type: max, unit_price: "0.9"}}`,
	`default_subscriptions: [level, peak, tiers]`, `default_subscriptions: [level, peak, tiers, fee]`,
	`billing:`, `  - name: fee
    meter: seats
    currency: EUR
    versions: [{effective_from: 2026-01-10T00:00:00Z, plugin: flat, params: {amount: "3"}}]
billing:`,
).Replace(tried)

// reprice applies a catalog that reaches back.
func (r *running) reprice(yaml string, dryRun bool) host.Applied {
	r.t.Helper()
	applied, err := r.tryReprice(yaml, dryRun)
	if err != nil {
		r.t.Fatal(err)
	}
	return applied
}

func (r *running) tryReprice(yaml string, dryRun bool) (host.Applied, error) {
	r.t.Helper()
	applied, err := r.Apply(r.patient(), host.ApplyRequest{
		Files: []catalog.File{{Name: "catalog.yaml", Data: []byte(yaml)}}, Reprice: true, DryRun: dryRun, Accounts: 1_000,
	})
	if err == nil && len(applied.Problems) > 0 {
		r.t.Fatal(applied.Problems)
	}
	return applied, err
}

// A catalog that reprices comes to what it would have come to had it been in force from
// the beginning: over periods that are closed and open, levels that go on, usage that came
// late and corrections, before it and behind it. What it changes was shown before to the
// last digit, and showing it changes nothing.
func TestRepricedAsFromTheBeginning(t *testing.T) {
	t.Parallel()
	before, set := triedWorld(3)
	behind := set[len(set)/2:]
	set = set[:len(set)/2]
	repriced, always, never := startHost(t, 2, "2026-07-01T00:00:00Z"), startHost(t, 2, "2026-07-01T00:00:00Z"), startHost(t, 2, "2026-07-01T00:00:00Z")
	for _, r := range []*running{repriced, always, never} {
		if r == always {
			r.apply(retried)
		} else {
			r.apply(tried)
		}
		r.send(before...)
		r.close("2026-01", "")
		r.send(set...)
	}
	shown, again := repriced.reprice(retried, true), repriced.reprice(retried, true)
	if fmt.Sprint(shown.Repriced.Accounts) != fmt.Sprint(again.Repriced.Accounts) || len(shown.Repriced.Accounts) == 0 {
		t.Error("what is shown a second time is something else: a trial has left something")
	}
	if a, b := repriced.counts(), never.counts(); a != b {
		t.Errorf("a trial has changed the counters: %+v, %+v", a, b)
	}
	applied := repriced.reprice(retried, false)
	if applied.Revision != 2 {
		t.Errorf("%+v", applied)
	}
	repriced.restart()
	for _, r := range []*running{repriced, never} {
		r.close("2026-02", "")
		r.close("2026-03", "")
	}
	a, b := repriced.sums(), never.sums()
	for _, x := range shown.Repriced.Accounts {
		k := string(x.Account) + " " + string(x.Currency)
		if by, err := a[k].Sub(b[k]); err != nil || by != x.DifferentAmount {
			t.Errorf("%s: billed %s more, shown %s", k, by, x.DifferentAmount)
		}
		delete(a, k)
	}
	for k, sum := range a {
		if sum != b[k] {
			t.Errorf("%s: nothing was shown, and billed is %s instead of %s", k, sum, b[k])
		}
	}
	always.close("2026-02", "")
	always.close("2026-03", "")
	for _, r := range []*running{repriced, always} { // late, and corrections of what was repriced
		r.send(behind...)
		r.close("2026-04", "")
	}
	if a, b := repriced.counts(), always.counts(); a.Priced != b.Priced || a.DeadLettered != b.DeadLettered {
		t.Errorf("%+v, %+v", a, b)
	}
	a, b = repriced.sums(), always.sums()
	for k, sum := range b {
		if a[k] != sum {
			t.Errorf("%s: repriced it comes to %s, from the beginning to %s", k, a[k], sum)
		}
	}
	if len(a) != len(b) || len(a) < 50 {
		t.Errorf("%d and %d sums", len(a), len(b))
	}
}

// An account that is parked is repriced before its invoice is tried again: that is the
// way out when what was priced cannot be billed.
func TestRepricedParkedAccount(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2027-02-10T00:00:00Z")
	with := strings.Replace(grouped, "billing: {", "billing: {invoice_rules: ["+vat+"], ", 1)
	r.apply(with)
	r.send(call("1", "emma", "2026-10-05T00:00:00Z", "q", "150000000000000000000"), call("2", "noah", "2026-10-05T00:00:00Z", "q", "1"))
	r.close("2026-10", "")
	wantBills(t, r.bills(host.InvoiceFilter{}), "noah.2026-10-01.EUR.0 1.20")
	half := strings.Replace(with, `unit_price: "1"`, `unit_price: "0.5"`, 1)
	if shown := r.reprice(half, true).Repriced; len(shown.Accounts) != 2 || shown.Accounts[0].Account != "emma" || shown.Accounts[0].New != "90000000000000000000.00" || len(shown.Unbilled) != 0 {
		t.Errorf("%+v", shown)
	}
	r.reprice(half, false)
	wantBills(t, r.bills(host.InvoiceFilter{Account: "emma"}), "emma.2026-10-01.EUR.0 90000000000000000000.00")
	r.restart()
	r.close("2026-11", "")
	want(t, r.adjustments("noah.2026-11-01.EUR.0"), "2026-10-01 per_call: 1 → 0.5 = -0.50", "2026-10-01 vat: 0.2 → 0.1 = -0.10")
	want(t, r.causes("noah.2026-11-01.EUR.0"), "2026-10-01 reprice revision 2")
}

// A subscription that ended before usage it has priced leaves that to the dead letters,
// and one that began earlier has its fees billed; both are shown before.
func TestRepricedSubscriptions(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2027-02-10T00:00:00Z")
	r.apply(manual(`{id: emma, subscriptions: [{tariff: per_call}]}, {id: noah, subscriptions: [{tariff: per_call}]}`))
	r.send(call("1", "emma", "2026-10-05T00:00:00Z"), call("2", "emma", "2026-11-05T00:00:00Z"), call("3", "noah", "2026-10-05T00:00:00Z"))
	r.close("2026-10", "")
	next := manual(`{id: emma, subscriptions: [{tariff: per_call, until: 2026-10-04T00:00:00Z}, {tariff: rental, from: 2026-11-10T00:00:00Z}]}, {id: noah, subscriptions: [{tariff: per_call}, {tariff: rental, from: 2026-10-20T00:00:00Z}]}`)
	shown := r.reprice(next, true).Repriced
	if len(shown.Refused) != 1 || shown.Refused[0].Reason != "no_subscription" || shown.Refused[0].Events != 2 || len(shown.Accounts) != 2 || shown.Accounts[0].Account != "noah" || shown.Accounts[0].Difference != "20.00" {
		t.Errorf("%+v", shown)
	}
	r.wantCounts(3, 0, 0)
	r.reprice(next, false)
	r.wantCounts(1, 0, 2)
	r.close("2026-11", "")
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-11"}), "emma.2026-11-01.EUR.0 9.00", "noah.2026-11-01.EUR.0 20.00")
	want(t, r.adjustments("emma.2026-11-01.EUR.0"), "2026-10-01 per_call: 1 → 0 = -1.00")
	want(t, r.adjustments("noah.2026-11-01.EUR.0"), "2026-10-01 rental: 0 → 10 = 10.00")
	// What comes late is priced by the catalog that has repriced the period, and its fee
	// stays what it is.
	r.send(call("late", "noah", "2026-10-25T00:00:00Z"))
	r.close("2026-12", "")
	want(t, r.adjustments("noah.2026-12-01.EUR.0"), "2026-10-01 per_call: 1 → 2 = 1.00")
}

// What usage has no period or group for is refused.
func TestRepricingRefused(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-11-10T00:00:00Z")
	r.apply(grouped)
	r.send(call("1", "emma", "2026-10-05T00:00:00Z", "q", "1"))
	for _, change := range [][2]string{
		{"group_by: [region]", "group_by: []"},
		{"billing: {", "billing: {time_zone: Asia/Tokyo, "},
		{"billing: {", "accounts: [{id: emma, time_zone: Asia/Tokyo, subscriptions: [{tariff: per_call}]}]\nbilling: {"},
	} {
		_, err := r.tryReprice(strings.Replace(grouped, change[0], change[1], 1), false)
		var refused *host.Fault
		if !errors.As(err, &refused) || refused.Reason() != host.ReasonReachesBack {
			t.Errorf("%s: %v", change[1], err)
		}
	}
}
