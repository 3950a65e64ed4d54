package trial

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// plain sums one partition up in memory: no plugin, no decimals, no checkpoint,
// no queries. It is what somebody would write who needs nothing else, and so the
// limit of what the engine can reach.
type plain struct {
	world   *cloud.World
	meters  map[string]int // by event type
	tiers   [cloud.Meters]cloud.Tiers
	decoder *ingest.Decoder
	events  []ingest.Event
	seen    map[ingest.Hash]ingest.Hash // content by identity
	index   map[string]int32            // of accounts in owed
	owed    []account
	repeats int
}

// account is what an account has used and owes.
type account struct {
	units  [cloud.Meters]int64
	amount [cloud.Meters]int64 // ten-thousandths of the currency
}

func newPlain(world *cloud.World) *plain {
	p := &plain{
		world: world, meters: map[string]int{}, decoder: ingest.NewDecoder(1),
		seen: map[ingest.Hash]ingest.Hash{}, index: map[string]int32{},
	}
	for m := range p.tiers {
		p.tiers[m] = world.Tiers(m)
		p.meters[world.EventType(m)] = m
	}
	return p
}

// take sums messages up.
func (p *plain) take(messages []stream.Message) error {
	for i := range messages {
		m := &messages[i]
		if strings.Contains(m.Subject, ".ctl.") {
			continue
		}
		p.events = p.decoder.Decode(m.Header.Get, m.Data, p.events[:0])
		for k := range p.events {
			if err := p.add(&p.events[k]); err != nil {
				return err
			}
		}
		reset(p.decoder)
	}
	return nil
}

func (p *plain) add(e *ingest.Event) error {
	if e.Problem != nil {
		return e.Problem
	}
	if before, again := p.seen[e.Identity]; again {
		if before != e.Content {
			return fmt.Errorf("event %s is there with two contents", e.ID)
		}
		p.repeats++
		return nil
	}
	p.seen[e.Identity] = e.Content
	units, err := unitsOf(e)
	if err != nil {
		return err
	}
	at, ok := p.index[e.Account]
	if !ok {
		at = int32(len(p.owed))
		p.index[strings.Clone(e.Account)] = at
		p.owed = append(p.owed, account{})
	}
	a, m := &p.owed[at], p.meters[e.Type]
	a.units[m] += units
	a.amount[m] = p.tiers[m].Amount(a.units[m])
	return nil
}

// unitsOf reads the quantity of an event.
func unitsOf(e *ingest.Event) (int64, error) {
	for i := range e.Data {
		if e.Data[i].Key == cloud.KeyUnits {
			return strconv.ParseInt(e.Data[i].Text, 10, 64)
		}
	}
	return 0, fmt.Errorf("event %s has no quantity", e.ID)
}

// sumInMaps measures plain on all partitions side by side.
func (w *worker) sumInMaps(ctx context.Context) error {
	world, err := w.job.Usage.world()
	if err != nil {
		return err
	}
	return w.withLog(ctx, func(conn *stream.Conn) error {
		sums := make([]*plain, len(w.job.Until))
		m := w.begin()
		group, ctx := errgroup.WithContext(ctx)
		for i, end := range w.job.Until {
			sums[i] = newPlain(world)
			group.Go(func() error { return each(ctx, conn, end, sums[i].take) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		f, err := m.end(uint64(w.job.Usage.Events))
		if err != nil {
			return err
		}
		if err := checkPlain(world, w.job.Usage.Events, w.job.Until, sums); err != nil {
			return err
		}
		return w.say(answer{Kind: answerDone, Figures: f})
	})
}

// checkPlain compares what was summed up with the known sums.
func checkPlain(world *cloud.World, events int, partitions []query.Position, sums []*plain) error {
	repeats := 0
	for i := range partitions {
		repeats += sums[i].repeats
	}
	if repeats != world.Repeats(events) {
		return fmt.Errorf("%d repeated events were found, not %d", repeats, world.Repeats(events))
	}
	for a, want := range world.Sums(events) {
		var total int64
		for _, s := range sums {
			if at, ok := s.index[string(world.Account(a))]; ok {
				for _, n := range s.owed[at].amount {
					total += n
				}
			}
		}
		if total != want {
			return fmt.Errorf("%w: account %d owes %d, not %d", cloud.ErrDiffers, a, want, total)
		}
	}
	return nil
}
