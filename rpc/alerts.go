package rpc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
	"github.com/tollway/tollway/sdk/billing"
)

// AlertEngine is the part of an [Engine] that tells of thresholds.
type AlertEngine interface {
	// Alerts returns a page of the alerts that were fired, the newest first.
	Alerts(ctx context.Context, filter query.AlertFilter, page query.Page) (query.AlertPage, error)
	// WatchAlerts begins to follow alerts: behind those of a watch before, whose
	// token it is given; without one all of them, or only those that are fired from
	// now on.
	WatchAlerts(filter query.AlertFilter, all bool, token string) (AlertWatch, error)
}

// AlertWatch follows alerts. It is for one goroutine.
type AlertWatch interface {
	// Next returns the next alerts and the token to go on behind them. It waits for
	// some up to a time, then it returns none; ctx's error when ctx ends.
	Next(ctx context.Context, most time.Duration) (alerts []query.Alert, token string, err error)
}

// alertService implements AlertService.
type alertService struct{ *services }

// alertFilter reads the fields of a request that select alerts, and refuses what can
// select none.
func alertFilter(r interface {
	GetAccount() string
	GetAlert() string
	GetPeriod() string
},
) (query.AlertFilter, error) {
	f := query.AlertFilter{Account: r.GetAccount(), Alert: r.GetAlert(), Period: r.GetPeriod()}
	if f.Account != "" {
		if err := billing.AccountID(f.Account).Validate(); err != nil {
			return f, refuse(ReasonInvalidRequest, "", "account %q: %v", f.Account, err)
		}
	}
	return f, checkPeriod(f.Period)
}

// List returns a page of alerts.
func (s alertService) List(ctx context.Context, r *tollwayv1.AlertServiceListRequest) (*tollwayv1.AlertServiceListResponse, error) {
	filter, err := alertFilter(r)
	if err != nil {
		return nil, err
	}
	pages := newPager("AlertService/List", r.GetAccount(), r.GetAlert(), r.GetPeriod())
	page, err := pages.page(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	answer, err := s.engine.Alerts(ctx, filter, page)
	if err != nil {
		return nil, err
	}
	return &tollwayv1.AlertServiceListResponse{
		Alerts: alertsOut(answer.Alerts), NextPageToken: pages.next(answer.NextToken), AsOf: asOfOut(answer.AsOf),
	}, nil
}

// Watch sends alerts as they are fired. It waits for the caller with each message and
// reads the next ones only then, so a slow caller costs no memory.
func (s alertService) Watch(ctx context.Context, r *tollwayv1.AlertServiceWatchRequest, stream tollwayv1connect.AlertServiceWatchServerStream) error {
	filter, err := alertFilter(r)
	if err != nil {
		return err
	}
	resumes := newPager("AlertService/Watch", r.GetAccount(), r.GetAlert(), r.GetPeriod(), strconv.FormatBool(r.GetAll()))
	resumed, err := resumes.page(0, r.GetResumeToken())
	if err != nil {
		return refuse(ReasonInvalidPageToken, "repeat the fields of the watch that gave the token, or leave it out", "resume_token is damaged, or of another watch")
	}
	watch, err := s.engine.WatchAlerts(filter, r.GetAll(), resumed.Token)
	if err != nil {
		return err
	}
	ctx, release := s.untilDrained(ctx)
	defer release()
	for most := time.Duration(0); ; most = s.heartbeat { // the first comes at once, with the token
		alerts, token, err := watch.Next(ctx, most)
		if err != nil {
			return s.ended(err)
		}
		if err := stream.Send(&tollwayv1.AlertServiceWatchResponse{Alerts: alertsOut(alerts), ResumeToken: resumes.next(token)}); err != nil {
			return err
		}
	}
}

func alertsOut(alerts []query.Alert) []*tollwayv1.Alert {
	out := make([]*tollwayv1.Alert, len(alerts))
	for i := range alerts {
		a := &alerts[i]
		out[i] = &tollwayv1.Alert{
			Id: a.ID, Alert: a.Alert.Alert, Account: a.Account,
			Period:  &tollwayv1.Period{Id: a.Period.ID, Start: timeOut(a.Period.Start), End: timeOut(a.Period.End)},
			Measure: a.Measure, Currency: a.Currency, Meter: a.Meter, Tariffs: a.Tariffs, Threshold: a.Threshold, Value: a.Value,
			Crossing: uint32(a.Crossing), Cause: a.Cause, Time: timeOut(a.At),
			Position: positionOut(query.Position{Stream: a.Stream, Partition: a.Partition, Sequence: a.Position}),
		}
		if e := a.Event; e != nil {
			out[i].EventSource, out[i].EventId, out[i].EventTime = strings.ToValidUTF8(e.Source, "\uFFFD"), strings.ToValidUTF8(e.ID, "\uFFFD"), timeOut(e.Time)
		}
	}
	return out
}

// timeOut reads a time of the log, nil for none.
func timeOut(text string) *timestamppb.Timestamp {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil { // it is empty: nobody knows
		return nil
	}
	return timestamppb.New(t)
}
