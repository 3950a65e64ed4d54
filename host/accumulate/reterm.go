package accumulate

import (
	"fmt"

	"github.com/tollway/tollway/host/rate"
)

// Reterm makes a slot what is given, as Put does, and has it be priced by the terms
// given where it was by others under the same key. Readers of the committed state see
// the old ones, with what was priced by them, until that is durable.
func (s *State) Reterm(slot *rate.Slot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	terms := slot.Terms()
	if a := s.accounts.find(slot.Account, accountHash(slot.Account)); a != nil {
		if at, found := a.Find(terms, slot.Group); found {
			t, err := s.numberTerms(terms)
			if err != nil {
				return err
			}
			if l := a.At(at); l.Terms() != t {
				s.filling.reterm(l)
				if err := s.slots.Reterm(a, at, t); err != nil {
					return fmt.Errorf("accumulate: account %q: %w", a.ID(), err)
				}
			}
		}
	}
	return s.put(slot)
}

// reterm notes that a slot is about to get other terms: it keeps the slot as it was,
// for its names, and has a full record say the new ones.
func (g *Generation) reterm(l *rate.Live) {
	g.changing(l, false)
	if g.retermed == nil {
		g.retermed = map[*rate.Live]*rate.Live{}
	}
	if g.retermed[l] == nil {
		was := *l
		g.retermed[l] = &was
	}
	if l.Record != noRecord {
		g.at(l.Record)[0] = recordVoid
		l.Record = noRecord
	}
	l.Round = 0
}
