// Package cloud_test rates real cloud bills and compares every total with what the providers charged.
package cloud_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
)

// rate rates lines of usage and returns the report without its counts.
func rate(t *testing.T, lines []string, partitions int) (text []byte, counts map[string]int) {
	t.Helper()
	usage := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(usage, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := catalog.ReadPath("catalog.yaml")
	if err != nil {
		t.Fatal(err)
	}
	report, err := host.RateFiles(t.Context(), host.RateRequest{Catalog: files, Usage: []string{usage}, Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	counts = map[string]int{
		"read": int(report.Counts.Read), "priced": int(report.Counts.Priced),
		"duplicates": int(report.Counts.Duplicates), "dead letters": int(report.Counts.DeadLettered),
	}
	report.Counts.Read, report.Counts.Priced, report.Counts.Duplicates, report.Counts.DeadLettered = 0, 0, 0, 0
	var b bytes.Buffer
	if err := report.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), counts
}

func events(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("events.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// rows reads a CSV file as one map for each row.
func rows(t *testing.T, name string) []map[string]string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]string
	for _, cells := range all[1:] {
		row := map[string]string{}
		for i, cell := range cells {
			row[all[0][i]] = cell
		}
		list = append(list, row)
	}
	return list
}

// TestTotals: the total of each account and service is what the providers charged, to the last digit.
func TestTotals(t *testing.T) {
	text, counts := rate(t, events(t), 2)
	if diff := cmp.Diff(map[string]int{"read": 997, "priced": 997, "duplicates": 0, "dead letters": 0}, counts); diff != "" {
		t.Error(diff)
	}
	var report struct {
		Invoices []struct {
			Account string
			Lines   []struct {
				Group  map[string]string
				Amount string
			}
		}
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	got, want := map[string]string{}, map[string]string{}
	for _, invoice := range report.Invoices {
		for _, line := range invoice.Lines {
			got[invoice.Account+" "+line.Group["service"]] = line.Amount
		}
	}
	for _, row := range rows(t, "expected_totals.csv") {
		want[row["subject"]+" "+row["service"]] = row["list_cost"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestOrderDuplicatesAndPartitions: none of them changes a byte of the invoices.
func TestOrderDuplicatesAndPartitions(t *testing.T) {
	lines := events(t)
	want, _ := rate(t, lines, 1)
	shuffled := slices.Clone(lines)
	random := rand.New(rand.NewPCG(1, 1))
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for name, c := range map[string]struct {
		lines      []string
		partitions int
		duplicates int
	}{
		"shuffled":                   {shuffled, 2, 0},
		"every event twice":          {append(slices.Clone(lines), lines...), 1, len(lines)},
		"eight partitions, all this": {append(slices.Clone(shuffled), lines...), 8, len(lines)},
	} {
		got, counts := rate(t, c.lines, c.partitions)
		if !bytes.Equal(want, got) {
			t.Errorf("%s: %s", name, cmp.Diff(string(want), string(got)))
		}
		if counts["duplicates"] != c.duplicates || counts["read"] != len(c.lines) {
			t.Errorf("%s: %v", name, counts)
		}
	}
}

// TestPrices: the catalog has the prices of prices.csv.
func TestPrices(t *testing.T) {
	files, err := catalog.ReadPath("catalog.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, problems := catalog.Parse(files)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	tariff := c.Tariffs["list_prices"]
	var params struct {
		Prices map[string]struct {
			UnitPrice string `json:"unit_price"`
			Rounding  struct {
				Scale json.Number
				Mode  string
			}
		}
	}
	if err := json.Unmarshal(tariff.Versions[0].Params, &params); err != nil {
		t.Fatal(err)
	}
	got, want := map[string][]string{}, map[string][]string{}
	for sku, price := range params.Prices {
		got[sku] = []string{string(tariff.Currency), price.UnitPrice, price.Rounding.Scale.String(), price.Rounding.Mode}
	}
	for _, row := range rows(t, "prices.csv") {
		want[row["meter"]] = []string{row["currency"], row["list_unit_price"], row["line_scale"], row["line_rounding"]}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 267 {
		t.Errorf("%d prices: %s", len(want), diff)
	}
}
