package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/identity"
)

// Pace of the scrub, the reading of all that is stored.
const (
	// DefaultScrubInterval is the time between two passes over a partition.
	DefaultScrubInterval = time.Hour
	// scrubBytesPerSecond is how much it reads of one partition; the first pass of
	// a partition, for which closes wait, reads as fast as it can.
	scrubBytesPerSecond = 32 << 20
	// scrubBurst is read without a pause.
	scrubBurst = 4 << 20
)

// scrub reads what every partition has stored, one after the other, again and
// again, and condemns what is damaged.
func (h *Host) scrub(ctx context.Context) error {
	for _, p := range h.partitions { // what folding waits for comes first
		select {
		case <-ctx.Done():
			return nil
		case <-p.completed:
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		for _, p := range h.partitions {
			p.scrub(ctx, first)
		}
		again := h.config.ScrubInterval
		for _, p := range h.partitions {
			select {
			case <-p.health.wasChecked():
			default:
				again = min(again, scrubAgain) // rebuilt, or not to be read when it was its turn
			}
		}
		timer.Reset(again)
	}
}

// scrubAgain is when a partition that has not been read in full has its next
// turn.
const scrubAgain = time.Second

// scrub reads what one partition has stored. What it finds is the partition's to
// deal with.
func (p *partition) scrub(ctx context.Context, first bool) {
	store, ok := p.store.(pinnable)
	if !ok {
		return
	}
	select {
	case <-p.health.wasChecked():
		if first {
			return // there was nothing stored at the start
		}
	default:
		first = true
	}
	if !p.health.serves() {
		return
	}
	resets := p.health.count()
	position, err := p.audit(ctx, store, first)
	switch {
	case ctx.Err() != nil || errors.Is(err, checkpoint.ErrClosed) || resets != p.health.count():
		return
	case isDamage(err):
		p.health.condemn(err)
	case err != nil:
		p.host.log.Error("stored state could not be read", "partition", p.number, "error", err)
	default:
		p.health.passed(position, p.host.config.Now())
	}
}

// count returns how often the partition was made again.
func (h *health) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rebuilds
}

// reading notes how much of a pass is done.
func (h *health) reading(done, all uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.scrub.BytesDone, h.scrub.BytesAll = done, all
}

// passed notes the end of a pass that found everything right.
func (h *health) passed(position uint64, now time.Time) {
	h.mu.Lock()
	h.scrub = ScrubStatus{Verified: now, Position: position}
	h.mu.Unlock()
	h.checked()
}

// audit reads all that the partition's newest checkpoint holds, adds it up, and
// compares that with what the checkpoint says. It returns the checkpoint's
// position.
func (p *partition) audit(ctx context.Context, store pinnable, fast bool) (position uint64, err error) {
	err = store.Pinned(func(v *checkpoint.View) error {
		r := &auditReader{ctx: ctx, view: v, fast: fast, progress: p.health.reading, all: v.Bytes()}
		header, err := r.audit(p.number)
		position = header.Position
		return err
	})
	return position, err
}

// auditReader reads one checkpoint at a pace.
type auditReader struct {
	ctx       context.Context
	view      *checkpoint.View
	fast      bool
	progress  func(done, all uint64)
	done, all uint64
	burst     int
}

// LogFirst implements identity.Stored.
func (r *auditReader) LogFirst(log uint8) uint64 { return r.view.LogFirst(log) }

// LogRange implements identity.Stored.
func (r *auditReader) LogRange(log uint8, from uint64, limit int, fn func(n uint64, entry []byte) error) error {
	return r.view.LogRange(log, from, limit, func(n uint64, entry []byte) error {
		if err := fn(n, entry); err != nil {
			return err
		}
		return r.took(len(entry))
	})
}

// took notes what was read, and rests.
func (r *auditReader) took(bytes int) error {
	r.done += uint64(bytes)
	if r.burst += bytes; r.burst < scrubBurst {
		return r.ctx.Err()
	}
	r.progress(r.done, max(r.all, r.done))
	pause := time.Duration(r.burst) * time.Second / scrubBytesPerSecond
	r.burst = 0
	if r.fast {
		return r.ctx.Err()
	}
	select {
	case <-time.After(pause):
	case <-r.ctx.Done():
	}
	return r.ctx.Err()
}

// audit adds a checkpoint up and compares the sums with its own. One of a release
// that kept no sums has its stored values checked, which every read does.
func (r *auditReader) audit(partition int) (accumulate.Header, error) {
	b, number := r.view.Header()
	if number == 0 || len(b) == 0 {
		return accumulate.Header{}, nil
	}
	h, err := accumulate.DecodeHeader(b)
	if err != nil {
		return h, err
	}
	a := accumulate.NewAuditor(h)
	for _, table := range accumulate.Tables() {
		err := r.view.Load(table, func(key, value []byte) error {
			return errors.Join(a.Table(table, key, value), r.took(len(key)+len(value)))
		})
		if err != nil {
			return h, err
		}
	}
	err = r.view.LogBackward(accumulate.LogSlots, func(_ uint64, entry []byte) error {
		return errors.Join(a.Journal(entry), r.took(len(entry)))
	})
	if err != nil {
		return h, err
	}
	for _, log := range accumulate.SummedLogs() {
		err := r.LogRange(log, 1, 0, func(_ uint64, entry []byte) error {
			a.Log(log, entry)
			return nil
		})
		if err != nil {
			return h, err
		}
	}
	identities, err := identity.SumStored(r, identityOptions(h.Horizon))
	if err != nil {
		return h, err
	}
	a.Identities(identities)
	tally, sums, err := a.End()
	if err != nil {
		return h, err
	}
	return h, compareSums(partition, h, tally, sums)
}

// compareSums compares what was added up with what a checkpoint's header says.
func compareSums(partition int, h accumulate.Header, tally *accumulate.Tally, sums accumulate.Sums) error {
	apart := h.Stretches == nil || maps.Equal(h.Stretches, tally.Stretches())
	if h.Sums == nil || *h.Sums == sums && apart {
		return nil
	}
	have := h
	have.Sums = &sums
	haveDigest, err := have.StateDigest()
	if err != nil {
		return err
	}
	wantDigest, err := h.StateDigest()
	if err != nil {
		return err
	}
	return fmt.Errorf("%w (slots %t, tables %t, dead letters %t, invoices %t, verdicts %t, alerts %t, identities %t, by when they expire %t)",
		&DigestError{Partition: partition, Position: h.Position, Have: haveDigest, Want: wantDigest, Where: "its checkpoint"},
		h.Sums.Slots == sums.Slots, h.Sums.Tables == sums.Tables, h.Sums.Letters == sums.Letters,
		h.Sums.Invoices == sums.Invoices, h.Sums.Verdicts == sums.Verdicts, h.Sums.Alerts == sums.Alerts, h.Sums.Identities == sums.Identities, apart)
}
