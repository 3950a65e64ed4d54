package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/hostile"
	"github.com/tollway/tollway/sdk/billing"
)

// caughtUp waits until a shadow has counted so many events, and returns its report.
func (r *running) caughtUp(tariff string, events uint64) query.ShadowReport {
	r.t.Helper()
	ctx := r.wait()
	for {
		reports, err := r.ShadowReports(ctx, tariff, 10)
		if err != nil {
			r.t.Fatal(err)
		}
		if reports[0].Events >= events || reports[0].Ended != "" {
			return reports[0]
		}
		if ctx.Err() != nil {
			r.t.Fatalf("the shadow has counted %d events of %d", reports[0].Events, events)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *running) shadow(request host.ShadowRequest) {
	r.t.Helper()
	if _, err := r.StartShadow(r.wait(), request); err != nil {
		r.t.Fatal(err)
	}
}

// differences writes the accounts of a report.
func differences(report query.ShadowReport) []string {
	list := []string{}
	for _, a := range report.Accounts {
		list = append(list, fmt.Sprintf("%s %s: %s -> %s (%s), %d lines", a.Account, a.Period.ID(), a.Active, a.Candidate, a.Difference, len(a.Lines)))
	}
	return list
}

// A shadow counts what the open period has and what comes, once each, and says
// whose bills would differ, the biggest difference first. Nothing else changes: no
// subtotal, no counter, no dead letter.
func TestShadow(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	r.apply(priced)
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "10"), call("2", "noah", "2026-10-05T10:00:00Z", "minutes", "5"))
	before := r.subtotals(query.Filter{})
	r.shadow(host.ShadowRequest{Tariff: "per_minute", Params: `{"unit_price": "0.15"}`, By: "anna"})
	r.send(call("3", "emma", "2026-10-06T10:00:00Z", "minutes", "10"), call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "10"), call("4", "noah", "2026-10-07T10:00:00Z", "pages", "1"))
	report := r.caughtUp("per_minute", 3)
	want(t, differences(report), "emma 2026-10-01: 2.00 -> 3.00 (1.00), 1 lines", "noah 2026-10-01: 0.50 -> 0.75 (0.25), 1 lines")
	if report.Compared != 2 || report.Different != 2 || report.Active[0].AmountText != "2.50" || report.Candidate[0].AmountText != "3.75" || report.StartedBy != "anna" || len(report.Refused) != 0 {
		t.Errorf("%+v", report)
	}
	if l := report.Accounts[0].Lines[0]; l.ActiveAmount != "2.00" || l.CandidateAmount != "3.00" || l.ActiveQuantity != "20" {
		t.Errorf("%+v", l)
	}
	want(t, before, "emma per_minute 1.00 (1)", "noah per_minute 0.50 (1)")
	want(t, r.subtotals(query.Filter{}), "emma per_minute 2.00 (2)", "noah per_minute 0.50 (1)")
	r.wantCounts(3, 1, 1)

	// After a restart it reads its part of the log again and comes to the same.
	r.restart()
	want(t, differences(r.caughtUp("per_minute", 3)), differences(report)...)

	// A change of the catalog changes what it compares with.
	r.apply(strings.Replace(priced, "versions: [", `versions: [{effective_from: 2026-10-08T00:00:00Z, plugin: per_unit, params: {unit_price: "0.15"}}, `, 1))
	r.send(call("5", "emma", "2026-10-08T10:00:00Z", "minutes", "100"))
	want(t, differences(r.caughtUp("per_minute", 4)), "emma 2026-10-01: 17.00 -> 18.00 (1.00), 1 lines", "noah 2026-10-01: 0.50 -> 0.75 (0.25), 1 lines")

	if err := r.StopShadow(r.wait(), "per_minute", "ben"); err != nil {
		t.Fatal(err)
	}
	r.restart()
	if reports, err := r.ShadowReports(r.wait(), "", 0); err != nil || len(reports) != 0 {
		t.Errorf("%+v, %v", reports, err)
	}
}

// A candidate that refuses events is told of; they are priced as ever.
func TestShadowThatRefuses(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(manual(""))
	r.shadow(host.ShadowRequest{Tariff: "per_call", Plugin: "percentage", Params: `{"rate_percent": "10"}`})
	for i := range 3 {
		r.send(call(fmt.Sprint(i), "emma", "2026-10-05T10:00:00Z"))
	}
	report := r.caughtUp("per_call", 3)
	if len(report.Refused) == 1 && report.Refused[0].Events != 3 || len(report.Refused) > 1 {
		t.Errorf("%+v", report.Refused)
	}
	if report.Active[0].AmountText != "3.00" || report.Different != 1 {
		t.Errorf("%+v", report)
	}
	want(t, r.subtotals(query.Filter{}), "emma per_call 3.00 (3)")
	r.wantCounts(3, 0, 0)
}

// A candidate that traps, or never ends, at every event is told of with its reason;
// what is in force prices as ever, beside it and after a restart.
func TestShadowThatTraps(t *testing.T) {
	t.Parallel()
	modules, err := hostile.Always()
	if err != nil {
		t.Fatal(err)
	}
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(manual(""))
	for i, name := range []string{"trap", "loop"} {
		if _, _, err := r.PushPlugin(r.wait(), host.PushRequest{Wasm: modules[name]}); err != nil {
			t.Fatal(err)
		}
		tariff := []string{"per_call", "rental"}[i]
		r.shadow(host.ShadowRequest{Tariff: tariff, Plugin: "hostile@" + plugins.Digest(modules[name]), Params: `{}`})
	}
	r.apply(strings.Replace(manual(""), "[per_call]", "[per_call, rental]", 1))
	for i := range 3 {
		r.send(call(fmt.Sprint(i), "emma", "2026-10-05T10:00:00Z"))
	}
	check := func() {
		t.Helper()
		for tariff, amount := range map[string]string{"per_call": "3.00", "rental": "10.00"} {
			report := r.caughtUp(tariff, 3)
			if len(report.Refused) != 1 || report.Refused[0].Events != 3 || report.Refused[0].Reason != "tariff_trap" || report.Active[0].AmountText != amount || report.Ended != "" {
				t.Errorf("%s: %+v", tariff, report)
			}
		}
		want(t, r.subtotals(query.Filter{}), "emma per_call 3.00 (3)", "emma rental 10.00 (3)")
		r.wantCounts(3, 0, 0)
	}
	check()
	r.restart()
	check()
}

func TestShadowsThatCannotBe(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(manual(`{id: emma, subscriptions: [{tariff: per_call, params: {unit_price: "3"}}]}`))
	for _, c := range []struct {
		request host.ShadowRequest
		want    string
	}{
		{host.ShadowRequest{Tariff: "per_cell", Plugin: "flat"}, `there is no tariff "per_cell"`},
		{host.ShadowRequest{Tariff: "per_call"}, "name a plugin, params or both"},
		{host.ShadowRequest{Tariff: "per_call", Plugin: "magic"}, `there is no built-in tariff "magic"`},
		{host.ShadowRequest{Tariff: "per_call", Plugin: "./x.wasm"}, "push it"},
		{host.ShadowRequest{Tariff: "per_call", Params: "{"}, "must be a JSON object"},
		{host.ShadowRequest{Tariff: "per_call", Params: `{"unit_price": "x"}`}, "unit_price"},
		{host.ShadowRequest{Tariff: "per_call", Plugin: "flat"}, "the catalog would have problems with the candidate"},
	} {
		if _, err := r.StartShadow(r.wait(), c.request); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.request, err, c.want)
		}
	}
	ok := host.ShadowRequest{Tariff: "per_call", Params: `{"unit_price": "2"}`}
	r.shadow(ok)
	r.shadow(ok) // the same again
	ok.Params = `{"unit_price": "4"}`
	if _, err := r.StartShadow(r.wait(), ok); err == nil || !strings.Contains(err.Error(), "has one already") {
		t.Error(err)
	}
	if err := r.StopShadow(r.wait(), "rental", ""); reasonOf(err) != host.ReasonNotFound {
		t.Error(err)
	}
}

// A share of the accounts is the same accounts each time, whatever the partition.
func TestShadowOfSomeAccounts(t *testing.T) {
	t.Parallel()
	r := startHost(t, 4, "2026-10-10T00:00:00Z")
	r.apply(manual(""))
	var events []billing.UsageEvent
	for i := range 400 {
		events = append(events, call(fmt.Sprint(i), fmt.Sprint("account-", i), "2026-10-05T10:00:00Z"))
	}
	r.send(events...)
	r.shadow(host.ShadowRequest{Tariff: "per_call", Params: `{"unit_price": "2"}`, Percent: 25})
	r.caughtUp("per_call", 60)
	time.Sleep(50 * time.Millisecond)
	report := r.caughtUp("per_call", 60)
	if report.Compared < 60 || report.Compared > 140 || report.Different != report.Compared {
		t.Errorf("%d of 400 accounts are compared, %d differ", report.Compared, report.Different)
	}
}

// An apply with shadow changes nothing and starts a shadow of what would change.
func TestApplyAsShadow(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(priced)
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "10"))
	next := strings.Replace(priced, "versions: [", `versions: [{effective_from: 2026-11-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.20"}}, `, 1)
	applied, err := r.Apply(r.wait(), host.ApplyRequest{Files: catalogFile(next), Shadow: true, By: "anna"})
	if err != nil || applied.Revision != 1 || len(applied.Problems) > 0 {
		t.Fatalf("%+v, %v", applied, err)
	}
	want(t, applied.Shadows, "per_minute")
	want(t, differences(r.caughtUp("per_minute", 1)), "emma 2026-10-01: 1.00 -> 2.00 (1.00), 1 lines")
}

// settledAs waits until a shadow's report has these differences, and fails when it comes
// to rest with others.
func (r *running) settledAs(tariff string, wanted ...string) query.ShadowReport {
	r.t.Helper()
	ctx := r.patient()
	for {
		reports, err := r.ShadowReports(ctx, tariff, 10)
		if err != nil {
			r.t.Fatal(err)
		}
		if got := differences(reports[0]); slices.Equal(got, wanted) {
			return reports[0]
		} else if ctx.Err() != nil || reports[0].Ended != "" {
			r.t.Fatalf("the shadow says %q, want %q; it has ended by %q", got, wanted, reports[0].Ended)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// What is voided and amended is so in a shadow, on both sides: that which came before it
// began, and that which comes while it runs. Corrections that are none change nothing.
func TestShadowIsCorrected(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-20T00:00:00Z")
	r.apply(peaks)
	r.send(
		call("1", "emma", "2026-10-05T00:00:00Z", "q", "5"), call("2", "emma", "2026-10-06T00:00:00Z", "q", "9"),
		call("3", "emma", "2026-10-07T00:00:00Z", "q", "7"), call("4", "noah", "2026-10-07T00:00:00Z", "q", "3"))
	r.send(voids("v", "2", "emma"), amends("far", "3", "emma", "", "2026-11-07T00:00:00Z"), amends("no", "3", "emma", `{"q":"much"}`, ""))
	r.shadow(host.ShadowRequest{Tariff: "peak", Params: `{"type": "max", "unit_price": "2"}`, By: "anna"})
	r.settledAs("peak", "emma 2026-10-01: 7.00 -> 14.00 (7.00), 1 lines", "noah 2026-10-01: 3.00 -> 6.00 (3.00), 1 lines")
	r.send(amends("a", "1", "emma", `{"q":"11"}`, ""), voids("again", "2", "emma"), voids("w", "4", "noah"))
	r.send(amends("a", "1", "emma", `{"q":"11"}`, ""))
	r.settledAs("peak", "emma 2026-10-01: 11.00 -> 22.00 (11.00), 1 lines")
	// Usage goes on behind what was folded again, each event once.
	r.send(call("5", "emma", "2026-10-08T00:00:00Z", "q", "12"), call("1", "emma", "2026-10-05T00:00:00Z", "q", "5"), call("6", "noah", "2026-10-07T00:00:00Z", "q", "2"))
	report := r.settledAs("peak", "emma 2026-10-01: 12.00 -> 24.00 (12.00), 1 lines", "noah 2026-10-01: 2.00 -> 4.00 (2.00), 1 lines")
	if len(report.Active) != 1 || report.Active[0].AmountText != "14.00" || report.Candidate[0].AmountText != "28.00" {
		t.Errorf("%+v %+v", report.Active, report.Candidate)
	}
	r.restart()
	r.settledAs("peak", "emma 2026-10-01: 12.00 -> 24.00 (12.00), 1 lines", "noah 2026-10-01: 2.00 -> 4.00 (2.00), 1 lines")
}
