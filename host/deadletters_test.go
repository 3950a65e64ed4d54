package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// A message of many bad elements is kept once, not once for each of them: its
// dead letters must not be thousands of times as large as what came in.
func TestBadElementsKeepTheirMessageOnce(t *testing.T) {
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	const elements = 5000
	body := "[" + strings.Repeat("1,          ", elements-1) + "1]"
	r.publish(0, "application/cloudevents-batch+json", []byte(body))
	kept, letters, token := 0, 0, ""
	for {
		list, counts, next, _, err := r.DeadLetters(host.DeadLetterFilter{}, query.Page{Size: query.MaxPageSize, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if counts.Read != elements || counts.DeadLettered != elements {
			t.Fatalf("%+v", counts)
		}
		for _, l := range list {
			if l.Position != 1 || l.Index != letters {
				t.Fatalf("dead letter %d names position %d, index %d", letters, l.Position, l.Index)
			}
			letters++
			kept += len(l.Event)
		}
		if token = next; token == "" {
			break
		}
	}
	if letters != elements || kept == 0 || kept > len(body) {
		t.Errorf("%d dead letters of a message of %d bytes keep %d bytes of it", letters, len(body), kept)
	}
}

// A producer that sends every event twice in a row, and none of them is priced,
// costs time in proportion to what it sends.
func TestRepeatedRejectionsAreNotSlow(t *testing.T) {
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(manual(""))
	var events []billing.UsageEvent
	for n := range 2500 {
		e := call(fmt.Sprint(n), "emma", "2025-10-10T00:00:00Z") // before the tariff is in force
		events = append(events, e, e)
	}
	r.send(events...)
	if c := r.Counters(); c.DeadLettered != uint64(len(events)) || c.Read != c.DeadLettered {
		t.Errorf("%+v", c)
	}
}
