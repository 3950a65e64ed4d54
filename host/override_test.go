package host_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
)

const overridden = `
meters: [{name: minutes, event_type: call, quantity: minutes}]
tariffs:
  - name: per_minute
    meter: minutes
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: graduated, params: {tiers: [{up_to: "10", unit_price: "1"}, {up_to: null, unit_price: "0.5"}]}}]
billing: {close: manual}
default_subscriptions: [per_minute]
accounts:
  - id: emma
    time_zone: Europe/Berlin
    subscriptions:
      - tariff: per_minute
        overrides:
          # The day on which the clocks go back, from midnight to midnight of Berlin: 25 hours.
          - {from: 2026-10-25T00:00:00+02:00, until: 2026-10-26T00:00:00+01:00, params: {tiers: [{up_to: null, unit_price: "0.1"}]}}
`

// An override holds from its first instant to the one before its end, in a zone
// whose clocks change in between; what is before it, in it and behind it are lines
// of their own, and other accounts see nothing of it.
func TestOverrideInTheMiddleOfAMonth(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	r.apply(overridden)
	for i, at := range []string{
		"2026-10-24T21:59:59.999999999Z",                                                                         // before
		"2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T22:59:59.999999999Z", // in it: 02:30 twice
		"2026-10-25T23:00:00Z", // behind
	} {
		for _, account := range []string{"emma", "noah"} {
			e := call(fmt.Sprint(account, i), account, "2026-10-01T00:00:00Z", "minutes", "12")
			at, err := time.Parse(time.RFC3339Nano, at)
			if err != nil {
				t.Fatal(err)
			}
			e.Time = at
			r.send(e)
		}
	}
	want(t, r.subtotals(query.Filter{Account: "emma"}), "emma per_minute 11.00 (1)", "emma per_minute 4.80 (4)", "emma per_minute 11.00 (1)")
	want(t, r.subtotals(query.Filter{Account: "noah"}), "noah per_minute 41.00 (6)")
	r.restart()
	want(t, r.subtotals(query.Filter{Account: "emma"}), "emma per_minute 11.00 (1)", "emma per_minute 4.80 (4)", "emma per_minute 11.00 (1)")
	r.setNow("2026-11-10T00:00:00Z")
	r.close("2026-10", "Europe/Berlin")
	wantBills(t, r.bills(host.InvoiceFilter{Account: "emma"}), "emma.2026-10-01.EUR.0 26.80")
}

// An override is as any change of prices: it may not reach back before usage that
// is priced.
func TestOverrideIsRefusedBehindUsage(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(manual(`{id: emma, subscriptions: [{tariff: per_call}]}`))
	r.send(call("1", "emma", "2026-10-05T00:00:00Z"))
	change := func(from string) error {
		_, err := r.tryApply(manual(`{id: emma, subscriptions: [{tariff: per_call, overrides: [{from: ` + from + `, params: {unit_price: "9"}}]}]}`))
		return err
	}
	if err := change("2026-10-05T00:00:00Z"); err == nil {
		t.Error("an override reaches back before usage that is priced")
	}
	if err := change("2026-10-05T00:00:01Z"); err != nil {
		t.Error(err)
	}
	r.send(call("2", "emma", "2026-10-05T00:00:01Z"))
	want(t, r.subtotals(query.Filter{}), "emma per_call 1.00 (1)", "emma per_call 9.00 (1)")
	// A wrong parameter of an override is told with its place.
	applied, err := r.Apply(r.wait(), host.ApplyRequest{Files: catalogFile(manual(`{id: emma, subscriptions: [{tariff: per_call, overrides: [{from: 2026-10-05T00:00:01Z, params: {unit_price: "x"}}]}]}`))})
	if err != nil || len(applied.Problems) != 1 || applied.Problems[0].Path != "accounts[emma].subscriptions[0].overrides[0].params" {
		t.Errorf("%v, %v", applied.Problems, err)
	}
}
