package query_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/query"
)

// However many watch an account, what a checkpoint has changed there is read and
// written down once.
func TestWatchesOfAnAccountShareWhatTheyAreTold(t *testing.T) {
	w := newWorld(t, 2)
	w.commit(slot("emma", "a", october, "1", cents), slot("emma", "b", october, "1", cents))
	const many = 100
	var watches []*query.Watcher
	for range many {
		watch := w.engine.Watch(query.Filter{Account: "emma"}, time.Minute)
		defer watch.Close()
		next(t.Context(), t, watch)
		watches = append(watches, watch)
	}
	other := w.engine.Watch(query.Filter{Account: "emma", Tariff: "b"}, time.Minute)
	defer other.Close()
	next(t.Context(), t, other)
	for round := range 3 {
		w.commit(slot("emma", "a", october, fmt.Sprint(round+2), cents), slot("emma", "b", october, fmt.Sprint(round+5), cents))
		encoded := [2]int{}
		encode := func(as query.Encoding) func(*query.Subtotals) []byte {
			return func(*query.Subtotals) []byte {
				encoded[as]++
				return []byte{byte(round), byte(as)}
			}
		}
		var first *query.Subtotal
		for i, watch := range watches {
			u := next(t.Context(), t, watch)
			wantRows(t, u, query.UpdateChanged, fmt.Sprintf("emma a %d.00", round+2), fmt.Sprintf("emma b %d.00", round+5))
			if i == 0 {
				first = &u.Subtotals.Subtotals[0]
			}
			if &u.Subtotals.Subtotals[0] != first {
				t.Errorf("round %d: watch %d has read the state for itself", round, i)
			}
			as := []query.Encoding{query.EncodingBinary, query.EncodingJSON}[i%2]
			if b := u.Encoded(as, encode(as)); len(b) != 2 || b[0] != byte(round) || b[1] != byte(as) {
				t.Errorf("round %d: watch %d has %v", round, i, b)
			}
		}
		if encoded != [2]int{1, 1} {
			t.Errorf("round %d: written down %v times", round, encoded)
		}
		wantRows(t, next(t.Context(), t, other), query.UpdateChanged, fmt.Sprintf("emma b %d.00", round+5))
	}
}

// Whenever each of several watches of an account reads, it comes to the same state in
// the end, whatever was made for the others meanwhile.
func TestWatchesOfAnAccountAllComeToTheState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, 2)
		w.commit(slot("emma", "a", october, "0", cents))
		f := query.Filter{Account: "emma"}
		var watches [3]*query.Watcher
		var known [len(watches)]map[string]string
		read := func(i int) query.UpdateKind {
			u := next(t.Context(), rt, watches[i])
			for _, s := range u.Subtotals.Subtotals {
				known[i][s.Tariff] = s.AmountText
			}
			return u.Kind
		}
		for i := range watches {
			watches[i], known[i] = w.engine.Watch(f, time.Millisecond), map[string]string{}
			defer watches[i].Close()
			read(i)
		}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "commit") {
				account := rapid.SampledFrom([]string{"emma", "noah"}).Draw(rt, "account")
				tariff := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "tariff")
				w.commit(slot(account, tariff, october, fmt.Sprint(rapid.IntRange(0, 99).Draw(rt, "amount")), cents))
			} else {
				read(rapid.IntRange(0, len(watches)-1).Draw(rt, "watch"))
			}
		}
		now, err := w.engine.Account(f)
		if err != nil {
			rt.Fatal(err)
		}
		deadline := time.Now().Add(time.Minute)
		for i := range watches {
			comes := func() bool {
				for _, s := range now.Subtotals {
					if known[i][s.Tariff] != s.AmountText {
						return false
					}
				}
				return true
			}
			for !comes() {
				if read(i); time.Now().After(deadline) {
					rt.Fatalf("watch %d has come to %v, the state is %+v", i, known[i], now.Subtotals)
				}
			}
		}
	})
}
