package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// watchRowsMax is how many subtotals one message of a watch carries.
const watchRowsMax = 1000

// Watch sends a snapshot, then what changes, then signs of life while nothing
// does. It waits for the caller with each message, and the engine's watch
// merges what changes meanwhile, so a slow caller costs no memory.
func (s subtotalService) Watch(ctx context.Context, r *tollwayv1.SubtotalServiceWatchRequest, stream tollwayv1connect.SubtotalServiceWatchServerStream) error {
	filter, err := subtotalFilter(r)
	if err != nil {
		return err
	}
	if filter.Latest = r.GetLatest(); filter.Latest && filter.Account == "" {
		return refuse(ReasonInvalidRequest, "name an account, or leave latest out", "the latest state of all accounts cannot be watched")
	}
	rest, err := restOf(r.GetMinInterval())
	if err != nil {
		return err
	}
	resumes := newPager("SubtotalService/Watch", r.GetAccount(), r.GetPeriod(), r.GetTariff(), r.GetMeter(), r.GetCurrency())
	resumed, err := resumes.page(0, r.GetResumeToken())
	if err != nil {
		return refuse(ReasonInvalidPageToken, "repeat the fields of the watch that gave the token, or leave it out", "resume_token is damaged, or of another watch")
	}
	if err := s.waitIn(ctx, r.GetMinPosition(), filter.Latest); err != nil {
		return err
	}
	ctx, release := s.untilDrained(ctx)
	defer release()
	watch := s.engine.WatchSubtotals(filter, s.heartbeat)
	defer watch.Close()
	watch.Rest(rest)
	if resumed.Token != "" {
		watch.Resume(resumed.Token) // when it cannot, the snapshot tells the caller
	}
	parts := false // the snapshot came in several
	for {
		update, err := watch.Next(ctx)
		if err != nil {
			return s.ended(err)
		}
		switch {
		case filter.Account == "" || update.More:
			// A total of all accounts' rows that happen to be in a message, or of
			// a part of an account's, would mislead.
			update.Totals = nil
		case update.Kind == query.UpdateSnapshot && parts:
			whole, err := s.engine.AccountSubtotals(filter)
			if err != nil {
				return err
			}
			update.Totals = whole.Totals
		}
		parts = update.More
		update.Resume = resumes.next(update.Resume)
		if err := sendUpdate(ctx, stream, update); err != nil {
			return err
		}
	}
}

// watchRestMax is the longest min_interval.
const watchRestMax = time.Minute

// restOf reads min_interval.
func restOf(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 {
		return 0, refuse(ReasonInvalidRequest, `write it like "0.5s"`, "min_interval is not a duration from 0s up")
	}
	return min(d.AsDuration(), watchRestMax), nil
}

// untilDrained is ctx for a stream that would outlast the server: it ends when
// the server stops, too. Call release when the stream is done.
func (s *services) untilDrained(ctx context.Context) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.draining, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// ended tells a caller whose stream was cut by the server's end that it was.
func (s *services) ended(err error) error {
	if s.draining.Err() != nil && errors.Is(err, context.Canceled) {
		return refuse(ReasonShuttingDown, "call again in a moment", "the server is stopping")
	}
	return err
}

// sendUpdate sends an update in messages of bounded length. Changes stand for
// themselves; a snapshot is complete with the last message.
func sendUpdate(ctx context.Context, stream tollwayv1connect.SubtotalServiceWatchServerStream, update query.Update) error {
	rows := update.Subtotals.Subtotals
	for len(rows) > watchRowsMax {
		part := query.Subtotals{Subtotals: rows[:watchRowsMax], AsOf: update.AsOf}
		if err := stream.Send(messageOf(ctx, eventOf(update.Kind, true), &part, "")); err != nil {
			return err
		}
		rows = rows[watchRowsMax:]
	}
	last := update.Subtotals
	if len(rows) < len(last.Subtotals) {
		last = query.Subtotals{Subtotals: rows, Totals: update.Totals, AsOf: update.AsOf}
	}
	return stream.Send(messageOf(ctx, eventOf(update.Kind, update.More), &last, update.Resume))
}

// messageOf is a message in the form that its caller takes.
func messageOf(ctx context.Context, event tollwayv1.WatchEvent, part *query.Subtotals, resume string) *tollwayv1.SubtotalServiceWatchResponse {
	if isBinary(ctx) {
		return watchWire(event, part, resume)
	}
	if written := watchText(ctx, event, part, resume); written != nil {
		return written
	}
	return watchAnswer(event, part, resume)
}

// eventOf names an update; more says that its next part follows.
func eventOf(kind query.UpdateKind, more bool) tollwayv1.WatchEvent {
	switch kind {
	case query.UpdateSnapshot:
		if more {
			return tollwayv1.WatchEvent_WATCH_EVENT_SNAPSHOT_PART
		}
		return tollwayv1.WatchEvent_WATCH_EVENT_SNAPSHOT
	case query.UpdateChanged:
		return tollwayv1.WatchEvent_WATCH_EVENT_CHANGED
	case query.UpdateHeartbeat:
		return tollwayv1.WatchEvent_WATCH_EVENT_HEARTBEAT
	default:
		return tollwayv1.WatchEvent_WATCH_EVENT_UNSPECIFIED
	}
}
