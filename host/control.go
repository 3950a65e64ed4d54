package host

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
)

// Control messages stand in a partition's own log, so that their place among
// the usage is the log's and the same on every replay.
//
//	usage.<p>.ctl.catalog.<revision>              a catalog revision takes effect
//	usage.<p>.ctl.close.<zone>.<anchor>.<period>  a calendar's period is closed
//	usage.<p>.ctl.letters.<digest>                dead letters are replayed or discarded
//
// Each has a subject of its own and is published with an expected last subject
// sequence of 0, so it stands in the log once.

// marker is the body of a catalog marker.
type marker struct {
	Revision uint64 `json:"revision"`
	Digest   string `json:"digest"` // of the whole catalog at that revision
	// At is when it was applied. A host's automatic closes begin with the period
	// of the first marker; the zero time stands for no such beginning.
	At time.Time `json:"at"`
	// Reprice says that usage before the marker is priced by the revision as well, where
	// it prices otherwise than the one before: see reprice.go.
	Reprice bool `json:"reprice,omitempty"`
}

// closing is the body of a close.
type closing struct {
	rate.Calendar
	Period string    `json:"period"` // id: the start date in the calendar's zone
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	At     time.Time `json:"at"` // when it was asked for; for people only
	By     string    `json:"by"` // "automatic" or "manual"; for people only
}

// control acts on a control message; what names it after the prefix that all
// of the partition's control subjects share.
func (p *partition) control(ctx context.Context, what string, m stream.Message) error {
	verb, _, _ := strings.Cut(what, ".")
	switch verb {
	case "catalog":
		var c marker
		if err := json.Unmarshal(m.Data, &c); err != nil {
			return p.badControl(m, err)
		}
		return p.takeCatalog(ctx, c, m.Sequence)
	case "close":
		var c closing
		if err := json.Unmarshal(m.Data, &c); err != nil {
			return p.badControl(m, err)
		}
		return p.closePeriod(ctx, c, m.Sequence)
	case "letters":
		var o letterOrder
		if err := json.Unmarshal(m.Data, &o); err != nil {
			return p.badControl(m, err)
		}
		return p.settleLetters(ctx, o, m)
	}
	return p.badControl(m, fmt.Errorf("this release knows catalog, close and letters, not %q", verb))
}

// badControl stops the partition: a control message decides money, so one that
// cannot be understood must not be passed over.
func (p *partition) badControl(m stream.Message, err error) error {
	return fmt.Errorf("host: partition %d: control message %s at position %d cannot be read (%w); if a newer release wrote it, start that release", p.number, m.Subject, m.Sequence, err)
}

// takeCatalog puts a catalog revision in force for the messages behind its marker,
// and tries the invoices again that are parked.
func (p *partition) takeCatalog(ctx context.Context, c marker, position uint64) error {
	header := p.state.Now()
	if c.Revision <= header.CatalogRevision {
		p.log().Warn("catalog marker ignored: its revision is not newer than the one in force", "partition", p.number,
			"revision", c.Revision, "in_force", header.CatalogRevision)
		return nil
	}
	snapshot, err := p.host.catalogs.at(ctx, c.Revision, c.Digest)
	if err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	if header.CatalogRevision == 0 && !c.At.IsZero() {
		header.FirstMarker = c.At.UnixNano()
	}
	if p.catalog != nil {
		p.beginCalendars(header, snapshot)
		if err := p.endRefused(); err != nil {
			return err
		}
	}
	failpoint.Hit("catalog.in-force")
	header.CatalogRevision, header.CatalogDigest = c.Revision, c.Digest
	p.noteMark(c, position)
	old := p.catalog
	p.useCatalog(snapshot)
	if c.Reprice && old != nil {
		if err := p.reprice(ctx, old, position); err != nil {
			return fmt.Errorf("host: partition %d: catalog revision %d reaches back: %w", p.number, c.Revision, err)
		}
	}
	if err := p.retryParked(ctx, position); err != nil {
		return err
	}
	return p.moveHorizon()
}

// beginCalendars has the calendars that a catalog brings in begin at the period
// in which the shared calendar's open time begins. Without that, the first close
// of a zone that comes into use after a year would charge the fees of that year.
func (p *partition) beginCalendars(h *accumulate.Header, next *catalog.Catalog) {
	shared := p.catalog.Calendar("")
	until := h.ClosedUntil(rate.CalendarName(shared))
	if until == rate.Beginning {
		return
	}
	for _, c := range p.calendars(next) {
		if c.Calendar == rate.CalendarName(shared) || h.ClosedUntil(c.Calendar) != rate.Beginning || p.firstOpen(c.Calendar) != rate.Forever {
			continue
		}
		h.Close(c.Calendar, c.calendar.PeriodOf(time.Unix(0, until)).Start.UnixNano())
	}
}
