package accumulate

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"

	"github.com/tollway/tollway/host/rate"
)

// DeadLetter is an event that was not priced, as it is kept and published.
type DeadLetter struct {
	Position uint64 `json:"position"` // stream sequence of the message that carried it
	Index    int    `json:"index"`    // of the event in that message, from 0
	Source   string `json:"source"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Account  string `json:"account"`
	Time     string `json:"time"` // RFC 3339, empty when it could not be read
	Reason   string `json:"reason"`
	Detail   string `json:"detail"`
	// Event is the event as CloudEvents JSON; Raw has the message's bytes instead
	// where it could not be decoded, with the first such element of a message.
	// Truncated says that Raw holds only their beginning, or nothing: the log has
	// them whole at Position.
	Event     json.RawMessage `json:"event,omitempty"`
	Raw       []byte          `json:"raw,omitempty"`
	Truncated bool            `json:"truncated,omitempty"`
	// TakenBack says that the event had been priced, and was refused when its period
	// was folded again: its identity is known, although it is not priced.
	TakenBack bool `json:"taken_back,omitempty"`
}

// Now is what will be said of the partition as a whole. The owner changes it;
// readers see it once it is published.
func (s *State) Now() *Header { return &s.header }

// Publish shows the header to those who read the latest state.
func (s *State) Publish() {
	s.mu.Lock()
	s.latest = s.header
	s.mu.Unlock()
}

// ClosedUntil returns the end of the calendar's last closed period, unix ns, or
// rate.Beginning when none is closed.
func (s *State) ClosedUntil(c rate.Calendar) int64 { return s.header.ClosedUntil(c) }

// Account returns an account by its id and the hash of it, nil when it has no
// slots. It is for the owner.
func (s *State) Account(id string, hash uint32) *rate.Account { return s.accounts.find(id, hash) }

// Accounts finds the accounts of events; nil for those that have no slots. It is
// the book's of a rater: for the owner.
func (s *State) Accounts(events []rate.Event, into []*rate.Account) { s.accounts.findAll(events, into) }

// ForeseePlace has the caches read the place of an account in the table by the hash of
// its id. It is the first of two steps, some events apart, that read ahead what finding
// the account will read; they are for the owner, and change nothing but how long Accounts
// takes.
func (s *State) ForeseePlace(hash uint32) { s.accounts.foreseePlace(hash) }

// ForeseeAccount is the second step.
func (s *State) ForeseeAccount(hash uint32) { s.accounts.foreseeAccount(hash) }

// takeAhead is how many changes lie between the reading ahead of a slot or of an account
// that gets one, that of the slot's account or of the account's list of slots, and the
// change. They have been read for the pricing, but much has been read since. Of a slot
// that has had its full record the account is not needed.
const takeAhead = 8

// ahead has the caches read what changes behind the i-th will read.
func (s *State) ahead(changes []rate.Change, i int) {
	round := s.filling.round
	if later := i + 2*takeAhead; later < len(changes) {
		if c := &changes[later]; c.Slot != nil {
			c.Slot.Ahead()
		} else {
			c.Account.Ahead()
		}
	}
	if soon := i + takeAhead; soon < len(changes) {
		if c := &changes[soon]; c.Slot == nil {
			c.Account.AheadSlots()
		} else if c.Slot.Round != round {
			c.Account.Ahead()
		}
	}
}

// Take makes the changes of a batch.
func (s *State) Take(changes []rate.Change) error {
	if len(changes) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.filling
	short := g.short
	for i := range changes {
		c := &changes[i]
		s.ahead(changes, i)
		l := c.Slot
		if l == nil {
			var err error
			if l, err = s.create(s.own(c.Account, c.AccountHash), c.Terms, c.Group); err != nil {
				return err
			}
			c.Made(l)
		} else {
			g.changing(l, false)
		}
		if l.Events == 0 || c.LastTime > l.LastTime {
			l.LastTime = c.LastTime
		}
		l.Events += c.Events
		s.slots.SetData(l, c.Lines, c.State)
		g.record(l)
	}
	if s.tracks {
		for i := range changes {
			s.touch(changes[i].Account)
		}
	}
	s.takeTurns(turnsFor(g.short) - turnsFor(short))
	return nil
}

// Put makes a slot what is given, whether there is one with its key or not.
func (s *State) Put(slot *rate.Slot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(slot)
}

// put is Put, with the lock held.
func (s *State) put(slot *rate.Slot) error {
	hash := accountHash(slot.Account)
	a, terms := s.accounts.find(slot.Account, hash), slot.Terms()
	if a == nil {
		a = s.accounts.add(slot.Account, hash)
	}
	var l *rate.Live
	if at, found := a.Find(terms, slot.Group); found {
		l = a.At(at)
		s.filling.changing(l, false)
	} else {
		var err error
		if l, err = s.create(a, terms, slot.Group); err != nil {
			return err
		}
	}
	if l.Final != slot.Final {
		by := 1
		if slot.Final {
			by = -1
		}
		s.count(l.Terms(), by)
	}
	l.Events, l.LastTime, l.Final = slot.Events, slot.LastTime, slot.Final
	s.slots.SetData(l, slot.Data(), nil)
	if s.tracks {
		s.touch(l.Account())
	}
	short := s.filling.short
	s.filling.record(l)
	s.takeTurns(turnsFor(s.filling.short) - turnsFor(short))
	return nil
}

// own returns the state's own account for one of a change, which it makes where it has
// none of that id.
func (s *State) own(a *rate.Account, hash uint32) *rate.Account {
	if a.Known() {
		return a
	}
	if own := s.accounts.find(a.ID(), hash); own != nil { // made by a change before
		return own
	}
	return s.accounts.add(a.ID(), hash)
}

// create makes an empty slot of an account.
func (s *State) create(a *rate.Account, t *rate.Terms, group string) (*rate.Live, error) {
	t, err := s.numberTerms(t)
	if err != nil {
		return nil, err
	}
	l := s.slots.Add()
	if err := s.place(l, a, t, group); err != nil {
		return nil, fmt.Errorf("accumulate: account %q: %w", a.ID(), err)
	}
	s.filling.changing(l, true)
	s.header.Slots = s.slots.Len()
	return l, nil
}

// place puts a slot that has its number among those of its account.
func (s *State) place(l *rate.Live, a *rate.Account, t *rate.Terms, group string) error {
	if err := s.slots.Name(l, a, t, group); err != nil {
		return err
	}
	at, _ := a.Find(t, group)
	a.Insert(at, l)
	s.count(t, 1)
	return nil
}

// numberTerms returns the state's own copy of terms, numbering them when they are
// new. Numbers are given in the order in which the log first needs them, so that
// the same log makes the same records. Terms are compared by what they say.
func (s *State) numberTerms(t *rate.Terms) (*rate.Terms, error) {
	if t.Number != 0 {
		return s.slots.Terms(t.Number), nil
	}
	plan, err := s.numberPlan(t.Plan)
	if err != nil {
		return nil, err
	}
	b, err := encodeTerms(t, plan)
	if err != nil {
		return nil, fmt.Errorf("accumulate: terms of tariff %q: %w", t.Tariff, err)
	}
	n, known := s.termsOf[string(b)]
	if !known {
		n = s.slots.Keep(t)
		s.termsOf[string(b)] = n
		s.filling.terms = append(s.filling.terms, tableEntry{numberKey(n), b})
	}
	t.Number = n
	return s.slots.Terms(n), nil
}

// numberPlan does the same for a plan.
func (s *State) numberPlan(p *rate.Plan) (uint32, error) {
	if n, ok := s.planAt[p]; ok {
		return n, nil
	}
	b, err := encodePlan(p)
	if err != nil {
		return 0, fmt.Errorf("accumulate: plan of tariff %q: %w", p.Tariff, err)
	}
	n, known := s.plans[string(b)]
	if !known {
		s.numbered = append(s.numbered, p)
		n = uint32(len(s.numbered))
		s.plans[string(b)] = n
		s.filling.plans = append(s.filling.plans, tableEntry{numberKey(n), b})
	}
	s.planAt[p] = n
	return n, nil
}

// In a round, every slot has a full record in the journal: the first record of a slot
// that changes is one. For some of those that are short ones, because the slot has had
// its full one, there is a turn for another slot, so that a round comes to an end: those
// that do not change have theirs then.

// shortsPerTurn is how many short records there are for a turn. A turn costs as much as
// a change, and the journal, which is read when the state is opened, has as many short
// records for each full one, in the round and the one before, at most.
const shortsPerTurn = 3

// turnsFor is how many turns so many short records of a generation come to.
func turnsFor(short int) int { return short / shortsPerTurn }

// skipMax is how many slots, less one, a turn passes over that have had their full
// record.
const skipMax = 8

// takeTurns takes n turns. A generation writes to the end of a round at most: the next
// begins with the next generation.
func (s *State) takeTurns(n int) {
	g := s.filling
	for ; n > 0 && !g.wrapped; n-- {
		g.turns++
		for range skipMax {
			s.turnAhead()
			l := s.slots.At(s.turn)
			had := l.Round == g.round
			g.repeat(l)
			if s.turn++; s.turn == s.slots.Len() {
				s.turn, g.wrapped = 0, true
				break
			}
			if !had {
				break
			}
		}
	}
}

// turnsAhead is how many turns lie between the reading ahead of a slot, that of its
// account and its own turn: a full record has its names.
const turnsAhead = 8

func (s *State) turnAhead() {
	later := s.turn + 2*turnsAhead
	if later >= s.slots.Len() {
		return
	}
	s.slots.At(later).Ahead()
	if l := s.slots.At(later - turnsAhead); l.Round != s.filling.round {
		l.Account().Ahead()
	}
}

// turnsMin is how many full records a generation has at least. Each adds an entry
// to the journal, and what the store notes of the entries grows with their number,
// while a round takes as many entries as its records are few: the root of the
// number of slots keeps both small.
func turnsMin(slots uint32) int { return 1 << (bits.Len32(slots) / 2) }

// AddDeadLetter keeps an event that was not priced.
func (s *State) AddDeadLetter(l DeadLetter) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("accumulate: dead letter of %q: %w", l.ID, err)
	}
	s.filling.deadLetters = append(s.filling.deadLetters, b)
	s.letters.last++
	return nil
}

// AddInvoice keeps an invoice that a close has made, as canonical JSON.
func (s *State) AddInvoice(invoice []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling.invoices = append(s.filling.invoices, invoice)
}

// EachAccount calls fn with every account, in no order.
func (s *State) EachAccount(fn func(*rate.Account)) {
	s.accounts.each(fn)
}

// Filling is the generation that changes go into.
func (s *State) Filling() *Generation { return s.filling }

// errUncommitted reports a generation that was cut too early.
var errUncommitted = errors.New("accumulate: a generation was cut while the one before was not durable")

// Cut ends the generation that changes went into and begins the next. The one
// before must be durable.
func (s *State) Cut() (*Generation, error) {
	var next *Generation
	select {
	case next = <-s.spare:
	default:
		next = &Generation{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cut := s.filling
	if len(cut.dirty) > 0 {
		s.takeTurns(turnsMin(s.slots.Len()) - cut.turns)
	}
	cut.Header = s.header
	if s.flying != nil {
		return nil, errUncommitted
	}
	next.reuse(cut)
	s.flying, s.filling = cut, next
	return cut, nil
}

// Durable shows a generation's changes to those who read the committed state: its
// checkpoint is on the disk. The generation must not be used any more once the next
// is cut. Any goroutine may call it.
func (s *State) Durable(g *Generation) {
	s.mu.Lock()
	s.durable, s.flying = g.number, nil
	s.committed = g.Header
	s.tell(g)
	s.mu.Unlock()
	select {
	case s.spare <- g:
	default:
	}
}
