package intake

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// engine is one that reads as far as the test says. Its clock is the test's.
type engine struct {
	mu      sync.Mutex
	reached uint64
	rests   bool
	time    time.Time
	moved   chan struct{}
	awaited chan uint64 // positions that somebody waits for
	unread  chan uint64 // positions that somebody waits for to be read, which they never are; nil: all is read at once
}

func newPacer() *engine {
	return &engine{time: time.Unix(1_000_000, 0), moved: make(chan struct{}), awaited: make(chan uint64, 100)}
}

func (e *engine) Reached(int) (uint64, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reached, !e.rests
}

func (e *engine) Await(ctx context.Context, _ int, position uint64) error {
	e.awaited <- position
	for {
		e.mu.Lock()
		reached, moved := e.reached, e.moved
		e.mu.Unlock()
		if reached >= position {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *engine) AwaitRead(ctx context.Context, _ int, position uint64) {
	if e.unread != nil {
		e.unread <- position
		<-ctx.Done()
	}
}

func (e *engine) now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.time
}

// pass lets time go by.
func (e *engine) pass(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.time = e.time.Add(d)
}

// reach has the engine come to a position.
func (e *engine) reach(position uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reached = position
	close(e.moved)
	e.moved = make(chan struct{})
}

// send hands an event in.
func send(t *testing.T, in *Intake, id int) *Ticket {
	t.Helper()
	ticket, err := in.Add(t.Context(), Chunk{Events: []billing.UsageEvent{usage(fmt.Sprint(id), "emma")}})
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// arrives waits until a ticket's event is in the log, and until the lanes are at rest:
// one that is about to look for more would take what is sent next without looking at
// the clock again.
func arrives(t *testing.T, in *Intake, ticket *Ticket) {
	t.Helper()
	if o, err := ticket.Wait(t.Context()); err != nil || o.Err() != nil {
		t.Fatal(o, err)
	}
	in.running.Wait()
}

// While the engine has not come to usage that is old, no more is written; when it has,
// what was held back is, in one message.
func TestUsageKeepsPace(t *testing.T) {
	log, e := &memoryLog{}, newPacer()
	in := New(log, 1, 1<<20)
	defer in.Close()
	in.KeepPace(e, e.now)
	arrives(t, in, send(t, in, 1))
	arrives(t, in, send(t, in, 2)) // the first is not old
	e.pass(paceAge)
	var held []*Ticket
	for id := range 50 {
		held = append(held, send(t, in, 3+id))
	}
	if position := <-e.awaited; position != 1 {
		t.Errorf("it waits for position %d", position)
	}
	for _, ticket := range held {
		select {
		case <-ticket.done:
			t.Fatal("usage was written while the engine is behind")
		default:
		}
	}
	e.reach(1)
	if position := <-e.awaited; position != 2 {
		t.Errorf("then it waits for position %d", position)
	}
	e.reach(2)
	for _, ticket := range held {
		arrives(t, in, ticket)
	}
	if n := len(log.messages[stream.BatchSubject(0)]); n != 3 {
		t.Errorf("%d messages were written, 3 are meant", n)
	}
}

// An engine that rests holds nobody back, and neither does one that takes too long:
// until it has come to all that was written by then.
func TestPaceIsGivenUp(t *testing.T) {
	for name, slow := range map[string]bool{"at rest": false, "slow": true} {
		t.Run(name, func(t *testing.T) {
			log, e := &memoryLog{}, newPacer()
			in := New(log, 1, 1<<20)
			defer in.Close()
			in.KeepPace(e, e.now)
			e.rests = !slow
			arrives(t, in, send(t, in, 1))
			for id := range 5 {
				e.pass(time.Hour)
				arrives(t, in, send(t, in, 2+id)) // the first of them after paceWaitMax, if at all
			}
			waits := len(e.awaited)
			if want := map[bool]int{true: 1, false: 0}[slow]; waits != want {
				t.Errorf("it waited %d times, %d are meant", waits, want)
			}
			e.mu.Lock()
			e.rests, e.reached = false, 6
			e.mu.Unlock()
			arrives(t, in, send(t, in, 7))
			e.pass(time.Hour)
			held := send(t, in, 8)
			for range waits {
				<-e.awaited
			}
			if position := <-e.awaited; position != 7 {
				t.Errorf("when it had come to all, it waits for position %d", position)
			}
			e.reach(7)
			arrives(t, in, held)
		})
	}
}

// Closing ends the waiting.
func TestCloseWhileUsageIsHeldBack(t *testing.T) {
	log, e := &memoryLog{}, newPacer()
	in := New(log, 1, 1<<20)
	in.KeepPace(e, e.now)
	arrives(t, in, send(t, in, 1))
	e.pass(time.Hour)
	held := send(t, in, 2)
	<-e.awaited
	in.Close()
	if o, err := held.Wait(t.Context()); err != nil || o.Err() == nil {
		t.Error(o, err)
	}
}

// A group waits until the one before it is read, and not for long; what comes meanwhile
// is in that group. One that is alone waits for nothing.
func TestUsageWaitsForReaders(t *testing.T) {
	log, e := &memoryLog{}, newPacer()
	e.unread = make(chan uint64)
	in := New(log, 1, 1<<20)
	defer in.Close()
	in.KeepPace(e, e.now)
	first := send(t, in, 1)
	if o, err := first.Wait(t.Context()); err != nil || o.Err() != nil {
		t.Fatal(o, err)
	}
	if position := <-e.unread; position != 1 {
		t.Errorf("it waits for position %d", position)
	}
	begun := time.Now()
	var held []*Ticket
	for id := range 50 {
		held = append(held, send(t, in, 2+id))
	}
	for _, ticket := range held {
		if o, err := ticket.Wait(t.Context()); err != nil || o.Err() != nil || o.Messages[0].Sequence != 2 {
			t.Fatal(o, err)
		}
	}
	if took := time.Since(begun); took > 100*paceRead {
		t.Errorf("usage waited %v for a reader that does not come", took)
	}
	if position := <-e.unread; position != 2 {
		t.Errorf("then it waits for position %d", position)
	}
}
