package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/ingest"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// correctedEvent names the event that a command corrects.
type correctedEvent struct {
	clientFlags
	Account string `required:"" placeholder:"ID" help:"The event's account."`
	Source  string `required:"" placeholder:"SOURCE" help:"The event's source."`
	ID      string `required:"" placeholder:"ID" help:"The event's id."`
	From    string `default:"tollway" placeholder:"SOURCE" help:"Who corrects it: the source of the correction."`
}

// usageVoidCommand voids an event.
type usageVoidCommand struct {
	correctedEvent `embed:""`
}

// Run sends the void and waits until it is in the committed subtotals.
func (c *usageVoidCommand) Run(ctx context.Context, s streams) error {
	return c.correct(ctx, s, "void", host.TypeVoid, nil)
}

// usageAmendCommand amends an event.
type usageAmendCommand struct {
	correctedEvent `embed:""`

	Data string `placeholder:"JSON" help:"What the event's data should have said, all of it: a JSON object. Without it the data stay."`
	Time string `placeholder:"TIME" help:"When it should have been, RFC 3339, in the same billing period. Without it the time stays."`
}

// Run sends the amendment and waits until it is in the committed subtotals.
func (c *usageAmendCommand) Run(ctx context.Context, s streams) error {
	var fields []billing.Field
	if c.Data != "" {
		var object map[string]any
		if err := json.Unmarshal([]byte(c.Data), &object); err != nil || object == nil {
			return usageError{fmt.Errorf("--data must be a JSON object, such as '{\"seconds\": 60}': %s", c.Data)}
		}
		fields = append(fields, billing.Field{Key: "data", Text: c.Data})
	}
	if c.Time != "" {
		at, err := time.Parse(time.RFC3339Nano, c.Time)
		if err != nil {
			return usageError{fmt.Errorf("--time: %q is not an RFC 3339 time with a zone, such as 2026-10-01T12:00:00Z", c.Time)}
		}
		fields = append(fields, billing.Field{Key: "time", Text: at.UTC().Format(time.RFC3339Nano)})
	}
	if len(fields) == 0 {
		return usageError{errors.New("say what the event should have said: --data, --time or both")}
	}
	return c.correct(ctx, s, "amendment", host.TypeAmend, fields)
}

// correct sends a correction with these fields beside the name of the event.
func (c *correctedEvent) correct(ctx context.Context, s streams, what, eventType string, fields []billing.Field) error {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	// An id of its own each time: what says nothing new changes nothing.
	e := billing.UsageEvent{
		Source: c.From, ID: what + "-" + hex.EncodeToString(random[:]), Type: eventType, Account: billing.AccountID(c.Account), Time: time.Now().UTC(),
		Data: append(fields, billing.Field{Key: "id", Text: c.ID}, billing.Field{Key: "source", Text: c.Source}),
	}
	if p := ingest.Validate(&e); p != nil {
		return p
	}
	in, out := bytes.NewReader(append(ingest.FormatJSON(e), '\n')), s.out
	s.in, s.out = in, io.Discard
	send := usageSendCommand{clientFlags: c.clientFlags, Files: []string{"-"}, Wait: true}
	if err := send.Run(ctx, s); err != nil {
		return err
	}
	if err := c.refused(ctx, what, &e); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s %s was made: tollway subtotals get %s\n", what, e.ID, c.Account)
	return err
}

// refused returns why a correction that was read is a dead letter, nil when it is none.
func (c *correctedEvent) refused(ctx context.Context, what string, e *billing.UsageEvent) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	request := &tollwayv1.DeadLetterServiceListRequest{Account: c.Account, Status: "open", PageSize: 1000}
	for {
		answer, err := clients.DeadLetters.List(ctx, request)
		if err != nil {
			return failed(clients, err)
		}
		for _, l := range answer.GetDeadLetters() {
			if l.GetSource() == e.Source && l.GetId() == e.ID {
				return fmt.Errorf("the %s was not made and is dead letter %s: %s: %s", what, letterName(l), l.GetReason(), l.GetDetail())
			}
		}
		if request.PageToken = answer.GetNextPageToken(); request.PageToken == "" {
			return nil
		}
	}
}
