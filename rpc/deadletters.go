package rpc

import (
	"context"
	"encoding/json"
	"unicode/utf8"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// deadLetterService implements DeadLetterService.
type deadLetterService struct{ *services }

// List returns a page of dead letters.
func (s deadLetterService) List(ctx context.Context, r *tollwayv1.DeadLetterServiceListRequest) (*tollwayv1.DeadLetterServiceListResponse, error) {
	pages := newPager("DeadLetterService/List", r.GetAccount(), r.GetReason())
	page, err := pages.page(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	answer, err := s.engine.DeadLetters(ctx, DeadLetterFilter{Account: r.GetAccount(), Reason: r.GetReason()}, page)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.DeadLetterServiceListResponse{
		DeadLetters: make([]*tollwayv1.DeadLetter, 0, len(answer.DeadLetters)),
		Counts: &tollwayv1.EventCounts{
			Read: answer.Counters.Read, Priced: answer.Counters.Priced,
			Duplicates: answer.Counters.Duplicates, DeadLettered: answer.Counters.DeadLettered,
		},
		NextPageToken: pages.next(answer.NextToken), AsOf: asOfOut(answer.AsOf),
	}
	for i := range answer.DeadLetters {
		out.DeadLetters = append(out.DeadLetters, deadLetterOut(&answer.DeadLetters[i], answer.AsOf))
	}
	return out, nil
}

// deadLetterOut takes the name of the stream from the answer's positions.
func deadLetterOut(d *query.DeadLetter, asOf query.AsOf) *tollwayv1.DeadLetter {
	position := query.Position{Partition: d.Partition, Sequence: d.Position}
	for _, p := range asOf.Positions {
		if p.Partition == d.Partition {
			position.Stream = p.Stream
		}
	}
	out := &tollwayv1.DeadLetter{
		Position: positionOut(position),
		Index:    uint32(d.Index), Number: d.Number,
		Source: d.Source, Id: d.ID, Type: d.Type, Account: d.Account, Time: d.Time,
		Reason: d.Reason, Detail: d.Detail,
	}
	if json.Valid(d.Event) && utf8.Valid(d.Event) {
		out.Event = string(d.Event)
	} else {
		out.Raw = d.Event
	}
	return out
}
