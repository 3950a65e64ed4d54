package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// worker is the process's side of a job.
type worker struct {
	job job
	now func() time.Time

	mu  sync.Mutex // answers come from several goroutines
	out *json.Encoder
}

// Work does the job that stands on in, and ends when in does. It is what a
// process of a Launcher calls.
func Work(ctx context.Context, in io.Reader, out io.Writer, now func() time.Time) error {
	w := &worker{now: now, out: json.NewEncoder(out)}
	input := json.NewDecoder(in)
	if err := input.Decode(&w.job); err != nil {
		return fmt.Errorf("bench: job: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		// Whatever ends the input ends the work.
		_, _ = io.Copy(io.Discard, in)
		stop()
	}()
	err := w.work(ctx)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		return errors.Join(w.say(answer{Kind: answerError, Error: err.Error()}))
	}
	return nil
}

func (w *worker) work(ctx context.Context) error {
	switch w.job.Kind {
	case jobServe:
		return w.serve(ctx)
	case jobFill:
		return w.fill(ctx)
	case jobRead:
		return w.read(ctx)
	case jobMap:
		return w.sumInMaps(ctx)
	case jobHost:
		return w.host(ctx)
	case jobPostgres:
		return w.loadDatabase(ctx)
	case jobLatency:
		return w.latency(ctx)
	case jobIngest:
		return w.ingest(ctx)
	case jobIdentities:
		return w.growIdentities(ctx)
	}
	return fmt.Errorf("there is no job %q", w.job.Kind)
}

// say tells the parent something.
func (w *worker) say(a answer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Encode(a)
}

// serve is the server of a log until the process is stopped.
func (w *worker) serve(ctx context.Context) (err error) {
	conn, err := stream.Open(ctx, w.job.Log.config())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := w.say(answer{Kind: answerReady, URL: conn.Address()}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// withLog runs fn with a connection to the log.
func (w *worker) withLog(ctx context.Context, fn func(*stream.Conn) error) (err error) {
	conn, err := stream.Open(ctx, w.job.Log.config())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return fn(conn)
}

// ends are the last messages of all partitions.
func ends(ctx context.Context, conn *stream.Conn, partitions int) ([]query.Position, error) {
	var list []query.Position
	for n := range partitions {
		_, last, err := conn.LastSequence(ctx, stream.Usage(n))
		if err != nil {
			return nil, err
		}
		list = append(list, query.Position{Stream: stream.Usage(n), Partition: n, Sequence: last})
	}
	return list, nil
}
