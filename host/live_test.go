package host_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// liveWorlds is how many random worlds the tests of queries run.
const liveWorlds = 4

// runWorld has a host price a random world's usage.
func runWorld(t *testing.T, seed uint64) (*world, *running) {
	t.Helper()
	w := &world{Rand: rand.New(rand.NewPCG(seed, 0))}
	w.draw()
	data, err := json.Marshal(w.catalog)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	settings, ok := c["billing"].(map[string]any)
	if !ok {
		t.Fatalf("no billing in %s", data)
	}
	settings["close"] = "manual"
	if data, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	r := startHost(t, pick(w, 1, 2, 4), "2027-01-05T00:00:00Z")
	r.apply(string(data))
	var events []billing.UsageEvent
	for _, e := range w.events {
		u := billing.UsageEvent{Source: e.Source, ID: e.ID, Type: e.Type, Account: billing.AccountID(e.Account), Time: e.Time}
		for _, k := range slices.Sorted(maps.Keys(e.Data)) {
			u.Data = append(u.Data, billing.Field{Key: k, Text: e.Data[k]})
		}
		events = append(events, u)
	}
	for chunk := range slices.Chunk(events, 50) {
		r.send(chunk...)
	}
	return w, r
}

// worldPeriods are the months that a world's usage may fall into.
func worldPeriods() []string { return []string{"2026-08", "2026-09", "2026-10", "2026-11", "2026-12"} }

// Whatever subtotals are grouped by, and whether they are listed or added up, the
// sums are the same to the last digit.
func TestSumsAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(liveWorlds) {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) {
			_, r := runWorld(t, seed+1)
			for _, period := range append(worldPeriods(), "") {
				f := query.Filter{Period: period}
				list, err := r.Queries().List(f, query.Page{Size: query.MaxPageSize})
				if err != nil || list.NextToken != "" {
					t.Fatal(list.NextToken, err)
				}
				want := map[billing.Currency]string{}
				for _, total := range list.Totals {
					want[total.Currency] = total.AmountText
				}
				for _, by := range []query.GroupBy{query.ByNothing, query.ByAccount, query.ByMeter, query.ByTariff, query.ByDimension} {
					got, rows := sumsOf(t, r, query.Grouping{Filter: f, By: by, Dimension: map[query.GroupBy]string{query.ByDimension: "region"}[by]})
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("period %q by %d: list (-), sums (+):\n%s", period, by, diff)
					}
					if rows != uint64(len(list.Subtotals)) {
						t.Errorf("period %q by %d: %d subtotals in the sums, %d in the list", period, by, rows, len(list.Subtotals))
					}
				}
			}
		})
	}
}

// sumsOf adds up the rows of all pages of sums, which must come to their totals, and
// counts their subtotals.
func sumsOf(t *testing.T, r *running, g query.Grouping) (totals map[billing.Currency]string, subtotals uint64) {
	t.Helper()
	sums := map[billing.Currency]billing.Amount{}
	totals = map[billing.Currency]string{}
	page := query.Page{Size: 3}
	for {
		answer, err := r.Queries().Sums(g, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range answer.Rows {
			if sums[row.Currency], err = sums[row.Currency].Add(row.Amount); err != nil {
				t.Fatal(err)
			}
			subtotals += row.Subtotals
		}
		for _, total := range answer.Totals {
			totals[total.Currency] = total.AmountText
		}
		if page.Token = answer.NextToken; page.Token == "" {
			break
		}
	}
	for currency, text := range totals {
		total, err := billing.ParseAmount(text)
		if err != nil || total != sums[currency] {
			t.Errorf("%s: the rows come to %s, the total says %s, %v", currency, sums[currency], text, err)
		}
	}
	return totals, subtotals
}

// A history's buckets are the subtotal, to the last digit, by hour and by day.
func TestHistoryIsTheSubtotal(t *testing.T) {
	t.Parallel()
	for seed := range uint64(liveWorlds) {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) {
			_, r := runWorld(t, seed+1)
			buckets := 0
			for _, account := range []billing.AccountID{"emma", "noah/1.a", "Zoë Ltd", "ann", "bob"} {
				for _, period := range worldPeriods() {
					for _, byDay := range []bool{false, true} {
						buckets += checkHistory(t, r, query.HistoryRequest{Filter: query.Filter{Account: account, Period: period}, ByDay: byDay})
					}
				}
			}
			if buckets == 0 {
				t.Error("the world has no history")
			}
		})
	}
}

// checkHistory holds a history against the subtotals and returns how many buckets
// it has.
func checkHistory(t *testing.T, r *running, request query.HistoryRequest) (buckets int) {
	t.Helper()
	h, err := r.History(r.wait(), request)
	var refused *host.Fault
	if errors.As(err, &refused) || errors.Is(err, query.ErrInvalid) {
		return 0 // the account's calendar has no period of this name
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.Queries().Account(request.Filter)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]billing.Amount{}
	for _, s := range all.Subtotals {
		k := s.Tariff + " " + string(s.Currency)
		if want[k], err = want[k].Add(s.Amount); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range h.Series {
		k := s.Tariff + " " + string(s.Currency)
		rest, err := billing.ParseAmount(s.RestText)
		if err != nil || !rest.IsZero() || s.RestEvents != 0 {
			t.Errorf("%s %s %s: rest %s, %d events, %v", request.Account, h.Period.ID(), k, s.RestText, s.RestEvents, err)
		}
		var sum billing.Amount
		last := time.Time{}
		for _, b := range s.Buckets {
			amount, err := billing.ParseAmount(b.AmountText)
			if err != nil || b.Events == 0 || !b.Start.After(last) || b.Start.Before(h.Period.Start.Add(-time.Hour)) || !b.Start.Before(h.Period.End) {
				t.Errorf("%s %s: bucket %+v, %v", request.Account, h.Period.ID(), b, err)
			}
			last = b.Start
			if sum, err = sum.Add(amount); err != nil {
				t.Fatal(err)
			}
		}
		if sum != want[k] {
			t.Errorf("%s %s %s: the buckets come to %s, the subtotals to %s", request.Account, h.Period.ID(), k, sum, want[k])
		}
		delete(want, k)
		buckets += len(s.Buckets)
	}
	if len(want) > 0 {
		t.Errorf("%s %s: no history of %v", request.Account, h.Period.ID(), want)
	}
	return buckets
}

// A history goes on with the log, and counts what a replay and a close change.
func TestHistoryGoesOn(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-20T00:00:00Z")
	r.apply(priced)
	history := func() []string {
		h, err := r.History(r.wait(), query.HistoryRequest{Filter: query.Filter{Account: "emma", Period: "2026-10"}, ByDay: true})
		if err != nil {
			t.Fatal(err)
		}
		list := []string{}
		for _, s := range h.Series {
			for _, b := range s.Buckets {
				list = append(list, fmt.Sprintf("%s %s %s (%d)", b.Start.Format(time.DateOnly), b.QuantityText, b.AmountText, b.Events))
			}
			list = append(list, fmt.Sprintf("rest %s (%d)", s.RestText, s.RestEvents))
		}
		return list
	}
	want(t, history())
	r.send(call("1", "emma", "2026-10-02T10:00:00Z", "minutes", "5"), call("2", "emma", "2026-10-01T23:59:59Z", "minutes", "2"))
	want(t, history(), "2026-10-01 2 0.20 (1)", "2026-10-02 5 0.50 (1)", "rest 0.00 (0)")
	r.send(call("1", "emma", "2026-10-02T10:00:00Z", "minutes", "5"), call("3", "emma", "2026-10-02T11:00:00Z", "minutes", "many"),
		call("4", "emma", "2026-10-03T00:00:00Z", "minutes", "1"), call("4", "noah", "2026-10-03T00:00:00Z", "minutes", "1"))
	want(t, history(), "2026-10-01 2 0.20 (1)", "2026-10-02 5 0.50 (1)", "2026-10-03 1 0.10 (1)", "rest 0.00 (0)")
	r.setNow("2026-11-20T00:00:00Z")
	r.close("2026-10", "")
	want(t, history(), "2026-10-01 2 0.20 (1)", "2026-10-02 5 0.50 (1)", "2026-10-03 1 0.10 (1)", "rest 0.00 (0)")
}

// A forecast repeats the last days, and prices them as the tariff does.
func TestForecast(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-20T00:00:00Z")
	r.apply(`
meters: [{name: calls, event_type: call, quantity: minutes}]
tariffs:
  - name: tiered
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: graduated, params: {tiers: [{up_to: "30", unit_price: "1", flat_fee: "0"}, {up_to: null, unit_price: "0.50", flat_fee: "0"}]}}]
default_subscriptions: [tiered]
billing: {close: manual}
`)
	forecast := func() query.Forecast {
		f, err := r.Forecast(r.wait(), query.Filter{Account: "emma"})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := forecast(); len(f.Sums) != 0 || !f.Period.Start.IsZero() {
		t.Errorf("an account without usage: %+v", f)
	}
	r.send(call("0", "emma", "2026-10-01T00:10:00Z", "minutes", "1"))
	if f := forecast(); f.Method != query.ForecastSoFar || f.Sums[0].AmountText != "1.00" {
		t.Errorf("after ten minutes: %+v", f)
	}
	for day := 1; day <= 10; day++ {
		r.send(call(fmt.Sprint("d", day), "emma", fmt.Sprintf("2026-10-%02dT12:00:00Z", day), "minutes", "2"))
	}
	// 21 minutes in ten days, two a day from there: 21 days to come, 63 in all.
	f := forecast()
	if f.Method != query.ForecastRepeated || len(f.Sums) != 1 || f.Sums[0].SoFarText != "21.00" || f.Sums[0].AmountText != "46.50" || f.Totals[0].AmountText != "46.50" {
		t.Errorf("forecast %+v, want 30 at 1 and 33 at 0.50", f)
	}
	if f.BasisStart.Format(time.RFC3339) != "2026-10-03T12:00:00Z" || f.SeenUntil.Format(time.RFC3339) != "2026-10-10T12:00:00Z" || f.Explanation == "" {
		t.Errorf("basis %+v", f)
	}
	if again := forecast(); again.Sums[0].AmountText != f.Sums[0].AmountText {
		t.Errorf("a forecast has changed what the next one begins with: %+v", again)
	}
	r.setNow("2026-11-20T00:00:00Z")
	r.close("2026-10", "")
	if f, err := r.Forecast(r.wait(), query.Filter{Account: "emma", Period: "2026-10"}); err != nil || f.Method != query.ForecastSoFar || f.Sums[0].AmountText != "21.00" {
		t.Errorf("of a closed period: %+v, %v", f, err)
	}
}

// A preview is the invoice that a close issues at the same place of the log.
func TestPreviewIsTheInvoice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(liveWorlds) {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) {
			_, r := runWorld(t, seed+1)
			invoices := 0
			for _, period := range worldPeriods()[:4] {
				invoices += comparePreviews(t, r, period)
			}
			if invoices == 0 {
				t.Error("the world has no invoices")
			}
		})
	}
}

// comparePreviews previews a period of all accounts, closes it and compares.
func comparePreviews(t *testing.T, r *running, period string) (invoices int) {
	t.Helper()
	previews := map[string]string{}
	for _, account := range []billing.AccountID{"emma", "noah/1.a", "Zoë Ltd", "ann", "bob"} {
		p, err := r.Preview(r.wait(), account, period)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Invoices {
			b, err := p.Invoices[i].Encode()
			if err != nil {
				t.Fatal(err)
			}
			previews[p.Invoices[i].ID] = string(b)
		}
	}
	r.close(period, "")
	issued, _, _, err := r.Invoices(host.InvoiceFilter{Period: period}, query.Page{Size: query.MaxPageSize})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i := range issued {
		b, err := issued[i].Encode()
		if err != nil {
			t.Fatal(err)
		}
		got[issued[i].ID] = string(b)
	}
	if diff := cmp.Diff(previews, got); diff != "" {
		t.Errorf("period %s: previews (-), invoices (+):\n%s", period, diff)
	}
	return len(got)
}
