package rpc

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// deadLetterService implements DeadLetterService.
type deadLetterService struct{ *services }

// List returns a page of dead letters.
func (s deadLetterService) List(ctx context.Context, r *tollwayv1.DeadLetterServiceListRequest) (*tollwayv1.DeadLetterServiceListResponse, error) {
	pages := newPager("DeadLetterService/List", r.GetAccount(), r.GetReason(), r.GetStatus())
	page, err := pages.page(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	answer, err := s.engine.DeadLetters(ctx, DeadLetterFilter{Account: r.GetAccount(), Reason: r.GetReason(), Status: r.GetStatus()}, page)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.DeadLetterServiceListResponse{
		DeadLetters:   make([]*tollwayv1.DeadLetter, 0, len(answer.DeadLetters)),
		Counts:        countsOut(answer.Counters),
		NextPageToken: pages.next(answer.NextToken), AsOf: asOfOut(answer.AsOf),
	}
	for i := range answer.DeadLetters {
		out.DeadLetters = append(out.DeadLetters, deadLetterOut(&answer.DeadLetters[i], answer.AsOf))
	}
	return out, nil
}

// Get returns one dead letter.
func (s deadLetterService) Get(ctx context.Context, r *tollwayv1.DeadLetterServiceGetRequest) (*tollwayv1.DeadLetterServiceGetResponse, error) {
	l, asOf, err := s.engine.DeadLetter(ctx, int(r.GetName().GetPartition()), r.GetName().GetNumber())
	if err != nil {
		return nil, err
	}
	return &tollwayv1.DeadLetterServiceGetResponse{DeadLetter: deadLetterOut(&l, asOf), AsOf: asOfOut(asOf)}, nil
}

// Summarize counts the dead letters by reason.
func (s deadLetterService) Summarize(ctx context.Context, r *tollwayv1.DeadLetterServiceSummarizeRequest) (*tollwayv1.DeadLetterServiceSummarizeResponse, error) {
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	counts, asOf, err := s.engine.CountDeadLetters(ctx)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.DeadLetterServiceSummarizeResponse{AsOf: asOfOut(asOf)}
	for _, c := range counts {
		out.Reasons = append(out.Reasons, &tollwayv1.DeadLetterCount{Reason: c.Reason, Open: c.Open, All: c.All})
	}
	return out, nil
}

// Replay rates dead letters again.
func (s deadLetterService) Replay(ctx context.Context, r *tollwayv1.DeadLetterServiceReplayRequest) (*tollwayv1.DeadLetterServiceReplayResponse, error) {
	settled, asOf, err := s.settle(ctx, r.GetSelection(), SettleRequest{By: r.GetBy()})
	if err != nil {
		return nil, err
	}
	return &tollwayv1.DeadLetterServiceReplayResponse{
		Priced: settled.Priced, Duplicates: settled.Duplicates, Refused: settled.Refused, Passed: settled.Passed, AsOf: asOfOut(asOf),
	}, nil
}

// Discard settles dead letters that will not be priced.
func (s deadLetterService) Discard(ctx context.Context, r *tollwayv1.DeadLetterServiceDiscardRequest) (*tollwayv1.DeadLetterServiceDiscardResponse, error) {
	if strings.TrimSpace(r.GetWhy()) == "" {
		return nil, refuse(ReasonInvalidRequest, "say in why who decided what", "why is empty: a dead letter is discarded for a reason")
	}
	settled, asOf, err := s.settle(ctx, r.GetSelection(), SettleRequest{Discard: true, Why: r.GetWhy(), By: r.GetBy()})
	if err != nil {
		return nil, err
	}
	return &tollwayv1.DeadLetterServiceDiscardResponse{Discarded: settled.Discarded, Passed: settled.Passed, AsOf: asOfOut(asOf)}, nil
}

// settleTextMax is the longest text, in bytes, that is kept with a settled dead
// letter; settleNamesMax how many may be named in a call.
const (
	settleTextMax  = 1_000
	settleNamesMax = 10_000
)

// settle settles what a selection selects.
func (s deadLetterService) settle(ctx context.Context, selection *tollwayv1.DeadLetterSelection, request SettleRequest) (Settled, query.AsOf, error) {
	names := selection.GetNames()
	switch {
	case len(names) == 0 && !selection.GetMatching():
		return Settled{}, query.AsOf{}, refuse(ReasonInvalidRequest, "name dead letters, or set matching to mean all open ones of an account or reason", "the selection is empty")
	case len(names) > 0 && selection.GetMatching():
		return Settled{}, query.AsOf{}, refuse(ReasonInvalidRequest, "leave out the names, or matching", "the selection has names and is for all that match as well")
	case len(names) > settleNamesMax:
		return Settled{}, query.AsOf{}, refuse(ReasonTooManyRows, "divide them among several calls", "%d dead letters are named, at most %d may be", len(names), settleNamesMax)
	case len(request.Why) > settleTextMax || len(request.By) > settleTextMax:
		return Settled{}, query.AsOf{}, refuse(ReasonInvalidRequest, "", "why and by must have at most %d bytes each", settleTextMax)
	}
	for _, n := range names {
		request.Names = append(request.Names, LetterName{Partition: int(n.GetPartition()), Number: n.GetNumber()})
	}
	request.Filter = DeadLetterFilter{Account: selection.GetAccount(), Reason: selection.GetReason()}
	return s.engine.SettleDeadLetters(ctx, request)
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
		Status: d.Status, Attempts: uint32(d.Attempts), By: d.By, At: d.At, Why: d.Why,
	}
	if json.Valid(d.Event) && utf8.Valid(d.Event) {
		out.Event = string(d.Event)
	} else {
		out.Raw = d.Event
	}
	return out
}
