package oracle

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// This file writes lines and adds them up, those of the rater and those of documents, so
// that they can be compared; it rates nothing.

// lines writes what slots of a period come to, without what comes to nothing.
func lines(p period, slots []slot) (lines []string) {
	for _, s := range slots {
		for _, l := range s.price() {
			if l.quantity.Sign() != 0 || l.amount.Sign() != 0 {
				lines = append(lines, strings.Join([]string{s.name(p), l.id, l.quantity.RatString(), l.amount.RatString()}, "|"))
			}
		}
	}
	return lines
}

// show takes a bill into the result: what was billed, and what it shows while it is open.
func (r *rater) show(p period, b *bill) {
	if r.result.Lines = append(r.result.Lines, b.lines...); !b.open {
		return
	}
	for _, s := range b.slots(p) {
		sum := new(big.Rat)
		for _, l := range s.price() {
			sum.Add(sum, l.amount)
		}
		if n := s.usage(); n > 0 {
			r.result.Open = append(r.result.Open, fmt.Sprintf("%s|%d|%s", s.name(p), n, sum.RatString()))
		}
	}
}

// usage is how many events a slot has, without what the period before has left.
func (s slot) usage() (n int) {
	for _, e := range s.events {
		if !e.at.IsZero() {
			n++
		}
	}
	return n
}

func (s slot) name(p period) string {
	return lineName(p.account, p.start, s.tariff.Currency, s.tariff.Name, s.subscription.ID, s.version.EffectiveFrom, s.group)
}

// lineName names a slot as [Result] writes it.
func lineName(account string, start time.Time, currency, tariff, subscription string, version time.Time, group string) string {
	return strings.Join([]string{account, start.UTC().Format(time.RFC3339), currency, tariff, subscription, version.UTC().Format(time.RFC3339), group}, "|")
}

// Sums are what lines come to, by what [Result] writes of one before its quantity and
// its amount. The zero value is not usable: make it with make or a literal.
type Sums map[string]*Sum

// Sum is what was billed of a line, on its invoice and on those that adjust it.
type Sum struct{ Quantity, Amount big.Rat }

// Add adds to a line.
func (s Sums) Add(name string, quantity, amount *big.Rat) {
	if s[name] == nil {
		s[name] = &Sum{}
	}
	s[name].Quantity.Add(&s[name].Quantity, quantity)
	s[name].Amount.Add(&s[name].Amount, amount)
}

// Subtract takes away what other sums come to.
func (s Sums) Subtract(other Sums) {
	for name, o := range other {
		s.Add(name, new(big.Rat).Neg(&o.Quantity), new(big.Rat).Neg(&o.Amount))
	}
}

// AddLines adds the lines of a result. It is an error when one is no line.
func (s Sums) AddLines(lines []string) error {
	for _, l := range lines {
		parts := strings.Split(l, "|")
		n := len(parts) - 2
		if n < 1 {
			return fmt.Errorf("line %q has no numbers", l)
		}
		if err := s.addTexts(strings.Join(parts[:n], "|"), parts[n], parts[n+1]); err != nil {
			return err
		}
	}
	return nil
}

func (s Sums) addTexts(name, quantity, amount string) error {
	q, ok := new(big.Rat).SetString(quantity)
	a, fine := new(big.Rat).SetString(amount)
	if !ok || !fine {
		return fmt.Errorf("line %s: %q for %q", name, amount, quantity)
	}
	s.Add(name, q, a)
	return nil
}

// issued is an invoice as it is published, as far as it says what is billed.
type issued struct {
	ID, Account, Currency, Total string
	Period                       struct{ Start time.Time }
	Lines                        []struct {
		Tariff, Rule, Subscription, ID, Quantity, Amount string // of a tariff or of a rule
		Version                                          time.Time
		Group                                            map[string]string
		Adjustment                                       *struct{ Period struct{ Start time.Time } }
	}
}

// AddInvoice adds the lines of an invoice's document, by what they bill: those that
// adjust an earlier period are of that one. It is an error when they do not come to
// the total.
func (s Sums) AddInvoice(document []byte) error {
	var inv issued
	if err := json.Unmarshal(document, &inv); err != nil {
		return err
	}
	total := Sums{}
	for _, l := range inv.Lines {
		start := inv.Period.Start
		if l.Adjustment != nil {
			start = l.Adjustment.Period.Start
		}
		name := lineName(inv.Account, start, inv.Currency, cmp.Or(l.Tariff, l.Rule), l.Subscription, l.Version, GroupText(l.Group)) + "|" + l.ID
		if err := s.addTexts(name, l.Quantity, l.Amount); err != nil {
			return fmt.Errorf("invoice %s: %w", inv.ID, err)
		}
		if err := total.addTexts("", "0", l.Amount); err != nil {
			return err
		}
	}
	if err := total.addTexts("", "0", "0"); err != nil {
		return err
	}
	if written, ok := new(big.Rat).SetString(inv.Total); !ok || written.Cmp(&total[""].Amount) != 0 {
		return fmt.Errorf("invoice %s: the lines come to %s, the total says %s", inv.ID, total[""].Amount.RatString(), inv.Total)
	}
	return nil
}

// GroupText writes the names and values by which usage is grouped as [Result] does.
func GroupText(values map[string]string) string {
	list := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, name+"="+values[name])
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

// Lines writes the sums as a result has them, sorted, without those of nothing.
func (s Sums) Lines() (lines []string) {
	for name, sum := range s {
		if sum.Quantity.Sign() != 0 || sum.Amount.Sign() != 0 {
			lines = append(lines, name+"|"+sum.Quantity.RatString()+"|"+sum.Amount.RatString())
		}
	}
	slices.Sort(lines)
	return lines
}
