package host

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// Who waits longest has the next turn; nobody has one too many, whatever is given
// twice or given up.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := make(turns, 1)
		holder := turn{turns: all}
		if err := holder.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended, end := context.WithCancel(t.Context())
		impatient := make(chan error)
		go func() {
			w := turn{turns: all}
			impatient <- w.take(ended)
			w.give()
		}()
		synctest.Wait()
		end()
		if err := <-impatient; !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that was given up: %v", err)
		}
		order := make(chan int, 3)
		for n := range 3 {
			go func() {
				w := turn{turns: all}
				if err := w.take(t.Context()); err != nil {
					t.Error(err)
				}
				order <- n
				w.give()
				w.give()
			}()
			synctest.Wait() // it waits now, behind those before it
		}
		if err := holder.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			if got := <-order; got != n {
				t.Errorf("turn %d went to %d", n, got)
			}
		}
		holder.give()
		synctest.Wait()
		if len(all) != 0 {
			t.Errorf("%d turns are taken by nobody", len(all))
		}
	})
}
