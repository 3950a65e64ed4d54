package query

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// matcher returns the test that a filter makes of an account's slots.
func (f Filter) matcher(slots []*rate.Slot) (func(*rate.Slot) bool, error) {
	newest := rate.Beginning
	for _, s := range slots {
		newest = max(newest, s.Period)
	}
	zones := map[rate.Calendar]*time.Location{}
	for _, s := range slots {
		if zones[s.Calendar] == nil {
			zone, err := time.LoadLocation(s.Calendar.Zone)
			if err != nil {
				return nil, fmt.Errorf("query: time zone of account %q: %w", s.Account, err)
			}
			zones[s.Calendar] = zone
		}
	}
	starts := map[rate.Calendar]int64{}
	if f.Period != "" {
		if _, err := (billing.Calendar{Zone: time.UTC, AnchorDay: 1}).Parse(f.Period); err != nil && len(f.Period) != len("2026-10-01") {
			return nil, fmt.Errorf("%w: period %q: write 2026-10 or the start date 2026-10-01", ErrInvalid, f.Period)
		}
		for c, zone := range zones {
			p, err := billing.Calendar{Zone: zone, AnchorDay: c.AnchorDay}.Parse(f.Period)
			if err != nil {
				starts[c] = rate.Beginning // this calendar has no such period
				continue
			}
			starts[c] = p.Start.UnixNano()
		}
	}
	return func(s *rate.Slot) bool {
		switch {
		case f.Period == "" && s.Period != newest,
			f.Period != "" && s.Period != starts[s.Calendar],
			f.Account != "" && s.Account != string(f.Account),
			f.Tariff != "" && s.Tariff != f.Tariff,
			f.Meter != "" && s.Plan.Meter != f.Meter,
			f.Currency != "" && s.Plan.Currency != f.Currency:
			return false
		}
		return true
	}, nil
}

// Select returns those of an account's slots that the filter selects.
func (f Filter) Select(slots []*rate.Slot) ([]*rate.Slot, error) {
	match, err := f.matcher(slots)
	if err != nil {
		return nil, err
	}
	var selected []*rate.Slot
	for _, s := range slots {
		if match(s) {
			selected = append(selected, s)
		}
	}
	return selected, nil
}

// FromSlot shows a slot as a subtotal: its lines rounded as on the invoice.
func FromSlot(s *rate.Slot) (Subtotal, error) {
	zone, err := time.LoadLocation(s.Calendar.Zone)
	if err != nil {
		return Subtotal{}, fmt.Errorf("query: time zone of account %q: %w", s.Account, err)
	}
	t := Subtotal{
		Account: billing.AccountID(s.Account), Subscription: s.Subscription, Tariff: s.Tariff,
		Meter: s.Plan.Meter, Currency: s.Plan.Currency,
		Version: time.Unix(0, s.Version).UTC(), Module: s.Plan.Module,
		Period: billing.Period{Start: time.Unix(0, s.Period).In(zone), End: time.Unix(0, s.PeriodEnd).In(zone)},
		Events: s.Events, Final: s.Final,
	}
	if s.Events > 0 {
		t.LastEventTime = time.Unix(0, s.LastTime).UTC()
	}
	values, err := rate.DecodeGroup(s.Group)
	if err != nil || len(values) != len(s.Plan.GroupBy) {
		return Subtotal{}, fmt.Errorf("query: slot of account %q has %d group values for %d dimensions", s.Account, len(values), len(s.Plan.GroupBy))
	}
	for i, v := range values {
		t.Group = append(t.Group, billing.Field{Key: s.Plan.GroupBy[i], Text: v})
	}
	for i, l := range s.Lines {
		line := Line{Quantity: billing.Quantity(l.Quantity)}
		if i < len(s.Plan.Lines) {
			line.ID, line.Description = s.Plan.Lines[i].ID, s.Plan.Lines[i].Description
		}
		if line.Amount, err = billing.Amount(l.Amount).Round(s.Plan.Rounding); err != nil {
			return Subtotal{}, fmt.Errorf("query: account %q, tariff %q, line %s: %w", s.Account, s.Tariff, line.ID, err)
		}
		line.AmountText = amountText(line.Amount, s.Plan.Rounding)
		if t.Amount, err = t.Amount.Add(line.Amount); err != nil {
			return Subtotal{}, fmt.Errorf("query: account %q, tariff %q: %w", s.Account, s.Tariff, err)
		}
		t.Lines = append(t.Lines, line)
	}
	t.AmountText = amountText(t.Amount, s.Plan.Rounding)
	return t, nil
}

// amountText prints an amount at its rounding scale, an unrounded one without
// trailing zeros.
func amountText(a billing.Amount, r billing.Rounding) string {
	if r.Mode == billing.RoundNone || r.Scale < 0 {
		return a.String()
	}
	return a.Fixed(r.Scale)
}

// add appends a slot's subtotal to the answer.
func (q *Subtotals) add(s *rate.Slot) error {
	t, err := FromSlot(s)
	if err != nil {
		return err
	}
	q.Subtotals = append(q.Subtotals, t)
	q.last = s.Key
	if q.scales == nil {
		q.scales = map[billing.Currency]int{}
	}
	scale := max(q.scales[t.Currency], s.Plan.Rounding.Scale)
	if s.Plan.Rounding.Mode == billing.RoundNone || q.scales[t.Currency] < 0 {
		scale = -1 // some line keeps all its digits, so does the total
	}
	q.scales[t.Currency] = scale
	return nil
}

// total sums the answer's subtotals by currency, in order of first appearance. A
// sum that no amount can hold is left out.
func (q *Subtotals) total() error {
	at, overflown := map[billing.Currency]int{}, map[billing.Currency]bool{}
	for _, t := range q.Subtotals {
		i, ok := at[t.Currency]
		if !ok {
			i = len(q.Totals)
			at[t.Currency] = i
			q.Totals = append(q.Totals, Total{Currency: t.Currency})
		}
		sum, err := q.Totals[i].Amount.Add(t.Amount)
		if err != nil {
			overflown[t.Currency] = true // the others' subtotals are still there to be read
			continue
		}
		q.Totals[i].Amount = sum
	}
	q.Totals = slices.DeleteFunc(q.Totals, func(t Total) bool { return overflown[t.Currency] })
	for i := range q.Totals {
		t := &q.Totals[i]
		if scale := q.scales[t.Currency]; scale >= 0 {
			t.AmountText = t.Amount.Fixed(scale)
		} else {
			t.AmountText = t.Amount.String()
		}
	}
	return nil
}

// encodeToken makes the page token that continues behind a key. cut has the
// positions of the first page.
func encodeToken(k rate.Key, cut []uint64) (string, error) {
	b, err := json.Marshal(tokenJSON{k.Account, k.Subscription, k.Tariff, k.Version, k.Period, []byte(k.Group), cut})
	if err != nil {
		return "", fmt.Errorf("query: page token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// tokenJSON is a page token: groups are bytes, not text.
type tokenJSON struct {
	Account, Subscription, Tariff string
	Version, Period               int64
	Group                         []byte
	Cut                           []uint64
}

// decodeToken reads a page token; the empty one stands before every key.
func decodeToken(token string) (rate.Key, []uint64, error) {
	if token == "" {
		return rate.Key{Period: rate.Beginning, Version: rate.Beginning}, nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	var k tokenJSON
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		return rate.Key{}, nil, fmt.Errorf("%w: page_token: not one that a list has returned", ErrInvalid)
	}
	return rate.Key{Account: k.Account, Subscription: k.Subscription, Tariff: k.Tariff, Version: k.Version, Period: k.Period, Group: string(k.Group)}, k.Cut, nil
}
