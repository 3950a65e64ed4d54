package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// level is weighted_sum and prorated_sum: a level that events raise and lower counts by how long it lasted. One that
// is reached in the period lasts to its end, unless a further event says otherwise; what was there before lasted from
// the start.
type level struct {
	running tariff.QuantityCell // the level reached, without initial
	area    tariff.QuantityCell // of this period's events: quantity times seconds or days that are left
	begun   tariff.IntCell
	days    bool
	initial billing.Decimal
}

// span is the length of the period, in seconds or days.
func (l *level) span(s *tariff.Slot) int64 {
	if l.days {
		return tariff.DaysBetween(s.PeriodStart(), s.PeriodEnd())
	}
	return s.PeriodEnd()/1_000_000_000 - s.PeriodStart()/1_000_000_000
}

// left is what of the period is left at an instant: with days, that of the instant included.
func (l *level) left(s *tariff.Slot, instant int64) int64 {
	instant = min(max(instant, s.PeriodStart()), s.PeriodEnd())
	if l.days {
		return tariff.DaysBetween(instant, s.PeriodEnd())
	}
	return s.PeriodEnd()/1_000_000_000 - instant/1_000_000_000
}

// active returns what of the period is left where the subscription begins under this version of the tariff, and where
// it ends: a level counts in between. With days, that of a change counts to what comes behind it.
func (l *level) active(s *tariff.Slot) (first, behind int64) {
	return l.left(s, s.ActiveFrom()), l.left(s, s.ActiveUntil())
}

// begin takes over what was left to the slot, from its first instant on.
func (l *level) begin(s *tariff.Slot) error {
	if l.begun.Get(s) != 0 {
		return nil
	}
	l.begun.Set(s, 1)
	first, _ := l.active(s)
	area, err := l.running.Get(s).D().Mul(billing.DecimalFromInt(first), billing.Rounding{})
	if err == nil {
		l.area.Set(s, billing.Quantity(area))
	}
	return err
}

func (l *level) add(s *tariff.Slot, e *tariff.Event) error {
	if err := l.begin(s); err != nil {
		return err
	}
	area, err := e.Quantity().D().Mul(billing.DecimalFromInt(l.left(s, e.Time())), billing.Rounding{})
	if err != nil {
		return err
	}
	if _, err := l.area.Add(s, billing.Quantity(area)); err != nil {
		return err
	}
	_, err = l.running.Add(s, e.Quantity())
	return err
}

func (l *level) units(s *tariff.Slot) (billing.Decimal, int64, error) {
	if err := l.begin(s); err != nil {
		return billing.Decimal{}, 1, err
	}
	first, behind := l.active(s)
	area, err := l.initial.Mul(billing.DecimalFromInt(first), billing.Rounding{})
	if err == nil {
		area, err = area.Add(l.area.Get(s).D())
	}
	if err != nil || behind == 0 {
		return area, l.span(s), err
	}
	// Events count to the end of the period, since it may be said later that the subscription ends before.
	ended, err := l.running.Get(s).D().Add(l.initial)
	if err == nil {
		ended, err = ended.Mul(billing.DecimalFromInt(behind), billing.Rounding{})
	}
	if err == nil {
		area, err = area.Sub(ended)
	}
	return area, l.span(s), err
}

// unique is unique_count and prorated_unique_count: keys that are active, or the days on which they were.
type unique struct {
	key, op  tariff.Dimension
	hasKey   bool
	hasOp    bool
	table    *tariff.Keyed // mark: active, and the day from or until which the key is counted
	active   tariff.IntCell
	days     tariff.QuantityCell // pairs of key and day, active keys counted to the end of the period
	begun    tariff.IntCell
	prorated bool
	initial  billing.Decimal
}

// dayMask is the part of a mark that holds a day, counted from that of the period's start.
const dayMask = tariff.MarkCarried - 1

// claim claims what counting keys needs. Prorated, keys always go on into the next period: a key is active until it is
// removed.
func (u *unique) claim(c *tariff.Config, cells *tariff.Cells, most int) {
	u.active, u.days, u.begun = c.State.Int(), c.State.Quantity(), c.State.Int()
	if u.prorated {
		cells = c.Carry
	}
	if cells == c.Carry {
		most = min(most, tariff.CarriedMax)
	}
	u.table = cells.Marks(most)
}

// begin takes over the keys that were left to the slot: all are active, from its first instant on.
func (u *unique) begin(s *tariff.Slot) {
	if u.begun.Get(s) != 0 {
		return
	}
	u.begun.Set(s, 1)
	active := int64(u.table.Len(s))
	u.active.Set(s, active)
	first, _ := u.lasts(s)
	u.days.Set(s, billing.Quantity(billing.DecimalFromInt(active*first)))
}

// lasts returns how many days of the period are left where the subscription begins under this version of the tariff,
// and where it ends; the day of a change counts to what comes behind it.
func (u *unique) lasts(s *tariff.Slot) (first, behind int64) {
	return tariff.DaysBetween(max(s.ActiveFrom(), s.PeriodStart()), s.PeriodEnd()),
		tariff.DaysBetween(max(s.ActiveUntil(), s.PeriodStart()), s.PeriodEnd())
}

func (u *unique) span(s *tariff.Slot) int64 {
	return tariff.DaysBetween(s.PeriodStart(), s.PeriodEnd())
}

func (u *unique) add(s *tariff.Slot, e *tariff.Event) error {
	text := e.Value(u.key)
	if text == "" {
		return tariff.Reject("no_key", "the event has no key")
	}
	remove := false
	if u.hasOp {
		switch e.Value(u.op) {
		case "", "add":
		case "remove":
			remove = true
		default:
			return tariff.Reject("bad_op", "op is neither add nor remove")
		}
	}
	u.begin(s)
	key, span := tariff.KeyOfText(text), u.span(s)
	mark, _ := u.table.Mark(s, key)
	isActive, day := mark&tariff.MarkCarried != 0, int64(mark&dayMask)
	if isActive != remove {
		return nil // there already, or gone already
	}
	today := min(max(tariff.DayOf(e.Time())-tariff.DayOf(s.PeriodStart()), 0), span-1)
	if remove {
		day = max(day, today+1) // its own day counts
		u.active.Set(s, u.active.Get(s)-1)
	} else {
		day = max(day, today)
		u.active.Set(s, u.active.Get(s)+1)
	}
	step := billing.Quantity(billing.DecimalFromInt(span - day))
	var err error
	if remove {
		if step, err = step.Neg(); err != nil {
			return err
		}
	}
	if _, err := u.days.Add(s, step); err != nil {
		return err
	}
	mark = uint32(day) & dayMask
	if !remove {
		mark |= tariff.MarkCarried
	}
	return u.table.SetMark(s, key, mark)
}

func (u *unique) units(s *tariff.Slot) (billing.Decimal, int64, error) {
	u.begin(s)
	if !u.prorated {
		value, err := billing.DecimalFromInt(u.active.Get(s)).Add(u.initial)
		return value, 1, err
	}
	first, behind := u.lasts(s)
	days, err := u.initial.Mul(billing.DecimalFromInt(first-behind), billing.Rounding{})
	if err == nil {
		days, err = days.Add(u.days.Get(s).D())
	}
	if err == nil { // active keys count to the end of the period until here
		days, err = days.Sub(billing.DecimalFromInt(u.active.Get(s) * behind))
	}
	return days, u.span(s), err
}
