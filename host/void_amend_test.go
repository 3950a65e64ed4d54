package host_test

import (
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// amends is an amendment of an event of the tests: with other data, given as JSON, and
// at another time where one is given.
func amends(id, of, account, data, at string) billing.UsageEvent {
	fields := []string{"data", data, "id", of, "source", "test", "time", at}
	if at == "" {
		fields = fields[:6]
	}
	if data == "" {
		fields = fields[2:]
	}
	e := call(id, account, "2026-12-01T00:00:00Z", fields...)
	e.Type = host.TypeAmend
	return e
}

// An amendment changes an event in its place, in open and in closed periods, for a
// maximum, a count of different values and the latest of values; it can be amended and
// voided again, and the event that is sent again is still the same.
func TestAmend(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2027-01-10T00:00:00Z")
	r.apply(peaks)
	first := call("1", "emma", "2026-10-05T00:00:00Z", "q", "5", "who", "a")
	second := call("2", "emma", "2026-10-06T00:00:00Z", "q", "9", "who", "b")
	r.send(first, second, call("3", "emma", "2026-10-07T00:00:00Z", "q", "7", "who", "a"))
	r.send(amends("m", "2", "emma", `{"q":8,"who":"a"}`, ""))
	open := []string{"emma peak 8.00 (3)", "emma people 100.00 (3)"}
	want(t, r.subtotals(query.Filter{}), open...)
	r.wantCounts(4, 0, 0)
	// The same again, one that says the same, and the event itself are repeats.
	r.send(amends("m", "2", "emma", `{"q":8,"who":"a"}`, ""), amends("same", "2", "emma", `{"who":"a","q":"8.0"}`, "2026-10-06T00:00:00Z"), second)
	want(t, r.subtotals(query.Filter{}), open...)
	want(t, r.reasons())
	r.restart()
	r.close("2026-10", "")
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-10-01.EUR.0 108.00")

	r.send(amends("n", "2", "emma", `{"q":"6.5","who":"c"}`, ""), call("late", "emma", "2026-10-08T00:00:00Z", "q", "1", "who", "d"))
	r.restart()
	r.send(amends("o", "1", "emma", `{"q":"6","who":"a"}`, "2026-10-09T00:00:00Z"), voids("v", "late", "emma"), voids("w", "3", "emma"))
	want(t, r.subtotals(query.Filter{}), "emma peak 6.50 (2)", "emma people 200.00 (2)")
	r.close("2026-11", "")
	want(t, r.adjustments("emma.2026-11-01.EUR.0"), "2026-10-01 peak: 8 → 6.5 = -1.50", "2026-10-01 people: 100 → 200 = 100.00")
	want(t, r.causes("emma.2026-11-01.EUR.0"),
		"2026-10-01 amend 2", "2026-10-01 late late", "2026-10-01 amend 1", "2026-10-01 void late", "2026-10-01 void 3")
	before := r.document("emma.2026-11-01.EUR.0")
	r.rebuild()
	want(t, r.reasons())
	if after := r.document("emma.2026-11-01.EUR.0"); string(after) != string(before) {
		t.Errorf("made anew: %s, not %s", after, before)
	}
}

// An amendment that says nothing that can be billed leaves the event as it is and is a
// dead letter; so is one of what was voided or has not come, which works when replayed.
func TestAmendRefused(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2027-01-10T00:00:00Z")
	r.apply(peaks)
	r.send(
		call("1", "emma", "2026-10-05T00:00:00Z", "q", "5", "who", "a"),
		call("2", "emma", "2026-10-05T00:00:00Z", "q", "4", "who", "a"), voids("v", "2", "emma"),
		amends("early", "3", "emma", `{"q":"7","who":"a"}`, ""),
		amends("many", "1", "emma", `{"q":"many","who":"a"}`, ""),
		amends("list", "1", "emma", `[1]`, ""),
		amends("nothing", "1", "emma", "", ""),
		amends("month", "1", "emma", "", "2026-11-01T00:00:00Z"),
		amends("never", "1", "emma", "", "tomorrow"),
		amends("gone", "2", "emma", `{"q":"7"}`, ""))
	want(t, r.reasons(), "early unknown_event", "many bad_quantity", "list bad_correction", "nothing bad_correction", "month bad_correction",
		"never bad_correction", "gone voided")
	want(t, r.subtotals(query.Filter{}), "emma peak 5.00 (1)", "emma people 100.00 (1)")
	r.send(call("3", "emma", "2026-10-06T00:00:00Z", "q", "1", "who", "b"))
	if _, err := r.SettleLetters(r.wait(), host.SettleRequest{By: "test"}); err != nil {
		t.Fatal(err)
	}
	want(t, r.subtotals(query.Filter{}), "emma peak 7.00 (2)", "emma people 100.00 (2)")
	r.rebuild()
	want(t, r.subtotals(query.Filter{}), "emma peak 7.00 (2)", "emma people 100.00 (2)")
	r.wantCounts(5, 0, 6)
}
