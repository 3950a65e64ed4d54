package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// usageCommand sends and generates usage events.
type usageCommand struct {
	Send     usageSendCommand     `cmd:"" help:"Send events of JSON Lines, JSON array or CSV files."`
	Generate usageGenerateCommand `cmd:"" help:"Generate telco usage whose totals are known."`
}

// usageSendCommand sends files of events.
type usageSendCommand struct {
	clientFlags
	Files []string `arg:"" help:"Files of events; - reads JSON Lines from standard input."`
	Batch int      `default:"5000" help:"Events per call, up to 10000."`
	Wait  bool     `help:"Return only when everything accepted is in the committed subtotals."`
}

// sendBatchMax is what the Ingest call takes.
const sendBatchMax = 10_000

// sender collects events into calls of Ingest.
type sender struct {
	clients  *rpc.Clients
	progress *progress
	report   io.Writer
	size     int
	batch    []*tollwayv1.UsageEvent
	places   []string // file and line of each event of the batch

	accepted, rejected int
	token              string // position of the last call
}

// Run sends all files and counts what became of their events.
func (c *usageSendCommand) Run(ctx context.Context, s streams) error {
	if c.Batch < 1 || c.Batch > sendBatchMax {
		return usageError{fmt.Errorf("--batch must be 1 to %d", sendBatchMax)}
	}
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	send := &sender{clients: clients, progress: newProgress(s.err, "sending", "events"), report: s.err, size: c.Batch}
	for _, name := range c.Files {
		if err := send.file(ctx, name, s.in); err != nil {
			send.progress.finish()
			return errors.Join(err, fmt.Errorf("%d events were accepted before; sending them again is safe", send.accepted))
		}
	}
	err = send.flush(ctx)
	send.progress.finish()
	if err != nil {
		return err
	}
	if c.Wait && send.token != "" {
		_, err := clients.Subtotals.List(ctx, &tollwayv1.SubtotalServiceListRequest{
			PageSize: 1, MinPosition: &tollwayv1.MinPosition{Token: send.token},
		})
		if err != nil {
			return failed(clients, err)
		}
	}
	if _, err := fmt.Fprintf(s.out, "%d events accepted, %d rejected\n", send.accepted, send.rejected); err != nil {
		return err
	}
	if send.rejected > 0 {
		return fmt.Errorf("%d events were rejected; mend the lines named above and send them again", send.rejected)
	}
	return nil
}

// file sends the events of one file.
func (s *sender) file(ctx context.Context, name string, stdin io.Reader) (err error) {
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		in = file
	}
	events, err := ingest.NewReader(name, in)
	if err != nil {
		return err
	}
	for {
		e, err := events.Next()
		var bad *ingest.LineError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			if err := s.reject(bad.Error()); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		s.batch = append(s.batch, wireEvent(e))
		s.places = append(s.places, fmt.Sprintf("%s:%d", name, events.Line()))
		if len(s.batch) == s.size {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// wireEvent is an event as the Ingest call takes it.
func wireEvent(e billing.UsageEvent) *tollwayv1.UsageEvent {
	data := make(map[string]string, len(e.Data))
	for _, f := range e.Data {
		data[f.Key] = f.Text
	}
	return &tollwayv1.UsageEvent{
		Id: e.ID, Source: e.Source, Type: e.Type, Subject: string(e.Account), Time: timestamppb.New(e.Time), Data: data,
	}
}

// reject counts an event that was not accepted and says why.
func (s *sender) reject(why string) error {
	s.rejected++
	s.progress.clear()
	_, err := fmt.Fprintln(s.report, "rejected "+why)
	return err
}

// flush sends the batch.
func (s *sender) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	answer, err := s.clients.Usage.Ingest(ctx, &tollwayv1.UsageServiceIngestRequest{Events: s.batch})
	if err != nil {
		return failed(s.clients, err)
	}
	for i, r := range answer.GetResults() {
		if no := r.GetRejected(); no != nil {
			if err := s.reject(fmt.Sprintf("%s: %s", s.places[i], no.GetDetail())); err != nil {
				return err
			}
		}
	}
	s.accepted += int(answer.GetAccepted())
	s.progress.add(len(s.batch))
	s.token = answer.GetPositionToken()
	s.batch, s.places = s.batch[:0], s.places[:0]
	return nil
}
