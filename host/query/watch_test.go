package query_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/query"
)

// next returns an update, which must come.
func next(ctx context.Context, t interface {
	Helper()
	Fatal(args ...any)
}, w *query.Watcher,
) query.Update {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	u, err := w.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// rows shows an update's subtotals.
func rows(u query.Update) []string {
	list := []string{}
	for _, s := range u.Subtotals.Subtotals {
		list = append(list, string(s.Account)+" "+s.Tariff+" "+s.AmountText)
	}
	return list
}

func wantRows(t *testing.T, u query.Update, kind query.UpdateKind, want ...string) {
	t.Helper()
	if u.Kind != kind || !slices.Equal(rows(u), want) {
		t.Errorf("update of kind %d with %q, want %d with %q", u.Kind, rows(u), kind, want)
	}
}

// A watch that was broken off goes on with what has changed since, and nothing else.
func TestWatchResumes(t *testing.T) {
	w := newWorld(t, 3)
	w.commit(slot("emma", "a", october, "1", cents), slot("noah", "a", october, "1", cents), slot("zoe", "a", october, "1", cents))
	for _, account := range []string{"", "noah"} {
		f := query.Filter{Account: ""}
		if account != "" {
			f.Account = "noah"
		}
		first := w.engine.Watch(f, time.Minute)
		snapshot := next(t.Context(), t, first)
		first.Close()
		if snapshot.Kind != query.UpdateSnapshot || snapshot.Resume == "" {
			t.Fatalf("snapshot %+v", snapshot)
		}
		idle := w.engine.Watch(f, time.Minute)
		if !idle.Resume(snapshot.Resume) {
			t.Fatal("the token is good, and was refused")
		}
		wantRows(t, next(t.Context(), t, idle), query.UpdateHeartbeat)
		idle.Close()
		w.commit(slot("noah", "a", october, "2", cents))
		again := w.engine.Watch(f, time.Minute)
		again.Resume(snapshot.Resume)
		missed := next(t.Context(), t, again)
		wantRows(t, missed, query.UpdateChanged, "noah a 2.00")
		w.commit(slot("noah", "a", october, "3", cents))
		wantRows(t, next(t.Context(), t, again), query.UpdateChanged, "noah a 3.00")
		again.Close()
		w.commit(slot("noah", "a", october, "1", cents))
	}
	other := newWorld(t, 3)
	other.commit(slot("emma", "a", october, "1", cents))
	watch := w.engine.Watch(query.Filter{}, time.Minute)
	u := next(t.Context(), t, watch)
	watch.Close()
	stranger := other.engine.Watch(query.Filter{}, time.Minute)
	defer stranger.Close()
	for _, bad := range []string{u.Resume, "", "x", u.Resume[:9]} {
		if stranger.Resume(bad) {
			t.Errorf("the token %q of another process, or of none, was taken", bad)
		}
	}
	wantRows(t, next(t.Context(), t, stranger), query.UpdateSnapshot, "emma a 1.00")
}

// Whatever is committed, and whenever a watch reads, breaks off and is resumed, what
// its reader has merged is the state in the end.
func TestWatchFollowsWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, 3)
		f := query.Filter{}
		if rapid.Bool().Draw(rt, "one account") {
			f.Account = "account-1"
		}
		known, resume := map[string]string{}, ""
		var watch *query.Watcher
		begin := func() {
			watch = w.engine.Watch(f, 5*time.Millisecond)
			if resume != "" {
				watch.Resume(resume)
			}
		}
		read := func() query.UpdateKind {
			u := next(t.Context(), rt, watch)
			if u.Kind == query.UpdateSnapshot {
				clear(known)
			}
			for _, s := range u.Subtotals.Subtotals {
				known[string(s.Account)+" "+s.Tariff] = s.AmountText
			}
			if u.Resume != "" {
				resume = u.Resume
			}
			return u.Kind
		}
		begin()
		defer func() { watch.Close() }()
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				account := fmt.Sprint("account-", rapid.IntRange(0, 4).Draw(rt, "account"))
				w.commit(slot(account, rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "tariff"), october, fmt.Sprint(rapid.IntRange(0, 99).Draw(rt, "amount")), cents))
			case 2:
				read()
			case 3:
				watch.Close()
				begin()
			}
		}
		page, err := w.engine.List(f, query.Page{Size: query.MaxPageSize})
		if err != nil {
			rt.Fatal(err)
		}
		want := map[string]string{}
		for _, s := range page.Subtotals {
			want[string(s.Account)+" "+s.Tariff] = s.AmountText
		}
		// A sign of life may come before a change that rests.
		for deadline := time.Now().Add(time.Minute); read() != query.UpdateHeartbeat || fmt.Sprint(known) != fmt.Sprint(want); {
			if time.Now().After(deadline) {
				rt.Fatalf("the reader knows %v, the state is %v", known, want)
			}
		}
	})
}

// A reader that stops reading falls out of the journal, and still comes to know
// everything that has changed, once.
func TestWatchThatFallsBehind(t *testing.T) {
	w := newWorld(t, 1)
	watch := w.engine.Watch(query.Filter{}, time.Millisecond)
	defer watch.Close()
	w.commit(slot("account-00000", "a", october, "1", cents))
	wantRows(t, next(t.Context(), t, watch), query.UpdateSnapshot, "account-00000 a 1.00")
	const accounts = 3000
	for round := range 100 { // more accounts than a journal names
		if round > 0 {
			w.engine.Committed(0, func(each func(string)) {
				for i := range accounts {
					each(fmt.Sprintf("account-%05d", i))
				}
			})
			continue
		}
		for i := range accounts {
			if err := w.states[0].Put(slot(fmt.Sprintf("account-%05d", i), "a", october, "2", cents)); err != nil {
				t.Fatal(err)
			}
		}
		w.commit()
	}
	seen := map[string]int{}
	for {
		u := next(t.Context(), t, watch)
		if u.Kind == query.UpdateHeartbeat {
			break
		}
		if u.Kind != query.UpdateChanged {
			t.Fatalf("an update of kind %d", u.Kind)
		}
		for _, r := range rows(u) {
			seen[r]++
		}
	}
	if len(seen) != accounts || seen["account-00007 a 2.00"] != 1 {
		t.Errorf("%d accounts came, want %d, one of them %d times", len(seen), accounts, seen["account-00007 a 2.00"])
	}
}

// Changes between two updates are merged.
func TestWatchRests(t *testing.T) {
	w := newWorld(t, 1)
	watch := w.engine.Watch(query.Filter{Account: "emma"}, time.Minute)
	defer watch.Close()
	watch.Rest(100 * time.Millisecond)
	next(t.Context(), t, watch)
	w.commit(slot("emma", "a", october, "1", cents))
	wantRows(t, next(t.Context(), t, watch), query.UpdateChanged, "emma a 1.00")
	for i := range 5 {
		w.commit(slot("emma", "a", october, fmt.Sprint(10+i), cents))
	}
	wantRows(t, next(t.Context(), t, watch), query.UpdateChanged, "emma a 14.00")
}

// A watch of the latest state does not wait for checkpoints.
func TestWatchLatest(t *testing.T) {
	w := newWorld(t, 1)
	w.commit(slot("emma", "a", october, "1", cents))
	watch := w.engine.Watch(query.Filter{Account: "emma", Latest: true}, time.Minute)
	defer watch.Close()
	wantRows(t, next(t.Context(), t, watch), query.UpdateSnapshot, "emma a 1.00")
	for i := range 3 {
		if err := w.states[0].Put(slot("emma", "a", october, fmt.Sprint(2+i), cents)); err != nil {
			t.Fatal(err)
		}
		w.states[0].Now().Position++
		w.states[0].Publish()
		w.engine.Advanced(0)
		wantRows(t, next(t.Context(), t, watch), query.UpdateChanged, fmt.Sprintf("emma a %d.00", 2+i))
	}
}

// A change is told without what has not changed; the totals count that all the same.
func TestWatchTellsWhatHasChanged(t *testing.T) {
	w := newWorld(t, 1)
	w.commit(slot("emma", "a", october, "1", cents), slot("emma", "b", october, "2", cents), slot("emma", "c", october, "4", cents))
	one, all := w.engine.Watch(query.Filter{Account: "emma"}, time.Minute), w.engine.Watch(query.Filter{}, time.Minute)
	defer one.Close()
	defer all.Close()
	for _, watch := range []*query.Watcher{one, all} {
		wantRows(t, next(t.Context(), t, watch), query.UpdateSnapshot, "emma a 1.00", "emma b 2.00", "emma c 4.00")
	}
	w.commit(slot("emma", "b", october, "20", cents))
	u := next(t.Context(), t, one)
	wantRows(t, u, query.UpdateChanged, "emma b 20.00")
	if len(u.Totals) != 1 || u.Totals[0].AmountText != "25.00" {
		t.Errorf("the totals are %+v, want 25.00", u.Totals)
	}
	wantRows(t, next(t.Context(), t, all), query.UpdateChanged, "emma b 20.00")
}

// A partition's state that is made again has changed for those who remember it.
func TestWatchResumesOverAStateMadeAgain(t *testing.T) {
	w := newWorld(t, 1)
	w.commit(slot("emma", "a", october, "1", cents))
	w.commit(slot("emma", "a", october, "2", cents))
	first := w.engine.Watch(query.Filter{Account: "emma"}, time.Minute)
	snapshot := next(t.Context(), t, first)
	first.Close()
	w.states[0].Reset()
	w.commit(slot("emma", "a", october, "3", cents))
	again := w.engine.Watch(query.Filter{Account: "emma"}, time.Minute)
	defer again.Close()
	if !again.Resume(snapshot.Resume) {
		t.Fatal("the token was refused")
	}
	wantRows(t, next(t.Context(), t, again), query.UpdateChanged, "emma a 3.00")
}
