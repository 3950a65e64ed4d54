package rate_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// Accounts of few and of many event types, some of which are refused: whatever an
// account has room for beside itself, and whoever's memory it takes over, each
// event goes to its own slot.
func TestManyTypesAndAccounts(t *testing.T) {
	const types, accounts, rounds = 80, 30, 2
	var yaml strings.Builder
	yaml.WriteString("meters:\n")
	for n := range types {
		fmt.Fprintf(&yaml, "  - {name: m%d, event_type: call.%d, quantity: seconds}\n", n, n)
	}
	yaml.WriteString("tariffs:\n")
	for n := range types {
		fmt.Fprintf(&yaml, "  - {name: t%d, meter: m%d, currency: EUR, versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: \"%d\"}}]}\n", n, n, n+1)
	}
	yaml.WriteString("accounts:\n  - {id: account-3, subscriptions: [{tariff: t5}, {tariff: t7}]}\ndefault_subscriptions: [t0")
	for n := 1; n < types; n++ {
		fmt.Fprintf(&yaml, ", t%d", n)
	}
	yaml.WriteString("]\n")
	var events []rate.Event
	refused := 0
	want := map[string]int64{} // quantity by account and tariff
	for i := range rounds * types * accounts {
		// Account a has 1 + 3a types, so that some have few slots and some many.
		a, n := i%accounts, i/accounts*7%types
		if n > 3*a {
			n %= 3*a + 1
		}
		e := event(fmt.Sprintf("account-%d", a), "seconds", fmt.Sprint(1+i%5))
		e.Type = fmt.Sprintf("call.%d", n)
		switch {
		case i%11 == 10: // refused, as the first event of an account that is never known
			e.Account, e.Data = fmt.Sprintf("nobody-%d", i), nil
			refused++
		case a == 3 && n != 5 && n != 7:
			refused++
		default:
			want[fmt.Sprintf("%s t%d", e.Account, n)] += int64(1 + i%5)
		}
		events = append(events, e)
	}
	for _, size := range []int{50, 1000, len(events)} {
		w := newWorld(t, yaml.String())
		if rejected := w.rate(events, size); len(rejected) != refused {
			t.Fatalf("batches of %d: %d events were refused, not %d: %+v", size, len(rejected), refused, rejected[0])
		}
		slots := w.book.byKey()
		if len(slots) != len(want) {
			t.Errorf("batches of %d: %d slots, want %d", size, len(slots), len(want))
		}
		for k, s := range slots {
			if got := s.Lines[0].Quantity; got != billing.DecimalFromInt(want[k.Account+" "+k.Tariff]) {
				t.Errorf("batches of %d: %s has %v of %s, want %d", size, k.Account, got, k.Tariff, want[k.Account+" "+k.Tariff])
			}
		}
	}
}

// What is read the short way is what billing reads.
func TestParseDecimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{0,8}(\.[0-9]{0,2})?[ +x/:]?`).Draw(t, "text")
		got, err := rate.ParseDecimal(text)
		want, wantErr := billing.ParseDecimal(text)
		if got != want || (err == nil) != (wantErr == nil) {
			t.Errorf("%q: %v, %v, want %v, %v", text, got, err, want, wantErr)
		}
	})
}

// Slots that grow out of the room beside them and shrink again keep what they are
// given.
func TestLiveData(t *testing.T) {
	plan := &rate.Plan{Lines: make([]rate.PlanLine, 2)}
	slots := rate.NewSlab()
	account, _ := slots.NewAccount("a")
	l := slots.Add()
	if err := slots.Name(l, account, slots.Terms(slots.Keep(&rate.Terms{Plan: plan})), ""); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.Byte(), 2*rate.LineBytes, 2*rate.LineBytes).Draw(t, "lines")
		state := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "state")
		slots.SetData(l, lines, state)
		if string(l.Lines()) != string(lines) || string(l.State()) != string(state) || len(l.Data()) != len(lines)+len(state) {
			t.Errorf("lines %x, state %x: have %x", lines, state, l.Data())
		}
	})
}
