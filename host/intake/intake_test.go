package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errLost = errors.New("lost")

// memoryLog is a log in memory. fail, when set, says what is not stored, by the
// number of the message.
type memoryLog struct {
	mu        sync.Mutex
	messages  map[string][][]byte // by subject; a sequence is an index from 1
	published int                 // messages, stored or not
	headed    int                 // of them, those with a header
	groups    []int
	fail      func(n int) bool
	gate      chan struct{} // Publish waits for one token each; nil: never
}

func (m *memoryLog) Publish(ctx context.Context, out []stream.Outgoing) ([]uint64, error) {
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return make([]uint64, len(out)), ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups = append(m.groups, len(out))
	sequences := make([]uint64, len(out))
	failed := &stream.PublishError{Total: len(out)}
	for i, o := range out {
		m.published++
		if len(o.Header) > 0 {
			m.headed++
		}
		if m.fail != nil && m.fail(m.published) {
			failed.Failed = append(failed.Failed, stream.FailedMessage{Index: i, Err: errLost})
			continue
		}
		if m.messages == nil {
			m.messages = map[string][][]byte{}
		}
		m.messages[o.Subject] = append(m.messages[o.Subject], append([]byte(nil), o.Data...))
		sequences[i] = uint64(len(m.messages[o.Subject]))
	}
	if len(failed.Failed) > 0 {
		return sequences, failed
	}
	return sequences, nil
}

// decode returns the ids of a message's events.
func decode(t interface{ Fatalf(string, ...any) }, contentType string, body []byte) []string {
	var ids []string
	for _, e := range ingest.NewDecoder(1).Decode(func(string) string { return contentType }, body, nil) {
		if e.Problem != nil {
			t.Fatalf("a message of the log holds %v", e.Problem)
		}
		ids = append(ids, strings.Clone(e.ID))
	}
	return ids
}

func usage(id, account string) billing.UsageEvent {
	return billing.UsageEvent{
		Source: "test", ID: id, Type: "call", Account: billing.AccountID(account),
		Time: time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC), Data: []billing.Field{{Key: "q", Text: "3"}},
	}
}

// caller is one that hands in chunks one behind the other.
type caller struct {
	chunks  []Chunk
	events  [][]billing.UsageEvent // of each chunk, in the order of their numbers
	results []*Outcome
}

// drawChunk draws a chunk; every event has an id of its own.
func drawChunk(t *rapid.T, partitions int, id *int) (c Chunk, all []billing.UsageEvent) {
	event := func(account string) billing.UsageEvent {
		*id++
		return usage(fmt.Sprint(*id), account)
	}
	account := rapid.SampledFrom([]string{"emma", "noah", "a.b/c", "x y", "z", "mia", "ben"})
	for range rapid.SampledFrom([]int{0, 1, 2, 30, 700}).Draw(t, "events") {
		e := event(account.Draw(t, "account"))
		if rapid.IntRange(0, 20).Draw(t, "bad") == 0 {
			e.Type = ""
		}
		c.Events = append(c.Events, e)
	}
	all = append(all, c.Events...)
	for range rapid.IntRange(0, 3).Draw(t, "bodies") {
		var events []billing.UsageEvent
		only := account.Draw(t, "account")
		mixed := rapid.Bool().Draw(t, "mixed")
		for range rapid.SampledFrom([]int{1, forwardEvents, 300}).Draw(t, "body events") {
			if mixed {
				only = account.Draw(t, "account")
			}
			events = append(events, event(only))
		}
		body := Body{ContentType: ingest.ContentTypePacked}
		var err error
		if rapid.Bool().Draw(t, "array") {
			body.ContentType = ingest.ContentTypeArray
			for i := range events {
				if body.Data, err = ingest.AppendJSON(append(body.Data, "[,"[min(i, 1)]), &events[i]); err != nil {
					t.Fatal(err)
				}
			}
			body.Data = append(body.Data, ']')
		} else if body.Data, err = ingest.Pack(nil, events); err != nil {
			t.Fatal(err)
		}
		c.Bodies = append(c.Bodies, body)
		all = append(all, events...)
	}
	return c, all
}

// Whatever many callers hand in, in whatever form: what they are told is what
// stands in the log. Each event is there once, at the position told, in the
// order of its caller; rejected ones are nowhere.
func TestOutcomesAreTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 4).Draw(t, "partitions")
		log := &memoryLog{}
		if every := rapid.IntRange(0, 5).Draw(t, "fail every"); every > 1 {
			log.fail = func(n int) bool { return n%every == 0 }
		}
		in := New(log, partitions, 1<<20)
		defer in.Close()
		callers := make([]caller, rapid.IntRange(1, 4).Draw(t, "callers"))
		id := 0
		for i := range callers {
			for range rapid.IntRange(1, 5).Draw(t, "chunks") {
				c, all := drawChunk(t, partitions, &id)
				callers[i].chunks = append(callers[i].chunks, c)
				callers[i].events = append(callers[i].events, all)
			}
		}
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() { callers[i].send(in) })
		}
		group.Wait()
		if log.headed > 0 {
			t.Fatalf("%d messages have a header, which costs whoever reads them", log.headed)
		}
		stored := map[string][]place{} // where each id is
		for subject, bodies := range log.messages {
			for n, body := range bodies {
				for i, id := range decode(t, ingest.ContentTypePacked, body) {
					stored[id] = append(stored[id], place{subject, uint64(n + 1), i})
				}
			}
		}
		for i := range callers {
			callers[i].check(t, partitions, stored)
		}
		if len(stored) > 0 {
			t.Fatalf("nobody was told of %v", stored)
		}
	})
}

// place is where an event stands.
type place struct {
	subject  string
	sequence uint64
	index    int // in its message
}

// send hands all chunks in before it waits for the first.
func (c *caller) send(in *Intake) {
	tickets := make([]*Ticket, len(c.chunks))
	for i, chunk := range c.chunks {
		tickets[i], _ = in.Add(context.Background(), chunk)
	}
	for _, ticket := range tickets {
		outcome, err := ticket.Wait(context.Background())
		if err != nil {
			return // and check finds too few results
		}
		c.results = append(c.results, outcome)
	}
}

func (c *caller) check(t *rapid.T, partitions int, stored map[string][]place) {
	if len(c.results) != len(c.chunks) {
		t.Fatalf("%d outcomes of %d chunks", len(c.results), len(c.chunks))
	}
	last := map[string]place{} // by account: a caller's order
	for n, o := range c.results {
		rejected := map[int]bool{}
		for _, r := range o.Rejected {
			rejected[r.Event] = true
		}
		event := 0
		for _, run := range o.Runs {
			for range run.Events {
				e := &c.events[n][event]
				if (run.Message < 0) != (e.Type == "") || (run.Message < 0) != rejected[event] {
					t.Fatalf("event %+v has place %d, rejected: %t", e, run.Message, rejected[event])
				}
				if run.Message >= 0 {
					if at := checkPlace(t, o.Messages[run.Message], e, partitions, stored[e.ID]); at.sequence > 0 {
						before := last[string(e.Account)]
						if at.sequence < before.sequence || at.sequence == before.sequence && at.index <= before.index {
							t.Fatalf("event %s: at %+v, the one before at %+v", e.ID, at, before)
						}
						last[string(e.Account)] = at
						delete(stored, e.ID)
					}
				}
				event++
			}
		}
		if event != len(c.events[n]) {
			t.Fatalf("an outcome of %d events for %d", event, len(c.events[n]))
		}
	}
}

// checkPlace holds what was told about an event against where it is, which it
// returns.
func checkPlace(t *rapid.T, m Message, e *billing.UsageEvent, partitions int, at []place) place {
	if m.Partition != billing.Partition(e.Account, partitions) {
		t.Fatalf("%s is in partition %d", e.Account, m.Partition)
	}
	if m.Err != nil {
		if m.Sequence != 0 || len(at) != 0 || !errors.Is(m.Err, errLost) {
			t.Fatalf("%+v; stored at %v", m, at)
		}
		return place{}
	}
	if len(at) != 1 || at[0].subject != stream.BatchSubject(m.Partition) || at[0].sequence != m.Sequence {
		t.Fatalf("event %s: told %+v, stored at %+v", e.ID, m, at)
	}
	return at[0]
}

// While a group is on its way everything else gathers: a thousand calls of one
// event share a few messages.
func TestCallsShareWrites(t *testing.T) {
	log := &memoryLog{gate: make(chan struct{})}
	in := New(log, 1, 1<<20)
	defer in.Close()
	const calls = 1000
	var tickets []*Ticket
	for i := range calls {
		ticket, err := in.Add(t.Context(), Chunk{Events: []billing.UsageEvent{usage(fmt.Sprint(i), "emma")}})
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	close(log.gate)
	for _, ticket := range tickets {
		if o, err := ticket.Wait(t.Context()); err != nil || o.Err() != nil || len(o.Runs) != 1 {
			t.Fatal(o, err)
		}
	}
	if messages := len(log.messages[stream.BatchSubject(0)]); messages > 1+calls/messageEvents+1 {
		t.Errorf("%d calls took %d messages in groups of %v", calls, messages, log.groups)
	}
}

// A log that does not answer stops callers when there is no room, holding no
// more than that; when their time is over they are told, and all goes on when
// the log does.
func TestRoomIsBounded(t *testing.T) {
	log := &memoryLog{gate: make(chan struct{})}
	in := New(log, 1, 1<<20)
	defer in.Close()
	big := usage("1", "emma")
	big.Data = []billing.Field{{Key: "q", Text: strings.Repeat("x", 100<<10)}}
	var tickets []*Ticket
	room := in.lanes[0].room
	for room.TryAcquire(weigh(&big)) {
		room.Release(weigh(&big))
		ticket, err := in.Add(t.Context(), Chunk{Events: []billing.UsageEvent{big}})
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	if held := len(tickets) * 100 << 10; held > roomBytes {
		t.Errorf("%d bytes wait for the log, %d are allowed", held, roomBytes)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := in.Add(ctx, Chunk{Events: []billing.UsageEvent{big}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := tickets[0].Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	close(log.gate)
	for _, ticket := range tickets {
		if o, err := ticket.Wait(t.Context()); err != nil || o.Err() != nil {
			t.Fatal(o, err)
		}
	}
	patient, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := in.lanes[0].room.Acquire(patient, roomBytes); err != nil { // it comes back behind the answers
		t.Error("room was not given back:", err)
	}
}

// What a packed body of 500 events allocates on its way hangs on the body, not on
// its events; events that are packed here take little more.
func TestAllocations(t *testing.T) {
	in := New(&memoryLog{}, 4, 1<<20)
	defer in.Close()
	events := make([]billing.UsageEvent, 500)
	for i := range events {
		events[i] = usage(fmt.Sprint(i), "emma")
	}
	body, err := ingest.Pack(nil, events)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Chunk{"packed body": {Bodies: []Body{{ingest.ContentTypePacked, body}}}, "events": {Events: events}} {
		allocations := testing.AllocsPerRun(50, func() {
			ticket, err := in.Add(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if o, err := ticket.Wait(t.Context()); err != nil || o.Err() != nil {
				t.Fatal(o, err)
			}
		})
		if most := float64(len(events)) / 10; allocations > most { // the log of the test included, and what the race detector adds
			t.Errorf("%s: %v allocations for %d events, at most %v are meant", name, allocations, len(events), most)
		}
		t.Logf("%s: %v allocations for %d events", name, allocations, len(events))
	}
}

// Close tells everybody that waits, and takes nothing more.
func TestClose(t *testing.T) {
	log := &memoryLog{gate: make(chan struct{})}
	in := New(log, 2, 1<<20)
	var tickets []*Ticket
	for i := range 20 {
		ticket, err := in.Add(t.Context(), Chunk{Events: []billing.UsageEvent{usage(fmt.Sprint(i), fmt.Sprint(i))}})
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	in.Close()
	for _, ticket := range tickets {
		if o, err := ticket.Wait(t.Context()); err != nil || o.Err() == nil {
			t.Error(o, err)
		}
	}
	for _, c := range []Chunk{{Events: []billing.UsageEvent{usage("1", "emma")}}, {Bodies: []Body{{ingest.ContentTypeEvent, ingest.FormatJSON(usage("1", "emma"))}}}} {
		if _, err := in.Add(t.Context(), c); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

// A body that cannot be read is one rejected event, what cannot be packed too.
func TestRejections(t *testing.T) {
	in := New(&memoryLog{}, 2, 1<<20)
	defer in.Close()
	huge := usage("1", "emma")
	huge.Data = []billing.Field{{Key: "q", Text: strings.Repeat("x", 2<<20)}}
	ticket, err := in.Add(t.Context(), Chunk{Events: []billing.UsageEvent{huge}, Bodies: []Body{{ingest.ContentTypePacked, []byte("no batch")}, {"text/plain", nil}}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := ticket.Wait(t.Context())
	if err != nil || len(o.Messages) != 0 || len(o.Runs) != 1 || o.Runs[0] != (Run{3, nowhere}) {
		t.Fatal(o, err)
	}
	for i, reason := range []string{ingest.ReasonMessageTooLarge, ingest.ReasonUndecodableMessage, ingest.ReasonUndecodableMessage} {
		if r := o.Rejected[i]; r.Event != i || r.Problem.Reason != reason {
			t.Errorf("rejection %d: %d %+v", i, r.Event, r.Problem)
		}
	}
}

// A chunk of a few megabytes can have millions of events that are none.
func TestRejectionsAreBounded(t *testing.T) {
	log := &memoryLog{}
	i := New(log, 2, 1<<20)
	defer i.Close()
	body := Body{ContentType: "application/cloudevents-batch+json", Data: []byte("[" + strings.Repeat("{},", ingest.MessageEventsMax-1) + "{}]")}
	chunk := Chunk{}
	for range rejectionsMax / ingest.MessageEventsMax {
		chunk.Bodies = append(chunk.Bodies, body)
	}
	ticket, err := i.Add(t.Context(), chunk)
	if err != nil {
		t.Fatal(err)
	}
	if outcome, err := ticket.Wait(t.Context()); err != nil || len(outcome.Rejected) != rejectionsMax {
		t.Errorf("%d rejected, %v", len(outcome.Rejected), err)
	}
	chunk.Bodies = append(chunk.Bodies, body)
	if _, err := i.Add(t.Context(), chunk); !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), "event 0: ") {
		t.Errorf("got %v", err)
	}
}
