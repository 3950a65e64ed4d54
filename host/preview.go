package host

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// Preview is what an account's invoices of an open period would be if it were
// closed now.
type Preview struct {
	Period   billing.Period
	Invoices []export.Invoice // one for each currency; none when nothing is due
	Parked   *query.Parked    // why a close would issue none; nil when it would
	AsOf     query.AsOf
}

// previewer makes previews, one at a time, beside the partitions: a preview is the
// computation of a close, on a copy.
type previewer struct {
	mu       sync.Mutex
	rater    *rate.Rater
	revision uint64 // of the catalog that the rater has
	catalog  *catalog.Catalog
}

// Preview makes the invoices of an account and a period that is open, from all that
// has been read. An empty period is the one that holds the time now, with clock: event
// the latest event time, or the first that is open where that one is closed.
func (h *Host) Preview(ctx context.Context, account billing.AccountID, name string) (Preview, error) {
	asOf := h.queries.AsOf()
	p := h.partitions[billing.Partition(account, h.config.Partitions)]
	slots, header := p.state.Slots(string(account), accumulate.Latest)
	if header.CatalogRevision == 0 {
		return Preview{}, fault(ReasonInvalidPeriod, "apply a catalog first: tollway apply -f FILE", "there are no billing periods without a catalog")
	}
	v := h.preview
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.revision != header.CatalogRevision {
		snapshot, err := h.catalogs.at(ctx, header.CatalogRevision, header.CatalogDigest)
		if err != nil {
			return Preview{}, err
		}
		v.rater.SetCatalog(snapshot)
		v.revision, v.catalog = header.CatalogRevision, snapshot
	}
	c := v.rater.CalendarOf(string(account))
	period, err := h.previewPeriod(v.catalog.Calendar(account), name, header, v.catalog.Billing.Clock)
	if err != nil {
		return Preview{}, err
	}
	if closed := header.ClosedUntil(c); name == "" && period.Start.UnixNano() < closed {
		period = v.catalog.Calendar(account).PeriodOf(time.Unix(0, closed))
	}
	if period.Start.UnixNano() < header.ClosedUntil(c) {
		return Preview{}, fault(ReasonInvalidPeriod, "see its invoices with: tollway invoices list --period "+period.ID(), "period %s is closed in %s", period.ID(), c.Zone)
	}
	if !concerns(v.catalog, account, slots, period) {
		return Preview{Period: period, AsOf: asOf}, nil
	}
	var open []*rate.Slot
	for _, s := range slots {
		if s.Calendar == c && s.Period == period.Start.UnixNano() && !s.Final {
			open = append(open, s)
		}
	}
	l := due(v.rater, string(account), c, period, open)
	if l.corrections, err = h.previewCorrections(ctx, p, account, slots); err != nil {
		return Preview{}, err
	}
	maker := biller{rater: v.rater, catalog: v.catalog}
	if err := maker.make(ctx, c, period, []*bill{l}); err != nil {
		return Preview{}, fmt.Errorf("host: preview of account %q for period %s: %w", account, period.ID(), err)
	}
	out := Preview{Period: period, Invoices: l.invoices, AsOf: asOf}
	if l.parked != nil {
		k := parkedOf(*l.parked, p.number)
		out.Parked = &k
	}
	return out, nil
}

// concerns reports whether the close of a period looks at an account: it stands in
// the catalog, or has had usage by the period's end. Others have the default
// subscriptions, but nothing is due for the time before they were heard of.
func concerns(c *catalog.Catalog, account billing.AccountID, slots []*rate.Slot, period billing.Period) bool {
	if _, listed := c.Accounts[account]; listed {
		return true
	}
	start := period.Start.UnixNano()
	return slices.ContainsFunc(slots, func(s *rate.Slot) bool { return s.Period <= start })
}

// previewCorrections makes what a preview tells of earlier periods of an account, from
// its slots. What such a period leaves to the next is not followed: a close folds that
// again.
func (h *Host) previewCorrections(ctx context.Context, p *partition, account billing.AccountID, slots []*rate.Slot) ([]*correction, error) {
	k := &corrector{
		rater: h.preview.rater, catalog: h.preview.catalog, state: p.state, store: p.billed,
		rules: func(ctx context.Context, r accumulate.RulesRef) (*catalog.Catalog, error) {
			return h.catalogs.at(ctx, r.Revision, r.Digest)
		},
	}
	var made []*correction
	for _, r := range p.state.OpenAgain(string(account)) {
		zone, err := time.LoadLocation(r.Calendar.Zone)
		if err != nil {
			return nil, fmt.Errorf("host: time zone %q is not known on this machine: %w", r.Calendar.Zone, err)
		}
		var open []*rate.Slot
		for _, s := range slots {
			if s.Calendar == r.Calendar && s.Period == r.Period && !s.Final {
				open = append(open, s)
			}
		}
		c := k.correct(r, zone, open)
		if err := k.make(ctx, []*correction{c}); err != nil {
			return nil, fmt.Errorf("host: preview of account %q: period %s: %w", account, c.period.ID(), err)
		}
		if c.parked == nil {
			made = append(made, c)
		}
	}
	return made, nil
}

// previewPeriod returns the period that a preview asks for.
func (h *Host) previewPeriod(calendar billing.Calendar, name string, header accumulate.Header, clock catalog.ClockMode) (billing.Period, error) {
	if name != "" {
		period, err := calendar.Parse(name)
		if err != nil {
			return billing.Period{}, fault(ReasonInvalidPeriod, "write 2026-10, or the date on which it starts", "the account has no period %q", name).because(err)
		}
		return period, nil
	}
	now := h.config.Now()
	if clock == catalog.ClockEvent && header.Watermark != rate.Beginning {
		now = time.Unix(0, header.Watermark)
	}
	return calendar.PeriodOf(now), nil
}

// parkedOf shows what stands in the way of a partition's invoices.
func parkedOf(k accumulate.Parked, partition int) query.Parked {
	return query.Parked{
		Account: billing.AccountID(k.Account), Partition: partition,
		Reason: k.Reason, Detail: k.Detail, Tariff: k.Tariff, Rule: k.Rule, Module: k.Module,
	}
}
