package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// RateRequest says what RateFiles rates.
type RateRequest struct {
	Catalog    []catalog.File
	Plugins    map[string][]byte // Wasm modules by the path under which the catalog names them
	Usage      []string          // files of events: JSON Lines, a JSON array or CSV
	Partitions int               // 0: DefaultPartitions; changes no figure
	// Progress is told how many events have been written to the log; nil: nobody.
	Progress func(events int)
}

// CatalogError lists what is wrong with a catalog.
type CatalogError struct{ Problems []catalog.Problem }

func (e *CatalogError) Error() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "the catalog has %d problem(s):", len(e.Problems))
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %s", p)
	}
	return b.String()
}

// RateFiles rates files of usage without a server: the same engine on a log and
// a state in a temporary directory. When all usage is read it closes every
// period, so no usage is late, and reports the invoices and dead letters. The
// report does not depend on the clock, on the order of the events where the
// tariffs do not, nor on the number of partitions.
func RateFiles(ctx context.Context, request RateRequest) (report export.Report, err error) {
	dir, err := os.MkdirTemp("", "tollway-rate-")
	if err != nil {
		return report, fmt.Errorf("rate: %w", err)
	}
	defer func() { err = errors.Join(err, RemoveTemporary(dir)) }()
	h, err := Open(ctx, Config{
		DataDir: dir, Partitions: request.Partitions, Temporary: true, closedByCaller: true, PluginCache: UserPluginCache(),
		NATS: stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}},
	})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.Run(ctx) })
	group.Go(func() error {
		defer stop()
		report, err = h.rateFiles(ctx, request)
		return err
	})
	return report, group.Wait()
}

// RemoveTemporary removes the data directory of a host that is closed. An
// embedded NATS server still writes the states of its consumers for a moment
// after its shutdown has returned, so that a folder may fill again while it is
// being removed.
func RemoveTemporary(dir string) error {
	const attempts = 40
	for n := 1; ; n++ {
		err := os.RemoveAll(dir)
		if err == nil || n == attempts {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// UserPluginCache is where short commands of one user share compiled plugins;
// empty when the user has no cache folder.
func UserPluginCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "tollway", "plugins")
}

// rateFiles does the work of RateFiles on a running host.
func (h *Host) rateFiles(ctx context.Context, request RateRequest) (export.Report, error) {
	applied, err := h.Apply(ctx, ApplyRequest{Files: request.Catalog, Plugins: request.Plugins})
	if err != nil {
		return export.Report{}, err
	}
	if len(applied.Problems) > 0 {
		return export.Report{}, &CatalogError{Problems: applied.Problems}
	}
	feed := &feed{host: h, progress: request.Progress}
	for _, name := range request.Usage {
		if err := feed.file(ctx, name); err != nil {
			return export.Report{}, err
		}
	}
	if err := feed.flush(ctx); err != nil {
		return export.Report{}, err
	}
	if err := h.Wait(ctx, feed.positions()); err != nil {
		return export.Report{}, err
	}
	if err := h.closeAll(ctx); err != nil {
		return export.Report{}, err
	}
	report, err := h.report()
	report.DeadLetters = append(report.DeadLetters, feed.refused...)
	report.Counts.Read += uint64(len(feed.refused))
	report.Counts.DeadLettered += uint64(len(feed.refused))
	return report, err
}

// closeAll closes, in every calendar, the periods from the earliest to the
// latest usage.
func (h *Host) closeAll(ctx context.Context) error {
	c, _, _ := h.catalogs.newest()
	earliest, latest, _ := h.bounds()
	var positions []query.Position
	for _, p := range h.partitions {
		for _, calendar := range p.calendars(c) {
			for period := range periodsBetween(calendar.calendar, earliest, latest) {
				position, err := h.appendClose(ctx, p, calendar, period, "rate")
				if err != nil {
					return err
				}
				positions = append(positions, position)
			}
		}
	}
	return h.Wait(ctx, positions)
}

// report collects the invoices and dead letters of all partitions.
func (h *Host) report() (export.Report, error) {
	var r export.Report
	entries, _ := h.invoices.after(invoiceKey{}, int(^uint(0)>>1), func(invoiceKey) bool { return true })
	for _, e := range entries {
		inv, err := h.invoices.read(e)
		if err != nil {
			return r, err
		}
		r.Invoices = append(r.Invoices, inv)
	}
	for n, p := range h.partitions {
		last := p.store.LogLast(accumulate.LogDeadLetters)
		if last == 0 {
			continue
		}
		err := p.store.LogRange(accumulate.LogDeadLetters, 1, int(last), func(i uint64, entry []byte) error {
			var l accumulate.DeadLetter
			if err := json.Unmarshal(entry, &l); err != nil {
				return fmt.Errorf("host: dead letter %d of partition %d: %w", i, n, err)
			}
			r.DeadLetters = append(r.DeadLetters, export.DeadLetter{Source: l.Source, ID: l.ID, Reason: l.Reason, Detail: l.Detail})
			return nil
		})
		if err != nil {
			return r, err
		}
	}
	for n, p := range h.partitions {
		for _, k := range p.state.Parked() {
			zone, err := time.LoadLocation(k.Calendar.Zone)
			if err != nil {
				return r, fmt.Errorf("host: partition %d: %w", n, err)
			}
			period := billing.Period{Start: time.Unix(0, k.Period).In(zone), End: time.Unix(0, k.PeriodEnd).In(zone)}
			r.Parked = append(r.Parked, export.Parked{Account: billing.AccountID(k.Account), Period: period.ID(), Reason: k.Reason, Detail: k.Detail})
		}
	}
	slices.SortFunc(r.Parked, func(a, b export.Parked) int {
		return cmp.Or(cmp.Compare(a.Period, b.Period), cmp.Compare(a.Account, b.Account))
	})
	c := h.Counters()
	r.Counts = export.Counts{Read: c.Read, Priced: c.Priced, Duplicates: c.Duplicates, DeadLettered: c.DeadLettered}
	return r, nil
}

// feedEvents is how many events of a file are written to the log at a time.
const feedEvents = 10_000

// feed writes files of events into the log.
type feed struct {
	host     *Host
	events   []billing.UsageEvent
	highest  map[int]uint64      // sequence of the last message, by partition
	refused  []export.DeadLetter // lines that are no usage events
	written  int
	progress func(int)
}

// file writes the events of one file. A line that is no usage event is a dead
// letter without having been in the log.
func (f *feed) file(ctx context.Context, name string) (err error) {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("rate: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	events, err := ingest.NewReader(name, file)
	if err != nil {
		return fmt.Errorf("rate: %w", err)
	}
	for {
		e, err := events.Next()
		var bad *ingest.LineError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			f.refuse(bad)
			continue
		case err != nil:
			return fmt.Errorf("rate: %w", err)
		}
		if f.events = append(f.events, e); len(f.events) == feedEvents {
			if err := f.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// refuse keeps a line that is no usage event.
func (f *feed) refuse(bad *ingest.LineError) {
	l := export.DeadLetter{Source: bad.Source, ID: bad.ID, Reason: ingest.ReasonUndecodableMessage, Detail: bad.Err.Error()}
	var p *ingest.Problem
	if errors.As(bad.Err, &p) {
		l.Reason, l.Detail = p.Reason, p.Detail
	}
	f.refused = append(f.refused, l)
}

// flush writes the events that are waiting. One that the log does not take is a
// dead letter without having been in the log.
func (f *feed) flush(ctx context.Context) error {
	if len(f.events) == 0 {
		return nil
	}
	results, err := f.host.Ingest(ctx, f.events)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Problem != nil {
			e := &f.events[i]
			f.refused = append(f.refused, export.DeadLetter{Source: e.Source, ID: e.ID, Reason: r.Problem.Reason, Detail: r.Problem.Detail})
			continue
		}
		f.reached(r.Position.Partition, r.Position.Sequence)
	}
	f.written += len(f.events)
	f.events = f.events[:0]
	if f.progress != nil {
		f.progress(f.written)
	}
	return nil
}

func (f *feed) reached(partition int, sequence uint64) {
	if f.highest == nil {
		f.highest = map[int]uint64{}
	}
	f.highest[partition] = max(f.highest[partition], sequence)
}

// positions returns how far each partition has been written.
func (f *feed) positions() []query.Position {
	var list []query.Position
	for p, sequence := range f.highest {
		list = append(list, query.Position{Stream: stream.Usage(p), Partition: p, Sequence: sequence})
	}
	return list
}
