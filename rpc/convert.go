package rpc

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// timestamp is absent for the zero time.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func periodOut(p billing.Period) *tollwayv1.Period {
	return &tollwayv1.Period{Id: p.ID(), Start: timestamp(p.Start), End: timestamp(p.End)}
}

func positionOut(p query.Position) *tollwayv1.Position {
	return &tollwayv1.Position{Stream: p.Stream, Partition: uint32(p.Partition), Sequence: p.Sequence}
}

func asOfOut(a query.AsOf) *tollwayv1.AsOf {
	out := &tollwayv1.AsOf{
		Positions:       make([]*tollwayv1.Position, 0, len(a.Positions)),
		Watermark:       timestamp(a.Watermark),
		CatalogRevision: a.CatalogRevision,
		Token:           positionToken(a.Positions),
	}
	for _, p := range a.Positions {
		out.Positions = append(out.Positions, positionOut(p))
	}
	return out
}

func groupOut(fields []billing.Field) map[string]string {
	if len(fields) == 0 {
		return nil
	}
	group := make(map[string]string, len(fields))
	for _, f := range fields {
		group[f.Key] = f.Text
	}
	return group
}

func totalsOut(totals []query.Total) []*tollwayv1.Money {
	out := make([]*tollwayv1.Money, 0, len(totals))
	for _, t := range totals {
		out = append(out, &tollwayv1.Money{Amount: t.AmountText, Currency: string(t.Currency)})
	}
	slices.SortFunc(out, func(a, b *tollwayv1.Money) int { return strings.Compare(a.GetCurrency(), b.GetCurrency()) })
	return out
}

func subtotalsOut(subtotals []query.Subtotal) []*tollwayv1.Subtotal {
	out := make([]*tollwayv1.Subtotal, 0, len(subtotals))
	var period *tollwayv1.Period // of the row before: rows share it, since a message is not changed any more
	for i := range subtotals {
		s := &subtotals[i]
		if i == 0 || s.Period != subtotals[i-1].Period {
			period = periodOut(s.Period)
		}
		out = append(out, subtotalOut(s, period))
	}
	return out
}

func subtotalOut(s *query.Subtotal, period *tollwayv1.Period) *tollwayv1.Subtotal {
	out := &tollwayv1.Subtotal{
		Id: subtotalID(s), Account: string(s.Account), Subscription: s.Subscription,
		Tariff: s.Tariff, Meter: s.Meter, Currency: string(s.Currency),
		Period: period, Group: groupOut(s.Group),
		Lines:  make([]*tollwayv1.SubtotalLine, 0, len(s.Lines)),
		Amount: s.AmountText, Events: s.Events, LastEventTime: timestamp(s.LastEventTime), Final: s.Final,
		EffectiveFrom: timestamp(s.Version), Plugin: s.Module,
	}
	lines := make([]tollwayv1.SubtotalLine, len(s.Lines))
	for i, l := range s.Lines {
		out.Lines = append(out.Lines, &lines[i])
		lines[i].Id, lines[i].Description, lines[i].Quantity, lines[i].Amount = l.ID, l.Description, l.Quantity.String(), l.AmountText
	}
	return out
}

// subtotalIDLen is how many bytes of a digest make the id of a subtotal.
const subtotalIDLen = 12

// subtotalID is short, the same on every host, and made of what makes a
// subtotal one of its own.
func subtotalID(s *query.Subtotal) string {
	return string(appendSubtotalID(make([]byte, 0, 2*subtotalIDLen), s))
}

// appendPart appends a text with its length before it.
func appendPart[T ~string | ~[]byte](key []byte, text T) []byte {
	return append(binary.AppendUvarint(key, uint64(len(text))), text...)
}

func periodStatusOut(p *query.PeriodState) *tollwayv1.PeriodStatus {
	out := &tollwayv1.PeriodStatus{
		Period: periodOut(p.Period), TimeZone: p.Zone, AnchorDay: uint32(p.AnchorDay),
		State: periodStateOf(p), ClosesAt: timestamp(p.ClosesAt),
	}
	for _, n := range p.Open {
		out.OpenPartitions = append(out.OpenPartitions, uint32(n))
	}
	for _, n := range p.Closed {
		out.ClosedPartitions = append(out.ClosedPartitions, uint32(n))
	}
	for _, w := range p.Waits {
		wait := &tollwayv1.PeriodWait{Reason: w.Reason, Detail: w.Detail}
		for _, n := range w.Partitions {
			wait.Partitions = append(wait.Partitions, uint32(n))
		}
		out.Waits = append(out.Waits, wait)
	}
	out.ParkedCount = uint64(len(p.Parked))
	for i := range p.Parked[:min(len(p.Parked), parkedMax)] {
		out.Parked = append(out.Parked, parkedOut(&p.Parked[i]))
	}
	return out
}

// parkedMax is how many parked invoices of a period an answer lists.
const parkedMax = 1000

func parkedOut(k *query.Parked) *tollwayv1.ParkedInvoice {
	return &tollwayv1.ParkedInvoice{
		Account: string(k.Account), Partition: uint32(k.Partition), Reason: k.Reason, Detail: k.Detail,
		Tariff: k.Tariff, Rule: k.Rule, Plugin: k.Module,
	}
}

func periodStateOf(p *query.PeriodState) tollwayv1.PeriodState {
	if len(p.Open) == 0 {
		return tollwayv1.PeriodState_PERIOD_STATE_CLOSED
	}
	return tollwayv1.PeriodState_PERIOD_STATE_OPEN
}
