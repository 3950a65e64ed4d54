package accumulate

import (
	"slices"

	"github.com/tollway/tollway/host/rate"
)

// View says which state is read.
type View uint8

const (
	// Committed is the state of the last durable checkpoint: it survives any crash.
	Committed View = iota
	// Latest is the state of all that was read from the log. A crash takes it back
	// to Committed, and the log brings it again.
	Latest
)

// Header returns what the last durable checkpoint says of the partition as a
// whole. Its map is never changed.
func (s *State) Header() Header { return s.HeaderOf(Committed) }

// HeaderOf returns what a state says of the partition as a whole.
func (s *State) HeaderOf(v View) Header {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.headerOf(v)
}

func (s *State) headerOf(v View) Header {
	if v == Latest {
		return s.latest
	}
	return s.committed
}

// Slots returns an account's slots, sorted by key, and the header of the same
// state.
func (s *State) Slots(id string, v View) ([]*rate.Slot, Header) {
	hash := accountHash(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.accounts.find(id, hash)
	if a == nil {
		return nil, s.headerOf(v)
	}
	slots := make([]*rate.Slot, 0, a.Len())
	for l := range a.Slots() {
		if l, c, ok := s.content(l, v); ok {
			slot := rate.NewSlot(a.ID(), l.Terms(), l.Group(), c)
			slot.CarryIn = s.carries[l.Number]
			slots = append(slots, slot)
		}
	}
	return slots, s.headerOf(v)
}

// Row is a slot without what only pricing needs. It is the reader's to keep.
type Row struct {
	Terms    *rate.Terms
	Group    string // see [rate.Key]
	Events   uint64
	LastTime int64 // latest event time priced, unix ns; meaningless without events
	Final    bool
	Lines    []rate.Line
	// Generation is the number of the one that has made it so, 0 for what was loaded.
	// In the latest state it may be that of one that has only looked at the slot.
	Generation uint32
}

// Key names the slot, which is an account's.
func (r *Row) Key(account string) rate.Key {
	t := r.Terms
	return rate.Key{Account: account, Subscription: t.Subscription, Tariff: t.Tariff, Version: t.Version, Period: t.Period, Group: r.Group}
}

// RowMemory is what rows are put into. It is used again for the next ones, which then
// take the place of those before.
type RowMemory struct {
	rows  []Row
	lines []rate.Line
}

// Large reports whether the memory is of an account with more rows than most have, and
// not worth being kept for the next one.
func (m *RowMemory) Large() bool { return cap(m.rows) > rowsUsual }

// rowsUsual is how many rows an account has at most, as most are.
const rowsUsual = 256

// Rows returns an account's slots, sorted by key, and the header of the same state.
func (s *State) Rows(id string, v View) ([]Row, Header) { return s.RowsIn(&RowMemory{}, id, v) }

// RowsIn returns them in memory that was used before.
func (s *State) RowsIn(m *RowMemory, id string, v View) ([]Row, Header) {
	hash := accountHash(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.accounts.find(id, hash)
	if a == nil {
		return nil, s.headerOf(v)
	}
	n := 0
	for l := range a.Slots() {
		n += len(l.Terms().Plan.Lines)
	}
	// Each in one piece: this is what most queries do.
	m.rows, m.lines = slices.Grow(m.rows[:0], a.Len()), slices.Grow(m.lines[:0], n)
	rows, lines := m.rows, m.lines
	for l := range a.Slots() {
		was, c, generation, ok := s.contentAt(l, v)
		if !ok {
			continue
		}
		from := len(lines)
		for data := c.Data; len(lines)-from < len(was.Terms().Plan.Lines) && len(data) >= rate.LineBytes; data = data[rate.LineBytes:] {
			lines = append(lines, rate.LineAt(data))
		}
		rows = append(rows, Row{
			Terms: was.Terms(), Group: l.Group(), Events: c.Events, LastTime: c.LastTime, Final: c.Final,
			Lines: lines[from:len(lines):len(lines)], Generation: generation,
		})
	}
	return rows, s.headerOf(v)
}

// content returns what a slot is in a state, false when it is not there. Its names and
// terms are those of the slot that is returned: it may have got other terms since.
func (s *State) content(l *rate.Live, v View) (*rate.Live, rate.Content, bool) {
	was, c, _, ok := s.contentAt(l, v)
	return was, c, ok
}

// contentAt returns the number of the generation that has made it so as well; 0 for
// what was loaded.
func (s *State) contentAt(l *rate.Live, v View) (names *rate.Live, c rate.Content, epoch uint32, ok bool) {
	names, c, epoch = l, l.Content(), l.Epoch
	if v == Latest {
		return names, c, epoch, true
	}
	for before := l.Before; epoch > s.durable; {
		g := s.filling
		if epoch != g.number {
			g = s.flying
		}
		was := &g.images[before]
		if was.absent {
			return l, rate.Content{}, 0, false
		}
		if g.retermed != nil && g.retermed[l] != nil {
			names = g.retermed[l]
		}
		c, epoch, before = g.content(was), was.epoch, was.before
	}
	return names, c, epoch, true
}

// AccountsFrom returns the ids of the accounts, sorted, from first on; those among
// them that have slots in the latest state only as well. The slice is shared: it
// must not be changed.
func (s *State) AccountsFrom(first string) []string {
	s.mu.RLock()
	sorted, known := s.sorted, s.accounts.n
	s.mu.RUnlock()
	if len(sorted) != known { // accounts are only ever added
		s.mu.RLock()
		sorted = make([]string, 0, s.accounts.n)
		s.accounts.each(func(a *rate.Account) { sorted = append(sorted, a.ID()) })
		s.mu.RUnlock()
		slices.Sort(sorted)
		s.mu.Lock()
		if len(sorted) > len(s.sorted) {
			s.sorted = sorted
		}
		s.mu.Unlock()
	}
	at, _ := slices.BinarySearch(sorted, first)
	return sorted[at:]
}

// EachSlot calls fn with every slot of the committed state, in no order. The state
// may move on meanwhile.
func (s *State) EachSlot(fn func(*rate.Slot)) {
	for _, id := range s.AccountsFrom("") {
		slots, _ := s.Slots(id, Committed)
		for _, slot := range slots {
			fn(slot)
		}
	}
}

// OpenPeriod is a period that has usage and is not closed, unix ns.
type OpenPeriod struct {
	Calendar   rate.Calendar
	Start, End int64
}

// OpenPeriods lists the periods that have slots which are not final in the latest
// state.
func (s *State) OpenPeriods() []OpenPeriod {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []OpenPeriod
	for c, spans := range s.open {
		for start, sp := range spans {
			list = append(list, OpenPeriod{Calendar: c, Start: start, End: sp.end})
		}
	}
	return list
}

// Size returns the number of accounts and slots of the latest state.
func (s *State) Size() (accounts, slots int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.accounts.n, int(s.slots.Len())
}
