package rate_test

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/tollway/tollway/host/rate"
)

// waste is where garbage is put, so that it is made.
var waste []byte

// Who has one slot has all that it leads to, although the garbage collector does not
// look into slots.
func TestSlabKeeps(t *testing.T) {
	const accounts, each = 900, 20 // small blocks and large ones, and accounts that outgrow their room twice
	garbage := func() {
		for range 3 {
			runtime.GC()
			for n := range 200 { // what is not kept is used again
				waste = slices.Repeat([]byte{0xa5}, 16<<(n%14))
			}
		}
	}
	for _, from := range []uint32{0, accounts*each - 1} {
		l := someSlot(t, accounts, each, from)
		garbage()
		a := l.Account()
		if a.Len() != each {
			t.Fatalf("slot %d: account %s has %d slots", from, a.ID, a.Len())
		}
		n := 0
		for slot := range a.Slots() {
			garbage()
			want := rate.Key{Account: a.ID, Subscription: "s", Tariff: fmt.Sprintf("tariff-%02d", n), Period: 1, Group: fmt.Sprintf("group-%02d", n)}
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

// someSlot makes many slots and returns one of them.
func someSlot(t *testing.T, accounts, each int, number uint32) *rate.Live {
	t.Helper()
	book := map[string]*rate.Account{}
	slab := rate.NewSlab(book)
	for i := range accounts {
		a := &rate.Account{ID: fmt.Sprint("account-", i)}
		book[a.ID] = a
		slab.Take(a)
	}
	for n := range each {
		terms := &rate.Terms{Subscription: "s", Tariff: fmt.Sprintf("tariff-%02d", n), Period: 1, Plan: &rate.Plan{}}
		slab.Keep(terms)
		for _, a := range book {
			l, group := slab.Add(), fmt.Sprintf("group-%02d", n)
			if err := slab.Name(l, a, terms, group); err != nil {
				t.Fatal(err)
			}
			slab.SetData(l, nil, slices.Repeat([]byte{byte(n)}, 500))
			at, _ := a.Find(terms, group)
			a.Insert(at, l)
		}
	}
	return slab.At(number)
}

// A slot refers to nothing but what its slab keeps.
func TestSlabRefusesStrangers(t *testing.T) {
	for name, strange := range map[string]func(*rate.Slab, *rate.Live, *rate.Account, *rate.Terms) error{
		"account": func(s *rate.Slab, l *rate.Live, _ *rate.Account, t *rate.Terms) error {
			return s.Name(l, &rate.Account{}, t, "")
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
			a, terms := &rate.Account{}, &rate.Terms{}
			s := rate.NewSlab(a)
			s.Take(a)
			s.Keep(terms)
			if err := strange(s, s.Add(), a, terms); err != rate.ErrNotKept { // as it is: none of those around the slab's own
				t.Error(err)
			}
		})
	}
}

// The garbage collector looks into no slot: one pointer, and it would read them all.
func TestSlotsHaveNoPointers(t *testing.T) {
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
}
