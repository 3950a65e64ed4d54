package host

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// correction is what an account's next invoice says of an earlier period that is
// open again.
//
// The period is billed once more, as its close would: all slots are finished and the
// invoice rules run, those that made its invoice. Line by line, what was billed of it
// so far is taken away; so, whatever rounding and rules do, the invoice and its
// adjustments come to what one close behind the last event would have billed.
type correction struct {
	*bill
	record accumulate.Reopened
	period billing.Period
	lines  map[billing.Currency][]export.Line
}

// corrector bills periods again that are open again: at a close, and for a preview.
type corrector struct {
	rater   *rate.Rater
	catalog *catalog.Catalog // in force
	state   *accumulate.State
	store   invoiceFinder
	rules   func(context.Context, accumulate.RulesRef) (*catalog.Catalog, error)
}

// invoiceFinder finds what was billed of a period.
type invoiceFinder func(account string, r accumulate.Reopened, period billing.Period) ([]export.Invoice, error)

// make makes the corrections of periods that are the same for all. What cannot be
// made is parked, and stays open.
func (k *corrector) make(ctx context.Context, list []*correction) error {
	type group struct {
		calendar rate.Calendar
		rules    accumulate.RulesRef
	}
	groups := map[group][]*correction{}
	for _, c := range list {
		ref, known := k.state.RulesOf(accumulate.PeriodKey{Calendar: c.record.Calendar, Start: c.record.Period})
		if c.record.Rules != nil {
			ref, known = *c.record.Rules, true
		}
		if !known {
			ref = accumulate.RulesRef{} // those in force
		}
		g := group{c.record.Calendar, ref}
		groups[g] = append(groups[g], c)
	}
	keys := slices.SortedFunc(maps.Keys(groups), func(a, b group) int {
		return cmp.Or(compareCalendars(a.calendar, b.calendar), cmp.Compare(a.rules.Revision, b.rules.Revision))
	})
	for _, g := range keys {
		maker := biller{rater: k.rater, catalog: k.catalog}
		if g.rules.Revision != 0 {
			var err error
			if maker.catalog, err = k.rules(ctx, g.rules); err != nil {
				return err
			}
		}
		bills := make([]*bill, 0, len(groups[g]))
		for _, c := range groups[g] {
			bills = append(bills, c.bill)
		}
		if err := maker.make(ctx, g.calendar, groups[g][0].period, bills); err != nil {
			return err
		}
		for _, c := range groups[g] {
			if err := k.difference(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// difference compares what a period comes to with what was billed of it.
func (k *corrector) difference(c *correction) error {
	if c.parked != nil {
		return nil
	}
	billed, err := k.store(string(c.account), c.record, c.period)
	if err != nil {
		return err
	}
	var currencies []billing.Currency
	for _, list := range [][]export.Invoice{c.invoices, billed} {
		for i := range list {
			currencies = append(currencies, list[i].Currency)
		}
	}
	slices.Sort(currencies)
	in := func(list []export.Invoice, currency billing.Currency) (out []export.Invoice) {
		for i := range list {
			if list[i].Currency == currency {
				out = append(out, list[i])
			}
		}
		return out
	}
	c.lines = map[billing.Currency][]export.Line{}
	for _, currency := range slices.Compact(currencies) {
		lines, err := export.Difference(c.period, in(billed, currency), in(c.invoices, currency))
		if err != nil {
			c.park(c.record.Calendar, c.period, accumulate.Parked{Reason: accumulate.ParkedOverflow, Detail: err.Error()})
			break
		}
		if len(lines) > 0 {
			c.lines[currency] = lines
		}
	}
	return nil
}

// correct begins the correction of a period from the account's slots of it.
func (k *corrector) correct(r accumulate.Reopened, zone *time.Location, slots []*rate.Slot) *correction {
	calendar := billing.Calendar{Zone: zone, AnchorDay: r.Calendar.AnchorDay}
	c := &correction{record: r, period: calendar.PeriodOf(time.Unix(0, r.Period)), bill: &bill{account: billing.AccountID(r.Account)}}
	var open []*rate.Slot
	for _, s := range slots {
		if s.Events == 0 && len(s.CarryIn) == 0 {
			c.empty = append(c.empty, s)
		} else {
			open = append(open, s)
		}
	}
	// What is due without usage is what was due at the close, less what has usage now.
	if r.Whole {
		if !k.begun(r) {
			return c
		}
		open = append(open, k.rater.Unused(r.Account, r.Calendar, c.period, open)...)
	} else {
		open = append(open, unusedAgain(c.empty, open, r.Gone)...)
	}
	slices.SortFunc(open, func(a, b *rate.Slot) int { return a.Compare(b.Key) })
	c.slots = open
	due := map[rate.Key]bool{}
	for _, s := range open {
		due[s.Key] = true
	}
	c.empty = slices.DeleteFunc(c.empty, func(s *rate.Slot) bool { return due[s.Key] })
	return c
}

// begun reports whether an account owes what is due without usage in a period that is open
// again: something came late that was priced, there or in a period before. What was refused
// is no usage. What a close could not bill is owed still: that close may have settled the
// period before.
func (k *corrector) begun(r accumulate.Reopened) bool {
	return r.Waits != nil || slices.ContainsFunc(k.state.OpenAgain(r.Account), func(o accumulate.Reopened) bool {
		return o.Calendar == r.Calendar && o.Period <= r.Period && len(o.Causes) > 0
	})
}

// unusedAgain makes, of slots that have no events, those of no usage by which fees are
// due: one for each subscription and version of which no slot is among those given. A
// subscription that has ended since, or changed, was due as it was at the close. What a
// catalog that reached back has taken out is not.
func unusedAgain(empty, have []*rate.Slot, gone []accumulate.Due) (due []*rate.Slot) {
	used := map[rate.Key]bool{}
	for _, s := range have {
		used[s.WithoutGroup()] = true
	}
	for _, s := range empty {
		if used[s.WithoutGroup()] || slices.Contains(gone, dueOf(s.Key)) {
			continue
		}
		used[s.WithoutGroup()] = true
		group := ""
		if by := s.Plan.GroupBy; len(by) > 0 {
			group = rate.EncodeGroup(make([]string, len(by)))
		}
		due = append(due, rate.NewSlot(s.Account, s.Terms(), group, rate.Content{}))
	}
	return due
}

// cause is what an invoice says of the events behind a correction.
func (c *correction) cause() export.Correction {
	out := export.Correction{Period: c.period, More: c.record.More, Events: []export.Cause{}}
	for _, e := range c.record.Causes {
		out.Events = append(out.Events, export.Cause(e))
	}
	return out
}

// corrector returns the partition's.
func (p *partition) corrector() *corrector {
	return &corrector{
		rater: p.rater, catalog: p.catalog, state: p.state, store: p.billed,
		rules: func(ctx context.Context, r accumulate.RulesRef) (*catalog.Catalog, error) {
			return p.catalogOfMark(ctx, mark{revision: r.Revision, digest: r.Digest})
		},
	}
}

// billed returns the invoices that bill usage of an account's period: its own, and
// later ones that adjust it.
func (p *partition) billed(account string, r accumulate.Reopened, period billing.Period) ([]export.Invoice, error) {
	wanted := func(k invoiceKey) bool {
		return k.Account == account && (k.Period == period.ID() || slices.ContainsFunc(r.Invoices, func(ref accumulate.InvoiceRef) bool { return ref.ID == k.ID }))
	}
	found := map[string]export.Invoice{}
	take := func(inv export.Invoice) {
		if k := keyOf(&inv); wanted(k) {
			found[inv.ID] = inv
		}
	}
	// First what may not be in the index yet: what becomes durable meanwhile is in both.
	unstored := p.state.Uncommitted(accumulate.LogInvoices)
	if p.trial != nil {
		unstored = append(unstored, p.trial.part.Invoices...)
	}
	for _, b := range unstored {
		inv, err := export.DecodeInvoice(b)
		if err != nil {
			return nil, fmt.Errorf("host: partition %d: %w", p.number, err)
		}
		take(inv)
	}
	entries := p.host.invoices.of(period.ID(), account)
	for _, ref := range r.Invoices {
		if e, ok := p.host.invoices.entry(invoiceKey{Period: ref.Period, Account: account, Currency: billing.Currency(ref.Currency), ID: ref.ID}); ok {
			entries = append(entries, e)
		}
	}
	for _, e := range entries {
		if _, have := found[e.ID]; have {
			continue
		}
		inv, err := p.host.invoices.read(e)
		if err != nil {
			return nil, err
		}
		take(inv)
	}
	return slices.SortedFunc(maps.Values(found), func(a, b export.Invoice) int {
		return cmp.Or(a.Period.Start.Compare(b.Period.Start), cmp.Compare(a.ID, b.ID))
	}), nil
}

// corrections bills the periods of accounts again that are open again and lie before
// one, for its invoices: by account, oldest period first. What such a period leaves
// to the next changes that one too; position is that of the message which decides.
// Nothing is settled yet: an account whose invoice is parked tells of it later.
func (p *partition) corrections(ctx context.Context, accounts []string, c rate.Calendar, before billing.Period, position uint64) (map[string][]*correction, error) {
	made := map[string][]*correction{}
	done := map[again]bool{}
	ours := map[string]bool{}
	if len(p.state.OpenAgain("")) == 0 {
		return nil, nil
	}
	for _, id := range accounts {
		ours[id] = p.rater.CalendarOf(id) == c
	}
	k := p.corrector()
	for {
		var list []*correction
		for _, r := range p.state.OpenAgain("") {
			g := again{account: r.Account, calendar: r.Calendar, period: billing.Period{Start: time.Unix(0, r.Period).UTC()}}
			if !ours[r.Account] || done[g] || r.Period >= before.Start.UnixNano() {
				continue
			}
			if len(list) > 0 && (r.Period != list[0].record.Period || r.Calendar != list[0].record.Calendar) {
				break // what the first leaves comes before
			}
			zone, err := time.LoadLocation(r.Calendar.Zone)
			if err != nil {
				return nil, fmt.Errorf("time zone %q is not known on this machine: %w", r.Calendar.Zone, err)
			}
			done[g] = true
			list = append(list, k.correct(r, zone, p.slotsOf(r)))
		}
		if len(list) == 0 {
			return made, nil
		}
		if err := p.handOnAgain(ctx, k, list, position); err != nil {
			return nil, err
		}
		if err := k.make(ctx, list); err != nil {
			return nil, err
		}
		for _, c := range list {
			if c.parked != nil {
				p.log().Error("a closed period cannot be billed again; its adjustments wait", "partition", p.number, "account", c.account,
					"period", c.period.ID(), "reason", c.parked.Reason, "detail", c.parked.Detail)
				c.record.Waits = c.parked
				if err := p.state.SetReopened(c.record); err != nil {
					return nil, err
				}
				continue
			}
			made[c.record.Account] = append(made[c.record.Account], c)
		}
		if err := p.leave(ctx, list, position); err != nil {
			return nil, err
		}
	}
}

// handOnAgain has the slots of periods that are the same for all begin with what the version
// before theirs leaves now.
func (p *partition) handOnAgain(ctx context.Context, k *corrector, list []*correction, position uint64) error {
	bills := make([]*bill, 0, len(list))
	of := map[*bill]*correction{}
	for _, c := range list {
		bills, of[c.bill] = append(bills, c.bill), c
	}
	give := handing{partition: p, calendar: list[0].record.Calendar, period: list[0].period, position: position, again: func(l *bill) error {
		c := of[l]
		now := k.correct(c.record, c.period.Start.Location(), p.slotsOf(c.record))
		l.slots, l.empty = now.slots, now.empty
		return nil
	}}
	return give.handOn(ctx, bills)
}

// slotsOf returns the slots of a period that is open again.
func (p *partition) slotsOf(r accumulate.Reopened) []*rate.Slot {
	a := p.state.Account(r.Account, billing.AccountID(r.Account).TokenHash())
	if a == nil {
		return nil
	}
	var slots []*rate.Slot
	for l := range a.Slots() {
		if l.Terms().Calendar == r.Calendar && l.Terms().Period == r.Period && !l.Final {
			s := l.Slot()
			s.CarryIn = p.state.CarryIn(l)
			slots = append(slots, s)
		}
	}
	return slots
}

// leave has the period behind corrected ones begin with what these leave now, where
// that is something else than before.
func (p *partition) leave(ctx context.Context, list []*correction, position uint64) error {
	first := list[0]
	calendar := billing.Calendar{Zone: first.period.Start.Location(), AnchorDay: first.record.Calendar.AnchorDay}
	next := calendar.Next(first.period)
	closed := next.End.UnixNano() <= p.state.Now().ClosedUntil(first.record.Calendar)
	var left []*rate.Slot
	heirs := map[string][]*rate.Slot{}
	for _, c := range list {
		if c.parked != nil {
			continue
		}
		leavers, changed, err := p.changedHeirs(ctx, c, next)
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			left, heirs[c.record.Account] = append(left, leavers...), changed
		}
	}
	if len(left) == 0 {
		return nil
	}
	if !closed {
		return p.inherit(ctx, left, first.record.Calendar, next, position)
	}
	var takers []*rate.Slot
	accounts := map[string]bool{}
	for _, c := range list {
		changed := heirs[c.record.Account]
		if len(changed) == 0 {
			continue
		}
		g := again{c.record.Account, c.record.Calendar, next}
		if err := p.reopen(ctx, []again{g}, nil, position, nil); err != nil {
			return err
		}
		r, _ := p.state.ReopenedOf(g.account, next.Start.UnixNano())
		r.Take(c.record)
		if err := p.state.SetReopened(r); err != nil {
			return err
		}
		take, err := p.takers(ctx, changed)
		if err != nil {
			return err
		}
		takers, accounts[g.account] = append(takers, take...), true
	}
	return p.foldAgain(ctx, accounts, first.record.Calendar, next, takers, position, nil)
}

// changedHeirs returns, of an account's finished slots, those that leave the next period
// something else than they have before, and what begins with it there. Slots that have lost
// all their events leave nothing, and so do those that another version has followed within
// the period.
func (p *partition) changedHeirs(ctx context.Context, c *correction, next billing.Period) (leavers, heirs []*rate.Slot, err error) {
	last, followed := goOn(c.finished)
	for i, s := range followed {
		nothing := *s
		nothing.CarryOut = nil
		followed[i] = &nothing
	}
	told := map[rate.Key]bool{}
	for _, s := range slices.Concat(last, followed, c.empty) {
		heir, err := p.rater.Heir(ctx, s, next)
		if err != nil {
			return nil, nil, err
		}
		if heir == nil || told[heir.Key] {
			continue
		}
		told[heir.Key] = true
		var had []byte
		if l := p.live(heir); l != nil {
			had = p.state.CarryIn(l)
		}
		if !bytes.Equal(had, heir.CarryIn) {
			leavers, heirs = append(leavers, s), append(heirs, heir)
		}
	}
	return leavers, heirs, nil
}

// keepRules notes by which catalog's invoice rules a bill was made that had been
// parked: it is another than that of the period's close.
func (p *partition) keepRules(l *bill, period billing.Period) error {
	start := period.Start.UnixNano()
	if !p.state.IsParked(string(l.account), start) {
		return nil
	}
	h := p.state.Now()
	r, known := p.state.ReopenedOf(string(l.account), start)
	if !known {
		r = accumulate.Reopened{Account: string(l.account), Calendar: p.rater.CalendarOf(string(l.account)), Period: start, PeriodEnd: period.End.UnixNano()}
	}
	r.Rules = &accumulate.RulesRef{Revision: h.CatalogRevision, Digest: h.CatalogDigest}
	return p.state.SetReopened(r)
}

// endEmpty makes slots final that have lost their events again.
func (p *partition) endEmpty(slots []*rate.Slot) error {
	for _, s := range slots {
		s.Final, s.Lines, s.State = true, make([]rate.Line, len(s.Plan.Lines)), nil
		if err := p.state.Put(s); err != nil {
			return err
		}
	}
	return nil
}

// parkBill notes why an account has no invoice of a period. Adjustments that have waited and can
// be made now wait on, for that invoice.
func (p *partition) parkBill(l *bill) error {
	for _, c := range l.corrections {
		if c.record.Waits == nil {
			continue
		}
		r := c.record
		r.Waits = l.parked
		if err := p.state.SetReopened(r); err != nil {
			return err
		}
	}
	return p.state.Park(*l.parked)
}

// settleCorrections has the periods be closed again whose corrections are on
// invoices now.
func (p *partition) settleCorrections(l *bill) error {
	for _, c := range l.corrections {
		for _, s := range c.finished {
			if err := p.state.Put(s); err != nil {
				return err
			}
		}
		if err := p.endEmpty(c.empty); err != nil {
			return err
		}
		r := c.record
		r.Open, r.Whole, r.Causes, r.More, r.Waits = false, false, nil, 0, nil
		for i := range l.invoices {
			if inv := &l.invoices[i]; slices.ContainsFunc(inv.Corrections, func(k export.Correction) bool { return k.Period.Start.Equal(c.period.Start) }) {
				r.Invoices = append(slices.Clip(r.Invoices), accumulate.InvoiceRef{Period: inv.Period.ID(), Currency: string(inv.Currency), ID: inv.ID})
			}
		}
		if err := p.state.SetReopened(r); err != nil {
			return err
		}
	}
	return nil
}
