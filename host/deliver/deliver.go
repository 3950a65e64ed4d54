package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// What operators' wishes are refused with.
var (
	ErrNoSink     = errors.New("deliver: there is no such sink")
	ErrNotHeld    = errors.New("deliver: nothing is held")
	ErrNotRunning = errors.New("deliver: the sink does not run")
)

// Period is what receivers that complete periods need to know of one.
type Period struct {
	ID       string
	Closed   bool   // in every partition and calendar, and no account is parked
	Invoices uint64 // issued
}

// Config joins the sinks with the host that they belong to.
type Config struct {
	Sinks []Sink
	Log   *slog.Logger
	Now   func() time.Time
	Epoch uint64 // of the host's claim on the log
	// Whole returns the document of an invoice whose message is shortened.
	Whole func(id string) ([]byte, error)
	// Periods lists the periods that have invoices or are closed.
	Periods func() []Period
	// Restored is progress of a backup. Where the log has progress that is older, or
	// none, this is put in its place.
	Restored []query.DeliveryProgress
}

// Log is where invoices and progress are: a *stream.Conn.
type Log interface {
	EnsureDeliveries(ctx context.Context) error
	Follow(ctx context.Context, name string, after uint64) (*stream.Reader, error)
	Get(ctx context.Context, name string, sequence uint64) (*stream.Message, error)
	Last(ctx context.Context, name, subject string) (*stream.Message, error)
	LastSequence(ctx context.Context, name string) (first, last uint64, err error)
	Append(ctx context.Context, subject string, expectLast uint64, header map[string]string, body []byte) (uint64, error)
	publisher
}

// Deliverer delivers to all sinks. Its methods are safe for concurrent use, Run is
// called once.
type Deliverer struct {
	conn    Log
	workers []*worker
}

// Open makes the sinks ready. It writes nothing but the stream that keeps
// progress, and asks no receiver.
func Open(ctx context.Context, conn Log, config Config) (*Deliverer, error) {
	if err := Validate(config.Sinks); err != nil {
		return nil, err
	}
	d := &Deliverer{conn: conn}
	if len(config.Sinks) == 0 {
		return d, nil
	}
	if err := conn.EnsureDeliveries(ctx); err != nil {
		return nil, fmt.Errorf("deliver: %w", err)
	}
	for _, r := range config.Restored {
		if err := restore(ctx, conn, r, config.Epoch); err != nil {
			return nil, fmt.Errorf("deliver: restored progress of sink %s: %w", r.Sink, err)
		}
	}
	for _, s := range config.Sinks {
		to, err := newReceiver(conn, s, config)
		if err != nil {
			return nil, fmt.Errorf("deliver: %s: %w", s.Name, err)
		}
		w := &worker{
			sink: s, receiver: to, source: sourceOf(conn, s), keeper: &kept{conn: conn, subject: stream.DeliverySubject(s.Name), epoch: config.Epoch},
			whole: config.Whole, epoch: config.Epoch, log: config.Log, now: config.Now, limits: defaultLimits(),
			results: make(chan result, concurrency), orders: make(chan order),
			status: Status{Name: s.Name, Kind: s.kind(), Target: s.target(), State: StateStarting},
		}
		d.workers = append(d.workers, w)
	}
	return d, nil
}

// Kept returns the progress that the log has of the sinks, in the order of the
// configuration.
func (d *Deliverer) Kept(ctx context.Context) ([]query.DeliveryProgress, error) {
	var list []query.DeliveryProgress
	for _, w := range d.workers {
		m, err := d.conn.Last(ctx, stream.Deliveries, stream.DeliverySubject(w.sink.Name))
		if err != nil {
			return nil, fmt.Errorf("deliver: progress of sink %s: %w", w.sink.Name, err)
		}
		if m != nil {
			list = append(list, query.DeliveryProgress{Sink: w.sink.Name, Progress: m.Data})
		}
	}
	return list, nil
}

// restore puts the progress of a backup in the place of an older one, or of none. It may
// be called again after any error.
func restore(ctx context.Context, conn Log, r query.DeliveryProgress, epoch uint64) error {
	k := &kept{conn: conn, subject: stream.DeliverySubject(r.Sink), epoch: epoch}
	b, err := k.load(ctx)
	if err != nil {
		return err
	}
	var there, saved progress
	if b != nil {
		if _, err := there.decode(b); err != nil {
			return err
		}
	}
	lanes, err := saved.decode(r.Progress)
	if err != nil {
		return err
	}
	if b != nil && (there.Read > saved.Read || there.Read == saved.Read && there.Delivered+there.Skipped >= saved.Delivered+saved.Skipped) {
		return nil // the log's own is at least as new
	}
	saved.Epoch = epoch
	if b, err = saved.encode(lanes); err != nil {
		return err
	}
	return k.save(ctx, b)
}

func newReceiver(conn Log, s Sink, config Config) (receiver, error) {
	switch {
	case s.Webhook != nil:
		return newWebhook(*s.Webhook, config.Now)
	case s.Files != nil:
		if s.Of == OfAlerts { // there is no last one of a period
			return newFiles(*s.Files, func() []Period { return nil })
		}
		return newFiles(*s.Files, config.Periods)
	}
	return newBus(*s.NATS, conn), nil
}

// Run delivers until the context ends. A sink that cannot go on stops alone and
// says so in its status.
func (d *Deliverer) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, w := range d.workers {
		group.Go(func() error { return w.run(ctx) })
	}
	return group.Wait()
}

// Status says how every sink stands, in the order of the configuration.
func (d *Deliverer) Status(ctx context.Context) ([]Status, error) {
	list := make([]Status, len(d.workers))
	if len(list) == 0 {
		return list, nil
	}
	for i, w := range d.workers {
		last, err := w.source.last(ctx)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		list[i] = w.status
		w.mu.Unlock()
		list[i].Behind = last - min(last, list[i].Read)
	}
	return list, nil
}

// Retry has a sink try at once what it holds, of one account or of all; without an
// account also a sink that is stopped goes on.
func (d *Deliverer) Retry(ctx context.Context, sink, account string) error {
	return d.order(ctx, sink, order{account: account})
}

// Skip passes over an invoice that a sink holds. The caller keeps a record of it.
func (d *Deliverer) Skip(ctx context.Context, sink, invoice string) error {
	return d.order(ctx, sink, order{skip: invoice})
}

// order hands an order to a sink's worker and waits for what it says.
func (d *Deliverer) order(ctx context.Context, sink string, o order) error {
	for _, w := range d.workers {
		if w.sink.Name != sink {
			continue
		}
		w.mu.Lock()
		state := w.status.State
		w.mu.Unlock()
		if state == StateStarting || state == StateFailed {
			return fmt.Errorf("%w: %s", ErrNotRunning, sink)
		}
		o.done = make(chan error, 1)
		select {
		case w.orders <- o:
			return <-o.done
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("%w: %q", ErrNoSink, sink)
}

// outgoing is the source of a real host: a stream of what was issued or fired.
type outgoing struct {
	conn Log
	name string // of the stream
}

// sourceOf returns the source of a sink.
func sourceOf(conn Log, s Sink) outgoing {
	if s.Of == OfAlerts {
		return outgoing{conn, stream.Alerts}
	}
	return outgoing{conn, stream.Invoices}
}

func (s outgoing) follow(ctx context.Context, after uint64) (feed, error) {
	r, err := s.conn.Follow(ctx, s.name, after)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (s outgoing) get(ctx context.Context, sequence uint64) (*stream.Message, error) {
	return s.conn.Get(ctx, s.name, sequence)
}

func (s outgoing) last(ctx context.Context) (uint64, error) {
	_, last, err := s.conn.LastSequence(ctx, s.name)
	return last, err
}

// kept is the keeper of a real host: a message of the DELIVERIES stream, each
// written behind the one that this host knows, so that a host that was replaced
// cannot overwrite what its successor has written.
type kept struct {
	conn    Log
	subject string
	epoch   uint64
	last    uint64 // sequence of the last message
}

func (k *kept) load(ctx context.Context) ([]byte, error) {
	m, err := k.conn.Last(ctx, stream.Deliveries, k.subject)
	if err != nil || m == nil {
		k.last = 0
		return nil, err
	}
	k.last = m.Sequence
	return m.Data, nil
}

func (k *kept) save(ctx context.Context, b []byte) error {
	for {
		sequence, err := k.conn.Append(ctx, k.subject, k.last, nil, b)
		if err == nil {
			k.last = sequence
			return nil
		}
		if !errors.Is(err, stream.ErrConflict) {
			return err
		}
		// An earlier write of ours may have been stored after its context had ended,
		// or a host that this one has replaced wrote once more.
		there, err := k.load(ctx)
		if err != nil {
			return err
		}
		var by struct {
			Epoch uint64 `json:"epoch"`
		}
		if there, err = unpack(there); err == nil {
			err = json.Unmarshal(there, &by)
		}
		if err != nil {
			return fmt.Errorf("deliver: message %d of %s: %w", k.last, stream.Deliveries, err)
		}
		if by.Epoch > k.epoch {
			return errTakenOver
		}
	}
}
