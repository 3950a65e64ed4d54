package host

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// recentEvents are the last days' events of an account, for a forecast.
type recentEvents struct {
	events []ingest.Event
	newest int64 // event time, unix ns
	many   bool  // there were more than are kept
}

// Bounds of what a forecast repeats.
const (
	forecastDays      = 7
	forecastDay       = 24 * time.Hour
	forecastEventsMax = 20_000  // of the last days
	forecastUsageMax  = 500_000 // events that are priced to make one
)

// add keeps a copy of an event.
func (r *recentEvents) add(e *ingest.Event) {
	r.newest = max(r.newest, e.Time)
	if len(r.events) == forecastEventsMax {
		since := r.newest - int64(forecastDays*forecastDay)
		r.events = slices.DeleteFunc(r.events, func(e ingest.Event) bool { return e.Time < since })
		if len(r.events) == forecastEventsMax {
			r.many, r.events = true, r.events[:0]
		}
	}
	if r.many {
		return
	}
	kept := *e
	kept.Source, kept.ID, kept.Type, kept.Account = strings.Clone(e.Source), strings.Clone(e.ID), strings.Clone(e.Type), strings.Clone(e.Account)
	kept.Data = slices.Clone(e.Data)
	for i := range kept.Data {
		kept.Data[i].Key, kept.Data[i].Text = strings.Clone(kept.Data[i].Key), strings.Clone(kept.Data[i].Text)
	}
	r.events = append(r.events, kept)
}

// between returns the events behind one time up to another, unix ns, by time.
func (r *recentEvents) between(from, until int64) []ingest.Event {
	var list []ingest.Event
	for i := range r.events {
		if t := r.events[i].Time; t > from && t <= until {
			list = append(list, r.events[i])
		}
	}
	slices.SortStableFunc(list, func(a, b ingest.Event) int { return cmp.Compare(a.Time, b.Time) })
	return list
}

// Forecast estimates what an account's period will come to at its end: the usage of
// the last days is repeated until then, and priced by the tariffs on a copy of the
// subtotals. Time is event time, up to the latest that the account's partition has
// seen, so that the same log makes the same forecast.
func (h *Host) Forecast(ctx context.Context, f query.Filter) (query.Forecast, error) {
	f.Latest = false
	w, err := h.wholeOf(f)
	if err != nil {
		return query.Forecast{}, err
	}
	out := query.Forecast{Period: w.period, AsOf: h.queries.AsOfHeader(w.partition.number, w.header)}
	if len(w.slots) == 0 {
		return out, nil
	}
	b := newBasis(w)
	out.SeenUntil = b.until
	switch {
	case w.final:
		return out, w.soFar(&out, "The period is closed: these are its final figures.")
	case !b.until.Before(w.period.End):
		return out, w.soFar(&out, "The period has ended and is not closed yet: only late usage may come.")
	case b.width == 0:
		return out, w.soFar(&out, "Less than an hour of the period has been seen, too little to tell.")
	}
	out.BasisStart = b.until.Add(-b.width)
	err = h.histories.use(ctx, w, func(fold *historyFold) error {
		usage := fold.recent.between(out.BasisStart.UnixNano(), b.until.UnixNano())
		if fold.recent.many || len(usage)*b.times(w.period.End) > forecastUsageMax {
			return w.linear(&out)
		}
		return h.repeated(ctx, fold, w, b, usage, &out)
	})
	return out, err
}

// basis is the usage that a forecast repeats: that of so many whole days, or hours
// where there is not one day yet, up to a time.
type basis struct {
	until time.Time
	width time.Duration
}

func newBasis(w *whole) basis {
	b := basis{until: w.period.End}
	if seen := time.Unix(0, w.header.Watermark); seen.Before(b.until) {
		b.until = seen
	}
	b.until = b.until.UTC()
	passed := b.until.Sub(w.period.Start)
	b.width = min(passed.Truncate(forecastDay), forecastDays*forecastDay)
	if b.width == 0 {
		b.width = max(0, passed.Truncate(time.Hour))
	}
	return b
}

// times is how often the usage is repeated until the end.
func (b basis) times(end time.Time) int {
	return int((end.Sub(b.until) + b.width - 1) / b.width)
}

// soFar makes the figures as they are the forecast.
func (w *whole) soFar(out *query.Forecast, why string) error {
	out.Method, out.Explanation = query.ForecastSoFar, why
	return w.estimate(out, func(k pricing) (billing.Amount, error) { return w.sums[k].amount, nil })
}

// linear scales the figures by time.
func (w *whole) linear(out *query.Forecast) error {
	start, end := w.period.Start, w.period.End
	out.Method, out.BasisStart = query.ForecastLinear, start
	out.Explanation = "What has come so far, times the period's length by the time that has passed: there is more usage than is repeated for a forecast."
	length := billing.DecimalFromInt(int64(end.Sub(start) / time.Second))
	passed := int64(out.SeenUntil.Sub(start) / time.Second)
	return w.estimate(out, func(k pricing) (billing.Amount, error) {
		s := w.sums[k]
		r := billing.Rounding{Scale: s.scale, Mode: billing.RoundHalfUp}
		if s.scale < 0 {
			r.Scale = billing.Scale
		}
		scaled, err := s.amount.D().MulQuo(length, passed, r)
		return billing.Amount(scaled), err
	})
}

// repeated prices the usage again and again until the period's end.
func (h *Host) repeated(ctx context.Context, fold *historyFold, w *whole, b basis, usage []ingest.Event, out *query.Forecast) error {
	out.Method = query.ForecastRepeated
	out.Explanation = fmt.Sprintf("The usage of the last %s, repeated until the period's end and priced by the tariffs.", daysText(b.width))
	ahead := side{rater: fold.rater, state: accumulate.NewState()}
	defer fold.rater.Forget() // it must not keep the slots of a state that nobody has any more
	fold.rater.Forget()
	for _, s := range w.slots {
		if err := ahead.state.Put(s); err != nil {
			return err
		}
	}
	end := w.period.End.UnixNano()
	var events []ingest.Event
	rateThem := func() error {
		priced, err := ahead.rater.Rate(ctx, ahead.state, events)
		if err != nil {
			return err
		}
		events = events[:0]
		return ahead.take(priced.Changes)
	}
	for shift := int64(b.width); shift <= int64(b.width)*int64(b.times(w.period.End)); shift += int64(b.width) {
		for i := range usage {
			e := usage[i]
			if e.Time += shift; e.Time >= end {
				break
			}
			if events = append(events, e); len(events) >= settleEvents {
				if err := rateThem(); err != nil {
					return err
				}
			}
		}
	}
	if err := rateThem(); err != nil {
		return err
	}
	amounts, err := h.finishAhead(ctx, fold, w, ahead.state)
	if err != nil {
		return err
	}
	return w.estimate(out, func(k pricing) (billing.Amount, error) { return amounts[k], nil })
}

// finishAhead closes the repeated usage as the end of the period will: fees and
// minimums of tariffs fall due.
func (h *Host) finishAhead(ctx context.Context, fold *historyFold, w *whole, state *accumulate.State) (map[pricing]billing.Amount, error) {
	slots, _ := state.Slots(w.account, accumulate.Latest)
	open := slices.DeleteFunc(slots, func(s *rate.Slot) bool { return s.Period != fold.start })
	for _, s := range open {
		for _, was := range w.slots {
			if was.Key == s.Key {
				s.CarryIn = was.CarryIn
			}
		}
	}
	open = due(fold.rater, w.account, w.calendar, w.period, open).slots
	finished, faults, err := fold.rater.Finish(ctx, open)
	if err != nil {
		return nil, err
	}
	amounts := map[pricing]billing.Amount{}
	for i, s := range finished {
		k := pricingOf(s.Plan)
		if faults[i] != nil {
			s = open[i] // its close would park the invoice; the figure without it stands
		}
		t, err := query.FromSlot(s)
		if err != nil {
			return nil, err
		}
		if amounts[k], err = amounts[k].Add(t.Amount); err != nil {
			return nil, err
		}
		if w.sums[k] == nil { // a subscription without usage so far
			w.sums[k] = &wholeSum{scale: max(s.Plan.Rounding.Scale, 0)}
			if s.Plan.Rounding.Mode == billing.RoundNone {
				w.sums[k].scale = -1
			}
		}
	}
	return amounts, nil
}

// estimate fills in the sums and their totals.
func (w *whole) estimate(out *query.Forecast, amount func(pricing) (billing.Amount, error)) error {
	totals := map[billing.Currency]*wholeSum{}
	for _, k := range slices.SortedFunc(maps.Keys(w.sums), pricing.compare) {
		s := w.sums[k]
		a, err := amount(k)
		if err != nil {
			return fmt.Errorf("host: forecast of account %q, tariff %q: %w", w.account, k.tariff, err)
		}
		out.Sums = append(out.Sums, query.ForecastSum{
			Tariff: k.tariff, Meter: k.meter, Currency: k.currency, SoFarText: s.text(s.amount), AmountText: s.text(a),
		})
		t := totals[k.currency]
		if t == nil {
			t = &wholeSum{scale: s.scale}
			totals[k.currency] = t
		}
		if t.amount, err = t.amount.Add(a); err != nil {
			return fmt.Errorf("host: forecast of account %q: %w", w.account, err)
		}
		if t.scale >= 0 && (s.scale < 0 || s.scale > t.scale) {
			t.scale = s.scale
		}
	}
	for _, currency := range slices.Sorted(maps.Keys(totals)) {
		t := totals[currency]
		out.Totals = append(out.Totals, query.Total{Currency: currency, Amount: t.amount, AmountText: t.text(t.amount)})
	}
	return nil
}

// daysText says how long a basis is.
func daysText(d time.Duration) string {
	n, unit := int(d/forecastDay), "day"
	if n == 0 {
		n, unit = int(d/time.Hour), "hour"
	}
	if n == 1 {
		return unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}
