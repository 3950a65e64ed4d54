package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/sdk/billing"
)

// The shape of the usage: events as a cloud's meters send them, in one month.
const (
	meters          = 10
	messageEvents   = 100 // events in an array and in a packed batch
	quantityMax     = 9
	eventInterval   = 100 * time.Millisecond
	tierOne         = 10 // units at a meter's first price
	tierTwo         = 50 // units at its first or second price
	amountsPerWhole = 10_000
)

// regions are values of a data field that events have besides their quantity.
var regions = [...]string{"eu-central-1", "us-east-1", "ap-south-1"}

// workload is usage of which every total is known by construction: the events
// of a number are always the same, and their quantities are small integers.
type workload struct {
	accounts []billing.AccountID
	types    [meters]string
	start    time.Time
}

func newWorkload(accounts int) *workload {
	w := &workload{accounts: make([]billing.AccountID, accounts), start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i := range w.accounts {
		w.accounts[i] = billing.AccountID(fmt.Sprintf("account-%06d", i))
	}
	for m := range w.types {
		w.types[m] = fmt.Sprintf("com.example.usage.m%d", m)
	}
	return w
}

// choice is what an event is about.
type choice struct{ account, meter, quantity int }

// choose scatters events over accounts and meters: consecutive ones have
// nothing in common.
func (w *workload) choose(i int) choice {
	h := scramble(uint64(i))
	return choice{
		account: int(h >> 32 % uint64(len(w.accounts))), meter: int(h >> 16 & 0xffff % meters), quantity: 1 + int(h&0xffff%quantityMax),
	}
}

// scramble is the finalizer of SplitMix64: numbers in order become numbers that
// look random.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// event makes the i-th event and says in which partition it belongs.
func (w *workload) event(i, partitions int) (billing.UsageEvent, int) {
	c := w.choose(i)
	account := w.accounts[c.account]
	return billing.UsageEvent{
		Source: "//meters.example.com/7", ID: "0192f0c1-" + strconv.Itoa(100_000_000+i), Type: w.types[c.meter], Account: account,
		// The month has room for 26 million events at this pace; then it begins anew.
		Time: w.start.Add(time.Duration(i) * eventInterval % (30 * 24 * time.Hour)),
		Data: []billing.Field{{Key: "region", Text: regions[i%len(regions)]}, {Key: "units", Text: strconv.Itoa(c.quantity)}},
	}, billing.Partition(account, partitions)
}

// prices are a meter's three prices, in amountsPerWhole of a euro.
func prices(meter int) [3]int64 {
	return [3]int64{int64(500 + meter), int64(300 + meter), int64(125 + meter)}
}

// catalog sells each meter by a graduated tariff. Amounts keep all their
// digits, so that totals can be compared with sums.
func (w *workload) catalog() []catalog.File {
	var b strings.Builder
	b.WriteString("billing: {close: manual}\nmeters:\n")
	for m, kind := range w.types {
		fmt.Fprintf(&b, "  - {name: m%d, event_type: %s, quantity: units}\n", m, kind)
	}
	b.WriteString("tariffs:\n")
	for m := range w.types {
		p := prices(m)
		fmt.Fprintf(&b, "  - name: t%d\n    meter: m%d\n    currency: EUR\n    rounding: {mode: none}\n    versions:\n", m, m)
		fmt.Fprintf(&b, "      - effective_from: 2025-01-01T00:00:00Z\n        plugin: "+tariffName+"\n        params: {tiers: [")
		fmt.Fprintf(&b, `{up_to: "%d", unit_price: "%s", flat_fee: "0"}, {up_to: "%d", unit_price: "%s", flat_fee: "0"}, {up_to: null, unit_price: "%s", flat_fee: "0"}]}`+"\n",
			tierOne, amountText(p[0]), tierTwo, amountText(p[1]), amountText(p[2]))
	}
	b.WriteString("default_subscriptions: [t0")
	for m := 1; m < meters; m++ {
		fmt.Fprintf(&b, ", t%d", m)
	}
	b.WriteString("]\n")
	return []catalog.File{{Name: "bench.yaml", Data: []byte(b.String())}}
}

// amountText writes an amount in amountsPerWhole of a euro as a decimal.
func amountText(n int64) string {
	return fmt.Sprintf("%d.%04d", n/amountsPerWhole, n%amountsPerWhole)
}

// sums prices the first n events the plain way: what each account owes.
func (w *workload) sums(n int) ([]billing.Amount, error) {
	units := make([][meters]int64, len(w.accounts))
	for i := range n {
		c := w.choose(i)
		units[c.account][c.meter] += int64(c.quantity)
	}
	sums := make([]billing.Amount, len(w.accounts))
	for a := range units {
		var total int64
		for m, n := range units[a] {
			p := prices(m)
			total += min(n, tierOne)*p[0] + max(0, min(n, tierTwo)-tierOne)*p[1] + max(0, n-tierTwo)*p[2]
		}
		sum, err := billing.ParseAmount(amountText(total))
		if err != nil {
			return nil, err
		}
		sums[a] = sum
	}
	return sums, nil
}
