package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// percentile prices a percentile of the usage by windows of time, as bandwidth is sold: of all five-minute rates of
// the period, the 95th percentile leaves the highest 5 percent out. It is the nearest rank: the smallest value that
// at least so many percent of the windows do not exceed. What it comes to is known when the period ends.
var percentile = tariff.Tariff{
	Name:      "percentile",
	Title:     "A percentile of the usage by windows of time",
	Configure: configurePercentile,
}

// windowsMax is how many windows with usage a period may have: five-minute windows of a month.
const windowsMax = 9_000

func configurePercentile(c *tariff.Config) tariff.Pricer {
	p := c.Params
	readArrears(p)
	q := &windows{line: c.Line(usageLine, "Percentile of the usage")}
	q.percent = int64(p.Int("percentile", "Which one: 50 is the median, 95 is usual for bandwidth.", 1, 100))
	q.seconds = int64(p.IntOr("window_seconds", "The length of a window; windows begin with the period.", 1, 86_400, 300))
	q.value = p.ChoiceOr("value", "What counts in a window: the sum of its quantities, that per second, the largest, or the one that came last.",
		"sum", "sum", "per_second", "max", "latest")
	q.all = p.BoolOr("empty_windows", "Whether windows without usage count as 0.", true)
	q.price = p.Decimal("unit_price", "The price of one unit of the percentile.")
	q.unitRounding = p.Rounding("unit_rounding", "Rounding of the percentile that is shown; the amount is made of the exact one.")
	q.rounding = p.Rounding("rounding", tariff.AboutRounding)
	q.table = c.State.Numbers(windowsMax)
	return q
}

type windows struct {
	line                   tariff.Line
	table                  *tariff.Keyed // value by window
	percent, seconds       int64
	value                  string
	all                    bool
	price                  billing.Decimal
	unitRounding, rounding billing.Rounding
}

func (q *windows) Price(s *tariff.Slot, e *tariff.Event) error {
	if e.Time() < s.PeriodStart() || e.Time() >= s.PeriodEnd() {
		return tariff.Reject("outside_period", "the event's time lies outside the period")
	}
	key := tariff.KeyOfInt((e.Time() - s.PeriodStart()) / (q.seconds * 1_000_000_000))
	value, quantity := q.table.Number(s, key), e.Quantity().D()
	switch _, known := q.table.Mark(s, key); q.value {
	case "latest":
		value = quantity
	case "max":
		if !known || quantity.Cmp(value) > 0 {
			value = quantity
		}
	default:
		var err error
		if value, err = value.Add(quantity); err != nil {
			return err
		}
	}
	return q.table.SetNumber(s, key, 0, value)
}

func (q *windows) Finish(s *tariff.Slot) error {
	values := q.table.AppendNumbers(s, nil)
	count := int64(len(values))
	if q.all {
		length := (s.PeriodEnd() - s.PeriodStart()) / 1_000_000_000
		count = max((length+q.seconds-1)/q.seconds, count)
	}
	if count == 0 {
		return nil
	}
	rank := (q.percent*count + 99) / 100 // from 1, among all windows; the empty ones are 0
	value := ranked(values, rank, count-int64(len(values)))
	divisor := int64(1)
	if q.value == "per_second" {
		divisor = q.seconds
	}
	units, err := value.MulQuo(one, divisor, q.unitRounding)
	if err != nil {
		return err
	}
	amount, err := value.MulQuo(q.price, divisor, q.rounding)
	if err == nil {
		q.line.Set(s, billing.Quantity(units), billing.Amount(amount))
	}
	return err
}

// ranked returns the value of a rank, counted from 1, among values and a number of zeros. It changes their order.
func ranked(values []billing.Decimal, rank, zeros int64) billing.Decimal {
	below := int64(0)
	for i := range values {
		below += int64(uint64(values[i].Hi) >> 63) // the sign
	}
	switch {
	case rank <= below:
		return tariff.Nth(values, int(rank-1))
	case rank <= below+zeros:
		return billing.Decimal{}
	}
	return tariff.Nth(values, int(rank-zeros-1))
}
