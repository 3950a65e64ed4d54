package host_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
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

var _ = []any{errors.As, query.Filter{}, billing.AccountID("")}
