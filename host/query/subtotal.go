package query

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// matcher returns the test that a filter makes of an account's rows.
func (f Filter) matcher(account string, rows []accumulate.Row) (func(*accumulate.Row) bool, error) {
	newest := rate.Beginning
	for i := range rows {
		newest = max(newest, rows[i].Terms.Period)
	}
	starts, err := f.starts(account, rows)
	if err != nil {
		return nil, err
	}
	elsewhere := f.Account != "" && account != string(f.Account)
	return func(r *accumulate.Row) bool {
		t := r.Terms
		switch {
		case elsewhere,
			f.Period == "" && t.Period != newest,
			f.Period != "" && t.Period != starts[t.Calendar],
			f.Tariff != "" && t.Tariff != f.Tariff,
			f.Meter != "" && t.Plan.Meter != f.Meter,
			f.Currency != "" && t.Plan.Currency != f.Currency:
			return false
		}
		return true
	}, nil
}

// starts returns when the period begins that the filter names, by calendar, unix ns;
// nil when it names none.
func (f Filter) starts(account string, rows []accumulate.Row) (map[rate.Calendar]int64, error) {
	if f.Period == "" {
		return nil, nil
	}
	if _, err := (billing.Calendar{Zone: time.UTC, AnchorDay: 1}).Parse(f.Period); err != nil && len(f.Period) != len("2026-10-01") {
		return nil, fmt.Errorf("%w: period %q: write 2026-10 or the start date 2026-10-01", ErrInvalid, f.Period)
	}
	starts := map[rate.Calendar]int64{}
	for i := range rows {
		c := rows[i].Terms.Calendar
		if _, known := starts[c]; known {
			continue
		}
		zone, err := c.Location()
		if err != nil {
			return nil, fmt.Errorf("query: account %q: %w", account, err)
		}
		starts[c] = rate.Beginning // should this calendar have no such period
		if p, err := (billing.Calendar{Zone: zone, AnchorDay: c.AnchorDay}).Parse(f.Period); err == nil {
			starts[c] = p.Start.UnixNano()
		}
	}
	return starts, nil
}

// rowOf is a slot as a row.
func rowOf(s *rate.Slot) accumulate.Row {
	return accumulate.Row{Terms: s.Terms(), Group: s.Group, Events: s.Events, LastTime: s.LastTime, Final: s.Final, Lines: s.Lines}
}

// Select returns those of an account's slots that the filter selects.
func (f Filter) Select(slots []*rate.Slot) ([]*rate.Slot, error) {
	if len(slots) == 0 {
		return nil, nil
	}
	rows := make([]accumulate.Row, len(slots))
	for i, s := range slots {
		rows[i] = rowOf(s)
	}
	match, err := f.matcher(slots[0].Account, rows)
	if err != nil {
		return nil, err
	}
	var selected []*rate.Slot
	for i, s := range slots {
		if match(&rows[i]) {
			selected = append(selected, s)
		}
	}
	return selected, nil
}

// FromSlot shows a slot as a subtotal: its lines rounded as on the invoice.
func FromSlot(s *rate.Slot) (Subtotal, error) {
	var m maker
	row := rowOf(s)
	return m.subtotal(s.Account, &row)
}

// maker makes the subtotals of an answer. Their lines are in one piece of memory, and
// so are their texts: an answer is made thousands of times a second.
type maker struct {
	text  strings.Builder
	lines []Line
	// The zone of the calendar that was asked for last.
	calendar rate.Calendar
	zone     *time.Location
}

// linesRoom is for how many lines there is room at first.
const linesRoom = 32

// subtotal shows a row as a subtotal.
func (m *maker) subtotal(account string, r *accumulate.Row) (Subtotal, error) {
	s := r.Terms
	if m.zone == nil || m.calendar != s.Calendar {
		zone, err := s.Calendar.Location()
		if err != nil {
			return Subtotal{}, fmt.Errorf("query: account %q: %w", account, err)
		}
		m.calendar, m.zone = s.Calendar, zone
	}
	t := Subtotal{
		Account: billing.AccountID(account), Subscription: s.Subscription, Tariff: s.Tariff,
		Meter: s.Plan.Meter, Currency: s.Plan.Currency,
		Version: time.Unix(0, s.Version).UTC(), Module: s.Plan.Module,
		Period: billing.Period{Start: time.Unix(0, s.Period).In(m.zone), End: time.Unix(0, s.PeriodEnd).In(m.zone)},
		Events: r.Events, Final: r.Final,
	}
	if r.Events > 0 {
		t.LastEventTime = time.Unix(0, r.LastTime).UTC()
	}
	if r.Group != "" || len(s.Plan.GroupBy) > 0 {
		values, err := rate.DecodeGroup(r.Group)
		if err != nil || len(values) != len(s.Plan.GroupBy) {
			return Subtotal{}, fmt.Errorf("query: slot of account %q has %d group values for %d dimensions", account, len(values), len(s.Plan.GroupBy))
		}
		for i, v := range values {
			t.Group = append(t.Group, billing.Field{Key: s.Plan.GroupBy[i], Text: v})
		}
	}
	from := len(m.lines)
	if cap(m.lines)-from < len(r.Lines) {
		m.lines, from = make([]Line, 0, max(len(r.Lines), linesRoom)), 0
	}
	for i := range r.Lines {
		line := Line{Quantity: billing.Quantity(r.Lines[i].Quantity)}
		if i < len(s.Plan.Lines) {
			line.ID, line.Description = s.Plan.Lines[i].ID, s.Plan.Lines[i].Description
		}
		var err error
		if line.Amount, err = billing.Amount(r.Lines[i].Amount).Round(s.Plan.Rounding); err != nil {
			return Subtotal{}, fmt.Errorf("query: account %q, tariff %q, line %s: %w", account, s.Tariff, line.ID, err)
		}
		line.AmountText = m.amount(line.Amount, s.Plan.Rounding)
		if t.Amount, err = t.Amount.Add(line.Amount); err != nil {
			return Subtotal{}, fmt.Errorf("query: account %q, tariff %q: %w", account, s.Tariff, err)
		}
		m.lines = append(m.lines, line)
	}
	t.Lines = m.lines[from:len(m.lines):len(m.lines)]
	t.AmountText = m.amount(t.Amount, s.Plan.Rounding)
	return t, nil
}

// textRoom is for how much text there is room at first.
const textRoom = 512

// amount prints an amount at its rounding scale, an unrounded one without trailing
// zeros. What the builder holds never changes, so parts of it are kept.
func (m *maker) amount(a billing.Amount, r billing.Rounding) string {
	var room [textRoom / 8]byte
	text, _ := a.AppendText(room[:0]) // it has no error
	if r.Mode != billing.RoundNone && r.Scale > 0 {
		point := bytes.IndexByte(text, '.')
		if point < 0 {
			point = len(text)
			text = append(text, '.')
		}
		for len(text)-1-point < r.Scale {
			text = append(text, '0')
		}
	}
	from := m.text.Len()
	if m.text.Cap()-from < len(text) {
		from = 0
		m.text.Reset()
		m.text.Grow(max(len(text), textRoom))
	}
	m.text.Write(text)
	return m.text.String()[from:]
}

// add appends a row's subtotal to the answer.
func (q *Subtotals) add(m *maker, account string, r *accumulate.Row) error {
	t, err := m.subtotal(account, r)
	if err != nil {
		return err
	}
	q.Subtotals = append(q.Subtotals, t)
	q.count(r.Terms.Plan, t.Amount)
	return nil
}

// addUnshown counts a row in the totals alone.
func (q *Subtotals) addUnshown(account string, r *accumulate.Row) error {
	var whole billing.Amount
	for i := range r.Lines {
		amount, err := billing.Amount(r.Lines[i].Amount).Round(r.Terms.Plan.Rounding)
		if err == nil {
			whole, err = whole.Add(amount)
		}
		if err != nil {
			return fmt.Errorf("query: account %q, tariff %q: %w", account, r.Terms.Tariff, err)
		}
	}
	q.count(r.Terms.Plan, whole)
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
func (q *Subtotals) count(plan *rate.Plan, amount billing.Amount) {
	i := slices.IndexFunc(q.sums, func(t sum) bool { return t.currency == plan.Currency })
	if i < 0 {
		i = len(q.sums)
		q.sums = append(q.sums, sum{currency: plan.Currency})
	}
	t := &q.sums[i]
	if plan.Rounding.Mode == billing.RoundNone || t.scale < 0 {
		t.scale = -1 // some line keeps all its digits, so does the total
	} else {
		t.scale = max(t.scale, plan.Rounding.Scale)
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
