package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// Pace of automatic closing.
const (
	closeInterval = time.Second     // between looks for periods that are due
	idleBeforeDue = 5 * time.Second // with clock: event, how long a partition must be silent before it is closed by another's watermark
)

// closeDuePeriods appends closes for the periods whose grace time is over. Who
// decides that does not matter to any figure: the close's place in the log does.
func (h *Host) closeDuePeriods(ctx context.Context) error {
	ticker := time.NewTicker(closeInterval)
	defer ticker.Stop()
	idle := idleWatch{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now := h.config.Now()
		idle.look(h, now)
		for _, p := range h.partitions {
			err := h.closeDue(ctx, p, now, idle.watermark(p, now))
			if err != nil && ctx.Err() == nil {
				h.log.Warn("a period that is due could not be closed, trying again", "partition", p.number, "error", err)
			}
		}
	}
}

// idleWatch notes since when each partition has been silent.
type idleWatch struct {
	positions []uint64
	since     []time.Time
	highest   int64 // watermark over all partitions
}

// look compares the partitions' positions with those of the last look.
func (w *idleWatch) look(h *Host, now time.Time) {
	if w.positions == nil {
		w.positions, w.since = make([]uint64, len(h.partitions)), make([]time.Time, len(h.partitions))
		for i := range w.since {
			w.since[i] = now
		}
	}
	w.highest = rate.Beginning
	for i, p := range h.partitions {
		header := p.state.Header()
		if header.Position != w.positions[i] {
			w.positions[i], w.since[i] = header.Position, now
		}
		w.highest = max(w.highest, header.Watermark)
	}
}

// watermark is the event time by which a partition's periods are due: its own,
// or that of all once it has been silent for a while, so that a partition with
// little or no usage is closed as well.
func (w *idleWatch) watermark(p *partition, now time.Time) int64 {
	if now.Sub(w.since[p.number]) >= idleBeforeDue {
		return w.highest
	}
	return p.state.Header().Watermark
}

// closeDue closes the next due period of each of a partition's calendars.
func (h *Host) closeDue(ctx context.Context, p *partition, now time.Time, watermark int64) error {
	c, revision, _ := h.catalogs.newest()
	if revision == 0 || c.Billing.Close != catalog.CloseAutomatic || !p.isChecked() {
		return nil
	}
	clock := now
	if c.Billing.Clock == catalog.ClockEvent {
		if watermark == rate.Beginning {
			return nil
		}
		clock = time.Unix(0, watermark)
	}
	for _, calendar := range p.calendars(c) {
		period, ok := p.nextOpen(calendar)
		if ok {
			period = p.closesWith(calendar, period, c.Billing)
		}
		if !ok || clock.Before(period.End.Add(c.Billing.Grace)) {
			continue
		}
		if _, err := h.appendClose(ctx, p, calendar, period, "automatic"); err != nil {
			return err
		}
	}
	return nil
}

// closesWith returns the period whose automatic close takes a partition's period with it:
// nearly always itself. What lies before the first catalog is history that is being
// brought in: it is closed by hand, or together with the first period of ours.
func (p *partition) closesWith(c namedCalendar, period billing.Period, settings catalog.Billing) billing.Period {
	first := p.state.Header().FirstMarker
	if settings.Clock != catalog.ClockWall || first == 0 {
		return period
	}
	if ours := c.calendar.PeriodOf(time.Unix(0, first)); period.Start.Before(ours.Start) {
		return ours
	}
	return period
}

// namedCalendar is a calendar with the name by which state knows it.
type namedCalendar struct {
	rate.Calendar
	calendar billing.Calendar
}

// calendars lists the calendars that a partition's accounts have: those of the
// catalog and those of slots that are open.
func (p *partition) calendars(c *catalog.Catalog) []namedCalendar {
	set := map[rate.Calendar]billing.Calendar{}
	add := func(b billing.Calendar) { set[rate.CalendarName(b)] = b }
	add(c.Calendar(""))
	for id, a := range c.Accounts {
		if (a.TimeZone != "" || a.AnchorDay != 0) && billing.Partition(id, p.host.config.Partitions) == p.number {
			add(c.Calendar(id))
		}
	}
	for _, open := range p.state.OpenPeriods() {
		if _, ok := set[open.Calendar]; ok {
			continue
		}
		zone, err := time.LoadLocation(open.Calendar.Zone)
		if err != nil {
			p.host.log.Error("a time zone in use is not known on this machine; its periods stay open", "zone", open.Calendar.Zone, "error", err)
			continue
		}
		set[open.Calendar] = billing.Calendar{Zone: zone, AnchorDay: open.Calendar.AnchorDay}
	}
	list := make([]namedCalendar, 0, len(set))
	for name, b := range set {
		list = append(list, namedCalendar{Calendar: name, calendar: b})
	}
	slices.SortFunc(list, func(a, b namedCalendar) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.AnchorDay, b.AnchorDay))
	})
	return list
}

// nextOpen returns the period of a calendar that a partition has to close next:
// the one behind the last closed, else the first of all.
func (p *partition) nextOpen(c namedCalendar) (billing.Period, bool) {
	if until, ok := p.state.Header().Closed[c.Calendar]; ok {
		return c.calendar.PeriodOf(time.Unix(0, until)), true
	}
	earliest, _, first := p.host.bounds()
	if first = min(first, earliest); first == rate.Forever {
		return billing.Period{}, false
	}
	return c.calendar.PeriodOf(time.Unix(0, first)), true
}

// bounds returns, over all partitions, the earliest and latest event time priced
// and the time of the first catalog, unix ns; rate.Forever or rate.Beginning
// where there is none. Periods begin at the same place in every partition, so
// that a fee does not hang on which accounts share one.
func (h *Host) bounds() (earliest, latest, firstCatalog int64) {
	earliest, latest, firstCatalog = rate.Forever, rate.Beginning, rate.Forever
	for _, p := range h.partitions {
		header := p.state.Header()
		earliest, latest = min(earliest, header.Earliest), max(latest, header.Watermark)
		if header.FirstMarker != 0 {
			firstCatalog = min(firstCatalog, header.FirstMarker)
		}
	}
	return earliest, latest, firstCatalog
}

// appendClose writes a close into a partition's log, once, and returns its
// position. One that stands there already is returned as it is.
func (h *Host) appendClose(ctx context.Context, p *partition, c namedCalendar, period billing.Period, by string) (query.Position, error) {
	subject := fmt.Sprintf("%sclose.%s.%d.%s", p.controlPrefix(), billing.AccountID(c.Zone).Token(), c.AnchorDay, period.ID())
	body, err := json.Marshal(closing{Calendar: c.Calendar, Period: period.ID(), Start: period.Start, End: period.End, At: h.config.Now().UTC(), By: by})
	if err != nil {
		return query.Position{}, fmt.Errorf("host: close of period %s: %w", period.ID(), err)
	}
	failpoint.Hit("close.before-append")
	return h.appendOnce(ctx, p.number, subject, body)
}

// appendOnce writes a control message, or finds the one that stands there.
func (h *Host) appendOnce(ctx context.Context, partition int, subject string, body []byte) (query.Position, error) {
	position := query.Position{Stream: stream.Usage(partition), Partition: partition}
	sequence, err := h.conn.Append(ctx, subject, 0, nil, body)
	if errors.Is(err, stream.ErrConflict) {
		m, err := h.conn.Last(ctx, position.Stream, subject)
		if err != nil || m == nil {
			return position, fmt.Errorf("host: %s stands in the log but cannot be read: %w", subject, errors.Join(err, stream.ErrConflict))
		}
		position.Sequence = m.Sequence
		return position, nil
	}
	if err != nil {
		return position, fmt.Errorf("host: %s: %w", subject, err)
	}
	position.Sequence = sequence
	return position, nil
}

// periodKey names a period of a calendar.
type periodKey struct {
	calendar rate.Calendar
	start    int64
}

// periodStates lists the periods that have had usage or are closed, newest
// first.
func (h *Host) periodStates() []query.PeriodState {
	return h.periodStatesUnread(make([]uint64, len(h.partitions)))
}

// periodStatesUnread lists the periods as periodStates does, given how many
// messages each partition has not read.
func (h *Host) periodStatesUnread(unread []uint64) []query.PeriodState {
	c, _, _ := h.catalogs.newest()
	earliest, latest, firstCatalog := h.bounds()
	states := map[periodKey]*query.PeriodState{}
	for _, p := range h.partitions {
		closed := p.state.Header().Closed
		for _, calendar := range p.calendars(c) {
			last := latest
			until, ok := closed[calendar.Calendar]
			if ok {
				last = max(last, until-1)
			}
			for period := range periodsBetween(calendar.calendar, min(earliest, firstCatalog), last) {
				k := periodKey{calendar.Calendar, period.Start.UnixNano()}
				if states[k] == nil {
					states[k] = &query.PeriodState{Period: period, Zone: calendar.Zone, AnchorDay: calendar.AnchorDay, ClosesAt: period.End.Add(c.Billing.Grace)}
				}
				if ok && until >= period.End.UnixNano() {
					states[k].Closed = append(states[k].Closed, p.number)
				} else {
					states[k].Open = append(states[k].Open, p.number)
					states[k].Waits = mergeWaits(states[k].Waits, h.closeWaits(p, calendar, period, c.Billing, unread))
				}
			}
		}
	}
	for _, p := range h.partitions {
		for _, k := range p.state.Parked() {
			if s := states[periodKey{k.Calendar, k.Period}]; s != nil {
				s.Parked = append(s.Parked, parkedOf(k, p.number))
			}
		}
		for _, r := range p.state.OpenAgain("") {
			if s := states[periodKey{r.Calendar, r.Period}]; s != nil && r.Waits != nil {
				waits := parkedOf(*r.Waits, p.number)
				waits.Detail = "what has changed since its invoice waits to be adjusted, until a close can bill the period again: " + waits.Detail
				s.Parked = append(s.Parked, waits)
			}
		}
	}
	list := make([]query.PeriodState, 0, len(states))
	for _, s := range states {
		slices.SortFunc(s.Parked, func(a, b query.Parked) int { return cmp.Compare(a.Account, b.Account) })
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b query.PeriodState) int {
		return cmp.Or(b.Period.Start.Compare(a.Period.Start), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.AnchorDay, b.AnchorDay))
	})
	return list
}

// periodsBetween yields the periods of a calendar that hold the times from
// first to last, unix ns.
func periodsBetween(c billing.Calendar, first, last int64) iter.Seq[billing.Period] {
	return func(yield func(billing.Period) bool) {
		if first > last || first == rate.Forever {
			return
		}
		for p := c.PeriodOf(time.Unix(0, first)); p.Start.UnixNano() <= last; p = c.Next(p) {
			if !yield(p) {
				return
			}
		}
	}
}
