package host

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Who waits longest has the next turn; nobody has one too many, whatever is given
// twice or given up.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newTurns(1)
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
		if len(all.all) != 0 {
			t.Errorf("%d turns are taken by nobody", len(all.all))
		}
	})
}

// Work on what has just come has half of the turns while that is enough, and leaves the
// others to who is behind. Who has waited for long does not wait on; a wait that is given
// up leaves nothing taken.
func TestCalmTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newTurns(4)
		fresh := func() *turn { return &turn{turns: all, now: time.Now, logged: time.Now()} }
		take := func(ctx context.Context, w *turn) *turn {
			t.Helper()
			if err := w.take(ctx); err != nil {
				t.Fatal(err)
			}
			return w
		}
		for range 4 { // before anybody knows how much there is to do
			defer take(t.Context(), fresh()).give()
		}
		if len(all.calm) != 0 {
			t.Fatalf("%d have a place for what is calm", len(all.calm))
		}
		synctest.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		all := newTurns(4)
		all.worked(time.Now(), 0)
		time.Sleep(calmWindow)
		all.worked(time.Now(), calmWindow) // half of what half of the turns can do
		took := make(chan *turn, 8)
		for range 3 {
			go func() {
				w := &turn{turns: all, now: time.Now, logged: time.Now()}
				if err := w.take(t.Context()); err != nil {
					t.Error(err)
				}
				took <- w
			}()
		}
		synctest.Wait()
		if len(took) != 2 {
			t.Fatalf("%d of three that keep up work at once, want 2 of 4 turns", len(took))
		}
		behind := &turn{turns: all, now: time.Now, logged: time.Now().Add(-calmAge)}
		if err := behind.take(t.Context()); err != nil || behind.calm {
			t.Errorf("who is behind: %v, calm %v", err, behind.calm)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		late := &turn{turns: all, now: time.Now, logged: time.Now()}
		if err := late.take(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that was given up: %v", err)
		}
		time.Sleep(calmAge) // the third one has one of the other turns
		synctest.Wait()
		if len(took) != 3 || len(all.calm) != 2 || len(all.all) != 4 {
			t.Errorf("%d have a turn, %d and %d places are taken", len(took), len(all.calm), len(all.all))
		}
		behind.give()
		for range 3 {
			(<-took).give()
		}
		if len(all.calm) != 0 || len(all.all) != 0 {
			t.Errorf("%d and %d places are taken by nobody", len(all.calm), len(all.all))
		}
		time.Sleep(calmWindow)
		all.worked(time.Now(), 2*calmWindow) // all that half of the turns can do
		if calm, err := all.enterCalm(t.Context(), time.Second); err != nil || calm {
			t.Errorf("half of the turns are not enough: %v, calm %v", err, calm)
		}
	})
}
