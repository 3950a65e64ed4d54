package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
)

// shadowPart is what a shadow has of one partition.
type shadowPart struct {
	shadow  *shadow
	number  int
	decoder *ingest.Decoder

	// The following goroutine changes what follows while it holds the lock.
	mu        sync.Mutex
	sides     [2]side
	revision  uint64                   // of the catalogs of the sides
	eventType string                   // of the tariff's meter
	ahead     int64                    // how far, ns, an event's time may lie behind that of its message
	seen      map[ingest.Hash]struct{} // identities of events that one side has priced at least
	behind    uint64                   // messages of the log still to be read
	refused   refusals                 // by the candidate alone
	accepted  refusals                 // by the candidate alone

	corrections map[ingest.Hash]struct{} // identities of those that were made
	fixes       fixes                    // what they have made of events that were priced

	events  []rate.Event // of a batch
	after   uint64       // position before the first message that is read
	reached uint64       // position of the last one that was folded
	dirty   []string     // accounts with corrections that are not in the sides yet
}

func newShadowPart(s *shadow, n int) *shadowPart {
	p := &shadowPart{
		shadow: s, number: n, decoder: ingest.NewDecoder(s.host.seed), seen: map[ingest.Hash]struct{}{},
		refused: refusals{}, accepted: refusals{}, fixes: fixes{}, corrections: map[ingest.Hash]struct{}{},
	}
	for i := range p.sides {
		p.sides[i] = side{rater: rate.NewRater(s.host.registry), state: accumulate.NewState()}
	}
	return p
}

// follow reads the log until the context ends.
func (p *shadowPart) follow(ctx context.Context, turn chan struct{}) (err error) {
	defer func() {
		for i := range p.sides {
			err = errors.Join(err, p.sides[i].rater.Close(context.WithoutCancel(ctx)))
		}
	}()
	p.useCatalogs()
	after, err := p.shadow.host.positionBefore(ctx, p.number, p.shadow.record.Since)
	if err != nil {
		return err
	}
	p.after = after
	reader, err := p.shadow.host.conn.Reader(ctx, p.number, after)
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		batch, err := reader.Next(ctx, stream.Limit{Messages: 1_000, Bytes: 512 << 10})
		if err != nil {
			return err
		}
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		begun := time.Now() // paces the work; no figure depends on it
		p.mu.Lock()
		p.behind = reader.Pending()
		err = p.fold(ctx, batch)
		p.mu.Unlock()
		if err == nil && p.behind == 0 {
			err = p.foldCorrected(ctx)
		}
		rest(ctx, time.Since(begun), p.shadow.host.config.Plugins.ShadowPercent)
		<-turn
		if err != nil {
			return err
		}
	}
}

// rest waits so long that work took its share of the time, in percent.
func rest(ctx context.Context, work time.Duration, percent int) {
	if percent >= 100 {
		return
	}
	timer := time.NewTimer(work * time.Duration(100-percent) / time.Duration(percent))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// useCatalogs has the sides price by the shadow's newest pair of catalogs.
func (p *shadowPart) useCatalogs() {
	pair, revision := p.shadow.catalogsNow()
	for i := range p.sides {
		p.sides[i].rater.SetCatalog(pair[i])
	}
	p.revision, p.ahead = revision, int64(pair[inForce].Billing.MaxAhead)
	for _, m := range pair[inForce].Meters {
		p.eventType = m.EventType
	}
}

// fold prices messages. The newest catalog prices all of them but those behind
// its marker: a change never reaches back before usage that was priced already.
func (p *shadowPart) fold(ctx context.Context, messages []stream.Message) error {
	prefix := stream.ControlSubject(p.number, "")
	var events []ingest.Event
	for _, m := range messages {
		p.reached = m.Sequence
		what, isControl := strings.CutPrefix(m.Subject, prefix)
		if !isControl {
			first := len(events)
			events = p.decoder.Decode(m.Header.Get, m.Data, events)
			events = append(events[:first], p.notAhead(events[first:], storedAt(&m))...)
			for i := first; i < len(events); i++ {
				if !isCorrection(&events[i]) || !p.concerns(&events[i]) {
					continue
				}
				// What it corrects may be in this batch.
				if err := p.price(ctx, events[:i]); err != nil {
					return err
				}
				p.correct(&events[i], m.Sequence)
			}
			continue
		}
		if !strings.HasPrefix(what, "catalog.") {
			continue // a period that closes keeps the lines that it has
		}
		if err := p.price(ctx, events); err != nil {
			return err
		}
		events = nil
		p.decoder.Reset()
		if err := p.takeCatalog(ctx, m); err != nil {
			return err
		}
	}
	err := p.price(ctx, events)
	p.decoder.Reset()
	return err
}

// notAhead leaves out what the partition refuses since its time lies too far behind that
// of its message, unix ns.
func (p *shadowPart) notAhead(events []ingest.Event, stored int64) []ingest.Event {
	if p.ahead >= int64(catalog.AnyTimeAhead) {
		return events
	}
	return slices.DeleteFunc(events, func(e ingest.Event) bool { return e.Problem == nil && e.Time-p.ahead > stored })
}

// takeCatalog acts on a catalog marker.
func (p *shadowPart) takeCatalog(ctx context.Context, m stream.Message) error {
	var c marker
	if err := json.Unmarshal(m.Data, &c); err != nil {
		return fmt.Errorf("control message at position %d: %w", m.Sequence, err)
	}
	if c.Revision <= p.revision {
		return nil
	}
	snapshot, err := p.shadow.host.catalogs.at(ctx, c.Revision, c.Digest)
	if err != nil {
		return err
	}
	if err := p.shadow.use(ctx, snapshot, c.Revision); err != nil {
		return fmt.Errorf("catalog revision %d: %w", c.Revision, err)
	}
	p.useCatalogs()
	return nil
}

// price prices the events that the shadow is about on both sides.
func (p *shadowPart) price(ctx context.Context, events []ingest.Event) error {
	p.events = p.events[:0]
	since := rate.Beginning
	if !p.shadow.record.Since.IsZero() {
		since = p.shadow.record.Since.UnixNano()
	}
	for i := range events {
		e := &events[i]
		if e.Type != p.eventType || e.Time < since || !p.concerns(e) {
			continue
		}
		if _, known := p.seen[e.Identity]; known {
			continue
		}
		p.seen[e.Identity] = struct{}{}
		p.events = append(p.events, *e)
	}
	if len(p.events) == 0 {
		return nil
	}
	var rejected [2][]rate.Rejection
	for i := range p.sides {
		s := &p.sides[i]
		out, err := s.rater.Rate(ctx, s.state, p.events)
		if err != nil {
			return err
		}
		rejected[i] = out.Rejected
		if err := s.take(out.Changes); err != nil {
			return err
		}
	}
	p.compare(rejected)
	return p.bounded()
}

// compare counts the events that one side alone has rejected. What both reject
// does not count as seen.
func (p *shadowPart) compare(rejected [2][]rate.Rejection) {
	active, other := rejected[inForce], rejected[candidate]
	for len(active) > 0 || len(other) > 0 {
		switch {
		case len(other) == 0 || len(active) > 0 && active[0].Event < other[0].Event:
			p.accepted.add(active[0], &p.events[active[0].Event])
			active = active[1:]
		case len(active) == 0 || other[0].Event < active[0].Event:
			p.refused.add(other[0], &p.events[other[0].Event])
			other = other[1:]
		default:
			delete(p.seen, p.events[active[0].Event].Identity)
			active, other = active[1:], other[1:]
		}
	}
}

// bounded ends a shadow that would take too much memory.
func (p *shadowPart) bounded() error {
	for i := range p.sides {
		if _, slots := p.sides[i].state.Size(); slots > shadowSlotsMax {
			return fmt.Errorf("partition %d has more than %d slots: start it again with a part of the accounts (--accounts-percent)", p.number, shadowSlotsMax)
		}
	}
	if len(p.seen) > shadowEventsMax {
		return fmt.Errorf("partition %d has more than %d events: start it again with a part of the accounts (--accounts-percent), or since a later time (--since)", p.number, shadowEventsMax)
	}
	return nil
}

// refusals counts refused events by their reason.
type refusals map[string]*query.ShadowRefusal

func (r refusals) add(why rate.Rejection, e *rate.Event) {
	one := r[why.Reason]
	if one == nil {
		one = &query.ShadowRefusal{Reason: why.Reason, Detail: strings.Clone(why.Detail), Account: strings.Clone(e.Account), EventID: strings.Clone(e.ID)}
		r[why.Reason] = one
	}
	one.Events++
}

// merge adds the counts of another partition.
func (r refusals) merge(other refusals) {
	for reason, o := range other {
		if one := r[reason]; one != nil {
			one.Events += o.Events
			continue
		}
		kept := *o
		r[reason] = &kept
	}
}

// list returns the counts, the most first.
func (r refusals) list() []query.ShadowRefusal {
	var list []query.ShadowRefusal
	for _, one := range r {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b query.ShadowRefusal) int {
		if a.Events != b.Events {
			if a.Events > b.Events {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return list
}

// positionBefore returns a position of a partition's log before which no usage of
// a time or later stands: behind the last message that was stored a day before it.
func (h *Host) positionBefore(ctx context.Context, partition int, at time.Time) (uint64, error) {
	name := stream.Usage(partition)
	first, last, err := h.conn.LastSequence(ctx, name)
	if err != nil || at.IsZero() || last == 0 || last < first {
		return 0, err
	}
	stored := func(sequence uint64) (time.Time, error) {
		m, err := h.conn.Get(ctx, name, sequence)
		if err != nil {
			return time.Time{}, err
		}
		return m.Time, nil
	}
	newest, err := stored(last)
	if err != nil {
		return 0, err
	}
	if newest.Before(at) {
		return 0, nil // usage from the future, as a demo makes it: its times say nothing about where it stands
	}
	at = at.Add(-shadowLead)
	low, high := first-1, last // the position looked for lies from low to high
	for low < high {
		middle := low + (high-low+1)/2
		when, err := stored(middle)
		if err != nil {
			return 0, err
		}
		if when.Before(at) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	if low < first {
		return 0, nil
	}
	return low, nil
}
