package deliver

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollway/tollway/host/stream"
)

// hanging is a receiver that refuses an invoice once, and then says nothing of it until
// it is cut off.
type hanging struct {
	mu    sync.Mutex
	tries int
}

func (h *hanging) deliver(ctx context.Context, _ *Invoice) error {
	h.mu.Lock()
	h.tries++
	first := h.tries == 1
	h.mu.Unlock()
	if first {
		return errors.New("not now")
	}
	<-ctx.Done()
	return ctx.Err()
}

func (h *hanging) close() error { return nil }

// What an operator was told is passed over is so, also when the host ends while the
// invoice is being handed over.
func TestSkippedWhileItIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, to := newMemory(), &hanging{}
		w, stop := start(s, to, 1)
		s.issue(1, "emma")
		time.Sleep(time.Minute)
		synctest.Wait()
		d := &Deliverer{workers: []*worker{w}}
		if err := d.Skip(t.Context(), "test", "emma.2026-01-01.EUR.0"); err != nil || to.tries != 2 {
			t.Errorf("after %d attempts: %v", to.tries, err)
		}
		stop()
		var kept progress
		lanes, err := kept.decode(s.keptNow())
		if err != nil || kept.Skipped != 1 || len(lanes.all) != 0 {
			t.Errorf("%d passed over, %d accounts with invoices, %v", kept.Skipped, len(lanes.all), err)
		}
	})
}

// failing is a place for progress that does not take it for a while.
type failing struct {
	*memory
	mu   sync.Mutex
	fail bool
}

func (f *failing) save(ctx context.Context, b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail {
		return stream.ErrUnavailable
	}
	return f.memory.save(ctx, b)
}

func (f *failing) set(fail bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// That an invoice was passed over is written later when it cannot be written at once.
func TestSkippedWhileProgressCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory()
		to := &inbox{answer: func(*Invoice) error { return &failure{kind: failedRefused, err: errors.New("no")} }}
		w := &worker{
			sink: Sink{Name: "test", NATS: &NATS{Subject: "x"}}, receiver: to, source: s, epoch: 1,
			log: slog.New(slog.DiscardHandler), now: time.Now, results: make(chan result, concurrency), orders: make(chan order), limits: defaultLimits(),
		}
		keeper := &failing{memory: s}
		w.keeper = keeper
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- w.run(ctx) }()
		s.issue(1, "emma")
		time.Sleep(time.Minute)
		synctest.Wait()
		keeper.set(true)
		d := &Deliverer{workers: []*worker{w}}
		if err := d.Skip(t.Context(), "test", "emma.2026-01-01.EUR.0"); !errors.Is(err, stream.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		keeper.set(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		var kept progress
		lanes, err := kept.decode(s.keptNow()) // as a kill would leave it
		if err != nil || kept.Skipped != 1 || len(lanes.all) != 0 {
			t.Errorf("%d passed over, %d accounts with invoices, %v", kept.Skipped, len(lanes.all), err)
		}
		cancel()
		<-done
	})
}
