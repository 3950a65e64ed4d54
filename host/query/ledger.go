package query

import (
	"fmt"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// ledger has, of one partition, what each slot adds to a sum, as of one checkpoint:
// 64 bytes a slot, and some for each account and each way of pricing. It is made
// when a sum is asked for, brought up to date by what has changed when the next one
// is, and dropped when none was for a while.
type ledger struct {
	follower *accumulate.Follower
	header   accumulate.Header

	facts    []fact // by slot number
	leaves   []leaf
	leafOf   map[leafKey]uint32
	accounts []accountEntry
	number   map[*rate.Account]uint32
	problem  error // the first that was met
}

// fact is what one slot adds.
type fact struct {
	amount   billing.Amount   // its lines, each rounded as on the invoice
	quantity billing.Quantity // of its lines
	events   uint64
	last     int64 // latest event time, unix ns; meaningless without events
	leaf     uint32
	account  uint32
	state    factState
}

// factState says what is known of a slot.
type factState uint8

const (
	factAbsent   factState = iota // it is not in the committed state
	factOpen                      // its period is open
	factFinal                     // its period is closed
	factOverflow                  // its amount is larger than an amount can be
)

// leaf is what slots have in common: the terms and the group's values.
type leaf struct {
	terms  *rate.Terms
	period string   // its id
	group  []string // values of terms.Plan.GroupBy
	scale  int      // of the amounts; -1 when they keep every digit
}

type leafKey struct {
	terms *rate.Terms
	group string
}

// accountEntry is an account.
type accountEntry struct {
	id     string
	newest int64 // start of its newest period, unix ns
}

func newLedger(s *accumulate.State) *ledger {
	return &ledger{follower: s.Follow()}
}

// refresh brings the ledger to the newest checkpoint.
func (l *ledger) refresh() { l.header = l.follower.Read(l.begin, l.take) }

// accountLedger is the ledger of one account, as of the newest checkpoint.
func accountLedger(s *accumulate.State, account string) *ledger {
	l := &ledger{}
	l.begin(true)
	l.header = s.VisitAccount(account, accumulate.Committed, func(slot *rate.Live, c rate.Content) {
		l.facts = append(l.facts, fact{})
		l.fill(&l.facts[len(l.facts)-1], slot, c)
	})
	return l
}

// begin forgets what is known when all slots come again.
func (l *ledger) begin(fresh bool) {
	if fresh {
		l.facts, l.leaves, l.accounts = l.facts[:0], nil, nil
		l.leafOf, l.number = map[leafKey]uint32{}, map[*rate.Account]uint32{}
		l.problem = nil
	}
}

// take takes a slot as it is now.
func (l *ledger) take(slot *rate.Live, c rate.Content) {
	for int(slot.Number) >= len(l.facts) {
		l.facts = append(l.facts, fact{})
	}
	l.fill(&l.facts[slot.Number], slot, c)
}

// fill says in a fact what a slot is now.
func (l *ledger) fill(f *fact, slot *rate.Live, c rate.Content) {
	if f.state == factAbsent {
		var err error
		if f.leaf, err = l.leaf(slot); err != nil {
			l.problem = err
			return
		}
		f.account = l.account(slot)
	}
	f.state, f.events, f.last = factOpen, c.Events, c.LastTime
	if c.Final {
		f.state = factFinal
	}
	plan := slot.Terms().Plan
	f.amount, f.quantity = billing.Amount{}, billing.Quantity{}
	end := min(len(plan.Lines)*rate.LineBytes, len(c.Data))
	for data := c.Data[:end]; len(data) >= rate.LineBytes; data = data[rate.LineBytes:] {
		line := rate.LineAt(data)
		amount, err := billing.Amount(line.Amount).Round(plan.Rounding)
		if err == nil {
			f.amount, err = f.amount.Add(amount)
		}
		if err == nil {
			f.quantity, err = f.quantity.Add(billing.Quantity(line.Quantity))
		}
		if err != nil {
			f.state = factOverflow
			return
		}
	}
}

// account returns the number of a slot's account.
func (l *ledger) account(slot *rate.Live) uint32 {
	n, known := l.number[slot.Account()]
	if !known {
		n = uint32(len(l.accounts))
		l.number[slot.Account()] = n
		l.accounts = append(l.accounts, accountEntry{id: slot.Account().ID(), newest: rate.Beginning})
	}
	l.accounts[n].newest = max(l.accounts[n].newest, slot.Terms().Period)
	return n
}

// leaf returns the number of what a slot has in common with others.
func (l *ledger) leaf(slot *rate.Live) (uint32, error) {
	key := leafKey{slot.Terms(), slot.Group()}
	if n, known := l.leafOf[key]; known {
		return n, nil
	}
	zone, err := slot.Terms().Calendar.Location()
	if err != nil {
		return 0, fmt.Errorf("query: account %q: %w", slot.Account().ID(), err)
	}
	values, err := rate.DecodeGroup(slot.Group())
	if err != nil || len(values) != len(slot.Terms().Plan.GroupBy) {
		return 0, fmt.Errorf("query: slot of account %q has %d group values for %d dimensions", slot.Account().ID(), len(values), len(slot.Terms().Plan.GroupBy))
	}
	n := uint32(len(l.leaves))
	l.leafOf[key] = n
	l.leaves = append(l.leaves, leaf{
		terms: slot.Terms(), group: values, scale: scaleOf(slot.Terms().Plan.Rounding),
		period: billing.Period{Start: time.Unix(0, slot.Terms().Period).In(zone)}.ID(),
	})
	return n, nil
}

// scaleOf is how many decimal places amounts have, -1 when they keep every digit.
func scaleOf(r billing.Rounding) int {
	if r.Mode == billing.RoundNone {
		return -1
	}
	return max(r.Scale, 0)
}

// matches reports whether a filter selects a slot.
func (l *ledger) matches(f Filter, x *fact) bool {
	t := &l.leaves[x.leaf]
	a := &l.accounts[x.account]
	switch {
	case f.Period == "" && t.terms.Period != a.newest,
		f.Period != "" && !NamesPeriod(f.Period, t.period),
		f.Account != "" && string(f.Account) != a.id,
		f.Tariff != "" && t.terms.Tariff != f.Tariff,
		f.Meter != "" && t.terms.Plan.Meter != f.Meter,
		f.Currency != "" && t.terms.Plan.Currency != f.Currency:
		return false
	}
	return true
}
