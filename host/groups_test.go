package host_test

import (
	"fmt"
	"testing"

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
