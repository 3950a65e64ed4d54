package rate

import (
	"context"
	"fmt"
	"slices"

	"github.com/tollway/tollway/sdk/billing"
)

// hit is one event meeting one slot.
type hit struct {
	event     int32 // index into the batch, in log order
	cell      int32 // index into the batch's cells
	hasAmount bool
	quantity  billing.Decimal
	amount    billing.Decimal
}

// cell is a slot while a batch is priced.
type cell struct {
	slot    *Live // nil when new
	account *Account
	terms   *Terms
	group   string
	single  *kind // of a new slot, see Change
	*configured
	lines, state []byte // as they will be; replaced by each call

	events   uint64 // that it took in the end
	first    int    // the first of them
	lastTime int64  // the latest of theirs, unix ns
	taken    int    // events that it took so far
	next     int32  // of a new slot without group: the account's cell before it, -1 for none
	used     bool   // it has had events, or a close, before the batch
	careful  bool   // price its events one at a time from the start
	placed   bool   // already in the outcome
}

// refusal is a rejection by one slot.
type refusal struct {
	hit            int32 // index into the batch's hits
	reason, detail string
}

// batch is the working set of one Rate call. Its memory is used again by the
// next.
type batch struct {
	rater    *Rater
	number   uint32 // counts batches, from 1
	book     Book
	events   []Event
	accounts []*Account // of the events; nil where the book has none
	kinds    []*kind    // of the events; nil where there is no meter
	met      []*Live    // of the events: the slot that their account remembers for the type, or nil
	hits     []hit      // by event, then in the order of the subscriptions
	cells    []cell
	kept     []byte                  // block of what plugins returned, as far as it is kept
	keeps    bool                    // it is: they are called again
	made     map[newSlot]int32       // cells of slots with a group that the book does not have
	comers   map[string]*Account     // accounts that the book does not have
	came     []*comer                // memory of the comers of this batch and of those before
	coming   int                     // how many of them are this batch's
	lanes    map[laneKey]*lane       // the comers'
	groups   map[newSlot]*groupCount // by what differs in the group alone, which is ""

	bulk   []int32 // hits that are priced at once
	sorted []int32 // hits by cell
	ends   []int32 // of each cell's part of sorted
	calls  []*pluginCall
}

// groupCount counts the group combinations of a subscription, version and period.
type groupCount struct {
	before int // slots before the batch
	cells  int // cells that the batch has made, whether they come to take events or not
	taken  int // of them, those that took events
}

// group returns the count of a cell's group.
func (b *batch) group(c *cell) *groupCount {
	shared := newSlot{account: c.account, terms: c.terms}
	g := b.groups[shared]
	if g == nil {
		g = &groupCount{before: c.account.groups(c.terms)}
		b.groups[shared] = g
	}
	return g
}

// markCareful finds the new cells whose number comes near the limit. Which of
// them take an event first decides which others may, so that all of them are
// priced event by event.
func (b *batch) markCareful() {
	for _, g := range b.groups {
		if g.before+g.cells > MaxGroups {
			for i := range b.cells {
				c := &b.cells[i]
				c.careful = c.slot == nil && b.crowded(c)
			}
			return
		}
	}
}

// crowded reports whether the batch's new cells of a key could be too many.
func (b *batch) crowded(c *cell) bool {
	g := b.group(c)
	return g.before+g.cells > MaxGroups
}

// begin makes the batch ready for events.
func (b *batch) begin(book Book, events []Event) {
	b.number++
	if b.number == 0 {
		b.number = 1 // slots remember the batch that met them last, and 0 is none
	}
	b.book, b.events = book, events
	b.kept, b.keeps = b.kept[:0], false
	n := len(events)
	b.hits = slices.Grow(b.hits, n)
	b.accounts = slices.Grow(b.accounts[:0], n)[:n]
	b.kinds = slices.Grow(b.kinds[:0], n)[:n]
	b.met = slices.Grow(b.met[:0], n)[:n]
	for _, c := range b.came[:b.coming] {
		*c = comer{} // which keeps no event's memory
	}
	b.coming = 0
}

// end forgets the events and slots, of which nothing must be kept alive.
func (b *batch) end() {
	b.book, b.events = nil, nil
	b.hits = b.hits[:0]
	clear(b.accounts)
	clear(b.kinds)
	clear(b.met)
	b.cells = b.cells[:0]
	clear(b.made)
	clear(b.comers)
	clear(b.lanes)
	clear(b.groups)
}

// price has every cell's events folded and returns the rejected events.
//
// First all is priced at once. An event that meets one slot only is settled by
// that slot. Where an event meets several and one of them refuses it, the
// others must not have taken it, and what they decided on later events may
// hang on it: all slots so tied together are priced again, event by event.
func (b *batch) price(ctx context.Context) ([]Rejection, error) {
	b.bulk = slices.Grow(b.bulk[:0], len(b.hits))
	for i := range b.hits {
		if !b.cells[b.hits[i].cell].careful {
			b.bulk = append(b.bulk, int32(i))
		}
	}
	refused, err := b.call(ctx, b.bulk)
	if err != nil {
		return nil, err
	}
	tied := b.tie(refused)
	var rejected []Rejection
	for _, r := range refused {
		if h := &b.hits[r.hit]; tied == nil || !tied[h.cell] {
			rejected = append(rejected, b.rejection(h, r.reason, r.detail))
		}
	}
	for _, i := range b.bulk {
		b.cells[b.hits[i].cell].taken++
	}
	for _, r := range refused {
		b.cells[b.hits[r.hit].cell].taken--
	}
	if tied != nil {
		for i := range b.cells {
			if !tied[i] {
				b.cells[i].keep(b)
			}
		}
		b.keeps = true
		more, err := b.oneByOne(ctx, tied)
		if err != nil {
			return nil, err
		}
		rejected = append(rejected, more...)
	}
	slices.SortFunc(rejected, func(x, y Rejection) int { return x.Event - y.Event })
	return rejected, nil
}

// tie returns the cells that must be priced event by event: those that are
// careful, those that share an event which one of its slots refused, and all
// that are joined to them by shared events; nil when there are none.
func (b *batch) tie(refused []refusal) []bool {
	if len(refused) == 0 && len(b.bulk) == len(b.hits) {
		return nil
	}
	tied := make([]bool, len(b.cells))
	grown := false
	for i := range b.cells {
		if b.cells[i].careful {
			tied[i], grown = true, true
		}
	}
	for _, r := range refused {
		if b.shared(int(r.hit)) {
			tied[b.hits[r.hit].cell], grown = true, true
		}
	}
	for grown { // spread along shared events until nothing changes
		grown = false
		for i := 1; i < len(b.hits); i++ {
			x, y := &b.hits[i-1], &b.hits[i]
			if x.event == y.event && tied[x.cell] != tied[y.cell] {
				tied[x.cell], tied[y.cell], grown = true, true, true
			}
		}
	}
	return tied
}

// shared reports whether the hit's event meets other slots as well.
func (b *batch) shared(i int) bool {
	e := b.hits[i].event
	return i > 0 && b.hits[i-1].event == e || i+1 < len(b.hits) && b.hits[i+1].event == e
}

// oneByOne prices the events of the tied cells again from where the cells
// stood before the batch, each event in all its slots or in none.
func (b *batch) oneByOne(ctx context.Context, tied []bool) ([]Rejection, error) {
	for i := range b.cells {
		c := &b.cells[i]
		if tied[i] {
			c.reset()
		} else if c.slot == nil && c.taken > 0 {
			b.group(c).taken++
		}
	}
	var rejected []Rejection
	for first := 0; first < len(b.hits); {
		last := first + 1
		for last < len(b.hits) && b.hits[last].event == b.hits[first].event {
			last++
		}
		if tied[b.hits[first].cell] {
			r, err := b.one(ctx, first, last)
			if err != nil {
				return nil, err
			}
			if r != nil {
				rejected = append(rejected, *r)
			}
		}
		first = last
	}
	return rejected, nil
}

// one prices the single event of hits[first:last].
func (b *batch) one(ctx context.Context, first, last int) (*Rejection, error) {
	type content struct{ lines, state []byte }
	before := make([]content, 0, last-first)
	undo := func() {
		for i, was := range before {
			c := &b.cells[b.hits[first+i].cell]
			c.lines, c.state = was.lines, was.state
		}
	}
	for i := first; i < last; i++ {
		c := &b.cells[b.hits[i].cell]
		if c.slot == nil && c.taken == 0 && b.full(c) {
			undo()
			r := b.rejection(&b.hits[i], ReasonTooManyGroups, tooManyGroups())
			return &r, nil
		}
		before = append(before, content{c.lines, c.state})
		refused, err := b.call(ctx, []int32{int32(i)})
		if err != nil {
			return nil, err
		}
		if len(refused) > 0 {
			undo()
			r := b.rejection(&b.hits[i], refused[0].reason, refused[0].detail)
			return &r, nil
		}
	}
	for i := first; i < last; i++ {
		c := &b.cells[b.hits[i].cell]
		if c.slot == nil && c.taken == 0 {
			b.group(c).taken++
		}
		c.taken++
	}
	return nil, nil
}

// full reports whether a key has all the group combinations that it may have,
// those that the batch has added included.
func (b *batch) full(c *cell) bool {
	g := b.group(c)
	return g.before+g.taken >= MaxGroups
}

// reset puts a cell back to where it stood before the batch.
func (c *cell) reset() {
	c.taken, c.lines, c.state = 0, nil, nil
	if c.slot != nil {
		c.lines, c.state = c.slot.Lines(), c.slot.State()
	}
}

// rejection names the subscription that refused the hit's event.
func (b *batch) rejection(h *hit, reason, detail string) Rejection {
	t := b.cells[h.cell].terms
	return Rejection{Event: int(h.event), Reason: reason, Detail: fmt.Sprintf("subscription %q to tariff %q: %s", t.Subscription, t.Tariff, detail)}
}

// call prices the given hits, in one plugin call for each module and list of
// dimensions, and returns those refused.
//
// The hits go slot by slot, each slot's in log order. Slots know nothing of each
// other, so that changes no price; and a slot whose events stand together passes
// into the plugin and out of it once.
func (b *batch) call(ctx context.Context, hits []int32) ([]refusal, error) {
	for _, i := range b.bySlot(hits) {
		call := b.cells[b.hits[i].cell].call
		if !call.open {
			call.begin(len(hits))
			b.calls = append(b.calls, call)
		}
		call.add(b, i)
	}
	return b.run(ctx)
}

// run makes the calls that were put together.
func (b *batch) run(ctx context.Context) (refused []refusal, err error) {
	keep := b.keeps || len(b.calls) > 1 // two calls may be of one instance
	for _, call := range b.calls {
		if err != nil { // nothing counts any more
			call.reset()
			continue
		}
		var more []refusal
		more, err = call.run(ctx, b, keep)
		refused = append(refused, more...)
	}
	b.calls = b.calls[:0]
	return refused, err
}

// bySlot sorts hits by cell, those of one cell as they were.
func (b *batch) bySlot(hits []int32) []int32 {
	inOrder := true
	for k := 1; k < len(hits) && inOrder; k++ {
		inOrder = b.hits[hits[k-1]].cell <= b.hits[hits[k]].cell
	}
	if inOrder {
		return hits
	}
	b.ends = append(b.ends[:0], make([]int32, len(b.cells)+1)...)
	for _, i := range hits {
		b.ends[b.hits[i].cell+1]++
	}
	for c := range b.cells {
		b.ends[c+1] += b.ends[c]
	}
	b.sorted = slices.Grow(b.sorted[:0], len(hits))[:len(hits)]
	for _, i := range hits { // b.ends[c] is where the next hit of cell c goes
		c := b.hits[i].cell
		b.sorted[b.ends[c]] = i
		b.ends[c]++
	}
	return b.sorted
}
