package rate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/stage"
)

// Event is a decoded usage event.
type Event = ingest.Event

// Outcome is what a batch of events does. It is used again by the next batch,
// with all that it refers to, which is in part memory of the plugins: whatever has the
// rater price or finish something else ends it.
type Outcome struct {
	Changes  []Change    // of the slots that took events, in the order of their first event
	Rejected []Rejection // events that were priced by nobody, in order
}

// Change is what a batch makes of one slot.
type Change struct {
	Slot         *Live // nil when it is new; the slot of Account with Terms and Group
	Account      *Account
	Terms        *Terms
	Group        string
	Events       uint64 // that the slot took
	First        int    // index into the batch of the first of them
	LastTime     int64  // the latest of theirs, unix ns
	AccountHash  uint32 // that of the account, which may be in no cache any more
	Lines, State []byte // as they are now

	single *kind // the event type of which the account's events go to this slot alone
	epoch  uint32
}

// Made tells the rater which slot the book has made of a new one, so that the next
// event finds it. The change has the book's own account then.
func (c *Change) Made(l *Live) {
	c.Account = l.Account()
	if c.single != nil {
		c.Account.remember(c.single, c.epoch, l)
	}
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
	instances uint32 // counts how often instances were dropped
	plans     map[planRef]*Plan
	termsOf   map[termsRef]*Terms
	calendars map[Calendar]*calendar
	kinds     map[string]*kind // by event type
	kindNear  [kindPlaces]*kind
	epoch     uint32 // of the accounts' ways: older ones are found anew
	lanes     map[laneKey]*lane
	rules     map[ruleRef]*Plan
	carrying  bool // some tariff in use carries something from one period into the next
	batch     batch
	order     []int32 // cells in the order of an outcome
	changes   []Change
}

// planRef names a plan by the catalog objects that it is made from.
type planRef struct {
	version *catalog.TariffVersion
	sub     *catalog.Subscription // nil for all subscriptions without own params
}

// refOf names the plan of a subscription under a version of its tariff.
func refOf(b *catalog.Binding, version int) planRef {
	ref := planRef{version: b.Tariff.Versions[version]}
	if b.Subscription.Params != nil {
		ref.sub = b.Subscription
	}
	return ref
}

// NewRater makes a rater that prices nothing until it is given a catalog.
func NewRater(source Modules) *Rater {
	r := &Rater{source: source, modules: map[string]*module{}, calendars: map[Calendar]*calendar{}}
	r.batch = batch{rater: r, made: map[newSlot]int32{}, comers: map[string]*Account{}, lanes: map[laneKey]*lane{}, groups: map[newSlot]*groupCount{}}
	return r
}

// SetCatalog puts a catalog in force for the events that follow.
func (r *Rater) SetCatalog(c *catalog.Catalog) {
	r.catalog = c
	r.plans, r.termsOf, r.rules = map[planRef]*Plan{}, map[termsRef]*Terms{}, map[ruleRef]*Plan{}
	r.kinds, r.kindNear = map[string]*kind{}, [kindPlaces]*kind{}
	r.forget()
}

// Rate prices events, which are in log order and have no Problem, but for those whose
// indexes are given to be left out, in order. An error means that nothing was decided:
// the plugin host failed, not an event.
func (r *Rater) Rate(ctx context.Context, book Book, events []Event, leave ...int32) (Outcome, error) {
	if err := r.trim(ctx); err != nil {
		return Outcome{}, err
	}
	b := &r.batch
	stage.Route.Enter()
	b.begin(book, events)
	defer b.end()
	b.find()
	var out Outcome
	for i := -foreseeEvents; i < len(events); i++ {
		if far := i + foreseeEvents; far < len(events) {
			b.foresee(far)
		}
		if i < 0 {
			continue
		}
		if len(leave) > 0 && int(leave[0]) == i {
			leave = leave[1:]
			continue
		}
		if rejection := b.route(ctx, i); rejection != nil {
			if rejection.err != nil {
				return Outcome{}, rejection.err
			}
			out.Rejected = append(out.Rejected, Rejection{Event: i, Reason: rejection.reason, Detail: rejection.detail})
		}
	}
	stage.Price.Enter()
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
	out.Changes = b.changes(rejected)
	return out, nil
}

// foreseeEvents is how far ahead of its routing an event is foreseen.
const foreseeEvents = 10

// find finds the accounts of a batch's events.
func (b *batch) find() {
	if b.rater.catalog != nil {
		b.book.Accounts(b.events, b.accounts)
	}
}

// foresee finds the slot to which an event's account has sent events of its type
// before, and has the caches read it. One after the other, an event would wait for
// memory some seven times; all before the first, they would wait for each other.
func (b *batch) foresee(i int) {
	r := b.rater
	if r.catalog == nil {
		return
	}
	a, k := b.accounts[i], r.kind(b.events[i].Type)
	b.kinds[i], b.met[i] = k, nil
	if a == nil || k == nil {
		return
	}
	if l := a.way(k, r.epoch); l != nil {
		l.Ahead()
		b.met[i] = l
	} else {
		a.AheadSlots()
	}
}

// configure readies the plugins for the plans that the batch needs.
func (b *batch) configure(ctx context.Context) error {
	for _, m := range b.rater.modules {
		if err := m.configure(ctx, b.rater); err != nil {
			return err
		}
	}
	return nil
}

// changes lists the cells that took events.
func (b *batch) changes(rejected []Rejection) []Change {
	var refused map[int]struct{}
	if len(rejected) > 0 {
		refused = make(map[int]struct{}, len(rejected))
		for _, r := range rejected {
			refused[r.Event] = struct{}{}
		}
	}
	r := b.rater
	r.order = r.order[:0] // by first event taken, so that the log alone decides
	for i := range b.hits {
		h := &b.hits[i]
		if refused != nil {
			if _, no := refused[int(h.event)]; no {
				continue
			}
		}
		c, t := &b.cells[h.cell], b.events[h.event].Time
		if !c.placed {
			c.placed, c.first, c.lastTime = true, int(h.event), t
			r.order = append(r.order, h.cell)
		}
		c.lastTime = max(c.lastTime, t)
		c.events++
	}
	r.changes = slices.Grow(r.changes[:0], len(r.order))
	r.changes = r.changes[:len(r.order)]
	for i, n := range r.order {
		c, to := &b.cells[n], &r.changes[i]
		to.Slot, to.Account, to.Terms, to.Group = c.slot, c.account, c.terms, c.group
		to.Events, to.First, to.LastTime, to.AccountHash = c.events, c.first, c.lastTime, b.events[c.first].AccountHash
		to.Lines, to.State = c.lines, c.state
		to.single, to.epoch = c.single, r.epoch
	}
	return r.changes
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
