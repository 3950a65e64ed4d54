package host_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
)

func TestRateFiles(t *testing.T) {
	dir := t.TempDir()
	usage := filepath.Join(dir, "usage.jsonl")
	lines := `{"specversion":"1.0","id":"1","source":"test","type":"call","subject":"emma","time":"2026-10-05T10:00:00Z","data":{"seconds":"60"}}
{"specversion":"1.0","id":"2","source":"test","type":"call","subject":"emma","time":"2026-11-05T10:00:00Z","data":{"seconds":30}}
{"specversion":"1.0","id":"3","source":"test","type":"fax","subject":"emma","time":"2026-11-05T10:00:00Z","data":{"seconds":30}}
{"specversion":"1.0","id":"4","source":"test","type":"call","time":"2026-11-05T10:00:00Z","data":{"seconds":30}}
`
	if err := os.WriteFile(usage, []byte(lines+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := `
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
	for _, partitions := range []int{1, 8} {
		report, err := host.RateFiles(t.Context(), host.RateRequest{
			Catalog: []catalog.File{{Name: "catalog.yaml", Data: []byte(yaml)}}, Usage: []string{usage}, Partitions: partitions,
		})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := report.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", b.String())
	}
}
