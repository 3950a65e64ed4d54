package author

import (
	"encoding/hex"
	"fmt"

	"github.com/tollway/tollway/sdk/billing"
)

// facts is what the slot of a case has come to, in the words in which a case expects it.
type facts struct {
	refused string     // the refusal of the parameters; then nothing else
	lines   []lineFact // those that are not zero
	rejects []fact     // by the id of the event
	carry   string     // hexadecimal
	invoice []fact     // the finished lines, by line
	total   string     // of the finished lines
}

type fact struct{ key, value string }

type lineFact struct{ id, quantity, amount string }

// facts puts an outcome into words: those of slot 0.
func (c *Case) facts(s *sample, o *outcome) (*facts, error) {
	f := &facts{carry: hex.EncodeToString(o.slots[0].CarryOut)}
	rounding := c.rounding()
	var total billing.Amount
	for k, l := range o.lines(0) {
		if l.Quantity.IsZero() && l.Amount.IsZero() {
			continue
		}
		id := o.plan.Lines[k].ID
		f.lines = append(f.lines, lineFact{id, l.Quantity.String(), l.Amount.String()})
		finished, err := billing.Amount(l.Amount).Round(rounding)
		if err == nil {
			total, err = total.Add(finished)
		}
		if err != nil {
			return nil, fmt.Errorf("line %s: %w", id, err)
		}
		f.invoice = append(f.invoice, fact{id, finish(finished, rounding)})
	}
	f.total = finish(total, rounding)
	for _, r := range o.rejects {
		if e := &s.events[r.Event]; e.Slot == 0 {
			f.rejects = append(f.rejects, fact{e.ID, text(r)})
		}
	}
	return f, nil
}

// finish writes a finished amount as an invoice has it.
func finish(a billing.Amount, r billing.Rounding) string {
	if r.Mode == billing.RoundNone {
		return a.String()
	}
	return a.Fixed(max(r.Scale, 0))
}
