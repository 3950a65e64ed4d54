package accumulate

import (
	"slices"
	"sync"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
)

// State is the committed state of one partition.
//
// The partition's goroutine alone changes it, through Delta.Apply. Other
// goroutines read it through the methods that lock; they may keep the
// *rate.Slot values that they are given, since slots are immutable.
type State struct {
	mu       sync.RWMutex
	header   Header
	accounts map[string]*account
	sorted   []string // ids of the accounts; made anew when its length differs
	slots    int
	open     map[rate.Calendar]map[int64]*span // periods that have slots which are not final
	numbered []*rate.Plan                      // by number, from 1 at index 0

	identityCount int // committed

	// These are read and written by the partition's goroutine alone.
	plans      map[string]uint32     // canonical form of a plan → its number
	planAt     map[*rate.Plan]uint32 // the same by pointer, as a short cut
	identities map[ingest.Hash]Seen  // with those of the delta at work
	spare      *Delta                // of the step before, for its memory
}

// account holds the slots of one account, sorted by key.
type account struct {
	slots []*rate.Slot
}

// span is an open period of a calendar.
type span struct {
	end   int64 // unix ns
	slots int
}

// Seen is what is remembered of an event that was priced.
type Seen struct {
	Content  ingest.Hash
	Position uint64 // stream sequence of the message that carried it
}

// NewState makes the state before the first message.
func NewState() *State {
	return &State{
		header:     Header{Closed: map[rate.Calendar]int64{}, Watermark: rate.Beginning, Earliest: rate.Forever},
		accounts:   map[string]*account{},
		open:       map[rate.Calendar]map[int64]*span{},
		plans:      map[string]uint32{},
		planAt:     map[*rate.Plan]uint32{},
		identities: map[ingest.Hash]Seen{},
	}
}

// Header returns what is known of the partition as a whole. Its map is never
// changed once it is published.
func (s *State) Header() Header {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.header
}

// Account returns the account's slots, sorted by key, and the header of the
// same checkpoint.
func (s *State) Account(id string) ([]*rate.Slot, Header) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a := s.accounts[id]; a != nil {
		return slices.Clone(a.slots), s.header
	}
	return nil, s.header
}

// AccountsFrom returns the ids of the accounts that have slots, sorted, from
// first on. The slice is shared: it must not be changed.
func (s *State) AccountsFrom(first string) []string {
	s.mu.RLock()
	sorted, known := s.sorted, len(s.accounts)
	s.mu.RUnlock()
	if len(sorted) != known { // accounts are only ever added
		s.mu.Lock()
		sorted = make([]string, 0, len(s.accounts))
		for id := range s.accounts {
			sorted = append(sorted, id)
		}
		slices.Sort(sorted)
		s.sorted = sorted
		s.mu.Unlock()
	}
	at, _ := slices.BinarySearch(sorted, first)
	return sorted[at:]
}

// EachSlot calls fn with every slot while the state stands still, until fn
// returns false. fn must be quick: the partition waits for it.
func (s *State) EachSlot(fn func(*rate.Slot) bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, a := range s.accounts {
		for _, slot := range a.slots {
			if !fn(slot) {
				return
			}
		}
	}
}

// OpenPeriod is a period that has usage and is not closed, unix ns.
type OpenPeriod struct {
	Calendar   rate.Calendar
	Start, End int64
}

// OpenPeriods lists the periods that have slots which are not final.
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

// Size returns the number of accounts, slots and identities.
func (s *State) Size() (accounts, slots, identities int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.accounts), s.slots, s.identityCount
}

// slot returns the slot of a key, nil when there is none.
func (s *State) slot(k rate.Key) *rate.Slot {
	a := s.accounts[k.Account]
	if a == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(a.slots, k, func(slot *rate.Slot, k rate.Key) int { return slot.Compare(k) })
	if !found {
		return nil
	}
	return a.slots[i]
}

// groups counts the slots that share a key but for the group.
func (s *State) groups(k rate.Key) int {
	a := s.accounts[k.Account]
	if a == nil {
		return 0
	}
	k = k.WithoutGroup()
	first, _ := slices.BinarySearchFunc(a.slots, k, func(slot *rate.Slot, k rate.Key) int { return slot.Compare(k) })
	n := 0
	for _, slot := range a.slots[first:] {
		if slot.WithoutGroup() != k {
			break
		}
		n++
	}
	return n
}

// put stores a slot in place of the one with its key. The caller holds the
// lock, or is alone with the state.
func (s *State) put(slot *rate.Slot) {
	a := s.accounts[slot.Account]
	if a == nil {
		a = &account{}
		s.accounts[slot.Account] = a
	}
	i, found := slices.BinarySearchFunc(a.slots, slot.Key, func(have *rate.Slot, k rate.Key) int { return have.Compare(k) })
	if !found {
		a.slots = slices.Insert(a.slots, i, slot)
		s.slots++
		s.count(slot, 1)
		return
	}
	old := a.slots[i]
	a.slots[i] = slot
	if old.Final != slot.Final || old.Calendar != slot.Calendar || old.PeriodEnd != slot.PeriodEnd {
		s.count(old, -1)
		s.count(slot, 1)
	}
}

// count keeps the open periods: a final slot does not hold its period open.
func (s *State) count(slot *rate.Slot, by int) {
	if slot.Final {
		return
	}
	spans := s.open[slot.Calendar]
	if spans == nil {
		spans = map[int64]*span{}
		s.open[slot.Calendar] = spans
	}
	sp := spans[slot.Period]
	if sp == nil {
		sp = &span{end: slot.PeriodEnd}
		spans[slot.Period] = sp
	}
	if sp.slots += by; sp.slots > 0 {
		return
	}
	delete(spans, slot.Period)
	if len(spans) == 0 {
		delete(s.open, slot.Calendar)
	}
}
