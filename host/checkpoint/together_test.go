package checkpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"
)

// manyPartitions opens partitions 0 to n-1.
func manyPartitions(t testing.TB, s *Store, n int) []*Partition {
	t.Helper()
	partitions := make([]*Partition, n)
	for i := range partitions {
		var err error
		if partitions[i], err = s.Partition(i); err != nil {
			t.Fatal(err)
		}
	}
	return partitions
}

// awaitBehind returns once so many callers wait for the transaction that is written.
func awaitBehind(s *Store, callers int) {
	for n := 0; n < callers; runtime.Gosched() {
		s.together.mu.Lock()
		n = len(s.together.waiting)
		s.together.mu.Unlock()
	}
}

// held lets the first transaction wait until as many callers are behind it as are
// wanted, and counts all of them.
func held(s *Store, behind int) (transactions *int) {
	inner, transactions := s.commitTransaction, new(int)
	s.commitTransaction = func(txn *badger.Txn) error {
		if *transactions++; *transactions == 1 {
			awaitBehind(s, behind)
		}
		return inner(txn)
	}
	return transactions
}

// Partitions that commit at a time share a transaction, and each has all of its own.
func TestCommitsGoTogether(t *testing.T) {
	const partitions = 8
	dir := t.TempDir()
	s, _ := mustOpen(t, dir, testOptions())
	models := make([]*model, partitions)
	open := manyPartitions(t, s, partitions)
	for round := range uint64(3) {
		transactions := held(s, partitions-1)
		inner := s.commitTransaction
		var group errgroup.Group
		for i, p := range open {
			if models[i] == nil {
				models[i] = newModel()
			}
			c := scripted(uint64(i)*7 + round + 1)
			models[i].apply(c)
			group.Go(func() error { return p.Commit(c) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if round < 2 && *transactions != 2 {
			t.Errorf("round %d: %d transactions", round, *transactions)
		}
		s.commitTransaction = inner
		for i, p := range open {
			models[i].check(t, p)
		}
	}
	mustClose(t, s)
	s, _ = mustOpen(t, dir, testOptions())
	defer mustClose(t, s)
	for i, p := range manyPartitions(t, s, partitions) {
		models[i].check(t, p)
	}
}

// A transaction that fails fails all who are in it, and nobody else.
func TestFailTogether(t *testing.T) {
	const partitions = 5
	s, _ := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	open := manyPartitions(t, s, partitions)
	held(s, partitions-1)
	inner, injected, calls := s.commitTransaction, errors.New("injected"), 0
	s.commitTransaction = func(txn *badger.Txn) error {
		if err := inner(txn); err != nil {
			return err
		}
		if calls++; calls == 2 {
			return injected
		}
		return nil
	}
	errs := make([]error, partitions)
	var group sync.WaitGroup
	for i, p := range open {
		group.Go(func() { errs[i] = p.Commit(&Commit{Header: []byte("one")}) })
	}
	group.Wait()
	failed := 0
	for i, p := range open {
		switch again := p.Commit(&Commit{Header: []byte("two")}); {
		case errs[i] == nil:
			if again != nil {
				t.Errorf("partition %d, which had no part in it: %v", i, again)
			}
		case !errors.Is(errs[i], ErrUncertain) || !errors.Is(errs[i], injected) || again == nil:
			t.Errorf("partition %d: %v, then %v", i, errs[i], again)
		default:
			failed++
		}
	}
	if failed != partitions-1 {
		t.Errorf("%d commits failed", failed)
	}
}

// What is written together stays within what a transaction takes, in the order in
// which it came, and everybody is told.
func TestTogetherWithinLimits(t *testing.T) {
	t.Parallel()
	const callers, calls = 16, 40
	limit, keys := cost{tree: 10_000, files: 100_000}, 12
	var all together
	zeros := make([]byte, 40_000)
	var written [callers]int
	ledAt, errOdd := 0, errors.New("odd")
	writeAll := func(lists [][]write) error {
		ledAt++ // the race detector sees two leaders
		var sum cost
		count, odd := 0, false
		for _, writes := range lists {
			for _, w := range writes {
				sum, count = sum.plus(w.cost()), count+1
			}
			caller, call := int(writes[0].key[0]), int(writes[0].key[1])
			if written[caller] != call {
				return fmt.Errorf("caller %d: call %d after %d", caller, call, written[caller])
			}
			written[caller]++
			odd = odd || call%2 == 1
		}
		if len(lists) > 1 && (!sum.within(limit) || count > keys) {
			return fmt.Errorf("%d lists with %+v and %d keys", len(lists), sum, count)
		}
		if odd {
			return errOdd
		}
		return nil
	}
	var group errgroup.Group
	for caller := range callers {
		rng := rand.New(rand.NewPCG(uint64(caller), 1))
		group.Go(func() error {
			for call := range calls {
				writes := make([]write, 1+rng.IntN(15))
				for i := range writes {
					writes[i] = write{key: []byte{byte(caller), byte(call)}, value: zeros[:rng.IntN(len(zeros))]}
				}
				if err := all.join(writes, limit, keys, writeAll); err != nil && !errors.Is(err, errOdd) {
					return err
				} else if call%2 == 1 && err == nil {
					return errors.New("an error was kept back")
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for caller, n := range written {
		if n != calls {
			t.Errorf("caller %d: %d calls were written", caller, n)
		}
	}
	if ledAt > callers*calls || len(all.waiting) > 0 || all.led {
		t.Errorf("%d transactions, %d wait, led: %t", ledAt, len(all.waiting), all.led)
	}
}
