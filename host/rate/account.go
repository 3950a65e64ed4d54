package rate

import (
	"iter"
	"sort"
	"strings"
	"unsafe"

	"github.com/tollway/tollway/host/internal/memory"
)

// Account is an account with its slots as a book keeps them. The slots are the
// book's to change, the rest is the rater's.
//
// As in a slot, nothing in it is a pointer that the garbage collector sees, see Slab. It
// fills two lines of memory, which most processors read together, and its id stands in
// them: to know it by its id, and the slot of its next event by the event's type, takes
// one look at memory.
type Account struct {
	epoch uint32 // of the catalog that the ways were found by
	// By the number of an event type, the slot that took the last one, where none
	// can meet two: of the first types, and of those behind them.
	near [waysNear]way

	size uint32       // of the id
	id   [idNear]byte // or what leads to a longer one

	slab memory.Ref[Slab]   // has the account and all that follows; none for one that the book does not have
	list memory.Ref[listed] // the slots, sorted by key; Insert adds to them
	far  memory.Ref[farWays]
	n    uint32 // of the slots

	fresh   int32 // the last cell of a new slot without group in the batch with the number below
	freshIn uint32
	Touched bool // the book's: a slot has changed since somebody asked
}

// Accounts stand behind each other and begin with a line of memory, as slots do.
const accountBytes = 2 * lineBytes

const (
	_ = uint(accountBytes - unsafe.Sizeof(Account{}))
	_ = uint(unsafe.Sizeof(Account{}) - accountBytes)
)

const (
	// waysNear is for how many event types an account has room without a look at
	// other memory.
	waysNear = 10
	// waysMax is how many event types an account remembers a slot for. The others'
	// events find theirs anew each time.
	waysMax = 64
	// idNear are the bytes of an id that need no look at other memory: those of a UUID
	// with some letters before it.
	idNear = 40
)

type (
	// way is the number of a slot, plus one; 0 for none.
	way     uint32
	farWays [waysMax - waysNear]way
)

// listed is a slot in the list of its account, by its number and that of its terms.
type listed struct{ slot, terms uint32 }

// comer is an account that a book does not have, with what keeps its id.
type comer struct {
	account Account
	id      string
}

// set makes it the account with an id that stays where it is.
func (c *comer) set(id string) *Account {
	*c = comer{id: id}
	c.account.name(id)
	return &c.account
}

// NewComer returns an account that no book has: one who takes changes of it makes an
// account of its own.
func NewComer(id string) *Account { return new(comer).set(id) }

// name gives the account its id, which must be kept if it is long.
func (a *Account) name(id string) {
	a.size = uint32(len(id))
	if copy(a.id[:], id) < len(id) {
		*a.farID() = memory.RefTo(unsafe.StringData(id))
	}
}

func (a *Account) farID() *memory.Ref[byte] { return (*memory.Ref[byte])(unsafe.Pointer(&a.id)) }

// ID returns the account's id. Of one that the book does not have, it must be copied by
// who keeps it beyond the batch. Of others it keeps the book's slab: who has it for longer
// than the book copies it as well.
func (a *Account) ID() string {
	if a.size > idNear {
		return unsafe.String(a.farID().Get(), a.size)
	}
	return unsafe.String(&a.id[0], a.size)
}

// Known reports whether the book has the account.
func (a *Account) Known() bool { return a.slab.Get() != nil }

// Len is how many slots the account has.
func (a *Account) Len() int { return int(a.n) }

// At returns one of its slots by its place in the order of their keys.
func (a *Account) At(i int) *Live { return a.slab.Get().At(a.slots()[i].slot) }

// slots returns the list of its slots.
func (a *Account) slots() []listed { return unsafe.Slice(a.list.Get(), a.n) }

// Slots goes through the account's slots, sorted by key. None may be added meanwhile.
func (a *Account) Slots() iter.Seq[*Live] {
	return func(yield func(*Live) bool) {
		for i := range a.Len() {
			if !yield(a.At(i)) {
				return
			}
		}
	}
}

// Has reports whether there is a slot of which something is so.
func (a *Account) Has(is func(*Live) bool) bool {
	for l := range a.Slots() {
		if is(l) {
			return true
		}
	}
	return false
}

// Ahead has the caches read the account.
func (a *Account) Ahead() { memory.Ahead(unsafe.Pointer(a), accountBytes) }

// AheadSlots has the caches read what finding a slot will read beside the account.
func (a *Account) AheadSlots() {
	if first := a.list.Get(); first != nil {
		memory.Ahead(unsafe.Pointer(first), uintptr(a.n)*unsafe.Sizeof(listed{}))
	}
}

// Find returns where the slot with these terms and group stands, or belongs.
func (a *Account) Find(t *Terms, group string) (at int, found bool) {
	slab, slots := a.slab.Get(), a.slots()
	return sort.Find(len(slots), func(i int) int {
		if c := t.compare(slab.Terms(slots[i].terms)); c != 0 {
			return c
		}
		return strings.Compare(group, slab.At(slots[i].slot).Group())
	})
}

// FindBackward is Find for a slot that most likely stands before all others: as when
// an account's slots are read back, the last one first.
func (a *Account) FindBackward(t *Terms, group string) (at int, found bool) {
	if a.n == 0 || t.compare(a.slab.Get().Terms(a.slots()[0].terms)) < 0 {
		return 0, false
	}
	return a.Find(t, group)
}

// Insert puts a slot that has its names in, at the place that Find returned. The book
// must have the account.
func (a *Account) Insert(at int, l *Live) {
	slab := a.slab.Get()
	if room := listRoom(a.n); a.n == 0 || a.n == room {
		list := slab.list(listRoom(a.n + 1))
		if a.n > 0 {
			copy(unsafe.Slice(list, a.n), a.slots())
			slab.giveList(a.list.Get(), room)
		}
		a.list = memory.RefTo(list)
	}
	a.n++
	slots := a.slots()
	copy(slots[at+1:], slots[at:])
	slots[at] = listed{l.Number, l.Terms().Number}
}

// groups counts the slots that differ from these terms by the group at most.
func (a *Account) groups(t *Terms) int {
	slab, slots := a.slab.Get(), a.slots()
	first := sort.Search(len(slots), func(i int) bool { return slab.Terms(slots[i].terms).compare(t) >= 0 })
	n := 0
	for _, by := range slots[first:] {
		if slab.Terms(by.terms).compare(t) != 0 {
			break
		}
		n++
	}
	return n
}

// way returns the slot that took the account's last event of a type, nil when it
// is not remembered.
func (a *Account) way(k *kind, epoch uint32) *Live {
	w := way(0)
	switch n := int(k.number); {
	case a.epoch != epoch:
	case n < waysNear:
		w = a.near[n]
	case n < waysMax:
		if far := a.far.Get(); far != nil {
			w = far[n-waysNear]
		}
	}
	if w == 0 {
		return nil
	}
	return a.slab.Get().At(uint32(w) - 1)
}

// remember has the account's next events of a type go to a slot at first. The book must
// have the account.
func (a *Account) remember(k *kind, epoch uint32, l *Live) {
	if k.number >= waysMax {
		return
	}
	far := a.far.Get()
	if a.epoch != epoch {
		clear(a.near[:])
		if far != nil {
			clear(far[:])
		}
		a.epoch = epoch
	}
	n, w := int(k.number), way(l.Number+1)
	if n < waysNear {
		a.near[n] = w
		return
	}
	if far == nil {
		far = a.slab.Get().farWays()
		a.far = memory.RefTo(far)
	}
	far[n-waysNear] = w
}
