package accumulate

import (
	"sync"

	"github.com/tollway/tollway/host/rate"
)

// State is the state of one partition: as the partition's goroutine has it
// (latest), and as the last durable checkpoint has it (committed).
//
// The partition's goroutine, its owner, alone changes it; the methods in write.go
// are the owner's, but for Durable. Those in read.go lock, and are for all.
type State struct {
	mu        sync.RWMutex // the owner holds it while it changes what followers or readers see
	followers []*Follower
	tracks    bool // accounts whose slots change are noted
	contents
}

// contents is all of a state that messages have made: what [State.Reset] makes anew.
type contents struct {
	// The owner changes what follows, and holds the lock while it does.
	accounts  *accountTable
	sorted    []string // ids of the accounts; made anew when their number differs
	slots     *rate.Slab
	open      map[rate.Calendar]map[int64]*span // periods that have slots which are not final
	counted   *rate.Terms                       // those whose period was counted last
	span      *span                             // that period
	latest    Header
	committed Header
	filling   *Generation
	flying    *Generation       // cut, and not durable yet; nil for none
	durable   uint32            // number of the last generation that is
	carries   map[uint32][]byte // what slots were left by the period or version before, by slot number
	parked    map[parkedKey]Parked
	reopened  map[parkedKey]Reopened
	rules     map[PeriodKey]RulesRef
	overrides map[[16]byte]Override  // the owner alone reads them
	alerted   map[alertedKey]Alerted // likewise

	// The owner alone reads and writes these.
	header   Header                // to be published
	plans    map[string]uint32     // canonical form of a plan → its number
	planAt   map[*rate.Plan]uint32 // the same by pointer, as a short cut
	numbered []*rate.Plan          // by number, from 1 at index 0
	termsOf  map[string]uint32     // canonical form of terms → their number
	turn     uint32                // number of the next slot that is looked at for its full record
	letters  letters
	spare    chan *Generation // one that is durable, for its memory
	touched  []*rate.Account  // those whose slots have changed, when they are noted
}

// span is an open period of a calendar.
type span struct {
	end   int64 // unix ns
	slots int
}

// Counters and bounds of a state before the first message.
func newHeader() Header {
	return Header{Closed: map[rate.Calendar]int64{}, Watermark: rate.Beginning, Earliest: rate.Forever, Horizon: rate.Beginning}
}

// NewState makes the state before the first message.
func NewState() *State { return &State{contents: newContents()} }

func newContents() contents {
	slots := rate.NewSlab()
	return contents{
		accounts: &accountTable{slab: slots}, slots: slots,
		latest: newHeader(), committed: newHeader(), header: newHeader(),
		open:    map[rate.Calendar]map[int64]*span{},
		filling: &Generation{number: 1, round: roundFirst},
		plans:   map[string]uint32{},
		planAt:  map[*rate.Plan]uint32{},
		termsOf: map[string]uint32{},
		carries: map[uint32][]byte{},
		parked:  map[parkedKey]Parked{}, reopened: map[parkedKey]Reopened{}, rules: map[PeriodKey]RulesRef{}, overrides: map[[16]byte]Override{}, alerted: map[alertedKey]Alerted{},
		spare: make(chan *Generation, 1),
	}
}

// Reset makes the state that before the first message again. The owner must be at
// rest; readers see the one or the other, and followers go on. Generations are
// counted on, so that what is made again counts as changed for those who remember
// one from before.
func (s *State) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.filling.number
	s.contents = newContents()
	s.durable, s.filling.number = last, last+1
}

// count keeps the open periods: a final slot does not hold its period open.
func (s *State) count(t *rate.Terms, by int) {
	if t == s.counted && s.span.slots+by > 0 { // slots are made in rows of the same period
		s.span.slots += by
		return
	}
	spans := s.open[t.Calendar]
	if spans == nil {
		spans = map[int64]*span{}
		s.open[t.Calendar] = spans
	}
	sp := spans[t.Period]
	if sp == nil {
		sp = &span{end: t.PeriodEnd}
		spans[t.Period] = sp
	}
	if sp.slots += by; sp.slots > 0 {
		s.counted, s.span = t, sp
		return
	}
	s.counted = nil
	delete(spans, t.Period)
	if len(spans) == 0 {
		delete(s.open, t.Calendar)
	}
}
