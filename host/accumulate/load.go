package accumulate

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// Loader brings a state back from what a checkpoint holds: first the tables
// in the order of [Tables], each in the order of their keys, then the journal of slots from its
// newest entry to its oldest. The state must be new, and nobody else may have it
// yet.
//
// Of the records of a slot the last counts, so that backwards most of the journal
// need not be taken apart: what a slot is has been said already.
type Loader struct {
	state  *State
	header Header
	data   []byte   // memory for a record's content
	starts []uint32 // of an entry's records
	said   bitmap   // slots whose last record has been read
	named  bitmap   // slots of which a full record has been read
	known  int      // how many those are
}

// bitmap has a bit for each slot.
type bitmap []uint64

func newBitmap(n uint32) bitmap { return make(bitmap, (uint64(n)+63)/64) }

func (b bitmap) has(n uint32) bool { return b[n/64]>>(n%64)&1 != 0 }

func (b bitmap) set(n uint32) { b[n/64] |= 1 << (n % 64) }

// NewLoader begins to load a state, of a checkpoint with a header.
func NewLoader(s *State, h Header) *Loader {
	return &Loader{state: s, header: h, said: newBitmap(h.Slots), named: newBitmap(h.Slots)}
}

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
		if p.Lines == nil {
			p.Lines = []rate.PlanLine{} // answered: none
		}
		s.numbered = append(s.numbered, p)
		s.plans[string(value)], s.planAt[p] = n, n
	case TableTerms:
		n, err := nextNumber(key, s.slots.Kept())
		if err != nil {
			return err
		}
		t, err := l.decodeTerms(value)
		if err != nil {
			return err
		}
		s.slots.Keep(t)
		s.termsOf[string(value)] = n
	case TableCarries:
		if len(key) != 4 {
			return fmt.Errorf("%w: carry of slot %x", errRecord, key)
		}
		s.carries[binary.BigEndian.Uint32(key)] = bytes.Clone(value)
	case TableParked:
		var p Parked
		if err := json.Unmarshal(value, &p); err != nil {
			return fmt.Errorf("%w: parked invoice: %w", errRecord, err)
		}
		s.parked[p.key()] = p
	default:
		return l.loadOther(table, key, value)
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

// Journal takes an entry of the journal of slots: the newest first.
func (l *Loader) Journal(entry []byte) error {
	if len(entry) == 0 || entry[0] != recordVersion || uint64(len(entry)) > math.MaxUint32 {
		return fmt.Errorf("%w: a journal entry of another version", errRecord)
	}
	l.starts = l.starts[:0]
	for r := (reader{b: entry[chunkHead:]}); len(r.b) > 0; {
		start := len(entry) - len(r.b)
		kind, number := r.u8(), r.u32()
		r.bytes()
		if r.bad || kind > recordFull {
			return fmt.Errorf("%w: slot %d", errRecord, number)
		}
		if kind == recordVoid {
			continue
		}
		if number >= l.header.Slots {
			return fmt.Errorf("%w: slot %d of %d", errRecord, number, l.header.Slots)
		}
		if l.news(kind, number) {
			l.starts = append(l.starts, uint32(start))
		}
	}
	for end := len(l.starts); end > 0; end -= min(end, loadAhead) {
		if err := l.some(entry, l.starts[max(0, end-loadAhead):end]); err != nil {
			return err
		}
	}
	return nil
}

// news reports whether a record says what none behind it has said.
func (l *Loader) news(kind byte, number uint32) bool {
	return !l.said.has(number) || kind == recordFull && !l.named.has(number)
}

// loadAhead is how many records have their slots and accounts read ahead before the
// first of them is taken.
const loadAhead = 16

// coming is a record that is about to be taken.
type coming struct {
	kind    byte
	number  uint32
	terms   uint64 // full only, as what follows
	account string // the entry's memory
	hash    uint32 // of the account
	group   []byte
	content reader
}

// some takes records of an entry, the last one first.
func (l *Loader) some(entry []byte, starts []uint32) error {
	var list [loadAhead]coming
	n := 0
	for _, start := range slices.Backward(starts) {
		r := reader{b: entry[start:]}
		c := &list[n]
		if c.kind, c.number = r.u8(), r.u32(); !l.news(c.kind, c.number) {
			continue // another record of the same entry has said it
		}
		body := reader{b: r.bytes()}
		if c.kind == recordFull {
			c.terms = body.uvarint()
			id := body.bytes()
			c.account = unsafe.String(unsafe.SliceData(id), len(id))
			c.group = body.bytes()
		}
		if r.bad || body.bad {
			return fmt.Errorf("%w: slot %d", errRecord, c.number)
		}
		c.content = body
		n++
	}
	l.ahead(list[:n])
	for i := range list[:n] {
		if err := l.take(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// ahead has the slots and the accounts of records read ahead.
func (l *Loader) ahead(list []coming) {
	s := l.state
	for i := range list {
		c := &list[i]
		for c.number >= s.slots.Len() {
			s.slots.Add()
		}
		s.slots.At(c.number).Ahead()
		if c.kind == recordFull {
			c.hash = accountHash(c.account)
			s.accounts.foreseePlace(c.hash)
		}
	}
	for i := range list {
		if list[i].kind == recordFull {
			s.accounts.foreseeAccount(list[i].hash)
		}
	}
}

// take takes what a record says and none behind it has said: the slot's content, its
// names, both or nothing.
func (l *Loader) take(c *coming) error {
	live := l.state.slots.At(c.number)
	if !l.said.has(c.number) {
		content, ok := c.content.content(l.data[:0])
		if !ok {
			return fmt.Errorf("%w: slot %d", errRecord, c.number)
		}
		l.data = content.Data[:0]
		l.said.set(c.number)
		live.Events, live.LastTime, live.Final = content.Events, content.LastTime, content.Final
		l.state.slots.SetData(live, content.Data, nil)
	}
	if c.kind == recordFull && !l.named.has(c.number) {
		l.named.set(c.number)
		l.known++
		return l.place(live, c)
	}
	return nil
}

// place puts a slot that has its number and its content among those of its
// account.
func (l *Loader) place(live *rate.Live, c *coming) error {
	s := l.state
	if c.terms == 0 || c.terms > uint64(s.slots.Kept()) {
		return fmt.Errorf("%w: slot %d names terms %d of %d", errRecord, c.number, c.terms, s.slots.Kept())
	}
	t := s.slots.Terms(uint32(c.terms))
	a := s.accounts.find(c.account, c.hash)
	if a == nil {
		a = s.accounts.add(c.account, c.hash)
	}
	group := string(c.group)
	at, found := a.FindBackward(t, group)
	if found {
		return fmt.Errorf("%w: slot %d of account %q is there twice", errRecord, live.Number, a.ID())
	}
	if err := s.slots.Name(live, a, t, group); err != nil {
		return fmt.Errorf("accumulate: account %q: %w", a.ID(), err)
	}
	a.Insert(at, live)
	if !live.Final {
		s.count(t, 1)
	}
	return nil
}

// End shows the header, and checks that all slots are there.
func (l *Loader) End() error {
	s, h := l.state, l.header
	if s.slots.Len() != h.Slots || l.known != int(h.Slots) {
		return fmt.Errorf("%w: the checkpoint has %d slots, its journal %d, %d of them with their names", errRecord, h.Slots, s.slots.Len(), l.known)
	}
	s.header, s.latest, s.committed = h, h, h
	return nil
}

// accountHash is the hash of an account id, as events carry it.
func accountHash(id string) uint32 { return billing.AccountID(id).TokenHash() }
