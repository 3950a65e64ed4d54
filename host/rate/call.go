package rate

import (
	"context"
	"fmt"
	"slices"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// pluginCall is one batch for a plugin while it is put together: of one module
// and of plans that read the same dimensions. It belongs to the module, and its
// memory is used again by the next call.
type pluginCall struct {
	module *module
	names  []string // dimensions, in the order of the ids in an event
	open   bool     // something was added
	batch  plugins.Batch
	hits   []int32           // the call's event → index into the rate batch's hits
	cells  []int32           // slot of the call → cell
	values map[string]uint32 // dimension value → id
}

// newPluginCall makes an empty call. Value id 0 is the absent value.
func newPluginCall(m *module, dimensions []string) *pluginCall {
	return &pluginCall{module: m, names: dimensions, batch: plugins.Batch{Values: []string{""}}, values: map[string]uint32{"": 0}}
}

// begin makes the call ready for up to n events.
func (p *pluginCall) begin(n int) {
	p.open = true
	p.batch.Events = slices.Grow(p.batch.Events, n)
	p.batch.Slots = slices.Grow(p.batch.Slots, n)
	p.hits = slices.Grow(p.hits, n)
}

// reset empties the call. What it refers to is forgotten when the next one is
// put together over it, or never: it is memory of the books and of the batch.
func (p *pluginCall) reset() {
	p.open = false
	p.batch.Slots, p.batch.Events, p.batch.Dims = p.batch.Slots[:0], p.batch.Events[:0], p.batch.Dims[:0]
	if len(p.batch.Values) > 1 {
		clear(p.batch.Values)
		p.batch.Values = p.batch.Values[:1]
		clear(p.values)
		p.values[""] = 0
	}
	p.hits, p.cells = p.hits[:0], p.cells[:0]
}

// add puts a hit into the call. Those of one cell come one after the other.
func (p *pluginCall) add(b *batch, i int32) {
	h := &b.hits[i]
	e := &b.events[h.event]
	if n := len(p.cells); n == 0 || p.cells[n-1] != h.cell {
		p.addSlot(b, h.cell)
	}
	for _, name := range p.names {
		p.batch.Dims = append(p.batch.Dims, p.value(fieldText(e.Data, name)))
	}
	// Here and below fields are set one by one, in place: a struct that is made and then
	// copied in wider pieces has the processor wait for all stores before it.
	n := len(p.batch.Events)
	p.batch.Events = slices.Grow(p.batch.Events, 1)[:n+1]
	to := &p.batch.Events[n]
	to.Slot, to.Time, to.HasAmount = int32(len(p.cells)-1), e.Time, h.hasAmount
	to.Quantity.Hi, to.Quantity.Lo = h.quantity.Hi, h.quantity.Lo
	to.Amount.Hi, to.Amount.Lo = h.amount.Hi, h.amount.Lo
	p.hits = append(p.hits, i)
}

// addSlot puts a cell's slot into the call.
func (p *pluginCall) addSlot(b *batch, n int32) {
	c := &b.cells[n]
	t := c.terms
	var carry []byte
	if c.plan.CarrySize > 0 && c.slot != nil {
		if carry = b.book.CarryIn(c.slot); len(carry) > c.plan.CarrySize {
			carry = nil // the slot's finish will be refused
		}
	}
	at := len(p.batch.Slots)
	p.batch.Slots = slices.Grow(p.batch.Slots, 1)[:at+1]
	s := &p.batch.Slots[at]
	s.Plan = c.plan
	s.PeriodStart, s.PeriodEnd, s.ActiveFrom, s.ActiveUntil = t.Period, t.PeriodEnd, t.ActiveFrom, t.ActiveUntil
	s.New, s.Final = !c.used && c.taken == 0, false
	s.State, s.Lines, s.CarryIn, s.CarryOut = c.state, c.lines, carry, nil
	p.cells = append(p.cells, n)
}

// value interns a dimension value for the call.
func (p *pluginCall) value(text string) uint32 {
	id, ok := p.values[text]
	if !ok {
		id = uint32(len(p.batch.Values))
		p.values[text] = id
		p.batch.Values = append(p.batch.Values, text)
	}
	return id
}

// run makes the call and takes the slots' new states and lines into the cells: a copy
// of them where keep says that the instance is called again before they are dealt
// with. The call is empty afterwards.
func (p *pluginCall) run(ctx context.Context, b *batch, keep bool) ([]refusal, error) {
	defer p.reset()
	rejects, err := p.module.instance.Price(ctx, &p.batch)
	if err != nil {
		return nil, fmt.Errorf("rate: plugin %s: %w", p.module.digest, err)
	}
	for i := range p.batch.Slots {
		slot, c := &p.batch.Slots[i], &b.cells[p.cells[i]]
		c.lines, c.state = slot.Lines, slot.State
		if keep {
			c.keep(b)
		}
	}
	if len(rejects) == 0 {
		return nil, nil
	}
	refused := make([]refusal, len(rejects))
	for i, r := range rejects {
		refused[i] = refusal{hit: p.hits[r.Event], reason: r.Reason, detail: r.Detail}
	}
	return refused, nil
}

// keepBytes is the size of the blocks that hold what plugins have returned.
const keepBytes = 1 << 20

// keep has the cell's lines and state in the batch's memory.
func (c *cell) keep(b *batch) { c.lines, c.state = b.keep(c.lines), b.keep(c.state) }

// keep copies bytes out of an instance's memory; they are valid until the batch's
// outcome has been dealt with.
func (b *batch) keep(bytes []byte) []byte {
	if cap(b.kept)-len(b.kept) < len(bytes) {
		// What was kept before holds on to the old block.
		b.kept = make([]byte, 0, max(keepBytes, 2*cap(b.kept), len(bytes)))
	}
	first := len(b.kept)
	b.kept = append(b.kept, bytes...)
	return b.kept[first:len(b.kept):len(b.kept)]
}

// fieldText returns the text of a data field, "" when it is absent.
func fieldText(data []billing.Field, key string) string {
	for i := range data {
		if data[i].Key == key {
			return data[i].Text
		}
	}
	return ""
}
