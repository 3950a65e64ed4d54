package rate

import (
	"context"
	"fmt"
	"slices"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// hit is one event meeting one slot.
type hit struct {
	event     int // index into the batch, in log order
	cell      int // index into the batch's cells
	quantity  billing.Decimal
	amount    billing.Decimal
	hasAmount bool
}

// cell is a slot while a batch is priced.
type cell struct {
	base    *Slot // as it was before the batch; nil when new
	next    Slot  // as it will be; State and Lines are replaced by each call
	plan    *plugins.Plan
	module  *module
	hits    int  // events that meet the slot in this batch
	taken   int  // events that it took
	careful bool // price its events one at a time from the start
	placed  bool // already in the outcome
}

// refusal is a rejection by one slot.
type refusal struct {
	hit            int // index into the batch's hits
	reason, detail string
}

// batch is the working set of one Rate call.
type batch struct {
	rater  *Rater
	book   Book
	events []Event
	hits   []hit // by event, then in the order of the subscriptions
	cells  []*cell
	cellOf map[Key]int
	fresh  map[Key]int // cells without a slot before the batch, by key without group
}

// price has every cell's events folded and returns the rejected events.
//
// First all is priced at once. An event that meets one slot only is settled by
// that slot. Where an event meets several and one of them refuses it, the
// others must not have taken it, and what they decided on later events may
// hang on it: all slots so tied together are priced again, event by event.
func (b *batch) price(ctx context.Context) ([]Rejection, error) {
	var bulk []int
	for i := range b.hits {
		if !b.cells[b.hits[i].cell].careful {
			bulk = append(bulk, i)
		}
	}
	refused, err := b.call(ctx, bulk)
	if err != nil {
		return nil, err
	}
	tied := b.tie(refused)
	var rejected []Rejection
	for _, r := range refused {
		if h := b.hits[r.hit]; !tied[h.cell] {
			rejected = append(rejected, b.rejection(h, r.reason, r.detail))
		}
	}
	for _, i := range bulk {
		b.cells[b.hits[i].cell].taken++
	}
	for _, r := range refused {
		b.cells[b.hits[r.hit].cell].taken--
	}
	more, err := b.oneByOne(ctx, tied)
	if err != nil {
		return nil, err
	}
	rejected = append(rejected, more...)
	slices.SortFunc(rejected, func(x, y Rejection) int { return x.Event - y.Event })
	return rejected, nil
}

// tie returns the cells that must be priced event by event: those that are
// careful, those that share an event which one of its slots refused, and all
// that are joined to them by shared events.
func (b *batch) tie(refused []refusal) []bool {
	tied := make([]bool, len(b.cells))
	grown := false
	for i, c := range b.cells {
		if c.careful {
			tied[i], grown = true, true
		}
	}
	for _, r := range refused {
		if h := b.hits[r.hit]; b.shared(r.hit) {
			tied[h.cell], grown = true, true
		}
	}
	for grown { // spread along shared events until nothing changes
		grown = false
		for i := 1; i < len(b.hits); i++ {
			x, y := b.hits[i-1], b.hits[i]
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
	for i, c := range b.cells {
		if tied[i] {
			c.reset()
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
	before := make([]Slot, 0, last-first)
	undo := func() {
		for i, s := range before {
			b.cells[b.hits[first+i].cell].next = s
		}
	}
	for i := first; i < last; i++ {
		c := b.cells[b.hits[i].cell]
		if c.base == nil && c.taken == 0 && b.groups(c.next.Key) >= MaxGroups {
			undo()
			r := b.rejection(b.hits[i], ReasonTooManyGroups, tooManyGroups())
			return &r, nil
		}
		before = append(before, c.next)
		refused, err := b.call(ctx, []int{i})
		if err != nil {
			return nil, err
		}
		if len(refused) > 0 {
			undo()
			r := b.rejection(b.hits[i], refused[0].reason, refused[0].detail)
			return &r, nil
		}
	}
	for i := first; i < last; i++ {
		b.cells[b.hits[i].cell].taken++
	}
	return nil, nil
}

// groups counts the group combinations of a key, those that the batch has
// added included.
func (b *batch) groups(k Key) int {
	n := b.book.Groups(k)
	for _, c := range b.cells {
		if c.base == nil && c.taken > 0 && c.next.WithoutGroup() == k.WithoutGroup() {
			n++
		}
	}
	return n
}

// reset puts a cell back to where it stood before the batch.
func (c *cell) reset() {
	c.taken = 0
	if c.base != nil {
		c.next.State, c.next.Lines = c.base.State, c.base.Lines
		return
	}
	c.next.State, c.next.Lines = nil, nil
}

// rejection names the subscription that refused the hit's event.
func (b *batch) rejection(h hit, reason, detail string) Rejection {
	k := b.cells[h.cell].next.Key
	return Rejection{Event: h.event, Reason: reason, Detail: fmt.Sprintf("subscription %q to tariff %q: %s", k.Subscription, k.Tariff, detail)}
}

// call prices the given hits, in one plugin call for each module and list of
// dimensions, and returns those refused.
func (b *batch) call(ctx context.Context, hits []int) ([]refusal, error) {
	var groups []*pluginCall
	groupOf := map[callKey]*pluginCall{}
	for _, i := range hits {
		c := b.cells[b.hits[i].cell]
		k := callKey{module: c.module, dimensions: c.module.shapes[c.plan]}
		g := groupOf[k]
		if g == nil {
			g = newPluginCall(c.module, c.plan.Dimensions)
			groupOf[k] = g
			groups = append(groups, g)
		}
		g.add(b, i)
	}
	var refused []refusal
	for _, g := range groups {
		more, err := g.run(ctx, b)
		if err != nil {
			return nil, err
		}
		refused = append(refused, more...)
	}
	return refused, nil
}
