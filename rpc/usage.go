package rpc

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
	"github.com/tollway/tollway/sdk/billing"
)

// ingestEventsMax is how many events one request takes beside its bodies, which
// have limits of their own.
const ingestEventsMax = 10_000

// usageService implements UsageService.
type usageService struct{ *services }

var _ tollwayv1connect.UsageServiceHandler = usageService{}

// Ingest writes events to the log. What protobuf lets through and no event can
// have, a missing or impossible time, is rejected here; everything else is the
// engine's to judge.
func (s usageService) Ingest(ctx context.Context, r *tollwayv1.UsageServiceIngestRequest) (*tollwayv1.UsageServiceIngestResponse, error) {
	if len(r.GetEvents()) == 0 && len(r.GetBodies()) == 0 {
		return nil, refuse(ReasonInvalidRequest, "put events or bodies in", "events: 1 to %d are taken at a time, not 0", ingestEventsMax)
	}
	pending, err := s.submit(ctx, r.GetEvents(), r.GetBodies())
	if err != nil {
		return nil, err
	}
	outcome, err := pending.wait(ctx)
	if err != nil {
		return nil, err
	}
	if outcome.Cause != nil {
		return nil, &unconfirmedError{cause: outcome.Cause, ranges: outcome.unconfirmed()}
	}
	if r.GetCompact() || len(r.GetBodies()) > 0 {
		out := outcomeOut(&outcome)
		return &tollwayv1.UsageServiceIngestResponse{
			Outcome: out, Accepted: out.GetAccepted(), Rejected: out.GetRejected(), PositionToken: out.GetPositionToken(),
		}, nil
	}
	return ingestResponse(&outcome), nil
}

// pendingChunk is a chunk on its way into the log.
type pendingChunk struct {
	ticket  UsageTicket
	events  int              // of the request's first form
	refused []UsageRejection // those of them that the engine did not get, in order
}

// submit hands a request's usage to the engine.
func (s *services) submit(ctx context.Context, events []*tollwayv1.UsageEvent, bodies []*tollwayv1.UsageBody) (pendingChunk, error) {
	if n := len(events); n > ingestEventsMax {
		return pendingChunk{}, refuse(ReasonInvalidRequest, "split the usage into several calls", "events: 1 to %d are taken at a time, not %d", ingestEventsMax, n)
	}
	pending := pendingChunk{events: len(events)}
	chunk := UsageChunk{Events: make([]billing.UsageEvent, 0, len(events))}
	var fields []billing.Field // of several events, in larger blocks
	for i, e := range events {
		if no := checkTime(e); no.Reason != "" {
			no.Event = i
			pending.refused = append(pending.refused, no)
			continue
		}
		if need := len(e.GetData()); cap(fields)-len(fields) < need {
			fields = make([]billing.Field, 0, max(need, min(len(events)-i, fieldsBlock)*need))
		}
		var event billing.UsageEvent
		event, fields = usageEvent(e, fields)
		chunk.Events = append(chunk.Events, event)
	}
	for _, b := range bodies {
		chunk.Bodies = append(chunk.Bodies, UsageBody{ContentType: b.GetContentType(), Data: b.GetData()})
	}
	var err error
	pending.ticket, err = s.engine.Submit(ctx, chunk)
	return pending, err
}

// fieldsBlock is for how many events a block of fields is made.
const fieldsBlock = 256

// wait returns what became of the chunk, the events counted as in the request.
func (p pendingChunk) wait(ctx context.Context) (UsageOutcome, error) {
	outcome, err := p.ticket.Wait(ctx)
	if err != nil {
		return outcome, err
	}
	total := 0
	for _, run := range outcome.Runs {
		total += run.Events
	}
	if given := p.events - len(p.refused); total < given {
		return outcome, fmt.Errorf("rpc: the engine gave %d results for %d events", total, given)
	}
	outcome.insert(p.refused)
	return outcome, nil
}

// insert puts rejected events, in order, into an outcome that does not count
// them.
func (o *UsageOutcome) insert(refused []UsageRejection) {
	if len(refused) == 0 {
		return
	}
	k := 0 // of refused, those before
	for i := range o.Rejected {
		for k < len(refused) && refused[k].Event <= o.Rejected[i].Event+k {
			k++
		}
		o.Rejected[i].Event += k
	}
	o.Rejected = append(o.Rejected, refused...)
	slices.SortFunc(o.Rejected, func(a, b UsageRejection) int { return a.Event - b.Event })

	runs := make([]UsageRun, 0, len(o.Runs)+2*len(refused))
	at := 0 // number of the next event
	insert := func() {
		for len(refused) > 0 && refused[0].Event == at {
			runs, refused, at = append(runs, UsageRun{1, -1}), refused[1:], at+1
		}
	}
	for _, run := range o.Runs {
		for run.Events > 0 {
			insert()
			n := run.Events
			if len(refused) > 0 {
				n = min(n, refused[0].Event-at)
			}
			runs, at = append(runs, UsageRun{n, run.Position}), at+n
			run.Events -= n
		}
	}
	insert()
	o.Runs = runs
}

// unconfirmed returns the events that are not known to be in the log.
func (o *UsageOutcome) unconfirmed() []*tollwayv1.EventRange {
	var ranges []*tollwayv1.EventRange
	at := 0
	for _, run := range o.Runs {
		if run.Position >= 0 && o.Positions[run.Position].Sequence == 0 {
			if n := len(ranges); n > 0 && int(ranges[n-1].GetFirst()+ranges[n-1].GetEvents()) == at {
				ranges[n-1].Events += uint32(run.Events)
			} else {
				ranges = append(ranges, &tollwayv1.EventRange{First: uint32(at), Events: uint32(run.Events)})
			}
		}
		at += run.Events
	}
	return ranges
}

// unconfirmedError is what a caller gets whose events are not all known to be in
// the log.
type unconfirmedError struct {
	cause  error
	ranges []*tollwayv1.EventRange
}

func (e *unconfirmedError) Error() string {
	return fmt.Sprintf("the log did not take all events: %v", e.cause)
}

// Reason implements [Fault].
func (e *unconfirmedError) Reason() string { return ReasonUnavailable }

// Hint implements [Fault].
func (e *unconfirmedError) Hint() string  { return "send the same events again: each is priced once" }
func (e *unconfirmedError) Unwrap() error { return e.cause }

// checkTime rejects an event whose time is no time.
func checkTime(e *tollwayv1.UsageEvent) UsageRejection {
	if e.GetTime() == nil {
		return UsageRejection{Reason: "missing_attribute", Detail: "time: is missing"}
	}
	if err := e.GetTime().CheckValid(); err != nil {
		return UsageRejection{Reason: "bad_time", Detail: "time: " + err.Error()}
	}
	return UsageRejection{}
}

// usageEvent has its data by key, so that the same request is the same bytes
// in the log. Its fields go behind those given, which have room for them.
func usageEvent(e *tollwayv1.UsageEvent, fields []billing.Field) (billing.UsageEvent, []billing.Field) {
	first := len(fields)
	for key, text := range e.GetData() {
		fields = append(fields, billing.Field{Key: key, Text: text})
	}
	data := fields[first:len(fields):len(fields)]
	slices.SortFunc(data, func(a, b billing.Field) int { return cmp.Compare(a.Key, b.Key) })
	return billing.UsageEvent{
		Source: e.GetSource(), ID: e.GetId(), Type: e.GetType(),
		Account: billing.AccountID(e.GetSubject()), Time: e.GetTime().AsTime(), Data: data,
	}, fields
}

// ingestResponse is the answer with a result for each event.
func ingestResponse(o *UsageOutcome) *tollwayv1.UsageServiceIngestResponse {
	out := &tollwayv1.UsageServiceIngestResponse{PositionToken: positionToken(o.Positions)}
	accepted := make([]*tollwayv1.IngestResult, len(o.Positions)) // one for all events of a message
	for i, p := range o.Positions {
		accepted[i] = &tollwayv1.IngestResult{Result: &tollwayv1.IngestResult_Accepted{Accepted: positionOut(p)}}
	}
	for _, run := range o.Runs {
		for range run.Events {
			if run.Position >= 0 {
				out.Accepted++
				out.Results = append(out.Results, accepted[run.Position])
				continue
			}
			no := o.Rejected[out.Rejected]
			out.Rejected++
			out.Results = append(out.Results, &tollwayv1.IngestResult{Result: &tollwayv1.IngestResult_Rejected{
				Rejected: &tollwayv1.Rejection{Reason: no.Reason, Detail: no.Detail},
			}})
		}
	}
	return out
}

// outcomeOut is the compact form.
func outcomeOut(o *UsageOutcome) *tollwayv1.UsageOutcome {
	out := &tollwayv1.UsageOutcome{Unconfirmed: o.unconfirmed(), Rejected: uint32(len(o.Rejected))}
	if o.Cause != nil {
		out.UnconfirmedDetail = o.Cause.Error()
	}
	number := make([]uint32, len(o.Positions)) // of each among those written, from 1
	written := make([]query.Position, 0, len(o.Positions))
	for i, p := range o.Positions {
		if p.Sequence != 0 {
			written = append(written, p)
			number[i] = uint32(len(written))
			out.Positions = append(out.Positions, positionOut(p))
		}
	}
	for _, run := range o.Runs {
		place := uint32(0)
		if run.Position >= 0 {
			place = number[run.Position]
		}
		if place != 0 {
			out.Accepted += uint32(run.Events)
		}
		out.Places = append(out.Places, uint32(run.Events), place)
	}
	for _, no := range o.Rejected {
		out.Rejections = append(out.Rejections, &tollwayv1.NumberedRejection{
			Event: uint32(no.Event), Rejection: &tollwayv1.Rejection{Reason: no.Reason, Detail: no.Detail},
		})
	}
	out.PositionToken = positionToken(written)
	return out
}
