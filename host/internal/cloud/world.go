package cloud

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Meters is how many meters each account uses, and so how many slots it has.
const Meters = 10

// KeyUnits is the data field that holds an event's quantity, a whole number.
const KeyUnits = "units"

// AccountsMax is the most accounts that a world can have.
const AccountsMax = 10_000_000

// The shape of the usage: events in one month.
const (
	source          = "//meters.example.com/7"
	idPrefix        = "0192f0c1-"
	idBase          = 100_000_000 // so that ids are of one length
	keyRegion       = "region"
	quantityMax     = 9
	eventInterval   = 100 * time.Millisecond
	lateMax         = 48 * time.Hour
	span            = 28 * 24 * time.Hour // of event times; then they begin anew
	lateOne         = 50                  // one in lateOne is late
	repeatOne       = 100                 // one in repeatOne repeats an earlier event
	repeatWindow    = 50_000              // events behind which a recent one is looked for
	sweepStep       = 2_654_435_761       // a prime, so that its multiples visit every slot once
	tierOne         = 10                  // units at a meter's first price
	tierTwo         = 50                  // units at its first or second price
	amountsPerWhole = 10_000
)

// regions are values of a data field that events have besides their quantity.
var regions = [...]string{"eu-central-1", "us-east-1", "ap-south-1"}

// World is usage of a number of accounts.
type World struct {
	accounts int
	sweep    bool
	start    int64 // of the month, unix ns
	types    [Meters]string
}

// New makes a world of accounts 0 to accounts-1. With sweep its first events, as
// many as there are slots, use each slot once and repeat nothing; what follows is
// as without.
func New(accounts int, sweep bool) (*World, error) {
	if accounts < 1 || accounts > AccountsMax {
		return nil, fmt.Errorf("%d accounts: there must be 1 to %d", accounts, AccountsMax)
	}
	w := &World{accounts: accounts, sweep: sweep, start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()}
	for m := range w.types {
		w.types[m] = "com.example.usage.m" + strconv.Itoa(m)
	}
	return w, nil
}

// Accounts is how many accounts there are.
func (w *World) Accounts() int { return w.accounts }

// Slots is how many subtotals the world has once each has been used.
func (w *World) Slots() int { return w.accounts * Meters }

// choice is what an event says.
type choice struct {
	id                       int // of the event; that of another one when it repeats that
	account, meter, quantity int
	region                   int
	at                       int64 // event time, unix ns
}

// choose decides what the i-th event is.
func (w *World) choose(i int) choice {
	i = w.original(i)
	h := scramble(uint64(i))
	c := choice{id: i, quantity: 1 + int(h&0xffff%quantityMax), region: i % len(regions)}
	if w.swept(i) {
		slot := int(uint64(i) * sweepStep % uint64(w.Slots()))
		c.account, c.meter = slot/Meters, slot%Meters
	} else {
		c.account, c.meter = int(h>>32%uint64(w.accounts)), int(h>>16&0xffff%Meters)
	}
	c.at = w.start + int64(lateMax) + int64(time.Duration(i)*eventInterval%span)
	if i%lateOne == lateOne/2 {
		c.at -= int64(h >> 1 % uint64(lateMax))
	}
	return c
}

// swept reports whether the i-th event belongs to the sweep over all slots.
func (w *World) swept(i int) bool { return w.sweep && i < w.Slots() }

// original returns the number of the event that the i-th one repeats, i if it
// repeats none.
func (w *World) original(i int) int {
	if i%repeatOne != repeatOne-1 || w.swept(i) {
		return i
	}
	h := scramble(uint64(i) ^ 1<<63)
	behind := i
	if h&1 == 0 {
		behind = min(i, repeatWindow)
	}
	if i -= 1 + int(h>>1%uint64(behind)); i%repeatOne == repeatOne-1 && !w.swept(i) {
		i--
	}
	return i
}

// Repeats counts the events among the first n that repeat an earlier one.
func (w *World) Repeats(n int) int {
	if swept := min(n, w.Slots()); w.sweep {
		return n/repeatOne - swept/repeatOne
	}
	return n / repeatOne
}

// scramble is the finalizer of SplitMix64: numbers in order become numbers that
// look random.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Account returns the id of an account by its number.
func (w *World) Account(n int) billing.AccountID {
	return billing.AccountID(appendAccount(nil, n))
}

const accountPrefix, accountDigits = "account-", 7

func appendAccount(b []byte, n int) []byte {
	return appendPadded(append(b, accountPrefix...), n, accountDigits)
}

// appendPadded appends a number with leading zeros to so many digits.
func appendPadded(b []byte, n, digits int) []byte {
	at := len(b)
	for range digits {
		b = append(b, '0')
	}
	for k := at + digits - 1; n > 0 && k >= at; k-- {
		b[k] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// Event makes the i-th event in the vocabulary of everybody else. Messages makes
// the same ones much faster.
func (w *World) Event(i int) billing.UsageEvent {
	c := w.choose(i)
	return billing.UsageEvent{
		Source: source, ID: idPrefix + strconv.Itoa(idBase+c.id), Type: w.types[c.meter], Account: w.Account(c.account),
		Time: time.Unix(0, c.at).UTC(),
		Data: []billing.Field{{Key: keyRegion, Text: regions[c.region]}, {Key: KeyUnits, Text: strconv.Itoa(c.quantity)}},
	}
}

// Tiers are a meter's graduated prices.
type Tiers struct {
	UpTo  [2]int64 // units at the first price, and at the first two
	Price [3]int64 // of a unit, in ten-thousandths of the currency
}

// Tiers returns the prices of a meter.
func (w *World) Tiers(meter int) Tiers {
	return Tiers{UpTo: [2]int64{tierOne, tierTwo}, Price: [3]int64{int64(500 + meter), int64(300 + meter), int64(125 + meter)}}
}

// Amount prices units, in ten-thousandths of the currency.
func (t *Tiers) Amount(units int64) int64 {
	return min(units, t.UpTo[0])*t.Price[0] + max(0, min(units, t.UpTo[1])-t.UpTo[0])*t.Price[1] + max(0, units-t.UpTo[1])*t.Price[2]
}

// EventType is the type of the events of a meter.
func (w *World) EventType(meter int) string { return w.types[meter] }

// Catalog sells each meter by a graduated tariff, as YAML. Amounts keep all their
// digits, so that totals can be compared with sums.
func (w *World) Catalog() []byte {
	var b strings.Builder
	b.WriteString("billing: {close: manual}\nmeters:\n")
	for m, kind := range w.types {
		fmt.Fprintf(&b, "  - {name: m%d, event_type: %s, quantity: %s}\n", m, kind, KeyUnits)
	}
	b.WriteString("tariffs:\n")
	for m := range w.types {
		t := w.Tiers(m)
		fmt.Fprintf(&b, "  - name: t%d\n    meter: m%d\n    currency: EUR\n    rounding: {mode: none}\n    versions:\n", m, m)
		b.WriteString("      - effective_from: 2025-01-01T00:00:00Z\n        plugin: graduated\n")
		fmt.Fprintf(&b, `        params: {tiers: [{up_to: "%d", unit_price: "%s", flat_fee: "0"}, {up_to: "%d", unit_price: "%s", flat_fee: "0"}, {up_to: null, unit_price: "%s", flat_fee: "0"}]}`+"\n",
			t.UpTo[0], amountText(t.Price[0]), t.UpTo[1], amountText(t.Price[1]), amountText(t.Price[2]))
	}
	b.WriteString("default_subscriptions: [t0")
	for m := 1; m < Meters; m++ {
		fmt.Fprintf(&b, ", t%d", m)
	}
	b.WriteString("]\n")
	return []byte(b.String())
}

// amountText writes ten-thousandths as a decimal.
func amountText(n int64) string {
	return fmt.Sprintf("%d.%04d", n/amountsPerWhole, n%amountsPerWhole)
}

// Units adds up the quantities of the first n events the plain way, repeated
// events once: by account and meter.
func (w *World) Units(n int) [][Meters]int32 {
	units := make([][Meters]int32, w.accounts)
	for i := range n {
		if w.original(i) != i {
			continue
		}
		c := w.choose(i)
		units[c.account][c.meter] += int32(c.quantity)
	}
	return units
}

// Sums are what accounts owe, in ten-thousandths of the currency.
type Sums []int64

// Sums prices the first n events the plain way: what each account owes.
func (w *World) Sums(n int) Sums {
	sums := make(Sums, w.accounts)
	var tiers [Meters]Tiers
	for m := range tiers {
		tiers[m] = w.Tiers(m)
	}
	for a, units := range w.Units(n) {
		for m, n := range units {
			sums[a] += tiers[m].Amount(int64(n))
		}
	}
	return sums
}

// ErrDiffers is what Check returns for a total that is not the known sum.
var ErrDiffers = errors.New("a total differs from its known sum")

// Check compares an account's total with its known sum.
func (s Sums) Check(account int, total billing.Amount) error {
	want, err := billing.ParseAmount(amountText(s[account]))
	if err != nil {
		return err
	}
	if total != want {
		return fmt.Errorf("%w: account %d owes %s, not %s", ErrDiffers, account, want, total)
	}
	return nil
}

// Events makes events as producers hand them in. It is safe for concurrent use.
type Events struct {
	world    *World
	accounts []billing.AccountID
	data     [len(regions)][quantityMax + 1][]billing.Field
}

// NewEvents prepares the making of events.
func (w *World) NewEvents() *Events {
	e := &Events{world: w, accounts: make([]billing.AccountID, w.accounts)}
	for a := range e.accounts {
		e.accounts[a] = w.Account(a)
	}
	for r := range e.data {
		for q := range e.data[r] {
			e.data[r][q] = []billing.Field{{Key: keyRegion, Text: regions[r]}, {Key: KeyUnits, Text: strconv.Itoa(q)}}
		}
	}
	return e
}

// Make sets dst to the events from the i-th on. They share their data, which is
// not to be changed.
func (e *Events) Make(dst []billing.UsageEvent, i int) {
	var id []byte
	for n := range dst {
		c := e.world.choose(i + n)
		id = strconv.AppendInt(append(id[:0], idPrefix...), int64(idBase+c.id), 10)
		dst[n] = billing.UsageEvent{
			Source: source, ID: string(id), Type: e.world.types[c.meter], Account: e.accounts[c.account],
			Time: time.Unix(0, c.at).UTC(), Data: e.data[c.region][c.quantity],
		}
	}
}
