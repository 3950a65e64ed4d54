package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// usageCommand sends and generates usage events.
type usageCommand struct {
	Send     usageSendCommand     `cmd:"" help:"Send events of JSON Lines, JSON array or CSV files."`
	Void     usageVoidCommand     `cmd:"" help:"Take one event out of what is billed."`
	Amend    usageAmendCommand    `cmd:"" help:"Say what one event should have said."`
	Generate usageGenerateCommand `cmd:"" help:"Generate telco usage whose totals are known."`
}

// usageSendCommand sends files of events.
type usageSendCommand struct {
	clientFlags
	Files []string `arg:"" help:"Files of events; - reads JSON Lines from standard input."`
	Wait  bool     `help:"Return only when everything accepted is in the committed subtotals."`
}

// sender counts what becomes of the events of files.
type sender struct {
	to       *rpc.Sender
	progress *progress
	report   io.Writer
	files    []string

	accepted, rejected int
	failure            error // of the report
}

// Run sends all files and counts what became of their events.
func (c *usageSendCommand) Run(ctx context.Context, s streams) (err error) {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	send := &sender{progress: newProgress(s.err, "sending", "events"), report: s.err, files: c.Files}
	if send.to, err = clients.NewSender(ctx, send.sent); err != nil {
		return failed(clients, err)
	}
	defer send.to.Close()
	err = send.all(ctx, s.in)
	send.progress.finish()
	if err != nil {
		return errors.Join(failed(clients, err), fmt.Errorf("%s accepted before; sending them again is safe", countedWere(send.accepted, "event")))
	}
	if reached := send.to.Reached(); c.Wait && len(reached) > 0 {
		_, err := clients.Subtotals.List(ctx, &tollwayv1.SubtotalServiceListRequest{
			PageSize: 1, MinPosition: &tollwayv1.MinPosition{Positions: reached},
		})
		if err != nil {
			return failed(clients, err)
		}
	}
	if _, err := fmt.Fprintf(s.out, "%s accepted, %d rejected\n", counted(send.accepted, "event"), send.rejected); err != nil {
		return err
	}
	if send.rejected > 0 {
		return fmt.Errorf("%s rejected; mend the lines named above and send them again", countedWere(send.rejected, "event"))
	}
	return nil
}

// all sends the files, one behind the other.
func (s *sender) all(ctx context.Context, stdin io.Reader) error {
	for i := range s.files {
		if err := s.file(ctx, i, stdin); err != nil {
			return err
		}
	}
	return errors.Join(s.to.Flush(ctx), s.failure)
}

// file sends the events of one file.
func (s *sender) file(ctx context.Context, number int, stdin io.Reader) (err error) {
	name, in := s.files[number], stdin
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
	for seen := false; s.failure == nil; seen = true {
		e, err := events.Next()
		var bad *ingest.LineError
		switch {
		case errors.Is(err, io.EOF):
			if !seen { // no fault of a job that sends what there is, and a surprise to whoever expects usage
				s.note(name + " holds no events")
			}
			return nil
		case errors.As(err, &bad):
			s.reject(bad.Error())
			continue
		case err != nil:
			return err
		}
		if err := s.to.Add(ctx, &e, uint64(number)<<lineBits|uint64(events.Line())); err != nil {
			return err
		}
	}
	return s.failure
}

// lineBits is how much of an event's tag is the line in its file; the rest is
// the file's number.
const lineBits = 40

// sent counts what became of events.
func (s *sender) sent(events rpc.Sent) {
	s.accepted += events.Accepted
	s.progress.add(events.Accepted)
	for _, no := range events.Rejected {
		s.reject(fmt.Sprintf("%s:%d: %s", s.files[no.Tag>>lineBits], no.Tag&(1<<lineBits-1), no.Detail))
	}
}

// reject counts an event that was not accepted and says why.
func (s *sender) reject(why string) {
	s.rejected++
	s.note("rejected " + why)
}

// note prints a line beside the progress.
func (s *sender) note(text string) {
	s.progress.clear()
	if _, err := fmt.Fprintln(s.report, text); err != nil {
		s.failure = errors.Join(s.failure, err)
	}
}
