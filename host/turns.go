package host

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// turns are as many as there are processors. A partition works while it has one,
// a few milliseconds, and then lets the next one that waits have its own. That
// more of them work at once would gain nothing, but the scheduler would divide the
// processors among all of them, ten milliseconds each, and whatever else has a
// little to do, such as each of the steps of a commit, would wait behind them.
//
// Half of them are enough while partitions keep up. Their work comes in bursts, since
// usage is written for all of them at one moment and their checkpoints are cut at one:
// on all processors it would be done a few milliseconds sooner, and who asks for a
// subtotal would wait for as long. What a checkpoint costs its committer counts as well.
// Where half of them are not enough, or hardly, all have all of them.
type turns struct {
	all  chan struct{}
	calm chan struct{} // for what is calm, which has one of all beside it

	mu     sync.Mutex
	since  time.Time     // when the work below began to be counted
	work   time.Duration // of partitions and committers
	enough atomic.Bool   // half of the turns were, when it was last looked
}

// newTurns makes n turns, 0 for as many as Go's scheduler has processors.
func newTurns(n int) *turns {
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return &turns{all: make(chan struct{}, n), calm: make(chan struct{}, max(1, n/2))}
}

// calmAge is how old usage may be that waits for a place for what is calm, and how long a
// committer waits for one.
const calmAge = 5 * time.Millisecond

// enterCalm waits for a place for what is calm while there is patience: who came first
// is first. It reports whether there was one, which leaveCalm gives back.
func (t *turns) enterCalm(ctx context.Context, patience time.Duration) (bool, error) {
	if patience <= 0 || !t.enough.Load() {
		return false, nil
	}
	select {
	case t.calm <- struct{}{}:
		return true, nil
	default:
	}
	lost := time.NewTimer(patience)
	defer lost.Stop()
	select {
	case t.calm <- struct{}{}:
		return true, nil
	case <-lost.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (t *turns) leaveCalm() { <-t.calm }

// How it is found out whether half of the turns are enough.
const (
	calmWindow  = 250 * time.Millisecond // time over which work is counted
	calmPercent = 70                     // of half of the turns, which it may take
)

// worked notes how long somebody has worked until now.
func (t *turns) worked(now time.Time, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.work += d
	past := now.Sub(t.since)
	switch {
	case t.since.IsZero(): // counting begins
	case past < calmWindow:
		return
	default:
		t.enough.Store(t.work*100 <= past*time.Duration(cap(t.calm))*calmPercent)
	}
	t.since, t.work = now, 0
}

// turn is a partition's part in the turns. It belongs to one goroutine.
type turn struct {
	turns *turns
	// logged is when the usage came that the next turns are for; the zero time for work
	// that is not calm.
	logged time.Time
	now    func() time.Time // asked only for the age of such
	has    bool
	calm   bool // it has a place for what is calm
}

// take waits for a turn: who came first is first.
func (t *turn) take(ctx context.Context) (err error) {
	if !t.logged.IsZero() {
		if t.calm, err = t.turns.enterCalm(ctx, calmAge-t.now().Sub(t.logged)); err != nil {
			return err
		}
	}
	select {
	case t.turns.all <- struct{}{}:
	case <-ctx.Done():
		t.give()
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
		<-t.turns.all
	}
	if t.calm {
		t.calm = false
		t.turns.leaveCalm()
	}
}

// pass lets one that waits have its turn, and takes the next.
func (t *turn) pass(ctx context.Context) error {
	t.give()
	return t.take(ctx)
}
