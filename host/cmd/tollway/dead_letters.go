package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// deadLettersCommand is the inbox of events that could not be priced.
type deadLettersCommand struct {
	List    deadLettersListCommand    `cmd:"" help:"List dead letters with their reasons."`
	Summary deadLettersSummaryCommand `cmd:"" help:"Count dead letters by reason."`
	Show    deadLettersShowCommand    `cmd:"" help:"Show one dead letter with its event."`
	Replay  deadLettersReplayCommand  `cmd:"" help:"Price dead letters whose cause is mended; each event is priced once."`
	Discard deadLettersDiscardCommand `cmd:"" help:"Settle dead letters that are not to be priced, with a reason."`
}

// deadLettersListCommand lists dead letters.
type deadLettersListCommand struct {
	clientFlags
	outputFlags
	Account string `placeholder:"ID" help:"Only this account."`
	Reason  string `placeholder:"REASON" help:"Only this reason."`
	Status  string `enum:"open,priced,duplicate,discarded,all" default:"open" help:"Only open ones, or those that were settled so: open, priced, duplicate, discarded, all."`
	Limit   int    `default:"100" help:"Rows at most; 0 for all."`
}

// Run prints the dead letters and the counters that they are part of.
func (c *deadLettersListCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	request := &tollwayv1.DeadLetterServiceListRequest{Account: c.Account, Reason: c.Reason, Status: c.Status, PageSize: 1000}
	if c.Status == "all" {
		request.Status = ""
	}
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
	g := columns("letter", "account", "source", "id", "time", "status", "reason", "detail")
	for _, l := range whole.DeadLetters {
		g.add(letterName(l), l.GetAccount(), l.GetSource(), l.GetId(), l.GetTime(), l.GetStatus(), l.GetReason(), l.GetDetail())
	}
	g.orSay("%s", c.none())
	if err := g.print(s.out, c.Output); err != nil || c.Output == "csv" {
		return err
	}
	n := whole.GetCounts()
	discarded := ""
	if n.GetDiscarded() > 0 {
		discarded = fmt.Sprintf(" (%d of them discarded)", n.GetDiscarded())
	}
	_, err = fmt.Fprintf(s.out, "%d events read = %d priced + %d duplicates + %d dead letters%s\n",
		n.GetRead(), n.GetPriced(), n.GetDuplicates(), n.GetDeadLettered(), discarded)
	if err == nil && whole.NextPageToken != "" {
		_, err = fmt.Fprintf(s.out, "There are more than these %d; --limit 0 lists all.\n", len(whole.DeadLetters))
	}
	return err
}

// none says of which dead letters there is none.
func (c *deadLettersListCommand) none() string {
	text := "no dead letter"
	if c.Status != "all" {
		text = "no " + c.Status + " dead letter"
	}
	if c.Account != "" {
		text += fmt.Sprintf(" of account %q", c.Account)
	}
	if c.Reason != "" {
		text += fmt.Sprintf(" with the reason %q", c.Reason)
	}
	return text
}

// letterName is how a dead letter is named on the command line.
func letterName(l *tollwayv1.DeadLetter) string {
	return fmt.Sprintf("%d/%d", l.GetPosition().GetPartition(), l.GetNumber())
}

// parseLetterName reads such a name.
func parseLetterName(text string) (*tollwayv1.DeadLetterName, error) {
	partition, number, ok := strings.Cut(text, "/")
	p, errPartition := strconv.ParseUint(partition, 10, 31)
	n, errNumber := strconv.ParseUint(number, 10, 64)
	if !ok || errPartition != nil || errNumber != nil || n == 0 {
		return nil, usageError{fmt.Errorf("%q names no dead letter: names are as in the list, PARTITION/NUMBER", text)}
	}
	return &tollwayv1.DeadLetterName{Partition: uint32(p), Number: n}, nil
}

// deadLettersSummaryCommand counts dead letters.
type deadLettersSummaryCommand struct {
	clientFlags
	outputFlags
}

// Run prints the counts.
func (c *deadLettersSummaryCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.DeadLetters.Summarize(ctx, &tollwayv1.DeadLetterServiceSummarizeRequest{})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	g := columns("reason", ">open", ">all").orSay("no dead letters")
	for _, r := range answer.GetReasons() {
		g.add(r.GetReason(), strconv.FormatUint(r.GetOpen(), 10), strconv.FormatUint(r.GetAll(), 10))
	}
	return g.print(s.out, c.Output)
}

// deadLettersShowCommand shows one dead letter.
type deadLettersShowCommand struct {
	clientFlags
	Letter string `arg:"" help:"Name of the dead letter, as in the list: PARTITION/NUMBER."`
	Output string `short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
}

// Run prints the dead letter.
func (c *deadLettersShowCommand) Run(ctx context.Context, s streams) error {
	name, err := parseLetterName(c.Letter)
	if err != nil {
		return err
	}
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.DeadLetters.Get(ctx, &tollwayv1.DeadLetterServiceGetRequest{Name: name})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	l := answer.GetDeadLetter()
	var b strings.Builder
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, shown(text))
		}
	}
	row("letter", letterName(l))
	row("status", l.GetStatus())
	row("reason", l.GetReason())
	row("detail", l.GetDetail())
	row("account", l.GetAccount())
	row("source", l.GetSource())
	row("id", l.GetId())
	row("type", l.GetType())
	row("time", l.GetTime())
	row("position", fmt.Sprintf("%s %d, event %d of the message", l.GetPosition().GetStream(), l.GetPosition().GetSequence(), l.GetIndex()))
	if l.GetAttempts() > 0 {
		row("replays", strconv.Itoa(int(l.GetAttempts())))
	}
	row("by", l.GetBy())
	row("at", l.GetAt())
	row("why", l.GetWhy())
	row("event", l.GetEvent())
	if raw := l.GetRaw(); len(raw) > 0 {
		row("bytes", strconv.QuoteToASCII(string(raw)))
	}
	_, err = fmt.Fprint(s.out, b.String())
	return err
}

// letterSelection says which dead letters a command is for.
type letterSelection struct {
	Letters []string `arg:"" optional:"" name:"letter" help:"Names of dead letters, as in the list: PARTITION/NUMBER."`
	All     bool     `help:"All open ones. With --account or --reason it says nothing more than these."`
	Account string   `placeholder:"ID" help:"All open ones of this account."`
	Reason  string   `placeholder:"REASON" help:"All open ones with this reason."`
	By      string   `placeholder:"NAME" help:"Who decides, for the record. Default: the user and the machine."`
}

// selection makes of it what the call takes.
func (l *letterSelection) selection() (*tollwayv1.DeadLetterSelection, error) {
	out := &tollwayv1.DeadLetterSelection{Matching: l.All || l.Account != "" || l.Reason != "", Account: l.Account, Reason: l.Reason}
	switch {
	case len(l.Letters) == 0 && !out.GetMatching():
		return nil, usageError{errors.New("say which dead letters: their names, --reason REASON, --account ID or --all")}
	case len(l.Letters) > 0 && out.GetMatching():
		return nil, usageError{errors.New("give names, or say which by --reason, --account or --all, not both")}
	}
	for _, text := range l.Letters {
		name, err := parseLetterName(text)
		if err != nil {
			return nil, err
		}
		out.Names = append(out.Names, name)
	}
	return out, nil
}

// who is who decides.
func (l *letterSelection) who() string {
	if l.By != "" {
		return l.By
	}
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// deadLettersReplayCommand replays dead letters.
type deadLettersReplayCommand struct {
	clientFlags
	letterSelection
	Output string `short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
}

// Run replays and prints what became of them.
func (c *deadLettersReplayCommand) Run(ctx context.Context, s streams) error {
	selection, err := c.selection()
	if err != nil {
		return err
	}
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.DeadLetters.Replay(ctx, &tollwayv1.DeadLetterServiceReplayRequest{Selection: selection, By: c.who()})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		err = printJSON(s.out, answer)
	} else {
		_, err = fmt.Fprintf(s.out, "priced %d, priced before %d, refused again %d, settled before %d\n",
			answer.GetPriced(), answer.GetDuplicates(), answer.GetRefused(), answer.GetPassed())
	}
	if err == nil && answer.GetRefused() > 0 {
		return fmt.Errorf("%s refused again; their reasons now: tollway dead-letters list", countedWere(answer.GetRefused(), "dead letter"))
	}
	return err
}

// deadLettersDiscardCommand discards dead letters.
type deadLettersDiscardCommand struct {
	clientFlags
	letterSelection
	Why    string `required:"" placeholder:"TEXT" help:"Why they will not be priced; it is kept with them."`
	Output string `short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
}

// Run discards and prints how many.
func (c *deadLettersDiscardCommand) Run(ctx context.Context, s streams) error {
	selection, err := c.selection()
	if err != nil {
		return err
	}
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.DeadLetters.Discard(ctx, &tollwayv1.DeadLetterServiceDiscardRequest{Selection: selection, Why: c.Why, By: c.who()})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	_, err = fmt.Fprintf(s.out, "discarded %d, settled before %d\n", answer.GetDiscarded(), answer.GetPassed())
	return err
}
