package host

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// A catalog that reaches back reprices what was priced before: its marker says so. A
// billing period of an account is repriced where the catalog prices it otherwise than the
// one before, and is then what it would be if the catalog had been in force since before
// the period's first event, however usage comes to the log: its usage is folded again
// from the log by the catalog, and what is due without usage is what the catalog says.
// Other periods, and other accounts, are not touched. In a period that is closed the
// account's next invoice adjusts the difference, with the invoice rules of the close.
//
// Which periods those are follows from the catalogs alone, so the log decides it, and a
// period that is folded again later finds the catalog that has repriced it in the same
// way: see alike.

// repricing is a period with the accounts for which it is repriced.
type repricing struct {
	calendar rate.Calendar
	period   billing.Period
	accounts []string // sorted
}

// alike is accounts whose usage of a period the same marker has repriced last.
type alike struct {
	accounts map[string]bool
	repriced int // the marker's place among all, -1 for none
}

// alike divides accounts by the last of the markers that has repriced a period of theirs.
func (p *partition) alike(ctx context.Context, accounts map[string]bool, start, end int64, marks []mark) ([]alike, error) {
	rest := accounts
	var list []alike
	for i := len(marks) - 1; i > 0 && len(rest) > 0; i-- {
		if !marks[i].reprice {
			continue
		}
		old, err := p.catalogOfMark(ctx, marks[i-1])
		if err != nil {
			return nil, err
		}
		next, err := p.catalogOfMark(ctx, marks[i])
		if err != nil {
			return nil, err
		}
		touched, others := map[string]bool{}, map[string]bool{}
		for id := range rest {
			if catalog.SamePrices(old, next, billing.AccountID(id), start, end) {
				others[id] = true
			} else {
				touched[id] = true
			}
		}
		if len(touched) > 0 {
			list, rest = append(list, alike{touched, i}), others
		}
	}
	if len(rest) > 0 || len(list) == 0 {
		list = append(list, alike{rest, -1})
	}
	return list, nil
}

// reprice folds the periods again that the catalog in force prices otherwise than an old
// one, as the marker at a position has it.
func (p *partition) reprice(ctx context.Context, old *catalog.Catalog, position uint64) error {
	list, err := p.repriced(old)
	if err != nil {
		return err
	}
	accounts := 0
	for _, r := range list {
		if err := p.repricePeriod(ctx, &r, position); err != nil {
			return fmt.Errorf("period %s: %w", r.period.ID(), err)
		}
		accounts += len(r.accounts)
	}
	p.rater.Forget()
	p.log().Info("usage repriced", "partition", p.number, "revision", p.state.Now().CatalogRevision, "periods", len(list), "bills", accounts)
	return nil
}

// repriced lists what the catalog in force prices otherwise than an old one: by period.
// What was closed so long ago that its events are forgotten stays as it is.
func (p *partition) repriced(old *catalog.Catalog) ([]repricing, error) {
	type key struct {
		rate.Calendar
		start int64
	}
	found := map[key]*repricing{}
	unlisted := map[key]bool{} // whether the prices of those that no catalog lists are the same
	look := func(id string, c rate.Calendar, zone *time.Location, start int64) {
		account, k := billing.AccountID(id), key{c, start}
		if rate.CalendarName(p.catalog.Calendar(account)) != c {
			return
		}
		period := billing.Calendar{Zone: zone, AnchorDay: c.AnchorDay}.PeriodOf(time.Unix(0, start))
		same := func() bool {
			return catalog.SamePrices(old, p.catalog, account, period.Start.UnixNano(), period.End.UnixNano())
		}
		if old.Accounts[account] == nil && p.catalog.Accounts[account] == nil {
			known, asked := unlisted[k]
			if !asked {
				known = same()
				unlisted[k] = known
			}
			if known {
				return
			}
		} else if same() {
			return
		}
		if g := (again{id, c, period}); start < p.state.Now().ClosedUntil(c) && p.beyondRetention(g) {
			return
		}
		if found[k] == nil {
			found[k] = &repricing{calendar: c, period: period}
		}
		found[k].accounts = append(found[k].accounts, id)
	}
	p.state.EachAccount(func(a *rate.Account) {
		zone := p.catalog.Calendar(billing.AccountID(a.ID())).Zone
		last := rate.Beginning
		for l := range a.Slots() { // sorted by period
			if l.Terms().Period != last {
				last = l.Terms().Period
				look(a.ID(), l.Terms().Calendar, zone, last)
			}
		}
	})
	p.eachListed(func(id string) {
		calendar := p.catalog.Calendar(billing.AccountID(id))
		c := rate.CalendarName(calendar)
		for _, start := range p.state.ClosedPeriods(c) {
			if !p.hasSlots(id, func(l *rate.Live) bool { return l.Terms().Period == start }) {
				look(id, c, calendar.Zone, start)
			}
		}
	})
	list := make([]repricing, 0, len(found))
	for _, r := range found {
		slices.Sort(r.accounts)
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b repricing) int {
		return cmp.Or(a.period.Start.Compare(b.period.Start), compareCalendars(a.calendar, b.calendar))
	})
	return list, nil
}

// eachListed calls fn with the accounts of the partition, or of the trial, that the
// catalog lists.
func (p *partition) eachListed(fn func(id string)) {
	if p.trial != nil {
		for _, id := range p.trial.accounts {
			if p.catalog.Accounts[billing.AccountID(id)] != nil {
				fn(id)
			}
		}
		return
	}
	for id := range p.catalog.Accounts {
		if billing.Partition(id, p.host.config.Partitions) == p.number {
			fn(string(id))
		}
	}
}

// repricePeriod folds a period of accounts again by the catalog in force.
func (p *partition) repricePeriod(ctx context.Context, r *repricing, position uint64) error {
	accounts := map[string]bool{}
	var heirs []*rate.Slot
	for _, id := range r.accounts {
		left, gone, err := p.newTerms(ctx, id, r)
		if err != nil {
			return err
		}
		heirs, accounts[id] = append(heirs, left...), true
		if err := p.keepRepriced(again{id, r.calendar, r.period}, gone, position); err != nil {
			return err
		}
	}
	heirs, err := p.takers(ctx, heirs)
	if err != nil {
		return err
	}
	return p.foldAgain(ctx, accounts, r.calendar, r.period, heirs, position, nil)
}

// newTerms empties an account's slots of a period, and has them be priced as the catalog
// in force says; in a closed period it adds those that are due without usage. It returns
// the slots that get what the period before has left, and what is not in force any more.
func (p *partition) newTerms(ctx context.Context, id string, r *repricing) (heirs []*rate.Slot, gone []accumulate.Due, err error) {
	start := r.period.Start.UnixNano()
	due := map[rate.Key]*rate.Slot{}
	had := map[rate.Key]bool{}
	all := p.rater.Unused(id, r.calendar, r.period, nil)
	for _, s := range all {
		if err := p.rater.Settle(ctx, s.Plan); err != nil {
			return nil, nil, err
		}
		due[s.WithoutGroup()] = s
	}
	var slots []*rate.Live
	if a := p.state.Account(id, billing.AccountID(id).TokenHash()); a != nil {
		slots = slices.Collect(a.Slots())
	}
	for _, l := range slots {
		if l.Terms().Calendar != r.calendar || l.Terms().Period != start {
			continue
		}
		terms := l.Terms()
		bare := l.Key().WithoutGroup()
		if d := due[bare]; d != nil {
			terms, had[bare] = d.Terms(), true
		} else {
			gone = append(gone, dueOf(bare))
		}
		was, carried := l.Slot(), p.state.CarryIn(l)
		empty := rate.NewSlot(id, terms, l.Group(), rate.Content{})
		if err := p.state.Reterm(empty); err != nil {
			return nil, nil, err
		}
		if len(carried) == 0 {
			continue
		}
		if err := p.state.Inherit(empty); err != nil { // nothing, until it is known to whom
			return nil, nil, err
		}
		if was.ActiveFrom > start {
			continue // the version before it has left that, within the period, and leaves it anew when it is billed
		}
		was.CarryOut = carried
		heir, err := p.rater.Heir(ctx, was, r.period)
		if err != nil {
			return nil, nil, err
		}
		if heir != nil {
			heirs = append(heirs, heir)
		}
	}
	for _, s := range all {
		if p.hasBill(id, r.calendar, start) && !had[s.WithoutGroup()] { // of others the close makes them
			if err := p.state.Put(s); err != nil {
				return nil, nil, err
			}
		}
	}
	return heirs, slices.Compact(slices.SortedFunc(slices.Values(gone), accumulate.Due.Compare)), nil
}

// hasBill reports whether an account's period is closed and not parked.
func (p *partition) hasBill(account string, c rate.Calendar, start int64) bool {
	return start < p.state.Now().ClosedUntil(c) && !p.state.IsParked(account, start)
}

// keepRepriced keeps what is not in force any more in a period that is repriced, for
// when it is billed again, and opens it for that where it is billed already.
func (p *partition) keepRepriced(g again, gone []accumulate.Due, position uint64) error {
	r, known := p.state.ReopenedOf(g.account, g.period.Start.UnixNano())
	if !known {
		r = accumulate.Reopened{Account: g.account, Calendar: g.calendar, Period: g.period.Start.UnixNano(), PeriodEnd: g.period.End.UnixNano()}
	}
	r.Gone = gone
	if p.hasBill(g.account, g.calendar, r.Period) {
		r.Open, r.Whole = true, false
		r.Add(accumulate.Cause{
			Kind: accumulate.CauseReprice, Source: accumulate.CauseCatalog, ID: fmt.Sprintf("revision %d", p.state.Now().CatalogRevision), Position: position,
		})
	} else if !known && len(gone) == 0 {
		return nil
	}
	return p.state.SetReopened(r)
}

// bringBack has what a close has billed be due again, though a catalog that reached back
// had taken it out: another one brought it back before.
func (p *partition) bringBack(l *bill, period billing.Period) error {
	r, known := p.state.ReopenedOf(string(l.account), period.Start.UnixNano())
	if !known || len(r.Gone) == 0 {
		return nil
	}
	gone := slices.DeleteFunc(slices.Clone(r.Gone), func(d accumulate.Due) bool {
		return slices.ContainsFunc(l.slots, func(s *rate.Slot) bool { return dueOf(s.Key) == d })
	})
	if len(gone) == len(r.Gone) {
		return nil
	}
	r.Gone = gone
	return p.state.SetReopened(r)
}

// dueOf names what a slot is due by.
func dueOf(k rate.Key) accumulate.Due {
	return accumulate.Due{Tariff: k.Tariff, Subscription: k.Subscription, Version: k.Version}
}

// refuseRepricing refuses changes that cannot reach back: they would have usage lie in
// other periods, or in other groups, than it was priced in.
func refuseRepricing(changes []catalog.Change, old, next *catalog.Catalog) error {
	var refused []string
	for _, c := range changes {
		tariff := old.Tariffs[c.Name]
		switch {
		case c.Prices && (c.Kind == catalog.KindBilling || c.Kind == catalog.KindAccount && c.Tariff == ""):
			refused = append(refused, c.String())
		case c.Kind == catalog.KindTariff && tariff != nil && next.Tariffs[c.Name] != nil && !slices.Equal(tariff.GroupBy, next.Tariffs[c.Name].GroupBy):
			refused = append(refused, c.String())
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return fault(ReasonReachesBack, "leave that as it is, or let it take effect behind all usage with another tariff or account",
		"the catalog was not applied: what usage has no period or group for cannot be repriced:\n  %s", strings.Join(refused, "\n  "))
}
