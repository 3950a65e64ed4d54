package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// trial answers what would be billed: it is a partition like the one that it was taken
// from, with a copy of some of its accounts, to which the same code does what would be
// done to that one. It folds usage, opens closed periods again, closes open ones and
// makes invoices; none of it leaves the copy.
//
//	log ─▶ partition ─(copy, between two messages)─▶ trial ◀─ usage that is not in the log
//	 └────────────── the accounts' events, up to there ──▲
//
// What it reads of the log ends where the copy was taken. Usage that is tried stands
// behind that: in messages with the positions that they would have if they were written
// next. So what it comes to is what the log would come to, if nothing else were written
// before.
type trial struct {
	*partition // the copy

	of       *partition
	part     *accumulate.Part
	accounts []string // sorted
	position uint64   // of the log, as of which the copy is
	tail     tail     // what is tried; nil for nothing

	looked map[ingest.Hash]sighting // answers of the set of identities, of one message
}

// sighting is what a set of identities says of one.
type sighting struct {
	identity.Seen
	known bool
}

// tail is usage that is tried.
type tail interface {
	// Each calls fn with each message; the n-th has the sequence n, from 1.
	Each(fn func(stream.Message) error) error
	// Get returns the n-th message, from 1; an error that wraps stream.ErrNotFound
	// behind the last one.
	Get(n uint64) (*stream.Message, error)
	Len() uint64
}

// trials are where trials are made: one at a time, by one rater.
type trials struct {
	host  *Host
	turn  chan struct{} // has the turn of the one that works
	rater *rate.Rater
}

func newTrials(h *Host) *trials {
	return &trials{host: h, turn: make(chan struct{}, 1), rater: rate.NewRater(h.registry)}
}

// take waits for the turn; give ends it.
func (t *trials) take(ctx context.Context) error {
	select {
	case t.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *trials) give() { <-t.turn }

// trialTaken is what is taken from a partition between two messages.
type trialTaken struct {
	part    *accumulate.Part
	marks   []mark
	catalog *catalog.Catalog
	store   PartitionStore
}

// begin takes a copy of accounts of a partition.
func (t *trials) begin(ctx context.Context, p *partition, accounts []string) (*trialTaken, error) {
	var taken trialTaken
	err := p.ask(ctx, func() {
		taken = trialTaken{part: p.state.Part(accounts), marks: p.marks, catalog: p.catalog, store: p.store}
		if x := &p.positions; x.events > 0 {
			taken.part.Blocks = append(taken.part.Blocks, appendBlockHead(nil, blockAny, x.first, x.last, 0, 0))
		}
	})
	return &taken, err
}

// over makes a trial of a copy. Of several trials of one copy only the last one made
// may be used.
func (t *trials) over(p *partition, taken *trialTaken, accounts []string, usage tail) (*trial, error) {
	state, err := taken.part.State()
	if err != nil {
		return nil, err
	}
	accounts = slices.Sorted(slices.Values(accounts))
	c := &trial{of: p, part: taken.part, accounts: accounts, position: taken.part.Header.Position, tail: usage}
	c.partition = &partition{
		number: p.number, host: p.host, state: state, store: taken.store, trial: c, turn: turn{turns: newTurns(1)},
		rater: t.rater, decoder: ingest.NewDecoder(p.host.seed), marks: slices.Clip(taken.marks), catalog: taken.catalog,
	}
	if taken.catalog != nil {
		t.rater.SetCatalog(taken.catalog) // also since it knows terms by the numbers that another state gave them
	}
	return c, nil
}

// ask has the partition's working goroutine call fn between two messages.
func (p *partition) ask(ctx context.Context, fn func()) error {
	done := make(chan struct{})
	select {
	case p.asks <- func() { fn(); close(done) }:
		<-done
		return nil
	case <-p.host.ended:
		return fault(ReasonUnavailable, "try again", "the host is ending")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answered calls what waits to be called, and reports whether there was anything.
func (p *partition) answered() bool {
	select {
	case fn := <-p.asks:
		fn()
		return true
	default:
		return false
	}
}

// log is where the partition tells the operator of what it does. What is done on
// trial is nobody's concern.
func (p *partition) log() *slog.Logger {
	if p.trial != nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.host.log
}

// conn is the log that the partition reads.
func (p *partition) conn() Log {
	if p.trial != nil {
		return trialLog{p.host.conn, p.trial}
	}
	return p.host.conn
}

// priced returns what is remembered of an event that was priced.
func (p *partition) priced(ctx context.Context, id ingest.Hash) (identity.Seen, bool, error) {
	if p.trial == nil {
		return p.seen.Find(id)
	}
	return p.trial.priced(ctx, id)
}

// priced asks first the trial's own set, then that of the partition as it was when the
// copy was taken: what came later stands behind the position.
func (t *trial) priced(ctx context.Context, id ingest.Hash) (identity.Seen, bool, error) {
	if t.seen != nil {
		if prior, known, err := t.seen.Find(id); known || err != nil {
			return prior, known, err
		}
	}
	if s, ok := t.looked[id]; ok {
		return s.Seen, s.known, nil
	}
	found, err := t.askSeen(ctx, []ingest.Hash{id})
	if err != nil {
		return identity.Seen{}, false, err
	}
	return found[id].Seen, found[id].known, nil
}

// askSeen asks the partition's set of identities.
func (t *trial) askSeen(ctx context.Context, ids []ingest.Hash) (map[ingest.Hash]sighting, error) {
	found := make(map[ingest.Hash]sighting, len(ids))
	var problem error
	err := t.of.ask(ctx, func() {
		if t.of.state.Now().Horizon != t.state.Now().Horizon {
			problem = fault(ReasonUnavailable, "ask again", "a period was closed meanwhile, and with it usage was forgotten that is asked for")
			return
		}
		for _, id := range ids {
			prior, known, err := t.of.seen.Find(id)
			if err != nil {
				problem = err
				return
			}
			found[id] = sighting{prior, known && prior.Position <= t.position}
		}
	})
	return found, errors.Join(err, problem)
}

// lookUp asks for all of a message's events of the accounts that are folded again.
func (t *trial) lookUp(ctx context.Context, events []ingest.Event, accounts map[string]bool) (err error) {
	var ids []ingest.Hash
	for i := range events {
		if e := &events[i]; e.Problem == nil && accounts[e.Account] {
			ids = append(ids, e.Identity)
		}
	}
	t.looked = nil
	if len(ids) > 0 {
		t.looked, err = t.askSeen(ctx, ids)
	}
	return err
}

// find returns the stretches of the log up to a position that may have what is
// sought. What is tried is read whole.
func (t *trial) find(s *sought, upTo uint64) ([]span, error) {
	var tried []span
	if t.tail != nil && t.tail.Len() > 0 {
		tried = []span{{t.position + 1, t.position + t.tail.Len()}}
	}
	logged, err := new(positions).find(t.store, t.part.Blocks, nil, s, min(upTo, t.position))
	if err != nil {
		return nil, err
	}
	return new(positions).find(emptyStore{}, nil, append(logged, tried...), s, upTo)
}

// trialLog is the log as a trial reads it.
type trialLog struct {
	Log
	trial *trial
}

// errTrialEnd ends the reading of the log where the copy was taken.
var errTrialEnd = errors.New("host: the copy was taken here")

// Each calls fn with the messages after a sequence: those of the log up to where the
// copy was taken, and then those that are tried.
func (l trialLog) Each(ctx context.Context, name, subject string, after uint64, fn func(stream.Message) error) error {
	if name != stream.Usage(l.trial.number) {
		return l.Log.Each(ctx, name, subject, after, fn)
	}
	if after < l.trial.position {
		err := l.Log.Each(ctx, name, subject, after, func(m stream.Message) error {
			if m.Sequence > l.trial.position {
				return errTrialEnd
			}
			if err := fn(m); err != nil || m.Sequence < l.trial.position {
				return err
			}
			return errTrialEnd
		})
		if err != nil && !errors.Is(err, errTrialEnd) {
			return err
		}
	}
	if l.trial.tail == nil || subject != "" {
		return nil
	}
	return l.trial.tail.Each(func(m stream.Message) error {
		if m.Sequence += l.trial.position; m.Sequence <= after {
			return nil
		}
		return fn(m)
	})
}

// Get returns the message at a sequence.
func (l trialLog) Get(ctx context.Context, name string, sequence uint64) (*stream.Message, error) {
	t := l.trial
	if name != stream.Usage(t.number) || sequence <= t.position {
		return l.Log.Get(ctx, name, sequence)
	}
	if t.tail == nil {
		return nil, fmt.Errorf("host: message %d of %s on trial: %w", sequence, name, stream.ErrNotFound)
	}
	m, err := t.tail.Get(sequence - t.position)
	if err == nil {
		m.Sequence = sequence
	}
	return m, err
}

// trialPeriodsMax is how many periods of a calendar a trial closes.
const trialPeriodsMax = 120

// closeUpTo closes a calendar's periods up to one, as its next close would.
func (t *trial) closeUpTo(ctx context.Context, c rate.Calendar, period billing.Period) error {
	from := period.Start.UnixNano()
	if until := t.state.Now().ClosedUntil(c); until != rate.Beginning {
		from = until
	} else {
		from = min(from, t.firstOpen(c))
	}
	if period.Start.After(time.Unix(0, from).AddDate(0, trialPeriodsMax, 0)) {
		return fault(ReasonInvalidPeriod, "ask for a period that is nearer",
			"period %s lies more than %d periods behind the last one that is closed", period.ID(), trialPeriodsMax)
	}
	return t.closePeriod(ctx, closing{Calendar: c, Period: period.ID(), Start: period.Start, End: period.End}, t.state.Now().Position+1)
}

// invoices are those that the trial has made since it was last cut, in order.
func (t *trial) invoices() ([]export.Invoice, error) {
	var list []export.Invoice
	for _, b := range t.state.Uncommitted(accumulate.LogInvoices) {
		inv, err := export.DecodeInvoice(b)
		if err != nil {
			return nil, fmt.Errorf("host: partition %d: on trial: %w", t.number, err)
		}
		list = append(list, inv)
	}
	return list, nil
}

// try folds what is tried, and tells fn of each dead letter.
func (t *trial) try(ctx context.Context, refused func(accumulate.DeadLetter)) error {
	var err error
	if t.seen, err = identity.Open(emptyStore{}, identityOptions(t.state.Now().Horizon)); err != nil {
		return err
	}
	if err := t.remember(ctx); err != nil {
		return err
	}
	now := t.host.config.Now()
	var last stream.Message
	err = t.tail.Each(func(m stream.Message) error {
		m.Sequence += t.position
		m.Time = now // as if it were written now
		last = m
		t.decode(&m)
		if len(t.pending.events) < settleEvents {
			return nil
		}
		if err := t.settle(ctx, &m); err != nil {
			return err
		}
		return t.cut(refused, shadowGenerationBytes)
	})
	if err == nil {
		err = t.settle(ctx, &last)
	}
	if err == nil {
		err = t.cut(refused, 0)
	}
	return err
}

// remember takes over what the partition's set of identities says of the events that
// are tried.
func (t *trial) remember(ctx context.Context) error {
	decoder := ingest.NewDecoder(t.host.seed)
	var events []ingest.Event
	return t.tail.Each(func(m stream.Message) error {
		defer decoder.Reset()
		events = decoder.Decode(m.Header.Get, m.Data, events[:0])
		ids, until := make([]ingest.Hash, 0, len(events)), map[ingest.Hash]int64{}
		for i := range events {
			if e := &events[i]; e.Problem == nil {
				ids = append(ids, e.Identity)
				until[e.Identity] = keptUntil(e.Time)
			}
		}
		found, err := t.askSeen(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if s := found[id]; s.known {
				if _, err := t.seen.Add(&id, &s.Content, s.Position, until[id]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// cut lets go of what a checkpoint would need, when it is more than some bytes.
func (t *trial) cut(refused func(accumulate.DeadLetter), bytes int) error {
	if t.state.Filling().Bytes() < bytes {
		return nil
	}
	if err := t.letters(refused); err != nil {
		return err
	}
	g, err := t.state.Cut()
	if err != nil {
		return err
	}
	t.state.Durable(g) // nothing is: it is only ever in memory
	return nil
}

// letters tells fn of the dead letters that came since the trial was last cut.
func (t *trial) letters(fn func(accumulate.DeadLetter)) error {
	for _, b := range t.state.Uncommitted(accumulate.LogDeadLetters) {
		var l accumulate.DeadLetter
		if err := json.Unmarshal(b, &l); err != nil {
			return fmt.Errorf("host: partition %d: on trial: %w", t.number, err)
		}
		fn(l)
	}
	return nil
}

// calendarsToClose returns the calendars in which a close would bill something of the
// accounts, each with the period up to which it has to close: that of their newest
// usage, and at least the first that is open.
func (t *trial) calendarsToClose() map[rate.Calendar]billing.Period {
	upTo := map[rate.Calendar]billing.Period{}
	for _, id := range t.accounts {
		calendar := t.catalog.Calendar(billing.AccountID(id))
		c := rate.CalendarName(calendar)
		last := rate.Beginning
		if a := t.state.Account(id, billing.AccountID(id).TokenHash()); a != nil {
			for l := range a.Slots() {
				if l.Terms().Calendar == c && !l.Final {
					last = max(last, l.Terms().Period)
				}
			}
		}
		if last == rate.Beginning {
			continue
		}
		last = max(last, t.state.Now().ClosedUntil(c))
		if period := calendar.PeriodOf(time.Unix(0, last)); period.Start.After(upTo[c].Start) {
			upTo[c] = period
		}
	}
	return upTo
}

// closeAll closes calendars up to their periods.
func (t *trial) closeAll(ctx context.Context, upTo map[rate.Calendar]billing.Period) error {
	for _, c := range slices.SortedFunc(maps.Keys(upTo), compareCalendars) {
		if err := t.closeUpTo(ctx, c, upTo[c]); err != nil {
			return err
		}
	}
	return nil
}

// emptyStore is a store of a partition that has nothing.
type emptyStore struct{ PartitionStore }

// LogFirst returns 1: nothing was trimmed.
func (emptyStore) LogFirst(uint8) uint64 { return 1 }

// LogLast returns 0: there is nothing.
func (emptyStore) LogLast(uint8) uint64 { return 0 }

// LogRange finds nothing.
func (emptyStore) LogRange(uint8, uint64, int, func(uint64, []byte) error) error { return nil }
