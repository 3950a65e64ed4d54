package sim

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/oracle"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// What is tried, and never billed, has an oracle too: the same log with what is tried
// and with a close behind it.

// headerSet and headerSetPart name the set, and which of its messages, that a message
// of the log is.
const (
	headerSet     = "Tollway-Backfill"
	headerSetPart = "Tollway-Backfill-Part"
)

// previewed is a preview that was shown.
type previewed struct {
	partition int
	position  uint64
	account   string
	period    billing.Period
	sums      oracle.Sums
}

// triedSet is what was shown of a set.
type triedSet struct {
	name   string
	report query.BackfillReport
}

// sideKey marks the calls to the log that a client's own goroutine makes: whether they
// fail must not hang on what the partitions do meanwhile.
type sideKey struct{}

func side(ctx context.Context) string {
	if ctx.Value(sideKey{}) != nil {
		return " beside"
	}
	return ""
}

// try has a client ask for a preview, or for something about a set.
func (w *world) try(p *process, h *host.Host, done chan error) {
	ctx := context.WithValue(p.ctx, sideKey{}, true)
	switch n := w.IntN(100); {
	case n < 50 || w.faultyDisk(p):
		account := pick(w, "emma", "noah/1.a", "ann", "bob", "new-1")
		w.note("preview %s", account)
		go func() { done <- w.preview(ctx, h, account) }()
	case w.set == "":
		name := fmt.Sprintf("set-%d", w.steps)
		events := w.drawSet()
		w.note("try %s: %d events", name, len(events))
		w.sets[name], w.set = events, name
		go func() { done <- w.send(ctx, h, name, events) }()
	case n < 75:
		name := w.set
		w.note("show %s", name)
		go func() { done <- w.show(ctx, h, name) }()
	case n < 92:
		name := w.set
		w.note("commit %s", name)
		go func() {
			_, _, err := h.CommitBackfill(ctx, name, "operator")
			w.settledSet(name, err)
			done <- err
		}()
	default:
		name := w.set
		w.note("drop %s", name)
		go func() {
			err := h.DropBackfill(ctx, name)
			w.settledSet(name, err)
			done <- err
		}()
	}
}

// faultyDisk reports whether a set that is tried lies on another disk.
func (w *world) faultyDisk(p *process) bool { return p.disk != w.disks[0] }

// settledSet notes that a set is committed or dropped, or not there.
func (w *world) settledSet(name string, err error) {
	var refused *host.Fault
	gone := errors.As(err, &refused) && (refused.Reason() == host.ReasonNotFound || refused.Reason() == host.ReasonBackfillExists)
	if err != nil && !gone {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.set == name {
		w.set = ""
	}
}

// drawSet draws a set of usage, no identity twice.
func (w *world) drawSet() (events []oracle.Event) {
	for range 1 + w.IntN(12) {
		e := w.drawEvent()
		if !slices.ContainsFunc(events, func(o oracle.Event) bool { return o.Source == e.Source && o.ID == e.ID && o.Account == e.Account }) {
			events, w.sent = append(events, e), append(w.sent, e)
		}
	}
	return events
}

// send sends a set and has it shown.
func (w *world) send(ctx context.Context, h *host.Host, name string, events []oracle.Event) error {
	var lines bytes.Buffer
	for _, e := range events {
		lines.Write(ingest.FormatJSON(usage(e)))
		lines.WriteByte('\n')
	}
	err := h.AddToBackfill(ctx, name, 0, lines.Bytes())
	if err == nil {
		_, err = h.FinishBackfill(ctx, name, "operator")
	}
	if err != nil {
		w.settledSet(name, nil)
		return err
	}
	return w.show(ctx, h, name)
}

// show notes what a set would change.
func (w *world) show(ctx context.Context, h *host.Host, name string) error {
	report, err := h.ShowBackfill(ctx, name, 10_000)
	if w.refusedTrial("backfill", err) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tried = append(w.tried, triedSet{name, report})
	return nil
}

// refusedTrial reports whether a trial has failed, which it may where the host says why
// or ends.
func (w *world) refusedTrial(what string, err error) bool {
	var refused *host.Fault
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, errCrashed) && !errors.Is(err, context.Canceled) && !errors.Is(err, stream.ErrUnavailable) {
		w.violated(what, "%v", err)
	}
	return err != nil
}

// preview notes a preview of the period that holds the time now.
func (w *world) preview(ctx context.Context, h *host.Host, account string) error {
	shown, err := h.Preview(ctx, billing.AccountID(account), "")
	if w.refusedTrial("preview", err) {
		return err
	}
	p := previewed{partition: w.owner(account), account: account, period: shown.Period, sums: oracle.Sums{}}
	for _, at := range shown.AsOf.Positions {
		if at.Partition == p.partition {
			p.position = at.Sequence
		}
	}
	for i := range shown.Invoices {
		text, err := shown.Invoices[i].Encode()
		if err == nil {
			err = p.sums.AddInvoice(text)
		}
		if err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.previews = append(w.previews, p)
	return nil
}

// forgetTrials forgets what was tried behind a position: it was read there, and the log
// has lost it before anything was committed.
func (w *world) forgetTrials(partition int, position uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.previews = slices.DeleteFunc(w.previews, func(p previewed) bool { return p.partition == partition && p.position > position })
	w.tried = slices.DeleteFunc(w.tried, func(s triedSet) bool {
		return slices.ContainsFunc(s.report.AsOf.Positions, func(at query.Position) bool { return at.Partition == partition && at.Sequence > position })
	})
}

// setMessage returns the events of a message of a set that was committed: each message
// is in the log once.
func (w *world) setMessage(name string, partition int, m stream.Message) (events []oracle.Event, err error) {
	for _, o := range w.journal.stream(stream.Usage(partition)).list {
		if o.Sequence != m.Sequence && o.Header.Get(headerSet) == name && o.Header.Get(headerSetPart) == m.Header.Get(headerSetPart) {
			w.violated("a set is written once", "partition %d: message %s of %s is at %d and at %d", partition, m.Header.Get(headerSetPart), name, o.Sequence, m.Sequence)
		}
	}
	for _, e := range ingest.NewDecoder(1).Decode(m.Header.Get, m.Data, nil) {
		i := slices.IndexFunc(w.sets[name], func(o oracle.Event) bool { return o.Source == e.Source && o.ID == e.ID && o.Account == e.Account })
		if i < 0 {
			return nil, fmt.Errorf("message %d of partition %d has an event that is not of %s: %s %s", m.Sequence, partition, name, e.Source, e.ID)
		}
		events = append(events, w.sets[name][i])
	}
	return events, nil
}

// compareTrials compares what was tried with what the log would come to.
func (w *world) compareTrials(n int, log []oracle.Entry, owns func(string) bool) {
	for _, p := range w.previews {
		if p.partition != n || p.position > uint64(len(log)) || w.What() != "" {
			continue
		}
		closing := oracle.Entry{Position: p.position + 1, Close: &oracle.Close{
			Zone: p.period.Start.Location().String(), AnchorDay: p.period.Start.Day(), Start: p.period.Start, End: p.period.End,
		}}
		before := log[:p.position]
		want, err := lineDifference(before, append(slices.Clone(before), closing), owns)
		if err != nil {
			w.violated("oracle", "%v", err)
			return
		}
		// Only the first period that is open has what earlier ones are corrected by.
		first := slices.ContainsFunc(before, func(e oracle.Entry) bool {
			return e.Close != nil && e.Close.Zone == closing.Close.Zone && e.Close.AnchorDay == closing.Close.AnchorDay && e.Close.End.Equal(p.period.Start)
		})
		mine := p.account + "|"
		if !first {
			mine += p.period.Start.UTC().Format(time.RFC3339) + "|"
		}
		keep := func(lines []string) []string {
			return slices.DeleteFunc(lines, func(l string) bool { return !strings.HasPrefix(l, mine) })
		}
		w.same(fmt.Sprintf("a preview of %s for %s as of %d", p.account, p.period.ID(), p.position), n, keep(want.Lines()), keep(p.sums.Lines()))
	}
	for _, s := range w.tried {
		if w.What() == "" {
			w.compareSet(n, s, log, owns)
		}
	}
}

// compareSet compares what was shown of a set.
func (w *world) compareSet(n int, s triedSet, log []oracle.Entry, owns func(string) bool) {
	position := uint64(0)
	for _, at := range s.report.AsOf.Positions {
		if at.Partition == n {
			position = at.Sequence
		}
	}
	var mine []oracle.Event
	for _, e := range w.sets[s.name] {
		if owns(e.Account) {
			mine = append(mine, e)
		}
	}
	if len(mine) == 0 || position > uint64(len(log)) {
		return
	}
	var closes []oracle.Entry
	for _, c := range s.report.Closed {
		if c.Partition == n {
			closes = append(closes, oracle.Entry{Close: &oracle.Close{Zone: c.Zone, AnchorDay: c.AnchorDay, Start: c.Period.Start, End: c.Period.End}})
		}
	}
	before := slices.Concat(log[:position], closes)
	after := slices.Concat(log[:position], []oracle.Entry{{Position: position + 1, Events: mine}}, closes)
	want, err := lineDifference(before, after, owns)
	if err != nil {
		w.violated("oracle", "%v", err)
		return
	}
	have := oracle.Sums{}
	for _, a := range s.report.Accounts {
		if !owns(string(a.Account)) {
			continue
		}
		for _, l := range a.Lines {
			name := strings.Join([]string{
				string(a.Account), l.Period.Start.UTC().Format(time.RFC3339), string(a.Currency), cmp.Or(l.Tariff, l.Rule), l.Subscription, l.Version.UTC().Format(time.RFC3339), strings.ReplaceAll(l.Group, ", ", ","), l.ID,
			}, "|")
			have.Add(name, minus(l.NewQuantity, l.OldQuantity), minus(l.NewAmount, l.OldAmount))
		}
	}
	// Where its usage begins a calendar earlier, other accounts owe the fees of then, which no
	// report of a set says.
	lines := slices.DeleteFunc(want.Lines(), func(l string) bool {
		return !slices.ContainsFunc(mine, func(e oracle.Event) bool { return strings.HasPrefix(l, e.Account+"|") })
	})
	w.same(fmt.Sprintf("what %s would change as of %d", s.name, position), n, lines, have.Lines())
}

// minus subtracts decimals.
func minus(a, b string) *big.Rat {
	x, ok := new(big.Rat).SetString(a)
	y, fine := new(big.Rat).SetString(b)
	if !ok || !fine {
		panic("sim: " + a + " or " + b + " is no number")
	}
	return x.Sub(x, y)
}

// lineDifference is what the lines of one log come to more than those of another.
func lineDifference(before, after []oracle.Entry, owns func(string) bool) (oracle.Sums, error) {
	sums, earlier := oracle.Sums{}, oracle.Sums{}
	if err := sums.AddLines(oracle.Replay(after, owns).Lines); err != nil {
		return nil, err
	}
	if err := earlier.AddLines(oracle.Replay(before, owns).Lines); err != nil {
		return nil, err
	}
	sums.Subtract(earlier)
	return sums, nil
}
