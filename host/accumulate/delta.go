package accumulate

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
)

// Delta is what one step changes. It reads through to the state that it was
// made from, so that the events of a step see those before them. It belongs to
// the partition's goroutine, and ends with Apply or Discard.
type Delta struct {
	Header Header // the header that the step's checkpoint will have

	state     *State
	slots     map[rate.Key]change
	newGroups map[rate.Key]int // slots with a group that the delta adds, by key without it
	// remembered are the identities that the step adds, as the log has them. They
	// stand in the state's own table already, which nobody else reads: a table of
	// the step's would be asked, written and copied for every event. forgotten
	// counts those that were taken out again.
	remembered  []identity
	forgotten   int
	numbered    []*rate.Plan // plans added, numbered on from the state's
	plans       map[string]uint32
	planAt      map[*rate.Plan]uint32
	deadLetters [][]byte
	invoices    [][]byte
	ownClosed   bool // Header.Closed is this delta's own copy
	encoded     []byte
}

// change is a slot that a step changes, and the number of its plan.
type change struct {
	slot *rate.Slot
	plan uint32
}

// identity is an event that is remembered.
type identity struct {
	id ingest.Hash
	Seen
}

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
}

// NewDelta begins a step on a state. There is one at a time; its memory is that
// of the one before.
func NewDelta(s *State) *Delta {
	d := s.spare
	s.spare = nil
	if d == nil {
		d = &Delta{
			state:     s,
			slots:     map[rate.Key]change{},
			newGroups: map[rate.Key]int{},
			plans:     map[string]uint32{},
			planAt:    map[*rate.Plan]uint32{},
		}
	}
	d.Header = s.header
	return d
}

// end empties the delta and keeps its memory for the next step.
func (d *Delta) end() {
	clear(d.slots)
	clear(d.newGroups)
	clear(d.numbered)
	clear(d.plans)
	clear(d.planAt)
	*d = Delta{
		state: d.state, slots: d.slots, newGroups: d.newGroups, remembered: d.remembered[:0],
		numbered: d.numbered[:0], plans: d.plans, planAt: d.planAt, encoded: d.encoded[:0],
	}
	d.state.spare = d
}

// Slot returns the slot of a key as the step has it so far, nil when there is
// none.
func (d *Delta) Slot(k rate.Key) *rate.Slot {
	if c, ok := d.slots[k]; ok {
		return c.slot
	}
	return d.state.slot(k)
}

// Groups counts the group combinations of the key's subscription, version and
// period. Its own group does not matter. Slots without a group, of which there
// is one at most, are counted once they are committed.
func (d *Delta) Groups(k rate.Key) int {
	return d.state.groups(k) + d.newGroups[k.WithoutGroup()]
}

// ClosedUntil returns the end of the calendar's last closed period, unix ns, or
// rate.Beginning when none is closed.
func (d *Delta) ClosedUntil(c rate.Calendar) int64 {
	if until, ok := d.Header.Closed[c]; ok {
		return until
	}
	return rate.Beginning
}

// Close records that a calendar's periods are closed up to until, unix ns.
func (d *Delta) Close(c rate.Calendar, until int64) {
	if !d.ownClosed {
		closed := maps.Clone(d.Header.Closed)
		if closed == nil {
			closed = map[rate.Calendar]int64{}
		}
		d.Header.Closed, d.ownClosed = closed, true
	}
	d.Header.Closed[c] = until
}

// Seen returns what is remembered of an identity that was priced.
func (d *Delta) Seen(id ingest.Hash) (Seen, bool) {
	s, ok := d.state.identities[id]
	return s, ok
}

// SawTime takes the time of a priced event into the header's bounds, unix ns.
func (d *Delta) SawTime(t int64) {
	d.Header.Watermark = max(d.Header.Watermark, t)
	d.Header.Earliest = min(d.Header.Earliest, t)
}

// Remember records that an event was priced, or is about to be. Its identity
// must be one that was not seen.
func (d *Delta) Remember(id ingest.Hash, s Seen) {
	d.state.identities[id] = s
	if n := len(d.remembered); n == cap(d.remembered) { // append alone would copy five times as much
		d.remembered = slices.Grow(d.remembered, n+1024)
	}
	d.remembered = append(d.remembered, identity{id, s})
}

// Forget takes back what this step remembers of an identity: the event was not
// priced.
func (d *Delta) Forget(id ingest.Hash) {
	delete(d.state.identities, id)
	d.forgotten++
}

// Put stores a slot in place of the one with its key. Plans get their numbers
// here, in the order in which the log first needs them, so that the same log
// makes the same records.
func (d *Delta) Put(s *rate.Slot) error {
	plan, err := d.number(s.Plan)
	if err != nil {
		return err
	}
	before := len(d.slots)
	d.slots[s.Key] = change{s, plan}
	if s.Group != "" && len(d.slots) > before && d.state.slot(s.Key) == nil {
		d.newGroups[s.WithoutGroup()]++
	}
	return nil
}

// AddDeadLetter keeps an event that was not priced.
func (d *Delta) AddDeadLetter(l DeadLetter) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("accumulate: dead letter of %q: %w", l.ID, err)
	}
	d.deadLetters = append(d.deadLetters, b)
	return nil
}

// AddInvoice keeps an invoice that a close has made, as canonical JSON.
func (d *Delta) AddInvoice(invoice []byte) { d.invoices = append(d.invoices, invoice) }

// Appends returns the entries that the step adds to a log of the checkpoint
// store, in order.
func (d *Delta) Appends(log uint8) [][]byte {
	if log == LogDeadLetters {
		return d.deadLetters
	}
	return d.invoices
}

// Slots calls fn with every slot that the step has changed, in no order.
func (d *Delta) Slots(fn func(*rate.Slot)) {
	for _, c := range d.slots {
		fn(c.slot)
	}
}

// EachSlot calls fn with every slot, the step's changes made.
func (d *Delta) EachSlot(fn func(*rate.Slot)) {
	d.state.EachSlot(func(s *rate.Slot) bool {
		if _, changed := d.slots[s.Key]; !changed {
			fn(s)
		}
		return true
	})
	d.Slots(fn)
}

// Changed returns the accounts of which the step has changed a slot.
func (d *Delta) Changed() map[string]struct{} {
	accounts := map[string]struct{}{}
	for k := range d.slots {
		accounts[k.Account] = struct{}{}
	}
	return accounts
}

// Count returns how many entries of a table the step changes at most.
func (d *Delta) Count(table uint8) int {
	switch table {
	case TablePlans:
		return len(d.numbered)
	case TableSlots:
		return len(d.slots)
	case TableIdentities:
		return len(d.remembered)
	}
	return 0
}

// What an entry takes: an identity exactly, a slot about.
const (
	slotBytes     = 320
	identityBytes = 40
)

// Entries calls put with each table entry that the step changes. Keys and values
// are valid until Apply or Discard.
func (d *Delta) Entries(put func(table uint8, key, value []byte)) error {
	for i, p := range d.numbered {
		value, err := encodePlan(p)
		if err != nil {
			return fmt.Errorf("accumulate: plan of tariff %q: %w", p.Tariff, err)
		}
		put(TablePlans, binary.BigEndian.AppendUint32(nil, uint32(len(d.state.numbered)+i+1)), value)
	}
	// All are written behind each other. Where the buffer grows, what was written
	// before keeps the old one.
	b := slices.Grow(d.encoded[:0], len(d.slots)*slotBytes+len(d.remembered)*identityBytes)
	for _, c := range d.slots {
		first := len(b)
		b = appendKey(b, c.slot.Key)
		key := len(b)
		b = appendSlot(b, c.slot, c.plan)
		put(TableSlots, b[first:key:key], b[key:len(b):len(b)])
	}
	for i := range d.remembered {
		e := &d.remembered[i]
		if d.forgotten > 0 && d.state.identities[e.id] != e.Seen {
			continue
		}
		first := len(b)
		b = append(b, e.id[:]...)
		key := len(b)
		b = appendSeen(b, e.Seen)
		put(TableIdentities, b[first:key:key], b[key:len(b):len(b)])
	}
	d.encoded = b
	return nil
}

// number returns the number of a plan, giving it the next one when it is new.
// Plans are compared by what they say; the pointer only saves the comparison.
func (d *Delta) number(p *rate.Plan) (uint32, error) {
	if n, ok := d.state.planAt[p]; ok {
		return n, nil
	}
	if n, ok := d.planAt[p]; ok {
		return n, nil
	}
	b, err := encodePlan(p)
	if err != nil {
		return 0, fmt.Errorf("accumulate: plan of tariff %q: %w", p.Tariff, err)
	}
	n, ok := d.state.plans[string(b)]
	if !ok {
		n, ok = d.plans[string(b)]
	}
	if !ok {
		d.numbered = append(d.numbered, p)
		n = uint32(len(d.state.numbered) + len(d.numbered))
		d.plans[string(b)] = n
	}
	d.planAt[p] = n
	return n, nil
}

// Apply makes the delta's changes to the state, once they are durable. The
// delta must not be used afterwards.
func (d *Delta) Apply() {
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range d.slots {
		s.put(c.slot)
	}
	s.identityCount = len(s.identities)
	s.numbered = append(s.numbered, d.numbered...)
	maps.Copy(s.plans, d.plans)
	maps.Copy(s.planAt, d.planAt)
	s.header = d.Header
	d.end()
}

// Discard drops the delta: the state is as if it had not been. The delta must
// not be used afterwards. After Apply there is nothing to drop.
func (d *Delta) Discard() {
	for i := range d.remembered {
		delete(d.state.identities, d.remembered[i].id)
	}
	d.end()
}
