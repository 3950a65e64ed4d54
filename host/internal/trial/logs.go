package trial

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// Bounds of what is published, and read, at a time: about what a host takes.
const (
	publishMessages = 2_000
	publishBytes    = 16 << 20
	readMessages    = 20_000
	readBytes       = 16 << 20
)

// hostConfig is that of a host on the log.
func (w *worker) hostConfig() host.Config {
	return host.Config{
		DataDir: w.job.DataDir, Partitions: w.job.Log.Partitions, PluginCache: w.job.PluginCache,
		NATS: w.job.Log.config(), TakeOver: true, Now: w.now,
		Turns: host.ShareProcessors(), // as `tollway serve` does
	}
}

// withHost runs fn beside a host that runs.
func (w *worker) withHost(ctx context.Context, fn func(context.Context, *host.Host) error) (err error) {
	config := w.hostConfig()
	config.Memory = host.HoldMemory(ctx)
	h, err := host.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
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

// apply puts the usage's catalog in force.
func (w *worker) apply(ctx context.Context, h *host.Host) error {
	world, err := w.job.Usage.world()
	if err != nil {
		return err
	}
	applied, err := h.Apply(ctx, host.ApplyRequest{Files: []catalog.File{{Name: "cloud.yaml", Data: world.Catalog()}}})
	if err == nil && len(applied.Problems) > 0 {
		err = &host.CatalogError{Problems: applied.Problems}
	}
	return err
}

// fill puts the catalog in force, if the log is new, and writes the events from
// job.From on.
func (w *worker) fill(ctx context.Context) error {
	if w.job.From == 0 {
		if err := w.withHost(ctx, w.apply); err != nil {
			return err
		}
		if err := os.RemoveAll(w.job.DataDir); err != nil {
			return err
		}
	}
	world, err := w.job.Usage.world()
	if err != nil {
		return err
	}
	return w.withLog(ctx, func(conn *stream.Conn) error {
		f := filler{conn: conn}
		start := w.now()
		u := w.job.Usage
		s := cloud.Stretch{From: w.job.From, To: u.Events, Partitions: w.job.Log.Partitions, PerMessage: u.PerMessage}
		err := world.Messages(u.Format, s, func(partition int, body []byte) error { return f.add(ctx, u.Format, partition, body) })
		if err == nil {
			err = f.publish(ctx)
		}
		if err != nil {
			return err
		}
		f.filled.Took = w.now().Sub(start)
		if f.filled.Ends, err = ends(ctx, conn, w.job.Log.Partitions); err != nil {
			return err
		}
		return w.say(answer{Kind: answerDone, Filled: f.filled})
	})
}

// filler publishes messages, many at a time.
type filler struct {
	conn   *stream.Conn
	out    []stream.Outgoing
	bytes  int
	filled Filled
}

func (f *filler) add(ctx context.Context, format cloud.Format, partition int, body []byte) error {
	f.filled.Messages++
	f.filled.Bytes += len(body)
	f.bytes += len(body)
	f.out = append(f.out, outgoing(format, partition, body))
	if len(f.out) < publishMessages && f.bytes < publishBytes {
		return nil
	}
	return f.publish(ctx)
}

func (f *filler) publish(ctx context.Context) error {
	_, err := f.conn.Publish(ctx, f.out)
	f.out, f.bytes = f.out[:0], 0
	return err
}

func outgoing(f cloud.Format, partition int, body []byte) stream.Outgoing {
	subject := stream.EventSubject(partition)
	if f == cloud.Packed {
		subject = stream.BatchSubject(partition)
	}
	out := stream.Outgoing{Subject: subject, Data: body}
	if !ingest.SaysPacked(body) { // the intake writes packed messages without a header
		out.Header = map[string]string{"Content-Type": contentType(f)}
	}
	return out
}

func contentType(f cloud.Format) string {
	return [...]string{ingest.ContentTypePacked, ingest.ContentTypeArray, ingest.ContentTypeEvent}[f]
}

// read measures how fast the streams can be read when nothing is done with the
// messages: as a host reads them, all partitions side by side.
func (w *worker) read(ctx context.Context) error {
	return w.withLog(ctx, func(conn *stream.Conn) error {
		m := w.begin()
		group, ctx := errgroup.WithContext(ctx)
		for _, end := range w.job.Until {
			group.Go(func() error { return each(ctx, conn, end, func([]stream.Message) error { return nil }) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		f, err := m.end(uint64(w.job.Usage.Events))
		if err != nil {
			return err
		}
		return w.say(answer{Kind: answerDone, Figures: f})
	})
}

// each reads one partition to its end. The messages are fn's until it returns.
func each(ctx context.Context, conn *stream.Conn, end query.Position, fn func([]stream.Message) error) error {
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
		if err := fn(messages); err != nil {
			return err
		}
		at = messages[len(messages)-1].Sequence
	}
	return nil
}
