package accumulate

import (
	"unsafe"

	"github.com/tollway/tollway/host/internal/memory"
	"github.com/tollway/tollway/host/rate"
)

// accountTable finds accounts by id: a table with open addressing, since the
// events of a batch ask it one after the other and each costs a look at memory
// that nothing else has warmed.
type accountTable struct {
	places []accountPlace // a power of two of them, at most three quarters full
	n      int
	ids    []byte // block that ids are copied into
}

// accountPlace is a place of the table, empty without an account.
type accountPlace struct {
	hash    uint32
	account *rate.Account
}

// spread makes a place of a hash: FNV's low bits alone are not even.
func (t *accountTable) spread(hash uint32) int {
	const golden = 0x9e3779b97f4a7c15
	return int(uint64(hash)*golden>>32) & (len(t.places) - 1)
}

// find returns the account with an id, nil when there is none.
func (t *accountTable) find(id string, hash uint32) *rate.Account {
	if t.n == 0 {
		return nil
	}
	for at := t.spread(hash); ; at = (at + 1) & (len(t.places) - 1) {
		p := &t.places[at]
		if p.account == nil {
			return nil
		}
		if p.hash == hash && p.account.ID == id {
			return p.account
		}
	}
}

// foreseePlace has the caches read where an account with a hash is looked for,
// foreseeAccount what routing reads of it, and foreseeID its id, unless it stands
// elsewhere: each needs what the one before has read.
func (t *accountTable) foreseePlace(hash uint32) {
	if t.n > 0 {
		memory.Ahead(unsafe.Pointer(&t.places[t.spread(hash)]), unsafe.Sizeof(accountPlace{}))
	}
}

func (t *accountTable) foreseeAccount(hash uint32) {
	if t.n > 0 {
		t.like(hash)
	}
}

func (t *accountTable) foreseeID(hash uint32) {
	if t.n == 0 {
		return
	}
	if p := &t.places[t.spread(hash)]; p.hash == hash && p.account != nil {
		memory.Ahead(unsafe.Pointer(unsafe.StringData(p.account.ID)), uintptr(len(p.account.ID)))
	}
}

// together is how many accounts are looked for at once: as many as the nearest
// cache has room for.
const together = 64

// findAll returns the accounts of events, nil for those that are not there. It has
// the places, the accounts and their ids read ahead, for all before the first is
// needed.
func (t *accountTable) findAll(events []rate.Event, into []*rate.Account) {
	if t.n == 0 {
		clear(into)
		return
	}
	for len(events) > 0 {
		n := min(len(events), together)
		t.findSome(events[:n], into[:n])
		events, into = events[n:], into[n:]
	}
}

func (t *accountTable) findSome(events []rate.Event, into []*rate.Account) {
	for i := range events {
		memory.Ahead(unsafe.Pointer(&t.places[t.spread(events[i].AccountHash)]), 1)
	}
	for i := range events { // the first with the same hash is the one, nearly always
		into[i] = t.like(events[i].AccountHash)
	}
	for _, a := range into {
		if a != nil {
			memory.Ahead(unsafe.Pointer(unsafe.StringData(a.ID)), uintptr(len(a.ID)))
		}
	}
	for i, a := range into {
		if a != nil && a.ID != events[i].Account {
			into[i] = t.find(events[i].Account, events[i].AccountHash)
		}
	}
}

// like returns the first account with a hash, and has it read ahead; nil when there
// is none.
func (t *accountTable) like(hash uint32) *rate.Account {
	for at := t.spread(hash); ; at = (at + 1) & (len(t.places) - 1) {
		p := &t.places[at]
		if p.account == nil {
			return nil
		}
		if p.hash == hash {
			p.account.Ahead()
			return p.account
		}
	}
}

// idsBlock is the size of the blocks that hold ids.
const idsBlock = 16 << 10

// keep returns an id in the table's own memory.
func (t *accountTable) keep(id string) string {
	if cap(t.ids)-len(t.ids) < len(id) {
		t.ids = make([]byte, 0, max(idsBlock, len(id)))
	}
	first := len(t.ids)
	t.ids = append(t.ids, id...)
	return unsafe.String(unsafe.SliceData(t.ids[first:]), len(id))
}

// add puts an account in, which must not be there. It gives it an id in the table's
// own memory.
func (t *accountTable) add(a *rate.Account) {
	a.ID = t.keep(a.ID)
	if 4*(t.n+1) > 3*len(t.places) {
		old := t.places
		t.places = make([]accountPlace, max(64, 2*len(old)))
		for _, p := range old {
			if p.account != nil {
				t.place(p)
			}
		}
	}
	t.place(accountPlace{hash: a.Hash, account: a})
	t.n++
}

func (t *accountTable) place(p accountPlace) {
	at := t.spread(p.hash)
	for t.places[at].account != nil {
		at = (at + 1) & (len(t.places) - 1)
	}
	t.places[at] = p
}
