package host

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// An alert fires when what an account comes to in an open billing period goes from
// below a threshold to it or beyond. The log alone decides which fire, and in which
// order, whatever the batches in which it is read: an account is looked at behind
// each event that changes it, behind each correction and behind each control message.
// So a batch with two events of a watched account is settled in two pieces.
//
// What was reached is part of the state, and the alert an entry of a checkpoint's log
// as a dead letter is. A crash takes both back, and the log brings both again.

// alertTimesMax is how often a threshold fires for an account and period. Where usage
// can be negative, it could be crossed with every event.
const alertTimesMax = 100

// act acts on a control message, and looks at the accounts that it has changed.
func (p *partition) act(ctx context.Context, control string, m stream.Message) error {
	before := p.catalog
	if err := p.control(ctx, control, m); err != nil {
		return err
	}
	cause := alertCause{kind: accumulate.AlertClose, position: m.Sequence, at: storedAt(&m)}
	if strings.HasPrefix(control, "catalog.") {
		cause.kind = accumulate.AlertCatalog
	}
	if err := p.alertOnControl(before, cause); err != nil {
		return err
	}
	if strings.HasPrefix(control, "close.") {
		for c, until := range p.state.Now().Closed {
			p.state.DropAlerted(c, until)
		}
	}
	return nil
}

// alertOnControl looks at the accounts that a control message has changed, at all of
// them where it has brought other alerts.
func (p *partition) alertOnControl(before *catalog.Catalog, cause alertCause) error {
	if !p.state.Tracks() {
		return nil
	}
	var accounts []*rate.Account
	p.state.Touched(func(a *rate.Account) { accounts = append(accounts, a) })
	if before == nil || before != p.catalog && !catalog.SameAlerts(before, p.catalog) {
		accounts = accounts[:0]
		p.state.EachAccount(func(a *rate.Account) { accounts = append(accounts, a) })
	}
	slices.SortFunc(accounts, func(a, b *rate.Account) int { return strings.Compare(a.ID(), b.ID()) })
	for _, a := range accounts {
		if err := p.alert(a, func() alertCause { return cause }); err != nil {
			return err
		}
	}
	return nil
}

// alertCause says what has changed an account.
type alertCause struct {
	kind     string // an accumulate.Alert constant
	position uint64
	at       int64 // when the log took that in, unix ns; rate.Forever where nobody knows
	event    *ingest.Event
}

// sighted are the watched accounts of a piece, by place. Its memory is used again
// and again.
type sighted struct {
	bits   []uint64
	places []uint16
}

// untilSighted returns how many of the first n pending events may be settled at
// once: no watched account has two of them. Two accounts that share a place are taken
// for one: the pieces do not change what comes of them.
func (p *partition) untilSighted(n int) int {
	if !p.state.Tracks() {
		return n
	}
	s := &p.sighted
	if s.bits == nil {
		s.bits = make([]uint64, (math.MaxUint16+1)/64)
	}
	for i := range p.pending.events[:n] {
		e := &p.pending.events[i]
		if e.Problem != nil || !p.catalog.Alerted(e.Type) || len(p.catalog.AlertsOf(billing.AccountID(e.Account))) == 0 {
			continue
		}
		place := accountPlace(e.AccountHash)
		if s.bits[place/64]>>(place%64)&1 != 0 {
			n = i
			break
		}
		s.bits[place/64] |= 1 << (place % 64)
		s.places = append(s.places, place)
	}
	for _, place := range s.places {
		s.bits[place/64] = 0
	}
	s.places = s.places[:0]
	return n
}

// alertOnUsage looks at the accounts that a piece of usage has changed.
func (p *partition) alertOnUsage(changes []rate.Change) (err error) {
	if !p.state.Tracks() {
		return nil
	}
	p.state.Touched(func(a *rate.Account) {
		if err != nil {
			return
		}
		err = p.alert(a, func() alertCause {
			at := slices.IndexFunc(changes, func(c rate.Change) bool { return c.Account == a })
			if at < 0 { // nothing of an open period can have changed
				return p.causeOf(0, accumulate.AlertUsage)
			}
			return p.causeOf(changes[at].First, accumulate.AlertUsage)
		})
	})
	return err
}

// alertOnCorrection looks at the account that the first pending event, a correction,
// has changed.
func (p *partition) alertOnCorrection() (err error) {
	if !p.state.Tracks() {
		return nil
	}
	p.state.Touched(func(a *rate.Account) {
		if err == nil {
			err = p.alert(a, func() alertCause { return p.causeOf(0, accumulate.AlertCorrection) })
		}
	})
	return err
}

// causeOf names a pending event as the cause.
func (p *partition) causeOf(i int, kind string) alertCause {
	carrier := p.pending.carrier(i)
	return alertCause{kind: kind, position: carrier.position, at: carrier.at, event: &p.pending.events[i]}
}

// alertSpan is an open period of an account.
type alertSpan struct {
	calendar   rate.Calendar
	start, end int64 // unix ns
	slots      []*rate.Live
}

// openSpans returns the open periods of an account, the oldest first.
func (p *partition) openSpans(a *rate.Account) []alertSpan {
	const apart = int64(62 * 24 * time.Hour) // more than two calendars' periods that overlap can lie
	var spans []alertSpan
	for i := a.Len() - 1; i >= 0; i-- {
		l := a.At(i)
		t := l.Terms()
		closed := p.state.ClosedUntil(t.Calendar)
		if t.PeriodEnd <= closed {
			if t.PeriodEnd <= closed-apart {
				break
			}
			continue
		}
		i := slices.IndexFunc(spans, func(s alertSpan) bool { return s.start == t.Period && s.calendar == t.Calendar })
		if i < 0 {
			i = len(spans)
			spans = append(spans, alertSpan{calendar: t.Calendar, start: t.Period, end: t.PeriodEnd})
		}
		spans[i].slots = append(spans[i].slots, l)
	}
	slices.Reverse(spans)
	return spans
}

// alert fires what an account has reached in its open periods.
func (p *partition) alert(a *rate.Account, cause func() alertCause) error {
	alerts := p.catalog.AlertsOf(billing.AccountID(a.ID()))
	if len(alerts) == 0 {
		return nil
	}
	for _, span := range p.openSpans(a) {
		was := p.state.AlertedOf(a.ID(), span.calendar, span.start)
		now := accumulate.Alerted{Account: a.ID(), Calendar: span.calendar, Period: span.start, PeriodEnd: span.end, Reached: slices.Clone(was.Reached)}
		changed := false
		for _, alert := range alerts {
			value, err := worth(alert, span.slots)
			if err != nil {
				continue // no amount can be so large: the invoice is parked for it, and that shows
			}
			for i := range alert.Thresholds {
				fires, moved := cross(&now, alert, i, value)
				changed = changed || moved
				if fires == 0 {
					continue
				}
				fired, err := firedAlert(a.ID(), &span, alert, i, value, fires, cause())
				if err == nil {
					err = p.state.AddAlert(fired)
				}
				if err != nil {
					return fmt.Errorf("host: partition %d: %w", p.number, err)
				}
			}
		}
		if changed {
			if err := p.state.SetAlerted(now); err != nil {
				return fmt.Errorf("host: partition %d: %w", p.number, err)
			}
		}
	}
	return nil
}

// worth is what an alert adds up: lines rounded one by one, as a subtotal shows them.
func worth(alert *catalog.Alert, slots []*rate.Live) (sum billing.Decimal, err error) {
	for _, l := range slots {
		plan := l.Terms().Plan
		if !alert.Counts(l.Terms().Tariff, plan.Meter, plan.Currency) {
			continue
		}
		for lines := l.Lines(); len(lines) >= rate.LineBytes; lines = lines[rate.LineBytes:] {
			line := rate.LineAt(lines)
			part := line.Quantity
			if alert.Measure == catalog.MeasureAmount {
				if part, err = line.Amount.Round(plan.Rounding); err != nil {
					return sum, err
				}
			}
			if sum, err = sum.Add(part); err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}

// cross notes on which side of its i-th threshold an alert's value is. It returns how
// often the threshold was reached with this time, 0 when it is not to be told, and
// whether the side is another one than before.
func cross(now *accumulate.Alerted, alert *catalog.Alert, i int, value billing.Decimal) (fires int, moved bool) {
	above := value.Cmp(alert.Thresholds[i]) >= 0
	if !above && len(now.Reached) == 0 {
		return 0, false
	}
	at := slices.IndexFunc(now.Reached, func(r accumulate.Reached) bool {
		return r.Threshold == alert.Texts[i] && r.Alert == alert.Name
	})
	if at < 0 {
		if !above {
			return 0, false
		}
		at = len(now.Reached)
		now.Reached = append(now.Reached, accumulate.Reached{Alert: alert.Name, Threshold: alert.Texts[i]})
	}
	r := &now.Reached[at]
	if r.Above == above || r.Times >= alertTimesMax {
		return 0, false
	}
	if r.Above = above; !above {
		return 0, true
	}
	r.Times++
	return r.Times, true
}

// calendarSuffix is what an alert's id says of a calendar that is not that of most
// accounts: an account that changes its time zone within a month has two periods of one
// id, and reaches thresholds in each.
func calendarSuffix(c rate.Calendar) string {
	if c.Zone == "UTC" && c.AnchorDay == 1 {
		return ""
	}
	return fmt.Sprintf(".%s.%d", billing.AccountID(c.Zone).Token(), c.AnchorDay)
}

// firedAlert makes the record of an alert.
func firedAlert(account string, span *alertSpan, alert *catalog.Alert, i int, value billing.Decimal, times int, cause alertCause) (*accumulate.Alert, error) {
	zone, err := span.calendar.Location()
	if err != nil {
		return nil, err
	}
	period := billing.Period{Start: time.Unix(0, span.start).In(zone), End: time.Unix(0, span.end).In(zone)}
	fired := &accumulate.Alert{
		ID: fmt.Sprintf("%s.%s.%s.%s.%d", alert.Name, billing.AccountID(account).Token(), period.ID(),
			strings.ReplaceAll(alert.Texts[i], ".", "_"), times) + calendarSuffix(span.calendar),
		Alert: alert.Name, Account: account,
		Period:  accumulate.AlertPeriod{ID: period.ID(), Start: period.Start.Format(time.RFC3339), End: period.End.Format(time.RFC3339)},
		Measure: string(alert.Measure), Currency: string(alert.Currency), Meter: alert.Meter, Tariffs: alert.Tariffs,
		Threshold: alert.Texts[i], Value: value.String(), Crossing: times, Cause: cause.kind, Position: cause.position,
	}
	if e := cause.event; e != nil {
		fired.Event = &accumulate.AlertEvent{Source: e.Source, ID: e.ID, Time: time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano)}
	}
	if cause.at != rate.Forever {
		fired.At = time.Unix(0, cause.at).UTC().Format(time.RFC3339Nano)
	}
	return fired, nil
}
