package host_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/internal/oracle"
)

var (
	oracleSeed   = flag.Uint64("oracleseed", 0, "the one seed that TestAgainstOracle runs; 0 runs the first -oracleworlds")
	oracleWorlds = flag.Uint64("oracleworlds", 12, "how many worlds TestAgainstOracle rates")
)

// TestAgainstOracle rates random usage by random catalogs with the engine and
// with the naive rater, which shares no code with it: every line of every
// invoice, the dead letters and the counts are the same.
func TestAgainstOracle(t *testing.T) {
	t.Parallel()
	first, last := uint64(1), *oracleWorlds
	if *oracleSeed != 0 {
		first, last = *oracleSeed, *oracleSeed
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &world{Rand: rand.New(rand.NewPCG(seed, 0))}
			w.draw()
			want := oracle.Rate(&w.catalog, w.events)
			report := w.rate(t)
			type outcome struct {
				Counts             oracle.Counts
				Lines, DeadLetters []string
			}
			expected := outcome{Counts: want.Counts, Lines: want.Lines}
			for _, l := range want.Letters {
				expected.DeadLetters = append(expected.DeadLetters, l.Event.Source+"|"+l.Event.ID+"|"+l.Reason)
			}
			slices.Sort(expected.DeadLetters)
			expected.DeadLetters = slices.Compact(expected.DeadLetters)
			got := outcome{Counts: oracle.Counts{
				Read: int(report.Counts.Read), Priced: int(report.Counts.Priced),
				Duplicates: int(report.Counts.Duplicates), DeadLettered: int(report.Counts.DeadLettered),
			}}
			for i := range report.Invoices {
				got.Lines = append(got.Lines, linesOf(t, &report.Invoices[i])...)
			}
			for _, l := range report.DeadLetters {
				got.DeadLetters = append(got.DeadLetters, l.Source+"|"+l.ID+"|"+l.Reason)
			}
			slices.Sort(got.Lines)
			slices.Sort(got.DeadLetters)
			got.DeadLetters = slices.Compact(got.DeadLetters)
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("to repeat: go test ./host -run TestAgainstOracle -oracleseed %d\noracle (-), engine (+):\n%s", seed, diff)
			}
			t.Logf("%d events, %d lines, %d dead letters", want.Read, len(want.Lines), len(expected.DeadLetters))
		})
	}
}

// linesOf writes the lines of an invoice as the oracle does.
func linesOf(t *testing.T, inv *export.Invoice) []string {
	t.Helper()
	var lines []string
	eachLine(t, inv, func(_ *export.Line, text string) { lines = append(lines, text) })
	return lines
}

// eachLine calls visit with each line that shows something, and how the oracle
// writes it.
func eachLine(t *testing.T, inv *export.Invoice, visit func(l *export.Line, text string)) {
	t.Helper()
	exact := func(text string) string {
		x, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("invoice %s: %q is no number", inv.ID, text)
		}
		return x.RatString()
	}
	total := new(big.Rat)
	for n := range inv.Lines {
		l := &inv.Lines[n]
		values := make([]string, len(l.Group))
		for i, v := range l.Group {
			values[i] = v.Key + "=" + v.Text
		}
		slices.Sort(values)
		amount, _ := new(big.Rat).SetString(exact(l.AmountText))
		total.Add(total, amount)
		if exact(l.Quantity.String()) == "0" && amount.Sign() == 0 {
			continue // a line that shows that there is nothing
		}
		visit(l, strings.Join([]string{
			string(inv.Account), inv.Period.Start.UTC().Format(time.RFC3339), string(inv.Currency), l.Tariff, l.Subscription,
			l.Version.Format(time.RFC3339), strings.Join(values, ","), l.ID, exact(l.Quantity.String()), exact(l.AmountText),
		}, "|"))
	}
	if exact(inv.TotalText) != total.RatString() {
		t.Errorf("invoice %s: the lines come to %s, the total says %s", inv.ID, total.RatString(), inv.TotalText)
	}
}

// world draws a catalog and usage.
type world struct {
	*rand.Rand
	catalog oracle.Catalog
	events  []oracle.Event
}

func pick[T any](w *world, list ...T) T { return list[w.IntN(len(list))] }

// instant draws a time in three months, in one of which clocks change; often one
// of few, so that many lie on a boundary.
func (w *world) instant() time.Time {
	start := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	if w.IntN(3) == 0 {
		return start.AddDate(0, w.IntN(3), pick(w, 0, 0, 14)).Add(time.Duration(pick(w, -4, -2, 0, 0, 4)) * time.Hour)
	}
	return start.Add(time.Duration(w.Int64N(int64(90 * 24 * time.Hour))).Truncate(time.Millisecond))
}

func (w *world) decimal(most int64) string {
	return big.NewRat(w.Int64N(most*1000), pick(w, int64(1), 8, 100, 1000)).FloatString(3)
}

func (w *world) draw() {
	c := &w.catalog
	c.Billing = oracle.Billing{TimeZone: pick(w, "UTC", "Europe/Berlin"), AnchorDay: pick(w, 1, 1, 15)}
	for i := range 1 + w.IntN(3) {
		m := oracle.Meter{Name: fmt.Sprintf("m%d", i), EventType: pick(w, "a", "b"), Quantity: pick(w, "n", "n", ""), Dimensions: []string{"region", "tier"}}
		if w.IntN(3) == 0 {
			m.Filter = map[string]string{"region": "eu"}
		}
		c.Meters = append(c.Meters, m)
	}
	for i := range 1 + w.IntN(4) {
		t := oracle.Tariff{Name: fmt.Sprintf("t%d", i), Meter: pick(w, c.Meters...).Name, Currency: pick(w, "EUR", "USD")}
		t.GroupBy = pick(w, nil, nil, []string{"region"}, []string{"tier", "region"})
		if w.IntN(2) == 0 {
			t.Rounding = &oracle.Rounding{Scale: w.IntN(5), Mode: pick(w, "half_up", "half_even", "floor", "ceiling")}
		}
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for range 1 + w.IntN(3) {
			plugin, params := w.prices()
			t.Versions = append(t.Versions, oracle.Version{EffectiveFrom: from, Plugin: plugin, Params: params})
			if from = w.instant(); !from.After(t.Versions[len(t.Versions)-1].EffectiveFrom) {
				break
			}
		}
		c.Tariffs = append(c.Tariffs, t)
		if w.IntN(4) > 0 {
			c.DefaultSubscriptions = append(c.DefaultSubscriptions, t.Name)
		}
	}
	for _, id := range []string{"emma", "noah/1.a", "Zoë Ltd"}[:w.IntN(4)] {
		w.account(id)
	}
	w.usage()
}

// account lists an account with subscriptions.
func (w *world) account(id string) {
	a := oracle.Account{ID: id, TimeZone: pick(w, "", "America/New_York", "Asia/Kolkata"), AnchorDay: pick(w, 0, 0, 28), Subscriptions: []oracle.Subscription{}}
	for n := range w.IntN(4) {
		t := pick(w, w.catalog.Tariffs...)
		s := oracle.Subscription{ID: fmt.Sprintf("s%d", n), Tariff: t.Name}
		if from := w.instant(); w.IntN(3) == 0 {
			s.From = &from
		}
		if until := w.instant(); w.IntN(3) == 0 && (s.From == nil || until.After(*s.From)) {
			s.Until = &until
		}
		if !slices.ContainsFunc(t.Versions, func(v oracle.Version) bool { return v.Plugin != "per_unit" }) {
			s.Params = map[string]any{"unit_price": w.decimal(2)}
		}
		a.Subscriptions = append(a.Subscriptions, s)
	}
	w.catalog.Accounts = append(w.catalog.Accounts, a)
}

// prices draws a model and its parameters.
func (w *world) prices() (plugin string, params map[string]any) {
	plugin = pick(w, "flat", "per_unit", "graduated", "graduated", "volume", "stairstep", "package", "aggregation")
	switch plugin {
	case "flat":
		return plugin, map[string]any{"amount": w.decimal(20)}
	case "per_unit":
		return plugin, map[string]any{"unit_price": w.decimal(2)}
	case "package":
		return plugin, map[string]any{"package_size": pick(w, "10", "0.5", "33"), "package_price": w.decimal(9), "free_units": w.decimal(20)}
	case "aggregation":
		return plugin, map[string]any{"type": pick(w, "sum", "count", "max", "min", "latest"), "unit_price": w.decimal(2)}
	}
	tiers := []any{}
	upTo := new(big.Rat)
	for n := 1 + w.IntN(4); n > 0; n-- {
		tier := map[string]any{"flat_fee": pick(w, "0", "0", "1.5")}
		if plugin != "stairstep" {
			tier["unit_price"] = w.decimal(2)
		}
		if tier["up_to"] = nil; n > 1 {
			upTo.Add(upTo, big.NewRat(1+w.Int64N(40000), 1000))
			tier["up_to"] = upTo.FloatString(3)
		}
		tiers = append(tiers, tier)
	}
	return plugin, map[string]any{"tiers": tiers}
}

// usage draws events, some of them twice, and some with another content.
func (w *world) usage() {
	for n := range 150 + w.IntN(150) {
		if n > 0 && w.IntN(12) == 0 {
			again := pick(w, w.events...)
			if w.IntN(3) == 0 {
				again.Data = map[string]string{"n": "77"}
			}
			w.events = append(w.events, again)
			continue
		}
		e := oracle.Event{
			Source: pick(w, "x", "y"), ID: fmt.Sprint(n), Type: pick(w, "a", "a", "b", "b", "b", "c"), Time: w.instant(),
			Account: pick(w, "emma", "noah/1.a", "Zoë Ltd", "ann", "bob"),
			Data:    map[string]string{"n": w.decimal(30), "region": pick(w, "eu", "us", "")},
		}
		switch w.IntN(30) {
		case 0:
			e.Data["n"] = "many"
		case 1:
			delete(e.Data, "n")
		case 2:
			e.Data["tier"] = "gold, \"or\" so"
		}
		w.events = append(w.events, e)
	}
}

// rate has the engine rate the world.
func (w *world) rate(t *testing.T) export.Report {
	t.Helper()
	data, err := json.Marshal(w.catalog)
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, e := range w.events {
		err := encoder.Encode(map[string]any{
			"specversion": "1.0", "source": e.Source, "id": e.ID, "type": e.Type, "subject": e.Account,
			"time": e.Time.Format(time.RFC3339Nano), "data": e.Data,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	usage := filepath.Join(t.TempDir(), "usage.jsonl")
	if err := os.WriteFile(usage, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := host.RateFiles(t.Context(), host.RateRequest{
		Catalog: []catalog.File{{Name: "catalog.json", Data: data}}, Usage: []string{usage}, Partitions: pick(w, 1, 2, 8),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return report
}
