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
	slab   *rate.Slab // has the accounts
}

// accountPlace is a place of the table.
type accountPlace struct {
	hash   uint32
	number uint32 // of the account, 0 for none
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
		if p.number == 0 {
			return nil
		}
		if p.hash == hash {
			if a := t.slab.Account(p.number); a.ID() == id {
				return a
			}
		}
	}
}

// foreseePlace has the caches read where an account with a hash is looked for, and
// foreseeAccount, which needs that, what finding and routing read of it.
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

// together is how many accounts are looked for at once: as many as the nearest
// cache has room for.
const together = 64

// findAll returns the accounts of events, nil for those that are not there. It has
// the places and the accounts read ahead, for all before the first is needed.
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
	for i, a := range into {
		if a != nil && a.ID() != events[i].Account {
			into[i] = t.find(events[i].Account, events[i].AccountHash)
		}
	}
}

// like returns the first account with a hash, and has it read ahead; nil when there
// is none.
func (t *accountTable) like(hash uint32) *rate.Account {
	for at := t.spread(hash); ; at = (at + 1) & (len(t.places) - 1) {
		p := &t.places[at]
		if p.number == 0 {
			return nil
		}
		if p.hash == hash {
			a := t.slab.Account(p.number)
			a.Ahead()
			return a
		}
	}
}

// add makes an account, which must not be there.
func (t *accountTable) add(id string, hash uint32) *rate.Account {
	if 4*(t.n+1) > 3*len(t.places) {
		old := t.places
		t.places = make([]accountPlace, max(64, 2*len(old)))
		for _, p := range old {
			if p.number != 0 {
				t.place(p)
			}
		}
	}
	a, number := t.slab.NewAccount(id)
	t.place(accountPlace{hash, number})
	t.n++
	return a
}

func (t *accountTable) place(p accountPlace) {
	at := t.spread(p.hash)
	for t.places[at].number != 0 {
		at = (at + 1) & (len(t.places) - 1)
	}
	t.places[at] = p
}

// each calls fn with every account, in no order.
func (t *accountTable) each(fn func(*rate.Account)) {
	for i := range t.places {
		if n := t.places[i].number; n != 0 {
			fn(t.slab.Account(n))
		}
	}
}
