package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// What the close of a period can wait for. They are stable.
const (
	WaitStopped   = "host_stopped"    // a partition cannot go on: a gap, another log
	WaitUnserved  = "not_serving"     // a partition's state is damaged: it is made again from the log, or parked
	WaitUnproven  = "digest"          // what is stored has not been read in full since the start, and held against its digest
	WaitUnread    = "unread_messages" // the log has messages that are not read
	WaitEarlier   = "earlier_period"  // one before is open, and periods are closed in order
	WaitNotEnded  = "not_ended"       // its end has not come
	WaitGrace     = "grace"           // late usage still counts
	WaitWatermark = "watermark"       // with clock: event, no usage is late enough yet
	WaitManual    = "manual"          // nobody has asked for the close, which does not come by itself
)

// closeWaits says what the close of a partition's open period waits for, the first
// thing that has to happen before all others; unread has the messages that
// partitions have not read.
func (h *Host) closeWaits(p *partition, c namedCalendar, period billing.Period, settings catalog.Billing, unread []uint64) []query.PeriodWait {
	var waits []query.PeriodWait
	add := func(reason, format string, args ...any) {
		waits = append(waits, query.PeriodWait{Reason: reason, Detail: fmt.Sprintf(format, args...), Partitions: []int{p.number}})
	}
	if failure := h.failure.Load(); failure != nil {
		add(WaitStopped, "the host has stopped: %v", *failure)
	}
	whole := p.unservable()
	if whole == nil {
		whole = h.wholeAgain()
	}
	if whole != nil {
		add(WaitUnserved, "%v", whole)
	} else if !p.isChecked() {
		add(WaitUnproven, "the stored state is being read in full and held against its digest, as after each start; tollway doctor shows how far that has come")
	}
	if n := unread[p.number]; n > 0 {
		add(WaitUnread, "messages that stand in the log have to be read")
	}
	next, ok := p.nextOpen(c)
	if ok && period.Start.After(next.Start) {
		add(WaitEarlier, "period %s has to be closed before", next.ID())
		return waits
	}
	now := h.config.Now()
	byEvents := settings.Clock == catalog.ClockEvent
	if byEvents {
		_, latest, _ := h.bounds()
		now = time.Unix(0, latest)
	}
	grace := period.End.Add(settings.Grace)
	switch {
	case byEvents && now.Before(grace):
		at := "there is none"
		if now.UnixNano() != rate.Beginning {
			at = "the latest is of " + now.UTC().Format(time.RFC3339)
		}
		add(WaitWatermark, "usage of %s or later has to come; %s", grace.UTC().Format(time.RFC3339), at)
	case now.Before(period.End):
		add(WaitNotEnded, "it ends at %s", period.End.Format(time.RFC3339))
	case now.Before(grace):
		add(WaitGrace, "late usage counts until %s; --skip-grace does not wait", grace.UTC().Format(time.RFC3339))
	}
	if len(waits) > 0 {
		return waits
	}
	if settings.Close == catalog.CloseManual {
		add(WaitManual, "tollway periods close %s", period.ID())
	} else if with := p.closesWith(c, period, settings); with.Start.After(period.Start) {
		add(WaitManual, "it lies before the first catalog, so it closes together with period %s, or by hand: tollway periods close %s", with.ID(), period.ID())
	}
	return waits
}

// mergeWaits adds waits to those of other partitions: what is the same is told
// once.
func mergeWaits(all, more []query.PeriodWait) []query.PeriodWait {
	for _, w := range more {
		at := slices.IndexFunc(all, func(o query.PeriodWait) bool { return o.Reason == w.Reason && o.Detail == w.Detail })
		if at < 0 {
			all = append(all, w)
			continue
		}
		all[at].Partitions = append(all[at].Partitions, w.Partitions...)
	}
	return all
}

// unreadMessages says how many messages of the log each partition has not read. A
// log that does not answer is told by other means.
func (h *Host) unreadMessages(ctx context.Context) []uint64 {
	unread := make([]uint64, len(h.partitions))
	for n, p := range h.partitions {
		position := p.state.Header().Position
		if _, last, err := h.conn.LastSequence(ctx, stream.Usage(n)); err == nil && last > position {
			unread[n] = last - position
		}
	}
	return unread
}
