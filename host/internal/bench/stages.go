package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
)

// The sizes of the stages' measurements.
const (
	batchEvents = 4_096            // in a call of the rater, and of the plugin
	stageEvents = 32 * batchEvents // a round, at most
	pluginSlots = 512              // of the plugin alone: 8 events of a batch each
	stepBatches = 8                // between commits, at most
)

// stageSize is how many events a round of a stage has: whole batches.
func (r *run) stageSize() int {
	return min(stageEvents, r.config.Events/batchEvents*batchEvents)
}

// stages measures each stage alone.
func (r *run) stages(ctx context.Context) error {
	w := newWorkload(r.config.Accounts)
	for _, f := range formats() {
		r.config.Progress("decode: " + f.name)
		if err := r.decode(w, f); err != nil {
			return fmt.Errorf("decode: %w", err)
		}
	}
	s, err := openShop(ctx, w, filepath.Join(r.dir, "plugins"))
	if err != nil {
		return err
	}
	r.config.Progress("rate")
	err = r.plugin(ctx, s)
	if err == nil {
		err = r.rateAndAccumulate(ctx, w, s)
	}
	if err = errors.Join(err, s.close(ctx)); err != nil {
		return err
	}
	return nil
}

func (r *run) addStage(name, unit string, samples []sample) {
	r.report.Stages = append(r.report.Stages, newStage(name, unit, samples))
}

// decode measures the decoder on bodies in memory, in the way of a partition:
// one decoder, one slice of events.
func (r *run) decode(w *workload, f format) error {
	var bodies [][]byte
	err := w.messages(f, r.stageSize(), 1, func(_ int, body []byte) error {
		bodies = append(bodies, body)
		return nil
	})
	if err != nil {
		return err
	}
	header := func(name string) string {
		if name == "content-type" {
			return f.contentType
		}
		return ""
	}
	decoder := ingest.NewDecoder(1)
	events := make([]ingest.Event, 0, messageEvents)
	var samples []sample
	err = r.rounds(func() error {
		s, err := r.measure(r.stageSize(), func() error {
			for _, body := range bodies {
				decoder.Reset()
				events = decoder.Decode(header, body, events[:0])
				if p := events[len(events)-1].Problem; p != nil {
					return p
				}
			}
			return nil
		})
		samples = append(samples, s)
		return err
	})
	r.addStage("decode "+f.name, "event", samples)
	return err
}

// plugin measures the graduated tariff in WebAssembly alone: the same slots
// again and again.
func (r *run) plugin(ctx context.Context, s *shop) error {
	instance, err := s.module.NewInstance(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, instance.Close(ctx)) }()
	batch, err := s.pluginBatch(ctx, instance)
	if err != nil {
		return err
	}
	slots := slices.Clone(batch.Slots)
	price := func() error {
		batch.Slots = append(batch.Slots[:0], slots...)
		rejects, err := instance.Price(ctx, batch)
		if err == nil && len(rejects) > 0 {
			err = errors.New(rejects[0].Detail)
		}
		return err
	}
	if err := price(); err != nil { // the slots are new once
		return err
	}
	copy(slots, batch.Slots)
	for i := range slots {
		slots[i].Keep()
		slots[i].New = false
	}
	var samples []sample
	err = r.rounds(func() error {
		s, err := r.measure(r.stageSize(), func() error {
			for range r.stageSize() / batchEvents {
				if err := price(); err != nil {
					return err
				}
			}
			return nil
		})
		samples = append(samples, s)
		return err
	})
	r.addStage("plugin (Wasm, graduated)", "event", samples)
	return err
}

// rateAndAccumulate measures the rater on a state that has all slots, the
// plugin included; what the partition then does with the outcome; and the
// commit of what has changed.
func (r *run) rateAndAccumulate(ctx context.Context, w *workload, s *shop) (err error) {
	events, err := w.decoded(r.stageSize())
	if err != nil {
		return err
	}
	rater := rate.NewRater(s)
	rater.SetCatalog(s.catalog)
	defer func() { err = errors.Join(err, rater.Close(ctx)) }()
	store, err := checkpoint.Open(filepath.Join(r.dir, "stage"), checkpoint.DefaultOptions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	partition, err := store.Partition(0)
	if err != nil {
		return err
	}
	l := &lane{run: r, rater: rater, state: accumulate.NewState(), partition: partition}
	if err := l.once(ctx, events); err != nil { // the slots are new once
		return err
	}
	var rated, folded, committed []sample
	err = r.rounds(func() error {
		l.rate, l.fold, l.commit = sample{}, sample{}, sample{}
		for i := range events { // none has been seen before
			events[i].Identity[0]++
		}
		err := l.once(ctx, events)
		rated, folded, committed = append(rated, l.rate), append(folded, l.fold), append(committed, l.commit)
		return err
	})
	r.addStage("rate (plugin included)", "event", rated)
	r.addStage("accumulate", "event", folded)
	r.addStage("checkpoint", "entry", committed)
	return err
}

// lane runs batches through rating, accumulating and committing.
type lane struct {
	*run
	rater     *rate.Rater
	state     *accumulate.State
	partition *checkpoint.Partition

	rate, fold, commit sample // of one round
}

// once runs all events, in batches, with a commit after some.
func (l *lane) once(ctx context.Context, events []ingest.Event) error {
	for step := range slices.Chunk(events, stepBatches*batchEvents) {
		delta := accumulate.NewDelta(l.state)
		for batch := range slices.Chunk(step, batchEvents) {
			if err := l.batch(ctx, delta, batch); err != nil {
				return err
			}
		}
		if err := l.end(delta); err != nil {
			return err
		}
	}
	return nil
}

// batch rates events and records them as priced.
func (l *lane) batch(ctx context.Context, delta *accumulate.Delta, events []ingest.Event) error {
	var out rate.Outcome
	s, err := l.measure(len(events), func() (err error) {
		out, err = l.rater.Rate(ctx, delta, events)
		return err
	})
	if err == nil && len(out.Rejected) > 0 {
		err = errors.New(out.Rejected[0].Detail)
	}
	if err != nil {
		return err
	}
	l.rate.add(s)
	s, err = l.measure(len(events), func() error {
		for i := range events {
			e := &events[i]
			if _, seen := delta.Seen(e.Identity); !seen {
				delta.Remember(e.Identity, accumulate.Seen{Content: e.Content, Position: uint64(i)})
			}
			delta.SawTime(e.Time)
		}
		for _, slot := range out.Slots {
			if err := delta.Put(slot); err != nil {
				return err
			}
		}
		return nil
	})
	l.fold.add(s)
	return err
}

// end commits a delta and applies it.
func (l *lane) end(delta *accumulate.Delta) error {
	c := checkpoint.Commit{Puts: map[uint8][]checkpoint.Entry{}}
	s, err := l.measure(0, func() error {
		for table := range uint8(accumulate.Tables) {
			c.Puts[table] = make([]checkpoint.Entry, 0, delta.Count(table))
		}
		return delta.Entries(func(table uint8, key, value []byte) {
			c.Puts[table] = append(c.Puts[table], checkpoint.Entry{Key: key, Value: value})
		})
	})
	l.fold.add(s)
	if err != nil {
		return err
	}
	entries := 0
	for _, table := range c.Puts {
		entries += len(table)
	}
	s, err = l.measure(entries, func() error { return l.partition.Commit(&c) })
	l.commit.add(s)
	if err != nil {
		return err
	}
	s, err = l.measure(0, func() error {
		delta.Apply()
		return nil
	})
	l.fold.add(s)
	return err
}
