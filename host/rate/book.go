package rate

import (
	"cmp"
	"slices"
	"strings"
	"unsafe"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/internal/memory"
)

// Book is the state that a rater prices against. It belongs to the goroutine of
// the rater.
type Book interface {
	// Accounts finds the accounts of events, as many as there is room for in into:
	// those that have slots; nil for others.
	Accounts(events []Event, into []*Account)
	// ClosedUntil returns the end of the calendar's last closed period, unix ns.
	ClosedUntil(Calendar) int64
	// CarryIn returns what the period or the version before has left to a slot, nil for nothing.
	CarryIn(*Live) []byte
}

// Reopener is a Book in which an account's closed period can take events all the
// same.
type Reopener interface {
	// Reopened reports whether the closed period of a calendar that starts at a time,
	// unix ns, takes events of an account.
	Reopened(account string, c Calendar, start int64) bool
}

// Live is a slot as a book keeps it: it changes in place. Only the book may
// change it, through what a rater's outcome says.
//
// Its parts stand in the order in which they are needed, most of all in three lines
// of the processor's caches: with a million slots, each event costs as many looks
// at memory as it touches lines.
type Live struct {
	account  memory.Ref[Account] // kept by the slab, as is all that follows without a pointer
	terms    memory.Ref[Terms]
	Events   uint64 // events priced
	LastTime int64  // latest event time priced, unix ns; meaningless without events

	Record uint64 // the book's, and what follows too
	Number uint32
	Epoch  uint32
	Before uint32

	cell  int32 // the slot's cell in the batch with this number
	batch uint32

	size  uint16 // of the data in near; sizeFar says that it is elsewhere
	Final bool   // the period is closed and the closing fold is in the lines
	Round uint8  // the book's

	near [nearBytes]byte
	more memory.Ref[liveMore] // none for most
}

// liveMore is what few slots have.
type liveMore struct {
	group string
	far   []byte // data that is longer than near; nil for none
}

const (
	lineBytes = 64 // by which processors read memory
	liveBytes = 3 * lineBytes
	nearBytes = liveBytes - lineBytes - 8
	sizeFar   = 1<<16 - 1
)

// Ahead has the caches read the slot.
func (l *Live) Ahead() { memory.Ahead(unsafe.Pointer(l), liveBytes) }

// Account returns whose slot it is.
func (l *Live) Account() *Account { return l.account.Get() }

// Terms returns what it is priced by.
func (l *Live) Terms() *Terms { return l.terms.Get() }

// Group returns the slot's group, see Key.
func (l *Live) Group() string {
	if m := l.more.Get(); m != nil {
		return m.group
	}
	return ""
}

// Data has the lines, LineBytes each, as many as the plan has, and behind them
// the plugin's state.
func (l *Live) Data() []byte {
	if l.size == sizeFar {
		return l.more.Get().far
	}
	return l.near[:l.size:l.size]
}

// Lines returns the part of the data that has the lines.
func (l *Live) Lines() []byte {
	data := l.Data()
	end := l.linesEnd(data)
	return data[:end:end]
}

// State returns the part of the data that is the plugin's.
func (l *Live) State() []byte {
	data := l.Data()
	return data[l.linesEnd(data):]
}

func (l *Live) linesEnd(data []byte) int { return min(len(l.Terms().Plan.Lines)*LineBytes, len(data)) }

// Key names the slot.
func (l *Live) Key() Key { return l.Terms().key(l.Account().ID(), l.Group()) }

// Slot returns the slot as it stands, in memory of its own.
func (l *Live) Slot() *Slot {
	return NewSlot(l.Account().ID(), l.Terms(), l.Group(), l.Content())
}

// Content returns what changes of the slot, in the slot's own memory.
func (l *Live) Content() Content {
	return Content{Events: l.Events, LastTime: l.LastTime, Final: l.Final, Data: l.Data()}
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

// compare orders the slots of an account as Key.Compare does: terms first.
func (t *Terms) compare(o *Terms) int {
	if t == o {
		return 0
	}
	if c := cmp.Compare(t.Period, o.Period); c != 0 {
		return c
	}
	if c := strings.Compare(t.Tariff, o.Tariff); c != 0 {
		return c
	}
	if c := strings.Compare(t.Subscription, o.Subscription); c != 0 {
		return c
	}
	return cmp.Compare(t.Version, o.Version)
}

// kindNumber numbers the event types that the catalog in force has meters for.
type kindNumber uint16

// kind is what the catalog says of an event type.
type kind struct {
	name   string
	number kindNumber
	meters []*catalog.Meter
	// single says that an event of the type meets one slot at most if its account
	// has one subscription to the meter, by a tariff that does not group.
	single bool
	usual  usual
}

// usual is the way of a single event type for the accounts that the catalog does
// not list: it is the same for all of them.
type usual struct {
	known, one bool // it was looked for; there is one subscription, and it does not group
	calendar   *calendar
	stop       stop
}

// kindPlaces is how many event types are found without a map.
const kindPlaces = 64

// kindPlace chooses among them: the ends of types differ.
func kindPlace(eventType string) int {
	n := len(eventType)
	if n == 0 {
		return 0
	}
	return int(eventType[n-1]^eventType[n/2]<<1) % kindPlaces
}

// kind returns what the catalog says of an event type, nil when no meter selects
// it.
func (r *Rater) kind(eventType string) *kind {
	place := &r.kindNear[kindPlace(eventType)]
	if k := *place; k != nil && k.name == eventType {
		return k
	}
	k := r.kinds[eventType]
	if k == nil {
		meters := r.catalog.MetersOf(eventType)
		if len(meters) == 0 {
			return nil // not kept: anything can be sent
		}
		k = &kind{
			name: meters[0].EventType, number: kindNumber(len(r.kinds)), meters: meters, single: len(meters) == 1 && len(meters[0].Filter) == 0,
		}
		r.kinds[k.name] = k
	}
	*place = k
	return k
}
