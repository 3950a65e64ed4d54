package oracle

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"
)

// key names what is priced as one.
type key struct {
	account, tariff, subscription, group string
	version, period                      int64 // instants, unix ns
}

// bill names what an account is billed for a period.
type bill struct {
	account string
	period  int64 // start, unix ns
	calendar
}

// slot is what is priced as one.
type slot struct {
	binding
	calendar
	events []measured
	final  bool
	fee    bool // it is due without usage
}

// measured is an event as a tariff sees it.
type measured struct {
	at       time.Time
	quantity *big.Rat
	of       *priced
}

// priced is an event that was priced.
type priced struct {
	Event            // as it came
	now     Event    // as it was amended to
	catalog *Catalog // that was in force
	number  int      // in the order of the log
	voided  bool
}

// Replay goes through the log of a partition that owns the accounts which owns
// selects; nil is all. Usage of closed periods is adjusted at the next close.
func Replay(log []Entry, owns func(account string) bool) (Result, error) {
	if owns == nil {
		owns = func(string) bool { return true }
	}
	r := rater{owns: owns, content: map[[3]string]*priced{}, slots: map[key]*slot{}, closed: map[calendar]time.Time{}, bills: map[bill][]string{}, again: map[bill]bool{}, periods: map[calendar][]time.Time{}, first: map[string]int64{}}
	for _, e := range log {
		switch {
		case e.Catalog != nil:
			r.apply(e.Catalog, e.Reprice)
		case e.Close != nil:
			r.close(e.Close)
		case e.Letters != nil:
			r.settle(e.Letters)
		}
		for i, event := range e.Events {
			r.result.Read++
			if outcome, reason := r.event(event); outcome == "refused" {
				r.result.Letters = append(r.result.Letters, Letter{len(r.result.Letters) + 1, e.Position, i, event, reason, ""})
			}
		}
		r.result.After = append(r.result.After, r.result.Counts)
	}
	for _, lines := range r.bills {
		r.result.Lines = append(r.result.Lines, lines...)
	}
	for k, s := range r.slots {
		if !s.final && len(s.events) > 0 {
			sum := new(big.Rat)
			for _, l := range r.priced(s) {
				sum.Add(sum, l.amount)
			}
			r.result.Open = append(r.result.Open, fmt.Sprintf("%s|%d|%s", s.name(k), len(s.events), sum.RatString()))
		}
	}
	slices.Sort(r.result.Lines)
	slices.Sort(r.result.Open)
	return r.result, r.err
}

type rater struct {
	owns    func(string) bool
	catalog *Catalog              // in force
	content map[[3]string]*priced // events that were priced, by identity
	slots   map[key]*slot
	closed  map[calendar]time.Time   // until when
	bills   map[bill][]string        // the lines that were billed so far
	periods map[calendar][]time.Time // that were closed, by their starts
	again   map[bill]bool            // those that the next close makes again; true: with all that is due
	first   map[string]int64         // the first period in which an account had something when that was repriced
	result  Result
	err     error
}

// event prices an event under all that it meets, or says why not.
func (r *rater) event(e Event) (outcome, reason string) {
	outcome, reason = r.price(e)
	switch outcome {
	case "priced":
		if r.result.Priced++; e.Of == nil {
			r.result.times = append(r.result.times, e.Time)
		}
	case "duplicate":
		r.result.Duplicates++
	default:
		r.result.DeadLettered++
	}
	return outcome, reason
}

func (r *rater) price(e Event) (outcome, reason string) {
	identity := [3]string{e.Source, e.ID, e.Account}
	first, seen := r.content[identity]
	switch {
	case !r.owns(e.Account):
		return "refused", "wrong_partition"
	case seen && first.Type == e.Type && first.Time.Equal(e.Time) && maps.Equal(first.Data, e.Data) &&
		reflect.DeepEqual(first.Of, e.Of) && reflect.DeepEqual(first.To, e.To):
		return "duplicate", ""
	case seen:
		return "refused", "identity_conflict"
	case r.catalog == nil:
		return "refused", "no_catalog"
	}
	of := &priced{Event: e, now: e, catalog: r.catalog, number: len(r.content)}
	if e.Of != nil {
		outcome, reason = r.correct(e)
	} else if outcome, reason = "priced", r.place(of); reason != "" {
		outcome = "refused"
	}
	if outcome == "priced" {
		r.content[identity] = of
	}
	return outcome, reason
}

// find finds what an event meets, or says why nothing.
func (r *rater) find(of *priced) (found map[key]slot, reason string) {
	e := of.now
	found = map[key]slot{}
	reason = "no_meter"
	for _, meter := range r.catalog.Meters {
		if meter.EventType != e.Type || !contains(e.Data, meter.Filter) {
			continue
		}
		reason = "no_subscription"
		for _, b := range r.subscribed(e.Account) {
			if b.meter != meter.Name || e.Time.Before(b.from) || !e.Time.Before(b.until) {
				continue
			}
			quantity := big.NewRat(1, 1)
			if meter.Quantity != "" {
				var ok bool
				if quantity, ok = new(big.Rat).SetString(e.Data[meter.Quantity]); !ok {
					return nil, "bad_quantity"
				}
			}
			c := r.calendarOf(e.Account)
			found[b.key(e.Account, c.start(e.Time, 0), e.Data)] = slot{b, c, []measured{{e.Time, quantity, of}}, false, false}
		}
	}
	if len(found) == 0 {
		return nil, reason
	}
	return found, ""
}

// place puts an event into all that it meets, or says why it meets nothing.
func (r *rater) place(of *priced) (reason string) {
	found, reason := r.find(of)
	if reason != "" {
		return reason
	}
	e := of.now
	if c := r.calendarOf(e.Account); e.Time.Before(r.closed[c]) {
		r.reopen(e.Account, c, c.start(e.Time, 0))
	}
	r.put(found)
	return ""
}

// put puts an event into what it meets, in the order of the log.
func (r *rater) put(found map[key]slot) {
	for k, s := range found {
		if r.slots[k] == nil {
			r.slots[k] = &slot{s.binding, s.calendar, nil, false, false}
		}
		r.slots[k].events = append(r.slots[k].events, s.events...)
		slices.SortFunc(r.slots[k].events, func(a, b measured) int { return cmp.Compare(a.of.number, b.of.number) })
	}
}

// settle acts on an order.
func (r *rater) settle(o *Order) {
	slices.SortFunc(o.Letters, func(a, b Letter) int { return cmp.Compare(a.Number, b.Number) })
	for _, ref := range o.Letters {
		if ref.Number < 1 || ref.Number > len(r.result.Letters) {
			continue
		}
		l := &r.result.Letters[ref.Number-1]
		switch {
		case l.Outcome != "" || l.Position != ref.Position || l.Index != ref.Index:
		case o.Discard:
			l.Outcome = "discarded"
			r.result.Discarded++
		default:
			r.result.DeadLettered--
			outcome, reason := r.event(l.Event)
			if l.Reason = cmp.Or(reason, l.Reason); outcome != "refused" {
				l.Outcome = outcome
			}
		}
	}
}

// apply puts a catalog in force. A calendar that it brings begins where the shared
// one is open.
func (r *rater) apply(c *Catalog, reprice bool) {
	old, had := r.catalog, r.catalog != nil
	r.catalog = c
	until, ok := r.closed[r.calendarOf("")]
	for _, k := range r.listed() {
		if _, known := r.closed[k]; had && ok && !known && r.firstOpen(k).Equal(endOfTime) {
			r.closed[k] = k.start(until, 0)
		}
	}
	if had && reprice {
		r.reprice(old)
	}
}

// firstOpen is the start of a calendar's first period with something to close.
func (r *rater) firstOpen(c calendar) time.Time {
	first := endOfTime
	for k, s := range r.slots {
		if start := time.Unix(0, k.period); s.calendar == c && !s.final && start.Before(first) {
			first = start
		}
	}
	return first
}

// close makes the invoices of all periods up to an end.
func (r *rater) close(e *Close) {
	c := calendar{e.Zone, e.AnchorDay}
	start, closed := r.closed[c]
	if closed && !e.End.After(start) {
		return
	}
	r.closed[c] = e.End
	if r.catalog == nil {
		return
	}
	if start = c.start(start, 0); !closed {
		start = slices.MinFunc([]time.Time{e.Start, r.firstOpen(c)}, time.Time.Compare)
	}
	for ; start.Before(e.End); start = c.start(start, 1) {
		r.periods[c] = append(r.periods[c], start)
		r.fees(c, start, func(id string) bool { return r.account(id) != nil && r.owns(id) || r.had(id, start) })
		for k, s := range r.slots {
			if s.calendar == c && k.period == start.UnixNano() && !s.final {
				r.bill(bill{k.account, k.period, c})
			}
		}
		for b, whole := range r.again {
			if b.calendar == c && b.period < start.UnixNano() {
				r.billAgain(b, whole)
				delete(r.again, b)
			}
		}
	}
}

// bill makes the lines of an account's period.
func (r *rater) bill(b bill) {
	delete(r.bills, b)
	for k, s := range r.slots {
		if (bill{k.account, k.period, s.calendar}) != b {
			continue
		}
		s.final = true
		if len(s.events) == 0 && !s.fee {
			continue // its events were voided
		}
		for _, l := range r.priced(s) {
			if l.quantity.Sign() != 0 || l.amount.Sign() != 0 {
				r.bills[b] = append(r.bills[b], strings.Join([]string{s.name(k), l.id, l.quantity.RatString(), l.amount.RatString()}, "|"))
			}
		}
	}
}

// reopen has the next close bill a closed period again. An account that the catalog
// does not list is billed from its first usage on: the periods behind it as well.
func (r *rater) reopen(account string, c calendar, start time.Time) {
	for first := true; c.start(start, 1).Sub(r.closed[c]) <= 0; first = false {
		b, listed := bill{account, start.UnixNano(), c}, r.account(account) != nil
		if !first && (listed || r.had(account, start)) {
			break
		}
		if _, open := r.again[b]; !open {
			_, billed := r.bills[b]
			r.again[b] = !billed && !r.used(b)
		}
		for k, s := range r.slots {
			s.final = s.final && (bill{k.account, k.period, s.calendar}) != b
		}
		start = c.start(start, 1)
	}
}

// billAgain bills what a period comes to now: what is due without usage was due
// before, or all of it is when nothing was, and is not where there is usage now.
func (r *rater) billAgain(b bill, whole bool) {
	with := map[key]bool{}
	for k, s := range r.slots {
		if k.group = ""; len(s.events) > 0 {
			with[k] = true
		}
	}
	due := map[key]*slot{}
	for k, s := range r.slots {
		bare := k
		if bare.group = ""; (bill{k.account, k.period, s.calendar}) == b && len(s.events) == 0 {
			if s.fee = false; !with[bare] {
				due[s.key(b.account, time.Unix(0, b.period), nil)] = &slot{s.binding, s.calendar, nil, false, true}
			}
		}
	}
	maps.Copy(r.slots, due)
	if whole {
		r.fees(b.calendar, time.Unix(0, b.period), func(id string) bool { return id == b.account })
	}
	r.bill(b)
}

// used reports whether an account has something in a period.
func (r *rater) used(b bill) bool {
	for k := range r.slots {
		if k.account == b.account && k.period == b.period {
			return true
		}
	}
	return false
}

// had reports whether an account has something up to a period.
func (r *rater) had(account string, start time.Time) bool {
	for k := range r.slots {
		if k.account == account && k.period <= start.UnixNano() {
			return true
		}
	}
	first, once := r.first[account] // what it had may have been repriced away
	return once && first <= start.UnixNano()
}

// fees opens the slots of a period's subscriptions without usage, of the accounts
// that they concern.
func (r *rater) fees(c calendar, start time.Time, concern func(account string) bool) {
	accounts := map[string]bool{}
	for k := range r.slots {
		accounts[k.account] = concern(k.account)
	}
	for _, a := range r.catalog.Accounts {
		accounts[a.ID] = concern(a.ID)
	}
	for id := range r.first {
		accounts[id] = concern(id)
	}
	used := map[key]bool{}
	for k, s := range r.slots {
		k.group = ""
		used[k] = used[k] || len(s.events) > 0 || s.fee
	}
	for id, concerned := range accounts {
		for _, b := range r.subscribed(id) {
			k := b.key(id, start, nil)
			bare := k
			bare.group = ""
			if concerned && r.calendarOf(id) == c && !used[bare] && b.from.Before(c.start(start, 1)) && b.until.After(start) && b.from.Before(b.until) {
				r.slots[k] = &slot{b, c, nil, false, true}
			}
		}
	}
}

// priced returns a slot's lines, rounded.
func (r *rater) priced(s *slot) []line {
	lines, err := price(s.plugin, s.params, s.events)
	r.err = cmp.Or(r.err, err)
	rounding := Rounding{2, "half_up"}
	if s.tariff.Rounding != nil {
		rounding = *s.tariff.Rounding
	}
	for i := range lines {
		lines[i].amount = round(lines[i].amount, rounding)
	}
	return lines
}

// name writes what a slot is.
func (s *slot) name(k key) string {
	return strings.Join([]string{
		k.account, time.Unix(0, k.period).UTC().Format(time.RFC3339), s.tariff.Currency, k.tariff, k.subscription,
		s.effective.UTC().Format(time.RFC3339), k.group,
	}, "|")
}

// key names the slot of a binding, with the names and values by which its tariff
// groups.
func (b binding) key(account string, start time.Time, data map[string]string) key {
	values := make([]string, len(b.tariff.GroupBy))
	for i, name := range b.tariff.GroupBy {
		values[i] = name + "=" + data[name]
	}
	slices.Sort(values)
	return key{account, b.tariff.Name, b.subscription, strings.Join(values, ","), b.effective.UnixNano(), start.UnixNano()}
}
