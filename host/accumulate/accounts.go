package accumulate

import "github.com/tollway/tollway/host/rate"

// accountTable finds accounts by id: a table with open addressing, since the
// events of a batch ask it one after the other and each costs a look at memory
// that nothing else has warmed.
type accountTable struct {
	places []accountPlace // a power of two of them, at most three quarters full
	n      int
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

// add puts an account in, which must not be there.
func (t *accountTable) add(a *rate.Account) {
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
