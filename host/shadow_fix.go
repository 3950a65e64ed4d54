package host

import (
	"context"
	"errors"
	"fmt"
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

// What a shadow has priced cannot be taken back by subtraction, as little as in the
// partition: the accounts with corrections are folded again, from where the shadow
// reads, when it has caught up with the log. As that reads all of it, many accounts
// are folded at once.

// correctedAtOnce are the accounts of one reading of the log.
const correctedAtOnce = 1_000

// concerns reports whether an event is of an account that the part prices.
func (p *shadowPart) concerns(e *ingest.Event) bool {
	return e.Problem == nil && int(e.AccountHash%uint32(p.shadow.host.config.Partitions)) == p.number &&
		p.shadow.record.shadowed(billing.AccountID(e.Account))
}

// correct notes a correction of what was priced.
func (p *shadowPart) correct(e *ingest.Event, position uint64) {
	if _, again := p.corrections[e.Identity]; again {
		return
	}
	f, why := fixOf(e)
	if why != nil {
		return
	}
	if _, priced := p.seen[p.decoder.IdentityOf(f.source, f.id, e.Account)]; !priced {
		return
	}
	p.corrections[e.Identity] = struct{}{}
	if _, changed := p.fixes.put(p.decoder, e, position); changed && !slices.Contains(p.dirty, e.Account) {
		p.dirty = append(p.dirty, strings.Clone(e.Account))
	}
}

// foldCorrected folds the accounts again that have corrections.
func (p *shadowPart) foldCorrected(ctx context.Context) error {
	for len(p.dirty) > 0 {
		n := min(len(p.dirty), correctedAtOnce)
		f := &shadowRefold{part: p, decoder: ingest.NewDecoder(p.shadow.host.seed), accounts: map[string]bool{}}
		for _, id := range p.dirty[:n] {
			f.accounts[id] = true
		}
		if err := f.all(ctx); err != nil {
			return fmt.Errorf("usage that was corrected cannot be read again: %w", err)
		}
		p.dirty = slices.Delete(p.dirty, 0, n)
	}
	return nil
}

// shadowRefold folds some accounts of a part again, in states of their own, which take
// the place of what the part has of them at once.
type shadowRefold struct {
	part     *shadowPart
	accounts map[string]bool
	decoder  *ingest.Decoder
	sides    [2]side
	active   *catalog.Catalog
	taken    map[ingest.Hash]struct{}
	events   []rate.Event
	decoded  int // bytes since the decoder was last emptied
}

// all folds the accounts again. It waits for a log that cannot be reached.
func (f *shadowRefold) all(ctx context.Context) error {
	for {
		err := f.once(ctx)
		if !errors.Is(err, stream.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(readPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// once reads the log and folds the accounts, with raters of its own: what one knows of
// slots is of one state.
func (f *shadowRefold) once(ctx context.Context) (err error) {
	p := f.part
	pair, _ := p.shadow.catalogsNow()
	f.active = pair[inForce]
	for i := range f.sides {
		f.sides[i] = side{rater: rate.NewRater(p.shadow.host.registry), state: accumulate.NewState()}
		f.sides[i].rater.SetCatalog(pair[i])
		defer func() { err = errors.Join(err, f.sides[i].rater.Close(context.WithoutCancel(ctx))) }()
	}
	f.taken, f.events = map[ingest.Hash]struct{}{}, nil
	err = p.shadow.host.conn.Each(ctx, stream.Usage(p.number), "", p.after, func(m stream.Message) error {
		if m.Sequence > p.reached {
			return errReached
		}
		return f.message(ctx, &m)
	})
	if err != nil && !errors.Is(err, errReached) {
		return err
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	return f.replace()
}

// message takes the events of a message that the part has priced.
func (f *shadowRefold) message(ctx context.Context, m *stream.Message) error {
	p := f.part
	if strings.HasPrefix(m.Subject, stream.ControlSubject(p.number, "")) {
		return nil
	}
	first := len(f.events)
	f.events = f.decoder.Decode(m.Header.Get, m.Data, f.events)
	kept := f.events[:first]
	for i := first; i < len(f.events); i++ {
		e := &f.events[i]
		if e.Problem != nil || e.Type != p.eventType || !f.accounts[e.Account] {
			continue
		}
		_, priced := p.seen[e.Identity]
		if _, again := f.taken[e.Identity]; again || !priced {
			continue
		}
		f.taken[e.Identity] = struct{}{}
		voided, err := f.fix(ctx, e)
		if err != nil {
			return err
		}
		if !voided {
			kept = append(kept, *e)
		}
	}
	f.events, f.decoded = kept, f.decoded+len(m.Data)
	if len(f.events) >= settleEvents || f.decoded >= decodedMax {
		return f.flush(ctx)
	}
	return nil
}

// fix has an event say what it was amended to, or reports that it was voided. An
// amendment that the tariff in force refuses, or that lies in another billing period, was
// not made.
func (f *shadowRefold) fix(ctx context.Context, e *ingest.Event) (voided bool, err error) {
	next := *e
	if f.part.fixes.apply(f.decoder, &next) {
		return true, nil
	}
	if _, amended := f.part.fixes[e.Identity]; !amended {
		return false, nil
	}
	calendar := f.active.Calendar(billing.AccountID(e.Account))
	if !calendar.PeriodOf(time.Unix(0, next.Time)).Start.Equal(calendar.PeriodOf(time.Unix(0, e.Time)).Start) {
		return false, nil
	}
	out, err := f.sides[inForce].rater.Rate(ctx, accumulate.NewState(), []rate.Event{next})
	if err == nil && len(out.Rejected) == 0 {
		*e = next
	}
	return false, err
}

// flush folds what was read.
func (f *shadowRefold) flush(ctx context.Context) error {
	for i := range f.sides {
		if len(f.events) == 0 {
			break
		}
		out, err := f.sides[i].rater.Rate(ctx, f.sides[i].state, f.events)
		if err != nil {
			return err
		}
		if err := f.sides[i].take(out.Changes); err != nil {
			return err
		}
	}
	clear(f.events)
	f.events, f.decoded = f.events[:0], 0
	f.decoder.Reset()
	return nil
}

// replace puts what was folded in the place of what the part has.
func (f *shadowRefold) replace() error {
	p := f.part
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sides {
		s := &p.sides[i]
		for id := range f.accounts {
			before, _ := s.state.Slots(id, accumulate.Latest)
			for _, slot := range before {
				if err := s.state.Put(rate.NewSlot(id, slot.Terms(), slot.Group, rate.Content{})); err != nil {
					return err
				}
			}
			now, _ := f.sides[i].state.Slots(id, accumulate.Latest)
			for _, slot := range now {
				if err := s.state.Put(slot); err != nil {
					return err
				}
			}
		}
		if err := s.take(nil); err != nil {
			return err
		}
	}
	return nil
}
