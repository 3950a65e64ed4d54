package rate

import (
	"slices"
	"sort"
	"strings"

	"github.com/tollway/tollway/host/catalog"
)

// Book is the state that a rater prices against. It belongs to the goroutine of
// the rater.
type Book interface {
	// Account returns an account that has slots, nil when it has none; hash is that
	// of the id, see ingest.Event.
	Account(id string, hash uint32) *Account
	// ClosedUntil returns the end of the calendar's last closed period, unix ns.
	ClosedUntil(Calendar) int64
}

// Account is an account with its slots as a book keeps them. The slots are the
// book's to change, the rest is the rater's.
type Account struct {
	ID    string
	Hash  uint32
	Known bool    // it stands in the book; the book sets it
	Slots []*Live // sorted by key

	epoch uint32  // of the catalog that the ways were found by
	ways  []*Live // by the number of an event type: the slot that took the last one, where none can meet two
}

// Live is a slot as a book keeps it: it changes in place. Only the book may
// change it, through what a rater's outcome says.
type Live struct {
	Account  *Account
	Terms    *Terms
	Group    string
	Events   uint64 // events priced
	LastTime int64  // latest event time priced, unix ns; meaningless without events
	// Data has the lines, LineBytes each, as many as the plan has, and behind them
	// the plugin's state.
	Data  []byte
	Final bool // the period is closed and the closing fold is in the lines

	Number uint32 // the book's, and what follows too
	Epoch  uint32
	Before uint32

	cell  int32 // the slot's cell in the batch with this number
	batch uint32

	Record uint64 // the book's
}

// Lines returns the part of the data that has the lines.
func (l *Live) Lines() []byte { return l.Data[:l.linesEnd():l.linesEnd()] }

// State returns the part of the data that is the plugin's.
func (l *Live) State() []byte { return l.Data[l.linesEnd():] }

func (l *Live) linesEnd() int { return min(len(l.Terms.Plan.Lines)*LineBytes, len(l.Data)) }

// Key names the slot.
func (l *Live) Key() Key { return l.Terms.key(l.Account.ID, l.Group) }

// Slot returns the slot as it stands, in memory of its own.
func (l *Live) Slot() *Slot {
	return NewSlot(l.Account.ID, l.Terms, l.Group, Content{Events: l.Events, LastTime: l.LastTime, Final: l.Final, Data: l.Data})
}

// Content is what changes of a slot.
type Content struct {
	Events   uint64
	LastTime int64
	Final    bool
	Data     []byte // lines and state, see Live
}

// NewSlot returns the slot of an account with some content, in memory of its
// own.
func NewSlot(account string, t *Terms, group string, c Content) *Slot {
	s := &Slot{
		Key: t.key(account, group), Plan: t.Plan, Calendar: t.Calendar, PeriodEnd: t.PeriodEnd,
		ActiveFrom: t.ActiveFrom, ActiveUntil: t.ActiveUntil,
		Events: c.Events, LastTime: c.LastTime, Final: c.Final,
	}
	end := min(len(t.Plan.Lines)*LineBytes, len(c.Data))
	s.Lines = LinesOf(c.Data[:end])
	s.State = slices.Clone(c.Data[end:])
	return s
}

// Terms are what slots have in common: the subscription, the tariff version and
// the billing period, and how they are priced. They never change.
type Terms struct {
	Subscription string
	Tariff       string
	Version      int64 // the tariff version's effective_from, unix ns
	Period       int64 // start of the billing period, unix ns
	PeriodEnd    int64 // exclusive, unix ns
	ActiveFrom   int64 // of the subscription within the version, see Slot
	ActiveUntil  int64
	Calendar     Calendar
	Plan         *Plan

	Number uint32 // the book's, 0 before it has one

	ready   *configured // by the rater's instances
	readyIn uint32      // generation of the instances
}

// holds reports whether a slot with these terms takes events of a time, unix ns.
func (t *Terms) holds(at int64) bool {
	return at >= t.Period && at < t.PeriodEnd && at >= t.ActiveFrom && at < t.ActiveUntil
}

func (t *Terms) key(account, group string) Key {
	return Key{Account: account, Subscription: t.Subscription, Tariff: t.Tariff, Version: t.Version, Period: t.Period, Group: group}
}

// compare orders the slots of an account as Key.Compare does.
func (l *Live) compare(t *Terms, group string) int {
	if l.Terms == t {
		return strings.Compare(l.Group, group)
	}
	k := l.Terms.key("", l.Group)
	return k.Compare(t.key("", group))
}

// Find returns where the slot with these terms and group stands, or belongs.
func (a *Account) Find(t *Terms, group string) (at int, found bool) {
	return sort.Find(len(a.Slots), func(i int) int { return -a.Slots[i].compare(t, group) })
}

// groups counts the slots that differ from these terms by the group at most.
func (a *Account) groups(t *Terms) int {
	first := sort.Search(len(a.Slots), func(i int) bool { return a.Slots[i].compare(t, "") >= 0 })
	k, n := t.key("", ""), 0
	for _, l := range a.Slots[first:] {
		if l.Terms.key("", "") != k {
			break
		}
		n++
	}
	return n
}

// kindNumber numbers the event types that the catalog in force has meters for.
type kindNumber uint16

// kind is what the catalog says of an event type.
type kind struct {
	number kindNumber
	meters []*catalog.Meter
	// single says that an event of the type meets one slot at most if its account
	// has one subscription to the meter, by a tariff that does not group.
	single bool
}

// kind returns what the catalog says of an event type, nil when no meter selects
// it.
func (r *Rater) kind(eventType string) *kind {
	if k := r.lastKind; k != nil && r.lastType == eventType {
		return k
	}
	k := r.kinds[eventType]
	if k == nil {
		meters := r.catalog.MetersOf(eventType)
		if len(meters) == 0 {
			return nil // not kept: anything can be sent
		}
		k = &kind{number: kindNumber(len(r.kinds)), meters: meters, single: len(meters) == 1 && len(meters[0].Filter) == 0}
		r.kinds[meters[0].EventType] = k
	}
	r.lastKind, r.lastType = k, k.meters[0].EventType
	return k
}

// waysMax is how many event types an account remembers a slot for. The others'
// events find theirs anew each time.
const waysMax = 64

// way returns the slot that took the account's last event of a type, nil when it
// is not remembered.
func (a *Account) way(k *kind, epoch uint32) *Live {
	if a.epoch != epoch || int(k.number) >= len(a.ways) {
		return nil
	}
	return a.ways[k.number]
}

// remember has the account's next events of a type go to a slot at first.
func (a *Account) remember(k *kind, epoch uint32, l *Live) {
	if k.number >= waysMax {
		return
	}
	if a.epoch != epoch {
		clear(a.ways)
		a.epoch = epoch
	}
	if n := int(k.number) + 1; n > len(a.ways) {
		a.ways = append(a.ways, make([]*Live, n-len(a.ways))...)
	}
	a.ways[k.number] = l
}
