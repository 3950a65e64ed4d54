package chaos

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Every event of a world is sent, once as new, and about as many again as are said to
// be.
func TestDeliveriesAreComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := World{Seed: rapid.Uint64().Draw(t, "seed"), Events: rapid.Int64Range(1, 3000).Draw(t, "events"), Accounts: 3}
		first, again, behind := map[int64]bool{}, 0, 0
		newest := int64(-1)
		for n, twice := range w.Deliveries() {
			if twice {
				if again++; !first[n] {
					t.Fatalf("event %d is sent again before it is sent", n)
				}
				continue
			}
			if first[n] {
				t.Fatalf("event %d is sent as new twice", n)
			}
			if first[n] = true; n < newest {
				behind++
			}
			newest = max(newest, n)
		}
		if int64(len(first)) != w.Events {
			t.Fatalf("%d of %d events are sent", len(first), w.Events)
		}
		if many := int(w.Events); many > 2000 && (again < many*3/100 || again > many*8/100 || behind < many*3/100 || behind > many*9/100) {
			t.Fatalf("of %d events %d are sent again, %d out of order", many, again, behind)
		}
	})
}

// An event has an account of the world and a time within it, and is the same each
// time it is asked for.
func TestEventsAreTheWorlds(t *testing.T) {
	w := World{Seed: 3, Events: 1000, Accounts: 7}
	end := worldStart.AddDate(0, Months, 0)
	for n := range w.Events {
		e, same := w.Event(n), w.Event(n)
		if e.ID != same.ID || !e.Time.Equal(same.Time) || !maps.Equal(e.Data, same.Data) {
			t.Fatalf("event %d is %v, and then %v", n, e, same)
		}
		if e.Time.Before(worldStart) || !e.Time.Before(end) || w.shardOf(e.Account) < 0 {
			t.Fatalf("event %d is out of the world: %v", n, e)
		}
	}
}

// The comparison finds an event that is missing, one that is counted twice, and an
// amount that is wrong by the last digit.
func TestCompareFinds(t *testing.T) {
	w := World{Seed: 3, Events: 400, Accounts: 2}
	want, _, err := w.Want(true)
	if err != nil {
		t.Fatal(err)
	}
	counted := 0
	for line := range want {
		parts := strings.Split(line, "|")
		if parts[3] != countTariff {
			continue
		}
		counted++
		for _, quantity := range []string{"1", "100000"} {
			got := maps.Clone(want)
			delete(got, line)
			parts[len(parts)-2] = quantity
			got[strings.Join(parts, "|")] = true
			var v verdict
			v.count(got, want)
			if quantity == "1" && v.lost == 0 || quantity == "100000" && v.doubled == 0 {
				t.Errorf("%s: %+v", line, v)
			}
		}
	}
	if counted == 0 {
		t.Fatal("no line counts events")
	}
	if v := compare(nil, want); v.wrong != len(want) || v.lost != w.Events {
		t.Errorf("nothing billed: %d lines, %d events lost; want %d and %d", v.wrong, v.lost, len(want), w.Events)
	}
}
