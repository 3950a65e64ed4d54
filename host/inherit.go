package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// inherit has the slots of the next period begin with what finished ones leave to
// them, as the message at a position decides it.
//
// Usage of the next period that was folded before, in the grace time, was folded
// without that. The accounts concerned are folded again: their slots of the period
// are emptied, and their events read from the log once more, up to the position.
func (p *partition) inherit(ctx context.Context, left []*rate.Slot, c rate.Calendar, next billing.Period, position uint64) error {
	var heirs []*rate.Slot
	for _, s := range left {
		heir, err := p.rater.Heir(ctx, s, next)
		if err != nil {
			return err
		}
		if heir == nil {
			continue
		}
		heirs = append(heirs, heir)
	}
	heirs, err := p.takers(ctx, heirs)
	if err != nil {
		return err
	}
	again := map[string]bool{}
	for _, s := range heirs {
		if l := p.live(s); l != nil && l.Events > 0 {
			again[s.Account] = true
		}
	}
	return p.foldAgain(ctx, again, c, next, heirs, position, nil)
}

// takers returns the heirs whose tariffs take what is left to them. A version may
// have come into force that is another kind of price: it begins anew.
func (p *partition) takers(ctx context.Context, heirs []*rate.Slot) ([]*rate.Slot, error) {
	_, faults, err := p.rater.Finish(ctx, heirs)
	if err != nil {
		return nil, err
	}
	var takers []*rate.Slot
	for i, s := range heirs {
		if f := faults[i]; f != nil {
			p.log().Warn("a tariff does not take what it is left, and begins anew", "partition", p.number, "account", s.Account,
				"tariff", s.Tariff, "period", time.Unix(0, s.Period).UTC(), "detail", f.Detail)
			continue
		}
		takers = append(takers, s)
	}
	return takers, nil
}

// live returns the slot of the state that has another one's key, nil when there is
// none.
func (p *partition) live(s *rate.Slot) *rate.Live {
	a := p.state.Account(s.Account, billing.AccountID(s.Account).TokenHash())
	if a == nil {
		return nil
	}
	if at, found := a.Find(s.Terms(), s.Group); found {
		return a.At(at)
	}
	return nil
}

// openBook is the state with the periods of one calendar closed up to a time only:
// what is folded again may belong to a period that has been closed since.
type openBook struct {
	*accumulate.State
	calendar rate.Calendar
	until    int64
}

// ClosedUntil returns the end of the calendar's last closed period, unix ns.
func (b openBook) ClosedUntil(c rate.Calendar) int64 {
	if c == b.calendar {
		return b.until
	}
	return b.State.ClosedUntil(c)
}

// refold folds the events of some accounts and a period again.
type refold struct {
	partition  *partition
	accounts   map[string]bool
	calendar   rate.Calendar
	start, end int64 // of the period, unix ns
	book       rate.Book
	spans      []span               // of the log that are read, in order and apart
	upTo       uint64               // position of what decides it
	repriced   int                  // the marker that has repriced the accounts, -1 for none
	leaveOut   map[ingest.Hash]bool // events that are known, but not priced yet

	stretches []stretch        // by what prices the accounts, in order
	catalog   *catalog.Catalog // of the events that are collected
	inUse     *catalog.Catalog // the rater's

	decoder *ingest.Decoder // its own: the partition's holds events that are pending
	events  []ingest.Event
	at      []uint64 // the position of each
	taken   map[ingest.Hash]bool
	bytes   int // decoded since the decoder was last emptied
}

// errRefolded ends the reading of the log.
var errRefolded = errors.New("host: folded again")

// readPause is the pause before the log is asked again when it cannot be read.
const readPause = time.Second

// all folds the accounts again: apart from each other those that are priced by other
// catalogs.
func (r *refold) all(ctx context.Context) error {
	p := r.partition
	if len(r.spans) == 0 {
		return nil
	}
	marks, err := p.marksUpTo(ctx, max(r.spans[len(r.spans)-1].last, r.upTo, p.state.Now().Position))
	if err != nil {
		return err
	}
	groups, err := p.alike(ctx, r.accounts, r.start, r.end, marks)
	if err != nil {
		return err
	}
	for _, g := range groups {
		part := *r
		part.accounts, part.repriced, part.spans = g.accounts, g.repriced, slices.Clone(r.spans)
		part.stretches = p.stretches(marks, g.repriced, g.accounts)
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// run reads the log. It waits for a log that cannot be reached for the moment, as
// the reading of new messages does.
func (r *refold) run(ctx context.Context) error {
	p := r.partition
	begun := p.host.config.Now()
	r.decoder = ingest.NewDecoder(p.host.seed)
	r.catalog, r.inUse = p.catalog, p.catalog
	defer func() {
		if r.inUse != p.catalog {
			p.rater.SetCatalog(p.catalog)
		}
	}()
	var messages uint64
	for i := range r.spans {
		messages += r.spans[i].last - r.spans[i].first + 1
		if err := r.read(ctx, &r.spans[i]); err != nil {
			return err
		}
	}
	err := r.flush(ctx)
	p.log().Info("usage folded again", "partition", p.number, "accounts", len(r.accounts), "period", time.Unix(0, r.start).UTC(),
		"messages", messages, "took", p.host.config.Now().Sub(begun))
	return err
}

// read reads a stretch of the log.
func (r *refold) read(ctx context.Context, s *span) error {
	p := r.partition
	for s.first <= s.last {
		err := p.conn().Each(ctx, stream.Usage(p.number), "", s.first-1, func(m stream.Message) error {
			if m.Sequence > s.last {
				return errRefolded
			}
			if err := r.message(ctx, m); err != nil {
				return err
			}
			if s.first = m.Sequence + 1; s.first > s.last {
				return errRefolded
			}
			return nil
		})
		if err == nil || errors.Is(err, errRefolded) {
			return nil
		}
		if !errors.Is(err, stream.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		p.log().Warn("the log cannot be read to fold usage again, trying on", "partition", p.number, "error", err)
		if err := p.pause(ctx, readPause); err != nil {
			return err
		}
	}
	return nil
}

// message takes the events of a message that belong to the slots that are folded
// again: those that were priced from this message. The others of the same accounts
// were dead letters or repeats, and stay that.
func (r *refold) message(ctx context.Context, m stream.Message) error {
	p := r.partition
	clear(r.taken)
	if err := r.turnTo(ctx, m.Sequence); err != nil {
		return err
	}
	if control, is := strings.CutPrefix(m.Subject, p.controlPrefix()); is {
		if strings.HasPrefix(control, "letters.") {
			if err := r.replayed(ctx, m); err != nil {
				return err
			}
		}
		return nil
	}
	first := len(r.events)
	r.events = r.decoder.Decode(m.Header.Get, m.Data, r.events)
	if p.trial != nil {
		if err := p.trial.lookUp(ctx, r.events[first:], r.accounts); err != nil {
			return err
		}
	}
	kept := r.events[:first]
	for i := first; i < len(r.events); i++ {
		e := &r.events[i]
		takes, err := r.takes(ctx, e, m.Sequence)
		if err == nil && takes {
			err = p.amend(ctx, r.decoder, e)
		}
		if err != nil {
			return err
		}
		if takes {
			kept = append(kept, *e)
			r.at = append(r.at, m.Sequence)
		}
	}
	clear(r.events[len(kept):])
	r.events, r.bytes = kept, r.bytes+len(m.Data)
	if len(r.events) >= settleEvents || r.bytes >= decodedBytes {
		return r.flush(ctx)
	}
	return nil
}

// turnTo has what follows be priced by the catalog that was in force at a position.
func (r *refold) turnTo(ctx context.Context, position uint64) error {
	for len(r.stretches) > 0 && r.stretches[0].from <= position {
		if len(r.stretches) > 1 && r.stretches[1].from <= position {
			r.stretches = r.stretches[1:]
			continue
		}
		c, err := r.partition.catalogOf(ctx, &r.stretches[0])
		if err != nil {
			return err // the message is read again, and has to find its stretch
		}
		r.stretches = r.stretches[1:]
		if c == r.catalog {
			return nil
		}
		if err := r.flush(ctx); err != nil {
			return err
		}
		r.catalog = c
	}
	return nil
}

// takes reports whether an event is folded again: it belongs to the slots
// concerned, and was priced from the message at a position.
func (r *refold) takes(ctx context.Context, e *ingest.Event, position uint64) (bool, error) {
	// An amended event stays in its period, so its own time tells whether it is of this one.
	concerned := e.Problem == nil && !isCorrection(e) && r.accounts[e.Account] && e.Time >= r.start && e.Time < r.end && !r.taken[e.Identity] && !r.leaveOut[e.Identity]
	if !concerned || r.partition.state.Override(e.Identity).Gone() ||
		rate.CalendarName(r.catalog.Calendar(billing.AccountID(e.Account))) != r.calendar {
		return false, nil
	}
	seen, known, err := r.partition.priced(ctx, e.Identity)
	if err != nil || !known || seen.Position != position || seen.Content != e.Content {
		return false, err
	}
	if r.taken == nil {
		r.taken = map[ingest.Hash]bool{}
	}
	r.taken[e.Identity] = true
	return true, nil
}

// replayed takes the dead letters that an order had priced: in the order of their
// numbers, from the messages that carried them first.
func (r *refold) replayed(ctx context.Context, m stream.Message) error {
	var o letterOrder
	if err := json.Unmarshal(m.Data, &o); err != nil {
		return r.partition.badControl(m, err)
	}
	if o.Discard {
		return nil
	}
	slices.SortFunc(o.Letters, func(a, b letterRef) int { return cmp.Compare(a.Number, b.Number) })
	for _, ref := range o.Letters {
		events, size, err := r.partition.carried(ctx, r.decoder, ref.Position)
		if err != nil {
			return err
		}
		r.bytes += size
		for i := range events {
			if events[i].Index != ref.Index {
				continue
			}
			takes, err := r.takes(ctx, &events[i], m.Sequence)
			if err == nil && takes {
				err = r.partition.amend(ctx, r.decoder, &events[i])
			}
			if err != nil {
				return err
			}
			if takes {
				r.events, r.at = append(r.events, events[i]), append(r.at, ref.Position)
			}
		}
		if r.bytes >= decodedBytes {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush folds the events that were read. One that is refused now, with what the
// period or the version before left, becomes a dead letter after all.
func (r *refold) flush(ctx context.Context) error {
	p := r.partition
	r.bytes = 0
	if len(r.events) == 0 {
		r.decoder.Reset()
		return nil
	}
	if r.inUse != r.catalog {
		p.rater.SetCatalog(r.catalog)
		r.inUse = r.catalog
	}
	out, err := p.rater.Rate(ctx, r.book, r.events)
	if err != nil {
		return err
	}
	counters := &p.state.Now().Counters
	for _, x := range out.Rejected {
		counters.Priced--
		counters.DeadLettered++
		l := letterOf(&r.events[x.Event], r.at[x.Event], refusal{x.Reason, x.Detail})
		l.TakenBack = true
		o := p.state.Override(r.events[x.Event].Identity)
		o.TakenBack = true
		if err := p.state.SetOverride(r.events[x.Event].Identity, o); err != nil {
			return err
		}
		if err := p.state.AddDeadLetter(l); err != nil {
			return err
		}
	}
	if r.repriced >= 0 { // a tariff may carry that did not
		for i := range out.Changes {
			if t := out.Changes[i].Terms; t.Plan.Carries {
				p.state.Now().CarryingSince(accumulate.PeriodKey{Calendar: t.Calendar, Start: t.Period}, r.at[out.Changes[i].First])
			}
		}
	}
	err = p.state.Take(out.Changes)
	clear(r.events)
	r.events, r.at = r.events[:0], r.at[:0]
	r.decoder.Reset()
	return err
}

// sawCarrying notes where the first event of a period stands that a tariff which
// carries has taken.
func (p *partition) sawCarrying(changes []rate.Change) {
	for i := range changes {
		c := &changes[i]
		if !c.Terms.Plan.Carries {
			continue
		}
		p.state.Now().SawCarrying(accumulate.PeriodKey{Calendar: c.Terms.Calendar, Start: c.Terms.Period}, p.pending.carrier(c.First).position)
	}
}
