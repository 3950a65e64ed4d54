package host

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// reconcileFindingsMax is how many findings are told one by one.
const reconcileFindingsMax = 100

// reconcileTries is how often a reconciliation is made anew when the host has gone
// on while it was made: its figures are then of different moments.
const reconcileTries = 5

// Reconcile compares what a period's usage came to with what its invoices say, from
// figures that are kept apart: subtotals, which events are folded into, the issued
// invoices, the dead letters, and the counters of every event read. A difference of
// a digit in any account is a finding.
func (h *Host) Reconcile(ctx context.Context, period string) (query.Reconciliation, error) {
	for try := 1; ; try++ {
		before := h.queries.AsOf()
		r, err := h.reconcile(ctx, period)
		if err != nil || len(r.Findings) == 0 || try == reconcileTries {
			return r, err
		}
		if slices.Equal(before.Positions, h.queries.AsOf().Positions) {
			return r, nil
		}
	}
}

// accountMoney is what one account's period comes to in a currency.
type accountMoney struct {
	account  billing.AccountID
	currency billing.Currency
}

// reconciler adds up.
type reconciler struct {
	host    *Host
	period  string
	out     query.Reconciliation
	events  []query.ReconciledEvents
	sums    map[moneyKey]*moneySums
	left    map[accountMoney]*big.Rat // subtotals less what invoices say of them
	waiting map[accountMoney]bool     // some of the account's subtotals are not final
	parked  map[billing.AccountID]bool
	catalog *catalog.Catalog
}

type moneyKey struct {
	partition int
	currency  billing.Currency
}

type moneySums struct {
	priced, invoiced, open, parked, rules, adjusted, issued big.Rat
	invoices                                                uint64
	scale                                                   int
}

func (h *Host) reconcile(ctx context.Context, period string) (query.Reconciliation, error) {
	r := &reconciler{
		host: h, period: period, sums: map[moneyKey]*moneySums{}, left: map[accountMoney]*big.Rat{}, waiting: map[accountMoney]bool{}, parked: map[billing.AccountID]bool{},
		events: make([]query.ReconciledEvents, len(h.partitions)),
	}
	r.out = query.Reconciliation{Period: period, AsOf: h.queries.AsOf()}
	r.catalog, _, _ = h.catalogs.newest()
	known := false
	for _, s := range h.periodStates() {
		if query.NamesPeriod(period, s.Period.ID()) {
			known = true
			for _, k := range s.Parked {
				r.parked[k.Account] = true
			}
		}
	}
	if !known {
		return r.out, fault(ReasonInvalidPeriod, "`tollway periods list` shows which there are", "there is no period %s", period)
	}
	if err := r.subtotals(ctx); err != nil {
		return r.out, err
	}
	if err := r.invoices(ctx); err != nil {
		return r.out, err
	}
	if err := r.letters(ctx); err != nil {
		return r.out, err
	}
	r.finish()
	return r.out, nil
}

// subtotals adds up what usage came to.
func (r *reconciler) subtotals(ctx context.Context) error {
	page := query.Page{Size: query.MaxPageSize}
	for {
		list, err := r.host.queries.List(query.Filter{Period: r.period}, page)
		if err != nil {
			return err
		}
		for i := range list.Subtotals {
			r.subtotal(&list.Subtotals[i])
		}
		if page.Token = list.NextToken; page.Token == "" {
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (r *reconciler) subtotal(s *query.Subtotal) {
	n := billing.Partition(s.Account, len(r.host.partitions))
	e, m := &r.events[n], r.money(n, s.Currency, s.AmountText)
	amount := exactly(s.Amount)
	e.Priced += s.Events
	m.priced.Add(&m.priced, amount)
	left := r.differ(s.Account, s.Currency)
	left.Add(left, amount)
	switch {
	case s.Final:
		e.Invoiced += s.Events
		return
	case r.parked[s.Account]:
		e.Parked += s.Events
	default:
		e.Open += s.Events
	}
	r.waiting[accountMoney{s.Account, s.Currency}] = true
}

// invoices adds up what was billed of the period: by its own invoices, and by later
// ones that adjust it.
func (r *reconciler) invoices(ctx context.Context) error {
	token, err := encodeInvoiceToken(invoiceKey{Period: r.period})
	if err != nil {
		return err
	}
	page := query.Page{Size: query.MaxPageSize, Token: token}
	for {
		list, next, _, err := r.host.Invoices(InvoiceFilter{}, page)
		if err != nil {
			return err
		}
		for i := range list {
			r.invoice(&list[i])
		}
		if page.Token = next; next == "" {
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (r *reconciler) invoice(inv *export.Invoice) {
	n := billing.Partition(inv.Account, len(r.host.partitions))
	own := query.NamesPeriod(r.period, inv.Period.ID())
	lines := new(big.Rat)
	for i := range inv.Lines {
		l := &inv.Lines[i]
		amount := exactly(l.Amount)
		lines.Add(lines, amount)
		switch {
		case l.Adjustment == nil && own:
			m := r.money(n, inv.Currency, l.AmountText)
			r.billed(inv, l, m, &m.invoiced, amount)
		case l.Adjustment != nil && query.NamesPeriod(r.period, l.Adjustment.Period.ID()):
			m := r.money(n, inv.Currency, l.AmountText)
			r.billed(inv, l, m, &m.adjusted, amount)
		}
	}
	if !own {
		return
	}
	r.money(n, inv.Currency, inv.TotalText).invoices++
	if total := exactly(inv.Total); lines.Cmp(total) != 0 {
		r.find(n, inv.Account, "invoice %s has the total %s, its lines come to %s", inv.ID, inv.TotalText, lines.FloatString(billing.Scale))
	}
}

// billed takes a line that bills the period.
func (r *reconciler) billed(inv *export.Invoice, l *export.Line, m *moneySums, tariffs, amount *big.Rat) {
	m.issued.Add(&m.issued, amount)
	if l.Rule != "" {
		m.rules.Add(&m.rules, amount)
		return
	}
	tariffs.Add(tariffs, amount)
	left := r.differ(inv.Account, inv.Currency)
	left.Sub(left, amount)
}

// letters counts the dead letters of the period, and compares how many there are
// with the counter.
func (r *reconciler) letters(ctx context.Context) error {
	for n, p := range r.host.partitions {
		counters := query.Counters(p.state.Header().Counters)
		e := &r.events[n]
		e.Partition, e.Log = n, counters
		var standing uint64
		err := r.host.eachLetter(n, 1, DeadLetterFilter{}, func(l *query.DeadLetter) (bool, error) {
			discarded := l.Status == statusDiscarded
			if l.Status != query.StatusOpen && !discarded {
				return true, ctx.Err()
			}
			standing++
			switch within, dated := r.within(l); {
			case !dated && !discarded:
				e.Undated++
			case within && discarded:
				e.Discarded++
			case within:
				e.Waiting++
			}
			return true, ctx.Err()
		})
		if err != nil {
			return err
		}
		if counters.Read != counters.Priced+counters.Duplicates+counters.DeadLettered {
			r.find(n, "", "%d events were read, but %d priced, %d duplicates and %d dead-lettered", counters.Read, counters.Priced, counters.Duplicates, counters.DeadLettered)
		}
		if standing != counters.DeadLettered {
			r.find(n, "", "%d events are counted as dead-lettered, but %d dead letters stand", counters.DeadLettered, standing)
		}
	}
	return nil
}

// statusDiscarded is the status of a dead letter that will not be priced.
const statusDiscarded = "discarded"

// within reports whether a dead letter's event falls into the period, by its
// account's calendar, and whether that can be said.
func (r *reconciler) within(l *query.DeadLetter) (within, dated bool) {
	at, err := time.Parse(time.RFC3339Nano, l.Time)
	if err != nil {
		return false, false
	}
	return query.NamesPeriod(r.period, r.catalog.Calendar(billing.AccountID(l.Account)).PeriodOf(at).ID()), true
}

// finish turns sums into text and differences into findings.
func (r *reconciler) finish() {
	keys := slices.SortedFunc(maps.Keys(r.left), func(a, b accountMoney) int {
		return cmp.Or(strings.Compare(string(a.account), string(b.account)), cmp.Compare(a.currency, b.currency))
	})
	for _, k := range keys {
		d, n := r.left[k], billing.Partition(k.account, len(r.host.partitions))
		m := r.money(n, k.currency, "")
		switch {
		case r.waiting[k] && r.parked[k.account]:
			m.parked.Add(&m.parked, d)
		case r.waiting[k]:
			m.open.Add(&m.open, d)
		case d.Sign() != 0:
			r.find(n, k.account, "final subtotals and invoice lines in %s differ by %s", k.currency, d.FloatString(billing.Scale))
		}
	}
	sums := slices.SortedFunc(maps.Keys(r.sums), func(a, b moneyKey) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.currency, b.currency))
	})
	for _, k := range sums {
		m := r.sums[k]
		text := func(x *big.Rat) string { return x.FloatString(m.scale) }
		r.out.Money = append(r.out.Money, query.ReconciledMoney{
			Partition: k.partition, Currency: k.currency, Priced: text(&m.priced), Invoiced: text(&m.invoiced), Open: text(&m.open), Parked: text(&m.parked),
			Rules: text(&m.rules), Adjusted: text(&m.adjusted), Issued: text(&m.issued), Invoices: m.invoices,
		})
	}
	r.out.Events = r.events
}

// find notes what does not hold. Beyond a number it only notes that there is more.
func (r *reconciler) find(partition int, account billing.AccountID, format string, args ...any) {
	switch n := len(r.out.Findings); {
	case n < reconcileFindingsMax:
		r.out.Findings = append(r.out.Findings, query.Finding{Partition: partition, Account: account, Detail: fmt.Sprintf(format, args...)})
	case n == reconcileFindingsMax:
		r.out.Findings = append(r.out.Findings, query.Finding{Partition: partition, Detail: "there is more"})
	}
}

// money returns the sums of a partition and currency, with at least as many
// decimals as a text has.
func (r *reconciler) money(partition int, currency billing.Currency, text string) *moneySums {
	k := moneyKey{partition, currency}
	m := r.sums[k]
	if m == nil {
		m = &moneySums{}
		r.sums[k] = m
	}
	if _, decimals, ok := strings.Cut(text, "."); ok {
		m.scale = max(m.scale, len(decimals))
	}
	return m
}

func (r *reconciler) differ(account billing.AccountID, currency billing.Currency) *big.Rat {
	k := accountMoney{account, currency}
	if r.left[k] == nil {
		r.left[k] = new(big.Rat)
	}
	return r.left[k]
}

// exactly is an amount as a fraction: the sum of all accounts may be more than an
// amount can hold.
func exactly(a billing.Amount) *big.Rat {
	d := a.D()
	n := new(big.Int).Lsh(big.NewInt(d.Hi), 64)
	return new(big.Rat).SetFrac(n.Add(n, new(big.Int).SetUint64(d.Lo)), new(big.Int).Exp(big.NewInt(10), big.NewInt(billing.Scale), nil))
}
