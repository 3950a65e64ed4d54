package rate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/ingest"
)

// Event is a decoded usage event.
type Event = ingest.Event

// Book is what rating must know of the state. Its answers must not change
// during a call of Rate.
type Book interface {
	// Slot returns the slot of a key, nil when there is none.
	Slot(Key) *Slot
	// Groups counts the group combinations of the key's subscription, version
	// and period.
	Groups(Key) int
	// ClosedUntil returns the end of the calendar's last closed period, unix ns.
	ClosedUntil(Calendar) int64
}

// Outcome is what a batch of events does. The lists are used again by the next
// batch; what they refer to is not.
type Outcome struct {
	Slots    []*Slot     // new values of the slots that took events, in the order of their first event
	Rejected []Rejection // events that were priced by nobody, in order
}

// Rejection is an event that was not priced.
type Rejection struct {
	Event  int    // index into the batch
	Reason string // stable, snake_case: a Reason constant, or the plugin's own
	Detail string // for people: which subscription, what was wrong
}

// Rater prices events by one catalog. It belongs to one goroutine.
type Rater struct {
	source    Modules
	catalog   *catalog.Catalog
	modules   map[string]*module
	plans     map[planRef]*Plan
	calendars map[Calendar]*calendar
	lanes     map[laneKey]*lane
	batch     batch
	order     []int32 // cells in the order of an outcome
	slots     []*Slot // of the last outcome
}

// planRef names a plan by the catalog objects that it is made from.
type planRef struct {
	version *catalog.TariffVersion
	sub     *catalog.Subscription // nil for all subscriptions without own params
}

// NewRater makes a rater that prices nothing until it is given a catalog.
func NewRater(source Modules) *Rater {
	r := &Rater{source: source, modules: map[string]*module{}, calendars: map[Calendar]*calendar{}}
	r.batch = batch{rater: r, cellOf: map[Key]int32{}, groups: map[Key]*groupCount{}}
	return r
}

// SetCatalog puts a catalog in force for the events that follow.
func (r *Rater) SetCatalog(c *catalog.Catalog) {
	r.catalog = c
	r.plans, r.lanes = map[planRef]*Plan{}, map[laneKey]*lane{}
}

// Rate prices events, which are in log order and have no Problem. An error
// means that nothing was decided: the plugin host failed, not an event.
func (r *Rater) Rate(ctx context.Context, book Book, events []Event) (Outcome, error) {
	if err := r.trim(ctx); err != nil {
		return Outcome{}, err
	}
	b := &r.batch
	b.begin(book, events)
	defer b.end()
	var out Outcome
	for i := range events {
		if rejection := b.route(ctx, i); rejection != nil {
			if rejection.err != nil {
				return Outcome{}, rejection.err
			}
			out.Rejected = append(out.Rejected, Rejection{Event: i, Reason: rejection.reason, Detail: rejection.detail})
		}
	}
	b.markCareful()
	if err := b.configure(ctx); err != nil {
		return Outcome{}, err
	}
	rejected, err := b.price(ctx)
	if err != nil {
		return Outcome{}, err
	}
	out.Rejected = append(out.Rejected, rejected...)
	slices.SortFunc(out.Rejected, func(x, y Rejection) int { return x.Event - y.Event })
	out.Slots = b.slots(rejected)
	return out, nil
}

// configure readies the plugins for the plans that the batch needs.
func (b *batch) configure(ctx context.Context) error {
	for i := range b.cells {
		c := &b.cells[i]
		c.configured = c.module.want(c.next.Plan)
	}
	for _, m := range b.rater.modules {
		if err := m.configure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// slots makes the new slots of the cells that took events. Each has memory of
// its own, so that one that lives long keeps no other alive.
func (b *batch) slots(rejected []Rejection) []*Slot {
	refused := make(map[int]struct{}, len(rejected))
	for _, r := range rejected {
		refused[r.Event] = struct{}{}
	}
	r := b.rater
	r.order = r.order[:0] // by first event taken, so that the log alone decides
	for i := range b.hits {
		h := &b.hits[i]
		if len(refused) > 0 {
			if _, no := refused[int(h.event)]; no {
				continue
			}
		}
		c := &b.cells[h.cell]
		if !c.placed {
			c.placed = true
			r.order = append(r.order, h.cell)
		}
		t := b.events[h.event].Time
		if c.next.Events == 0 || t > c.next.LastTime {
			c.next.LastTime = t
		}
		c.next.Events++
	}
	r.slots = r.slots[:0]
	for _, n := range r.order {
		slot := b.cells[n].next
		r.slots = append(r.slots, &slot)
	}
	return r.slots
}

// Finish folds the end of the period into slots, with or without events, and
// returns them as they stand on the invoice, in the same order. The slots given
// are not changed.
func (r *Rater) Finish(ctx context.Context, slots []*Slot) ([]*Slot, error) {
	if err := r.trim(ctx); err != nil {
		return nil, err
	}
	b := &batch{rater: r, cells: make([]cell, len(slots))}
	for i, s := range slots {
		m, err := r.module(ctx, s.Plan.Module)
		if err != nil {
			return nil, err
		}
		b.cells[i] = cell{next: *s, module: m}
		if s.Events > 0 {
			b.cells[i].base = s
		}
	}
	if err := b.configure(ctx); err != nil {
		return nil, err
	}
	if err := b.finish(ctx); err != nil {
		return nil, err
	}
	finished := make([]*Slot, len(slots))
	for i := range b.cells {
		slot := b.cells[i].next
		slot.Final = true
		finished[i] = &slot
	}
	return finished, nil
}

// finish calls the plugins with each cell's slot marked as final.
func (b *batch) finish(ctx context.Context) error {
	for i := range b.cells {
		call := b.cells[i].call
		if !call.open {
			call.begin(0)
			b.calls = append(b.calls, call)
		}
		call.addSlot(b, int32(i), true)
	}
	_, err := b.run(ctx)
	return err
}

// clone copies a string out of the block that a message's events share.
func clone(s string) string { return strings.Clone(s) }

// quote shows a value of an event in a sentence.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
