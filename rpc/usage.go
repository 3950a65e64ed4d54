package rpc

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// ingestEventsMax is how many events one Ingest takes.
const ingestEventsMax = 10_000

// usageService implements UsageService.
type usageService struct{ *services }

// Ingest writes events to the log. What protobuf lets through and no event can
// have, a missing or impossible time, is rejected here; everything else is the
// engine's to judge.
func (s usageService) Ingest(ctx context.Context, r *tollwayv1.UsageServiceIngestRequest) (*tollwayv1.UsageServiceIngestResponse, error) {
	if n := len(r.GetEvents()); n == 0 || n > ingestEventsMax {
		return nil, refuse(ReasonInvalidRequest, "split the usage into several calls", "events: 1 to %d are taken at a time, not %d", ingestEventsMax, n)
	}
	results := make([]IngestResult, len(r.GetEvents()))
	events := make([]billing.UsageEvent, 0, len(r.GetEvents()))
	places := make([]int, 0, len(r.GetEvents())) // of events within results
	for i, e := range r.GetEvents() {
		if results[i] = checkTime(e); results[i].Reason != "" {
			continue
		}
		events = append(events, usageEvent(e))
		places = append(places, i)
	}
	if len(events) > 0 {
		written, err := s.engine.Ingest(ctx, events)
		if err != nil {
			return nil, err
		}
		if len(written) != len(events) {
			return nil, fmt.Errorf("rpc: the engine gave %d results for %d events", len(written), len(events))
		}
		for i, place := range places {
			results[place] = written[i]
		}
	}
	return ingestResponse(results), nil
}

// checkTime rejects an event whose time is no time.
func checkTime(e *tollwayv1.UsageEvent) IngestResult {
	if e.GetTime() == nil {
		return IngestResult{Reason: "missing_attribute", Detail: "time: is missing"}
	}
	if err := e.GetTime().CheckValid(); err != nil {
		return IngestResult{Reason: "bad_time", Detail: "time: " + err.Error()}
	}
	return IngestResult{}
}

// usageEvent has its data by key, so that the same request is the same bytes
// in the log.
func usageEvent(e *tollwayv1.UsageEvent) billing.UsageEvent {
	out := billing.UsageEvent{
		Source: e.GetSource(), ID: e.GetId(), Type: e.GetType(),
		Account: billing.AccountID(e.GetSubject()), Time: e.GetTime().AsTime(),
		Data: make([]billing.Field, 0, len(e.GetData())),
	}
	for _, key := range slices.Sorted(maps.Keys(e.GetData())) {
		out.Data = append(out.Data, billing.Field{Key: key, Text: e.GetData()[key]})
	}
	return out
}

func ingestResponse(results []IngestResult) *tollwayv1.UsageServiceIngestResponse {
	out := &tollwayv1.UsageServiceIngestResponse{Results: make([]*tollwayv1.IngestResult, 0, len(results))}
	var positions []query.Position
	for _, r := range results {
		if r.Reason != "" {
			out.Rejected++
			out.Results = append(out.Results, &tollwayv1.IngestResult{Result: &tollwayv1.IngestResult_Rejected{
				Rejected: &tollwayv1.Rejection{Reason: r.Reason, Detail: r.Detail},
			}})
			continue
		}
		out.Accepted++
		positions = append(positions, r.Position)
		out.Results = append(out.Results, &tollwayv1.IngestResult{Result: &tollwayv1.IngestResult_Accepted{Accepted: positionOut(r.Position)}})
	}
	out.PositionToken = positionToken(positions)
	return out
}
