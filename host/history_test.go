package host_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// days writes emma's history of October by day, one tariff after the other.
func (r *running) days() []string {
	r.t.Helper()
	h, err := r.History(r.patient(), query.HistoryRequest{Filter: query.Filter{Account: "emma", Period: "2026-10"}, ByDay: true})
	if err != nil {
		r.t.Fatal(err)
	}
	list := []string{}
	for _, s := range h.Series {
		for _, b := range s.Buckets {
			list = append(list, fmt.Sprintf("%s %s %s (%d)", s.Tariff, b.Start.Format("02"), b.AmountText, b.Events))
		}
		if s.RestText != "0.00" || s.RestEvents != 0 {
			list = append(list, fmt.Sprintf("%s rest %s (%d)", s.Tariff, s.RestText, s.RestEvents))
		}
	}
	return list
}

// A void takes its event out of a history and an amendment changes what it says in its
// place: in a period that is open and in one that is closed, in a history that goes on
// and in one that begins anew.
func TestHistoryIsCorrected(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2027-01-10T00:00:00Z")
	r.apply(peaks)
	r.send(
		call("1", "emma", "2026-10-05T00:00:00Z", "q", "5", "who", "a"),
		call("2", "emma", "2026-10-06T00:00:00Z", "q", "9", "who", "b"),
		call("3", "emma", "2026-10-07T00:00:00Z", "q", "12", "who", "c"))
	want(t, r.days(),
		"peak 05 5.00 (1)", "peak 06 4.00 (1)", "peak 07 3.00 (1)", "people 05 100.00 (1)", "people 06 100.00 (1)", "people 07 100.00 (1)")
	// A void of what has not come is a dead letter, and takes nothing out when it comes.
	r.send(voids("early", "4", "emma"), voids("v", "2", "emma"), voids("again", "2", "emma"), amends("a", "1", "emma", `{"q":"7","who":"a"}`, ""))
	voided := []string{"peak 05 7.00 (1)", "peak 07 5.00 (1)", "people 05 100.00 (1)", "people 07 100.00 (1)"}
	want(t, r.days(), voided...)
	r.restart()
	want(t, r.days(), voided...)
	r.close("2026-10", "")
	want(t, r.days(), voided...)
	// Late usage and corrections of a closed period are in it too.
	r.send(call("4", "emma", "2026-10-08T00:00:00Z", "q", "13", "who", "a"), amends("b", "3", "emma", "", "2026-10-09T00:00:00Z"))
	late := []string{"peak 05 7.00 (1)", "peak 08 1.00 (1)", "peak 09 5.00 (1)", "people 05 100.00 (1)", "people 08 0.00 (1)", "people 09 100.00 (1)"}
	want(t, r.days(), late...)
	r.close("2026-11", "")
	want(t, r.days(), late...)
	r.restart()
	want(t, r.days(), late...)
	if done, err := r.SettleLetters(r.patient(), host.SettleRequest{By: "test"}); err != nil || done.Priced != 1 {
		t.Fatal(done, err)
	}
	want(t, r.days(), "peak 05 7.00 (1)", "peak 09 5.00 (1)", "people 05 100.00 (1)", "people 09 100.00 (1)")
}

// However usage is voided and amended, a history has each day's events as they are now,
// and its buckets are the subtotals.
func TestHistoryOfCorrectedWorlds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed+1), func(t *testing.T) {
			t.Parallel()
			w := rand.New(rand.NewPCG(seed, 5))
			r := startHost(t, 1, "2027-01-10T00:00:00Z")
			r.apply(peaks)
			at := map[string]time.Time{}
			for step := range 6 {
				var events []billing.UsageEvent
				for n := range 20 {
					id := fmt.Sprint(step, "-", n)
					e := call(id, "emma", "2026-10-01T00:00:00Z", "q", fmt.Sprint(w.IntN(90)), "who", string(rune('a'+w.IntN(9))))
					e.Time = e.Time.Add(time.Duration(w.IntN(31*24)) * time.Hour)
					events, at[id] = append(events, e), e.Time
				}
				r.send(events...)
				events = nil
				known := make([]string, 0, len(at))
				for id := range at {
					known = append(known, id)
				}
				slices.Sort(known)
				for n := range 4 {
					id := known[w.IntN(len(known))]
					switch correction := fmt.Sprint("c", step, "-", n); {
					case w.IntN(2) == 0:
						events = append(events, voids(correction, id, "emma"))
						at[id] = time.Time{}
					case at[id].IsZero(): // it was voided: nothing amends it any more
						events = append(events, amends(correction, id, "emma", `{"q":"50","who":"z"}`, ""))
					default:
						at[id] = time.Date(2026, 10, 1+w.IntN(31), 5, 0, 0, 0, time.UTC)
						events = append(events, amends(correction, id, "emma", "", at[id].Format(time.RFC3339)))
					}
				}
				r.send(events...)
				if step == 2 {
					r.close("2026-10", "")
				}
				if step == 4 {
					r.restart()
				}
				checkHistory(t, r, query.HistoryRequest{Filter: query.Filter{Account: "emma", Period: "2026-10"}})
				checkDays(t, r, at)
			}
		})
	}
}

// checkDays compares how many events each day has.
func checkDays(t *testing.T, r *running, at map[string]time.Time) {
	t.Helper()
	wanted := map[string]uint64{}
	for _, day := range at {
		if !day.IsZero() {
			wanted[day.Format(time.DateOnly)]++
		}
	}
	h, err := r.History(r.patient(), query.HistoryRequest{Filter: query.Filter{Account: "emma", Period: "2026-10"}, ByDay: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range h.Series {
		if len(s.Buckets) != len(wanted) {
			t.Errorf("%s: %d days, want %d", s.Tariff, len(s.Buckets), len(wanted))
		}
		for _, b := range s.Buckets {
			if day := b.Start.Format(time.DateOnly); b.Events != wanted[day] {
				t.Errorf("%s: %d events on %s, want %d", s.Tariff, b.Events, day, wanted[day])
			}
		}
	}
}
