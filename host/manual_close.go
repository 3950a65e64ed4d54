package host

import (
	"context"
	"errors"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// CloseRequest names the periods to close: those with this id in all calendars
// that match.
type CloseRequest struct {
	Period    string // "2026-10" or "2026-10-01"
	Zone      string // IANA name; empty: every zone
	AnchorDay int    // 0: every anchor day
	SkipGrace bool   // do not wait for the grace time to be over
}

// ClosePeriod appends the closes of a period to the logs of all partitions that
// have it open next, and returns when they are read back. Closing what is closed
// changes nothing; one from before all usage is refused, since its usage may be on the way.
func (h *Host) ClosePeriod(ctx context.Context, request CloseRequest) ([]query.Position, error) {
	c, revision, _ := h.catalogs.newest()
	if revision == 0 {
		return nil, fault(ReasonInvalidPeriod, "apply a catalog first: tollway apply -f FILE", "there are no billing periods without a catalog")
	}
	if err := h.wholeAgain(); err != nil {
		return nil, err
	}
	var positions []query.Position
	matched, known := false, false
	for _, p := range h.partitions {
		for _, calendar := range p.calendars(c) {
			if request.Zone != "" && request.Zone != calendar.Zone || request.AnchorDay != 0 && request.AnchorDay != calendar.AnchorDay {
				continue
			}
			period, err := calendar.calendar.Parse(request.Period)
			if err != nil {
				continue
			}
			matched = true
			due, err := h.mayClose(p, calendar, period, request.SkipGrace, c.Billing)
			if err != nil {
				return nil, err
			}
			if !due {
				_, begun := p.state.Header().Closed[calendar.Calendar]
				known = known || begun // it is closed there
				continue
			}
			known = true
			if err := errors.Join(p.awaitChecked(ctx), p.unservable()); err != nil {
				return nil, err
			}
			position, err := h.appendClose(ctx, p, calendar, period, "manual")
			if err != nil {
				return nil, err
			}
			positions = append(positions, position)
		}
	}
	if !matched {
		return nil, fault(ReasonInvalidPeriod, "list the periods with: tollway periods list", "no calendar in use has a period %q", request.Period)
	}
	if !known {
		return nil, fault(ReasonInvalidPeriod, "if usage of it was sent, wait until it is read: tollway usage send --wait",
			"period %s lies before the first usage that was read, so there is nothing to close", request.Period)
	}
	return positions, h.Wait(ctx, positions)
}

// mayClose reports whether a partition's period is to be closed now; false when
// it is closed already.
func (h *Host) mayClose(p *partition, c namedCalendar, period billing.Period, skipGrace bool, settings catalog.Billing) (bool, error) {
	next, ok := p.nextOpen(c)
	switch {
	case !ok:
		return false, fault(ReasonInvalidPeriod, "", "period %s has had no usage", period.ID())
	case !period.End.After(next.Start):
		return false, nil
	case period.Start.After(next.Start):
		return false, fault(ReasonInvalidPeriod, "close it first: tollway periods close "+next.ID(),
			"period %s in %s cannot be closed while %s is open: periods are closed in order", period.ID(), c.Zone, next.ID())
	}
	now := h.config.Now()
	if settings.Clock == catalog.ClockEvent {
		_, latest, _ := h.bounds()
		now = time.Unix(0, latest)
		if skipGrace && !now.Before(period.Start) {
			// Event time stands still when usage ends, so that the last period would
			// never be over: whoever replays the log says when it is.
			return true, nil
		}
	}
	if now.Before(period.End) {
		return false, fault(ReasonPeriodNotEnded, "", "period %s in %s ends at %s; it cannot be closed before", period.ID(), c.Zone, period.End.Format(time.RFC3339))
	}
	if grace := period.End.Add(settings.Grace); now.Before(grace) && !skipGrace {
		return false, fault(ReasonGraceNotOver, "to close it now, turning later usage away, pass --skip-grace",
			"late usage counts for period %s in %s until %s", period.ID(), c.Zone, grace.Format(time.RFC3339))
	}
	return true, nil
}
