package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/tollway/tollway/host/internal/oracle"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// collect reads an export of documents to its end, into a map by id.
func collect(stream tollwayv1connect.InvoiceServiceExportClientStream, into map[string][]byte) error {
	defer func() { _ = stream.Close() }() // what is left of one that broke off tells nothing more
	var pieces []byte
	for {
		m, err := stream.Receive()
		if err == io.EOF { //nolint:errorlint // the stream's own end is not wrapped
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		documents := m.GetDocuments()
		if pieces = append(pieces, m.GetDocumentPiece()...); m.GetDocumentEnds() {
			documents, pieces = append(documents, pieces), nil
		}
		for _, d := range documents {
			var head struct{ ID string }
			if err := json.Unmarshal(d, &head); err != nil {
				return err
			}
			if into[head.ID] != nil {
				return fmt.Errorf("invoice %s is there twice", head.ID)
			}
			into[head.ID] = d
		}
		if m.GetDone() {
			return nil
		}
	}
}

// verdict is what a comparison has found.
type verdict struct {
	lost, doubled int64 // events
	wrong         int   // lines that differ, for whatever reason
	problems      []string
}

// say notes a problem.
func (v *verdict) say(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

// shown is how many differing lines are told one by one.
const shown = 6

// compare holds all invoices against what a world comes to.
func compare(documents map[string][]byte, want map[string]bool) (v verdict) {
	got, lines := oracle.Sums{}, map[string]bool{}
	for _, id := range ids(documents) {
		if err := got.AddInvoice(documents[id]); err != nil {
			v.say("%v", err)
		}
	}
	for _, line := range got.Lines() {
		lines[line] = true
	}
	v.count(lines, want)
	for _, side := range []struct {
		what          string
		these, others map[string]bool
	}{{"billed, and should not be", lines, want}, {"should be billed, and is not", want, lines}} {
		for _, line := range ids(side.these) {
			if side.others[line] {
				continue
			}
			if v.wrong++; v.wrong <= shown {
				v.say("%s: %s", side.what, line)
			}
		}
	}
	return v
}

// count finds the events that are lost or counted twice: the lines of the tariff that
// counts have their number as quantity.
func (v *verdict) count(got, want map[string]bool) {
	events := map[string]int64{}
	for _, side := range []struct {
		lines map[string]bool
		sign  int64
	}{{got, 1}, {want, -1}} {
		for line := range side.lines {
			parts := strings.Split(line, "|")
			if n := len(parts); n > 4 && parts[3] == countTariff {
				quantity, ok := new(big.Int).SetString(parts[n-2], 10)
				if !ok {
					v.say("%q counts no events", line)
					continue
				}
				events[strings.Join(parts[:n-2], "|")] += side.sign * quantity.Int64()
			}
		}
	}
	for _, difference := range events {
		v.lost += max(0, -difference)
		v.doubled += max(0, difference)
	}
}

// openRows returns the subtotals of periods that are open, as the oracle writes them.
func (s *site) openRows(ctx context.Context) (rows map[string]bool, err error) {
	err = s.insist(ctx, "list the subtotals", func(ctx context.Context, c *rpc.Clients) error {
		rows = map[string]bool{}
		request := &tollwayv1.SubtotalServiceListRequest{PageSize: 1000}
		for {
			page, err := c.Subtotals.List(ctx, request)
			if err != nil {
				return err
			}
			for _, t := range page.GetSubtotals() {
				amount, ok := new(big.Rat).SetString(t.GetAmount())
				if !ok {
					return fmt.Errorf("%q is no amount", t.GetAmount())
				}
				if t.GetFinal() || t.GetEvents() == 0 || !strings.HasPrefix(t.GetAccount(), "account-") {
					continue
				}
				rows[strings.Join([]string{
					t.GetAccount(), t.GetPeriod().GetStart().AsTime().Format(time.RFC3339), t.GetCurrency(), t.GetTariff(), t.GetSubscription(),
					t.GetEffectiveFrom().AsTime().Format(time.RFC3339), oracle.GroupText(t.GetGroup()), fmt.Sprint(t.GetEvents()), amount.RatString(),
				}, "|")] = true
			}
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				return nil
			}
		}
	})
	return rows, err
}

// compareOpen holds the subtotals of open periods against what they should be.
func (s *site) compareOpen(ctx context.Context, v *verdict, want map[string]bool) error {
	got, err := s.openRows(ctx)
	if err != nil {
		return err
	}
	for _, side := range []struct {
		what          string
		these, others map[string]bool
	}{{"shown as open, and should not be", got, want}, {"should be shown as open, and is not", want, got}} {
		for _, row := range ids(side.these) {
			if !side.others[row] {
				v.wrong++
				v.say("%s: %s", side.what, row)
			}
		}
	}
	return nil
}

// balance checks the counters of a world that has been read to its end.
func (s *site) balance(ctx context.Context, f *Feeder) (v verdict) {
	c, err := s.counts(ctx)
	if err != nil {
		v.say("%v", err)
		return v
	}
	if c.GetRead() != c.GetPriced()+c.GetDuplicates()+c.GetDeadLettered() || c.GetDeadLettered() != 0 || c.GetPriced() != uint64(f.world.Events) {
		v.say("%v: of %d events each must be priced once, and every other one be a duplicate", c, f.world.Events)
	}
	if c.GetDuplicates() < f.doubled.Load() {
		v.say("%d duplicates were counted, at least %d were sent", c.GetDuplicates(), f.doubled.Load())
	}
	return v
}
