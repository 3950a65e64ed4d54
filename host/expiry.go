package host

import (
	"fmt"
	"math"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
)

// The identities of usage are kept as long as anybody asks for them: to tell a repeat
// from something new, and which events of a period were priced when it is folded again.
// Before the horizon nobody does: usage of that time is refused, and what was billed of
// it stays as it is. So they expire there, and a set of identities does not grow for ever.
//
// Where the horizon lies follows from the state at a control message, a close or a
// catalog, and it never goes back. It is part of the header, so that the log decides it,
// as it does all else.

// horizonMonths is how far behind the last close of the calendar that is closed the least
// far the horizon lies: the retention, and two months for the period that begins before
// it ends, and for stretches that are not those of the calendar.
const horizonMonths = retentionMonths + 2

// identityStretch is a stretch of time, long as a billing period, unix ns: identities
// expire by such stretches, whatever calendar their accounts have.
const identityStretch = int64(32 * 24 * time.Hour)

// keptUntil is the end of the stretch that an event's identity is kept with, by the time
// of the event, both unix ns.
func keptUntil(at int64) int64 {
	if at > math.MaxInt64-identityStretch {
		return math.MaxInt64
	}
	return at - (at%identityStretch+identityStretch)%identityStretch + identityStretch
}

// forgotten reports whether identities of events of a time, unix ns, have expired.
func (p *partition) forgotten(at int64) bool { return keptUntil(at) < p.state.Now().Horizon }

// moveHorizon moves the horizon to where it lies by the state, and lets go of what lies
// before it. A trial does not: what it asks for is the partition's.
func (p *partition) moveHorizon() error {
	if p.trial != nil {
		return nil
	}
	h := p.state.Now()
	horizon := p.horizonNow()
	if horizon <= h.Horizon || h.Horizon == rate.Beginning && keptUntil(h.Earliest) >= horizon {
		return nil // there is nothing yet that could expire
	}
	h.Horizon = horizon
	p.seen.Expire(horizon)
	// An identity that has expired may come again, as that of another event, of which
	// nothing was voided or amended.
	for _, id := range p.state.Overridden() {
		_, known, err := p.seen.Find(id)
		if err != nil {
			return fmt.Errorf("host: partition %d: %w", p.number, err)
		}
		if known {
			continue
		}
		if err := p.state.SetOverride(id, accumulate.Override{}); err != nil {
			return err
		}
	}
	return nil
}

// horizonNow is before which nobody asks for an identity, by the state as it is, unix
// ns: of none of the calendars in use a period is in reach there, nothing is open, and
// no invoice and no adjustment waits to be made.
func (p *partition) horizonNow() int64 {
	if p.catalog == nil {
		return rate.Beginning
	}
	h := p.state.Now()
	closed := rate.Forever
	for _, c := range p.calendars(p.catalog) {
		closed = min(closed, h.ClosedUntil(c.Calendar))
	}
	if closed == rate.Beginning {
		return rate.Beginning
	}
	// In UTC, so that no release of the time zones says otherwise.
	horizon := time.Unix(0, closed).UTC().AddDate(0, -horizonMonths, 0).UnixNano()
	for _, open := range p.state.OpenPeriods() {
		horizon = min(horizon, open.Start)
	}
	for _, parked := range p.state.Parked() {
		horizon = min(horizon, parked.Period)
	}
	for _, again := range p.state.OpenAgain("") { // also without usage: what it leaves goes to those behind it
		horizon = min(horizon, again.Period)
	}
	return horizon
}

// tooOld says that nobody knows any more which usage of an event's time was priced.
func tooOld(e *ingest.Event) refusal {
	return refusal{ReasonBeyondRetention, fmt.Sprintf(
		"time: %s lies more than %d months behind the last close, and which usage of that time was billed is not kept; bill it by hand",
		time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano), retentionMonths)}
}
