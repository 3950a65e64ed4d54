package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/stream"
)

// Bounds of a sink.
const (
	concurrency = 4  // invoices that are handed over at a time, of different accounts
	waitingMax  = 64 // invoices read and not tried yet

	errorBytesMax = 200 // of what is kept of an error

	saveInterval = 200 * time.Millisecond // between writes of progress, at least, for each saveLanes of them
	saveLanes    = 500
	listInterval = time.Second      // between lists of what is held, when that is more than a status lists
	saveMax      = 5 * time.Second  // for one write
	wakeAfter    = 30 * time.Second // without success, then a success wakes what waits
	finishEvery  = 5 * time.Second  // between looks for periods that are complete
)

// limits bound what a sink holds.
type limits struct {
	blocked int // accounts that are held
	held    int // their invoices
	bytes   int // of progress, which is one message
}

// defaultLimits are some 20 MB of memory, and a message as NATS takes it unless it is
// told otherwise, which is a megabyte.
func defaultLimits() limits { return limits{blocked: 20_000, held: 100_000, bytes: 600 << 10} }

// source is where invoices come from.
type source interface {
	// follow reads behind a sequence.
	follow(ctx context.Context, after uint64) (feed, error)
	// get returns one message.
	get(ctx context.Context, sequence uint64) (*stream.Message, error)
	// last returns the sequence of the last message.
	last(ctx context.Context) (uint64, error)
}

// feed is a stream.Reader.
type feed interface {
	Next(ctx context.Context, limit stream.Limit) ([]stream.Message, error)
	Close()
}

// keeper keeps a sink's progress.
type keeper interface {
	// load returns what was kept last, nil for nothing.
	load(ctx context.Context) ([]byte, error)
	// save keeps progress. errTakenOver means that a newer host delivers.
	save(ctx context.Context, b []byte) error
}

// errTakenOver says that another host delivers to the sinks of this log.
var errTakenOver = errors.New("deliver: another host delivers the invoices of this log")

// receiver is what invoices are handed to. deliver may be called from several
// goroutines, for invoices of different accounts; when it returns nil the receiver
// has the invoice for good. After an error the invoice comes again.
type receiver interface {
	deliver(ctx context.Context, inv *Invoice) error
	close() error
}

// finisher is a receiver that says when a period is complete.
type finisher interface {
	finish(ctx context.Context) error
}

// worker delivers to one sink. Its run owns all fields but those behind mu.
type worker struct {
	sink     Sink
	receiver receiver
	source   source
	keeper   keeper
	whole    func(id string) ([]byte, error)
	epoch    uint64
	log      *slog.Logger
	now      func() time.Time
	limits   limits

	progress progress
	lanes    *lanes
	flying   int
	results  chan result
	orders   chan order
	dirty    bool
	saved    time.Time
	listed   time.Time // when the status last had a list of what is held
	success  time.Time // of the last one
	finished time.Time // last look for complete periods
	leaving  bool

	mu     sync.Mutex
	status Status
}

// result is the end of one delivery.
type result struct {
	lane *lane
	id   string
	err  error
}

// order is what an operator asks for.
type order struct {
	account string // empty: all, and the sink itself where it is stopped
	skip    string // id of the invoice to pass over; empty: try again at once
	done    chan error
}

// run delivers until the context ends. While NATS is away it waits.
func (w *worker) run(ctx context.Context) error {
	w.success = w.now()
	group, ctx := errgroup.WithContext(ctx)
	messages := make(chan stream.Message)
	if err := w.begin(ctx); err != nil {
		return w.ended(ctx, err)
	}
	w.publish()
	group.Go(func() error { return w.read(ctx, messages, w.progress.Read) })
	group.Go(func() error { return w.work(ctx, group, messages) })
	return w.ended(ctx, group.Wait())
}

// ended closes the receiver and keeps why the sink has stopped, for operators: it
// must not stop the host.
func (w *worker) ended(ctx context.Context, err error) error {
	if closing := w.receiver.close(); closing != nil {
		w.log.Warn("deliveries: a sink could not be closed", "sink", w.sink.Name, "error", closing)
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	w.log.Error("deliveries: a sink has stopped until the host starts again", "sink", w.sink.Name, "error", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.State, w.status.Error = StateFailed, err.Error()
	return nil
}

// begin loads the sink's progress, or makes that of a new one.
func (w *worker) begin(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		err := w.tryBegin(ctx)
		if err == nil || !errors.Is(err, stream.ErrUnavailable) {
			return err
		}
		w.log.Warn("deliveries: NATS is not available, trying again", "sink", w.sink.Name, "error", err)
		if err := sleep(ctx, pause(min(attempt, 5), &failure{})); err != nil {
			return err
		}
	}
}

func (w *worker) tryBegin(ctx context.Context) error {
	b, err := w.keeper.load(ctx)
	if err != nil {
		return err
	}
	w.lanes = newLanes()
	if b != nil {
		if w.lanes, err = w.progress.decode(b); err != nil {
			return err
		}
	} else if w.sink.From == FromNew {
		if w.progress.Read, err = w.source.last(ctx); err != nil {
			return err
		}
	}
	if w.progress.Epoch > w.epoch {
		return errTakenOver
	}
	w.lanes.limits = w.limits
	w.lanes.begin(w.now())
	last, err := w.source.last(ctx)
	if err != nil {
		return err
	}
	if w.progress.Read > last {
		return fmt.Errorf("invoices were read up to %d, and the stream ends at %d: the stream has lost its tail, restore it", w.progress.Read, last)
	}
	w.progress.Epoch = w.epoch
	return w.save(ctx)
}

// read hands the messages behind a sequence on.
func (w *worker) read(ctx context.Context, messages chan<- stream.Message, after uint64) error {
	for attempt := 1; ; attempt++ {
		from, err := w.source.follow(ctx, after)
		for err == nil {
			var batch []stream.Message
			if batch, err = from.Next(ctx, stream.Limit{Messages: waitingMax, Bytes: 1 << 20}); err == nil {
				attempt = 1
			}
			for i := range batch {
				select {
				case messages <- batch[i]:
					after = batch[i].Sequence
				case <-ctx.Done():
					from.Close()
					return ctx.Err()
				}
			}
		}
		if from != nil {
			from.Close()
		}
		if ctx.Err() != nil || !errors.Is(err, stream.ErrUnavailable) {
			return err
		}
		if err := sleep(ctx, pause(min(attempt, 5), &failure{})); err != nil {
			return err
		}
	}
}

// work is the sink's loop: it alone changes lanes and progress.
func (w *worker) work(ctx context.Context, group *errgroup.Group, messages <-chan stream.Message) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next := w.dispatch(ctx, group)
		if err := w.keep(ctx); err != nil {
			return err
		}
		w.publish()
		timer.Reset(w.until(next))
		reading := messages
		if !w.lanes.room() {
			reading = nil
		}
		select {
		case <-ctx.Done():
			return w.leave(ctx)
		case m := <-reading:
			if err := w.take(&m); err != nil {
				return err
			}
		case r := <-w.results:
			w.settle(r)
		case o := <-w.orders:
			o.done <- w.obey(ctx, o)
		case <-timer.C:
		}
	}
}

// leave waits for what is being handed over, whose context has ended as well, and
// writes progress once more, so that a restart repeats nothing.
func (w *worker) leave(ctx context.Context) error {
	w.leaving = true
	for w.flying > 0 {
		w.settle(<-w.results)
	}
	if err := w.save(context.WithoutCancel(ctx)); err != nil {
		w.log.Warn("deliveries: progress could not be written at the end; some invoices will be delivered again", "sink", w.sink.Name, "error", err)
	}
	return ctx.Err()
}

// take puts a message into its account's lane.
func (w *worker) take(m *stream.Message) error {
	h, err := headOf(m)
	if err != nil {
		return err
	}
	w.lanes.add(h.Account, m.Sequence)
	w.progress.Read, w.dirty = m.Sequence, true
	return nil
}

// dispatch hands over what is due and returns when the next lane is due, if that
// is later; the zero time when none is.
func (w *worker) dispatch(ctx context.Context, group *errgroup.Group) time.Time {
	for w.flying < concurrency && w.progress.Stopped == "" {
		now := w.now()
		one, next := w.lanes.due(now)
		if one == nil {
			if next.IsZero() && w.flying == 0 && len(w.lanes.all) == 0 {
				w.finish(ctx, now)
			}
			return next
		}
		w.lanes.fly(one)
		w.flying++
		sequence := one.Queue[0]
		group.Go(func() error {
			id, err := w.deliver(ctx, sequence)
			w.results <- result{one, id, err} // it has room for all that fly
			return nil
		})
	}
	return time.Time{}
}

// deliver hands one invoice over.
func (w *worker) deliver(ctx context.Context, sequence uint64) (id string, err error) {
	m, err := w.source.get(ctx, sequence)
	if err != nil {
		return "", err
	}
	inv, err := decode(m, w.whole)
	if err != nil {
		return "", err
	}
	failpoint.Hit("deliver.before")
	return inv.ID, w.receiver.deliver(ctx, inv)
}

// settle deals with the end of a delivery.
func (w *worker) settle(r result) {
	failpoint.Hit("deliver.after")
	w.flying--
	one, now := r.lane, w.now()
	one.flying = false
	w.dirty = true
	if r.err == nil {
		if one.held() {
			w.log.Info("deliveries: an account goes on", "sink", w.sink.Name, "account", one.Account, "invoice", r.id, "attempts", one.Attempts+1)
		}
		w.progress.Delivered++
		w.lanes.pop(one)
		if now.Sub(w.success) >= wakeAfter {
			w.wake(now)
		}
		w.success = now
		return
	}
	if one.skip { // also when the host is ending: the operator was told so
		w.progress.Skipped++
		w.lanes.pop(one)
		return
	}
	if w.leaving {
		w.lanes.wait(one)
		return // it was cut off, which says nothing of the receiver
	}
	f := failureOf(r.err)
	if f.kind == failedGone {
		w.lanes.wait(one)
		w.progress.Stopped = clip(f.Error())
		w.log.Error("deliveries: the receiver wants no invoices any more; when it does, run: tollway deliveries retry "+w.sink.Name, "sink", w.sink.Name, "error", f)
		return
	}
	w.lanes.hold(one)
	one.Attempts++
	if one.Attempts == 1 {
		one.Since = now
	}
	one.Invoice = r.id
	one.Error, one.Refused = clip(f.Error()), f.kind == failedRefused
	one.Next = now.Add(pause(one.Attempts, f))
	w.lanes.wait(one)
	level := slog.LevelWarn
	if one.Refused {
		level = slog.LevelError
	}
	w.log.Log(context.Background(), level, "deliveries: an invoice was not taken, it will be tried again", "sink", w.sink.Name, "account", one.Account,
		"invoice", r.id, "attempts", one.Attempts, "next", one.Next.UTC().Format(time.RFC3339), "error", f)
}

// wake has all that failed for a passing cause tried at once: the receiver has
// just come back.
func (w *worker) wake(now time.Time) {
	for _, one := range w.lanes.all {
		if one.held() && !one.Refused {
			one.Next = now
		}
	}
	w.lanes.reorder()
}

// clip shortens the text of an error to what is kept.
func clip(text string) string {
	if len(text) <= errorBytesMax {
		return text
	}
	return fmt.Sprintf("%.*s…", errorBytesMax-4, text)
}

// obey does what an operator asks for.
func (w *worker) obey(ctx context.Context, o order) error {
	if o.skip == "" {
		if o.account == "" {
			w.progress.Stopped = ""
		}
		found := o.account == ""
		for account, one := range w.lanes.all {
			if (o.account == "" || o.account == account) && one.held() && !one.flying {
				one.Next, found = w.now(), true
			}
		}
		w.lanes.reorder()
		if !found {
			return fmt.Errorf("%w: sink %s holds no invoice of account %q", ErrNotHeld, w.sink.Name, o.account)
		}
		w.dirty = true
		return nil
	}
	for _, one := range w.lanes.all {
		if one.held() && one.Invoice == o.skip {
			if one.flying {
				one.skip = true
				return nil
			}
			w.progress.Skipped++
			w.lanes.pop(one)
			w.dirty = true // what cannot be written now is written later: it is skipped all the same
			return w.save(ctx)
		}
	}
	return fmt.Errorf("%w: sink %s does not hold invoice %s as the first of its account", ErrNotHeld, w.sink.Name, o.skip)
}

// finish lets a receiver complete periods. It is called when nothing is on its way.
func (w *worker) finish(ctx context.Context, now time.Time) {
	f, ok := w.receiver.(finisher)
	if !ok || now.Sub(w.finished) < finishEvery {
		return
	}
	w.finished = now
	if err := f.finish(ctx); err != nil && ctx.Err() == nil {
		w.log.Warn("deliveries: a period could not be completed, trying again", "sink", w.sink.Name, "error", err)
	}
}

// until is how long the loop may wait for something to happen.
func (w *worker) until(next time.Time) time.Duration {
	wait := pauseMax
	if _, ok := w.receiver.(finisher); ok {
		wait = finishEvery
	}
	now := w.now()
	if !next.IsZero() {
		wait = min(wait, next.Sub(now))
	}
	if w.dirty {
		wait = min(wait, w.saveInterval()-now.Sub(w.saved))
	}
	if w.lanes.blocked > heldListMax {
		wait = min(wait, listInterval)
	}
	return max(wait, time.Millisecond)
}

// keep writes progress when it has changed and the last write is some time ago.
func (w *worker) keep(ctx context.Context) error {
	if !w.dirty || w.now().Sub(w.saved) < w.saveInterval() {
		return nil
	}
	err := w.save(ctx)
	if errors.Is(err, errTakenOver) || ctx.Err() != nil {
		return err
	}
	if err != nil {
		w.saved = w.now() // try again after the interval
		w.log.Warn("deliveries: progress could not be written, trying again", "sink", w.sink.Name, "error", err)
	}
	return nil
}

// save writes progress.
func (w *worker) save(ctx context.Context) error {
	b, err := w.progress.encode(w.lanes)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, saveMax)
	defer cancel()
	failpoint.Hit("deliver.before-save")
	if err := w.keeper.save(ctx, b); err != nil {
		return err
	}
	failpoint.Hit("deliver.after-save")
	w.saved, w.dirty = w.now(), false
	w.lanes.kept(len(b))
	return nil
}

// saveInterval is longer the more progress has to say.
func (w *worker) saveInterval() time.Duration {
	return saveInterval * time.Duration(1+len(w.lanes.all)/saveLanes)
}

// sleep waits, or returns why the context ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
