package host

import (
	"context"
	"fmt"
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

// Preview makes the invoices of an account and a period that is open, from all that
// has been read: it closes the period, and what is open before it, on a copy of the
// account. An empty period is the one that holds the time now, with clock: event the
// latest event time, or the first that is open where that one is closed.
func (h *Host) Preview(ctx context.Context, account billing.AccountID, name string) (Preview, error) {
	asOf := h.queries.AsOf()
	p := h.partitions[billing.Partition(account, h.config.Partitions)]
	if err := h.trials.take(ctx); err != nil {
		return Preview{}, err
	}
	defer h.trials.give()
	taken, err := h.trials.begin(ctx, p, []string{string(account)})
	if err != nil {
		return Preview{}, err
	}
	header := taken.part.Header
	if header.CatalogRevision == 0 {
		return Preview{}, fault(ReasonInvalidPeriod, "apply a catalog first: tollway apply -f FILE", "there are no billing periods without a catalog")
	}
	calendar := taken.catalog.Calendar(account)
	c := rate.CalendarName(calendar)
	period, err := h.previewPeriod(calendar, name, header, taken.catalog.Billing.Clock)
	if err != nil {
		return Preview{}, err
	}
	if closed := header.ClosedUntil(c); name == "" && period.Start.UnixNano() < closed {
		period = calendar.PeriodOf(time.Unix(0, closed))
	}
	if period.Start.UnixNano() < header.ClosedUntil(c) {
		return Preview{}, fault(ReasonInvalidPeriod, "see its invoices with: tollway invoices list --period "+period.ID(), "period %s is closed in %s", period.ID(), c.Zone)
	}
	t, err := h.trials.over(p, taken, []string{string(account)}, nil)
	if err == nil {
		err = t.closeUpTo(ctx, c, period)
	}
	if err != nil {
		return Preview{}, fmt.Errorf("host: preview of account %q for period %s: %w", account, period.ID(), err)
	}
	for i := range asOf.Positions { // it has all that was read, which may be more than is committed
		if at := &asOf.Positions[i]; at.Partition == p.number {
			at.Sequence = header.Position
		}
	}
	out := Preview{Period: period, AsOf: asOf}
	made, err := t.invoices()
	if err != nil {
		return Preview{}, err
	}
	for _, inv := range made {
		if inv.Period.Start.Equal(period.Start) {
			out.Invoices = append(out.Invoices, inv)
		}
	}
	for _, k := range t.state.Parked() {
		if k.Period == period.Start.UnixNano() {
			shown := parkedOf(k, p.number)
			out.Parked = &shown
		}
	}
	return out, nil
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
