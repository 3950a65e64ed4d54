package rate_test

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/rate"
)

// waste is where garbage is put, so that it is made.
var waste []byte

// Who has one slot has all that it leads to, although the garbage collector does not
// look into slots.
func TestSlabKeeps(t *testing.T) {
	// Small blocks of accounts and of slots, and large ones; the first account and the last
	// outgrow their room twice.
	const accounts, each = 9000, 20
	garbage := func() {
		for range 3 {
			runtime.GC()
			for n := range 200 { // what is not kept is used again
				waste = slices.Repeat([]byte{0xa5}, 16<<(n%14))
			}
		}
	}
	for _, of := range []int{0, accounts - 1} {
		l := someSlot(t, accounts, each, of)
		garbage()
		a := l.Account()
		if a.ID() != accountID(of) || a.Len() != each {
			t.Fatalf("account %d: %q has %d slots", of, a.ID(), a.Len())
		}
		n := 0
		for slot := range a.Slots() {
			garbage()
			want := rate.Key{Account: accountID(of), Subscription: "s", Tariff: fmt.Sprintf("tariff-%02d", n), Period: 1, Group: fmt.Sprintf("group-%02d", n)}
			if slot.Key() != want || slot.Account() != a {
				t.Fatalf("slot %d: %+v, want %+v", slot.Number, slot.Key(), want)
			}
			if data := slot.Data(); len(data) != 500 || data[0] != byte(n) || data[499] != byte(n) {
				t.Fatalf("slot %d: data %x", slot.Number, data)
			}
			n++
		}
	}
}

// accountID is short or long.
func accountID(n int) string { return fmt.Sprint("account-", n, strings.Repeat("/", n%2*100)) }

// someSlot makes accounts with two slots, of which the first and the last have more, and
// returns one that an account has.
func someSlot(t *testing.T, accounts, each, of int) (some *rate.Live) {
	t.Helper()
	slab := rate.NewSlab()
	book := make([]*rate.Account, accounts)
	for i := range book {
		book[i], _ = slab.NewAccount(accountID(i))
	}
	for n := range each {
		terms := &rate.Terms{Subscription: "s", Tariff: fmt.Sprintf("tariff-%02d", n), Period: 1, Plan: &rate.Plan{}}
		slab.Keep(terms)
		for i, a := range book {
			if n >= 2 && i != 0 && i != accounts-1 {
				continue
			}
			l, group := slab.Add(), fmt.Sprintf("group-%02d", n)
			if i == of {
				some = l
			}
			if err := slab.Name(l, a, terms, group); err != nil {
				t.Fatal(err)
			}
			slab.SetData(l, nil, slices.Repeat([]byte{byte(n)}, 500))
			at, _ := a.Find(terms, group)
			a.Insert(at, l)
		}
	}
	return some
}

// A slot refers to nothing but what its slab keeps.
func TestSlabRefusesStrangers(t *testing.T) {
	for name, strange := range map[string]func(*rate.Slab, *rate.Live, *rate.Account, *rate.Terms) error{
		"account": func(s *rate.Slab, l *rate.Live, _ *rate.Account, t *rate.Terms) error {
			return s.Name(l, rate.NewComer("a"), t, "")
		},
		"terms": func(s *rate.Slab, l *rate.Live, a *rate.Account, _ *rate.Terms) error {
			return s.Name(l, a, &rate.Terms{Number: 1}, "")
		},
		"other terms": func(s *rate.Slab, l *rate.Live, a *rate.Account, t *rate.Terms) error {
			if err := s.Name(l, a, t, ""); err != nil {
				return fmt.Errorf("the slab's own: %w", err)
			}
			a.Insert(0, l)
			if err := s.Reterm(a, 0, t); err != nil {
				return fmt.Errorf("the slab's own: %w", err)
			}
			return s.Reterm(a, 0, &rate.Terms{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, terms := rate.NewSlab(), &rate.Terms{}
			a, _ := s.NewAccount("a")
			s.Keep(terms)
			if err := strange(s, s.Add(), a, terms); err != rate.ErrNotKept { // as it is: none of those around the slab's own
				t.Error(err)
			}
		})
	}
}

// The garbage collector looks into no slot and no account: one pointer, and it would read
// them all.
func TestSlabsHaveNoPointers(t *testing.T) {
	var look func(reflect.Type, string)
	look = func(of reflect.Type, path string) {
		switch of.Kind() {
		case reflect.Struct:
			for f := range of.Fields() {
				look(f.Type, path+"."+f.Name)
			}
		case reflect.Array:
			look(of.Elem(), path+"[]")
		case reflect.Pointer, reflect.UnsafePointer, reflect.Slice, reflect.String, reflect.Map, reflect.Interface, reflect.Func, reflect.Chan:
			t.Errorf("%s is a %s", path, of.Kind())
		}
	}
	look(reflect.TypeFor[rate.Live](), "Live")
	look(reflect.TypeFor[rate.Account](), "Account")
}

// An account has the id that it is given, however long, and nobody else's.
func TestAccountIDs(t *testing.T) {
	slab := rate.NewSlab()
	have := map[string]*rate.Account{}
	for n := range 201 {
		for _, letter := range []byte{'a', 'b'} {
			id := strings.Repeat(string(letter), n) + string(letter)
			a, number := slab.NewAccount(strings.Clone(id))
			have[id] = a
			if c := rate.NewComer(id); c.ID() != id || c.Known() || c.Len() != 0 {
				t.Fatalf("%q came as %q, known %v", id, c.ID(), c.Known())
			}
			if slab.Account(number) != a || number == 0 || !a.Known() {
				t.Fatalf("%q is not account %d", id, number)
			}
		}
	}
	for id, a := range have {
		if a.ID() != id {
			t.Errorf("%q became %q", id, a.ID())
		}
	}
}
