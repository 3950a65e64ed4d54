package query

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// A crowd that waits for positions, of which some give up: each is woken by the first
// step that comes to its position and by none before, and nobody is left.
func TestWaits(t *testing.T) {
	const steps, crowd = 200, 2_000
	random := rand.New(rand.NewPCG(1, 2))
	var w waits
	var all []*wait
	for range crowd {
		all = append(all, w.add(1+random.Uint64N(steps)))
	}
	given := map[*wait]bool{}
	for at := uint64(1); at <= steps; at++ {
		for range 2 {
			if x := all[random.IntN(crowd)]; x.position >= at {
				x.end()
				x.end() // which is no more than once
				given[x] = true
			}
		}
		w.come(at)
		for _, x := range all {
			woken := false
			select {
			case <-x.reached:
				woken = true
			default:
			}
			if want := x.position <= at && !given[x]; woken != want {
				t.Fatalf("at %d one that waits for %d, given up: %t: woken %t", at, x.position, given[x], woken)
			}
		}
	}
	if len(w.first) != 0 || w.number.Load() != 0 {
		t.Errorf("%d still wait, counted %d", len(w.first), w.number.Load())
	}
}

// Who begins to wait while the state moves on is woken whichever comes first.
func TestWaitsRace(t *testing.T) {
	var w waits
	var position atomic.Uint64
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for at := uint64(1); at <= 1_000; at++ {
				if (at+uint64(n))%3 == 0 {
					continue
				}
				x := w.add(at)
				if w.number.Load() > 0 {
					w.come(position.Load())
				}
				<-x.reached
			}
		})
	}
	group.Go(func() {
		for at := uint64(1); at <= 1_000; at++ {
			position.Store(at)
			if w.number.Load() > 0 {
				w.come(at)
			}
		}
	})
	group.Wait()
}
