package accumulate

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
)

// Delta is what one step changes. It reads through to the state that it was
// made from, so that the events of a step see those before them. It belongs to
// the partition's goroutine.
type Delta struct {
	Header Header // the header that the step's checkpoint will have

	state       *State
	slots       map[rate.Key]*rate.Slot
	newGroups   map[rate.Key]int // slots that the delta adds, by key without group
	seen        map[ingest.Hash]Seen
	numbered    []*rate.Plan // plans added, numbered on from the state's
	plans       map[string]uint32
	planAt      map[*rate.Plan]uint32
	deadLetters [][]byte
	invoices    [][]byte
	ownClosed   bool // Header.Closed is this delta's own copy
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

// NewDelta begins a step on a state.
func NewDelta(s *State) *Delta {
	return &Delta{
		Header:    s.header,
		state:     s,
		slots:     map[rate.Key]*rate.Slot{},
		newGroups: map[rate.Key]int{},
		seen:      map[ingest.Hash]Seen{},
		plans:     map[string]uint32{},
		planAt:    map[*rate.Plan]uint32{},
	}
}

// Slot returns the slot of a key as the step has it so far, nil when there is
// none.
func (d *Delta) Slot(k rate.Key) *rate.Slot {
	if s := d.slots[k]; s != nil {
		return s
	}
	return d.state.slot(k)
}

// Groups counts the group combinations of the key's subscription, version and
// period.
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
	if s, ok := d.seen[id]; ok {
		return s, true
	}
	s, ok := d.state.identities[id]
	return s, ok
}

// SawTime takes the time of a priced event into the header's bounds, unix ns.
func (d *Delta) SawTime(t int64) {
	d.Header.Watermark = max(d.Header.Watermark, t)
	d.Header.Earliest = min(d.Header.Earliest, t)
}

// Remember records that an event was priced.
func (d *Delta) Remember(id ingest.Hash, s Seen) { d.seen[id] = s }

// Put stores a slot in place of the one with its key. Plans get their numbers
// here, in the order in which the log first needs them, so that the same log
// makes the same records.
func (d *Delta) Put(s *rate.Slot) error {
	if _, err := d.number(s.Plan); err != nil {
		return err
	}
	if d.slots[s.Key] == nil && d.state.slot(s.Key) == nil {
		d.newGroups[s.WithoutGroup()]++
	}
	d.slots[s.Key] = s
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
	for _, s := range d.slots {
		fn(s)
	}
}

// EachSlot calls fn with every slot, the step's changes made.
func (d *Delta) EachSlot(fn func(*rate.Slot)) {
	d.state.EachSlot(func(s *rate.Slot) bool {
		if d.slots[s.Key] == nil {
			fn(s)
		}
		return true
	})
	d.Slots(fn)
}

// Changed returns the accounts of which the step has changed a slot.
func (d *Delta) Changed() map[string]struct{} {
	accounts := make(map[string]struct{}, len(d.slots))
	for k := range d.slots {
		accounts[k.Account] = struct{}{}
	}
	return accounts
}

// Entries calls put with each table entry that the step changes.
func (d *Delta) Entries(put func(table uint8, key, value []byte)) error {
	for _, s := range d.slots {
		n, err := d.number(s.Plan)
		if err != nil {
			return err
		}
		put(TableSlots, encodeKey(s.Key), encodeSlot(s, n))
	}
	for i, p := range d.numbered {
		value, err := encodePlan(p)
		if err != nil {
			return fmt.Errorf("accumulate: plan of tariff %q: %w", p.Tariff, err)
		}
		put(TablePlans, binary.BigEndian.AppendUint32(nil, uint32(len(d.state.numbered)+i+1)), value)
	}
	for id, s := range d.seen {
		put(TableIdentities, append([]byte(nil), id[:]...), encodeSeen(s))
	}
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
	for _, slot := range d.slots {
		s.put(slot)
	}
	maps.Copy(s.identities, d.seen)
	s.numbered = append(s.numbered, d.numbered...)
	maps.Copy(s.plans, d.plans)
	maps.Copy(s.planAt, d.planAt)
	s.header = d.Header
}
