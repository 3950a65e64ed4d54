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

func (r *run) addStage(name string, samples []sample) {
	r.report.Stages = append(r.report.Stages, newStage(name, "event", samples))
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
	r.addStage("decode "+f.name, samples)
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
	r.addStage("plugin (Wasm, graduated)", samples)
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
	options := checkpoint.DefaultOptions()
	options.Journals = []uint8{accumulate.LogSlots}
	store, err := checkpoint.Open(filepath.Join(r.dir, "stage"), options)
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
		err := l.once(ctx, events)
		rated, folded, committed = append(rated, l.rate), append(folded, l.fold), append(committed, l.commit)
		return err
	})
	r.addStage("rate (plugin included)", rated)
	r.addStage("accumulate", folded)
	r.addStage("checkpoint", committed)
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
		for batch := range slices.Chunk(step, batchEvents) {
			if err := l.batch(ctx, batch); err != nil {
				return err
			}
		}
		if err := l.end(len(step)); err != nil {
			return err
		}
	}
	return nil
}

// batch rates events and takes the outcome into the state.
func (l *lane) batch(ctx context.Context, events []ingest.Event) error {
	var out rate.Outcome
	s, err := l.measure(len(events), func() (err error) {
		out, err = l.rater.Rate(ctx, l.state, events)
		return err
	})
	if err == nil && len(out.Rejected) > 0 {
		err = errors.New(out.Rejected[0].Detail)
	}
	if err != nil {
		return err
	}
	l.rate.add(s)
	s, err = l.measure(len(events), func() error { return l.state.Take(out.Changes) })
	l.fold.add(s)
	return err
}

// end commits what has changed, by a number of events.
func (l *lane) end(events int) error {
	g, err := l.state.Cut()
	if err != nil {
		return err
	}
	c := checkpoint.Commit{Puts: map[uint8][]checkpoint.Entry{}, Appends: map[uint8][][]byte{accumulate.LogSlots: g.Appends(accumulate.LogSlots)}}
	g.Tables(func(table uint8, key, value []byte) {
		c.Puts[table] = append(c.Puts[table], checkpoint.Entry{Key: key, Value: value})
	})
	s, err := l.measure(events, func() error { return l.partition.Commit(&c) })
	l.commit.add(s)
	l.state.Durable(g)
	return err
}
