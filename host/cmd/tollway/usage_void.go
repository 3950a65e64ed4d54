package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/sdk/billing"
)

// usageVoidCommand voids an event.
type usageVoidCommand struct {
	clientFlags
	Account string `required:"" placeholder:"ID" help:"The event's account."`
	Source  string `required:"" placeholder:"SOURCE" help:"The event's source."`
	ID      string `required:"" placeholder:"ID" help:"The event's id."`
	From    string `default:"tollway" placeholder:"SOURCE" help:"Who voids it: the source of the void."`
}

// Run sends the void and waits until it is in the committed subtotals.
func (c *usageVoidCommand) Run(ctx context.Context, s streams) error {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	// An id of its own each time: what is voided already stays that.
	e := billing.UsageEvent{
		Source: c.From, ID: "void-" + hex.EncodeToString(random[:]), Type: host.TypeVoid, Account: billing.AccountID(c.Account), Time: time.Now().UTC(),
		Data: []billing.Field{{Key: "id", Text: c.ID}, {Key: "source", Text: c.Source}},
	}
	if p := ingest.Validate(&e); p != nil {
		return p
	}
	s.in = bytes.NewReader(append(ingest.FormatJSON(e), '\n'))
	send := usageSendCommand{clientFlags: c.clientFlags, Files: []string{"-"}, Wait: true}
	if err := send.Run(ctx, s); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "void %s was read; if no such event was priced it is a dead letter: tollway dead-letters list --reason %s\n", e.ID, host.ReasonUnknownEvent)
	return err
}
