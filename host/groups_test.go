package host_test

import (
	"fmt"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// grouped is a catalog with a line for each region.
const grouped = `
meters: [{name: calls, event_type: call, quantity: q, dimensions: [region]}]
tariffs:
  - name: per_call
    meter: calls
    currency: EUR
    group_by: [region]
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}]
billing: {close: manual}
default_subscriptions: [per_call]
`

// A customer whose usage has a new group in every event is turned away at the
// limit, and does not hold up the others for minutes.
func TestManyGroupsAreNotSlow(t *testing.T) {
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(grouped)
	var events []billing.UsageEvent
	for n := range 40_000 {
		events = append(events, call(fmt.Sprint(n), "emma", "2026-10-05T00:00:00Z", "region", fmt.Sprint(n), "q", "1"))
	}
	r.send(events...)
	if c := r.Counters(); c.Priced != 10_000 || c.DeadLettered != 30_000 {
		t.Errorf("%+v", c)
	}
}

// Mistaken usage whose amounts add up to more than an amount can hold does not
// stop the close, nor the lists of everybody else's subtotals.
func TestSumBeyondAmounts(t *testing.T) {
	r := startHost(t, 1, "2026-11-10T00:00:00Z")
	r.apply(grouped)
	r.send(
		call("1", "emma", "2026-10-05T00:00:00Z", "region", "a", "q", "100000000000000000000"),
		call("2", "emma", "2026-10-05T00:00:00Z", "region", "b", "q", "100000000000000000000"),
		call("3", "noah", "2026-10-05T00:00:00Z", "region", "b", "q", "1"))
	if page, err := r.Queries().List(query.Filter{}, query.Page{}); err != nil || len(page.Subtotals) != 3 || len(page.Totals) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
	r.close("2026-10", "")
	wantBills(t, r.bills(host.InvoiceFilter{}),
		"emma.2026-10-01.EUR.0 100000000000000000000.00", "emma.2026-10-01.EUR.1 100000000000000000000.00", "noah.2026-10-01.EUR.0 1.00")
}
