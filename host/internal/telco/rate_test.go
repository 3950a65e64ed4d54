package telco_test

import (
	"bufio"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/telco"
	"github.com/tollway/tollway/sdk/billing"
)

const examples = "../../../examples/tariffs/telco"

// rate writes a world into a file and has it rated.
func rate(t *testing.T, world telco.Config, catalogFile string) export.Report {
	t.Helper()
	name := filepath.Join(t.TempDir(), "usage.jsonl")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriter(file)
	for a := range world.Arrivals() {
		line, err := ingest.AppendJSON(nil, &a.Event)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(out, "%s\n", line)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := catalog.ReadPath(filepath.Join(examples, catalogFile))
	if err != nil {
		t.Fatal(err)
	}
	report, err := host.RateFiles(t.Context(), host.RateRequest{Catalog: files, Usage: []string{name}, Partitions: 3})
	if err != nil {
		t.Fatal(err)
	}
	if n := uint64(world.Total()); len(report.DeadLetters) > 0 || report.Counts.Read != n || report.Counts.Priced != n {
		t.Fatalf("%+v %+v", report.Counts, report.DeadLetters)
	}
	return report
}

// TestChargedExample: the example's invoices are the known sums.
func TestChargedExample(t *testing.T) {
	world := telco.DefaultConfig()
	world.Months, world.Customers, world.EventsPerMonth = 2, 12, 60
	got, want := map[string]string{}, map[string]string{}
	for _, invoice := range rate(t, world, "catalog.yaml").Invoices {
		got[string(invoice.Account)+" "+invoice.Period.ID()] = invoice.Total.Fixed(2)
	}
	for m := range world.Months {
		for i := range world.Customers {
			want[string(world.Account(i))+" "+world.Period(m).ID()] = world.Sum(i).Fixed(2)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRatedExample: the invoices of the rated catalog are what its price list says, worked out here in fractions and from
// nothing but the events.
func TestRatedExample(t *testing.T) {
	world := telco.DefaultConfig()
	world.Mode, world.Months, world.EventsPerMonth = telco.Rated, 2, 100
	got := map[string]string{}
	for _, invoice := range rate(t, world, "rated/catalog.yaml").Invoices {
		got[string(invoice.Account)+" "+invoice.Period.ID()] = invoice.Total.Fixed(2)
	}
	if diff := cmp.Diff(priced(t, world), got); diff != "" {
		t.Error(diff)
	}
}

// usage is what one customer used in one month.
type usage struct {
	calls    map[string]*big.Rat // by band, each call priced and rounded
	data     *big.Rat
	messages int64
}

// priced works out the totals of a rated world.
func priced(t *testing.T, world telco.Config) map[string]string {
	t.Helper()
	used := map[string]*usage{}
	for a := range world.Arrivals() {
		e := a.Event
		key := string(e.Account) + " " + billing.Calendar{}.PeriodOf(e.Time).ID()
		if used[key] == nil {
			used[key] = &usage{calls: map[string]*big.Rat{"peak": {}, "off_peak": {}}, data: new(big.Rat)}
		}
		u := used[key]
		switch e.Type {
		case "call":
			band, _ := e.Value("band")
			price := map[string]string{"peak": "0.00149", "off_peak": "0.00049"}[band]
			call := new(big.Rat).Mul(number(t, e, "seconds"), rat(t, price))
			u.calls[band].Add(u.calls[band], rounded(t, call, 4))
		case "data":
			u.data.Add(u.data, number(t, e, "megabytes"))
		case "message":
			u.messages++
		}
	}
	totals := map[string]string{}
	for key, u := range used {
		lines := []*big.Rat{rat(t, "4.99"), u.calls["peak"], u.calls["off_peak"], rat(t, "3.50")}
		lines = append(lines,
			new(big.Rat).Mul(between(u.data, 2048, 6144), rat(t, "0.0049")),
			new(big.Rat).Mul(between(u.data, 6144, 1<<40), rat(t, "0.0019")))
		packages := (max(0, u.messages-10) + 9) / 10
		lines = append(lines, new(big.Rat).Mul(big.NewRat(packages, 1), rat(t, "0.75")))
		total := new(big.Rat)
		for _, line := range lines {
			total.Add(total, rounded(t, line, 2))
		}
		totals[key] = total.FloatString(2)
	}
	return totals
}

// between returns how much of a quantity lies above one bound and not above the other.
func between(quantity *big.Rat, above, upTo int64) *big.Rat {
	top := slices.MinFunc([]*big.Rat{quantity, big.NewRat(upTo, 1)}, (*big.Rat).Cmp)
	part := new(big.Rat).Sub(top, big.NewRat(above, 1))
	return slices.MaxFunc([]*big.Rat{part, new(big.Rat)}, (*big.Rat).Cmp)
}

// rounded rounds half up, away from zero, which is what FloatString does.
func rounded(t *testing.T, r *big.Rat, scale int) *big.Rat {
	t.Helper()
	return rat(t, r.FloatString(scale))
}

func rat(t *testing.T, text string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(strings.TrimSpace(text))
	if !ok {
		t.Fatalf("%q is not a number", text)
	}
	return r
}

func number(t *testing.T, e billing.UsageEvent, key string) *big.Rat {
	t.Helper()
	text, _ := e.Value(key)
	return rat(t, text)
}
