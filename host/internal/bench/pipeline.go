package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// pipelines measures the whole way in each body format. Those with fewer events
// have fewer accounts: a slot takes as many events in each.
func (r *run) pipelines(ctx context.Context) error {
	for _, f := range formats() {
		if !r.config.wants(f.key) {
			continue
		}
		p := &pipeline{
			run: r, workload: newWorkload(max(1, r.config.Accounts/f.share)), format: f,
			events: r.config.Events / f.share, dir: filepath.Join(r.dir, f.key),
		}
		if err := p.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := os.RemoveAll(p.dir); err != nil {
			return err
		}
	}
	return nil
}

// pipeline is a log in one body format and what is measured on it.
type pipeline struct {
	*run
	workload *workload
	format   format
	events   int
	dir      string
	last     []query.Position // the ends of the streams
	result   Pipeline
}

// measure fills a log and works through it, once a round.
func (p *pipeline) measure(ctx context.Context) error {
	p.config.Progress("filling a log: " + p.format.name)
	p.result = Pipeline{Name: p.format.name, Events: p.events, Accounts: len(p.workload.accounts)}
	if err := p.prepare(ctx); err != nil {
		return err
	}
	if err := p.fill(ctx); err != nil {
		return err
	}
	sums, err := p.workload.sums(p.events)
	if err != nil {
		return err
	}
	p.config.Progress("pipeline: " + p.format.name)
	var read, endToEnd []sample
	err = p.rounds(func() error {
		s, err := p.read(ctx)
		if err != nil {
			return err
		}
		read = append(read, s)
		if s, err = p.process(ctx, len(read), sums); err != nil {
			return err
		}
		endToEnd = append(endToEnd, s)
		return nil
	})
	if err != nil {
		return err
	}
	p.result.sumUp(read, endToEnd)
	p.report.Pipelines = append(p.report.Pipelines, p.result)
	return nil
}

// hostConfig is that of a host on the log, with a data directory of its own.
func (p *pipeline) hostConfig(data string) host.Config {
	return host.Config{
		DataDir: filepath.Join(p.dir, data), Partitions: p.config.Partitions, PluginCache: filepath.Join(p.run.dir, "plugins"),
		NATS: stream.Config{Embedded: p.server(false)}, TakeOver: true, Now: p.config.Now,
	}
}

func (p *pipeline) server(unsynced bool) *stream.EmbeddedConfig {
	return &stream.EmbeddedConfig{StoreDir: filepath.Join(p.dir, "nats"), Partitions: p.config.Partitions, Unsynced: unsynced}
}

// withHost runs fn beside a host that runs.
func (p *pipeline) withHost(ctx context.Context, data string, fn func(context.Context, *host.Host) error) (err error) {
	config := p.hostConfig(data)
	h, err := host.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close(), os.RemoveAll(config.DataDir)) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stop()
		return fn(ctx, h)
	})
	group.Go(func() error { return h.Run(ctx) })
	return group.Wait()
}

// prepare makes the streams and puts the catalog in force.
func (p *pipeline) prepare(ctx context.Context) error {
	return p.withHost(ctx, "first", func(ctx context.Context, h *host.Host) error {
		applied, err := h.Apply(ctx, host.ApplyRequest{Files: p.workload.catalog()})
		if err == nil && len(applied.Problems) > 0 {
			err = &host.CatalogError{Problems: applied.Problems}
		}
		return err
	})
}

// publishMessages is how many messages are published together.
const publishMessages = 2_000

// fill writes the events into the log. The server does not sync meanwhile: that
// is not what is measured.
func (p *pipeline) fill(ctx context.Context) (err error) {
	conn, err := stream.Open(ctx, stream.Config{Embedded: p.server(true)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var out []stream.Outgoing
	publish := func() error {
		sequences, err := conn.Publish(ctx, out)
		if err != nil || len(sequences) == 0 {
			return err
		}
		out = out[:0]
		return nil
	}
	err = p.workload.messages(p.format, p.events, p.config.Partitions, func(partition int, body []byte) error {
		p.result.Messages++
		p.result.MessageBytes += len(body)
		out = append(out, stream.Outgoing{Subject: p.format.subject(partition), Header: map[string]string{"Content-Type": p.format.contentType}, Data: body})
		if len(out) < publishMessages {
			return nil
		}
		return publish()
	})
	if err == nil {
		err = publish()
	}
	if err != nil {
		return err
	}
	p.result.MessageBytes /= p.result.Messages
	for n := range p.config.Partitions {
		_, last, err := conn.LastSequence(ctx, stream.Usage(n))
		if err != nil {
			return err
		}
		p.last = append(p.last, query.Position{Stream: stream.Usage(n), Partition: n, Sequence: last})
	}
	return nil
}

// Bounds of what a reader takes at a time: about what a partition takes.
const (
	readMessages = 20_000
	readBytes    = 16 << 20
)

// read measures how fast the streams can be read when nothing is done with the
// messages: as a host reads them, all partitions side by side.
func (p *pipeline) read(ctx context.Context) (s sample, err error) {
	conn, err := stream.Open(ctx, stream.Config{Embedded: p.server(false)})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return p.run.measure(p.events, func() error {
		group, ctx := errgroup.WithContext(ctx)
		for _, end := range p.last {
			group.Go(func() error { return drain(ctx, conn, end) })
		}
		return group.Wait()
	})
}

// drain reads one partition to its end.
func drain(ctx context.Context, conn *stream.Conn, end query.Position) error {
	reader, err := conn.Reader(ctx, end.Partition, 0)
	if err != nil {
		return err
	}
	defer reader.Close()
	for at := uint64(0); at < end.Sequence; {
		messages, err := reader.Next(ctx, stream.Limit{Messages: readMessages, Bytes: readBytes})
		if err != nil {
			return err
		}
		at = messages[len(messages)-1].Sequence
	}
	return nil
}

// process measures a host that takes over the log with an empty data directory,
// and compares every total with its known sum.
func (p *pipeline) process(ctx context.Context, round int, sums []billing.Amount) (s sample, err error) {
	err = p.withHost(ctx, "round-"+strconv.Itoa(round), func(ctx context.Context, h *host.Host) error {
		s, err = p.run.measure(p.events, func() error { return h.Wait(ctx, p.last) })
		if err != nil {
			return err
		}
		if c := h.Counters(); c.Read != uint64(p.events) || c.Priced != c.Read {
			return fmt.Errorf("%d events were sent; the host has read %d, priced %d, found %d duplicates and %d dead letters",
				p.events, c.Read, c.Priced, c.Duplicates, c.DeadLettered)
		}
		return p.compare(h, sums)
	})
	return s, err
}

// compare holds every account's total against its known sum.
func (p *pipeline) compare(h *host.Host, sums []billing.Amount) error {
	for i, account := range p.workload.accounts {
		answer, err := h.Queries().Account(query.Filter{Account: account})
		if err != nil {
			return err
		}
		var total billing.Amount
		for _, t := range answer.Totals {
			if total, err = total.Add(t.Amount); err != nil {
				return err
			}
		}
		if total != sums[i] {
			return fmt.Errorf("account %s owes %s by the engine and %s by the plain sum", account, total, sums[i])
		}
	}
	return nil
}

// format is a body format of usage messages.
type format struct {
	key, name   string
	contentType string
	share       int // of the events of a run: one in share
	events      int // in a message
	subject     func(partition int) string
	encode      func([]billing.UsageEvent) ([]byte, error)
}

// formats lists the body formats.
func formats() []format {
	return []format{
		{"single", "single JSON", ingest.ContentTypeEvent, 5, 1, stream.EventSubject, encodeSingle},
		{"array", "JSON arrays", ingest.ContentTypeArray, 2, messageEvents, stream.EventSubject, encodeArray},
		{"packed", "packed batches", ingest.ContentTypePacked, 1, messageEvents, stream.BatchSubject, encodePacked},
	}
}

func encodeSingle(events []billing.UsageEvent) ([]byte, error) {
	return ingest.AppendJSON(nil, &events[0])
}

func encodePacked(events []billing.UsageEvent) ([]byte, error) { return ingest.Pack(nil, events) }

func encodeArray(events []billing.UsageEvent) ([]byte, error) {
	var body []byte
	for i := range events {
		var err error
		if body, err = ingest.AppendJSON(append(body, "[,"[min(i, 1)]), &events[i]); err != nil {
			return nil, err
		}
	}
	return append(body, ']'), nil
}

// messages makes the bodies that carry the first n events, each partition's in
// order.
func (w *workload) messages(f format, n, partitions int, send func(partition int, body []byte) error) error {
	waiting := make([][]billing.UsageEvent, partitions)
	flush := func(partition int) error {
		body, err := f.encode(waiting[partition])
		if err != nil {
			return err
		}
		waiting[partition] = waiting[partition][:0]
		return send(partition, body)
	}
	for i := range n {
		e, partition := w.event(i, partitions)
		waiting[partition] = append(waiting[partition], e)
		if len(waiting[partition]) == f.events {
			if err := flush(partition); err != nil {
				return err
			}
		}
	}
	for partition := range waiting {
		if len(waiting[partition]) > 0 {
			if err := flush(partition); err != nil {
				return err
			}
		}
	}
	return nil
}
