package rpc

import (
	"context"
	"time"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// periodService implements PeriodService.
type periodService struct{ *services }

// List returns periods and whether they are closed.
func (s periodService) List(ctx context.Context, r *tollwayv1.PeriodServiceListRequest) (*tollwayv1.PeriodServiceListResponse, error) {
	if err := checkPeriod(r.GetPeriod()); err != nil {
		return nil, err
	}
	if _, known := tollwayv1.PeriodState_name[int32(r.GetState())]; !known {
		return nil, refuse(ReasonInvalidRequest, "", "state %d is not a state of a period", r.GetState())
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	periods, asOf, err := s.engine.Periods(ctx)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.PeriodServiceListResponse{AsOf: asOfOut(asOf)}
	for i := range periods {
		wanted := r.GetState() == tollwayv1.PeriodState_PERIOD_STATE_UNSPECIFIED || r.GetState() == periodStateOf(&periods[i])
		if wanted && periodMatches(periods[i].Period, r.GetPeriod()) {
			out.Periods = append(out.Periods, periodStatusOut(&periods[i]))
		}
	}
	return out, nil
}

// Close closes periods.
func (s periodService) Close(ctx context.Context, r *tollwayv1.PeriodServiceCloseRequest) (*tollwayv1.PeriodServiceCloseResponse, error) {
	if r.GetPeriod() == "" {
		return nil, refuse(ReasonInvalidRequest, `name one, {"period": "2026-10"}; List shows which there are`, "period is missing")
	}
	if err := checkPeriod(r.GetPeriod()); err != nil {
		return nil, err
	}
	if r.GetAnchorDay() > 31 {
		return nil, refuse(ReasonInvalidRequest, "", "anchor_day %d is not a day of a month", r.GetAnchorDay())
	}
	if _, err := time.LoadLocation(r.GetTimeZone()); err != nil {
		return nil, refuse(ReasonInvalidRequest, "write an IANA name, such as Europe/Berlin", "time_zone %q: %v", r.GetTimeZone(), err)
	}
	closed, err := s.engine.ClosePeriod(ctx, CloseRequest{
		Period: r.GetPeriod(), Zone: r.GetTimeZone(), AnchorDay: int(r.GetAnchorDay()), SkipGrace: r.GetSkipGrace(),
	})
	if err != nil {
		return nil, err
	}
	return &tollwayv1.PeriodServiceCloseResponse{
		Periods: periodStatusesOut(closed.Periods), Invoices: closed.Invoices, AsOf: asOfOut(closed.AsOf),
	}, nil
}

func periodStatusesOut(periods []query.PeriodState) []*tollwayv1.PeriodStatus {
	out := make([]*tollwayv1.PeriodStatus, 0, len(periods))
	for i := range periods {
		out = append(out, periodStatusOut(&periods[i]))
	}
	return out
}
