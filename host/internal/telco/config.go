package telco

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Currency is what all of the world is charged in.
const Currency billing.Currency = "EUR"

// Mode says what the events carry.
type Mode uint8

const (
	// Charged events are of the types MESSAGE, DATA, CALL, PACK and MISC and carry an amount.
	Charged Mode = iota
	// Rated events are of the types call, data and message and carry what was used.
	Rated
)

var modes = [...]string{Charged: "charged", Rated: "rated"}

// ParseMode returns the mode with the given name, "charged" or "rated".
func ParseMode(name string) (Mode, error) {
	for m := range modes {
		if modes[m] == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("mode %q is not known: it is charged or rated", name)
}

// String returns the mode's name.
func (m Mode) String() string { return modes[m] }

// Limits of a Config.
const (
	MonthsMax         = 1_200
	CustomersMax      = 1_000_000
	EventsPerMonthMax = 10_000_000
	eventsMax         = 1 << 32 // in a month, of all customers
)

// Config says which world to make. Equal Configs make equal worlds, event by event.
type Config struct {
	Mode           Mode
	Start          time.Time // an instant in the first month, which is the calendar month (UTC) around it
	Months         int       // 1 to MonthsMax
	Customers      int       // 1 to CustomersMax; the first nine have names
	EventsPerMonth int       // of each customer, 1 to EventsPerMonthMax
	Seed           uint64
}

// DefaultConfig is a small world: the nine customers, one month, 100 events each.
func DefaultConfig() Config {
	return Config{
		Mode: Charged, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Months: 1, Customers: len(named), EventsPerMonth: 100, Seed: 1,
	}
}

// Validate returns every reason, joined, why the world cannot be made.
func (c Config) Validate() error {
	var problems []error
	if int(c.Mode) >= len(modes) {
		problems = append(problems, fmt.Errorf("mode %d is not known", c.Mode))
	}
	for _, n := range [...]struct {
		what       string
		value, max int
	}{{"months", c.Months, MonthsMax}, {"customers", c.Customers, CustomersMax}, {"events per month", c.EventsPerMonth, EventsPerMonthMax}} {
		if n.value < 1 || n.value > n.max {
			problems = append(problems, fmt.Errorf("%s must be 1 to %d, is %d", n.what, n.max, n.value))
		}
	}
	if first, last := c.Start.UTC().Year(), c.Start.UTC().AddDate(0, max(0, min(c.Months, MonthsMax)), 0).Year(); first < 1970 || last > 2200 {
		problems = append(problems, fmt.Errorf("months must lie in the years 1970 to 2200, are from %d to %d", first, last))
	}
	if int64(c.Customers)*int64(c.EventsPerMonth) > eventsMax && len(problems) == 0 {
		problems = append(problems, fmt.Errorf("%d customers with %d events are too many for one month", c.Customers, c.EventsPerMonth))
	}
	return errors.Join(problems...)
}

// month returns the first instant of month m, counted from 0. The month ends where the next one begins.
func (c Config) month(m int) time.Time {
	start := c.Start.UTC()
	return time.Date(start.Year(), start.Month()+time.Month(m), 1, 0, 0, 0, 0, time.UTC)
}

// Period returns month m, counted from 0, as a billing period.
func (c Config) Period(m int) billing.Period {
	return billing.Period{Start: c.month(m), End: c.month(m + 1)}
}

// Total returns how many events there are.
func (c Config) Total() int64 {
	return int64(c.Months) * int64(c.Customers) * int64(c.EventsPerMonth)
}

// named are the customers with names and what each pays a month, in cents.
var named = [...]struct {
	account billing.AccountID
	cents   int64
}{
	{"emma", 100_00},
	{"olivia", 80_00},
	{"sophia", 120_00},
	{"ava", 60_00},
	{"isa", 20_00},
	{"noah", 200_00},
	{"william", 250_00},
	{"liam", 30_00},
	{"jacob", 40_00},
}

// Account returns customer i, counted from 0: emma, olivia and so on, then customer-10, customer-11 and so on.
func (c Config) Account(i int) billing.AccountID {
	if i < len(named) {
		return named[i].account
	}
	return billing.AccountID(fmt.Sprintf("customer-%d", i+1))
}

// Sum returns what customer i, counted from 0, pays in each month of a Charged world. Beyond the named ones it is between
// 10.00 and 249.99, by number.
func (c Config) Sum(i int) billing.Amount {
	return billing.Amount(cents(c.sumCents(i)))
}

func (c Config) sumCents(i int) int64 {
	if i < len(named) {
		return named[i].cents
	}
	return 10_00 + int64(i)*7_919%240_00
}

// cents returns n hundredths, n being none below zero.
func cents(n int64) billing.Decimal { return scaled(n, 10_000_000_000_000_000) }

// thousandths does the same for thousandths.
func thousandths(n int64) billing.Decimal { return scaled(n, 1_000_000_000_000_000) }

// scaled returns n × units / 10^18. Any n of an int64 fits.
func scaled(n int64, units uint64) billing.Decimal {
	hi, lo := bits.Mul64(uint64(n), units)
	return billing.Decimal{Hi: int64(hi), Lo: lo}
}
