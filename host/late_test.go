package host_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/internal/oracle"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// document returns an invoice as it was issued.
func (r *running) document(id string) []byte {
	r.t.Helper()
	inv, _, err := r.Invoice(id)
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := inv.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// adjustments lists an invoice's adjustments as "period name: old → new = difference".
func (r *running) adjustments(id string) []string {
	r.t.Helper()
	inv, _, err := r.Invoice(id)
	if err != nil {
		r.t.Fatal(err)
	}
	return adjustmentsOf(&inv)
}

func adjustmentsOf(inv *export.Invoice) []string {
	var out []string
	for _, l := range inv.Lines {
		if a := l.Adjustment; a != nil {
			out = append(out, fmt.Sprintf("%s %s%s: %s → %s = %s", a.Period.ID(), l.Tariff, l.Rule, a.OldAmount.String(), a.NewAmount.String(), l.AmountText))
		}
	}
	return out
}

// causes lists the events behind an invoice's adjustments as "period kind id".
func (r *running) causes(id string) []string {
	r.t.Helper()
	inv, _, err := r.Invoice(id)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, c := range inv.Corrections {
		for _, e := range c.Events {
			out = append(out, c.Period.ID()+" "+e.Kind+" "+e.ID)
			if e.Position == 0 || e.Source != "test" && e.Kind != "reprice" {
				r.t.Errorf("cause %+v", e)
			}
		}
	}
	return out
}

// Usage that comes after the close leaves the invoice as it is and is adjusted on the
// next one, with what the invoice rules of the period make of it; also when there is
// nothing else to bill. Restarts and a state made anew from the log change no byte.
func TestLateUsageIsAdjusted(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-12-10T00:00:00Z")
	r.apply(ruled(minimum+","+vat, `
  {id: emma, subscriptions: [{tariff: calls, until: 2026-11-01T00:00:00Z}]},
  {id: noah, subscriptions: [{tariff: calls}]}`))
	for n := range 30 {
		r.send(call(fmt.Sprint("noah", n), "noah", "2026-10-05T00:00:00Z"))
	}
	r.send(call("1", "emma", "2026-10-05T00:00:00Z"))
	r.close("2026-10", "")
	const emma, noah = "emma.2026-10-01.EUR.0", "noah.2026-10-01.EUR.0"
	issued := [][]byte{r.document(emma), r.document(noah)}
	wantBills(t, r.bills(host.InvoiceFilter{}), emma+" 30.00", noah+" 36.00")

	late := []billing.UsageEvent{call("late", "noah", "2026-10-07T00:00:00Z"), call("later", "noah", "2026-10-06T00:00:00Z")}
	r.send(append(late, call("few", "emma", "2026-10-07T00:00:00Z"))...)
	r.wantCounts(34, 0, 0)
	want(t, r.subtotals(query.Filter{Account: "noah"}), "noah calls 32.00 (32)")
	r.send(late...) // again
	r.restart()
	r.send(call("31", "emma", "2026-10-08T00:00:00Z"), call("now", "noah", "2026-11-05T00:00:00Z"))
	preview, err := r.Preview(r.wait(), "noah", "2026-11")
	if err != nil || len(preview.Invoices) != 1 {
		t.Fatal(err, len(preview.Invoices))
	}
	r.close("2026-11", "")
	const next = "noah.2026-11-01.EUR.0"
	before, err := preview.Invoices[0].Encode()
	if after := r.document(next); err != nil || !bytes.Equal(before, after) {
		t.Errorf("previewed\n%s\nand issued\n%s\n%v", before, after, err)
	}
	want(t, r.adjustments(next), "2026-10-01 calls: 30 → 32 = 2.00", "2026-10-01 vat: 6 → 6.4 = 0.40")
	want(t, r.causes(next), "2026-10-01 late late", "2026-10-01 late later")
	// emma's minimum swallows what came late: 25 at least, and tax on it.
	want(t, r.adjustments("emma.2026-11-01.EUR.0"), "2026-10-01 calls: 1 → 3 = 2.00", "2026-10-01 minimum: 24 → 22 = -2.00")
	bills := []string{emma + " 30.00", noah + " 36.00", "emma.2026-11-01.EUR.0 0.00", next + " 32.40"}
	wantBills(t, r.bills(host.InvoiceFilter{}), bills...)
	documents := [][]byte{r.document(next), r.document("emma.2026-11-01.EUR.0")}
	check := func() {
		t.Helper()
		for i, id := range []string{emma, noah} {
			if b := r.document(id); !bytes.Equal(b, issued[i]) {
				t.Errorf("the invoice was issued as\n%s\nand is\n%s", issued[i], b)
			}
		}
		wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-10"}), bills[:2]...)
		for i, id := range []string{next, "emma.2026-11-01.EUR.0"} {
			if b := r.document(id); !bytes.Equal(b, documents[i]) {
				t.Errorf("the invoice was issued as\n%s\nand is\n%s", documents[i], b)
			}
		}
	}
	check()

	// A second time, what was adjusted counts as billed.
	r.send(call("last", "noah", "2026-10-09T00:00:00Z"))
	r.setNow("2027-01-10T00:00:00Z")
	r.close("2026-12", "")
	want(t, r.adjustments("noah.2026-12-01.EUR.0"), "2026-10-01 calls: 32 → 33 = 1.00", "2026-10-01 vat: 6.4 → 6.6 = 0.20")
	last := r.document("noah.2026-12-01.EUR.0")
	r.restart()
	check()
	r.rebuild()
	check()
	if b := r.document("noah.2026-12-01.EUR.0"); !bytes.Equal(b, last) {
		t.Errorf("made anew: %s, not %s", b, last)
	}
}

// What a level was at the end of a month that is corrected goes on into the months
// behind it, closed ones and open ones.
func TestLateUsageCarriesOn(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-06-01T00:00:00Z")
	r.apply(levels)
	r.send(
		call("1", "emma", "2026-01-01T00:00:00Z", "q", "1"),
		call("2", "emma", "2026-02-01T00:00:00Z", "q", "1"),
		call("3", "emma", "2026-04-01T00:00:00Z", "q", "1"))
	for _, month := range []string{"2026-01", "2026-02", "2026-03"} {
		r.close(month, "")
	}
	r.send(call("4", "emma", "2026-01-01T00:00:00Z", "q", "5"))
	r.restart()
	r.close("2026-04", "")
	want(t, r.adjustments("emma.2026-04-01.EUR.0"),
		"2026-01-01 daily: 10 → 60 = 50.00", "2026-01-01 level: 1 → 6 = 5.00", "2026-01-01 plain: 100 → 600 = 500.00",
		"2026-02-01 daily: 20 → 70 = 50.00", "2026-02-01 level: 2 → 7 = 5.00",
		"2026-03-01 daily: 20 → 70 = 50.00", "2026-03-01 level: 2 → 7 = 5.00")
	want(t, r.causes("emma.2026-04-01.EUR.0"), "2026-01-01 late 4", "2026-02-01 late 4", "2026-03-01 late 4")
	inv, _, err := r.Invoice("emma.2026-04-01.EUR.0")
	if err != nil || inv.TotalText != "853.00" { // 80 + 8 + 100 for April itself
		t.Error(inv.TotalText, err)
	}
}

// Usage of a period that was closed longer ago than anything is kept is not billed.
func TestLateBeyondRetention(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2028-01-10T00:00:00Z")
	r.apply(priced)
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "1"))
	for month := instant("2026-10-01T00:00:00Z"); month.Before(instant("2027-12-01T00:00:00Z")); month = month.AddDate(0, 1, 0) {
		r.close(month.Format("2006-01"), "")
	}
	r.send(call("2", "emma", "2026-10-06T10:00:00Z", "minutes", "1"), call("3", "emma", "2026-11-06T10:00:00Z", "minutes", "1"))
	want(t, r.reasons(), "2 beyond_retention")
	r.wantCounts(2, 0, 1)
}

// billedLines sums the lines of all invoices by what they bill, as the oracle writes
// them; adjustments count for the period that they adjust. Sums that are nothing are
// left out.
func billedLines(t *testing.T, list []export.Invoice) map[string]string {
	t.Helper()
	sums := map[string][2]*big.Rat{}
	for i := range list {
		inv := &list[i]
		eachLine(t, inv, func(l *export.Line, text string) {
			parts := strings.Split(text, "|")
			if a := l.Adjustment; a != nil {
				parts[1] = a.Period.Start.UTC().Format(time.RFC3339)
			}
			k := strings.Join(parts[:len(parts)-2], "|")
			sum, ok := sums[k]
			if !ok {
				sum = [2]*big.Rat{{}, {}}
				sums[k] = sum
			}
			for j, part := range parts[len(parts)-2:] {
				x, _ := new(big.Rat).SetString(part)
				sum[j].Add(sum[j], x)
			}
		})
	}
	out := map[string]string{}
	for k, sum := range sums {
		if sum[0].Sign() != 0 || sum[1].Sign() != 0 {
			out[k] = sum[0].RatString() + "|" + sum[1].RatString()
		}
	}
	return out
}

// run has a host read the world's events in their order, with closes and restarts in
// between, and returns all invoices after a last close that adjusts what is left.
func (w *world) run(t *testing.T, parts int) (*running, []export.Invoice) {
	t.Helper()
	r := startHost(t, parts, "2027-02-10T00:00:00Z")
	r.apply(w.yaml(t))
	zones := map[string]bool{w.catalog.Billing.TimeZone: true}
	for _, a := range w.catalog.Accounts {
		if a.TimeZone != "" {
			zones[a.TimeZone] = true
		}
	}
	months := []string{"2026-07", "2026-08", "2026-09", "2026-10", "2026-11"}
	var pending []billing.UsageEvent
	flush := func() {
		if len(pending) > 0 {
			r.send(pending...)
			pending = pending[:0]
		}
	}
	for _, e := range w.events {
		u := billing.UsageEvent{Source: e.Source, ID: e.ID, Type: e.Type, Account: billing.AccountID(e.Account), Time: e.Time}
		for _, key := range slices.Sorted(maps.Keys(e.Data)) {
			u.Data = append(u.Data, billing.Field{Key: key, Text: e.Data[key]})
		}
		pending = append(pending, u)
		if w.IntN(20) == 0 {
			flush()
		}
		if w.IntN(len(w.events)/4) == 0 && len(months) > 0 {
			flush()
			r.closeAll(months[0], zones)
			months = months[1:]
		}
		if w.IntN(len(w.events)/2) == 0 {
			flush()
			r.restart()
		}
	}
	flush()
	for _, month := range append(months, "2026-12", "2027-01") {
		r.closeAll(month, zones)
	}
	list, next, _, err := r.Invoices(host.InvoiceFilter{}, query.Page{Size: query.MaxPageSize})
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	return r, list
}

// closeAll closes a month in all zones.
func (r *running) closeAll(month string, zones map[string]bool) {
	r.t.Helper()
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		for _, day := range []int{1, 15, 28} {
			_, err := r.ClosePeriod(r.wait(), host.CloseRequest{Period: month, Zone: zone, AnchorDay: day, SkipGrace: true})
			var f *host.Fault
			if err != nil && (!errors.As(err, &f) || f.Reason() != host.ReasonInvalidPeriod && f.Reason() != host.ReasonPeriodNotEnded) {
				r.t.Fatal(err)
			}
		}
	}
}

// TestLateAgainstOracle holds the law of corrections in random worlds: whatever is
// closed when, and however late usage comes, each account's invoices and their
// adjustments come to what one fold of the whole log would have billed.
func TestLateAgainstOracle(t *testing.T) {
	t.Parallel()
	first, last := uint64(1), min(*oracleWorlds, 6)
	if *oracleSeed != 0 {
		first, last = *oracleSeed, *oracleSeed
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &world{Rand: rand.New(rand.NewPCG(seed, 1))}
			w.draw()
			w.settleFirst()
			want := oracle.Rate(&w.catalog, w.events)
			r, list := w.run(t, pick(w, 1, 2, 4))
			wanted := map[string]string{}
			for _, line := range want.Lines {
				at := strings.LastIndex(line[:strings.LastIndex(line, "|")], "|")
				if line[at+1:] != "0|0" {
					wanted[line[:at]] = line[at+1:]
				}
			}
			got := w.withinUsage(billedLines(t, list), wanted)
			if diff := cmp.Diff(wanted, got); diff != "" {
				t.Errorf("to repeat: go test ./host -run TestLateAgainstOracle -oracleseed %d\noracle (-), engine (+):\n%s", seed, diff)
			}
			c := r.Counters()
			if int(c.Priced) != want.Priced || int(c.Duplicates) != want.Duplicates || int(c.DeadLettered) != want.DeadLettered {
				t.Errorf("seed %d: counters %+v, the oracle has priced %d, duplicates %d, dead letters %d", seed, c, want.Priced, want.Duplicates, want.DeadLettered)
			}
			adjusted := 0
			for i := range list {
				adjusted += len(adjustmentsOf(&list[i]))
			}
			t.Logf("%d events, %d invoices, %d adjustments", want.Read, len(list), adjusted)
		})
	}
}

// settleFirst has the world begin with usage of every month that is closed in any
// calendar, so that all have the same first period.
func (w *world) settleFirst() {
	w.events = slices.Insert(w.events, 0, oracle.Event{
		Source: "z", ID: "first", Type: w.catalog.Meters[0].EventType, Account: "zed", Time: time.Date(2026, 8, 5, 0, 0, 0, 0, time.UTC),
		Data: map[string]string{"n": "1", "region": "eu"},
	})
}

// withinUsage leaves out what was billed of an account's periods behind the last that
// the oracle knows of: it bills no fees behind the last usage of all.
func (w *world) withinUsage(got, wanted map[string]string) map[string]string {
	latest := map[string]string{} // by account; times of one form are ordered as their texts
	for k := range wanted {
		parts := strings.Split(k, "|")
		latest[parts[0]] = max(latest[parts[0]], parts[1])
	}
	out := map[string]string{}
	for k, v := range got {
		if parts := strings.Split(k, "|"); parts[1] <= latest[parts[0]] {
			out[k] = v
		}
	}
	return out
}

// yaml is the world's catalog, closed by hand.
func (w *world) yaml(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(w.catalog)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	billing, _ := c["billing"].(map[string]any)
	billing["close"] = "manual"
	if b, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What came late and cannot be billed again holds up nothing else, and is seen in the
// list of periods until a close can adjust it.
func TestAdjustmentThatWaits(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2027-02-10T00:00:00Z")
	r.apply(strings.Replace(grouped, "billing: {", "billing: {invoice_rules: ["+vat+"], ", 1))
	r.send(call("1", "emma", "2026-10-05T00:00:00Z", "q", "100000000000000000000"), call("2", "noah", "2026-10-05T00:00:00Z", "q", "1"))
	r.close("2026-10", "")
	r.send(call("late", "emma", "2026-10-06T00:00:00Z", "q", "50000000000000000000"), call("other", "noah", "2026-10-06T00:00:00Z", "q", "2"))
	want(t, r.waiting())
	r.close("2026-11", "")
	r.restart()
	want(t, r.waiting(), "2026-10-01 emma overflow")
	want(t, r.adjustments("noah.2026-11-01.EUR.0"), "2026-10-01 per_call: 1 → 3 = 2.00", "2026-10-01 vat: 0.2 → 0.6 = 0.40")
	r.send(voids("v", "late", "emma"), call("small", "emma", "2026-10-07T00:00:00Z", "q", "1"))
	r.close("2026-12", "")
	want(t, r.waiting())
	want(t, r.adjustments("emma.2026-12-01.EUR.0"), "2026-10-01 per_call: 100000000000000000000 → 100000000000000000001 = 1.00",
		"2026-10-01 vat: 20000000000000000000 → 20000000000000000000.2 = 0.20")
}

// The fees of a closed month that cannot be billed again wait until they can, though the usage
// by which they are due was of a month before, which is adjusted already: until there is an
// invoice that tells of them.
func TestFeesThatWait(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2027-03-10T00:00:00Z")
	tariffs := func(november, february string) string {
		return `
meters: [{name: calls, event_type: call}]
tariffs:
  - name: fee
    meter: calls
    currency: EUR
    versions:
      - {effective_from: 2026-01-01T00:00:00Z, plugin: flat, params: {amount: "5"}}
      - {effective_from: 2026-11-01T00:00:00Z, plugin: flat, params: {amount: "` + november + `"}}
      - {effective_from: 2026-12-01T00:00:00Z, plugin: flat, params: {amount: "5"}}
      - {effective_from: 2027-02-01T00:00:00Z, plugin: flat, params: {amount: "` + february + `"}}
billing: {close: manual, invoice_rules: [` + vat + `]}
default_subscriptions: [fee]
`
	}
	const tooMuch = "150000000000000000000"
	r.apply(tariffs(tooMuch, tooMuch))
	r.send(call("1", "noah", "2026-10-05T00:00:00Z"))
	r.close("2026-10", "")
	r.close("2026-11", "")
	r.send(call("late", "emma", "2026-10-06T00:00:00Z"))
	r.close("2026-12", "")
	want(t, r.adjustments("emma.2026-12-01.EUR.0"), "2026-10-01 fee: 0 → 5 = 5.00", "2026-10-01 vat: 0 → 1 = 1.00")
	r.restart()
	r.close("2027-01", "")
	want(t, r.waiting(), "2026-11-01 emma overflow", "2026-11-01 noah overflow")
	r.reprice(tariffs("7", tooMuch), false)
	r.close("2027-02", "") // November can be billed now, on no invoice yet
	want(t, r.waiting(), "2027-02-01 emma overflow", "2027-02-01 noah overflow", "2026-11-01 emma overflow")
	r.restart()
	r.reprice(tariffs("7", "6"), false)
	want(t, r.waiting())
	want(t, r.adjustments("emma.2027-02-01.EUR.0"), "2026-11-01 fee: 0 → 7 = 7.00", "2026-11-01 vat: 0 → 1.4 = 1.40")
}
