package query_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// Answers that are made in each other's memory are those that were asked for, whoever
// asks at the same time, and what is kept without being released stays as it was.
func TestAnswersInMemoryThatIsUsedAgain(t *testing.T) {
	w := newWorld(t, 2)
	const accounts, rounds = 8, 200
	want := map[billing.AccountID][]string{}
	for n := range accounts {
		account := billing.AccountID(fmt.Sprint("account-", n))
		for row := range n * 3 { // the first has none
			amount := fmt.Sprint(n*100 + row)
			w.commit(slot(string(account), fmt.Sprintf("t%02d", row), october, amount, cents))
			want[account] = append(want[account], fmt.Sprintf("%s t%02d %s.00", account, row, amount))
		}
	}
	shown := func(s query.Subtotals) (list []string) {
		for i := range s.Subtotals {
			r := &s.Subtotals[i]
			if len(r.Lines) != 1 || r.Lines[0].AmountText != r.AmountText || len(r.Group) != 1 || r.Group[0].Text != "eu" {
				t.Errorf("row %+v", r)
			}
			list = append(list, fmt.Sprintf("%s %s %s", r.Account, r.Tariff, r.AmountText))
		}
		return list
	}
	check := func(account billing.AccountID, s query.Subtotals) {
		if got := shown(s); fmt.Sprint(got) != fmt.Sprint(want[account]) {
			t.Errorf("%s: got %v, want %v", account, got, want[account])
		}
	}
	var group sync.WaitGroup
	for asker := range 4 {
		group.Go(func() {
			kept := map[billing.AccountID]query.Subtotals{}
			for n := range rounds {
				account := billing.AccountID(fmt.Sprint("account-", (n*5+asker)%accounts))
				s, err := w.engine.Account(query.Filter{Account: account})
				if err != nil {
					t.Error(err)
					return
				}
				check(account, s)
				if n%7 == 0 {
					kept[account] = s
					continue
				}
				s.Release()
				if s.Subtotals != nil {
					t.Error("a released answer still has rows")
				}
				s.Release() // which does nothing more
			}
			for account, s := range kept {
				check(account, s)
			}
		})
	}
	group.Wait()
}

// An answer that is released costs the collector what it says and little else.
func TestReleasedAnswersAllocateLittle(t *testing.T) {
	w := newWorld(t, 1)
	const rows = 40
	for row := range rows {
		w.commit(slot("emma", fmt.Sprintf("t%02d", row), october, "1", cents))
	}
	bytes := func(release bool) uint64 {
		const answers = 200
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range answers {
			s, err := w.engine.Account(query.Filter{Account: "emma"})
			if err != nil {
				t.Fatal(err)
			}
			if release {
				s.Release()
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / answers
	}
	with, without := bytes(true), bytes(false)
	t.Logf("%d bytes with, %d without", with, without)
	if with > without*3/4 {
		t.Errorf("an answer of %d rows takes %d bytes when the one before was released, %d when not", rows, with, without)
	}
}
