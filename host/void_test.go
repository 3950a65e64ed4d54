package host_test

import (
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// voids is a void of an event of the tests.
func voids(id, of, account string) billing.UsageEvent {
	e := call(id, account, "2026-12-01T00:00:00Z", "id", of, "source", "test")
	e.Type = host.TypeVoid
	return e
}

// peaks charges the highest quantity of a month, and how many different ones there were.
const peaks = `
meters: [{name: calls, event_type: call, quantity: q, dimensions: [who]}]
tariffs:
  - name: peak
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: aggregation, params: {type: max, unit_price: "1"}}]
  - name: people
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: aggregation, params: {type: unique_count, key: who, unit_price: "100"}}]
billing: {close: manual}
default_subscriptions: [peak, people]
`

// A void takes an event out of what cannot be taken back by subtraction, in open and
// in closed periods, once, however often it is sent; the counters stay balanced.
func TestVoid(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2027-01-10T00:00:00Z")
	r.apply(peaks)
	r.send(
		call("1", "emma", "2026-10-05T00:00:00Z", "q", "5", "who", "a"),
		call("2", "emma", "2026-10-06T00:00:00Z", "q", "9", "who", "b"),
		call("3", "emma", "2026-10-07T00:00:00Z", "q", "7", "who", "a"))
	want(t, r.subtotals(query.Filter{}), "emma peak 9.00 (3)", "emma people 200.00 (3)")
	r.send(voids("v", "2", "emma"), call("4", "emma", "2026-10-08T00:00:00Z", "q", "6", "who", "a"))
	open := []string{"emma peak 7.00 (3)", "emma people 100.00 (3)"}
	want(t, r.subtotals(query.Filter{}), open...)
	r.wantCounts(5, 0, 0)
	r.send(voids("v", "2", "emma"), voids("again", "2", "emma"), call("2", "emma", "2026-10-06T00:00:00Z", "q", "9", "who", "b"))
	want(t, r.subtotals(query.Filter{}), open...)
	r.wantCounts(5, 3, 0)
	r.restart()
	r.close("2026-10", "")
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-10-01.EUR.0 107.00")

	r.send(voids("w", "3", "emma"))
	r.restart()
	want(t, r.subtotals(query.Filter{}), "emma peak 6.00 (2)", "emma people 100.00 (2)")
	r.send(voids("x", "4", "emma")) // in a period that is open again
	r.close("2026-11", "")
	want(t, r.adjustments("emma.2026-11-01.EUR.0"), "2026-10-01 peak: 7 → 5 = -2.00")
	want(t, r.causes("emma.2026-11-01.EUR.0"), "2026-10-01 void 3", "2026-10-01 void 4")
	r.wantCounts(7, 3, 0)
	before := r.document("emma.2026-11-01.EUR.0")
	r.rebuild()
	r.wantCounts(7, 3, 0)
	if after := r.document("emma.2026-11-01.EUR.0"); string(after) != string(before) {
		t.Errorf("made anew: %s, not %s", after, before)
	}
}

// A void of what has not come is a dead letter, and works when it is replayed behind it.
func TestVoidBeforeItsEvent(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2027-01-10T00:00:00Z")
	r.apply(peaks)
	nothing := voids("y", "1", "emma")
	nothing.Data = nil
	r.send(voids("v", "1", "emma"), nothing, voids("z", "v", "emma"))
	want(t, r.reasons(), "v unknown_event", "y bad_correction", "z unknown_event")
	r.send(call("1", "emma", "2026-10-05T00:00:00Z", "q", "5", "who", "a"), call("2", "emma", "2026-10-05T00:00:00Z", "q", "3", "who", "b"))
	r.wantCounts(2, 0, 3)
	settled, err := r.SettleLetters(r.wait(), host.SettleRequest{By: "test", Filter: host.DeadLetterFilter{Reason: host.ReasonUnknownEvent}})
	if err != nil || settled != (host.Settled{Priced: 1, Refused: 1}) {
		t.Errorf("replayed: %+v, %v", settled, err)
	}
	want(t, r.subtotals(query.Filter{}), "emma peak 3.00 (1)", "emma people 100.00 (1)")
	r.wantCounts(3, 0, 2)
}
