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
	starts, err := f.starts(slots)
	if err != nil {
		return nil, err
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

// starts returns when the period begins that the filter names, by calendar, unix ns;
// nil when it names none.
func (f Filter) starts(slots []*rate.Slot) (map[rate.Calendar]int64, error) {
	if f.Period == "" {
		return nil, nil
	}
	if _, err := (billing.Calendar{Zone: time.UTC, AnchorDay: 1}).Parse(f.Period); err != nil && len(f.Period) != len("2026-10-01") {
		return nil, fmt.Errorf("%w: period %q: write 2026-10 or the start date 2026-10-01", ErrInvalid, f.Period)
	}
	starts := map[rate.Calendar]int64{}
	for _, s := range slots {
		if _, known := starts[s.Calendar]; known {
			continue
		}
		zone, err := s.Calendar.Location()
		if err != nil {
			return nil, fmt.Errorf("query: account %q: %w", s.Account, err)
		}
		starts[s.Calendar] = rate.Beginning // should this calendar have no such period
		if p, err := (billing.Calendar{Zone: zone, AnchorDay: s.Calendar.AnchorDay}).Parse(f.Period); err == nil {
			starts[s.Calendar] = p.Start.UnixNano()
		}
	}
	return starts, nil
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
	zone, err := s.Calendar.Location()
	if err != nil {
		return Subtotal{}, fmt.Errorf("query: account %q: %w", s.Account, err)
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
	t.Lines = make([]Line, 0, len(s.Lines))
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
	q.count(s, t.Amount)
	return nil
}

// addUnshown counts a slot in the totals alone.
func (q *Subtotals) addUnshown(s *rate.Slot) error {
	var whole billing.Amount
	for i := range s.Lines {
		amount, err := billing.Amount(s.Lines[i].Amount).Round(s.Plan.Rounding)
		if err == nil {
			whole, err = whole.Add(amount)
		}
		if err != nil {
			return fmt.Errorf("query: account %q, tariff %q: %w", s.Account, s.Tariff, err)
		}
	}
	q.count(s, whole)
	return nil
}

// sum is a total that is being made.
type sum struct {
	currency billing.Currency
	amount   billing.Amount
	scale    int  // the finest rounding scale; -1 when some line is unrounded
	overflow bool // no amount can hold it
}

// count adds a slot's amount to the total of its currency.
func (q *Subtotals) count(s *rate.Slot, amount billing.Amount) {
	i := slices.IndexFunc(q.sums, func(t sum) bool { return t.currency == s.Plan.Currency })
	if i < 0 {
		i = len(q.sums)
		q.sums = append(q.sums, sum{currency: s.Plan.Currency})
	}
	t := &q.sums[i]
	if s.Plan.Rounding.Mode == billing.RoundNone || t.scale < 0 {
		t.scale = -1 // some line keeps all its digits, so does the total
	} else {
		t.scale = max(t.scale, s.Plan.Rounding.Scale)
	}
	whole, err := t.amount.Add(amount)
	if err != nil {
		t.overflow = true // the subtotals are still there to be read
		return
	}
	t.amount = whole
}

// total makes the totals, in order of first appearance. A sum that no amount can hold
// is left out.
func (q *Subtotals) total() {
	for _, s := range q.sums {
		if s.overflow {
			continue
		}
		t := Total{Currency: s.currency, Amount: s.amount}
		if s.scale >= 0 {
			t.AmountText = s.amount.Fixed(s.scale)
		} else {
			t.AmountText = s.amount.String()
		}
		q.Totals = append(q.Totals, t)
	}
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
