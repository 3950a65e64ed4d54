package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// backfillCommand tries sets of events before they are billed.
type backfillCommand struct {
	Send   backfillSendCommand   `cmd:"" help:"Send a set of events under a name, and show what it would change. Nothing is billed."`
	Show   backfillShowCommand   `cmd:"" help:"Show what a set would change, as of now."`
	List   backfillListCommand   `cmd:"" help:"List the sets, and those that were committed."`
	Commit backfillCommitCommand `cmd:"" help:"Have a set be billed: write its events to the log, each once."`
	Drop   backfillDropCommand   `cmd:"" help:"Forget a set that was not committed."`
}

// backfillPartBytes is how large the parts are in which a set is sent.
const backfillPartBytes = 1 << 20

// backfillSendCommand sends a set.
type backfillSendCommand struct {
	clientFlags
	outputFlags
	Name     string   `arg:"" help:"Name of the set: small letters, digits, - and _."`
	Files    []string `arg:"" help:"Files of events, as usage send takes them; - reads JSON Lines from standard input."`
	By       string   `placeholder:"NAME" help:"Who sends it, for the record. Default: the user and the machine."`
	Accounts uint32   `default:"20" placeholder:"N" help:"How many accounts are shown, those with the largest differences (${default})."`
}

// backfillSender sends the parts of a set.
type backfillSender struct {
	clients *rpc.Clients
	name    string
	by      string
	part    uint32
	lines   bytes.Buffer
	set     *tollwayv1.Backfill
}

// Run sends the set and shows what it would change.
func (c *backfillSendCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	send := &backfillSender{clients: clients, name: c.Name, by: (&letterSelection{By: c.By}).who()}
	for _, name := range c.Files {
		if err := send.file(ctx, name, s.in); err != nil {
			return err
		}
	}
	if err := send.flush(ctx, true); err != nil {
		return err
	}
	if send.set.GetState() != "ready" {
		_, err := fmt.Fprintf(s.out, "backfill %s was being written when it was cut, and goes on; tollway backfill list shows how it stands\n", c.Name)
		return err
	}
	return showBackfill(ctx, clients, s, c.Name, c.Accounts, c.Output)
}

// file sends the events of a file. A line that is no event ends it: a set is whole.
func (b *backfillSender) file(ctx context.Context, name string, stdin io.Reader) (err error) {
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
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("nothing was billed: %w", err)
		}
		b.lines.Write(ingest.FormatJSON(e))
		b.lines.WriteByte('\n')
		if b.lines.Len() >= backfillPartBytes {
			if err := b.flush(ctx, false); err != nil {
				return err
			}
		}
	}
}

// flush sends a part.
func (b *backfillSender) flush(ctx context.Context, last bool) error {
	answer, err := b.clients.Backfills.Send(ctx, &tollwayv1.BackfillServiceSendRequest{Name: b.name, Part: b.part, Events: b.lines.Bytes(), Last: last, By: b.by})
	if err != nil {
		return failed(b.clients, err)
	}
	b.lines.Reset()
	b.part++
	b.set = answer.GetBackfill()
	return nil
}

// backfillShowCommand shows what a set would change.
type backfillShowCommand struct {
	clientFlags
	outputFlags
	Name     string `arg:"" help:"Name of the set."`
	Accounts uint32 `default:"20" placeholder:"N" help:"How many accounts are shown, those with the largest differences (${default})."`
}

// Run shows it.
func (c *backfillShowCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	return showBackfill(ctx, clients, s, c.Name, c.Accounts, c.Output)
}

// showBackfill prints what a set would change.
func showBackfill(ctx context.Context, clients *rpc.Clients, s streams, name string, accounts uint32, output string) error {
	r, err := clients.Backfills.Show(ctx, &tollwayv1.BackfillServiceShowRequest{Name: name, Accounts: accounts})
	if err != nil {
		return failed(clients, err)
	}
	if output == "json" {
		return printJSON(s.out, r)
	}
	g := differences(r.GetAccounts(), true)
	if output == "csv" {
		return g.print(s.out, output)
	}
	if err := backfillHead(s.out, r); err != nil {
		return err
	}
	if len(g.rows) > 0 {
		if err := g.print(s.out, output); err != nil {
			return err
		}
	}
	return backfillFoot(s.out, r, name)
}

// differences lists the line items that would be other; with the events behind them,
// where there are any.
func differences(accounts []*tollwayv1.BackfillAccount, events bool) *grid {
	titles := []string{"account", "period", "bills", "line", "group", ">old quantity", ">new quantity", ">old", ">new", ">difference", "currency"}
	if events {
		titles = append(titles, "because of")
	}
	g := columns(titles...)
	for _, a := range accounts {
		for _, l := range a.GetLines() {
			bills := "open"
			if l.GetClosed() {
				bills = "adjusted"
			}
			of := l.GetTariff() + l.GetRule()
			if l.GetId() != "" && l.GetId() != of {
				of += " " + l.GetId()
			}
			row := []string{
				a.GetAccount(), l.GetPeriod().GetId(), bills, of, l.GetGroup(), l.GetOldQuantity(), l.GetNewQuantity(),
				l.GetOldAmount(), l.GetNewAmount(), l.GetDifference(), a.GetCurrency(),
			}
			if events {
				row = append(row, eventsText(a))
			}
			g.add(row...)
		}
	}
	return g
}

// eventsText names the events behind an account's difference.
func eventsText(a *tollwayv1.BackfillAccount) string {
	const most = 3
	var list []string
	for i, e := range a.GetEvents() {
		if i == most {
			break
		}
		list = append(list, e.GetSource()+" "+e.GetId())
	}
	if more := uint64(len(a.GetEvents())-len(list)) + a.GetMore(); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

// backfillHead prints what becomes of the events, and what the difference is in all.
func backfillHead(out io.Writer, r *tollwayv1.BackfillServiceShowResponse) error {
	b := r.GetBackfill()
	refused := uint64(0)
	for _, f := range r.GetRefused() {
		refused += f.GetEvents()
	}
	text := fmt.Sprintf("backfill %s, %d events: %d would be priced, %d were priced before, %d would be dead letters\n", b.GetName(), b.GetEvents(), r.GetPriced(), r.GetDuplicates(), refused)
	_, err := io.WriteString(out, text+differenceText(r.GetRefused(), r.GetUnbilled(), r.GetTotals())+"\n")
	return err
}

// differenceText says what would be billed differently in all, and what would not be
// billed.
func differenceText(refused []*tollwayv1.BackfillRefusal, unbilled []*tollwayv1.UnbilledAccount, totals []*tollwayv1.BackfillTotal) (text string) {
	for _, f := range refused {
		text += fmt.Sprintf("  %d %s, such as %s %s of %s: %s\n", f.GetEvents(), f.GetReason(), f.GetSource(), f.GetId(), f.GetAccount(), f.GetDetail())
	}
	for _, u := range unbilled {
		text += fmt.Sprintf("  %s could not be invoiced: %s: %s\n", u.GetAccount(), u.GetReason(), u.GetDetail())
	}
	for _, t := range totals {
		less, negative := strings.CutPrefix(t.GetDifference(), "-")
		direction := "more"
		if negative {
			direction = "less"
		}
		text += fmt.Sprintf("%s %s would be billed %s: %s instead of %s\n", less, t.GetCurrency(), direction, t.GetNew(), t.GetOld())
	}
	if len(totals) == 0 {
		text += "nothing would be billed differently\n"
	}
	return text
}

// positionsText writes up to where the log was read.
func positionsText(asOf *tollwayv1.AsOf) string {
	var positions []string
	for _, p := range asOf.GetPositions() {
		positions = append(positions, p.GetStream()+" "+strconv.FormatUint(p.GetSequence(), 10))
	}
	return strings.Join(positions, ", ")
}

// backfillFoot prints as of where that is, and what can be done.
func backfillFoot(out io.Writer, r *tollwayv1.BackfillServiceShowResponse, name string) error {
	_, err := fmt.Fprintf(out, "%s\nas of %s; nothing is billed yet: tollway backfill commit %s, or drop\n", moreText(len(r.GetAccounts()), r.GetDifferent()), positionsText(r.GetAsOf()), name)
	return err
}

// moreText says how many accounts are not shown.
func moreText(shown int, of uint64) string {
	if uint64(shown) >= of {
		return ""
	}
	return fmt.Sprintf("… and %d more accounts and currencies; --accounts %d shows them\n", of-uint64(shown), of)
}

// backfillListCommand lists sets.
type backfillListCommand struct {
	clientFlags
	outputFlags
}

// Run prints them.
func (c *backfillListCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Backfills.List(ctx, &tollwayv1.BackfillServiceListRequest{})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	when := func(t *timestamppb.Timestamp) string {
		if t == nil {
			return ""
		}
		return second(t)
	}
	g := columns("name", "state", ">events", "sent", "by", "shown", "committed", "by", "done", "digest").orSay("no set is waiting, and none was committed: tollway backfill send NAME FILE")
	for _, b := range answer.GetBackfills() {
		g.add(b.GetName(), b.GetState(), strconv.FormatUint(b.GetEvents(), 10), when(b.GetAt()), b.GetBy(), when(b.GetShownAt()),
			when(b.GetCommittedAt()), b.GetCommittedBy(), when(b.GetDoneAt()), b.GetDigest())
	}
	return g.print(s.out, c.Output)
}

// backfillCommitCommand commits a set.
type backfillCommitCommand struct {
	clientFlags
	Name string `arg:"" help:"Name of the set."`
	By   string `placeholder:"NAME" help:"Who commits it; the ledger keeps it. Default: the user and the machine."`
}

// Run has it be billed.
func (c *backfillCommitCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Backfills.Commit(ctx, &tollwayv1.BackfillServiceCommitRequest{Name: c.Name, By: (&letterSelection{By: c.By}).who()})
	if err != nil {
		return failed(clients, err)
	}
	text := fmt.Sprintf("backfill %s is committed: its %d events are in the log, each once, and part of what is billed\n", c.Name, answer.GetBackfill().GetEvents())
	if n := answer.GetMoved(); n > 0 {
		text += fmt.Sprintf("%d messages came to the log since its difference was shown, so what it changed may be something else\n", n)
	}
	_, err = io.WriteString(s.out, text)
	return err
}

// backfillDropCommand drops a set.
type backfillDropCommand struct {
	clientFlags
	Name string `arg:"" help:"Name of the set."`
}

// Run forgets it.
func (c *backfillDropCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	if _, err := clients.Backfills.Drop(ctx, &tollwayv1.BackfillServiceDropRequest{Name: c.Name}); err != nil {
		return failed(clients, err)
	}
	_, err = fmt.Fprintf(s.out, "backfill %s is dropped\n", c.Name)
	return err
}
