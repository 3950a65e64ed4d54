package accumulate

import (
	"encoding/json"
	"fmt"

	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// Loader brings a state back from what a checkpoint holds: first the plans, then
// the terms, each in the order of their keys, then the journal of slots in its
// order, then the header. The state must be new, and nobody else may have it yet.
type Loader struct {
	state *State
	data  []byte // memory for a record's content
	known int    // slots whose full record has been read
}

// NewLoader begins to load a state.
func NewLoader(s *State) *Loader { return &Loader{state: s} }

// Table takes an entry of a table.
func (l *Loader) Table(table uint8, key, value []byte) error {
	s := l.state
	switch table {
	case TablePlans:
		n, err := nextNumber(key, len(s.numbered))
		if err != nil {
			return err
		}
		p := &rate.Plan{}
		if err := json.Unmarshal(value, p); err != nil {
			return fmt.Errorf("%w: plan: %w", errRecord, err)
		}
		s.numbered = append(s.numbered, p)
		s.plans[string(value)], s.planAt[p] = n, n
	case TableTerms:
		n, err := nextNumber(key, len(s.terms))
		if err != nil {
			return err
		}
		t, err := l.decodeTerms(value)
		if err != nil {
			return err
		}
		t.Number = n
		s.terms = append(s.terms, t)
		s.termsOf[string(value)] = n
	default:
		return fmt.Errorf("%w: table %d", errRecord, table)
	}
	return nil
}

func (l *Loader) decodeTerms(value []byte) (*rate.Terms, error) {
	var in termsJSON
	if err := json.Unmarshal(value, &in); err != nil {
		return nil, fmt.Errorf("%w: terms: %w", errRecord, err)
	}
	if in.Plan == 0 || int(in.Plan) > len(l.state.numbered) {
		return nil, fmt.Errorf("%w: terms of tariff %q name plan %d of %d", errRecord, in.Tariff, in.Plan, len(l.state.numbered))
	}
	return &rate.Terms{
		Subscription: in.Subscription, Tariff: in.Tariff, Version: in.Version, Period: in.Period, PeriodEnd: in.PeriodEnd,
		ActiveFrom: in.ActiveFrom, ActiveUntil: in.ActiveUntil, Calendar: in.Calendar, Plan: l.state.numbered[in.Plan-1],
	}, nil
}

// Journal takes an entry of the journal of slots.
func (l *Loader) Journal(entry []byte) error {
	if len(entry) == 0 || entry[0] != recordVersion {
		return fmt.Errorf("%w: a journal entry of another version", errRecord)
	}
	r := reader{b: entry[chunkHead:]}
	for len(r.b) > 0 {
		s := r.readRecord(l.data[:0])
		if r.bad {
			return fmt.Errorf("%w: slot %d", errRecord, s.number)
		}
		l.data = s.content.Data[:0]
		if s.kind == recordVoid {
			continue
		}
		if err := l.take(&s); err != nil {
			return err
		}
	}
	return nil
}

// slotsAhead is how far a slot's number may lie behind the highest before it: a
// checkpoint's records stand in an order of their own. It bounds what a damaged
// number can allocate.
const slotsAhead = 1 << 22

// take brings a slot to what a record says. A short record may come before the
// slot's first full one, when the full one before it was trimmed: the later one
// says all of it again.
func (l *Loader) take(r *stored) error {
	s := l.state
	if uint64(r.number) >= uint64(s.slots.n)+slotsAhead {
		return fmt.Errorf("%w: slot %d", errRecord, r.number)
	}
	for r.number >= s.slots.n {
		s.slots.add()
	}
	live := s.slots.at(r.number)
	if live.Account == nil {
		if r.kind != recordFull {
			return nil
		}
		if r.terms == 0 || int(r.terms) > len(s.terms) {
			return fmt.Errorf("%w: slot %d names terms %d of %d", errRecord, r.number, r.terms, len(s.terms))
		}
		if err := l.place(live, s.terms[r.terms-1], string(r.account), string(r.group)); err != nil {
			return err
		}
	}
	if most := len(live.Terms.Plan.Lines) * rate.LineBytes; len(live.Lines()) > most {
		return fmt.Errorf("%w: slot %d has more lines than its plan", errRecord, r.number)
	}
	if live.Final != r.content.Final {
		by := 1
		if r.content.Final {
			by = -1
		}
		s.count(live.Terms, by)
	}
	live.Events, live.LastTime, live.Final = r.content.Events, r.content.LastTime, r.content.Final
	s.setData(live, r.content.Data, nil)
	return nil
}

// place puts a slot that has its number among those of its account.
func (l *Loader) place(live *rate.Live, t *rate.Terms, account, group string) error {
	s := l.state
	hash := accountHash(account)
	a := s.accounts.find(account, hash)
	if a == nil {
		a = &rate.Account{ID: account, Hash: hash}
	}
	if _, found := a.Find(t, group); found {
		return fmt.Errorf("%w: slot %d of account %q is there twice", errRecord, live.Number, account)
	}
	s.place(live, a, t, group)
	l.known++
	return nil
}

// End takes the header and checks that all slots are there.
func (l *Loader) End(h Header) error {
	s := l.state
	if s.slots.n != h.Slots || l.known != int(h.Slots) {
		return fmt.Errorf("%w: the checkpoint has %d slots, its journal %d, %d of them with their names", errRecord, h.Slots, s.slots.n, l.known)
	}
	s.header, s.latest, s.committed = h, h, h
	return nil
}

// accountHash is the hash of an account id, as events carry it.
func accountHash(id string) uint32 { return billing.AccountID(id).TokenHash() }
