package query

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// GroupBy says what subtotals are added up by.
type GroupBy uint8

// What subtotals can be added up by.
const (
	ByNothing   GroupBy = iota // one sum for each currency
	ByAccount                  // by account
	ByMeter                    // by meter
	ByTariff                   // by tariff
	ByDimension                // by the values of one dimension; the empty one where a tariff does not group by it
)

// Grouping asks for sums of the subtotals that a filter selects.
type Grouping struct {
	Filter
	By        GroupBy
	Dimension string // with ByDimension
	ByAmount  bool   // by currency and amount, the largest first; else by name
}

// SumRow is the sum of the subtotals of one group and one currency.
type SumRow struct {
	Key           string // account, meter, tariff or value of the dimension
	Currency      billing.Currency
	Amount        billing.Amount
	AmountText    string // at the finest scale of what was added; empty when no amount can hold the sum
	QuantityText  string // sum of the line items' quantities; empty where several meters were added
	Events        uint64
	Subtotals     uint64
	LastEventTime time.Time // zero when no event was priced
	Final         bool      // all of them are
}

// SumPage is a page of sums.
type SumPage struct {
	Rows      []SumRow
	Totals    []Total // of all rows of all pages, by currency
	Size      int     // rows of all pages
	NextToken string
	AsOf      AsOf
	Moved     bool // the cut of the first page is no longer kept, and this is another
}

// sumKey names a row.
type sumKey struct {
	key      string
	currency billing.Currency
}

// adder adds up one row. Its sums are wide, so that their order does not matter.
type adder struct {
	sumKey
	amount    billing.Sum
	quantity  billing.Sum
	meter     string
	scale     int // finest; -1 when some amount keeps every digit
	events    uint64
	subtotals uint64
	last      int64
	seen      bool // last counts
	mixed     bool // several meters
	open      bool // some subtotal is not final
	overflow  bool
}

// one is the factor by which decimals are added to wide sums.
func one() billing.Decimal { return billing.DecimalFromInt(1) }

// add adds what a slot has.
func (a *adder) add(f *fact, l *leaf) {
	if a.subtotals == 0 {
		a.meter, a.scale = l.terms.Plan.Meter, l.scale
	}
	a.mixed = a.mixed || a.meter != l.terms.Plan.Meter
	a.subtotals++
	a.events += f.events
	if f.events > 0 && (!a.seen || f.last > a.last) {
		a.last, a.seen = f.last, true
	}
	a.open = a.open || f.state != factFinal
	a.sum(&a.amount, f.amount.D())
	a.sum(&a.quantity, f.quantity.D())
	a.overflow = a.overflow || f.state == factOverflow
	a.finest(l.scale)
}

func (a *adder) finest(scale int) {
	if a.scale < 0 || scale < 0 {
		a.scale = -1
		return
	}
	a.scale = max(a.scale, scale)
}

func (a *adder) sum(to *billing.Sum, d billing.Decimal) {
	sum, err := to.AddProduct(d, one())
	if err != nil {
		a.overflow = true
		return
	}
	*to = sum
}

// row finishes the row.
func (a *adder) row() SumRow {
	r := SumRow{Key: a.key, Currency: a.currency, Events: a.events, Subtotals: a.subtotals, Final: !a.open}
	if a.seen {
		r.LastEventTime = time.Unix(0, a.last).UTC()
	}
	exact := billing.Rounding{Mode: billing.RoundNone}
	if amount, err := a.amount.Round(exact); err == nil && !a.overflow {
		r.Amount, r.AmountText = billing.Amount(amount), scaled(billing.Amount(amount), a.scale)
	}
	if quantity, err := a.quantity.Round(exact); err == nil && !a.mixed && !a.overflow {
		r.QuantityText = quantity.String()
	}
	return r
}

// scaled prints an amount with so many decimal places; with all that it has when
// the scale is negative.
func scaled(a billing.Amount, scale int) string {
	if scale < 0 {
		return a.String()
	}
	return a.Fixed(scale)
}

// groups adds up rows.
type groups struct {
	by   Grouping
	rows map[sumKey]*adder
}

// addAll adds what a partition has.
func (g *groups) addAll(l *ledger) {
	keys := make([]string, len(l.leaves))
	for i := range l.leaves {
		keys[i] = g.by.key(&l.leaves[i])
	}
	// Mostly the slots of an account or a leaf are of one currency, and behind each other.
	var last *adder
	for i := range l.facts {
		f := &l.facts[i]
		if f.state == factAbsent || !l.matches(g.by.Filter, f) {
			continue
		}
		t := &l.leaves[f.leaf]
		k := sumKey{keys[f.leaf], t.terms.Plan.Currency}
		if g.by.By == ByAccount {
			k.key = l.accounts[f.account].id
		}
		if last == nil || last.sumKey != k {
			last = g.rows[k]
			if last == nil {
				last = &adder{sumKey: k}
				g.rows[k] = last
			}
		}
		last.add(f, t)
	}
}

// key is what a leaf counts under; of accounts nothing is known here.
func (g Grouping) key(l *leaf) string {
	switch g.By {
	case ByMeter:
		return l.terms.Plan.Meter
	case ByTariff:
		return l.terms.Tariff
	case ByDimension:
		if i := slices.Index(l.terms.Plan.GroupBy, g.Dimension); i >= 0 {
			return l.group[i]
		}
	case ByNothing, ByAccount:
	}
	return ""
}

// finish sorts the rows and adds up their totals.
func (g *groups) finish() (rows []SumRow, totals []Total) {
	whole := map[billing.Currency]*adder{}
	rows = make([]SumRow, 0, len(g.rows))
	for _, a := range g.rows {
		rows = append(rows, a.row())
		t := whole[a.currency]
		if t == nil {
			t = &adder{sumKey: sumKey{currency: a.currency}, scale: a.scale}
			whole[a.currency] = t
		}
		t.finest(a.scale)
		sum, err := t.amount.Add(a.amount)
		if err != nil || a.overflow {
			t.overflow = true
			continue
		}
		t.amount = sum
	}
	slices.SortFunc(rows, g.by.compare)
	for _, t := range whole {
		// A total that no amount can hold is left out, as in the lists of subtotals.
		if r := t.row(); r.AmountText != "" {
			totals = append(totals, Total{Currency: t.currency, Amount: r.Amount, AmountText: r.AmountText})
		}
	}
	slices.SortFunc(totals, func(a, b Total) int { return cmp.Compare(a.Currency, b.Currency) })
	return rows, totals
}

// compare orders rows.
func (g Grouping) compare(a, b SumRow) int {
	if !g.ByAmount {
		return cmp.Or(strings.Compare(a.Key, b.Key), cmp.Compare(a.Currency, b.Currency))
	}
	return cmp.Or(cmp.Compare(a.Currency, b.Currency), b.Amount.Cmp(a.Amount), strings.Compare(a.Key, b.Key))
}
