package host_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// One event dated 2099 closes nothing, opens no period and moves no watermark. It is
// a dead letter that a replay prices once the catalog allows for its date, and the
// log read again comes to the same.
func TestTooFarAhead(t *testing.T) {
	t.Parallel()
	const byEvents = `
meters: [{name: calls, event_type: call, quantity: minutes}]
tariffs:
  - name: per_minute
    meter: calls
    currency: EUR
    versions: [{effective_from: 2020-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.10"}}]
default_subscriptions: [per_minute]
billing: {clock: event, grace: 1h, max_ahead: `
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	r.apply(byEvents + "24h}")
	// By the server's clock, which is what the log has.
	now := time.Now().UTC()
	at := func(id string, when time.Time) billing.UsageEvent {
		return call(id, "emma", when.Format(time.RFC3339), "minutes", "1")
	}
	r.send(at("1", now.AddDate(0, 0, -1)))
	mark := r.Queries().AsOf().Watermark
	r.send(at("2", time.Date(2099, 7, 1, 0, 0, 0, 0, time.UTC)), at("3", now.Add(25*time.Hour)))
	want(t, r.reasons(), "2 "+host.ReasonTooFarAhead, "3 "+host.ReasonTooFarAhead)
	if got := r.Queries().AsOf().Watermark; !got.Equal(mark) {
		t.Errorf("the watermark went from %v to %v", mark, got)
	}
	r.send(at("4", now.Add(23*time.Hour))) // not too far
	time.Sleep(3 * time.Second)            // longer than it takes to see what is due
	for _, p := range first(r.Periods()) {
		if len(p.Closed) > 0 && p.Period.End.After(now) {
			t.Errorf("period %s is closed in partitions %v", p.Period.ID(), p.Closed)
		}
	}
	r.wantCounts(2, 0, 2)
	r.restart()
	r.wantCounts(2, 0, 2)

	again := func() host.Settled {
		t.Helper()
		settled, err := r.SettleLetters(r.wait(), host.SettleRequest{Filter: host.DeadLetterFilter{Reason: host.ReasonTooFarAhead}, By: "anna"})
		if err != nil {
			t.Fatal(err)
		}
		return settled
	}
	if got := again(); got != (host.Settled{Refused: 2}) {
		t.Errorf("replayed too early: %+v", got)
	}
	r.apply(byEvents + "48h}")
	r.setNow("2026-10-10T00:00:01Z") // another order, at another time
	if got := again(); got != (host.Settled{Priced: 1, Refused: 1}) {
		t.Errorf("replayed with a larger bound: %+v", got)
	}
	r.wantCounts(3, 0, 1)
	want(t, r.subtotals(query.Filter{Account: "nobody"}))
}

func first(list []query.PeriodState, _ query.AsOf) []query.PeriodState { return list }

// A shadow prices what the partition takes, and so no usage that is dated too far ahead.
func TestShadowTooFarAhead(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(strings.Replace(priced, "close: manual", "close: manual, max_ahead: 24h", 1))
	now := time.Now().UTC() // the server's clock, which is what the log has
	at := func(id string, when time.Time) billing.UsageEvent {
		return call(id, "emma", when.Format(time.RFC3339), "minutes", "10")
	}
	r.send(at("1", now), at("2", now.AddDate(70, 0, 0)), at("3", now.Add(time.Hour)))
	want(t, r.reasons(), "2 "+host.ReasonTooFarAhead)
	r.shadow(host.ShadowRequest{Tariff: "per_minute", Params: `{"unit_price": "0.15"}`, Since: now.AddDate(0, -2, 0), By: "anna"})
	if report := r.caughtUp("per_minute", 2); report.Events != 2 || report.Active[0].AmountText != "2.00" {
		t.Errorf("%+v", report)
	}
}
