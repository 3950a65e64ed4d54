package main

import (
	"context"
	"fmt"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// deadLettersCommand looks at events that could not be priced.
type deadLettersCommand struct {
	List deadLettersListCommand `cmd:"" help:"List dead letters with their reasons."`
}

// deadLettersListCommand lists dead letters.
type deadLettersListCommand struct {
	clientFlags
	outputFlags
	Account string `placeholder:"ID" help:"Only this account."`
	Reason  string `placeholder:"REASON" help:"Only this reason."`
	Limit   int    `default:"100" help:"Rows at most; 0 for all."`
}

// Run prints the dead letters and the counters that they are part of.
func (c *deadLettersListCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	request := &tollwayv1.DeadLetterServiceListRequest{Account: c.Account, Reason: c.Reason, PageSize: 1000}
	whole := &tollwayv1.DeadLetterServiceListResponse{}
	for {
		if left := c.Limit - len(whole.GetDeadLetters()); c.Limit > 0 && left < 1000 {
			request.PageSize = uint32(left)
		}
		answer, err := clients.DeadLetters.List(ctx, request)
		if err != nil {
			return failed(clients, err)
		}
		whole.DeadLetters = append(whole.DeadLetters, answer.GetDeadLetters()...)
		whole.Counts, whole.AsOf, whole.NextPageToken = answer.GetCounts(), answer.GetAsOf(), answer.GetNextPageToken()
		if whole.NextPageToken == "" || c.Limit > 0 && len(whole.DeadLetters) >= c.Limit {
			break
		}
		request.PageToken = whole.NextPageToken
	}
	if c.Output == "json" {
		return printJSON(s.out, whole)
	}
	g := columns("account", "source", "id", "time", "reason", "detail")
	for _, l := range whole.DeadLetters {
		g.add(l.GetAccount(), l.GetSource(), l.GetId(), l.GetTime(), l.GetReason(), l.GetDetail())
	}
	if err := g.print(s.out, c.Output); err != nil || c.Output == "csv" {
		return err
	}
	n := whole.GetCounts()
	_, err = fmt.Fprintf(s.out, "%d events read = %d priced + %d duplicates + %d dead letters\n",
		n.GetRead(), n.GetPriced(), n.GetDuplicates(), n.GetDeadLettered())
	return err
}
