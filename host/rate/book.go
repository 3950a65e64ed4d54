package rate

import (
	"cmp"
	"iter"
	"slices"
	"sort"
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

// Account is an account with its slots as a book keeps them. The slots are the
// book's to change, the rest is the rater's.
//
// An account that the book does not have yet has an id in memory of its event:
// the book puts a copy in its place.
type Account struct {
	ID    string
	Hash  uint32
	epoch uint32 // of the catalog that the ways were found by
	// By the number of an event type, the slot that took the last one, where none
	// can meet two: of the first types, and of those behind them.
	near [waysNear]memory.Ref[Live]
	far  *[]memory.Ref[Live] // nil for most
	slab *Slab               // keeps the slots; nil for an account that the book does not have

	held    bool  // the rater has a lane for it
	Touched bool  // the book's: a slot has changed since somebody asked
	fresh   int32 // the last cell of a new slot without group in the batch with the number below
	freshIn uint32

	slots []memory.Ref[Live] // sorted by key; Insert adds to them
	by    []memory.Ref[Terms]
	few   slotsRoom4
	_     [8]byte // see below
}

// Accounts stand behind each other and begin with a line of memory, as slots do.
const _ = -(unsafe.Sizeof(Account{}) % lineBytes)

// waysNear is for how many event types an account has room without a look at
// other memory.
const waysNear = 10

// The rooms for an account's slots and their terms, by which one is found without a
// look at the others: most have few, and memory in pieces is slow to get and to find.
type (
	slotsRoom4 struct {
		slots [4]memory.Ref[Live]
		by    [4]memory.Ref[Terms]
	}
	slotsRoom16 struct {
		slots [16]memory.Ref[Live]
		by    [16]memory.Ref[Terms]
	}
)

// Known reports whether the book has the account.
func (a *Account) Known() bool { return a.slab != nil }

// Len is how many slots the account has.
func (a *Account) Len() int { return len(a.slots) }

// At returns one of its slots by its place in the order of their keys.
func (a *Account) At(i int) *Live { return a.slots[i].Get() }

// Slots goes through the account's slots, sorted by key. None may be added meanwhile.
func (a *Account) Slots() iter.Seq[*Live] {
	return func(yield func(*Live) bool) {
		for i := range a.slots {
			if !yield(a.slots[i].Get()) {
				return
			}
		}
	}
}

// Has reports whether there is a slot of which something is so.
func (a *Account) Has(is func(*Live) bool) bool {
	for i := range a.slots {
		if is(a.slots[i].Get()) {
			return true
		}
	}
	return false
}

// Ahead has the caches read what routing will read of the account.
func (a *Account) Ahead() { memory.Ahead(unsafe.Pointer(a), unsafe.Offsetof(a.held)) }

// AheadID has the caches read where the account's id is.
func (a *Account) AheadID() { memory.Ahead(unsafe.Pointer(a), unsafe.Sizeof(a.ID)) }

// aheadSlots does the same for what finding a slot will read.
func (a *Account) aheadSlots() {
	memory.Ahead(unsafe.Pointer(&a.held), unsafe.Sizeof(*a)-unsafe.Offsetof(a.held))
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
func (l *Live) Key() Key { return l.Terms().key(l.Account().ID, l.Group()) }

// Slot returns the slot as it stands, in memory of its own.
func (l *Live) Slot() *Slot {
	return NewSlot(l.Account().ID, l.Terms(), l.Group(), l.Content())
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

// Find returns where the slot with these terms and group stands, or belongs.
func (a *Account) Find(t *Terms, group string) (at int, found bool) {
	return sort.Find(len(a.by), func(i int) int {
		if c := t.compare(a.by[i].Get()); c != 0 {
			return c
		}
		return strings.Compare(group, a.At(i).Group())
	})
}

// FindBackward is Find for a slot that most likely stands before all others: as when
// an account's slots are read back, the last one first.
func (a *Account) FindBackward(t *Terms, group string) (at int, found bool) {
	if len(a.by) == 0 || t.compare(a.by[0].Get()) < 0 {
		return 0, false
	}
	return a.Find(t, group)
}

// Insert puts a slot with its terms and group in, at the place that Find returned.
func (a *Account) Insert(at int, l *Live) {
	switch n := len(a.slots); n {
	case 0:
		a.slots, a.by = a.few.slots[:0], a.few.by[:0]
	case len(a.few.slots):
		more := &slotsRoom16{}
		a.slots, a.by = append(more.slots[:0], a.slots...), append(more.by[:0], a.by...)
		a.few = slotsRoom4{}
	}
	// slices.Insert has its arguments in a list, which an optimised build may put on the heap.
	a.slots, a.by = append(a.slots, memory.Ref[Live]{}), append(a.by, memory.Ref[Terms]{})
	copy(a.slots[at+1:], a.slots[at:])
	copy(a.by[at+1:], a.by[at:])
	a.slots[at], a.by[at] = memory.RefTo(l), l.terms
}

// groups counts the slots that differ from these terms by the group at most.
func (a *Account) groups(t *Terms) int {
	first := sort.Search(len(a.by), func(i int) bool { return a.by[i].Get().compare(t) >= 0 })
	n := 0
	for _, by := range a.by[first:] {
		if by.Get().compare(t) != 0 {
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

// waysMax is how many event types an account remembers a slot for. The others'
// events find theirs anew each time.
const waysMax = 64

// way returns the slot that took the account's last event of a type, nil when it
// is not remembered.
func (a *Account) way(k *kind, epoch uint32) *Live {
	switch n := int(k.number); {
	case a.epoch != epoch:
	case n < waysNear:
		return a.near[n].Get()
	case a.far != nil && n-waysNear < len(*a.far):
		return (*a.far)[n-waysNear].Get()
	}
	return nil
}

// remember has the account's next events of a type go to a slot at first.
func (a *Account) remember(k *kind, epoch uint32, l *Live) {
	if k.number >= waysMax {
		return
	}
	if a.epoch != epoch {
		clear(a.near[:])
		a.far, a.epoch = nil, epoch
	}
	n := int(k.number)
	if n < waysNear {
		a.near[n] = memory.RefTo(l)
		return
	}
	if a.far == nil {
		a.far = &[]memory.Ref[Live]{}
	}
	if n -= waysNear; n >= len(*a.far) {
		*a.far = append(*a.far, make([]memory.Ref[Live], n+1-len(*a.far))...)
	}
	(*a.far)[n] = memory.RefTo(l)
}
