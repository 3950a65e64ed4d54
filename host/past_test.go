package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/query"
)

// A late event does not have the usage of before it priced by a catalog of later: not
// by one that adds a subscription from a time in the closed period, nor by one of which
// the account is not part at all.
func TestLateUsageKeepsCatalogs(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-12-10T00:00:00Z")
	const subscribed = `{tariff: calls}`
	listed := func(more string) string { return ruled("", "{id: emma, subscriptions: ["+subscribed+more+"]}") }
	r.apply(listed(""))
	r.send(call("1", "emma", "2026-10-05T00:00:00Z"), call("2", "emma", "2026-10-06T00:00:00Z"))
	r.close("2026-10", "")
	r.apply(listed(`, {id: more, tariff: calls, from: 2026-10-01T00:00:00Z}`))
	for n := range 3 { // of others
		r.apply(strings.Replace(listed(`, {id: more, tariff: calls, from: 2026-10-01T00:00:00Z}`), "accounts: [", fmt.Sprintf("accounts: [{id: other-%d, subscriptions: [{tariff: texts}]}, ", n), 1))
	}
	r.send(call("late", "emma", "2026-10-07T00:00:00Z"))
	want(t, r.subtotals(query.Filter{Account: "emma"}), "emma calls 3.00 (3)", "emma calls 1.00 (1)")
	r.restart()
	r.send(call("later", "emma", "2026-10-08T00:00:00Z"), voids("v", "1", "emma"))
	want(t, r.subtotals(query.Filter{Account: "emma"}), "emma calls 3.00 (3)", "emma calls 2.00 (2)")
	r.close("2026-11", "")
	want(t, r.adjustments("emma.2026-11-01.EUR.0"), "2026-10-01 calls: 2 → 3 = 1.00", "2026-10-01 calls: 0 → 2 = 2.00")
	before := r.document("emma.2026-11-01.EUR.0")
	r.rebuild()
	if after := r.document("emma.2026-11-01.EUR.0"); string(after) != string(before) {
		t.Errorf("made anew: %s, not %s", after, before)
	}
}
