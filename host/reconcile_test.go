package host_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// What a period took in is on its invoices, open, or a dead letter, to the digit and
// whatever was sent twice; what a close waits for is said.
func TestReconcile(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-20T00:00:00Z")
	r.apply(strings.Replace(priced, "{close: manual}", `{close: manual, grace: 72h}
accounts: [{id: noah, time_zone: Asia/Tokyo, subscriptions: [{tariff: per_minute}]}]`, 1))
	a := call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "1.25")
	r.send(a, a, call("2", "noah", "2026-10-05T10:00:00Z", "minutes", "2"), call("3", "emma", "2026-10-06T10:00:00Z", "minutes", "many"))
	waits := func(zone string) string {
		for _, p := range first(r.Periods()) {
			if p.Zone == zone && p.Period.ID() == "2026-10-01" {
				var all []string
				for _, w := range p.Waits {
					all = append(all, w.Reason)
				}
				return strings.Join(all, " ")
			}
		}
		return "no such period"
	}
	if got := waits("UTC"); got != host.WaitNotEnded {
		t.Errorf("before its end it waits for %s", got)
	}
	r.setNow("2026-11-02T00:00:00Z")
	if got := waits("UTC"); got != host.WaitGrace {
		t.Errorf("after its end it waits for %s", got)
	}
	r.setNow("2026-11-05T00:00:00Z")
	if got := waits("UTC"); got != host.WaitManual {
		t.Errorf("after the grace time it waits for %s", got)
	}
	r.close("2026-10", "Asia/Tokyo")
	answer, err := r.Reconcile(r.wait(), "2026-10")
	if err != nil || len(answer.Findings) > 0 {
		t.Fatal(answer.Findings, err)
	}
	sum := func(answer query.Reconciliation) (e query.ReconciledEvents) {
		for _, row := range answer.Events {
			e.Priced += row.Priced
			e.Invoiced += row.Invoiced
			e.Open += row.Open
			e.Waiting += row.Waiting
			e.Log.Read += row.Log.Read
			e.Log.Duplicates += row.Log.Duplicates
		}
		return e
	}
	if got := sum(answer); got != (query.ReconciledEvents{Priced: 2, Invoiced: 1, Open: 1, Waiting: 1, Log: query.Counters{Read: 4, Duplicates: 1}}) {
		t.Errorf("one zone closed: %+v", got)
	}
	r.close("2026-10", "UTC")
	if got := waits("UTC"); got != "" {
		t.Errorf("closed, it waits for %s", got)
	}
	answer, err = r.Reconcile(r.wait(), "2026-10-01")
	if err != nil || len(answer.Findings) > 0 {
		t.Fatal(answer.Findings, err)
	}
	if got := sum(answer); got.Invoiced != 2 || got.Open != 0 {
		t.Errorf("all closed: %+v", got)
	}
	for _, m := range answer.Money {
		want := map[int]string{billing.Partition("noah", 2): "0.20", billing.Partition("emma", 2): "0.13"}[m.Partition]
		if billing.Partition("noah", 2) == billing.Partition("emma", 2) {
			want = "0.33"
		}
		if m.Priced != want || m.Invoiced != want || m.Issued != want || m.Open != "0.00" {
			t.Errorf("%+v, want %s", m, want)
		}
	}
	// What comes late is open until the next invoice adjusts the period.
	r.send(call("4", "emma", "2026-10-07T10:00:00Z", "minutes", "1"))
	money := func() (m query.ReconciledMoney) {
		t.Helper()
		answer, err := r.Reconcile(r.wait(), "2026-10-01")
		if err != nil || len(answer.Findings) > 0 {
			t.Fatal(answer.Findings, err)
		}
		for _, m = range answer.Money {
			if m.Partition == billing.Partition("emma", 2) {
				break
			}
		}
		return m
	}
	before := money()
	if before.Open != "0.10" || before.Adjusted != "0.00" {
		t.Errorf("with late usage: %+v", before)
	}
	r.setNow("2026-12-10T00:00:00Z")
	r.close("2026-11", "")
	if got := money(); got.Open != "0.00" || got.Adjusted != "0.10" || got.Invoiced != before.Invoiced || got.Priced != before.Priced {
		t.Errorf("adjusted: %+v", got)
	}
	var f *host.Fault
	if _, err := r.Reconcile(r.wait(), "2020-01"); !errors.As(err, &f) || f.Reason() != host.ReasonInvalidPeriod {
		t.Errorf("a period that there is not: %v", err)
	}
}

// A month from before the first catalog is over, and its grace time too, but it does not
// close by itself alone: the list says so, and what to do.
func TestHistorySaysWhenItCloses(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-20T00:00:00Z")
	r.apply(strings.Replace(priced, "{close: manual}", "{close: automatic, grace: 72h}", 1))
	r.send(call("1", "emma", "2026-06-05T10:00:00Z", "minutes", "1"))
	r.wait()
	periods := first(r.Periods())
	if len(periods) == 0 || periods[0].Period.ID() != "2026-06-01" {
		t.Fatalf("periods: %+v", periods)
	}
	waits := periods[0].Waits
	if len(waits) != 1 || waits[0].Reason != host.WaitManual || !strings.Contains(waits[0].Detail, "before the first catalog") || !strings.Contains(waits[0].Detail, "tollway periods close 2026-06") {
		t.Errorf("it waits for %+v", waits)
	}
	r.close("2026-06", "UTC")
}
