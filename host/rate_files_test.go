package host_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
)

// ratedCatalog has a price by the second for everybody but noah, who rents.
const ratedCatalog = `
meters: [{name: calls, event_type: call, quantity: seconds}]
tariffs:
  - name: per_second
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.01"}}]
  - name: rental
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat, params: {amount: "10"}}]
accounts:
  - {id: noah, time_zone: America/New_York, subscriptions: [{tariff: rental}]}
default_subscriptions: [per_second]
`

// ratedUsage has two months of calls, an event that no meter selects, and one
// without an account.
const ratedUsage = `{"specversion":"1.0","id":"1","source":"test","type":"call","subject":"emma","time":"2026-10-05T10:00:00Z","data":{"seconds":"60"}}
{"specversion":"1.0","id":"2","source":"test","type":"call","subject":"emma","time":"2026-11-05T10:00:00Z","data":{"seconds":30}}
{"specversion":"1.0","id":"3","source":"test","type":"fax","subject":"emma","time":"2026-11-05T10:00:00Z","data":{"seconds":30}}
{"specversion":"1.0","id":"4","source":"test","type":"call","time":"2026-11-05T10:00:00Z","data":{"seconds":30}}
`

// A file that takes long to read is rated like any other: no period is closed
// before its end, however long it has been over.
func TestRateFilesWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	const events = 20_001 // more than are written to the log at a time
	var lines bytes.Buffer
	for n := range events {
		fmt.Fprintf(&lines, `{"specversion":"1.0","id":"%d","source":"test","type":"call","subject":"emma","time":"2026-02-05T10:00:00Z","data":{"seconds":"1"}}`+"\n", n)
	}
	usage := filepath.Join(t.TempDir(), "usage.jsonl")
	if err := os.WriteFile(usage, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	first := true
	report, err := host.RateFiles(t.Context(), host.RateRequest{
		Catalog: []catalog.File{{Name: "catalog.yaml", Data: []byte(ratedCatalog)}}, Usage: []string{usage}, Partitions: 2,
		Progress: func(int) {
			if first {
				time.Sleep(2500 * time.Millisecond) // a host that runs on closes what is due every second
			}
			first = false
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := report.Counts; c.Priced != events || c.DeadLettered != 0 {
		t.Errorf("%+v, want all of %d events priced", c, events)
	}
}

// Files are rated to the same report in any number of partitions: a fee falls due
// in every month that had usage of anybody, lines that are no events are dead
// letters, and what is read twice counts once. The list has a dead letter once,
// however often it came; the counts have each.
func TestRateFiles(t *testing.T) {
	t.Parallel()
	usage := filepath.Join(t.TempDir(), "usage.jsonl")
	if err := os.WriteFile(usage, []byte(ratedUsage+ratedUsage), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, partitions := range []int{1, 2, 8} {
		report, err := host.RateFiles(t.Context(), host.RateRequest{
			Catalog: []catalog.File{{Name: "catalog.yaml", Data: []byte(ratedCatalog)}}, Usage: []string{usage}, Partitions: partitions,
		})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := report.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Invoices []struct {
				ID     string
				Period struct{ Start string }
				Lines  []struct{ Tariff, Description, Quantity, Amount string }
				Total  string
			}
			DeadLetters []struct{ ID, Reason string } `json:"dead_letters"`
			Counts      struct {
				Read, Priced, Duplicates int
				DeadLettered             int `json:"dead_lettered"`
			}
		}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		var bills, letters []string
		for _, i := range got.Invoices {
			text := i.ID + " from " + i.Period.Start
			for _, l := range i.Lines {
				text += " | " + l.Tariff + ": " + l.Quantity + " " + l.Description + " " + l.Amount
			}
			bills = append(bills, text+" | "+i.Total)
		}
		for _, l := range got.DeadLetters {
			letters = append(letters, l.ID+" "+l.Reason)
		}
		want := []string{
			"emma.2026-10-01.EUR.0 from 2026-10-01T00:00:00Z | per_second: 60 Usage 0.60 | 0.60",
			"noah.2026-10-01.EUR.0 from 2026-10-01T00:00:00-04:00 | rental: 1 Flat fee 10.00 | 10.00",
			"emma.2026-11-01.EUR.0 from 2026-11-01T00:00:00Z | per_second: 30 Usage 0.30 | 0.30",
			"noah.2026-11-01.EUR.0 from 2026-11-01T00:00:00-04:00 | rental: 1 Flat fee 10.00 | 10.00",
		}
		if diff := cmp.Diff(want, bills); diff != "" {
			t.Errorf("%d partitions: want (-), got (+):\n%s", partitions, diff)
		}
		if diff := cmp.Diff([]string{"3 no_meter", "4 missing_attribute"}, letters); diff != "" {
			t.Errorf("%d partitions: want (-), got (+):\n%s", partitions, diff)
		}
		if c := got.Counts; c.Read != 8 || c.Priced != 2 || c.Duplicates != 2 || c.DeadLettered != 4 {
			t.Errorf("%d partitions: %+v", partitions, c)
		}
	}
}

// An event that is larger than a message of the log may be is a dead letter of the
// report, and counted.
func TestRateFilesTellsOfWhatTheLogRefuses(t *testing.T) {
	t.Parallel()
	usage := filepath.Join(t.TempDir(), "usage.jsonl")
	const line = `{"specversion":"1.0","id":"%s","source":"test","type":"call","subject":"emma","time":"2026-10-05T10:00:00Z","data":{"seconds":"60","note":"%s"}}` + "\n"
	data := fmt.Sprintf(line, "small", "") + fmt.Sprintf(line, "large", strings.Repeat("x", 7_000_000))
	if err := os.WriteFile(usage, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := host.RateFiles(t.Context(), host.RateRequest{
		Catalog: []catalog.File{{Name: "catalog.yaml", Data: []byte(ratedCatalog)}}, Usage: []string{usage}, Partitions: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := report.Counts; c.Read != 2 || c.Priced != 1 || c.DeadLettered != 1 {
		t.Errorf("counts %+v, want 1 of 2 priced and 1 a dead letter", c)
	}
	if l := report.DeadLetters; len(l) != 1 || l[0].ID != "large" || l[0].Reason != "message_too_large" {
		t.Errorf("dead letters %+v", l)
	}
}
