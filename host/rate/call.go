package rate

import (
	"context"
	"fmt"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// callKey tells which hits may go into one plugin call: those of one module
// whose plans read the same dimensions.
type callKey struct {
	module     *module
	dimensions string
}

// pluginCall is one batch for a plugin while it is put together.
type pluginCall struct {
	module *module
	names  []string // dimensions, in the order of the ids in an event
	batch  plugins.Batch
	hits   []int          // the batch's event → index into the rate batch's hits
	slotOf map[int]int    // cell → slot of the call
	cells  []int          // slot of the call → cell
	values map[string]int // dimension value → id
	ids    []uint32       // backing of the events' dimension ids
}

// newPluginCall begins a call. Value id 0 is the absent value.
func newPluginCall(m *module, dimensions []string) *pluginCall {
	return &pluginCall{
		module: m, names: dimensions,
		batch:  plugins.Batch{Values: []string{""}},
		slotOf: map[int]int{}, values: map[string]int{"": 0},
	}
}

// add puts a hit and its slot into the call.
func (p *pluginCall) add(b *batch, i int) {
	h := &b.hits[i]
	slot, ok := p.slotOf[h.cell]
	if !ok {
		slot = p.addSlot(b.cells[h.cell], false)
		p.slotOf[h.cell] = slot
		p.cells = append(p.cells, h.cell)
	}
	first := len(p.ids)
	for _, name := range p.names {
		p.ids = append(p.ids, p.value(fieldText(b.events[h.event].Data, name)))
	}
	p.batch.Events = append(p.batch.Events, plugins.Event{
		Slot: slot, Time: b.events[h.event].Time,
		Quantity: h.quantity, Amount: h.amount, HasAmount: h.hasAmount,
		Dims: p.ids[first:len(p.ids):len(p.ids)],
	})
	p.hits = append(p.hits, i)
}

// addSlot puts a cell's slot into the call.
func (p *pluginCall) addSlot(c *cell, final bool) int {
	lines := c.next.Lines
	if lines == nil {
		lines = make([]plugins.Line, len(c.plan.Lines))
	}
	p.batch.Slots = append(p.batch.Slots, plugins.Slot{
		Plan:        c.plan,
		PeriodStart: c.next.Period, PeriodEnd: c.next.PeriodEnd,
		ActiveFrom: c.next.ActiveFrom, ActiveUntil: c.next.ActiveUntil,
		New: c.base == nil && c.taken == 0, Final: final,
		State: c.next.State, Lines: lines,
	})
	return len(p.batch.Slots) - 1
}

// value interns a dimension value for the call.
func (p *pluginCall) value(text string) uint32 {
	id, ok := p.values[text]
	if !ok {
		id = len(p.batch.Values)
		p.values[text] = id
		p.batch.Values = append(p.batch.Values, text)
	}
	return uint32(id)
}

// run makes the call and takes the slots' new states and lines into the cells.
func (p *pluginCall) run(ctx context.Context, b *batch) ([]refusal, error) {
	rejects, err := p.module.instance.Price(ctx, &p.batch)
	if err != nil {
		return nil, fmt.Errorf("rate: plugin %s: %w", p.module.digest, err)
	}
	for i, slot := range p.batch.Slots {
		next := &b.cells[p.cells[i]].next
		next.State, next.Lines = slot.State, slot.Lines
	}
	refused := make([]refusal, len(rejects))
	for i, r := range rejects {
		refused[i] = refusal{hit: p.hits[r.Event], reason: r.Reason, detail: r.Detail}
	}
	return refused, nil
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
