package host_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// An apply that broke off before its markers, unseen by anybody, is completed by
// applying the same file again, which is what one does after an error.
func TestApplyAgainCompletes(t *testing.T) {
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	if err := r.StoreUnseen(r.wait(), catalog.File{Name: "catalog.yaml", Data: []byte(manual(""))}); err != nil {
		t.Fatal(err)
	}
	r.apply(manual(""))
	for n := range 4 {
		r.send(call(fmt.Sprint(n), fmt.Sprint("account-", n), "2026-10-05T00:00:00Z"))
	}
	if c := r.Counters(); c.Priced != 4 {
		t.Errorf("the catalog is not in force everywhere: %+v", c)
	}
}

// A revision that nobody saw does not stand in the way of the next one.
func TestApplyBehindUnseenRevision(t *testing.T) {
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(manual(""))
	if err := r.StoreUnseen(r.wait(), catalog.File{Name: "catalog.yaml", Data: []byte(manual(`{id: emma, subscriptions: [{tariff: rental}]}`))}); err != nil {
		t.Fatal(err)
	}
	applied, err := r.tryApply(manual(`{id: noah, subscriptions: [{tariff: rental}]}`))
	if err != nil || applied.Revision != 3 {
		t.Errorf("revision %d, %v", applied.Revision, err)
	}
}

// Usage that is in the log when a change is applied counts as priced, read or
// not: else a change could reach back before it unnoticed.
func TestApplySeesUsageNotYetRead(t *testing.T) {
	for n := range 5 {
		r := startHost(t, 1, "2026-10-10T00:00:00Z")
		r.apply(manual(""))
		for i := range 2000 {
			e := call(fmt.Sprint(n, i), "emma", "2026-10-05T00:00:00Z")
			if _, err := r.Ingest(r.wait(), []billing.UsageEvent{e}); err != nil {
				t.Fatal(err)
			}
			if i >= 20*n {
				break
			}
		}
		_, err := r.tryApply(`
tariffs:
  - name: per_call
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "2"}}]
`)
		var refused *host.Fault
		if !errors.As(err, &refused) || refused.Reason() != host.ReasonReachesBack {
			t.Errorf("%v", err)
		}
		if page, err := r.Queries().Account(query.Filter{Account: "emma"}); err != nil || len(page.Subtotals) != 1 {
			t.Errorf("%+v, %v", page, err)
		}
	}
}
