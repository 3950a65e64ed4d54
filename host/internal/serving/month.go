package serving

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/export/folder"
)

// period is the one that all usage falls into.
const period = "2026-01"

// Exported is what exporting the month in a format has taken: by `tollway invoices
// export`, a process of its own that calls the server as invoicing would.
type Exported struct {
	Format   string        `json:"format"`
	Invoices uint64        `json:"invoices"`
	Lines    uint64        `json:"lines"`
	Bytes    int64         `json:"bytes"` // of its files
	Took     time.Duration `json:"took_ns"`
	// PeakMemory is the most that the process had resident, bytes; 0 where the system
	// does not tell.
	PeakMemory int64 `json:"peak_memory_bytes"`
}

// closeMonth closes the month: its keys become lines of invoices.
func (r *run) closeMonth(ctx context.Context) error {
	r.Progress("closing the month")
	begun := r.Now()
	if _, err := r.host.ClosePeriod(ctx, host.CloseRequest{Period: period, SkipGrace: true}); err != nil {
		return fmt.Errorf("serving: closing the month: %w", err)
	}
	r.report.Closed = r.Now().Sub(begun)
	return nil
}

// export exports the month in each format.
func (r *run) export(ctx context.Context, server string) error {
	for _, format := range r.Formats {
		r.Progress("exporting the month as " + format)
		e, err := r.exportAs(ctx, server, format)
		if err != nil {
			return err
		}
		r.report.Exports = append(r.report.Exports, e)
	}
	return nil
}

func (r *run) exportAs(ctx context.Context, server, format string) (Exported, error) {
	to := filepath.Join(r.dir, "month-"+format)
	command := r.Launch(ctx, "invoices", "export", "--server", server, "--period", period, "--format", format, "--out", to)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	begun := r.Now()
	err := command.Start()
	var peak int64
	if err == nil {
		watched := make(chan struct{})
		var group errgroup.Group
		group.Go(func() error {
			peak = peakMemory(command.Process.Pid, watched)
			return nil
		})
		err = command.Wait()
		close(watched)
		_ = group.Wait() // it has no error
	}
	if err != nil {
		return Exported{}, fmt.Errorf("serving: export as %s: %w: %s", format, err, said.Bytes())
	}
	e := Exported{Format: format, Took: r.Now().Sub(begun), PeakMemory: peak}
	m, err := folder.ReadManifest(to)
	if err != nil {
		return Exported{}, err
	}
	e.Invoices, e.Lines = m.Invoices, m.Lines
	for _, f := range m.Files {
		e.Bytes += f.Bytes
	}
	return e, os.RemoveAll(to)
}

// memoryLooks is the time between two looks at the memory of a process.
const memoryLooks = 20 * time.Millisecond

// peakMemory follows the most memory that a process has had resident, bytes, until
// done; 0 where the system does not tell. What the system says of a process that has
// ended is no use: it counts the memory of the one that started it, which it shared
// for a moment.
func peakMemory(pid int, done <-chan struct{}) (peak int64) {
	look := time.NewTicker(memoryLooks)
	defer look.Stop()
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return peak
		}
		for line := range strings.Lines(string(status)) {
			var kib int64
			if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
				peak = kib << 10
			}
		}
		select {
		case <-look.C:
		case <-done:
			return peak
		}
	}
}
