package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// tried is a catalog in which a backfill changes all there is: tiers, levels that go on,
// the highest value, a minimum and a tax.
const tried = `
meters: [{name: seats, event_type: call, quantity: q, dimensions: [region]}]
tariffs:
  - name: level
    meter: seats
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "1"}}]
  - name: peak
    meter: seats
    currency: EUR
    group_by: [region]
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: max, unit_price: "0.5"}}]
  - name: tiers
    meter: seats
    currency: USD
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: graduated, params: {tiers: [{up_to: "20", unit_price: "1", flat_fee: "0"}, {up_to: null, unit_price: "0.3333", flat_fee: "0"}]}}]
billing:
  close: manual
  invoice_rules:
    - {name: minimum, plugin: minimum_commitment, currency: USD, params: {amount: "25"}}
default_subscriptions: [level, peak, tiers]
`

// stage sends a set of events, in parts.
func (r *running) stage(name string, events []billing.UsageEvent) query.Backfill {
	r.t.Helper()
	number := 0
	for part := range slices.Chunk(events, 700) {
		var lines bytes.Buffer
		for _, e := range part {
			lines.Write(ingest.FormatJSON(e))
			lines.WriteByte('\n')
		}
		for range 2 { // once more, as who has no answer does
			if err := r.AddToBackfill(r.patient(), name, number, lines.Bytes()); err != nil {
				r.t.Fatal(err)
			}
		}
		number++
	}
	b, err := r.FinishBackfill(r.patient(), name, "ann@desk")
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// patient bounds what a test waits for that has much to do.
func (r *running) patient() context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	r.t.Cleanup(cancel)
	return ctx
}

// counts are the counters of all partitions.
func (r *running) counts() query.Counters {
	r.t.Helper()
	_, counts, _, _, err := r.DeadLetters(host.DeadLetterFilter{}, query.Page{Size: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	return counts
}

func (r *running) show(name string) query.BackfillReport {
	r.t.Helper()
	report, err := r.ShowBackfill(r.patient(), name, 1_000)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// sums adds up all invoices by account and currency.
func (r *running) sums() map[string]billing.Amount {
	r.t.Helper()
	list, _, _, err := r.Invoices(host.InvoiceFilter{}, query.Page{Size: query.MaxPageSize})
	if err != nil {
		r.t.Fatal(err)
	}
	sums := map[string]billing.Amount{}
	for _, inv := range list {
		k := string(inv.Account) + " " + string(inv.Currency)
		if sums[k], err = sums[k].Add(inv.Total); err != nil {
			r.t.Fatal(err)
		}
	}
	return sums
}

// triedWorld is usage of three months, of which the first is closed, and a set that
// reaches into all of them: new events, ones that were priced before, conflicting and
// bad ones, corrections of what is there and of what it brings itself.
func triedWorld(seed uint64) (before, set []billing.UsageEvent) {
	random := rand.New(rand.NewPCG(seed, 5))
	event := func(id string) billing.UsageEvent {
		at := time.Date(2026, time.Month(1+random.IntN(3)), 1+random.IntN(28), random.IntN(24), 0, 0, 0, time.UTC)
		return call(id, fmt.Sprintf("a%02d", random.IntN(30)), at.Format(time.RFC3339), "q", fmt.Sprint(1+random.IntN(9)), "region", []string{"eu", "us"}[random.IntN(2)])
	}
	for n := range 600 {
		before = append(before, event(fmt.Sprint("b", n)))
	}
	for n := range 2_500 {
		set = append(set, event(fmt.Sprint("s", n)))
	}
	for n := range 40 {
		set = append(set, before[n*7])
		conflict := before[n*7+1]
		conflict.Data = []billing.Field{{Key: "q", Text: "1000"}}
		bad := event(fmt.Sprint("bad", n))
		bad.Data = []billing.Field{{Key: "q", Text: "many"}}
		of := [...]billing.UsageEvent{before[n*7+2], set[n*3]}[n%2]
		void := call(fmt.Sprint("void", n), string(of.Account), "2026-03-20T00:00:00Z", "id", of.ID, "source", of.Source)
		if void.Type = host.TypeVoid; n%4 > 1 {
			void.Type, void.Data = host.TypeAmend, append([]billing.Field{{Key: "data", Text: `{"q":"17","region":"eu"}`}}, void.Data...)
		}
		set = append(set, conflict, bad, void)
	}
	return before, set
}

// A backfill shows what it changes, to the last digit, without changing anything; and
// what was shown is what is billed when it is committed.
func TestBackfillShowsWhatIsBilled(t *testing.T) {
	t.Parallel()
	before, set := triedWorld(1)
	with, without := startHost(t, 2, "2026-07-01T00:00:00Z"), startHost(t, 2, "2026-07-01T00:00:00Z")
	for _, r := range []*running{with, without} {
		r.apply(tried)
		r.send(before...)
		r.close("2026-01", "")
	}
	staged := with.stage("march", set)
	if staged.Events != uint64(len(set)) || staged.State != query.BackfillReady || staged.By != "ann@desk" {
		t.Errorf("%+v", staged)
	}
	if _, _, err := with.CommitBackfill(with.patient(), "march", "ann"); err == nil || !strings.Contains(err.Error(), "nobody has seen") {
		t.Errorf("a set that nobody has seen was committed: %v", err)
	}
	report, again := with.show("march"), with.show("march")
	if fmt.Sprint(report.Accounts) != fmt.Sprint(again.Accounts) || fmt.Sprint(report.Totals) != fmt.Sprint(again.Totals) {
		t.Error("what is shown a second time is something else: a trial has left something")
	}
	if a, b := with.counts(), without.counts(); a != b {
		t.Errorf("a trial has changed the counters: %+v, %+v", a, b)
	}
	committed, moved, err := with.CommitBackfill(with.patient(), "march", "ann")
	if err != nil || moved != 0 || committed.State != query.BackfillCommitted || committed.CommittedBy != "ann" {
		t.Fatal(committed, moved, err)
	}
	counts, old := with.counts(), without.counts()
	refused := uint64(0)
	for _, r := range report.Refused {
		refused += r.Events
	}
	if counts.Priced-old.Priced != report.Priced || counts.Duplicates-old.Duplicates != report.Duplicates || counts.DeadLettered-old.DeadLettered != refused ||
		report.Priced < 2_500 || refused < 80 || report.Duplicates < 40 {
		t.Errorf("shown %d priced, %d duplicates, %d refused %+v; it came to %+v behind %+v", report.Priced, report.Duplicates, refused, report.Refused, counts, old)
	}
	for _, r := range []*running{with, without} {
		r.close("2026-02", "")
		r.close("2026-03", "")
	}
	shown := map[string]billing.Amount{}
	for _, a := range report.Accounts {
		shown[string(a.Account)+" "+string(a.Currency)] = a.DifferentAmount
		if len(a.Events) == 0 || len(a.Lines) == 0 {
			t.Errorf("%s: nothing is named: %+v", a.Account, a)
		}
	}
	a, b := with.sums(), without.sums()
	for k, sum := range a {
		by, err := sum.Sub(b[k])
		if err != nil {
			t.Fatal(err)
		}
		if by != shown[k] {
			t.Errorf("%s: billed %s more, shown %s", k, by, shown[k])
		}
	}
	if len(shown) < 40 || report.Different != uint64(len(shown)) {
		t.Errorf("%d differences of %d", len(shown), report.Different)
	}
	if !slices.IsSortedFunc(report.Accounts, func(a, b query.BackfillAccount) int {
		return -abs(t, a.DifferentAmount).Cmp(abs(t, b.DifferentAmount))
	}) {
		t.Error("the biggest difference does not come first")
	}
	if list, err := with.Backfills(with.patient()); err != nil || len(list) != 1 || list[0].State != query.BackfillCommitted {
		t.Error(list, err)
	}
	var f *host.Fault
	if err := with.AddToBackfill(with.patient(), "march", 0, ingest.FormatJSON(set[0])); !errors.As(err, &f) || f.Reason() != host.ReasonBackfillExists {
		t.Errorf("a name was used twice: %v", err)
	}
}

func abs(t *testing.T, a billing.Amount) billing.Amount {
	if a.Sign() >= 0 {
		return a
	}
	n, err := a.Neg()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A dropped set leaves nothing; one whose writing was cut goes on at the next start, and
// each of its events is in the log once.
func TestBackfillDroppedAndCut(t *testing.T) {
	t.Parallel()
	before, set := triedWorld(2)
	r := startHost(t, 2, "2026-07-01T00:00:00Z")
	r.apply(tried)
	r.send(before...)
	r.stage("dropped", set)
	r.show("dropped")
	r.restart() // it is kept
	r.show("dropped")
	if err := r.DropBackfill(r.patient(), "dropped"); err != nil {
		t.Fatal(err)
	}
	if list, err := r.Backfills(r.patient()); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	if _, err := r.ShowBackfill(r.patient(), "dropped", 10); err == nil {
		t.Error("a dropped set is shown")
	}
	r.stage("dropped", set[:10]) // the name is free
	counts := r.counts()

	r.stage("cut", set)
	report := r.show("cut")
	ctx, cancel := context.WithCancel(r.patient())
	answered := make(chan struct{})
	asked := r.Host
	go func() {
		defer close(answered)
		_, _, _ = asked.CommitBackfill(ctx, "cut", "ann") // the host ends while it writes, or has just not
	}()
	for {
		list, err := r.Backfills(r.patient())
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		if list[0].State != query.BackfillReady {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.restart()
	cancel()
	<-answered
	r.restart()
	if done, _, err := r.CommitBackfill(r.patient(), "cut", "bob"); err != nil || done.State != query.BackfillCommitted {
		t.Fatal(done, err)
	}
	now := r.counts()
	if now.Priced-counts.Priced != report.Priced || now.Duplicates-counts.Duplicates != report.Duplicates || now.Read-counts.Read != uint64(len(set)) {
		t.Errorf("shown %d priced and %d duplicates of %d: now %+v, before %+v", report.Priced, report.Duplicates, len(set), now, counts)
	}
}
