package telco

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// weighted is an event type and how many of 100 events are of it.
type weighted struct {
	kind   string
	weight uint64
}

var (
	chargedTypes = []weighted{{"MESSAGE", 30}, {"DATA", 30}, {"CALL", 25}, {"MISC", 10}, {"PACK", 5}}
	ratedTypes   = []weighted{{"call", 40}, {"data", 35}, {"message", 25}}
)

// exchanges is the number of sources that events come from. Mode and seed are part of a source's name, so that the events
// of two worlds are not taken for each other.
const exchanges = 4

// occurrence is an event before anything is known of it but when it happens: the number of its month and its own number
// within that, which decide all the rest.
type occurrence struct {
	month  int
	number uint64
	at     time.Time
}

func (o occurrence) chance(c Config) chance {
	return chanceOf(c.Seed, forEvents, uint64(o.month)<<40|o.number)
}

// delayDraws is how many numbers of an occurrence's chance its delay takes.
const delayDraws = 2

// delay returns how long after its time the event arrives. The sequence counts all events by their time, from 0.
func (o occurrence) delay(c Config, sequence int64) time.Duration {
	const (
		lateEvery   = 51
		lateMax     = 72 * time.Hour // never quite reached, so a grace of as much waits for all
		disorderOf  = 10
		disorderMax = 12 * time.Hour
	)
	chance := o.chance(c)
	longest := time.Duration(0)
	if chance.below(disorderOf) == 0 {
		longest = disorderMax
	}
	if sequence%lateEvery == lateEvery-1 {
		longest = lateMax
	}
	return time.Duration(chance.below(uint64(longest/time.Millisecond))) * time.Millisecond
}

// event makes the event of an occurrence.
func (o occurrence) event(c Config) billing.UsageEvent {
	customer, k := int(o.number%uint64(c.Customers)), o.number/uint64(c.Customers)
	chance := o.chance(c)
	for range delayDraws {
		chance.Uint64()
	}
	e := billing.UsageEvent{
		Source:  fmt.Sprintf("//%s-%d.telco.example/exchange-%d", c.Mode, c.Seed, 1+chance.below(exchanges)),
		Account: c.Account(customer),
		Time:    o.at,
	}
	e.ID = fmt.Sprintf("%s-%s-%06d", e.Account, o.at.Format("2006-01"), k+1)
	types := chargedTypes
	if c.Mode == Rated {
		types = ratedTypes
	}
	e.Type = pick(types, chance.below(100))
	if c.Mode == Rated {
		e.Data = used(e.Type, o.at, &chance)
		return e
	}
	// Number of the customer's month, unique in the world.
	month := uint64(o.month)*uint64(c.Customers) + uint64(customer)
	amount := share(uint64(c.sumCents(customer)), k, uint64(c.EventsPerMonth), c.Seed, month)
	e.Data = []billing.Field{{Key: "amount", Text: cents(int64(amount)).String()}}
	return e
}

func pick(types []weighted, n uint64) string {
	for _, t := range types {
		if n < t.weight {
			return t.kind
		}
		n -= t.weight
	}
	return types[0].kind
}

// used draws what a Rated event of a type says.
func used(kind string, at time.Time, c *chance) []billing.Field {
	const (
		secondsMax   = 3_600
		kilobytesMax = 400_000
	)
	switch kind {
	case "call":
		seconds := 1 + min(c.below(secondsMax), c.below(secondsMax)) // short calls are more frequent
		return []billing.Field{{Key: "band", Text: Band(at)}, {Key: "seconds", Text: strconv.FormatUint(seconds, 10)}}
	case "data":
		return []billing.Field{{Key: "megabytes", Text: thousandths(int64(1 + c.below(kilobytesMax))).String()}}
	default:
		return nil // a message counts one
	}
}

// Band returns the rate band of a call that begins at t: "peak" on weekdays from 08:00 to 20:00 UTC, else "off_peak".
func Band(t time.Time) string {
	t = t.UTC()
	weekend := t.Weekday() == time.Saturday || t.Weekday() == time.Sunday
	if weekend || t.Hour() < 8 || t.Hour() >= 20 {
		return "off_peak"
	}
	return "peak"
}
