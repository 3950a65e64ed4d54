package host

import (
	"context"
	"runtime"
)

// turns are as many as there are processors. A partition works while it has one,
// a few milliseconds, and then lets the next one that waits have its own. That
// more of them work at once would gain nothing, but the scheduler would divide the
// processors among all of them, ten milliseconds each, and whatever else has a
// little to do, such as each of the steps of a commit, would wait behind them.
type turns chan struct{}

func newTurns(n int) turns {
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return make(turns, n)
}

// turn is a partition's part in the turns. It belongs to one goroutine.
type turn struct {
	turns turns
	has   bool
}

// take waits for a turn: who came first is first.
func (t *turn) take(ctx context.Context) error {
	select {
	case t.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	t.has = true
	// What became ready meanwhile comes first: none of it works for long.
	runtime.Gosched()
	return nil
}

// give ends a turn, if there is one.
func (t *turn) give() {
	if t.has {
		t.has = false
		<-t.turns
	}
}

// pass lets one that waits have its turn, and takes the next.
func (t *turn) pass(ctx context.Context) error {
	t.give()
	return t.take(ctx)
}
