package host_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
)

// A source that numbers each account's events from 1 gives the same bytes for
// any number of partitions.
func TestIdentityBelongsToTheAccount(t *testing.T) {
	usage := filepath.Join(t.TempDir(), "usage.csv")
	lines := "source,id,type,subject,time\n"
	for _, account := range []string{"emma", "noah", "mia", "liam"} {
		lines += "switch,1,call," + account + ",2026-10-05T10:00:00Z\n"
		lines += "switch,1,call," + account + ",2026-10-05T10:00:00Z\n" // sent again
		lines += "switch,1,call," + account + ",2026-10-06T10:00:00Z\n" // something else
	}
	if err := os.WriteFile(usage, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	var first string
	for _, partitions := range []int{1, 2, 8} {
		report, err := host.RateFiles(t.Context(), host.RateRequest{
			Catalog: []catalog.File{{Name: "catalog.yaml", Data: []byte(manual(""))}}, Usage: []string{usage}, Partitions: partitions,
		})
		if err != nil {
			t.Fatal(err)
		}
		if c := report.Counts; c.Priced != 4 || c.Duplicates != 4 || c.DeadLettered != 4 {
			t.Errorf("%d partitions: %+v", partitions, c)
		}
		var b bytes.Buffer
		if err := report.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = b.String()
		} else if b.String() != first {
			t.Errorf("%d partitions print something else than 1:\n%s%s", partitions, first, b.String())
		}
	}
}
