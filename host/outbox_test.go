package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/checkpoint"
)

// An entry that no message can hold is published without its largest part, and
// does not hold back what comes after it.
func TestFit(t *testing.T) {
	invoice := `{"id":"emma.2026-10-01.EUR.0","lines":[` + strings.Repeat(`{"amount":"1.00"},`, 500) + `{}],"total":"500.00"}`
	letter := `{"id":"1","reason":"no_meter","detail":"type: no","event":{"data":"` + strings.Repeat("x", 5000) + `"}}`
	for _, c := range []struct{ entry, keeps, omits string }{{invoice, "total", "lines"}, {letter, "detail", "event"}} {
		whole, err := fit([]byte(c.entry), len(c.entry))
		if err != nil || string(whole) != c.entry {
			t.Errorf("an entry that fits was changed: %s, %v", whole, err)
		}
		short, err := fit([]byte(c.entry), 1000)
		if err != nil || len(short) > 1000 {
			t.Fatalf("%d bytes, %v", len(short), err)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(short, &got); err != nil {
			t.Fatal(err)
		}
		if got["id"] == nil || got[c.keeps] == nil || got[c.omits] != nil || !strings.Contains(string(got["omitted"]), fmt.Sprintf(`"fields":[%q],"bytes":%d`, c.omits, len(c.entry))) {
			t.Errorf("%s", short)
		}
	}
	if short, err := fit([]byte(`{"id":"`+strings.Repeat("x", 2000)+`"}`), 1000); err == nil {
		t.Errorf("%s", short)
	}
}

// What is read at a time is bounded by its bytes as well: a month's end brings thousands
// of invoices, each up to as large as a message can be.
func TestFittingIsBounded(t *testing.T) {
	o := checkpoint.SmallOptions()
	o.FreeMinBytes, o.NoSync = 0, true
	s, err := checkpoint.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	p, err := s.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	const size, entries = 500_000, 20
	var invoices [][]byte
	for range entries {
		invoices = append(invoices, []byte(`{"total":"`+strings.Repeat("1", size)+`"}`))
	}
	if err := p.Commit(&checkpoint.Commit{Appends: map[uint8][][]byte{accumulate.LogInvoices: invoices}}); err != nil {
		t.Fatal(err)
	}
	for first := uint64(1); first <= entries; {
		some, err := fitting(p, accumulate.LogInvoices, first, entries, 1<<20)
		if err != nil || len(some) == 0 || len(some) > outboxBytes/size+1 || !bytes.Equal(some[0], invoices[0]) {
			t.Fatalf("%d entries from %d on, %v", len(some), first, err)
		}
		first += uint64(len(some))
	}
	if some, err := fitting(p, accumulate.LogInvoices, 3, 4, 1<<20); err != nil || len(some) != 2 {
		t.Errorf("%d entries, %v", len(some), err)
	}
}
