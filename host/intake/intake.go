package intake

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// Log takes messages as [stream.Conn.Publish] does: what is not stored when it
// returns is named by a *stream.PublishError.
type Log interface {
	Publish(ctx context.Context, out []stream.Outgoing) ([]uint64, error)
}

// Chunk is usage to be written. Its events are numbered from 0: those of Events,
// then those of each body.
type Chunk struct {
	Events []billing.UsageEvent // not used any more when Add returns
	Bodies []Body
}

// Body is usage in one of the formats that messages of the log have. A packed
// batch of one partition goes into the log as it is. Data must not change until
// the ticket is done.
type Body struct {
	ContentType string
	Data        []byte
}

// Sizes of the messages that are packed here. Some hundred events make the cost
// per message disappear; more would only make readers wait for the last of them.
const (
	messageEvents    = 500       // a message with as many is complete
	messageBytes     = 64 << 10  // so is one with as many bytes
	messageBytesMost = 900 << 10 // of one with large events: servers take 1 MiB unless told otherwise
	forwardEvents    = 50        // a body with fewer is packed anew, with others
)

// What may wait in all lanes together, and at least in each.
const (
	roomBytes     = 64 << 20
	roomBytesLane = 2 * messageBytesMost
)

// Intake takes usage in. Its methods are safe for concurrent use.
type Intake struct {
	log          Log
	messageBytes int             // of a body, at most
	ctx          context.Context // ends publishing when the Intake closes
	stop         context.CancelFunc
	lanes        []*lane
	decoders     sync.Pool // of *reading
	running      sync.WaitGroup
}

// New returns an Intake for a log with a number of partitions, whose messages
// have at most bytesMax bytes. Close it before the log.
func New(log Log, partitions, bytesMax int) *Intake {
	ctx, stop := context.WithCancel(context.Background())
	i := &Intake{log: log, messageBytes: min(bytesMax, messageBytesMost), ctx: ctx, stop: stop}
	// The seed keys identities, which play no part at the door.
	i.decoders.New = func() any { return &reading{decoder: ingest.NewDecoder(0)} }
	room := max(roomBytes/int64(partitions), roomBytesLane)
	for p := range partitions {
		i.lanes = append(i.lanes, newLane(i, p, room))
	}
	return i
}

// Partitions returns the number of partitions.
func (i *Intake) Partitions() int { return len(i.lanes) }

// rejectionsMax is about how many events of a chunk may be turned away. Each takes some
// hundred times the bytes in memory that it may have in a body.
const rejectionsMax = 50_000

// ErrRejected is what became of a chunk of which more are.
var ErrRejected = fmt.Errorf("intake: more than %d events of a chunk cannot be taken", rejectionsMax)

// ErrClosed is what became of usage that was not written when the Intake closed.
var ErrClosed = errors.New("intake: closed")

// Close gives up what is not written and returns when nothing more will be.
func (i *Intake) Close() {
	i.stop()
	for _, l := range i.lanes {
		l.close()
	}
	i.running.Wait()
}

// Add hands in a chunk and returns when all of it has its place in a lane, which
// is when there is room. After an error part of the chunk may be written.
//
// # Errors
//
// ErrRejected, ErrClosed, and that of ctx.
func (i *Intake) Add(ctx context.Context, c Chunk) (*Ticket, error) {
	t := newTicket(len(c.Events))
	err := i.addEvents(ctx, t, c.Events)
	for n := 0; n < len(c.Bodies) && err == nil; n++ {
		if err = i.addBody(ctx, t, c.Bodies[n]); err == nil && len(t.rejected) > rejectionsMax {
			first := t.rejected[0]
			err = fmt.Errorf("%w: event %d: %s: %s", ErrRejected, first.Event, first.Problem.Reason, first.Problem.Detail)
		}
	}
	t.release()
	if err != nil {
		return nil, fmt.Errorf("intake: %w", err)
	}
	return t, nil
}

// addEvents puts events into the lanes of their partitions, a partition after
// the other.
func (i *Intake) addEvents(ctx context.Context, t *Ticket, events []billing.UsageEvent) error {
	if len(events) == 1 {
		return i.laneOf(&events[0]).add(ctx, t, events, []int32{0}, 0)
	}
	members := make([][]int32, len(i.lanes))
	for n := range events {
		p := billing.Partition(events[n].Account, len(i.lanes))
		if members[p] == nil {
			members[p] = make([]int32, 0, 2*len(events)/len(i.lanes)+1)
		}
		members[p] = append(members[p], int32(n))
	}
	return i.addMembers(ctx, t, events, members, 0)
}

// addMembers puts each partition's events, by their indexes, into its lane.
func (i *Intake) addMembers(ctx context.Context, t *Ticket, events []billing.UsageEvent, members [][]int32, first int) error {
	for p, indexes := range members {
		if len(indexes) == 0 {
			continue
		}
		if err := i.lanes[p].add(ctx, t, events, indexes, first); err != nil {
			return err
		}
	}
	return nil
}

func (i *Intake) laneOf(e *billing.UsageEvent) *lane {
	return i.lanes[billing.Partition(e.Account, len(i.lanes))]
}

// reading is what it takes to look into bodies.
type reading struct {
	decoder *ingest.Decoder
	events  []ingest.Event
}

// addBody looks into a body. A packed batch that is all right and of one
// partition is passed on; of anything else the events are packed anew.
func (i *Intake) addBody(ctx context.Context, t *Ticket, b Body) error {
	r := i.decoders.Get().(*reading)
	r.decoder.Reset()
	header := func(name string) string {
		if name == "content-type" {
			return b.ContentType
		}
		return ""
	}
	r.events = r.decoder.Decode(header, b.Data, r.events[:0])
	first := t.grow(len(r.events))
	if p, ok := i.whole(b, r.events); ok {
		events := len(r.events)
		clear(r.events) // they hold on to the body
		i.decoders.Put(r)
		return i.lanes[p].forward(ctx, t, b.Data, first, events)
	}
	defer i.decoders.Put(r) // packers keep none of its texts
	events := make([]billing.UsageEvent, len(r.events))
	members := make([][]int32, len(i.lanes))
	for n := range r.events {
		if p := r.events[n].Problem; p != nil {
			t.reject(first+n, p)
			continue
		}
		events[n] = r.events[n].Usage()
		p := r.events[n].AccountHash % uint32(len(i.lanes))
		members[p] = append(members[p], int32(n))
	}
	return i.addMembers(ctx, t, events, members, first)
}

// whole reports whether a body can go into the log as it is, and to which
// partition.
func (i *Intake) whole(b Body, events []ingest.Event) (partition int, ok bool) {
	if b.ContentType != ingest.ContentTypePacked || len(events) < forwardEvents || len(b.Data) > i.messageBytes {
		return 0, false
	}
	partitions := uint32(len(i.lanes))
	of := events[0].AccountHash % partitions
	for n := range events {
		if events[n].Problem != nil || events[n].AccountHash%partitions != of {
			return 0, false
		}
	}
	return int(of), true
}
